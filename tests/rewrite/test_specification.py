"""A guard answers as the specification does, written down once more: views made by hand.

They ask for each person on their own, by EXISTS; guards join. Both read the same rows, with every
state that the ledger can be in.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import asyncpg
import pytest

from proxy.consent.names import subject_column
from proxy.consent.schema import READER, init
from proxy.demo.embedded import EmbeddedPostgres
from proxy.enforce import Enforcer, StatementLimits
from proxy.planner import make_plans
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.rewrite.lift import LiftedPlans
from proxy.rewrite.plan import Plan, PlanContext
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits

_POLICY: Final = """
policy: specification
version: 1
categories:
  user.email: {mask: email}
  user.health: {mask: redact, sensitive: true}
  user.note: {mask: "null"}
purposes:
  masked: {basis: consent, reads: [user]}
  rows: {basis: consent, people: consented, reads: [user]}
  contract: {basis: contract, people: consented, reads: [user]}
  interest: {basis: legitimate_interest, reads: [user]}
subject: {key: crm.people.id}
tables:
  crm.people:
    subject: id
    columns: {id: open, email: user.email, health: user.health, city: open}
  crm.visits:
    subject: person
    keep: {column: at, for: 90d}
    columns: {id: open, person: open, note: user.note, at: open}
  crm.items:
    subject: {via: [visit, crm.visits.id]}
    columns: {id: open, visit: open, what: user.note}
  crm.deals:
    subject: {all: [{via: [seller, crm.people.id]}, buyer]}
    columns: {id: open, seller: open, buyer: open, price: user.note}
tools:
  tool: {purposes: [masked, rows, contract, interest]}
"""
_TABLES: Final = """
CREATE SCHEMA crm;
CREATE TABLE crm.people (id bigint PRIMARY KEY, email text, health text, city text);
CREATE INDEX ON crm.people (email);
CREATE TABLE crm.visits (id bigint PRIMARY KEY, person bigint, note text, at timestamptz);
CREATE INDEX ON crm.visits (person);
CREATE TABLE crm.items (id bigint PRIMARY KEY, visit bigint, what text);
CREATE TABLE crm.deals (id bigint PRIMARY KEY, seller bigint, buyer bigint, price int);
"""
_FILLED: Final = """
TRUNCATE crm.people, crm.visits, crm.items, crm.deals, consent.subject;
INSERT INTO crm.people SELECT n, CASE WHEN random() < 0.8 THEN 'p' || n % 4 || '@x' END,
    CASE WHEN random() < 0.8 THEN 'h' || n % 3 END, chr(97 + n % 3) FROM generate_series(1, 20) n;
INSERT INTO crm.visits SELECT n, CASE WHEN random() < 0.9 THEN n % 24 END, 'n' || n % 4,
    CASE WHEN random() < 0.9 THEN now() - n * interval '3 days' END FROM generate_series(1, 40) n;
INSERT INTO crm.items SELECT n, CASE WHEN random() < 0.9 THEN n % 45 END, 'w' || n % 3
  FROM generate_series(1, 50) n;
INSERT INTO crm.deals SELECT n, CASE WHEN random() < 0.9 THEN n % 23 END,
    CASE WHEN random() < 0.9 THEN n % 7 END, n % 5 FROM generate_series(1, 50) n;
INSERT INTO consent.subject (subject_id) SELECT n FROM generate_series(1, 22) n WHERE n % 5 > 0;
"""
# In force or not: for ever, never, until a day that was, until one that comes.
_UNTIL: Final = (
    "(ARRAY['infinity', '-infinity', 'yesterday', 'tomorrow']"
    "::timestamptz[])[1 + (4 * random())::int % 4]"
)
_PURPOSES: Final = ("masked", "rows", "contract", "interest")
_ASKED: Final = (
    "SELECT * FROM people",
    "SELECT id FROM people WHERE email = 'p{n}@x'",
    "SELECT id, email FROM people WHERE email IN ('p{n}@x', 'p***@x') AND id > {n}",
    "SELECT id, health FROM people WHERE health = 'h{n}' OR health = '***'",
    "SELECT id FROM people WHERE email BETWEEN 'p{n}' AND 'p3' ORDER BY id LIMIT 3",
    "SELECT city, count(email), max(email), min(email), count(DISTINCT health) FROM people"
    " GROUP BY ROLLUP (city)",
    "SELECT email, email || health, length(email) FROM people WHERE email LIKE 'p{n}%'",
    "SELECT * FROM visits",
    "SELECT note, count(*) FROM visits WHERE person = {n} GROUP BY note",
    "SELECT p.id, v.note FROM people p JOIN visits v ON v.person = p.id WHERE p.id < {n}0",
    "SELECT v.id, p.email FROM visits v LEFT JOIN people p ON p.id = v.person AND p.email > 'p{n}'",
    "SELECT p.id, v.n FROM people p, LATERAL (SELECT count(*) FROM visits v"
    " WHERE v.person = p.id AND v.note <> 'n{n}') AS v(n)",
    "SELECT id FROM people p WHERE NOT EXISTS (SELECT FROM visits v WHERE v.person = p.id)",
    "SELECT * FROM items WHERE what = 'w{n}'",
    "SELECT * FROM items",
    "SELECT * FROM deals",
    "SELECT seller, sum(price) OVER (PARTITION BY buyer ORDER BY id) FROM deals WHERE price < {n}",
    "SELECT a.id, b.id FROM people a FULL JOIN people b USING (email)"
    " WHERE a.id <= {n} OR b.id > 9",
)
_ROUNDS: Final = int(os.environ.get("SPECIFICATION_ROUNDS", "3"))


def _views(purpose: str) -> str:
    """What the policy says, in SQL of another shape."""
    column, sensitive = subject_column(purpose), subject_column(purpose, "user.health")

    def ledger(person: str, condition: str) -> str:
        return (
            f"EXISTS (SELECT FROM consent.subject s WHERE s.subject_id = {person} AND {condition})"
        )

    def in_force(person: str) -> str:
        if purpose in ("masked", "rows"):
            return ledger(person, f's."{column}" > now()')
        ended = ledger(person, f's."{column}" <= now()')
        return f"({person} IS NOT NULL AND NOT {ended})"

    def rows(*people: str) -> str:
        kept = " AND ".join(map(in_force, people))
        return kept if purpose in ("rows", "contract") else "true"

    def shown(value: str, mask: str, *people: str) -> str:
        condition = " AND ".join(map(in_force, people))
        return f"CASE WHEN {condition} THEN {value} ELSE {mask} END AS {value}"

    email = "left(email, 1) || '***@' || split_part(email, '@', 2)"
    granted = ledger("t.id", f's."{sensitive}" > now()')
    visit = "(SELECT v.person FROM crm.visits v WHERE v.id = t.visit)"
    seller = "(SELECT p.id FROM crm.people p WHERE p.id = t.seller)"
    return f"""
        DROP SCHEMA IF EXISTS spec CASCADE; CREATE SCHEMA spec;
        CREATE VIEW spec.people AS SELECT id, {shown("email", email, "t.id")},
            CASE WHEN {granted} AND {in_force("t.id")} THEN health ELSE '***' END AS health, city
            FROM crm.people t WHERE {rows("t.id")};
        CREATE VIEW spec.visits AS SELECT id, person, {shown("note", "NULL", "t.person")}, at
            FROM crm.visits t WHERE {rows("t.person")} AND at > now() - interval '2160 hours';
        CREATE VIEW spec.items AS SELECT id, visit, {shown("what", "NULL", visit)}
            FROM crm.items t WHERE {rows(visit)};
        CREATE VIEW spec.deals AS SELECT id, seller, buyer,
            {shown("price", "NULL", seller, "t.buyer")}
            FROM crm.deals t WHERE {rows(seller, "t.buyer")};
    """


@dataclass(frozen=True, slots=True)
class Both:
    """The same statement, of guards and of the views."""

    enforcer: Enforcer
    admin: asyncpg.Connection
    reader: asyncpg.Connection

    async def expect_alike(self, sql: str, purpose: str, lifted: LiftedPlans) -> int:
        context = PlanContext(tool="tool", purpose=purpose, search_path=("crm",))
        plans, _ = lifted.find(sql, context)
        (plan,) = plans or make_plans(self.enforcer, sql, context)
        assert isinstance(plan, Plan), plan
        guarded = sorted(map(repr, await self.reader.fetch(plan.text)))
        assert guarded == sorted(map(repr, await self.admin.fetch(sql))), (purpose, sql)
        return len(guarded)


@pytest.fixture
async def both(postgres: EmbeddedPostgres, database: str, tmp_path: Path) -> AsyncIterator[Both]:
    (tmp_path / "policy.yaml").write_text(_POLICY)
    policy = load_policy(tmp_path)
    admin = await asyncpg.connect(database)
    await admin.execute(_TABLES)
    await init(admin, policy)
    catalog = await load_catalog(admin, catalog_schemas(policy))
    limits = StatementLimits(statement_bytes=1 << 20, statement_nesting=100)
    name = await admin.fetchval("SELECT current_database()")
    path = {"search_path": "crm"}
    reader = await asyncpg.connect(postgres.url(name, READER), server_settings=path)
    yield Both(Enforcer(policy, catalog, limits, SettingLimits()), admin, reader)
    await reader.close()
    await admin.close()


async def test_a_guard_answers_as_the_specification(both: Both) -> None:
    lifted = LiftedPlans(lambda text, context: make_plans(both.enforcer, text, context))
    random = Random(5)
    rows = 0
    for number in range(_ROUNDS):
        await both.admin.execute(f"SELECT setseed({random.random()})")
        await both.admin.execute(_FILLED)
        for purpose in _PURPOSES:
            columns = (subject_column(purpose), subject_column(purpose, "user.health"))
            values = ", ".join(f'"{column}" = {_UNTIL}' for column in columns)
            await both.admin.execute(f"UPDATE consent.subject SET {values}")
            await both.admin.execute(_views(purpose) + "SET search_path = spec")
            # People whose key changes take nothing along.
            await both.admin.execute(
                f"UPDATE crm.people SET id = 40 - id WHERE id % 6 = {number % 6}"
            )
            for sql in _ASKED:
                for n in (1, random.randrange(4)):
                    rows += await both.expect_alike(sql.format(n=n), purpose, lifted)
    assert rows > _ROUNDS * len(_PURPOSES) * len(_ASKED)
