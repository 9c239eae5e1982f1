"""Catalogue, statistics, activity: what PostgreSQL knows of the data beside the data."""

# ruff: noqa: E501 - an attempt is one line of a table

from __future__ import annotations

import pytest

from tests.bypass.attempts import (
    ANSWERED,
    KIND,
    NO_COLUMN,
    TABLE,
    Answered,
    Anything,
    Attempt,
    try_in_both,
)
from tests.bypass.worlds import Pair

_HIDDEN = [
    # They hold values of rows, texts of other sessions, or secrets of the server.
    "pg_stats", "pg_stats_ext", "pg_stats_ext_exprs", "pg_statistic", "pg_statistic_ext_data",
    "pg_stat_activity", "pg_stat_xact_user_tables", "pg_stat_database", "pg_stat_replication",
    "pg_stat_ssl", "pg_stat_progress_analyze", "pg_stat_progress_copy", "pg_locks", "pg_cursors",
    "pg_prepared_statements", "pg_prepared_xacts", "pg_authid", "pg_shadow", "pg_user_mapping",
    "pg_hba_file_rules", "pg_file_settings", "pg_ident_file_mappings", "pg_config", "pg_largeobject",
    "pg_replication_slots", "pg_replication_origin", "pg_shmem_allocations",
    "pg_backend_memory_contexts", "pg_stat_statements", "pg_stat_wal", "pg_stat_io",
    "pg_stat_bgwriter", "pg_stat_slru", "pg_stat_user_functions", "pg_aios",
]  # fmt: skip

ATTEMPTS = [
    *(Attempt(f"pg_catalog.{name}", f"SELECT * FROM pg_catalog.{name}", TABLE) for name in _HIDDEN),
    Attempt(
        "statistics by the path",
        "SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats WHERE tablename = 'people'",
        TABLE,
    ),
    Attempt("statistics in upper case", "SELECT * FROM PG_STATS", TABLE),
    Attempt("statistics, quoted", 'SELECT * FROM "pg_catalog"."pg_stats"', TABLE),
    Attempt(
        "statistics, with the database's name",
        "SELECT * FROM nowhere.pg_catalog.pg_stats",
        Anything(),
    ),
    Attempt(
        "statistics in a CTE that shadows a shown relation",
        "WITH pg_class AS (SELECT * FROM pg_stats) SELECT * FROM pg_class",
        TABLE,
    ),
    Attempt(
        "a shown relation's name over statistics",
        "SELECT * FROM pg_catalog.pg_stats AS pg_class",
        TABLE,
    ),
    Attempt(
        "how many rows",
        "SELECT relname, reltuples, relpages, relallvisible FROM pg_class WHERE relnamespace = 'crm'::regnamespace ORDER BY 1",
        ANSWERED,
    ),
    Attempt(
        "how many rows, as a whole row",
        "SELECT c::text FROM pg_class c WHERE relname IN ('people', 'visits') ORDER BY 1",
        Answered(2),
    ),
    Attempt(
        "how many rows, searched for",
        "SELECT relname FROM pg_class WHERE reltuples > 0",
        Answered(0),
    ),
    Attempt(
        "missing values of a column added later",
        "SELECT attname, attmissingval::text, atthasmissing FROM pg_attribute WHERE attrelid = 'crm.people'::regclass",
        ANSWERED,
    ),
    Attempt(
        "a relation's files",
        "SELECT relfilenode, reltoastrelid, relfrozenxid FROM pg_class WHERE relname = 'people'",
        Answered(1),
    ),
    Attempt("a sequence's value", "SELECT * FROM pg_sequences", Answered(0)),
    Attempt("a sequence's parameters", "SELECT * FROM pg_sequence", Answered(0)),
    Attempt("a sequence as a relation", "SELECT last_value, is_called FROM crm.people_id", TABLE),
    Attempt(
        "hidden columns",
        "SELECT attname FROM pg_attribute WHERE attname IN ('unlisted', 'churn', 'spell')",
        Answered(0),
    ),
    Attempt(
        "hidden relations",
        "SELECT relname FROM pg_class WHERE relname IN ('internal', 'people_view', 'people_copy', 'events_1', 'subject', 'members')",
        Answered(0),
    ),
    Attempt(
        "hidden relations in information_schema",
        "SELECT table_name FROM information_schema.tables WHERE table_name IN ('internal', 'people_view', 'subject', 'event', 'members')",
        Answered(0),
    ),
    Attempt(
        "hidden columns in information_schema",
        "SELECT column_name FROM information_schema.columns WHERE column_name IN ('unlisted', 'churn')",
        Answered(0),
    ),
    Attempt(
        "schema consent",
        "SELECT nspname FROM pg_namespace WHERE nspname IN ('consent', 'private')",
        Answered(0),
    ),
    Attempt(
        "indexes of hidden columns",
        "SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE '%unlisted%'",
        Answered(0),
    ),
    Attempt("texts of views", "SELECT definition FROM pg_views WHERE schemaname = 'crm'", ANSWERED),
    Attempt(
        "texts of views in information_schema",
        "SELECT view_definition FROM information_schema.views WHERE table_schema = 'crm'",
        ANSWERED,
    ),
    Attempt(
        "texts of functions", "SELECT prosrc FROM pg_proc WHERE proname LIKE 'tell%'", Answered(0)
    ),
    Attempt(
        "texts of routines",
        "SELECT routine_definition FROM information_schema.routines WHERE routine_name LIKE 'tell%'",
        Answered(0),
    ),
    Attempt("texts of rules", "SELECT * FROM pg_rules", Answered(0)),
    Attempt(
        "rewrite rules",
        "SELECT FROM pg_rewrite WHERE ev_class >= 16384 AND (ev_action, ev_qual) IS NOT NULL",
        Answered(0),
    ),
    Attempt(
        "counters of tables",
        "SELECT * FROM pg_stat_user_tables WHERE n_live_tup + n_tup_ins + seq_scan <> 0",
        Answered(0),
    ),
    Attempt(
        "counters of indexes",
        "SELECT * FROM pg_stat_all_indexes WHERE idx_scan + idx_tup_read <> 0",
        Answered(0),
    ),
    Attempt(
        "pages read of tables",
        "SELECT * FROM pg_statio_user_tables WHERE heap_blks_read + heap_blks_hit <> 0",
        Answered(0),
    ),
    Attempt("extended statistics by name", "SELECT * FROM pg_statistic_ext", Answered(0)),
    Attempt(
        "roles and their settings",
        "SELECT FROM pg_roles WHERE rolconfig IS NOT NULL OR rolvaliduntil IS NOT NULL",
        Answered(0),
    ),
    Attempt(
        "roles that own nothing shown",
        "SELECT FROM pg_roles WHERE oid >= 16384 AND rolname <> current_user",
        Answered(0),
    ),
    Attempt(
        "settings that are not shown",
        "SELECT name FROM pg_settings WHERE name IN ('data_directory', 'hba_file', 'shared_preload_libraries')",
        Answered(0),
    ),
    Attempt(
        "who depends on whom",
        "SELECT count(*) FROM pg_depend WHERE refobjid = 'crm.internal'::regclass",
        TABLE,
    ),
    Attempt("large objects", "SELECT * FROM pg_largeobject_metadata", Answered(0)),
    Attempt("TOAST", "SELECT * FROM pg_toast.pg_toast_1262", TABLE),
    Attempt("TOAST of a table", "SELECT * FROM pg_toast.pg_toast_16400", TABLE),
    Attempt("a temporary schema", "SELECT * FROM pg_temp.people", TABLE),
    Attempt("the catalog's table id", "SELECT tableoid::regclass FROM pg_class LIMIT 1", ANSWERED),
    Attempt("system columns of the catalog", "SELECT ctid, xmin FROM pg_class", NO_COLUMN),
    Attempt("writing to the catalog", "UPDATE pg_class SET relname = 'x'", KIND),
    Attempt("locking the catalog", "SELECT * FROM pg_class FOR UPDATE", KIND),
    Attempt(
        "a partition's bounds",
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname LIKE 'events%'",
        ANSWERED,
    ),
    Attempt("consent's tables", "SELECT * FROM consent.subject", TABLE),
    Attempt("consent's events", "SELECT * FROM consent.event", TABLE),
    Attempt("consent's epoch", "SELECT * FROM consent.epoch", TABLE),
    Attempt("consent's pseudonym key", "SELECT * FROM consent.pseudonym_key", TABLE),
    Attempt("consent, quoted", 'SELECT * FROM "consent"."subject"', TABLE),
    Attempt(
        "consent by a CTE's name", "WITH subject AS (SELECT 1) SELECT * FROM consent.subject", TABLE
    ),
    Attempt(
        "joining with consent",
        "SELECT p.id, s.* FROM crm.people p JOIN consent.subject s ON s.subject_id = p.id",
        TABLE,
    ),
    Attempt("the guard's alias of consent", "SELECT k0.profile FROM crm.people", Anything()),
    Attempt("the guard's alias of the table", "SELECT t.email FROM crm.people", Anything()),
    Attempt(
        "the guard's alias of the table, from inside",
        "SELECT (SELECT t.email) FROM crm.people",
        Anything(),
    ),
    Attempt(
        "a relation called as the guard's alias",
        "SELECT t.email, k0.id FROM crm.people AS t, crm.people AS k0 WHERE t.id = 7 AND k0.id = 7",
        Answered(1),
    ),
    Attempt(
        "the comment of a hidden thing",
        "SELECT description FROM pg_description WHERE objoid = 'crm.internal'::regclass",
        TABLE,
    ),
    Attempt(
        "rights on a masked name",
        "SELECT has_table_privilege(alias, 'select') FROM crm.people WHERE id > 6",
        Answered(4),
    ),
    Attempt(
        "rights on a masked schema's name",
        "SELECT has_schema_privilege(name, 'usage') FROM crm.people WHERE id > 6",
        Anything(),
    ),
]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_the_catalog_tells_structure_and_nothing_of_the_rows(pair: Pair, attempt: Attempt) -> None:
    try_in_both(pair, attempt)
