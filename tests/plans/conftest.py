"""Data large enough for PostgreSQL to prefer an index, and the plans it makes of our plans."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import asyncpg
import pytest

from benchmarks.guards import POLICY
from benchmarks.guards_data import build
from proxy.demo.embedded import EmbeddedPostgres
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.load import load_policy
from proxy.rewrite.plan import PlanContext
from proxy.sql.settings import SettingLimits
from tests.conftest import MakeDatabase

PEOPLE = 20_000
EVENTS = 100_000
_ENFORCERS: dict[str, dict[str, Enforcer]] = {}  # by database and form


@dataclass(frozen=True, slots=True)
class Planned:
    """Statements planned by the proxy, and then by PostgreSQL."""

    enforcer: Enforcer  # asks the ledger
    in_table: Enforcer  # reads people's consent in their table
    connection: asyncpg.Connection

    def reading_in_table(self) -> Planned:
        return replace(self, enforcer=self.in_table)

    def text(self, sql: str, purpose: str, types: tuple[int, ...] = ()) -> str:
        context = PlanContext(
            tool="tool",
            purpose=purpose,
            search_path=self.enforcer.policy.schemas,
            parameter_types=types,
        )
        (plan,) = self.enforcer.plan(sql, context)
        if isinstance(plan, Refused):
            raise plan
        return plan.text

    async def explained(self, sql: str, purpose: str) -> str:
        lines = await self.connection.fetch(f"EXPLAIN (COSTS OFF) {self.text(sql, purpose)}")
        return "\n".join(line[0] for line in lines)


@pytest.fixture(scope="module")
def filled(make_database: MakeDatabase, postgres: EmbeddedPostgres) -> Iterator[str]:
    url = make_database()
    yield url
    name = url.split("@/", 1)[1].split("?", 1)[0]
    postgres.run(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def planned(filled: str) -> AsyncIterator[Planned]:
    connection = await asyncpg.connect(filled, server_settings={"jit": "off"})
    if filled not in _ENFORCERS:
        policy = load_policy(POLICY)
        catalogs = await build(connection, policy, PEOPLE, EVENTS)
        limits = StatementLimits(statement_bytes=1 << 20, statement_nesting=100)
        _ENFORCERS[filled] = {
            form: Enforcer(policy, catalog, limits, SettingLimits())
            for form, catalog in catalogs.items()
        }
    await connection.execute("SET search_path = crm, web")
    forms = _ENFORCERS[filled]
    yield Planned(forms["ledger"], forms["in table"], connection)
    await connection.close()
