"""What lives in a session: COPY, cursors, PREPARE and EXECUTE, EXPLAIN, settings, transactions."""

# ruff: noqa: E501 - an attempt is one line of a table

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest

from proxy import errors
from proxy.policy.load import load_policy
from proxy.policy.model import RelationName
from proxy.sql import kinds
from proxy.sql.grammar import parse
from proxy.sql.settings import SettingLimits
from tests.bypass.attempts import (
    ANSWERED,
    FUNCTION,
    IN_A_SESSION,
    KIND,
    SETTING,
    SIMPLE,
    SYNTAX,
    TABLE,
    TYPE,
    UNCLEAR,
    Answered,
    Anything,
    Attempt,
    Fails,
    Refused,
    Verdict,
    try_in_both,
)
from tests.bypass.worlds import POLICY, Pair

_PURPOSE = Refused("purpose_not_allowed")


def _copy(name: str, sql: str, verdict: Verdict) -> Attempt:
    return Attempt(f"COPY: {name}", sql, verdict, ways=IN_A_SESSION)


def _cursor(name: str, declare: str, fetch: str, verdict: Verdict) -> Attempt:
    return Attempt(f"cursor: {name}", fetch, verdict, ways=SIMPLE, before=("BEGIN", declare))


def _prepared(name: str, prepare: str, execute: str, verdict: Verdict) -> Attempt:
    return Attempt(f"prepared: {name}", execute, verdict, ways=IN_A_SESSION, before=(prepare,))


def _setting(name: str, sql: str, verdict: Verdict = SETTING) -> Attempt:
    return Attempt(f"setting: {name}", sql, verdict, ways=IN_A_SESSION)


def _explain(name: str, sql: str, verdict: Verdict) -> Attempt:
    return Attempt(f"EXPLAIN: {name}", sql, verdict, ways=SIMPLE)


_FETCH = "FETCH ALL FROM c"

ATTEMPTS = [
    _copy("a table", "COPY crm.people TO STDOUT", Answered(10)),
    _copy("columns of a table", "COPY crm.people (id, email, alias) TO STDOUT", Answered(10)),
    _copy("a table, binary", "COPY crm.people TO STDOUT (FORMAT binary)", Answered(11)),
    _copy("a table, CSV with header", "COPY crm.people TO STDOUT WITH (FORMAT csv, HEADER, FORCE_QUOTE *)", Answered(11)),
    _copy("a query", "COPY (SELECT email, alias, age FROM crm.people WHERE id > 6) TO STDOUT", Answered(4)),
    _copy("rows that are removed", "COPY crm.visits TO STDOUT", Answered(7)),
    _copy("a hidden column", "COPY crm.people (id, unlisted) TO STDOUT", Fails("42703")),
    _copy("a system column", "COPY crm.people (ctid) TO STDOUT", Fails("42703")),
    _copy("a hidden table", "COPY crm.internal TO STDOUT", TABLE),
    _copy("a hidden table in a query", "COPY (SELECT * FROM crm.internal) TO STDOUT", TABLE),
    _copy("a partition", "COPY crm.events_1 TO STDOUT", TABLE),
    _copy("statistics", "COPY pg_stats TO STDOUT", TABLE),
    _copy("a name in the text that looks like a TO", 'COPY crm."people TO STDOUT; --" TO STDOUT', TABLE),
    _copy("a column that looks like a TO", 'COPY crm.people (id, "x) TO STDOUT; --") TO STDOUT', Fails("42703")),
    _copy("a delimiter that looks like a TO", "COPY crm.people (id, email) TO STDOUT (DELIMITER ')')", Answered(10)),
    _copy("NULL shown as SQL", "COPY crm.people (id, alias) TO STDOUT (NULL ') TO STDOUT; SELECT 1')", Answered(10)),
    _copy("columns to quote", "COPY crm.people TO STDOUT (FORMAT csv, FORCE_QUOTE (email, unlisted))", Fails("")),
    _copy("a file", "COPY crm.people TO '/tmp/x'", KIND),
    _copy("a program", "COPY crm.people TO PROGRAM 'cat'", KIND),
    _copy("a program, from", "COPY crm.people FROM PROGRAM 'cat'", KIND),
    _copy("from the client", "COPY crm.people FROM STDIN", KIND),
    _copy("another encoding", "COPY crm.people TO STDOUT (ENCODING 'SQL_ASCII')", SETTING),
    _copy("an unknown option", "COPY crm.people TO STDOUT (LOG_VERBOSITY verbose)", UNCLEAR),
    _copy("VALUES", "COPY (VALUES (1)) TO STDOUT", Answered(1)),
    _copy("TABLE", "COPY (TABLE crm.people) TO STDOUT", Answered(10)),
    _copy("a query with a lock", "COPY (SELECT * FROM crm.people FOR UPDATE) TO STDOUT", KIND),
    _copy("a query with ONLY", "COPY (SELECT * FROM ONLY crm.loose) TO STDOUT", KIND),
    _copy("a query with ONLY of what has no children", "COPY (SELECT * FROM ONLY crm.people) TO STDOUT", Answered(10)),
    _copy("the old spelling", "COPY BINARY crm.people TO STDOUT", Anything()),
    _copy("over HTTP it is no statement", "COPY crm.people (id, email) TO STDOUT", Answered(10)),
    Attempt("COPY over HTTP", "COPY crm.people TO STDOUT", Anything(), ways=("http",)),
    # --- cursors ---
    _cursor("plain", "DECLARE c CURSOR FOR SELECT email, alias FROM crm.people", _FETCH, Answered(10)),
    _cursor("binary", "DECLARE c BINARY CURSOR FOR SELECT age, big, score FROM crm.people", _FETCH, Answered(10)),
    _cursor("scrolled", "DECLARE c SCROLL CURSOR FOR SELECT email FROM crm.people", "FETCH LAST FROM c", Answered(1)),
    _cursor("insensitive", "DECLARE c INSENSITIVE CURSOR FOR SELECT alias FROM crm.people", "FETCH 20 FROM c", Answered(10)),
    _cursor("moved", "DECLARE c CURSOR FOR SELECT id FROM crm.people WHERE alias LIKE 'S%'", "MOVE ALL FROM c", ANSWERED),
    _cursor("that fails later", "DECLARE c CURSOR FOR SELECT 1 / (age - 7770007) FROM crm.people", _FETCH, Answered(10)),
    _cursor("rows that are removed", "DECLARE c CURSOR FOR SELECT note FROM crm.visits WHERE 1 / amount >= 0", _FETCH, Answered(7)),
    _cursor("read as XML", "DECLARE c CURSOR FOR SELECT email FROM crm.people", "SELECT cursor_to_xml('c', 9, true, true, '')", FUNCTION),
    _cursor("of the current row", "DECLARE c CURSOR FOR SELECT id FROM crm.people", "DELETE FROM crm.people WHERE CURRENT OF c", KIND),
    _cursor("by a refcursor", "DECLARE c CURSOR FOR SELECT id FROM crm.people", "SELECT 'c'::refcursor", TYPE),
    Attempt("cursor: a hidden table", "DECLARE c CURSOR FOR SELECT secret FROM crm.internal", TABLE, ways=SIMPLE, before=("BEGIN",)),
    Attempt("cursor: WITH HOLD of a hidden table", "DECLARE c CURSOR WITH HOLD FOR SELECT secret FROM crm.internal", TABLE, ways=IN_A_SESSION),
    Attempt("cursor: with a lock", "DECLARE c CURSOR FOR SELECT id FROM crm.people FOR UPDATE", KIND, ways=SIMPLE, before=("BEGIN",)),
    Attempt("cursor: of somebody else", "FETCH ALL FROM c", Fails("34000"), ways=SIMPLE),
    Attempt("cursor: kept", "FETCH ALL FROM kept", Answered(10), ways=SIMPLE, before=("DECLARE kept CURSOR WITH HOLD FOR SELECT email, alias FROM crm.people",)),
    # --- PREPARE and EXECUTE ---
    _prepared("a guess", "PREPARE x (text) AS SELECT id FROM crm.people WHERE alias = $1", "EXECUTE x ('Szqxjkvpw-alias7')", Answered(0)),
    _prepared("a guess with an error", "PREPARE x (text) AS SELECT id FROM crm.people WHERE alias = $1 AND 1 / (id - 7) = 1", "EXECUTE x ('Szqxjkvpw-alias7')", Anything()),
    _prepared("a name's type", "PREPARE x (name) AS SELECT id FROM crm.people WHERE alias = $1", "EXECUTE x ('Szqxjkvpw-alias7')", Answered(0)),
    _prepared("a number's type", "PREPARE x (numeric) AS SELECT id FROM crm.people WHERE age = $1", "EXECUTE x (7770007)", Answered(0)),
    _prepared("without a type", "PREPARE x AS SELECT id FROM crm.people WHERE alias = $1", "EXECUTE x ('Szqxjkvpw-alias7')", Answered(0)),
    _prepared("a date's type", "PREPARE x (date) AS SELECT id FROM crm.people WHERE seen > $1", "EXECUTE x ('1999-01-01')", Answered(6)),
    _prepared("a sub-query as argument", "PREPARE x (text) AS SELECT $1", "EXECUTE x ((SELECT secret FROM crm.internal LIMIT 1))", UNCLEAR),
    _prepared("a function as argument", "PREPARE x (text) AS SELECT $1", "EXECUTE x (crm.tell(7))", UNCLEAR),
    _prepared("a function behind a dot as argument", "PREPARE x (text) AS SELECT $1", "EXECUTE x ((7::bigint).tell)", UNCLEAR),
    _prepared("a domain as argument", "PREPARE x (text) AS SELECT $1", "EXECUTE x ('a'::crm.teller)", TYPE),
    _prepared("an array of functions as argument", "PREPARE x (text[]) AS SELECT $1", "EXECUTE x (ARRAY[crm.tell(7)])", UNCLEAR),
    _prepared("an operator as argument", "PREPARE x (text) AS SELECT $1", "EXECUTE x ('a' OPERATOR(crm.<=>>) 'b')", UNCLEAR),
    _prepared("prepared again", "PREPARE x AS SELECT 1", "PREPARE x AS SELECT secret FROM crm.internal", TABLE),
    Attempt("prepared: a hidden table", "PREPARE x AS SELECT secret FROM crm.internal", TABLE, ways=IN_A_SESSION),
    Attempt("prepared: a domain as parameter", "PREPARE x (crm.teller) AS SELECT $1", TYPE, ways=IN_A_SESSION),
    Attempt("prepared: a row type as parameter", "PREPARE x (crm.people) AS SELECT ($1).email", TYPE, ways=IN_A_SESSION),
    Attempt("prepared: from a variable", "PREPARE x FROM 'SELECT 1'", SYNTAX, ways=IN_A_SESSION),
    Attempt("prepared: nothing of that name", "EXECUTE nothing", Fails("26000"), ways=IN_A_SESSION),
    Attempt("prepared: CREATE TABLE AS EXECUTE", "CREATE TABLE mine AS EXECUTE x", KIND, ways=IN_A_SESSION),
    Attempt("prepared: in EXPLAIN", "EXPLAIN EXECUTE x", KIND, ways=SIMPLE),
    # --- EXPLAIN is answered without the database ---
    _explain("a guess", "EXPLAIN SELECT id FROM crm.people WHERE alias = 'Szqxjkvpw-alias7'", ANSWERED),
    _explain("estimates", "EXPLAIN (VERBOSE, SETTINGS) SELECT * FROM crm.visits WHERE note > 'S'", ANSWERED),
    _explain("as JSON", "EXPLAIN (FORMAT json) SELECT * FROM crm.people WHERE alias < 'T'", ANSWERED),
    _explain("executed", "EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM crm.people WHERE alias < 'T'", Anything()),
    _explain("executed, with an error", "EXPLAIN ANALYZE SELECT 1 / amount FROM crm.visits", Anything()),
    _explain("a hidden table", "EXPLAIN SELECT * FROM crm.internal", TABLE),
    _explain("a function", "EXPLAIN SELECT crm.tell(7)", FUNCTION),
    _explain("a cursor", "EXPLAIN DECLARE c CURSOR FOR SELECT * FROM crm.people", KIND),
    _explain("serialised", "EXPLAIN (ANALYZE, SERIALIZE text) SELECT email FROM crm.people", Anything()),
    _explain("generic", "EXPLAIN (GENERIC_PLAN) SELECT * FROM crm.people WHERE alias = $1", Anything()),
    _explain("in XML", "EXPLAIN (FORMAT xml) SELECT 1", Anything()),
    # --- settings ---
    _setting("the path to a hidden schema", "SET search_path = private, crm"),
    _setting("the path to consent", "SET search_path = consent"),
    _setting("the path to temporary things", "SET search_path = pg_temp, crm"),
    _setting("the path to everybody's own schema", 'SET search_path = "$user"'),
    _setting("the path by set_config", "SELECT set_config('search_path', 'private', false)"),
    _setting("the path by set_config, among others", "SELECT set_config('search_path', 'private', false), 1", FUNCTION),
    _setting("the path by set_config, in FROM", "SELECT * FROM set_config('search_path', 'private', false)", FUNCTION),
    _setting("the path by set_config, quoted list", """SELECT set_config('search_path', '"crm,private"', false)"""),
    _setting("the path by pg_catalog.set_config", "SELECT pg_catalog.set_config('search_path', 'private', true)"),
    _setting("the path in one string", "SET search_path = 'crm, private'"),
    _setting("the path with a quote", "SET search_path = 'crm\"; --'"),
    _setting("strings", "SET standard_conforming_strings = off"),
    _setting("strings by set_config", "SELECT set_config('standard_conforming_strings', 'off', false)"),
    _setting("strings by set_config, in a query", "SELECT set_config('standard_conforming_strings', 'off', false) FROM ref.shops", FUNCTION),
    _setting("backslashes", "SET backslash_quote = on"),
    _setting("encoding", "SET client_encoding = 'SJIS'"),
    _setting("encoding as NAMES", "SET NAMES 'BIG5'"),
    _setting("NULL comparisons", "SET transform_null_equals = on"),
    _setting("a role", "SET ROLE postgres"),
    _setting("a role, local", "SET LOCAL ROLE postgres"),
    _setting("nobody's role", "RESET ROLE"),
    _setting("a session's authorization", "SET SESSION AUTHORIZATION postgres"),
    _setting("row security", "SET row_security = off"),
    _setting("writing", "SET default_transaction_read_only = off"),
    _setting("writing, now", "SET transaction_read_only = off"),
    _setting("writing by set_config", "SELECT set_config('transaction_read_only', 'off', true)"),
    _setting("what the server's log gets", "SET log_statement = 'all'"),
    _setting("what we are told", "SET client_min_messages = debug5"),
    _setting("plans we are told", "SET debug_print_plan = on"),
    _setting("costs", "SET cpu_operator_cost = 1e10"),
    _setting("a planner's switch", "SET enable_seqscan = off"),
    _setting("the order of conditions", "SET plan_cache_mode = force_generic_plan"),
    _setting("a library", "SET local_preload_libraries = 'auto_explain'"),
    _setting("a custom one", "SET my.own = 'x'"),
    _setting("session replication", "SET session_replication_role = replica"),
    _setting("a snapshot", "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'"),
    _setting("time without end", "SET statement_timeout = 0", ANSWERED),
    _setting("from current", "SET work_mem FROM CURRENT", Anything()),
    _setting("another purpose", "SET consent.purpose = 'service'", _PURPOSE),
    _setting("no purpose of anybody", "SET consent.purpose = 'nothing'", _PURPOSE),
    _setting("another purpose by set_config", "SELECT set_config('consent.purpose', 'service', false)"),
    _setting("another purpose by set_config, in a query", "SELECT set_config('consent.purpose', 'campaign', false) FROM ref.shops", FUNCTION),
    Attempt("setting: another purpose by parameter", "SELECT set_config($1, 'profile', false)", Anything(), tool="both", ways=("extended",), parameters=("consent.purpose",)),
    Attempt("setting: the path by parameter", "SELECT set_config($1, 'private', false), current_setting('search_path')", Anything(), ways=("extended",), parameters=("search_path",)),
    Attempt("setting: strings by an expression", "SELECT set_config('standard_conforming' || '_strings', 'off', false)", Anything()),
    _setting("another purpose, local", "SET LOCAL consent.purpose = 'profile'"),
    _setting("the purpose in other letters", "SET CONSENT.PURPOSE = 'service'", _PURPOSE),
    _setting("the purpose, quoted", 'SET "consent"."purpose" = \'service\'', _PURPOSE),
    _setting("the purpose as two values", "SET consent.purpose = 'profile', 'service'"),
    _setting("the purpose as an expression", "SET consent.purpose = service", _PURPOSE),
    _setting("something near the purpose", "SET consent.purposes = 'service'"),
    # A setting would keep a value beyond a withdrawal, and show it without a record.
    *(
        _setting(f"as a store, {name}", sql, FUNCTION)
        for name, sql in (
            ("of a value", "SELECT set_config('application_name', (SELECT alias FROM crm.people WHERE id = 6), false)"),
            ("not told", "SELECT count(set_config('application_name', alias, false)) FROM crm.people"),
            ("of a bit", "SELECT CASE WHEN EXISTS (SELECT 1 FROM crm.people WHERE alias = 'alias6') THEN set_config('jit', 'on', false) ELSE set_config('jit', 'off', false) END"),
            ("of a zone", "SELECT set_config('timezone', '<' || alias || '>1', false) FROM crm.people WHERE id = 6"),
            ("through a CTE", "WITH x AS (SELECT max(alias) AS a FROM crm.people) SELECT set_config('application_name', a, false) FROM x"),
            ("in a condition", "SELECT 1 FROM crm.people WHERE set_config('application_name', alias, false) IS NULL"),
        )
    ),
    _setting("set beside the catalog", "SELECT set_config('bytea_output', 'hex', false) FROM pg_settings WHERE name = 'bytea_output'", Answered(1)),
    _setting("showing all", "SHOW ALL"),
    _setting("showing a folder", "SHOW data_directory"),
    _setting("current_setting of a folder", "SELECT current_setting('data_directory')", FUNCTION),
    _setting("current_setting of a hidden value", "SELECT current_setting(alias, true) FROM crm.people", Answered(10)),
    _setting("current_setting of a folder, by an expression", "SELECT current_setting('data_' || 'directory', true)", Answered(1)),
    Attempt("setting: current_setting of a parameter", "SELECT current_setting($1, true)", Anything(), parameters=("log_directory",)),
    Attempt("setting: in a block, then a hidden schema's name", "SELECT email FROM people", TABLE, before=("BEGIN", "SET LOCAL search_path = ref"), ways=SIMPLE),
    Attempt("setting: an empty path", "SELECT email FROM people", TABLE, before=("SET search_path = ''",), ways=SIMPLE),
    Attempt("setting: dates shown otherwise", "SELECT born, seen, doc, blob FROM crm.people", Answered(10), before=("SET datestyle = 'German, DMY'", "SET intervalstyle = 'sql_standard'", "SET bytea_output = escape", "SET timezone = 'Asia/Tokyo'"), ways=SIMPLE),
    Attempt("setting: the rule of rows under another time zone", "SELECT count(*) FROM crm.visits", Answered(1), before=("SET timezone = '+14'", "SET datestyle = 'SQL, MDY'"), ways=SIMPLE),
    Attempt("setting: reset all", "SELECT email, current_setting('standard_conforming_strings') FROM crm.people", Answered(10), before=("RESET ALL",), ways=SIMPLE),
    Attempt("setting: discard all", "SELECT email FROM people", Answered(10), before=("DISCARD ALL",), ways=SIMPLE),
    Attempt("setting: the path back", "SELECT email FROM people", Answered(10), before=("SET search_path = ref", "RESET search_path"), ways=SIMPLE),
    # --- transactions ---
    Attempt("block: SAVEPOINT", "SELECT alias FROM crm.people WHERE alias LIKE 'S%'", Answered(0), before=("BEGIN", "SAVEPOINT a", "SELECT 1", "ROLLBACK TO a"), ways=SIMPLE),
    Attempt("block: an isolation that keeps a snapshot", "SELECT alias FROM crm.people WHERE alias LIKE 'S%'", Answered(0), before=("BEGIN ISOLATION LEVEL REPEATABLE READ",), ways=SIMPLE),
    Attempt("block: serializable and deferrable", "SELECT alias FROM crm.people WHERE alias LIKE 'S%'", Answered(0), before=("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",), ways=SIMPLE),
    Attempt("block: the purpose in it", "SET consent.purpose = 'profile'", Refused("transaction_state"), before=("BEGIN",), ways=SIMPLE),
    Attempt("no purpose", "SELECT email FROM crm.people", Refused("purpose_missing"), tool="undecided"),
    Attempt("no purpose: the catalogue", "SELECT relname FROM pg_class", Refused("purpose_missing"), tool="undecided"),
    Attempt("no purpose, chosen with the statement", "SET consent.purpose = 'profile'; SELECT email FROM crm.people", Refused("transaction_state"), tool="undecided", ways=SIMPLE),
]  # fmt: skip


_PATHS = (
    "Sales", '"Sales"', "sales", '"sales"', "SALES", 'Sales"', '"Sales', "Sales\u00a0", "\u00a0sales",
    '"Sal""es"', 'sales""', "sales,", ",sales", "sales, Sales", "\tsales", "sales sales", "sales ",
)  # fmt: skip


async def test_a_path_is_read_as_postgresql_reads_it(database: str) -> None:
    """`Sales` is another schema than `"Sales"`: nobody has looked at the functions of that one."""
    connection = await asyncpg.connect(database)
    await connection.execute('CREATE SCHEMA sales; CREATE SCHEMA "Sales"')
    policy = load_policy(POLICY)
    rule = next(iter(policy.relations.values()))
    taken = 0
    for schema in ("Sales", "sales"):
        named = replace(policy, relations={RelationName(schema, "t"): rule})
        asker = kinds.Asker(policy=named, tool="profiler", limits=SettingLimits())
        for value in _PATHS:
            (statement,) = parse(f"SELECT set_config('search_path', '{value}', false)")
            try:
                plan = kinds.set_config(statement, asker)
            except errors.Refused:
                continue
            assert plan is not None
            await connection.execute(plan.text)
            used = await connection.fetchval("SELECT current_schemas(false)::text[]")
            assert used == [schema], value
            taken += 1
    await connection.close()
    assert taken >= 5


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_a_session_gives_no_way_around(pair: Pair, attempt: Attempt) -> None:
    try_in_both(pair, attempt)
