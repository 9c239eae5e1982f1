"""Only functions, operators and types that can do no more than compute are on the lists."""

from __future__ import annotations

import asyncpg
import pytest

from proxy.policy.model import RelationName
from proxy.sql.catalog import Catalog
from proxy.sql.functions import (
    ARGUMENT_CHECKED,
    CATALOG_FUNCTIONS,
    is_function_allowed,
    is_operator_allowed,
    is_type_allowed,
)


def catalog(**changes: object) -> Catalog:
    fields: dict[str, object] = {
        "server_version": 180000,
        "database": "d",
        "relations": dict[RelationName, object](),
        "shadowed_functions": frozenset(),
        "shadowed_operators": frozenset(),
        "enums": {"crm.channel": "crm.channel", "web.mood": "web.mood"},
        "shadowed_types": frozenset({"mood"}),
        "leakproof_operators": frozenset(),
        "revision": "",
    }
    return Catalog(**(fields | changes))  # type: ignore[arg-type]


# Verified leaks, and functions whose answer depends on more than their arguments.
REFUSED = """
query_to_xml/4 query_to_xmlschema/4 query_to_xml_and_xmlschema/4 table_to_xml/4 schema_to_xml/4
database_to_xml/3 cursor_to_xml/5 ts_stat/1 ts_stat/2 ts_rewrite/2 pg_read_file/1
pg_read_binary_file/1 pg_ls_dir/1 pg_stat_file/1 lo_get/1 lo_import/1 lo_create/1 lo_from_bytea/2
loread/2 nextval/1 currval/1 lastval/0 setval/2 pg_sequence_last_value/1 pg_sleep/1
pg_sleep_for/1 pg_notify/2 pg_advisory_lock/1 pg_try_advisory_lock/1 pg_advisory_xact_lock/1
pg_advisory_unlock/1 pg_terminate_backend/1 pg_cancel_backend/1 pg_backend_pid/0 current_query/0
txid_current/0 pg_current_xact_id/0 pg_current_snapshot/0 pg_export_snapshot/0
pg_relation_size/1 pg_total_relation_size/1 pg_table_size/1 pg_database_size/1 pg_column_size/1
pg_column_compression/1 pg_stat_get_live_tuples/1 pg_stat_get_activity/1 pg_stat_reset/0
pg_get_viewdef/1 pg_get_functiondef/1 pg_get_triggerdef/1 pg_get_ruledef/1
pg_get_statisticsobjdef/1 pg_mcv_list_items/1 pg_xact_commit_timestamp/1 pg_reload_conf/0
pg_switch_wal/0 pg_current_wal_lsn/0 pg_promote/0 pg_create_restore_point/1
pg_logical_slot_get_changes/3 pg_replication_origin_create/1 setseed/1 satisfies_hash_partition/4
inet_client_addr/0 inet_server_addr/0 pg_listening_channels/0 pg_input_is_valid/2
pg_input_error_info/2 row_security_active/1 json_populate_record/2 jsonb_populate_recordset/2
set_config/3 current_setting/1 current_setting/2 pg_prepared_statement/0 pg_cursor/0
pg_show_all_settings/0 pg_lock_status/0 pg_get_publication_tables/1
binary_upgrade_set_missing_value/3
pg_restore_relation_stats/4 pg_clear_relation_stats/2 textin/1 textsend/1 int4eq/2 hashname/1
btint4cmp/2 eqsel/4 RI_FKey_check_ins/0 dblink/1 crosstab/1 xpath_table/5 nosuch/0 lower/2 abs/0
""".split()

ALLOWED = """
count/0 count/1 sum/1 avg/1 min/1 max/1 string_agg/2 array_agg/1 jsonb_agg/1 json_object_agg/2
bool_and/1 stddev/1 corr/2 percentile_cont/1 percentile_cont/2 mode/0 rank/0 rank/1 row_number/0
dense_rank/0 lag/1 lag/3 first_value/1 ntile/1 lower/1 upper/1 length/1 substring/2 substring/3
substr/3 btrim/1 replace/3 concat/1 concat/7 concat_ws/4 format/3 regexp_replace/4
regexp_matches/2 split_part/3 position/2 strpos/2 left/2 lpad/3 md5/1 encode/2 abs/1 round/2
ceil/1 floor/1 mod/2 power/2 random/0 gen_random_uuid/0 now/0 clock_timestamp/0 date_trunc/2
date_part/2 extract/2 age/1 age/2 to_char/2 to_date/2 to_timestamp/1 make_date/3 timezone/2
generate_series/2 generate_series/3 unnest/1 array_length/2 array_to_string/2 array_cat/2
jsonb_build_object/4 jsonb_path_query/2 jsonb_array_elements/1 row_to_json/1 to_jsonb/1
width_bucket/4 to_tsvector/2 ts_rank/2 overlaps/4 version/0 format_type/2 pg_get_expr/2
col_description/2 pg_table_is_visible/1 current_database/0 has_table_privilege/2
pg_advisory_unlock_all/0 xpath/3 to_hex/1
""".split()


@pytest.mark.parametrize("call", REFUSED)
def test_a_function_that_does_more_than_compute_is_refused(call: str) -> None:
    name, count = call.split("/")
    assert not is_function_allowed(None, name, int(count))
    assert not is_function_allowed("pg_catalog", name, int(count))


@pytest.mark.parametrize("call", ALLOWED)
def test_what_reports_are_made_of_is_allowed(call: str) -> None:
    name, count = call.split("/")
    assert is_function_allowed(None, name, int(count))
    assert is_function_allowed("pg_catalog", name, int(count))


def test_functions_of_other_schemas_are_never_on_the_list() -> None:
    assert not is_function_allowed("public", "lower", 1)
    assert not is_function_allowed("consent", "pseudonym", 1)
    assert not is_function_allowed("information_schema", "_pg_truetypid", 1)
    assert is_function_allowed("information_schema", "_pg_expandarray", 1)


def test_names_are_matched_as_postgresql_stores_them() -> None:
    assert not is_function_allowed(None, "LOWER", 1)
    assert not is_function_allowed(None, "Lower", 1)


async def test_no_allowed_call_can_reach_an_overload_that_was_not_looked_at(
    connection: asyncpg.Connection,
) -> None:
    # A literal fits cstring too: an input function under an allowed name would be reachable.
    rows = await connection.fetch(
        "SELECT proname, pronargs, pronargdefaults, provariadic <> 0 AS is_variadic, oid::int8"
        " FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND ("
        "   prokind = 'p' OR EXISTS (SELECT FROM unnest(proargtypes) a"
        "     WHERE a IN ('internal'::regtype, 'cstring'::regtype))"
        "   OR prorettype IN (SELECT oid FROM pg_type WHERE typtype = 'p'"
        "        AND typname !~ '^any' AND typname NOT IN ('record', '_record', 'void')))"
    )
    assert len(rows) > 500
    for row in rows:
        most = 20 if row["is_variadic"] else row["pronargs"]
        for count in range(row["pronargs"] - row["pronargdefaults"], most + 1):
            assert not is_function_allowed(None, row["proname"], count), row["proname"]


async def test_every_volatile_function_on_the_list_was_reviewed_by_name(
    connection: asyncpg.Connection,
) -> None:
    rows = await connection.fetch(
        "SELECT DISTINCT proname, pronargs FROM pg_proc"
        " WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'"
    )
    allowed = {
        row["proname"] for row in rows if is_function_allowed(None, row["proname"], row["pronargs"])
    }
    assert allowed == {
        *("array_sample", "array_shuffle", "clock_timestamp", "gen_random_uuid", "random"),
        *("random_normal", "timeofday", "uuidv4", "uuidv7"),
        *("pg_advisory_unlock_all", "pg_is_in_recovery", "pg_partition_ancestors"),
    }


async def test_functions_that_read_the_catalog_are_marked(connection: asyncpg.Connection) -> None:
    assert {"pg_get_expr", "obj_description", "has_table_privilege"} <= CATALOG_FUNCTIONS
    assert not {"lower", "now", "jsonb_agg"} & CATALOG_FUNCTIONS
    assert not CATALOG_FUNCTIONS & {name for name, _ in ARGUMENT_CHECKED}


@pytest.mark.parametrize(
    "name", ["=", "<>", "<", "~~", "~*", "||", "->>", "@>", "%", "<->", "#", "^@"]
)
def test_built_in_operators_are_allowed(name: str) -> None:
    assert is_operator_allowed(None, name)
    assert is_operator_allowed("pg_catalog", name)
    assert not is_operator_allowed("public", name)


def test_an_operator_that_pg_catalog_does_not_have_is_refused() -> None:
    assert not is_operator_allowed(None, "<<->>")
    assert not is_operator_allowed("pg_catalog", "=~=~")


@pytest.mark.parametrize(
    "name",
    [
        "int4",
        "integer",
        "int",
        "character varying",
        "varchar",
        "text",
        "timestamptz",
        "timestamp with time zone",
        "double precision",
        "numeric",
        "uuid",
        "jsonb",
        "regclass",
        "_text",
        "text[]",
        "int[]",
        "bool",
        "name",
        "char",
        "oidvector",
        "int2vector",
        "inet",
    ],
)
def test_built_in_types_are_allowed_however_they_are_spelt(name: str) -> None:
    assert is_type_allowed(None, name, catalog())
    assert is_type_allowed("pg_catalog", name, catalog())
    assert not is_type_allowed("public", name, catalog())


@pytest.mark.parametrize(
    "name",
    [
        "xid",
        "xid8",
        "tid",
        "cid",
        "aclitem",
        "pg_node_tree",
        "refcursor",
        "cstring",
        "internal",
        "record",
        "anyelement",
        "void",
        "trigger",
        "unknown",
        "pg_class",
        "pg_authid",
        "customers",
        "pg_snapshot",
        "pg_mcv_list",
        "_xid",
        "xid[]",
        "regrole2",
        "",
    ],
)
def test_types_of_positions_transactions_rows_and_machinery_are_refused(name: str) -> None:
    assert not is_type_allowed(None, name, catalog())
    assert not is_type_allowed("pg_catalog", name, catalog())


def test_enums_of_the_schemas_are_allowed_and_unqualified_only_where_clear() -> None:
    assert is_type_allowed("crm", "channel", catalog())
    assert is_type_allowed("crm", "channel[]", catalog())
    assert is_type_allowed("crm", "_channel", catalog())
    assert is_type_allowed(None, "channel", catalog())
    assert is_type_allowed("web", "mood", catalog())
    assert not is_type_allowed(None, "mood", catalog())
    assert not is_type_allowed("web", "channel", catalog())
    assert not is_type_allowed("crm", "customers", catalog())


def test_a_built_in_type_that_a_schema_shadows_must_be_qualified() -> None:
    shadowed = catalog(shadowed_types=frozenset({"date"}))
    assert not is_type_allowed(None, "date", shadowed)
    assert not is_type_allowed(None, "date[]", shadowed)
    assert is_type_allowed("pg_catalog", "date", shadowed)


def test_domains_of_information_schema_are_allowed() -> None:
    assert is_type_allowed("information_schema", "sql_identifier", catalog())
    assert not is_type_allowed("information_schema", "columns", catalog())
    assert not is_type_allowed(None, "sql_identifier", catalog())
