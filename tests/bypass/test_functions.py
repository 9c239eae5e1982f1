"""Functions that run SQL, read by name, or are somebody's own: refused, however they are called."""

# ruff: noqa: E501 - an attempt is one line of a table

from __future__ import annotations

import pytest

from tests.bypass.attempts import (
    FUNCTION,
    SYNTAX,
    TABLE,
    TYPE,
    Answered,
    Anything,
    Attempt,
    try_in_both,
)
from tests.bypass.worlds import Pair

STEAL = "select email from crm.people where id = 7"
WORDS = "select to_tsvector(''simple'', email) from crm.people where id > 6"

ATTEMPTS = [
    # --- functions that run the SQL they are given ---
    Attempt("query to XML", f"SELECT query_to_xml('{STEAL}', true, true, '')", FUNCTION),
    Attempt(
        "query to XML and schema",
        f"SELECT query_to_xml_and_xmlschema('{STEAL}', true, true, '')",
        FUNCTION,
    ),
    Attempt(
        "query to XML schema", f"SELECT query_to_xmlschema('{STEAL}', true, true, '')", FUNCTION
    ),
    Attempt("quoted name", f"""SELECT "query_to_xml"('{STEAL}', true, true, '')""", FUNCTION),
    Attempt(
        "qualified name", f"SELECT pg_catalog.query_to_xml('{STEAL}', true, true, '')", FUNCTION
    ),
    Attempt("upper case", f"SELECT QUERY_TO_XML('{STEAL}', true, true, '')", FUNCTION),
    Attempt(
        "unicode escapes in the name",
        f"""SELECT U&"query\\005fto_xml"('{STEAL}', true, true, '')""",
        FUNCTION,
    ),
    Attempt(
        "named arguments",
        f"SELECT query_to_xml(query => '{STEAL}', nulls => true, tableforest => true, targetns => '')",
        FUNCTION,
    ),
    Attempt(
        "a function in FROM", f"SELECT * FROM query_to_xml('{STEAL}', true, true, '')", FUNCTION
    ),
    Attempt(
        "ROWS FROM", f"SELECT * FROM ROWS FROM (query_to_xml('{STEAL}', true, true, ''))", FUNCTION
    ),
    Attempt(
        "LATERAL",
        f"SELECT x FROM ref.shops, LATERAL query_to_xml('{STEAL}', true, true, '') x",
        FUNCTION,
    ),
    Attempt(
        "a function in ORDER BY",
        f"SELECT 1 ORDER BY query_to_xml('{STEAL}', true, true, '')::text",
        FUNCTION,
    ),
    Attempt(
        "a function in LIMIT",
        f"SELECT 1 LIMIT length(query_to_xml('{STEAL}', true, true, '')::text)",
        FUNCTION,
    ),
    Attempt(
        "a function in a window frame",
        f"SELECT sum(id) OVER (ORDER BY id ROWS length(query_to_xml('{STEAL}', true, true, '')::text) PRECEDING) FROM ref.shops",
        FUNCTION,
    ),
    Attempt(
        "a function in FILTER",
        f"SELECT count(*) FILTER (WHERE query_to_xml('{STEAL}', true, true, '') IS NULL) FROM ref.shops",
        FUNCTION,
    ),
    Attempt(
        "a function in a CTE that nobody reads",
        f"WITH x AS MATERIALIZED (SELECT query_to_xml('{STEAL}', true, true, '')) SELECT 1",
        FUNCTION,
    ),
    Attempt(
        "a function in JSON_TABLE",
        f"SELECT * FROM JSON_TABLE(query_to_xml('{STEAL}', true, true, '')::text::jsonb, '$' COLUMNS (a text PATH '$'))",
        FUNCTION,
    ),
    Attempt(
        "a function in a JSON constructor",
        f"SELECT JSON_OBJECT('a': query_to_xml('{STEAL}', true, true, '')::text)",
        FUNCTION,
    ),
    Attempt(
        "a function in DISTINCT ON",
        f"SELECT DISTINCT ON (query_to_xml('{STEAL}', true, true, '')::text) 1",
        FUNCTION,
    ),
    Attempt(
        "a function in GROUPING SETS",
        f"SELECT 1 FROM ref.shops GROUP BY GROUPING SETS ((query_to_xml('{STEAL}', true, true, '')::text))",
        FUNCTION,
    ),
    Attempt("a function in VALUES", f"VALUES (query_to_xml('{STEAL}', true, true, ''))", FUNCTION),
    Attempt(
        "a function as a type's modifier",
        "SELECT 'x'::varchar(length(table_to_xml('crm.people', true, true, '')::text))",
        SYNTAX,
    ),
    Attempt(
        "a function in a subscript",
        "SELECT (ARRAY[1])[length(table_to_xml('crm.people', true, true, '')::text)]",
        FUNCTION,
    ),
    Attempt("table to XML", "SELECT table_to_xml('crm.people', true, true, '')", FUNCTION),
    Attempt("schema to XML", "SELECT schema_to_xml('crm', true, true, '')", FUNCTION),
    Attempt("database to XML", "SELECT database_to_xml(true, true, '')", FUNCTION),
    Attempt("cursor to XML", "SELECT cursor_to_xml('c', 1, true, true, '')", FUNCTION),
    Attempt("words of a query", f"SELECT word FROM ts_stat('{WORDS}')", FUNCTION),
    Attempt(
        "words of a query, with weights", f"SELECT word FROM ts_stat('{WORDS}', 'a')", FUNCTION
    ),
    Attempt(
        "a rewrite rule that is a query",
        "SELECT ts_rewrite('a'::tsquery, 'select ''a''::tsquery, plainto_tsquery(''simple'', email) from crm.people where id = 7')",
        FUNCTION,
    ),
    Attempt("tablefunc", f"SELECT * FROM crosstab('{STEAL}') AS t(a int, b text)", FUNCTION),
    Attempt(
        "connectby",
        "SELECT * FROM connectby('crm.people', 'email', 'email', '7', 1) AS t(a text, b text, c int)",
        FUNCTION,
    ),
    Attempt(
        "xpath_table",
        "SELECT * FROM xpath_table('id', 'email', 'crm.people', '/x', 'true') AS t(a int)",
        FUNCTION,
    ),
    Attempt("dblink", f"SELECT * FROM dblink('dbname=x', '{STEAL}') AS t(a text)", FUNCTION),
    Attempt("a refcursor's function", "SELECT crm.tell('c'::refcursor)", FUNCTION),
    # --- the same functions without a function call: `(x).f` is `f(x)` ---
    Attempt("behind a dot", f"SELECT ('{WORDS}'::text).ts_stat", FUNCTION),
    Attempt("behind a dot, quoted", f"""SELECT ('{WORDS}'::text)."ts_stat\"""", FUNCTION),
    Attempt("behind a dot, a field of it", f"SELECT (('{WORDS}'::text).ts_stat).word", FUNCTION),
    Attempt("behind a dot, all fields of it", f"SELECT (('{WORDS}'::text).ts_stat).*", FUNCTION),
    Attempt("behind a subscript and a dot", f"SELECT (ARRAY['{WORDS}'])[1].ts_stat", FUNCTION),
    Attempt("behind a dot of a sub-query", f"SELECT (SELECT '{WORDS}'::text).ts_stat", FUNCTION),
    Attempt(
        "behind a dot of a parameter",
        "SELECT ($1::text).ts_stat",
        FUNCTION,
        parameters=("select 1",),
    ),
    Attempt(
        "behind a dot of CASE",
        f"SELECT (CASE WHEN true THEN '{WORDS}'::text END).ts_stat",
        FUNCTION,
    ),
    Attempt(
        "behind the name of a function in FROM",
        f"SELECT x.ts_stat FROM unnest(ARRAY['{WORDS}']) AS x",
        FUNCTION,
    ),
    Attempt(
        "behind a function's own name",
        f"SELECT unnest.ts_stat FROM unnest(ARRAY['{WORDS}'])",
        FUNCTION,
    ),
    Attempt(
        "behind a function with a column's alias",
        f"SELECT x.ts_stat FROM unnest(ARRAY['{WORDS}']) AS x(y)",
        FUNCTION,
    ),
    Attempt(
        "behind a function, from an inner query",
        f"SELECT (SELECT x.ts_stat LIMIT 1) FROM unnest(ARRAY['{WORDS}']) AS x",
        FUNCTION,
    ),
    Attempt(
        "behind a function of a lateral item",
        f"SELECT y.z FROM unnest(ARRAY['{WORDS}']) AS x, LATERAL (SELECT x.ts_stat AS z) y",
        FUNCTION,
    ),
    Attempt(
        "behind a function without parentheses",
        """SELECT "current_user".tell_text FROM current_user""",
        FUNCTION,
    ),
    Attempt(
        "behind ROWS FROM",
        f"SELECT x.ts_stat FROM ROWS FROM (unnest(ARRAY['{WORDS}'])) AS x",
        FUNCTION,
    ),
    Attempt(
        "behind a function WITH ORDINALITY",
        f"SELECT x.ts_stat FROM unnest(ARRAY['{WORDS}']) WITH ORDINALITY AS x",
        FUNCTION,
    ),
    Attempt(
        "behind a dot, in WHERE",
        "SELECT 1 FROM ref.shops WHERE (7::bigint).tell LIKE 'S%'",
        FUNCTION,
    ),
    Attempt(
        "behind a dot, in ORDER BY", "SELECT 1 FROM ref.shops ORDER BY (7::bigint).tell", FUNCTION
    ),
    Attempt("a function of the schema behind a dot", "SELECT (7::bigint).tell", FUNCTION),
    Attempt("a function of text behind a dot", "SELECT ('7'::text).tell_text", FUNCTION),
    Attempt("a function with a default behind a dot", "SELECT (7::bigint).tell_default", FUNCTION),
    Attempt("a variadic function behind a dot", "SELECT (7::bigint).tell_many", FUNCTION),
    Attempt("a function behind a column and a dot", "SELECT (id).tell FROM crm.people", FUNCTION),
    Attempt(
        "a function behind a generated row",
        "SELECT g.tell FROM generate_series(7::bigint, 10) AS g",
        FUNCTION,
    ),
    Attempt(
        "a function of rows behind an alias", "SELECT p.tell_row FROM crm.people AS p", FUNCTION
    ),
    Attempt(
        "a function of anything behind an alias", "SELECT p.tell_any FROM crm.people AS p", FUNCTION
    ),
    Attempt(
        "a function of rows behind a whole row",
        "SELECT (p).tell_row FROM crm.people AS p",
        FUNCTION,
    ),
    Attempt(
        "a function of rows behind table and schema",
        "SELECT crm.people.tell_row FROM crm.people",
        FUNCTION,
    ),
    Attempt(
        "a function of the table's own type", "SELECT p.tell_person FROM crm.people AS p", FUNCTION
    ),
    Attempt("a sequence behind a dot", "SELECT ('crm.people_id'::regclass).nextval", FUNCTION),
    Attempt(
        "a size behind a dot", "SELECT ('crm.visits'::regclass).pg_total_relation_size", FUNCTION
    ),
    Attempt("a sleep behind a dot", "SELECT (0.01::float8).pg_sleep", FUNCTION),
    Attempt("a file behind a dot", "SELECT ('postgresql.conf'::text).pg_read_file", FUNCTION),
    Attempt("a domain's check behind a dot", "SELECT ('x'::text).teller", FUNCTION),
    Attempt("a set of a cast and a dot", "SELECT (('7'::text).tell_text).length", FUNCTION),
    Attempt(
        "fields of rows are still read behind a dot",
        "SELECT (p).email, (p).id FROM crm.people AS p",
        Answered(10),
    ),
    Attempt(
        "fields of functions are still read behind a dot",
        "SELECT (information_schema._pg_expandarray(ARRAY[1, 2])).n",
        Answered(2),
    ),
    Attempt(
        "keywords are still read behind a dot",
        "SELECT (pg_get_keywords()).word LIMIT 1",
        Answered(1),
    ),
    Attempt(
        "harmless functions may stand behind a dot",
        "SELECT (email).upper FROM crm.people",
        Answered(10),
    ),
    # --- functions of the database ---
    Attempt("somebody's function, SECURITY DEFINER", "SELECT crm.tell(7)", FUNCTION),
    Attempt("found by the path", "SELECT tell(7)", FUNCTION),
    Attempt("in FROM", "SELECT * FROM crm.tell(7)", FUNCTION),
    Attempt("without arguments", "SELECT crm.tell_nothing()", FUNCTION),
    Attempt("variadic", "SELECT crm.tell_many(VARIADIC ARRAY[7])", FUNCTION),
    Attempt("with a whole row", "SELECT crm.tell_person(p) FROM crm.people AS p", FUNCTION),
    Attempt("with a row of its own making", "SELECT tell_row(ROW(1))", FUNCTION),
    Attempt("an aggregate of somebody's", "SELECT crm.spy_all(country) FROM crm.people", FUNCTION),
    Attempt(
        "an aggregate as a window", "SELECT spy_all(country) OVER () FROM crm.people", FUNCTION
    ),
    Attempt("an operator of somebody's", "SELECT 'a' OPERATOR(crm.<=>>) 'b'", FUNCTION),
    Attempt("an operator found by the path", "SELECT 'a' <=>> 'b'", FUNCTION),
    Attempt(
        "an operator in ORDER BY USING",
        "SELECT email FROM crm.people ORDER BY email USING OPERATOR(crm.<=>>)",
        Anything(),
    ),
    Attempt("an operator with ANY", "SELECT 'a' OPERATOR(crm.<=>>) ANY (ARRAY['b'])", FUNCTION),
    Attempt("a domain whose check is a function", "SELECT 'x'::crm.teller", TYPE),
    Attempt("a domain as an array", "SELECT ARRAY['x']::crm.teller[]", TYPE),
    Attempt(
        "a domain by a column definition",
        "SELECT * FROM jsonb_to_recordset('[{\"a\": 1}]') AS x(a crm.teller)",
        TYPE,
    ),
    Attempt(
        "a domain by JSON_TABLE",
        "SELECT * FROM JSON_TABLE(jsonb '[1]', '$[*]' COLUMNS (a crm.teller PATH '$'))",
        TYPE,
    ),
    Attempt(
        "a domain by JSON_VALUE", "SELECT JSON_VALUE(jsonb '\"a\"', '$' RETURNING crm.teller)", TYPE
    ),
    Attempt(
        "a domain by JSON_QUERY", "SELECT JSON_QUERY(jsonb '\"a\"', '$' RETURNING crm.teller)", TYPE
    ),
    Attempt("a domain by typed literal", "SELECT crm.teller 'x'", TYPE),
    Attempt("a domain by CAST", "SELECT CAST('x' AS teller)", TYPE),
    Attempt("a domain as a function", "SELECT teller('x')", FUNCTION),
    Attempt(
        "a row type of a table",
        "SELECT (jsonb_populate_record(NULL::crm.people, '{}')).email",
        Anything(),
    ),
    Attempt(
        "a row type by json_to_record",
        "SELECT * FROM json_to_record('{\"a\": null}') AS x(a crm.people)",
        TYPE,
    ),
    Attempt("a type by a column's name", "SELECT 'x'::crm.people.email%TYPE", Anything()),
    # --- files, sizes, sessions, locks, sequences ---
    Attempt("a file", "SELECT pg_read_file('postgresql.conf')", FUNCTION),
    Attempt("a folder", "SELECT pg_ls_dir('.')", FUNCTION),
    Attempt("a large object", "SELECT lo_get(1)", FUNCTION),
    Attempt("a large object's import", "SELECT lo_import('/etc/hostname')", FUNCTION),
    Attempt(
        "a relation's size",
        "SELECT WHERE pg_relation_size('crm.visits') IS NOT NULL",
        Answered(0),
    ),
    Attempt("a table's size", "SELECT WHERE pg_table_size('crm.visits') IS NOT NULL", Answered(0)),
    Attempt(
        "the live rows of a table",
        "SELECT WHERE pg_stat_get_live_tuples('crm.visits'::regclass) IS NOT NULL",
        Answered(0),
    ),
    Attempt("what others run", "SELECT pg_stat_get_activity(NULL)", FUNCTION),
    Attempt("our own rewritten text", "SELECT current_query()", FUNCTION),
    Attempt("a sequence", "SELECT nextval('crm.people_id')", FUNCTION),
    Attempt(
        "a sequence's value", "SELECT pg_sequence_last_value('crm.people_id'::regclass)", FUNCTION
    ),
    Attempt("setting a sequence", "SELECT setval('crm.people_id', 1)", FUNCTION),
    Attempt("a sleep", "SELECT pg_sleep(0.01)", FUNCTION),
    Attempt("a lock that others can see", "SELECT pg_advisory_lock(7)", FUNCTION),
    Attempt("a word to others", "SELECT pg_notify('x', 'y')", FUNCTION),
    Attempt("ending somebody's session", "SELECT pg_terminate_backend(1)", FUNCTION),
    Attempt("cancelling", "SELECT pg_cancel_backend(1)", FUNCTION),
    Attempt("a snapshot to take along", "SELECT pg_export_snapshot()", FUNCTION),
    Attempt("a page of a table", "SELECT get_raw_page('crm.people', 0)", FUNCTION),
    Attempt(
        "which partition would hold it",
        "SELECT satisfies_hash_partition('crm.events'::regclass, 1, 0, 7)",
        FUNCTION,
    ),
    Attempt("an old row version", "SELECT currtid2('crm.people', '(0,1)'::tid)", Anything()),
    Attempt(
        "a view's text",
        "SELECT WHERE pg_get_viewdef('crm.people_view'::regclass) IS NOT NULL",
        TABLE,
    ),
    Attempt(
        "a function's text",
        "SELECT WHERE pg_get_functiondef('crm.tell'::regproc) IS NOT NULL",
        TABLE,
    ),
    Attempt("a rule's text", "SELECT WHERE pg_get_ruledef(1) IS NOT NULL", Answered(0)),
    Attempt(
        "extended statistics",
        "SELECT * FROM pg_mcv_list_items((SELECT stxdmcv FROM pg_statistic_ext_data LIMIT 1))",
        Anything(),
    ),
    Attempt("the log", "SELECT pg_current_logfile()", FUNCTION),
    Attempt("transactions", "SELECT pg_current_snapshot(), txid_current()", FUNCTION),
    Attempt("an input function", "SELECT regclassin('crm.people')", FUNCTION),
    Attempt("a selectivity estimator", "SELECT eqsel(NULL, 0, NULL, 0)", FUNCTION),
    Attempt("plpgsql in a query", "SELECT plpgsql_call_handler()", FUNCTION),
    # --- what is allowed keeps to guarded values ---
    Attempt(
        "harmless functions of masked values",
        "SELECT reverse(email), md5(alias), upper(name), length(phone), encode(blob, 'hex') FROM crm.people",
        Answered(10),
    ),
    Attempt(
        "XML of masked values",
        "SELECT xmlagg(xml('<a>' || id || '</a>')) FROM crm.people",
        Anything(),
    ),
    Attempt(
        "names that do not exist",
        "SELECT 'crm.nothing'::regclass",
        TABLE,
    ),
    Attempt(
        "a masked value as a name in an error",
        "SELECT alias::regclass FROM crm.people WHERE id > 6",
        Answered(4),
    ),
]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_no_function_reads_past_the_guards(pair: Pair, attempt: Attempt) -> None:
    try_in_both(pair, attempt)
