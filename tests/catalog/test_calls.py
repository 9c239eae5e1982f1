"""Asked for a thing by its object id, the catalog's functions tell of what the tool can see."""

from __future__ import annotations

import asyncpg
import pytest

from proxy.rewrite.catalog_calls import confined_calls
from proxy.rewrite.catalog_guards import VisibleCatalog, visible_catalog
from proxy.rewrite.check import check
from proxy.rewrite.splice import splice
from proxy.sql.catalog import load_catalog
from proxy.sql.catalog_functions import catalog_call
from proxy.sql.functions import CATALOG_FUNCTIONS
from proxy.sql.grammar import parse
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
    calls = confined_calls(statement.node, canonical, visible)
    final = splice(canonical, [], [], [], [], [edit for call in calls for edit in call.edits])
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


# They take no id and no name of a thing; or they answer with names alone, rights, values of enums.
UNCONFINED = frozenset(
    """
    acldefault current_database current_schema current_schemas current_user enum_first enum_last
    enum_range get_current_ts_config getdatabaseencoding
    has_any_column_privilege has_column_privilege has_database_privilege
    has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege
    has_schema_privilege has_sequence_privilege has_server_privilege has_table_privilege
    has_tablespace_privilege has_type_privilege oidvectortypes pg_char_to_encoding
    pg_client_encoding pg_collation_for pg_encoding_to_char pg_get_keywords pg_has_role
    pg_indexam_has_property pg_is_in_recovery pg_is_other_temp_schema pg_my_temp_schema
    pg_options_to_table pg_typeof regclass session_user to_regclass to_regcollation
    to_regnamespace to_regoper to_regoperator to_regproc to_regprocedure to_regrole to_regtype
    to_regtypemod ts_debug ts_parse ts_token_type version
    """.split()
)


def test_every_function_of_the_catalog_is_confined_or_named_here() -> None:
    confined_names = {
        name for name in CATALOG_FUNCTIONS if any(catalog_call(name, count) for count in range(5))
    }
    assert CATALOG_FUNCTIONS - confined_names == UNCONFINED
