"""Asked for a thing by its object id, the catalog's functions tell of what the tool can see."""

from __future__ import annotations

import asyncpg
import pytest

from proxy.rewrite.catalog_calls import confined_calls, in_order
from proxy.rewrite.catalog_guards import VisibleCatalog, visible_catalog
from proxy.rewrite.check import check
from proxy.rewrite.splice import splice
from proxy.sql.catalog import load_catalog
from proxy.sql.catalog_functions import Things, catalog_call, is_catalog_call, named_call_of
from proxy.sql.conversions import CONVERTING, NEVER_NAMES
from proxy.sql.functions import is_function_allowed
from proxy.sql.grammar import parse
from proxy.sql.implied import ACL_FUNCTIONS, POLYMORPHIC, REG_FUNCTIONS, REG_OUTPUTS
from proxy.sql.named import ACL_TYPE_OIDS, REG_TYPE_OIDS, REG_TYPES
from tests.catalog.servers import HIDDEN, Customer
from tests.catalog.test_guards import every_column

# More than was there; only what the tool could see before is visible.
CONSTANTS = """
ALTER TABLE crm.customers ADD CONSTRAINT secret_constant CHECK (secret_code <> 'secret person');
CREATE VIEW crm.secret_filter AS SELECT id FROM crm.customers WHERE secret_code = 'secret person';
COMMENT ON CONSTRAINT secret_constant ON crm.customers IS 'secret remark';
"""
# From the schema's own, the first, to the newest.
EVERY_ID = (
    "generate_series('crm'::regnamespace::oid::int8,"
    " (SELECT max(oid)::int8 FROM pg_class) + 100) AS i(id)"
)
BY_ID = [
    "pg_get_constraintdef(id::oid, true)",
    "pg_get_indexdef(id::oid)",
    "pg_get_indexdef(id::oid, 1, true)",
    "pg_get_viewdef(id::oid)",
    "pg_get_viewdef(id::oid, true)",
    "pg_get_ruledef(id::oid)",
    "pg_get_triggerdef(id::oid)",
    "pg_get_functiondef(id::oid)",
    "pg_get_function_arguments(id::oid)",
    "pg_get_partkeydef(id::oid)",
    "pg_get_statisticsobjdef_columns(id::oid)::text",
    "format_type(id::oid, NULL)",
    "obj_description(id::oid)",
    "obj_description(id::oid, 'pg_class')",
    "obj_description(id::oid, 'pg_constraint')",
    "col_description(id::oid, n)",
    "pg_describe_object(2606, id::oid, 0)",
    "pg_describe_object(1259, id::oid, n)",
    "obj_description((SELECT max(x) FROM (VALUES (id::oid)) AS t(x)), 'pg_class')",
]


async def visible_of(customer: Customer) -> VisibleCatalog:
    """What the tool sees; afterwards much more is there."""
    catalog = await load_catalog(customer.reader, ["crm"])
    columns = every_column(catalog)
    await customer.admin.execute(HIDDEN)
    await customer.admin.execute(CONSTANTS)
    await customer.grant()
    return visible_catalog(await load_catalog(customer.reader, ["crm"]), columns)


def confined(text: str, visible: VisibleCatalog) -> str:
    """The statement as it is sent, with its calls confined."""
    (statement,) = parse(text)
    canonical = statement.canonical
    calls = confined_calls(statement.node, canonical, visible, ["crm"], {})
    final = splice(
        canonical, [], [], [], [], in_order([edit for call in calls for edit in call.edits])
    )
    for call in reversed(calls):
        call.expect()
    check(final, {"SelectStmt": statement.node})
    return final


async def told(customer: Customer, text: str) -> list[str]:
    try:
        rows = await customer.reader.fetch(text)
    except asyncpg.UndefinedFunctionError:
        return []  # not in this version
    return [row[0] for row in rows if row[0] is not None]


async def test_trying_every_object_id_finds_nothing_hidden(customer: Customer) -> None:
    visible = await visible_of(customer)
    leaked = 0
    for call in BY_ID:
        text = f"SELECT DISTINCT {call} FROM {EVERY_ID} CROSS JOIN generate_series(0, 12) AS n"
        leaked += any("secret" in each for each in await told(customer, text))
        found = await told(customer, confined(text, visible))
        assert not [each for each in found if "secret" in each], call
    assert leaked >= 8  # the same without us


async def test_what_is_visible_is_told_as_postgresql_tells_it(customer: Customer) -> None:
    visible = await visible_of(customer)
    for text in (
        "SELECT pg_get_constraintdef(oid, true) FROM pg_constraint WHERE conname = 'email_has_at'",
        "SELECT pg_get_viewdef('crm.order_totals')",
        "SELECT pg_get_viewdef('crm.monthly'::regclass, true)",
        "SELECT pg_get_indexdef('crm.orders_by_day'::regclass)",
        "SELECT col_description('crm.customers'::regclass, 3)",
        "SELECT obj_description('crm.customers'::regclass, 'pg_class')",
        "SELECT pg_get_functiondef('lower(text)'::regprocedure)",
        "SELECT format_type('crm.channel'::regtype, NULL)",
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'customers'",
        "SELECT relid::text FROM pg_partition_ancestors('crm.visits_2026') AS a(relid)",
    ):
        expected = await told(customer, text)
        assert expected
        assert await told(customer, confined(text, visible)) == expected, text


async def test_sizes_are_nobodys(customer: Customer) -> None:
    visible = await visible_of(customer)
    for call in (
        "pg_table_size('crm.customers')",
        "pg_relation_size('crm.customers', 'main')",
        "pg_total_relation_size('crm.customers'::regclass)",
        "pg_indexes_size('crm.customers')",
        "pg_database_size(current_database())",
        "pg_stat_get_numscans('crm.customers'::regclass)",
        "pg_stat_get_live_tuples('crm.customers'::regclass)",
    ):
        assert await told(customer, f"SELECT {call}::text")
        assert await told(customer, confined(f"SELECT {call}::text", visible)) == []


@pytest.mark.parametrize("name", ["app.token", "data_directory", "consent.purpose", "nothing"])
async def test_no_value_names_a_setting_that_is_not_shown(customer: Customer, name: str) -> None:
    visible = await visible_of(customer)
    await customer.admin.execute("ALTER ROLE catalog_reader SET app.token = 'secret'")
    text = confined("SELECT current_setting($1, true)", visible)
    assert await customer.reader.fetchval(text, name) is None
    assert await customer.reader.fetchval(text, "SERVER_version_num")
    await customer.admin.execute("ALTER ROLE catalog_reader RESET app.token")


# Functions on the lists with an argument that could be the id or the name of a thing, and why it is
# none.
UNCONFINED = {
    "enum_first": "a value of an enum that the tool has",
    "enum_last": "a value of an enum that the tool has",
    "enum_range": "a value of an enum that the tool has",
    **dict.fromkeys(("bpchar", "int8", "text", "varchar"), "turns a name or an oid into a value"),
    **dict.fromkeys(("convert", "convert_from", "convert_to", "to_ascii"), "an encoding"),
    **dict.fromkeys(("like", "notlike"), "compares names"),
    "length": "an encoding",
    "name": "turns text into a name",
    "nameconcatoid": "computes on its arguments",
    "oid": "turns a number into an oid",
    "pg_char_to_encoding": "an encoding",
    "pg_describe_object": "a catalog of PostgreSQL's; the object in it is looked at",
    "pg_indexam_has_property": "an access method, and all that are shown are built in",
    "pg_is_other_temp_schema": "true for no schema that a tool can see the id of",
    "pg_options_to_table": "computes on its arguments",
    "shobj_description": "a catalog of PostgreSQL's; the object in it is looked at",
}
OF_THINGS = """
SELECT DISTINCT p.proname::text AS name, (a.number - 1)::int AS at, p.pronargs::int AS most,
       (p.pronargs - p.pronargdefaults)::int AS least, t.typname::text AS type
  FROM pg_proc p, unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, number)
  JOIN pg_type t ON t.oid = a.type
 WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384
   AND p.prokind IN ('f', 'w')
   AND (t.typname IN ('oid', 'oidvector', '_oid', 'name') OR p.proname ~ '^to_reg'
        OR (p.proname ~ '^has_.*_privilege$' AND t.typname = 'text' AND a.number < p.pronargs)
        OR t.oid IN (SELECT casttarget FROM pg_cast
                      WHERE castsource = 'oid'::regtype AND castmethod = 'b'
                        AND casttarget <> 'int4'::regtype))
 ORDER BY 1, 2
"""


async def test_every_argument_that_could_name_a_thing_is_looked_at(customer: Customer) -> None:
    """Derived from the server: a function that a new version brings fails here."""
    unhandled = []
    for row in await customer.reader.fetch(OF_THINGS):
        for count in range(row["least"], row["most"] + 1):
            name, at = row["name"], row["at"]
            allowed = is_function_allowed(None, name, count) or is_catalog_call(name, count)
            if (
                allowed
                and at < count
                and name not in UNCONFINED
                and not is_handled(name, count, at)
            ):
                unhandled.append((name, count, at, row["type"]))
    assert not unhandled, str(unhandled)


def is_handled(name: str, count: int, at: int) -> bool:
    call, named = catalog_call(name, count), named_call_of([name], count)
    if call is not None:
        is_pair = call.things in (Things.COLUMNS, Things.OBJECTS)
        return at == call.at or (is_pair and at in (0, 1))
    return named is not None and (at in named.arguments or at == named.column)


async def test_every_type_of_names_is_known(customer: Customer) -> None:
    """A type that an oid is, without a conversion: its values are written as names."""
    rows = await customer.reader.fetch(
        "SELECT t.typname::text AS name, t.oid::int8 AS oid, t.typarray::int8 AS list"
        "  FROM pg_cast c JOIN pg_type t ON t.oid = c.casttarget"
        " WHERE c.castsource = 'oid'::regtype AND c.castmethod = 'b' AND t.typname <> 'int4'"
    )
    assert {row["name"] for row in rows} == set(REG_TYPES)
    assert {oid for row in rows for oid in (row["oid"], row["list"])} == REG_TYPE_OIDS


async def test_every_function_whose_result_is_a_name_is_known(customer: Customer) -> None:
    rows = await customer.reader.fetch(
        "SELECT p.proname::text AS name, p.prorettype::regtype::text AS type, p.pronargs::int AS n"
        "  FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384"
        "   AND p.prorettype = ANY($1::oid[])",
        sorted(REG_TYPE_OIDS),
    )
    for row in rows:
        name, count = row["name"], row["n"]
        if is_function_allowed(None, name, count) or is_catalog_call(name, count):
            assert REG_FUNCTIONS.get(name) == row["type"], name
    outputs = await customer.reader.fetch(
        "SELECT p.proname::text AS name, p.pronargs::int AS n, a.name AS column"
        "  FROM pg_proc p, unnest(p.proallargtypes, p.proargmodes, p.proargnames)"
        "       AS a (type, mode, name)"
        " WHERE p.oid < 16384 AND a.mode IN ('o', 't') AND a.type = ANY($1::oid[])",
        sorted(REG_TYPE_OIDS),
    )
    for row in outputs:
        if is_function_allowed(None, row["name"], row["n"]) or is_catalog_call(
            row["name"], row["n"]
        ):
            assert row["column"] in REG_OUTPUTS, row["name"]


async def test_every_function_of_rights_is_known(customer: Customer) -> None:
    rows = await customer.reader.fetch(
        "SELECT p.proname::text AS name, p.pronargs::int AS n FROM pg_proc p"
        " WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384"
        "   AND (p.prorettype = ANY($1::oid[]) OR p.proargtypes::oid[] && $1::oid[])",
        sorted(ACL_TYPE_OIDS),
    )
    assert rows
    for row in rows:
        name, count = row["name"], row["n"]
        if is_function_allowed(None, name, count) or is_catalog_call(name, count):
            assert name in ACL_FUNCTIONS, name


async def test_every_function_that_converts_its_arguments_is_known(customer: Customer) -> None:
    """Its arguments become one type, and it returns a value of that."""
    rows = await customer.reader.fetch(
        "SELECT p.proname::text AS name, p.pronargs::int AS n, ARRAY(SELECT (at - 1)::int"
        "    FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, at)"
        "   WHERE type::regtype::text LIKE 'anycompatible%' ORDER BY at) AS places"
        "  FROM pg_proc p WHERE p.oid < 16384 AND p.prorettype::regtype::text LIKE 'anycompatible%'"
    )
    for row in rows:
        if is_function_allowed(None, row["name"], row["n"]) and len(row["places"]) > 1:
            assert CONVERTING.get(row["name"]) == tuple(row["places"]), row["name"]


async def test_nothing_becomes_a_name_by_itself_that_is_not_known_to(customer: Customer) -> None:
    rows = await customer.reader.fetch(
        "SELECT s.typname::text AS source, t.typname::text AS target FROM pg_cast c"
        "  JOIN pg_type s ON s.oid = c.castsource JOIN pg_type t ON t.oid = c.casttarget"
        " WHERE c.castcontext = 'i' AND t.typname = ANY($1::text[])",
        sorted(REG_TYPES),
    )
    found = {(each["source"], each["target"]) for each in rows}
    known = {("text", "regclass"), ("varchar", "regclass")}
    assert {each for each in found if each[0] in NEVER_NAMES} == known


async def test_every_function_of_any_type_is_known(customer: Customer) -> None:
    """A literal among its arguments takes the type of another."""
    rows = await customer.reader.fetch(
        "SELECT p.proname::text AS name, p.pronargs::int AS n FROM pg_proc p"
        " WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384"
        "   AND (SELECT count(*) FROM unnest(p.proargtypes) a JOIN pg_type t ON t.oid = a"
        "         WHERE t.typtype = 'p' AND t.typname LIKE 'any_%'"
        "           AND t.typname NOT LIKE 'any%range') > 1 AND p.proname NOT LIKE 'enum%'"
    )
    for row in rows:
        if is_function_allowed(None, row["name"], row["n"]):
            assert row["name"] in POLYMORPHIC, row["name"]
    returning = await customer.reader.fetch(
        "SELECT p.proname::text AS name, p.pronargs::int AS n FROM pg_proc p"
        "  JOIN pg_type t ON t.oid = p.prorettype"
        " WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384"
        "   AND t.typtype = 'p' AND t.typname LIKE 'any_%' AND p.proname NOT LIKE 'enum%'"
    )
    for row in returning:
        if is_function_allowed(None, row["name"], row["n"]):
            assert row["name"] in POLYMORPHIC, row["name"]
