"""Spellings: comments, quotes, escapes, odd spaces, long names, several statements in one text."""

# ruff: noqa: E501 - an attempt is one line of a table

from __future__ import annotations

import pytest

from tests.bypass.attempts import (
    ANSWERED,
    FUNCTION,
    SYNTAX,
    TABLE,
    Answered,
    Anything,
    Attempt,
    Fails,
    Refused,
    try_in_both,
)
from tests.bypass.worlds import Pair

_LONG = "people_view" + "x" * 60
_DEEP = Refused("statement_too_deep")

ATTEMPTS = [
    # --- comments ---
    Attempt("a comment", "SELECT email /* people_view */ FROM crm.people -- crm.internal\n WHERE id = 7", Answered(1)),
    Attempt("a nested comment", "SELECT /* /* */ secret FROM crm.internal /* */ */ 1", Answered(1)),
    Attempt("a comment that ends itself", "SELECT 1 -- aa */ UNION SELECT secret FROM crm.internal --", Answered(1)),
    Attempt("a comment between schema and name", "SELECT secret FROM crm/**/./**/internal", TABLE),
    Attempt("a comment in a function's name", "SELECT query_to_xml/**/('select 1', true, true, '')", FUNCTION),
    Attempt("a comment of MySQL's", "SELECT /*! secret FROM crm.internal */ 1", Answered(1)),
    Attempt("a hint", "SELECT /*+ SeqScan(people) */ id FROM crm.people WHERE 1 / (id - 7) <> 5", Fails("22012")),
    Attempt("a comment that is not closed", "SELECT 1 /* SELECT 2", SYNTAX),
    Attempt("only a comment", "-- nothing", Anything(), ways=("simple", "extended")),
    # --- strings and names ---
    Attempt("a dollar-quoted string", "SELECT $$a' FROM crm.internal --$$", Answered(1)),
    Attempt("a tagged dollar quote", "SELECT $a$ $$ $b$ $a$, id FROM crm.people WHERE id = 7", Answered(1)),
    Attempt("a string with a backslash", "SELECT 'a\\' , email, '' FROM crm.people WHERE id = 7", Answered(1)),
    Attempt("an escape string", "SELECT E'a\\' , secret FROM crm.internal --'", Answered(1)),
    Attempt("an escape string with a quote inside", "SELECT E'a\\'', email FROM crm.people WHERE id = 7", Answered(1)),
    Attempt("adjacent strings", "SELECT 'a'\n'b', email FROM crm.people WHERE id = 7", Answered(1)),
    Attempt("a unicode string", "SELECT U&'\\0061', email FROM crm.people WHERE id = 7", Answered(1)),
    Attempt("a unicode name", 'SELECT secret FROM crm.U&"int\\0065rnal"', TABLE),
    Attempt("a unicode name with its own escape", "SELECT secret FROM crm.U&\"int!0065rnal\" UESCAPE '!'", TABLE),
    Attempt("a unicode column", 'SELECT U&"d!0069ary" UESCAPE \'!\' FROM crm.people', Answered(10)),
    Attempt("a quoted name", 'SELECT secret FROM "crm"."internal"', TABLE),
    Attempt("a quoted name of another case", 'SELECT 1 FROM crm."People"', TABLE),
    Attempt("a name with a dot in it", 'SELECT 1 FROM "crm.people"', TABLE),
    Attempt("a name with a quote in it", 'SELECT 1 FROM crm."peo""ple"', TABLE),
    Attempt("an alias with quotes in it", 'SELECT "a"") x".email FROM crm.people AS "a"") x" WHERE "a"") x".id = 7', Answered(1)),
    Attempt("a column alias with SQL in it", 'SELECT email AS "x FROM crm.internal --" FROM crm.people WHERE id = 7', Answered(1)),
    Attempt("a column alias with a quote", "SELECT email AS \"x' OR '1'='1\" FROM crm.people WHERE id = 7", Answered(1)),
    Attempt("an empty name", 'SELECT 1 FROM ""', SYNTAX),
    Attempt("upper case", "SELECT SECRET FROM CRM.INTERNAL", TABLE),
    Attempt("upper case of what is allowed", "SELECT EMAIL FROM CRM.PEOPLE WHERE ID = 7", Answered(1)),
    Attempt("letters that fold elsewhere", "SELECT 1 FROM crm.PEOPL\u0130", TABLE),
    Attempt("the Kelvin sign", "SELECT 1 FROM crm.\u212aunden", TABLE),
    Attempt("a name that is cut", f"SELECT 1 FROM crm.{_LONG}", TABLE),
    Attempt("an alias that is cut", f"SELECT {'p' * 63}.email FROM crm.people AS {'p' * 70} WHERE {'p' * 65}.id = 7", Answered(1)),
    Attempt("two aliases that are one when cut", f"SELECT 1 FROM crm.people {'p' * 64}a, ref.shops {'p' * 64}b", Fails("42712")),
    Attempt("a keyword as a name", 'SELECT "select".email FROM crm.people AS "select" WHERE "select".id = 7', Answered(1)),
    Attempt("names of functions as names", "SELECT length.email FROM crm.people AS length WHERE length.id = 7", Answered(1)),
    # --- spaces ---
    Attempt("a no-break space in a name", "SELECT secret FROM crm.internal\u00a0x", TABLE),
    Attempt("a no-break space before a name", "SELECT email FROM\u00a0crm.people", Anything()),
    Attempt("an ideographic space", "SELECT email FROM crm.people\u3000WHERE id = 7", Anything()),
    Attempt("a line separator", "SELECT email FROM crm.people --\u2028 UNION SELECT secret FROM crm.internal", Answered(10)),
    Attempt("next line", "SELECT email FROM crm.people --\u0085 UNION SELECT secret FROM crm.internal", Answered(10)),
    Attempt("a carriage return ends a comment", "SELECT 1 --\r UNION SELECT 2", Answered(2)),
    Attempt("vertical tab and form feed", "SELECT\vemail\fFROM crm.people WHERE id = 7", Anything()),
    Attempt("file separators", "SELECT\x1cemail\x1dFROM crm.people", SYNTAX),
    Attempt("a zero-width space", "SELECT secret FROM crm.\u200binternal", TABLE),
    Attempt("a byte order mark", "\ufeffSELECT email FROM crm.people", Anything()),
    Attempt("full-width letters", "SELECT \uff45mail FROM crm.people", Fails("42703")),
    # --- numbers and parameters ---
    Attempt("numbers with underscores", "SELECT 1_000, 0x1F, 0o17, 0b11 FROM crm.people WHERE id = 0x7", Answered(1)),
    Attempt("a number that runs into a word", "SELECT 1a FROM crm.people", SYNTAX),
    Attempt("a parameter without a value", "SELECT $1", Anything()),
    Attempt("a parameter that is not there", "SELECT $2::text, id FROM crm.people WHERE id = 7", Anything(), parameters=("a", "b")),
    Attempt("a parameter as a table", "SELECT * FROM $1", SYNTAX),
    Attempt("a question mark", "SELECT * FROM crm.people WHERE id = ?", SYNTAX),
    Attempt("a named parameter", "SELECT * FROM crm.people WHERE id = :id", SYNTAX),
    # --- what only other databases understand ---
    Attempt("FROM first", "FROM crm.people", SYNTAX),
    Attempt("EXCEPT columns", "SELECT * EXCEPT (id) FROM crm.people", SYNTAX),
    Attempt("QUALIFY", "SELECT id FROM crm.people QUALIFY true", Anything()),
    Attempt("LIMIT with a comma", "SELECT id FROM crm.people LIMIT 1, 2", SYNTAX),
    Attempt("PIVOT", "SELECT * FROM crm.people PIVOT (count(id) FOR country IN ('ES'))", SYNTAX),
    Attempt("NOLOCK", "SELECT * FROM crm.people WITH (NOLOCK)", SYNTAX),
    Attempt("SYSTEM_TIME", "SELECT * FROM crm.people FOR SYSTEM_TIME AS OF '2020-01-01'", SYNTAX),
    Attempt("a database link", "SELECT * FROM crm.people@elsewhere", SYNTAX),
    Attempt("a pipe", "FROM crm.people |> SELECT email", SYNTAX),
    Attempt("backticks", "SELECT `email` FROM crm.people", SYNTAX),
    Attempt("square brackets", "SELECT [email] FROM crm.people", SYNTAX),
    Attempt("psql's own", "\\d crm.people", SYNTAX),
    Attempt("GO", "SELECT 1\nGO\nSELECT 2", Anything()),
    # --- several statements ---
    Attempt("two statements", "SELECT 1; SELECT secret FROM crm.internal", Refused("table_not_in_policy", 1), ways=("simple",)),
    Attempt("two statements, the second hidden in a comment's end", "SELECT 1 /* ; */; SELECT secret FROM crm.internal", Refused("table_not_in_policy", 1), ways=("simple",)),
    Attempt("two statements in Parse", "SELECT 1; SELECT 2", SYNTAX, ways=("extended", "http")),
    Attempt("a write behind a read", "SELECT 1; DELETE FROM crm.people", Refused("statement_kind", 1), ways=("simple",)),
    Attempt("a write behind a quote", "SELECT E'O\\'Brien'; DELETE FROM crm.people", Refused("statement_kind", 1), ways=("simple",)),
    Attempt("empty statements", ";;; SELECT email FROM crm.people WHERE id = 7;;", Answered(1)),
    Attempt("a path, then an unqualified name", "SET search_path = ref; SELECT secret FROM internal", TABLE, ways=("simple",)),
    # --- size ---
    Attempt("deep parentheses", f"SELECT {'(' * 200}1{')' * 200}", _DEEP),
    Attempt("deep CASE", f"SELECT {'CASE WHEN true THEN ' * 150}1{' END' * 150}", _DEEP),
    Attempt("deep NOT", f"SELECT {'NOT ' * 3000}true", Anything()),
    Attempt("deep sub-queries", f"SELECT {'(SELECT ' * 120}1{')' * 120}", _DEEP),
    Attempt("deep arrays", f"SELECT {'ARRAY[' * 120}1{']' * 120}", _DEEP),
    Attempt("many ORs", f"SELECT id FROM crm.people WHERE {' OR '.join(f'id = {n}' for n in range(500))}", Anything()),
    Attempt("a long IN", f"SELECT id FROM crm.people WHERE alias IN ({','.join(repr(f'Szqxjkvpw-alias{n}') for n in range(500))})", Answered(0)),
    Attempt("a long chain of operators", f"SELECT {'1+' * 2000}1", Anything()),
    Attempt("a long chain of UNION", " UNION ALL ".join(["SELECT email FROM crm.people WHERE id = 7"] * 60), Answered(60)),
    Attempt("a large statement", f"SELECT '{'x' * 1_100_000}'", Refused("statement_too_large"), ways=("simple", "extended")),
    # --- what sqlglot would print differently must not change ---
    Attempt("multi-argument aggregates", "SELECT count(DISTINCT (alias, email)), regexp_count(max(email), '\\*') FROM crm.people", Answered(1)),
    Attempt("intervals", "SELECT interval(0) '1 day 01:23:45.6', interval '@ 34 years', interval '1' year", Answered(1)),
    Attempt("flags of functions", "SELECT regexp_like('A', 'a', 'i'), to_hex(255), current_time(0) IS NULL", Answered(1)),
    Attempt("odd operators", "SELECT @ -5, |/ 4, 5 !~~ 5", Anything()),
    Attempt("NOT IN and NOT LIKE", "SELECT id FROM crm.people WHERE NOT alias IN ('x') AND alias NOT LIKE 'y'", Answered(6)),
    Attempt("a type's name as a function", "SELECT int4 '7', \"int4\"(7), pg_catalog.int4('7')", Answered(1)),
    Attempt("quoted functions keep their case", 'SELECT "Lower"(\'A\')', FUNCTION),
    Attempt("window names", "SELECT sum(id) OVER w FROM crm.people WINDOW w AS (ORDER BY alias)", ANSWERED),
    Attempt("AT TIME ZONE and EXTRACT", "SELECT extract(year FROM seen AT TIME ZONE 'UTC') FROM crm.people", Answered(10)),
    Attempt("the second reader's own words", "SELECT TRY_CAST('1' AS int)", Anything()),
    Attempt("an operator that only one reader knows", "SELECT 1 ?- 2", Anything()),
    Attempt("a cast in an unusual place", 'SELECT id FROM crm.people ORDER BY (alias)::text COLLATE "C" DESC NULLS LAST LIMIT 1::bigint + 1', Answered(2)),
]  # fmt: skip


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_no_spelling_is_read_differently_here_and_there(pair: Pair, attempt: Attempt) -> None:
    try_in_both(pair, attempt)


def test_a_nul_ends_nothing(pair: Pair) -> None:
    """Over HTTP a NUL can be sent; PostgreSQL's protocol has none inside a string."""
    attempt = Attempt(
        "NUL", "SELECT 1 \0 FROM crm.internal", Refused("invalid_request"), ways=("http",)
    )
    try_in_both(pair, attempt)
