"""What a tool finds in pg_catalog and information_schema: what it can see, and nothing hidden."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg
import pytest
import sqlglot
from sqlglot import exp

from proxy.policy.model import RelationName
from proxy.rewrite.catalog_guards import VisibleCatalog, catalog_guard, visible_catalog
from proxy.rewrite.catalog_rules import RULES
from proxy.sql.catalog import Catalog, load_catalog
from tests.catalog.servers import HIDDEN, Customer

STATEMENTS = Path(__file__).parent / "statements.sql"
Columns = Mapping[RelationName, Sequence[str]]


def every_column(catalog: Catalog) -> Columns:
    return {
        name: [column.name for column in relation.columns]
        for name, relation in catalog.relations.items()
    }


def text_of(relation: RelationName, visible: VisibleCatalog) -> str:
    guard = catalog_guard(relation, visible)
    assert guard is not None
    return guard.sql("postgres", comments=False, normalize_functions=False)


def with_guards(statement: str, visible: VisibleCatalog) -> str:
    """The statement with guards in place of the catalog's relations."""
    tree = sqlglot.parse_one(statement, read="postgres")
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        schema = table.db or "pg_catalog"
        relation = RelationName(schema, table.name)
        if not isinstance(table.this, exp.Identifier) or relation not in visible.system_relations:
            assert table.name in ctes or not isinstance(table.this, exp.Identifier), table.sql()
            continue
        guard = catalog_guard(relation, visible)
        assert guard is not None, relation
        alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=False))
        subquery = exp.Subquery(this=guard, alias=alias)
        if table.args.get("joins"):
            subquery.set("joins", table.args["joins"])
        table.replace(subquery)
    for column in tree.find_all(exp.Column):
        column.set("db", None)  # pg_catalog.pg_class.relname
    return tree.sql("postgres", comments=False, normalize_functions=False)


async def rows(connection: asyncpg.Connection, text: str) -> list[str]:
    """Every row as text, in one order."""
    found = await connection.fetch(f"SELECT t::text AS row FROM ({text}) AS t")
    return sorted(row["row"] for row in found)


async def answers(customer: Customer, visible: VisibleCatalog) -> dict[str, list[str]]:
    """The whole visible catalog, relation by relation."""
    shown = [
        relation
        for relation in visible.system_relations
        if catalog_guard(relation, visible) is not None
    ]
    return {
        str(relation): await rows(customer.reader, text_of(relation, visible)) for relation in shown
    }


def statements(oid: int) -> list[str]:
    text = STATEMENTS.read_text(encoding="utf-8").replace(":customers", str(oid))
    return [each.strip() for each in text.split("-- ;;")[1:]]


async def answer(customer: Customer, statement: str, visible: VisibleCatalog) -> list[str]:
    try:
        return await rows(customer.reader, with_guards(statement, visible))
    except (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError) as error:
        # Some tools look at the server's version first and ask newer ones for more.
        return [f"error {error.sqlstate}"]


async def test_a_guard_has_the_columns_and_types_of_its_relation(customer: Customer) -> None:
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(catalog, every_column(catalog))
    for relation, columns in catalog.system_relations.items():
        guard = catalog_guard(relation, visible)
        if guard is None:
            continue
        assert guard.named_selects == [column.name for column in columns]
        # A view can not have a column of a polymorphic type (pg_attribute.attmissingval).
        kept = ", ".join(f'"{each.name}"' for each in columns if each.type.base != "anyarray")
        text = text_of(relation, visible)
        await customer.admin.execute(f"CREATE TEMP VIEW guard AS SELECT {kept} FROM ({text}) g")
        described = await customer.admin.fetch(
            "SELECT attname, atttypid, atttypmod FROM pg_attribute"
            " WHERE attrelid = 'pg_temp.guard'::regclass AND attnum > 0 ORDER BY attnum"
        )
        await customer.admin.execute("DROP VIEW pg_temp.guard")
        assert [tuple(row) for row in described] == [
            (each.name, each.type.oid, each.type.typmod)
            for each in columns
            if each.type.base != "anyarray"
        ], relation


async def test_hidden_things_change_nothing_in_the_visible_catalog(customer: Customer) -> None:
    catalog = await load_catalog(customer.reader, ["crm"])
    columns = every_column(catalog)
    before = await answers(customer, visible_catalog(catalog, columns))
    await customer.admin.execute(HIDDEN)
    await customer.grant()
    catalog = await load_catalog(customer.reader, ["crm"])
    after = await answers(customer, visible_catalog(catalog, columns))
    assert before.keys() == after.keys()
    for relation in before:
        assert before[relation] == after[relation], relation


async def test_hidden_names_are_nowhere_in_the_visible_catalog(customer: Customer) -> None:
    catalog = await load_catalog(customer.reader, ["crm"])
    columns = every_column(catalog)
    await customer.admin.execute(HIDDEN)
    await customer.grant()
    # What follows would be no test if the names were not in the catalog itself.
    assert await rows(customer.admin, "SELECT FROM pg_class WHERE relname ~ 'secret'")
    catalog = await load_catalog(customer.reader, ["crm", "consent"])
    visible = visible_catalog(catalog, columns)
    for relation, found in (await answers(customer, visible)).items():
        assert not [row for row in found if "secret" in row or "consent" in row], relation


async def test_what_tools_ask_is_answered_as_without_the_hidden_things(
    customer: Customer,
) -> None:
    catalog = await load_catalog(customer.reader, ["crm"])
    columns = every_column(catalog)
    customers = catalog.relations[RelationName("crm", "customers")].oid
    asked = statements(customers)
    visible = visible_catalog(catalog, columns)
    before = [await answer(customer, each, visible) for each in asked]
    assert sum(map(bool, before)) > len(asked) // 3
    assert sum("error" in str(each[:1]) for each in before) <= len(asked) // 20
    await customer.admin.execute(HIDDEN)
    await customer.grant()
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(catalog, columns)
    for statement, expected in zip(asked, before, strict=True):
        assert await answer(customer, statement, visible) == expected, statement


FAITHFUL = {
    "pg_class": "oid, relname, relnamespace, reltype, relowner, relam, relhasindex, relkind,"
    " relnatts, relchecks, relispartition, reloptions, pg_get_expr(relpartbound, oid) AS bound",
    "pg_attribute": "attrelid, attname, atttypid, attnum, atttypmod, attnotnull, atthasdef,"
    " attidentity, attgenerated, attcollation",
    "pg_attrdef": "oid, adrelid, adnum, pg_get_expr(adbin, adrelid) AS text",
    "pg_index": "*",
    "pg_constraint": "oid, conname, contype, conrelid, conkey, confkey, confrelid,"
    " pg_get_constraintdef(oid) AS text",
    "pg_type": "oid, typname, typtype, typrelid, typelem, typbasetype",
    "pg_enum": "*",
    "pg_description": "*",
    "pg_inherits": "*",
}


@pytest.mark.parametrize("name", FAITHFUL)
async def test_where_nothing_is_hidden_the_catalog_is_postgresqls_own(
    customer: Customer, name: str
) -> None:
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(catalog, every_column(catalog))
    guard = text_of(RelationName("pg_catalog", name), visible)
    # Sequences, TOAST tables and their indexes are never shown, nor what hangs on them.
    unseen = "SELECT oid FROM pg_class WHERE oid >= 16384 AND (relkind = 'S' OR relnamespace = 99)"
    column = {
        "pg_class": "oid",
        "pg_attribute": "attrelid",
        "pg_attrdef": "adrelid",
        "pg_index": "indexrelid",
        "pg_inherits": "inhrelid",
    }.get(name)
    condition = f"WHERE {column} NOT IN ({unseen})" if column else ""
    if name == "pg_constraint":
        condition = "WHERE contypid = 0 OR oid < 16384"
    if name == "pg_inherits":
        condition += " AND inhrelid NOT IN (SELECT indexrelid FROM pg_index)"
    wanted = await rows(customer.admin, f"SELECT {FAITHFUL[name]} FROM {name} {condition}")
    assert await rows(customer.reader, f"SELECT {FAITHFUL[name]} FROM ({guard}) g") == wanted


async def test_row_counts_and_sizes_are_those_of_tables_never_written(
    customer: Customer,
) -> None:
    await customer.admin.execute(HIDDEN)
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(catalog, every_column(catalog))
    guard = text_of(RelationName("pg_catalog", "pg_class"), visible)
    found = await customer.reader.fetch(
        f"SELECT DISTINCT reltuples, relpages, relallvisible, relfrozenxid::text FROM ({guard}) g"
    )
    assert [tuple(row) for row in found] == [(-1.0, 0, 0, "0")]


@pytest.mark.parametrize(
    "name",
    [
        "pg_stats",
        "pg_stats_ext",
        "pg_statistic",
        "pg_stat_activity",
        "pg_stat_database",
        "pg_stat_user_functions",
        "pg_locks",
        "pg_prepared_statements",
        "pg_cursors",
        "pg_authid",
        "pg_shadow",
        "pg_user_mapping",
        "pg_largeobject",
        "pg_hba_file_rules",
        "pg_config",
        "pg_replication_slots",
    ],
)
async def test_statistics_activity_and_secrets_are_not_shown(customer: Customer, name: str) -> None:
    catalog = await load_catalog(customer.reader, ["crm"])
    relation = RelationName("pg_catalog", name)
    assert relation in catalog.system_relations
    assert catalog_guard(relation, visible_catalog(catalog, every_column(catalog))) is None


async def test_a_relation_that_nobody_wrote_a_rule_for_is_not_shown(customer: Customer) -> None:
    await customer.admin.execute("CREATE VIEW information_schema.mine AS SELECT 1 AS a")
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(catalog, every_column(catalog))
    for relation in (
        RelationName("information_schema", "mine"),
        RelationName("pg_catalog", "nothing"),
        RelationName("crm", "pg_class"),
        RelationName("pg_toast", "pg_toast_1255"),
    ):
        assert catalog_guard(relation, visible) is None


async def test_every_rule_names_columns_that_some_version_has(customer: Customer) -> None:
    version = int(await customer.reader.fetchval("SHOW server_version_num"))
    if version < 180000:
        return  # older ones lack some; the newest has them all
    catalog = await load_catalog(customer.reader, ["crm"])
    for schema, rules in RULES.items():
        for name, rule in rules.items():
            columns = catalog.system_relations[RelationName(schema, name)]
            assert rule.values.keys() <= {column.name for column in columns}, name


async def test_names_with_quotes_and_backslashes_are_matched_as_they_are(
    customer: Customer,
) -> None:
    odd = "o\"d\\d '{,} näme"
    quoted = odd.replace('"', '""')
    await customer.admin.execute(f'CREATE TABLE crm."{quoted}" ("{quoted}" int, hidden int)')
    await customer.grant()
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(catalog, {RelationName("crm", odd): [odd]})
    guard = text_of(RelationName("information_schema", "columns"), visible)
    found = await customer.reader.fetch(
        f"SELECT column_name FROM ({guard}) g WHERE table_schema = 'crm'"
    )
    assert [row["column_name"] for row in found] == [odd]


async def test_no_operator_of_the_search_path_can_stand_in_for_the_guards_own(
    customer: Customer,
) -> None:
    await customer.admin.execute(HIDDEN)
    await customer.admin.execute(
        "CREATE FUNCTION crm.yes(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT true';"
        "CREATE FUNCTION crm.yes(text, text) RETURNS bool LANGUAGE sql AS 'SELECT true';"
        "CREATE OPERATOR crm.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = crm.yes);"
        "CREATE OPERATOR crm.< (LEFTARG = oid, RIGHTARG = oid, FUNCTION = crm.yes);"
        "CREATE OPERATOR crm.= (LEFTARG = text, RIGHTARG = text, FUNCTION = crm.yes);"
        "CREATE DOMAIN crm.oid AS text; CREATE DOMAIN crm.name AS text"
    )
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(catalog, {RelationName("crm", "orders"): ["id"]})
    before = await answers(customer, visible)
    await customer.reader.execute("SET search_path = crm, pg_catalog")
    for relation in ("pg_class", "pg_namespace", "pg_attribute", "pg_tables", "pg_depend"):
        guard = text_of(RelationName("pg_catalog", relation), visible)
        found = await rows(customer.reader, f"SELECT * FROM ({guard}) g")
        assert len(found) == len(before[f"pg_catalog.{relation}"]), relation


@pytest.mark.parametrize(
    ("schema", "name", "column"),
    [
        ("pg_catalog", "pg_attribute", "attname"),
        ("pg_catalog", "pg_indexes", "indexname"),
        ("information_schema", "tables", "table_name"),
        ("information_schema", "columns", "column_name"),
        ("information_schema", "table_constraints", "constraint_name"),
    ],
)
async def test_a_condition_is_not_evaluated_on_rows_that_are_not_shown(
    customer: Customer, schema: str, name: str, column: str
) -> None:
    await customer.admin.execute(HIDDEN)
    await customer.grant()
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(catalog, {RelationName("crm", "orders"): ["id"]})
    guard = text_of(RelationName(schema, name), visible)
    # Divides by zero on what is called secret…
    await customer.reader.execute(
        f"SELECT FROM ({guard}) AS g WHERE 1 / (position('secret' in {column}::text) - 1) = 9"
    )


async def test_a_thousand_relations_make_a_guard_that_postgresql_reads(
    customer: Customer,
) -> None:
    await customer.admin.execute(
        "DO $$ BEGIN FOR i IN 1..1000 LOOP"
        " EXECUTE format('CREATE TABLE crm.many_%s (a int, b int)', i); END LOOP; END $$"
    )
    await customer.grant()
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(catalog, {name: ["a", "id"] for name in catalog.relations})
    for name, expected in (("columns", 1000), ("key_column_usage", 0)):
        guard = text_of(RelationName("information_schema", name), visible)
        found = await customer.reader.fetchval(
            f"SELECT count(*) FROM ({guard}) g WHERE table_name LIKE 'many%'"
        )
        assert found == expected


async def test_no_two_names_can_be_taken_for_a_visible_pair(customer: Customer) -> None:
    # The guards compare names joined by this separator.
    await customer.admin.execute(
        'CREATE TABLE crm."a\x1fb" (c int); CREATE TABLE crm.a ("b\x1fc" int, b int)'
    )
    await customer.grant()
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(
        catalog, {RelationName("crm", "a"): ["b"], RelationName("crm", "a\x1fb"): ["c"]}
    )
    guard = text_of(RelationName("information_schema", "columns"), visible)
    found = await customer.reader.fetch(
        f"SELECT table_name, column_name FROM ({guard}) g WHERE table_schema = 'crm'"
    )
    assert [tuple(row) for row in found] == [("a", "b")]


# Every name tells which columns it belongs to.
TANGLED = """
CREATE TABLE crm.za (
  za1 int PRIMARY KEY,
  za2 int UNIQUE CHECK (za2 > 0),
  za3 text NOT NULL,
  za4 int GENERATED ALWAYS AS (za1 + za2) STORED,
  za5 int[] DEFAULT '{}',
  CONSTRAINT check_za1_za5 CHECK (za1 > cardinality(za5)),
  EXCLUDE USING btree (za3 WITH =, za2 WITH =) WHERE (za1 > 5)
);
ALTER INDEX crm.za_za3_za2_excl RENAME TO excl_za3_za2_za1;
CREATE INDEX index_za2_za3 ON crm.za (za2) INCLUDE (za3);
CREATE INDEX index_za3_za5 ON crm.za (lower(za3)) WHERE za5 IS NOT NULL;
CREATE INDEX index_za1_za2_za3_za4_za5 ON crm.za ((za.* IS NOT NULL));
CREATE TABLE crm.zb (
  zb1 int PRIMARY KEY REFERENCES crm.za (za1),
  zb2 int REFERENCES crm.za (za2),
  zb3 int REFERENCES crm.zb,
  CONSTRAINT check_zb1_zb3 CHECK (zb1 <> zb3)
);
ALTER TABLE crm.zb RENAME CONSTRAINT zb_zb1_fkey TO fkey_zb1_za1;
ALTER TABLE crm.zb RENAME CONSTRAINT zb_zb2_fkey TO fkey_zb2_za2;
ALTER TABLE crm.zb RENAME CONSTRAINT zb_zb3_fkey TO fkey_zb3_zb1;
COMMENT ON COLUMN crm.za.za3 IS 'about za3';
COMMENT ON COLUMN crm.zb.zb2 IS 'about zb2';
COMMENT ON INDEX crm.index_za2_za3 IS 'about za2 za3';
COMMENT ON CONSTRAINT check_zb1_zb3 ON crm.zb IS 'about zb1 zb3';
"""


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_hidden_nothing_that_is_shown_mentions_it(
    customer: Customer, seed: int
) -> None:
    if seed == 0:
        hidden = set()
    else:
        names = [f"za{i}" for i in range(1, 6)] + [f"zb{i}" for i in range(1, 4)]
        hidden = set(random.Random(seed).sample(names, seed + 1))
    await customer.admin.execute(TANGLED)
    await customer.grant()
    catalog = await load_catalog(customer.reader, ["crm"])
    columns = {
        name: [each.name for each in relation.columns if each.name not in hidden]
        for name, relation in catalog.relations.items()
    }
    found = await answers(customer, visible_catalog(catalog, columns))
    everything = "\n".join(row for answer in found.values() for row in answer)
    for name in sorted(hidden):
        assert name not in everything
    # What mentions only visible columns is there.
    shown = {"index_za2_za3", "check_za1_za5", "fkey_zb2_za2", "fkey_zb3_zb1", "excl_za3_za2_za1"}
    for name in shown:
        if not any(each in name for each in hidden):
            assert name in everything, name


async def test_what_is_written_into_tables_changes_nothing_in_the_catalog(
    customer: Customer,
) -> None:
    catalog = await load_catalog(customer.reader, ["crm"])
    visible = visible_catalog(catalog, every_column(catalog))
    before = await answers(customer, visible)
    for statement in (
        "INSERT INTO crm.customers (id, full_name) SELECT i, 'A B' FROM generate_series(1, 2000) i",
        "INSERT INTO crm.orders (customer_id, ordered_at) SELECT id, now() FROM crm.customers",
        "INSERT INTO crm.visits VALUES (1, '2026-05-05')",
        "REFRESH MATERIALIZED VIEW crm.monthly",
        "DELETE FROM crm.orders WHERE id < 1000",
        "VACUUM ANALYZE",
        "VACUUM FULL crm.customers",
        "REINDEX TABLE crm.orders",
        "TRUNCATE crm.visits",
        "ANALYZE",
    ):
        await customer.admin.execute(statement)
    after = await answers(customer, visible)
    for relation in before:
        assert before[relation] == after[relation], relation
