"""Which relation a name means: our readers agree with PostgreSQL's own scoping.

PostgreSQL answers a puzzle itself; then the rewritten puzzle, in which every table's values are
masked by other constants. The one must be the other with each value of a table masked: a relation
that was missed would show through, a WITH taken for a relation would be another answer.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from proxy.consent.schema import init
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.rewrite.plan import PlanContext
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits
from tests.fuzz.depth import streams
from tests.fuzz.puzzles import POLICY, STRUCTURE, Puzzle

CONTEXT = PlanContext(tool="solver", purpose="all", search_path=("p",))
COUNT = 250
# What PostgreSQL answers, and we do not: names that are ambiguous behind the guards.
REFUSED_MAX = 0.02


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    found = await asyncpg.connect(database)
    await found.execute(STRUCTURE)
    await found.execute("SET search_path = p")
    yield found
    await found.close()


async def enforcer_of(connection: asyncpg.Connection, folder: Path) -> Enforcer:
    (folder / "policy.yaml").write_text(POLICY)
    policy = load_policy(folder)
    await init(connection, policy)
    catalog = await load_catalog(connection, catalog_schemas(policy))
    limits = StatementLimits(statement_bytes=1 << 20, statement_nesting=100)
    return Enforcer(policy, catalog, limits, SettingLimits())


def masked(rows: list[asyncpg.Record]) -> list[tuple[object, ...]]:
    def mask(value: object) -> object:
        return (
            value.upper() if isinstance(value, str) and re.fullmatch("[abc].[vw]", value) else value
        )

    return sorted((tuple(map(mask, row)) for row in rows), key=repr)


async def test_every_name_is_what_postgresql_takes_it_for(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    enforcer = await enforcer_of(connection, tmp_path)
    answered = refused = failed = 0
    for seed in streams(0, 1, COUNT):
        sql = Puzzle(random.Random(seed)).query()
        try:
            expected, state = masked(await connection.fetch(sql)), ""
        except asyncpg.PostgresError as error:
            expected, state = [], error.sqlstate
        (plan,) = enforcer.plan(sql, CONTEXT)
        if isinstance(plan, Refused):
            refused += not state
            continue
        try:
            rows, found = sorted(map(tuple, await connection.fetch(plan.text)), key=repr), ""
        except asyncpg.PostgresError as error:
            rows, found = [], error.sqlstate
        assert (rows, bool(found)) == (expected, bool(state)), (seed, sql, plan.text)
        answered += not state
        failed += bool(state)
    assert answered > (answered + failed) // 3, (answered, refused, failed)
    assert refused <= REFUSED_MAX * answered, (answered, refused, failed)


async def test_a_sub_query_sees_no_other_name_of_its_from_list(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    enforcer = await enforcer_of(connection, tmp_path)
    inner = "(SELECT p.b.v AS v FROM a AS t) AS x, p.b"
    sql = f"SELECT b.v FROM (SELECT 'derived' AS v) AS b WHERE EXISTS (SELECT x.v FROM {inner})"
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.fetch(sql)
    (plan,) = enforcer.plan(sql, CONTEXT)
    assert isinstance(plan, Refused)
    lateral = sql.replace(inner, "p.b, LATERAL (SELECT p.b.v AS v) AS x")
    (plan,) = enforcer.plan(lateral, CONTEXT)
    assert not isinstance(plan, Refused)
    assert await connection.fetchval(plan.text) == await connection.fetchval(lateral) == "derived"
