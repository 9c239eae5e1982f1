"""A small dealer's database with a ledger, and statements planned and run as the upstream role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from proxy.consent.schema import READER, init
from proxy.demo.embedded import EmbeddedPostgres
from proxy.demo.tables import CONSTRAINTS, TABLES
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.rewrite.plan import Plan, PlanContext
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits

POLICY = Path("policies/dealership")

# Person 1 agreed to everything, 2 to nothing, 3 withdrew; rows of all ages and sources.
ROWS = """
INSERT INTO crm.customers VALUES
  (1, 'Ana Ruiz', 'ana@example.com', '1234567', '1990-05-17', '28001', 0.1, '2025-01-01Z'),
  (2, 'Ben Cole', 'ben@example.com', '7654321', '1985-02-03', '08001', 0.9, '2025-01-02Z'),
  (3, 'Cyd Dorn', 'cyd@example.com', NULL, NULL, NULL, NULL, '2025-01-03Z');
INSERT INTO crm.vehicles SELECT i, i, 'VIN' || i, 'Model', '2020-01-01', i * 1000
  FROM generate_series(1, 3) AS i;
INSERT INTO sales.orders SELECT i, 1 + i % 3, i * 100.50, now() - i * interval '1 day'
  FROM generate_series(1, 30) AS i;
INSERT INTO sales.order_items SELECT i, i, 'sku' || i, 1, 9.99 FROM generate_series(1, 30) AS i;
INSERT INTO web.page_views
  SELECT i, 1 + i % 3, '/cars/' || i, '203.0.113.7',
         (ARRAY['dealer_site', 'first_party_form', 'bought_list'])[1 + i % 3],
         now() - i * interval '12 hours'
    FROM generate_series(1, 300) AS i;
UPDATE consent.subject SET email_campaign = 'infinity', personalisation = 'infinity'
 WHERE subject_id = 1;
"""


@dataclass(frozen=True, slots=True)
class Guarded:
    """Statements planned for a tool and run as the role that the proxy uses upstream."""

    enforcer: Enforcer
    upstream: asyncpg.Connection
    admin: asyncpg.Connection

    def plan(self, sql: str, tool: str = "mailer", purpose: str = "email_campaign") -> Plan:
        """The plan of the only statement; a refusal is raised."""
        (plan,) = self.plans(sql, tool, purpose)
        if isinstance(plan, Refused):
            raise plan
        return plan

    def plans(
        self, sql: str, tool: str = "mailer", purpose: str | None = "email_campaign"
    ) -> tuple[Plan | Refused, ...]:
        path = self.enforcer.policy.schemas
        return self.enforcer.plan(sql, PlanContext(tool=tool, purpose=purpose, search_path=path))

    async def rows(
        self,
        sql: str,
        *arguments: object,
        tool: str = "mailer",
        purpose: str = "email_campaign",
    ) -> list[tuple[object, ...]]:
        plan = self.plan(sql, tool, purpose)
        return [tuple(row) for row in await self.upstream.fetch(plan.text, *arguments)]


@pytest.fixture
async def guarded(postgres: EmbeddedPostgres, database: str) -> AsyncIterator[Guarded]:
    policy = load_policy(POLICY)
    admin = await asyncpg.connect(database)
    await admin.execute(TABLES)
    await admin.execute("; ".join(CONSTRAINTS))
    await init(admin, policy)
    await admin.execute("INSERT INTO consent.subject (subject_id) SELECT generate_series(1, 3)")
    await admin.execute(ROWS)
    name = await admin.fetchval("SELECT current_database()")
    upstream = await asyncpg.connect(
        postgres.url(name, READER),
        server_settings={"search_path": ",".join(policy.schemas)},
    )
    enforcer = Enforcer(
        policy,
        await load_catalog(admin, catalog_schemas(policy)),
        StatementLimits(statement_bytes=1 << 20, statement_nesting=100),
        SettingLimits(),
    )
    yield Guarded(enforcer, upstream, admin)
    await upstream.close()
    await admin.close()
