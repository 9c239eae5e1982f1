"""A policy held against a database: what is wrong is told, what is unsure is out of service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.policy.check import check_against, out_of_service
from proxy.policy.model import Policy, RelationName
from proxy.policy.problem import errors_of
from proxy.sql.catalog import Catalog

Load = Callable[..., Policy]
CatalogOf = Callable[[Policy, str], Awaitable[Catalog]]

DEALERSHIP_TABLES = """
CREATE SCHEMA crm; CREATE SCHEMA web; CREATE SCHEMA sales; CREATE SCHEMA ref;
CREATE TABLE crm.customers (id bigint PRIMARY KEY, full_name text, email varchar(254),
  phone varchar(64), birth_date date, postal_code varchar(10), expecting_score double precision,
  created_at timestamptz);
CREATE TABLE crm.vehicles (id bigint PRIMARY KEY, customer_id bigint, vin varchar(17), model text,
  registered_on date, mileage_km integer);
CREATE TABLE crm.service_visits (id bigint PRIMARY KEY, vehicle_id bigint, dealer_id integer,
  visited_at timestamptz, work text, cost numeric(10,2));
CREATE TABLE crm.chat_transcripts (id bigint PRIMARY KEY, customer_id bigint,
  started_at timestamptz, transcript text, sentiment real, source text);
CREATE TABLE crm.scores (customer_id bigint PRIMARY KEY, churn_risk real, life_event text,
  lifetime_value numeric(12,2), computed_at timestamptz);
CREATE TABLE web.page_views (id bigint PRIMARY KEY, customer_id bigint, url text, ip inet,
  source text, viewed_at timestamptz);
CREATE TABLE sales.orders (id bigint PRIMARY KEY, customer_id bigint, total numeric(12,2),
  ordered_at timestamptz);
CREATE TABLE sales.order_items (id bigint PRIMARY KEY, order_id bigint, sku text, quantity integer,
  price numeric(10,2));
CREATE TABLE ref.dealers (id integer PRIMARY KEY, name text, city text);
"""

POLICY = """
policy: small
version: 1
purposes:
  campaign: {basis: consent, reads: [user.name, user.birth: age_band(10)]}
subject: {key: crm.people.id}
tables:
  crm.people:
    subject: id
    columns:
      id: open
      name: {category: user.name, mask: initial}
      birth: {category: user.birth, mask: year}
  crm.visits:
    subject: {via: [car_id, crm.cars.id]}
    source: {column: source, allow: [form]}
    keep: {column: at, for: 90d}
    columns: {id: open}
  crm.cars: {subject: owner, columns: {id: open}}
  crm.shops: open
tools:
  mailer: {purposes: [campaign]}
"""

TABLES = {
    "people": "id bigint PRIMARY KEY, name text, birth date",
    "visits": "id bigint, car_id bigint, source text, at timestamptz",
    "cars": "id bigint UNIQUE, owner bigint",
    "shops": "id bigint, name text",
}


def _script(before: str = "", after: str = "", **tables: str) -> str:
    changed = {**TABLES, **tables}
    created = "".join(f"CREATE TABLE crm.{name} ({columns});" for name, columns in changed.items())
    return f"CREATE SCHEMA crm; {before}; {created} {after}"


async def test_the_dealerships_policy_fits_the_dealerships_tables(
    dealership: Policy, catalog_of: CatalogOf
) -> None:
    catalog = await catalog_of(dealership, DEALERSHIP_TABLES)
    assert errors_of(check_against(dealership, catalog)) == ()
    assert out_of_service(dealership, catalog) == {}


async def test_a_policy_that_fits_has_no_errors(load: Load, catalog_of: CatalogOf) -> None:
    policy = load(POLICY)
    catalog = await catalog_of(policy, _script())
    assert errors_of(check_against(policy, catalog)) == ()
    assert out_of_service(policy, catalog) == {}


MISFITS = {
    "a table that is not there": (
        {"after": "ALTER TABLE crm.shops RENAME TO stores"},
        "tables.crm.shops",
        "no such table",
        {"shops"},
    ),
    "a column that is not there does no harm": (
        {"people": "id bigint PRIMARY KEY, names text, birth date"},
        "tables.crm.people.columns.name",
        "did you mean names?",
        set(),
    ),
    "a mask for another type": (
        {"people": "id bigint PRIMARY KEY, name integer, birth date"},
        "tables.crm.people.columns.name",
        "initial",
        {"people"},
    ),
    "a mask of a purpose for another type": (
        {"people": "id bigint PRIMARY KEY, name text, birth timestamptz"},
        "purposes.campaign.reads.user.birth",
        "age_band(10)",
        {"people"},
    ),
    "a domain": (
        {
            "before": "CREATE DOMAIN crm.nom AS text",
            "people": "id bigint PRIMARY KEY, name crm.nom",
        },
        "tables.crm.people.columns.name",
        "leave the column out",
        {"people"},
    ),
    "a composite type in an open table": (
        {"before": "CREATE TYPE crm.pair AS (a int, b int)", "shops": "id bigint, name crm.pair"},
        "tables.crm.shops.columns.name",
        "instead of `open`",
        {"shops"},
    ),
    "a range of the users' own": (
        {"before": "CREATE TYPE crm.span AS RANGE (subtype = int4)", "shops": "id crm.span"},
        "tables.crm.shops.columns.id",
        "not one of PostgreSQL's own",
        {"shops"},
    ),
    "an array of an enum": (
        {"before": "CREATE TYPE crm.mood AS ENUM ('a')", "shops": "id crm.mood[]"},
        "tables.crm.shops.columns.id",
        "not one of PostgreSQL's own",
        {"shops"},
    ),
    "a key that is not unique": (
        {"people": "id bigint, name text, birth date"},
        "subject.key",
        "unique index",
        {"people", "visits", "cars"},
    ),
    "a key that is unique only together with another column": (
        {"people": "id bigint, name text, birth date, UNIQUE (id, name)"},
        "subject.key",
        "unique index",
        {"people", "visits", "cars"},
    ),
    "a key of a type that has no identity": (
        {
            "people": "id double precision PRIMARY KEY, name text, birth date",
            "cars": "id bigint UNIQUE, owner double precision",
        },
        "subject.key",
        "expected a column of type",
        {"people", "visits", "cars"},
    ),
    "a hop over a column that is not unique": (
        {"cars": "id bigint, owner bigint"},
        "tables.crm.visits.subject",
        "unique index",
        {"visits"},
    ),
    "a hop over an index of only some rows": (
        {
            "cars": "id bigint, owner bigint",
            "after": "CREATE UNIQUE INDEX ON crm.cars (id) WHERE owner > 0",
        },
        "tables.crm.visits.subject",
        "unique index",
        {"visits"},
    ),
    "a hop between types": (
        {"visits": "id bigint, car_id numeric, source text, at timestamptz"},
        "tables.crm.visits.subject",
        "the same type",
        {"visits"},
    ),
    "a subject of another type than the key": (
        {"cars": "id bigint UNIQUE, owner text"},
        "tables.crm.cars.subject",
        "the same type",
        {"cars", "visits"},
    ),
    "a subject that is not there": (
        {"cars": "id bigint UNIQUE, holder bigint"},
        "tables.crm.cars.subject",
        "no column owner",
        {"cars", "visits"},
    ),
    "a source that is no text": (
        {"visits": "id bigint, car_id bigint, source integer, at timestamptz"},
        "tables.crm.visits.source.column",
        "column of text",
        {"visits"},
    ),
    "an age without a zone": (
        {"visits": "id bigint, car_id bigint, source text, at timestamp"},
        "tables.crm.visits.keep.column",
        "zone: Europe/Madrid",
        {"visits"},
    ),
    "an age that is a number": (
        {"visits": "id bigint, car_id bigint, source text, at integer"},
        "tables.crm.visits.keep.column",
        "expected a timestamptz",
        {"visits"},
    ),
    "an age that is not there": (
        {"visits": "id bigint, car_id bigint, source text"},
        "tables.crm.visits.keep.column",
        "no column at",
        {"visits"},
    ),
}


@pytest.mark.parametrize(
    ("changes", "key", "message", "broken"), MISFITS.values(), ids=MISFITS.keys()
)
async def test_what_does_not_fit_the_database_is_told_and_out_of_service(
    load: Load,
    catalog_of: CatalogOf,
    changes: dict[str, str],
    key: str,
    message: str,
    broken: set[str],
) -> None:
    policy = load(POLICY)
    catalog = await catalog_of(policy, _script(**changes))
    errors = errors_of(check_against(policy, catalog))
    matching = [error for error in errors if error.key == key and message in error.message]
    assert matching, "\n".join(map(str, errors))
    assert matching[0].line > 0
    assert Path(matching[0].file).name == "policy.yaml"
    assert set(out_of_service(policy, catalog)) == {RelationName("crm", name) for name in broken}


async def test_a_timestamp_with_a_zone_beside_it_has_an_age(
    load: Load, catalog_of: CatalogOf
) -> None:
    policy = load(POLICY.replace("for: 90d", "for: 90d, zone: Europe/Madrid"))
    for column_type in ("timestamp", "date"):
        columns = f"id bigint, car_id bigint, source text, at {column_type}"
        catalog = await catalog_of(policy, _script(visits=columns))
        assert errors_of(check_against(policy, catalog)) == ()
    catalog = await catalog_of(policy, _script())
    (error,) = errors_of(check_against(policy, catalog))
    assert "needs no zone" in error.message


async def test_enums_and_views_are_columns_and_tables_as_others(
    load: Load, catalog_of: CatalogOf
) -> None:
    policy = load(POLICY)
    script = _script(
        before="CREATE TYPE crm.mood AS ENUM ('a')",
        shops="id crm.mood",
        after="ALTER TABLE crm.shops RENAME TO s; CREATE VIEW crm.shops AS SELECT * FROM crm.s",
    )
    assert errors_of(check_against(policy, await catalog_of(policy, script))) == ()


async def test_a_type_nobody_listed_does_no_harm(load: Load, catalog_of: CatalogOf) -> None:
    policy = load(POLICY)
    script = _script(
        before="CREATE TYPE crm.pair AS (a int, b int)",
        cars="id bigint UNIQUE, owner bigint, extra crm.pair",
    )
    assert errors_of(check_against(policy, await catalog_of(policy, script))) == ()


async def test_the_keys_table_need_not_be_shown_to_anybody(
    load: Load, catalog_of: CatalogOf
) -> None:
    policy = load(POLICY.replace("key: crm.people.id", "key: hidden.people.id"))
    script = _script(
        after="CREATE SCHEMA hidden; CREATE TABLE hidden.people (id bigint PRIMARY KEY)"
    )
    assert errors_of(check_against(policy, await catalog_of(policy, script))) == ()


async def test_keys_of_integers_of_any_size_and_of_text_or_varchar_are_alike(
    load: Load, catalog_of: CatalogOf
) -> None:
    policy = load(POLICY)
    catalog = await catalog_of(
        policy, _script(visits="id bigint, car_id integer, source text, at timestamptz")
    )
    assert not errors_of(check_against(policy, catalog))
    assert not out_of_service(policy, catalog)


VIEW_POLICY = """
policy: views
version: 1
purposes:
  campaign: {basis: consent, reads: [user.score]}
subject: {key: crm.people.id}
tables:
  crm.people: {subject: id, columns: {id: open}}
  crm.seen:
    subject: id
    columns: {id: open, score: {category: user.score, mask: MASK}}
tools:
  mailer: {purposes: [campaign]}
"""
PEOPLE = "CREATE SCHEMA crm; CREATE TABLE crm.people (id bigint PRIMARY KEY, a int, b int);"


@pytest.mark.parametrize(
    ("definition", "is_stored"),
    [
        ("CREATE VIEW crm.seen AS SELECT id, a AS score FROM crm.people", True),
        ("CREATE VIEW crm.seen AS SELECT p.id, q.b AS score FROM crm.people p"
         " JOIN crm.people q USING (id)", True),
        ("CREATE VIEW crm.seen AS SELECT id, a AS score FROM crm.people"
         " UNION ALL SELECT id, b FROM crm.people", True),
        ("CREATE SCHEMA own; CREATE VIEW own.v AS SELECT id AS i, a AS s FROM crm.people;"
         "CREATE VIEW crm.seen AS SELECT i AS id, s AS score FROM own.v", True),
        ("CREATE MATERIALIZED VIEW crm.seen AS SELECT id, 1 / a AS score FROM crm.people", True),
        ("CREATE VIEW crm.seen AS SELECT id, 100 / a AS score FROM crm.people", False),
        ("CREATE VIEW crm.seen AS SELECT id, a AS score FROM crm.people"
         " UNION ALL SELECT id, 1 / b FROM crm.people", False),
        ("CREATE VIEW crm.seen AS SELECT id, s AS score FROM"
         " (SELECT id, 1 / a AS s FROM crm.people) AS x", False),
        ("CREATE SCHEMA own; CREATE VIEW own.v AS SELECT id AS i, 1 / a AS s FROM crm.people;"
         "CREATE VIEW crm.seen AS SELECT i AS id, s AS score FROM own.v", False),
        ("CREATE VIEW crm.seen AS WITH people AS (SELECT id, 1 / a AS score FROM crm.people)"
         " SELECT id, score FROM people", False),
        ("CREATE TABLE crm.seen (id bigint, a int, score int GENERATED ALWAYS AS (1 / a) VIRTUAL)",
         False),
    ],
)  # fmt: skip
async def test_a_mask_that_reads_its_value_is_refused_on_a_column_that_is_computed(
    load: Load, catalog_of: CatalogOf, definition: str, is_stored: bool
) -> None:
    for mask, may_fail in (("bucket(10)", not is_stored), ("redact", False), ('"null"', False)):
        policy = load(VIEW_POLICY.replace("MASK", mask))
        catalog = await catalog_of(policy, PEOPLE + definition)
        told = [each.message for each in errors_of(check_against(policy, catalog))]
        assert any("is computed when it is read" in each for each in told) == may_fail
        assert (RelationName("crm", "seen") in out_of_service(policy, catalog)) == may_fail
