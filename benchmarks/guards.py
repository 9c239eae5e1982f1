"""What a guard costs beside the raw table: the same query, planned by the proxy and bare.

Both run as the upstream's role on one connection, in turn, so that only the guard differs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import asyncpg

from benchmarks.stand import DATABASE, Stand
from proxy.consent.schema import READER
from proxy.demo.prepare import dealership_policy
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.rewrite.plan import PlanContext
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits

# name, tool, purpose, statement. Values that exist are filled in.
QUERIES: Final = (
    ("open columns", "mailer", "service_reminder", "SELECT count(created_at) FROM crm.customers"),
    ("masked column, all", "mailer", "service_reminder", "SELECT max(email) FROM crm.customers"),
    (
        "masked e-mail, look-up",
        "site",
        "personalisation",
        "SELECT id FROM crm.customers WHERE full_name = 'Nobody Here'",
    ),
    (
        "row rules, look-up",
        "site",
        "personalisation",
        "SELECT url FROM web.page_views WHERE customer_id = 42",
    ),
    (
        "row rules, all",
        "site",
        "personalisation",
        "SELECT count(*) FROM web.page_views",
    ),
    (
        "consented people, join",
        "mailer",
        "email_campaign",
        "SELECT count(*) FROM crm.customers c JOIN sales.orders o ON o.customer_id = c.id",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    name: str
    raw_ms: float
    guarded_ms: float

    @property
    def ratio(self) -> float:
        return self.guarded_ms / self.raw_ms


async def run(stand: Stand, *, rounds: int) -> list[Cost]:
    policy = load_policy(dealership_policy())
    connection = await asyncpg.connect(stand.server.url(DATABASE, READER))
    try:
        enforcer = Enforcer(
            policy,
            await load_catalog(connection, catalog_schemas(policy)),
            StatementLimits(statement_bytes=1 << 20, statement_nesting=100),
            SettingLimits(),
        )
        return [cost async for cost in _costs(connection, enforcer, rounds)]
    finally:
        await connection.close()


async def _costs(
    connection: asyncpg.Connection, enforcer: Enforcer, rounds: int
) -> AsyncIterator[Cost]:
    for name, tool, purpose, sql in QUERIES:
        context = PlanContext(tool=tool, purpose=purpose, search_path=enforcer.policy.schemas)
        (plan,) = enforcer.plan(sql, context)
        if isinstance(plan, Refused):
            raise SystemExit(f"{name}: {plan}")
        raw: list[float] = []
        guarded: list[float] = []
        for _ in range(rounds):
            raw.append(await _time(connection, sql))
            guarded.append(await _time(connection, plan.text))
        yield Cost(name=name, raw_ms=statistics.median(raw), guarded_ms=statistics.median(guarded))


async def _time(connection: asyncpg.Connection, sql: str) -> float:
    begun = time.perf_counter()
    await connection.fetch(sql)
    return (time.perf_counter() - begun) * 1000
