"""A guard that reads consent in the table answers as one that asks the ledger."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import asyncpg
import pytest

from proxy.consent.ledger import Ledger
from proxy.consent.request import ConsentRequest, State
from proxy.consent.schema import READER, WRITER, init
from proxy.demo.embedded import EmbeddedPostgres
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.policy.model import Policy, RelationName
from proxy.rewrite.plan import PlanContext
from proxy.sql.catalog import Catalog, load_catalog
from proxy.sql.settings import SettingLimits

_POLICY = """
policy: in table
version: 1
categories:
  user.email: {mask: email}
  user.health: {mask: redact, sensitive: true}
purposes:
  masked: {basis: consent, reads: [user]}
  rows: {basis: consent, people: consented, reads: [user]}
  contract: {basis: contract, people: consented, reads: [user]}
  interest: {basis: legitimate_interest, reads: [user]}
  blind: {basis: consent, reads: []}
subject: {key: crm.people.id}
tables:
  crm.people:
    subject: id
    consent: in_table
    columns: {id: open, email: user.email, health: user.health, city: open}
  crm.visits:
    subject: person
    consent: in_table
    keep: {column: at, for: 90d}
    columns: {id: open, person: open, note: user.note, at: open}
  crm.items:
    subject: {via: [visit, crm.visits.id]}
    columns: {id: open, visit: open, what: user.what}
  crm.deals:
    subject: {all: [{via: [seller, crm.people.id]}, buyer]}
    columns: {id: open, price: user.price}
tools:
  tool: {purposes: [masked, rows, contract, interest, blind]}
"""
_TABLES = """
CREATE SCHEMA crm;
CREATE TABLE crm.people (id bigint PRIMARY KEY, email text, health text, city text);
CREATE INDEX ON crm.people (email);
CREATE TABLE crm.visits (id bigint PRIMARY KEY, person bigint, note text, at timestamptz)
  PARTITION BY RANGE (id);
CREATE TABLE crm.visits_low PARTITION OF crm.visits FOR VALUES FROM (0) TO (9);
CREATE TABLE crm.visits_high PARTITION OF crm.visits DEFAULT;
CREATE INDEX ON crm.visits (person);
CREATE TABLE crm.items (id bigint PRIMARY KEY, visit bigint, what text);
CREATE TABLE crm.deals (id bigint PRIMARY KEY, seller bigint, buyer bigint, price int);
"""
_PEOPLE = range(1, 9)
_PURPOSES = ("masked", "rows", "contract", "interest", "blind")
_ASKED = (
    "SELECT * FROM people",
    "SELECT id FROM people WHERE email = 'p3@x'",
    "SELECT id, health FROM people WHERE email = 'p***@x' ORDER BY id LIMIT 3",
    "SELECT city, count(email), count(health), max(health) FROM people GROUP BY city",
    "SELECT id FROM people WHERE health LIKE 'h%' OR email < 'p5'",
    "SELECT * FROM visits",
    "SELECT p.id, v.note FROM people p JOIN visits v ON v.person = p.id WHERE p.id < 5",
    "SELECT v.id, p.email FROM visits v LEFT JOIN people p ON p.id = v.person",
    "SELECT id FROM visits WHERE note = 'n2' AND person IN (2, 3)",
    "SELECT * FROM items",
    "SELECT * FROM deals",
    "SELECT id FROM people p WHERE EXISTS (SELECT FROM visits v WHERE v.person = p.id)",
)
_RUNS = int(os.environ.get("IN_TABLE_RUNS", "3"))
_STEPS = 6


@dataclass(frozen=True, slots=True)
class Both:
    """The same database, read in both ways."""

    in_table: Enforcer
    by_ledger: Enforcer
    admin: asyncpg.Connection
    reader: asyncpg.Connection
    ledger: Ledger

    async def answers(self, enforcer: Enforcer, sql: str, purpose: str) -> list[str]:
        (plan,) = enforcer.plan(
            sql, PlanContext(tool="tool", purpose=purpose, search_path=("crm",))
        )
        assert not isinstance(plan, Refused), plan
        is_asked = '"consent"."subject"' in plan.text
        assert enforcer is self.by_ledger or not is_asked or "deals" in sql
        return sorted(map(repr, await self.reader.fetch(plan.text)))

    async def refuse_difference(self) -> int:
        """The number of rows that both had."""
        rows = 0
        for purpose in _PURPOSES:
            for sql in _ASKED:
                answer = await self.answers(self.in_table, sql, purpose)
                assert answer == await self.answers(self.by_ledger, sql, purpose), (sql, purpose)
                rows += len(answer)
        return rows


def _enforcer(policy: Policy, catalog: Catalog) -> Enforcer:
    limits = StatementLimits(statement_bytes=1 << 20, statement_nesting=100)
    return Enforcer(policy, catalog, limits, SettingLimits())


@pytest.fixture
async def both(postgres: EmbeddedPostgres, database: str, tmp_path: Path) -> AsyncIterator[Both]:
    (tmp_path / "policy.yaml").write_text(_POLICY)
    policy = load_policy(tmp_path)
    admin = await asyncpg.connect(database)
    await admin.execute(_TABLES)
    await init(admin, policy)
    catalog = await load_catalog(admin, catalog_schemas(policy))
    without = {name: replace(each, kept=None) for name, each in catalog.relations.items()}
    name = await admin.fetchval("SELECT current_database()")
    reader = await asyncpg.connect(
        postgres.url(name, READER), server_settings={"search_path": "crm"}
    )
    ledger = await Ledger.connect(postgres.url(name, WRITER), None, policy)
    assert catalog.relations[RelationName("crm", "people")].kept is not None
    yield Both(
        _enforcer(policy, catalog),
        _enforcer(policy, replace(catalog, relations=without)),
        admin,
        reader,
        ledger,
    )
    await ledger.close()
    await reader.close()
    await admin.close()


async def _step(both: Both, random: Random) -> None:
    """Something happens to the rows or to the ledger."""
    person = random.choice(_PEOPLE)
    number = random.randrange(18)
    match random.randrange(9):
        case 0 | 1:
            await both.admin.execute(
                "INSERT INTO crm.people VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE"
                " SET health = excluded.health",
                person, f"p{person}@x", f"h{number}", random.choice("ab"),
            )  # fmt: skip
        case 2:
            whose = random.choice((None, person, 90))
            await both.admin.execute(
                "INSERT INTO crm.visits VALUES ($1, $2, $3, now() - $4 * interval '1 day')"
                " ON CONFLICT (id) DO UPDATE SET person = excluded.person",
                number, whose, f"n{number % 4}", random.choice((1, 2, 200)),
            )  # fmt: skip
            await both.admin.execute("INSERT INTO crm.items VALUES ($1, $1, 'w')"
                                     " ON CONFLICT DO NOTHING", number)  # fmt: skip
        case 3:
            await both.admin.execute(
                "INSERT INTO crm.deals VALUES ($1, $2, $3, 7) ON CONFLICT DO NOTHING",
                number, person, random.choice((None, *_PEOPLE)),
            )  # fmt: skip
        case 4:
            await both.admin.execute(
                "UPDATE crm.visits SET person = $1, id = (id + 7) % 18 + 20 WHERE id = $2",
                person, number,
            )  # fmt: skip
        case 5:
            # A grant that has ended, or ends: nobody writes anything then.
            until = random.choice(
                ("-infinity", "infinity", "now() - interval '1 s'", "now() + interval '1 d'")
            )
            value = until if "now" in until else f"'{until}'"
            name = random.choice((*_PURPOSES, *await _sensitive(both)))
            await both.admin.execute(
                f'UPDATE consent.subject SET "{name}" = {value} WHERE subject_id = $1', person
            )
        case _:
            await _record(both, random, person)


async def _sensitive(both: Both) -> list[str]:
    found = await both.admin.fetch(
        "SELECT column_name FROM consent.purpose WHERE category IS NOT NULL ORDER BY 1"
    )
    return [row["column_name"] for row in found]


async def _record(both: Both, random: Random, person: int) -> None:
    state = random.choice((State.GIVEN, State.GIVEN, *State))
    now = datetime.now(UTC)
    at = now - timedelta(days=random.randint(1, 30))
    is_ending = state is State.GIVEN and random.random() < 0.4
    until = now + timedelta(days=random.choice((-0.5, 3))) if is_ending else None
    categories = ("user.health",) if random.random() < 0.5 else ()
    await both.ledger.record(
        ConsentRequest(
            subject=person,
            purpose=random.choice((*_PURPOSES, None)),
            state=state,
            categories=categories,
            at=at if is_ending or random.random() < 0.5 else None,
            until=until,
        )
    )


async def test_both_ways_answer_alike_after_whatever_happened(both: Both) -> None:
    random = Random(20)
    rows = 0
    for _ in range(_RUNS):
        await both.admin.execute("TRUNCATE crm.people, crm.visits, crm.items, crm.deals")
        for _ in range(_STEPS):
            for _ in range(10):
                await _step(both, random)
            rows += await both.refuse_difference()
    assert rows > _RUNS * _STEPS * len(_ASKED)


async def test_a_row_of_a_table_that_took_the_name_shows_nothing(both: Both) -> None:
    """The proxy has not seen yet that it is another; the copies may be of any age."""
    await both.admin.execute(
        "INSERT INTO crm.people VALUES (1, 'p1@x', 'h', 'a');"
        "UPDATE consent.subject SET masked = 'infinity', rows = 'infinity'"
    )
    assert len(await both.answers(both.in_table, "SELECT id FROM people", "rows")) == 1
    await both.admin.execute(
        "CREATE TABLE crm.restored (LIKE crm.people INCLUDING ALL);"
        "INSERT INTO crm.restored SELECT * FROM crm.people;"
        "ALTER TABLE crm.people RENAME TO lost; ALTER TABLE crm.restored RENAME TO people;"
        f"GRANT SELECT ON crm.people TO {READER};"
        "UPDATE consent.subject SET masked = '-infinity', rows = '-infinity'"
    )
    assert await both.answers(both.in_table, "SELECT id FROM people", "rows") == []
    (row,) = await both.answers(both.in_table, "SELECT email FROM people", "masked")
    assert "p***@x" in row


async def test_a_row_of_a_partition_that_was_attached_since_shows_nothing(both: Both) -> None:
    await both.admin.execute(
        "ALTER TABLE crm.visits DETACH PARTITION crm.visits_high;"
        "CREATE TABLE crm.visits_new (LIKE crm.visits);"
        "INSERT INTO crm.visits_new SELECT 50, 1, 'n', now();"
        "UPDATE crm.visits_new SET consent_rows = 'infinity', consent_contract = 'infinity';"
        "ALTER TABLE crm.visits ATTACH PARTITION crm.visits_new FOR VALUES FROM (50) TO (60)"
    )
    assert await both.answers(both.in_table, "SELECT id FROM visits", "rows") == []


async def test_columns_of_consent_do_not_exist_for_a_tool(both: Both) -> None:
    await both.admin.execute("INSERT INTO crm.people VALUES (1, 'p1@x', 'h', 'a')")
    for sql in (
        "SELECT * FROM people",
        "SELECT p FROM people p",
        "SELECT to_json(p) FROM people p",
    ):
        (row,) = await both.answers(both.in_table, sql, "masked")
        assert "consent" not in row
        assert "infinity" not in row
    with pytest.raises(asyncpg.UndefinedColumnError):
        await both.answers(both.in_table, "SELECT consent_masked FROM people", "masked")
    found = await both.answers(
        both.in_table,
        "SELECT attname FROM pg_attribute WHERE attrelid = 'crm.people'::regclass"
        " UNION ALL SELECT column_name FROM information_schema.columns"
        " UNION ALL SELECT tgname FROM pg_trigger",
        "masked",
    )
    assert found
    assert not [each for each in found if "consent" in each]
