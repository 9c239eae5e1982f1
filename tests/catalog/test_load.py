"""The catalog holds what the database has, read with the rights of the proxy's own role."""

from __future__ import annotations

import pytest

from proxy.policy.model import RelationName
from proxy.sql.catalog import Catalog, catalog_fingerprint, load_catalog
from tests.catalog.servers import HIDDEN, Customer

CUSTOMERS = RelationName("crm", "customers")


async def load(customer: Customer, *schemas: str) -> Catalog:
    return await load_catalog(customer.reader, schemas or ("crm",))


async def test_relations_of_the_schemas_are_read_with_their_kinds(customer: Customer) -> None:
    catalog = await load(customer)
    kinds = {str(name): relation.kind for name, relation in catalog.relations.items()}
    assert kinds == {
        "crm.customers": "r",
        "crm.orders": "r",
        "crm.order_totals": "v",
        "crm.monthly": "m",
        "crm.visits": "p",
        "crm.visits_2026": "r",
    }
    assert catalog.database == await customer.admin.fetchval("SELECT current_database()")
    assert catalog.server_version // 10000 in (15, 18)


async def test_columns_have_their_exact_types(customer: Customer) -> None:
    relation = (await load(customer)).relations[CUSTOMERS]
    types = {column.name: column.type for column in relation.columns}
    assert [column.attnum for column in relation.columns] == list(range(1, 9))
    assert {name: each.sql for name, each in types.items()} == {
        "id": "bigint",
        "full_name": "text",
        "email": "character varying(254)",
        "postcode": "crm.postcode",
        "preferred": "crm.channel",
        "tags": "text[]",
        "first_name": "text",
        "created_at": "timestamp with time zone",
    }
    assert (types["email"].base, types["email"].max_length) == ("varchar", 254)
    assert (types["id"].base, types["id"].category, types["id"].max_length) == ("int8", "N", None)
    assert (types["preferred"].schema, types["preferred"].base) == ("crm", "channel")
    assert (types["preferred"].kind, types["postcode"].kind) == ("e", "d")
    assert (types["tags"].base, types["tags"].category) == ("_text", "A")


async def test_types_are_qualified_whatever_the_search_path_is(customer: Customer) -> None:
    await customer.reader.execute("SET search_path = crm")
    catalog = await load(customer)
    column = catalog.relations[CUSTOMERS].column("preferred")
    assert column is not None
    assert column.type.sql == "crm.channel"
    assert await customer.reader.fetchval("SHOW search_path") == "crm"


async def test_dropped_columns_are_left_out(customer: Customer) -> None:
    await customer.admin.execute("ALTER TABLE crm.customers DROP postcode")
    relation = (await load(customer)).relations[CUSTOMERS]
    assert relation.column("postcode") is None
    assert [column.attnum for column in relation.columns] == [1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("statement", "is_key"),
    [
        ("CREATE UNIQUE INDEX ON crm.k (a)", True),
        ("CREATE UNIQUE INDEX ON crm.k (a) INCLUDE (b)", True),
        ("CREATE INDEX ON crm.k (a)", False),
        ("CREATE UNIQUE INDEX ON crm.k (a) WHERE b > 0", False),
        ("CREATE UNIQUE INDEX ON crm.k (abs(a))", False),
        ("ALTER TABLE crm.k ADD UNIQUE (a) DEFERRABLE", False),
        ("CREATE UNIQUE INDEX ON crm.k (a); CREATE TABLE crm.k2 () INHERITS (crm.k)", False),
    ],
)
async def test_a_unique_key_is_what_no_two_rows_can_share(
    customer: Customer, statement: str, is_key: bool
) -> None:
    await customer.admin.execute("CREATE TABLE crm.k (a int, b int)")
    await customer.admin.execute(statement)
    keys = (await load(customer)).relations[RelationName("crm", "k")].unique_keys
    assert keys == ({("a",)} if is_key else frozenset())


async def test_an_index_under_another_collation_is_no_unique_key(customer: Customer) -> None:
    await customer.admin.execute(
        "CREATE TABLE crm.k (a text, b text);"
        'CREATE UNIQUE INDEX ON crm.k (a COLLATE "C"); CREATE UNIQUE INDEX ON crm.k (b)'
    )
    keys = (await load(customer)).relations[RelationName("crm", "k")].unique_keys
    assert keys == {("b",)}


async def test_a_key_of_several_columns_keeps_their_order(customer: Customer) -> None:
    await customer.admin.execute("CREATE TABLE crm.k (a int, b int, PRIMARY KEY (b, a))")
    keys = (await load(customer)).relations[RelationName("crm", "k")].unique_keys
    assert keys == {("b", "a")}


async def test_enums_of_the_schemas_can_be_named(customer: Customer) -> None:
    await customer.admin.execute("CREATE TYPE public.mood AS ENUM ('good')")
    assert (await load(customer)).enums == {"crm.channel": "crm.channel"}


async def test_a_user_function_is_a_shadow_whatever_this_server_has_built_in(
    customer: Customer,
) -> None:
    await customer.admin.execute(
        "CREATE FUNCTION crm.lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1';"
        "CREATE FUNCTION crm.upper(crm.channel) RETURNS text LANGUAGE sql AS 'SELECT $1::text';"
        "CREATE FUNCTION crm.harmless(int) RETURNS int LANGUAGE sql AS 'SELECT $1';"
        "CREATE FUNCTION public.md5(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1'"
    )
    assert (await load(customer)).shadowed_functions == {"lower", "upper", "harmless"}


async def test_a_user_operator_is_a_shadow_whatever_this_server_has_built_in(
    customer: Customer,
) -> None:
    await customer.admin.execute(
        "CREATE FUNCTION crm.same(varchar, int) RETURNS bool LANGUAGE sql AS 'SELECT true';"
        "CREATE OPERATOR crm.= (LEFTARG = varchar, RIGHTARG = int, FUNCTION = crm.same);"
        "CREATE OPERATOR crm.=<< (LEFTARG = varchar, RIGHTARG = int, FUNCTION = crm.same)"
    )
    assert (await load(customer)).shadowed_operators == {"=", "=<<"}


async def test_types_with_two_meanings_are_shadowed(customer: Customer) -> None:
    await customer.admin.execute(
        "CREATE TYPE public.channel AS ENUM ('x'); CREATE TABLE crm.date (id int)"
    )
    assert (await load(customer)).shadowed_types == {"date", "_date"}
    assert "channel" in (await load(customer, "crm", "public")).shadowed_types


async def test_functions_that_column_notation_reaches_are_known(customer: Customer) -> None:
    await customer.admin.execute(
        "CREATE FUNCTION crm.peek(anyelement) RETURNS text LANGUAGE sql AS $$SELECT 'x'$$;"
        "CREATE FUNCTION crm.whole(crm.customers) RETURNS text LANGUAGE sql AS $$SELECT 'x'$$;"
        "CREATE FUNCTION crm.plain(int) RETURNS int LANGUAGE sql AS 'SELECT $1'"
    )
    catalog = await load(customer)
    assert {"peek", "whole", "pg_column_size"} <= catalog.row_functions
    assert "plain" not in catalog.row_functions
    assert {"peek", "whole", "plain", "ts_stat", "nextval", "xid"} <= catalog.dotted_functions
    assert "customers" not in catalog.dotted_functions


async def test_only_leakproof_operators_of_exact_types_are_told(customer: Customer) -> None:
    leakproof = (await load(customer)).leakproof_operators
    int8, text, numeric, jsonb = 20, 25, 1700, 3802
    assert {("=", int8, int8), ("<", int8, int8), ("=", text, text)} <= leakproof
    assert not any(numeric in each[1:] or jsonb in each[1:] for each in leakproof)


async def test_a_schema_that_is_missing_has_no_relations(customer: Customer) -> None:
    assert (await load(customer, "nowhere")).relations == {}


async def test_the_same_database_gives_the_same_revision_and_ddl_another(
    customer: Customer,
) -> None:
    first, again = await load(customer), await load(customer)
    assert first == again
    assert len(first.revision) == 64
    await customer.admin.execute("DROP VIEW crm.order_totals")
    assert (await load(customer)).revision != first.revision


async def test_what_hangs_on_relations_is_part_of_the_revision(customer: Customer) -> None:
    await customer.admin.execute(HIDDEN)
    first = await load(customer)
    await customer.admin.execute("ALTER INDEX crm.secret_index RENAME TO secret_index_2")
    assert (await load(customer)).revision != first.revision


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE crm.orders ADD note text",
        "ALTER TABLE crm.orders DROP customer_id CASCADE",
        "ALTER TABLE crm.orders RENAME amount TO total",
        "ALTER TABLE crm.visits ALTER id TYPE numeric(14,2)",
        "ALTER TABLE crm.orders RENAME TO sales",
        "DROP VIEW crm.order_totals",
        "CREATE TABLE crm.more (id int)",
        "CREATE UNIQUE INDEX ON crm.orders (customer_id)",
        "DROP INDEX crm.orders_by_day",
        "ALTER TABLE crm.customers DROP CONSTRAINT email_has_at",
        "ALTER TABLE crm.customers ALTER created_at SET DEFAULT now() + interval '1 h'",
        "CREATE FUNCTION crm.lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1'",
        "CREATE TYPE crm.mood AS ENUM ('good')",
        "ALTER SCHEMA crm RENAME TO crm2",
        "ALTER TABLE crm.visits DETACH PARTITION crm.visits_2026",
    ],
)
async def test_ddl_changes_the_fingerprint(customer: Customer, statement: str) -> None:
    before = await catalog_fingerprint(customer.reader, ["crm"])
    await customer.admin.execute(statement)
    assert await catalog_fingerprint(customer.reader, ["crm"]) != before


async def test_work_that_is_no_ddl_leaves_fingerprint_and_revision_alone(
    customer: Customer,
) -> None:
    fingerprint = await catalog_fingerprint(customer.reader, ["crm"])
    catalog = await load(customer)
    await customer.admin.execute(
        "INSERT INTO crm.customers (id, full_name) SELECT i, 'A B' FROM generate_series(1, 99) i"
    )
    await customer.admin.execute("ANALYZE crm.customers")
    await customer.admin.execute("VACUUM crm.customers")
    await customer.admin.execute("CREATE TEMP TABLE scratch (id int)")
    await customer.admin.execute("CREATE TABLE public.elsewhere (id int)")
    assert await catalog_fingerprint(customer.reader, ["crm"]) == fingerprint
    assert (await load(customer)).revision == catalog.revision
