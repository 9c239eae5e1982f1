"""Ways to the rows around the name that the policy guards."""

# ruff: noqa: E501 - an attempt is one line of a table

from __future__ import annotations

import pytest

from tests.bypass.attempts import (
    FUNCTION,
    KIND,
    NO_COLUMN,
    SYNTAX,
    TABLE,
    TYPE,
    UNCLEAR,
    Answered,
    Anything,
    Attempt,
    Fails,
    try_in_both,
)
from tests.bypass.worlds import Pair

_SHADOW = "WITH people AS (SELECT 1 AS id, 'x' AS email)"

ATTEMPTS = [
    # --- other relations over the same rows ---
    Attempt("a view over the table", "SELECT email FROM crm.people_view", TABLE),
    Attempt("a materialised view of it", "SELECT email FROM crm.people_copy", TABLE),
    Attempt("a partition", "SELECT what FROM crm.events_1", TABLE),
    Attempt(
        "a partition, through its parent", "SELECT what FROM crm.events WHERE id > 6", Answered(4)
    ),
    Attempt("an inheritance child", "SELECT text FROM crm.loose_child", TABLE),
    Attempt("inheritance, through the parent", "SELECT text FROM crm.loose", Answered(2)),
    Attempt("a table that the policy does not name", "SELECT secret FROM crm.internal", TABLE),
    Attempt("a table of another schema", "SELECT email FROM private.people", TABLE),
    Attempt("a table behind a view", "SELECT * FROM private.members", TABLE),
    Attempt("an index", "SELECT * FROM crm.people_pkey", TABLE),
    Attempt("a composite type", "SELECT * FROM crm.place", TABLE),
    Attempt("no such relation: the same answer", "SELECT * FROM crm.nothing", TABLE),
    Attempt("a relation's oid as its name", 'SELECT * FROM "16400"', TABLE),
    Attempt("a file as a relation", "SELECT * FROM 'people.csv'", SYNTAX),
    # --- how it is named in FROM ---
    Attempt("ONLY", "SELECT text FROM ONLY crm.loose", KIND),
    Attempt("ONLY with parentheses", "SELECT text FROM ONLY (crm.loose)", KIND),
    Attempt("ONLY of a partitioned table", "SELECT what FROM ONLY crm.events", KIND),
    Attempt("ONLY of what has no children", "SELECT email FROM ONLY crm.people", Answered(10)),
    Attempt("ONLY of a hidden table", "SELECT secret FROM ONLY crm.internal", TABLE),
    Attempt("the asterisk of old", "SELECT email FROM crm.people * WHERE id = 7", Answered(1)),
    Attempt("TABLESAMPLE", "SELECT email FROM crm.people TABLESAMPLE bernoulli (100)", KIND),
    Attempt(
        "TABLESAMPLE SYSTEM, repeatable",
        "SELECT email FROM crm.people TABLESAMPLE system (100) REPEATABLE (1)",
        KIND,
    ),
    Attempt("FOR UPDATE", "SELECT email FROM crm.people FOR UPDATE", KIND),
    Attempt(
        "FOR NO KEY UPDATE OF", "SELECT p.email FROM crm.people p FOR NO KEY UPDATE OF p", KIND
    ),
    Attempt(
        "FOR SHARE in a sub-query", "SELECT * FROM (SELECT email FROM crm.people FOR SHARE) x", KIND
    ),
    Attempt(
        "FOR KEY SHARE SKIP LOCKED", "SELECT email FROM crm.people FOR KEY SHARE SKIP LOCKED", KIND
    ),
    Attempt("TABLE", "TABLE crm.people", Answered(10)),
    Attempt("TABLE of a hidden table", "TABLE crm.internal", TABLE),
    Attempt(
        "in a parenthesised join",
        "SELECT ss0.email FROM ref.shops i0 RIGHT JOIN ((SELECT 1 AS x) ss1 LEFT JOIN (SELECT email, 1 AS x FROM crm.people i2 WHERE id = 7) ss2 USING (x)) ss0 ON true",
        Answered(2),
    ),
    Attempt(
        "a hidden table in a parenthesised join",
        "SELECT ss0.email FROM ref.shops i0 RIGHT JOIN ((SELECT 1 AS x) ss1 LEFT JOIN (SELECT email, 1 AS x FROM crm.people_view i2 WHERE id = 7) ss2 USING (x)) ss0 ON true",
        TABLE,
    ),
    Attempt(
        "a join in parentheses",
        "SELECT * FROM (crm.people p JOIN crm.orders o ON o.person_id = p.id) WHERE p.id > 6",
        Answered(4),
    ),
    Attempt(
        "a join with a name",
        "SELECT j.d FROM (crm.people p CROSS JOIN ref.shops s) AS j(a, b, c, d) WHERE a > 6",
        Answered(8),
    ),
    Attempt(
        "a join's whole row",
        "SELECT j FROM (crm.people p JOIN ref.shops s ON s.id = p.id) AS j",
        Answered(2),
    ),
    Attempt(
        "a join's stars",
        "SELECT j.* FROM (crm.people p JOIN crm.orders o ON o.person_id = p.id) AS j",
        Answered(10),
    ),
    Attempt("NATURAL JOIN", "SELECT * FROM crm.people NATURAL JOIN crm.orders", Answered(10)),
    Attempt(
        "NATURAL JOIN with a hidden column's name",
        "SELECT 1 FROM crm.people NATURAL JOIN (SELECT 'Szqxjkvpw-unlisted7' AS unlisted) x",
        Answered(10),
    ),
    Attempt(
        "JOIN USING a masked column",
        "SELECT p.id FROM crm.people p JOIN crm.people q USING (alias) WHERE p.id > 6",
        Answered(0),
    ),
    Attempt(
        "JOIN USING with an alias",
        "SELECT u.email, u FROM crm.people p JOIN crm.people q USING (email) AS u WHERE p.id > 6 AND q.id > 6",
        Answered(16),
    ),
    Attempt(
        "JOIN USING a hidden column",
        "SELECT 1 FROM crm.people p JOIN crm.people q USING (unlisted)",
        Fails("42703"),
    ),
    Attempt(
        "LATERAL",
        "SELECT y.e FROM crm.people p, LATERAL (SELECT p.email AS e) y WHERE p.id > 6",
        Answered(4),
    ),
    Attempt(
        "LATERAL VALUES",
        "SELECT y.e FROM crm.people p, LATERAL (VALUES (p.email), (p.alias)) y(e) WHERE p.id > 6",
        Answered(8),
    ),
    Attempt(
        "UNNEST of masked values",
        "SELECT y FROM crm.people p, unnest(ARRAY[p.email, p.alias] || p.tags) y WHERE p.id > 6",
        Answered(8),
    ),
    Attempt(
        "JSON of masked values, unnested",
        "SELECT y.value FROM crm.people p, LATERAL jsonb_each(to_jsonb(p)) y WHERE p.id > 6",
        Anything(),
    ),
    Attempt("a name's database", "SELECT email FROM nowhere.crm.people", UNCLEAR),
    # --- system columns ---
    Attempt("ctid", "SELECT ctid FROM crm.people", NO_COLUMN),
    Attempt("xmin, with a qualifier", "SELECT p.xmin FROM crm.people p", NO_COLUMN),
    Attempt("tableoid", "SELECT tableoid FROM crm.people", NO_COLUMN),
    Attempt("ctid as a condition", "SELECT id FROM crm.people WHERE ctid = '(0,1)'", NO_COLUMN),
    Attempt("a cast to tid", "SELECT '(0,1)'::tid", TYPE),
    # --- hidden columns ---
    Attempt("a column that is not listed", "SELECT unlisted FROM crm.people", NO_COLUMN),
    Attempt(
        "as a condition",
        "SELECT id FROM crm.people WHERE unlisted = 'Szqxjkvpw-unlisted7'",
        NO_COLUMN,
    ),
    Attempt("with a qualifier", "SELECT p.unlisted FROM crm.people p", NO_COLUMN),
    Attempt("with table and schema", "SELECT crm.people.unlisted FROM crm.people", NO_COLUMN),
    Attempt("of a whole row", "SELECT (p).unlisted FROM crm.people p", Fails("42703")),
    Attempt(
        "by a column alias",
        "SELECT z FROM crm.people AS p(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, q, r, s, t, u, v, w, x, y, z)",
        Anything(),
    ),
    Attempt(
        "by more column aliases than columns",
        f"SELECT c29 FROM crm.people AS p({', '.join(f'c{n}' for n in range(1, 30))})",
        Fails("42P10"),
    ),
    Attempt(
        "in an inner query that could take it from outside",
        "SELECT (SELECT p.unlisted FROM crm.people q LIMIT 1) FROM crm.people p",
        NO_COLUMN,
    ),
    Attempt(
        "from outside, where an outer relation has it",
        "SELECT (SELECT unlisted FROM crm.people q WHERE q.id = 7) FROM (SELECT 'mine' AS unlisted) o",
        Answered(1),
    ),
    Attempt("a dropped column", "SELECT churn FROM crm.people", NO_COLUMN),
    Attempt("dropped for this purpose", "SELECT event FROM crm.people", NO_COLUMN, tool="mailer"),
    # --- whole rows ---
    Attempt("the whole row", "SELECT p FROM crm.people p WHERE id > 6", Answered(4)),
    Attempt("the whole row as text", "SELECT p::text FROM crm.people p WHERE id > 6", Answered(4)),
    Attempt(
        "the whole row, without an alias", "SELECT people FROM crm.people WHERE id > 6", Answered(4)
    ),
    Attempt("the whole row's fields", "SELECT (p).* FROM crm.people p WHERE id > 6", Answered(4)),
    Attempt("ROW of stars", "SELECT ROW(p.*)::text FROM crm.people p WHERE id > 6", Answered(4)),
    Attempt(
        "rows as JSON",
        "SELECT row_to_json(p), to_jsonb(p.*), json_agg(p) OVER () FROM crm.people p WHERE id > 6",
        Answered(4),
    ),
    Attempt("an array of rows", "SELECT array_agg(p)::text FROM crm.people p", Answered(1)),
    Attempt("rows compared", "SELECT p.id FROM crm.people p WHERE p = p", Answered(10)),
    Attempt("rows sorted", "SELECT id FROM crm.people p ORDER BY p DESC", Answered(10)),
    Attempt("rows grouped", "SELECT p::text, count(*) FROM crm.people p GROUP BY p", Answered(10)),
    Attempt("a column as a function", "SELECT email(p) FROM crm.people p", FUNCTION),
    Attempt("a hidden column as a function", "SELECT unlisted(p) FROM crm.people p", FUNCTION),
    Attempt("a row of NULL with the table's type", "SELECT (NULL::crm.people).email", TYPE),
    Attempt(
        "a path over the whole row",
        "SELECT jsonb_path_query(to_jsonb(p), '$.*') FROM crm.people p WHERE id > 6",
        Anything(),
    ),
    Attempt(
        "concat of the whole row",
        "SELECT concat(p) , format('%s', p) FROM crm.people p WHERE id > 6",
        Answered(4),
    ),
    Attempt(
        "the whole row is NULL", "SELECT p IS NULL, p IS NOT NULL FROM crm.people p", Answered(10)
    ),
    # --- names of CTEs ---
    Attempt(
        "a CTE of the table's name, and the table",
        f"{_SHADOW} SELECT email FROM crm.people WHERE id = 7",
        Answered(1),
    ),
    Attempt("a CTE of the table's name", f"{_SHADOW} SELECT email FROM people", Answered(1)),
    Attempt(
        "a CTE that reads its own name",
        "WITH people AS (SELECT email FROM people WHERE id = 7) SELECT * FROM people",
        Answered(1),
    ),
    Attempt(
        "a CTE that reads its own hidden name",
        "WITH people_view AS (SELECT email FROM people_view) SELECT * FROM people_view",
        TABLE,
    ),
    Attempt(
        "a forward reference",
        "WITH a AS (SELECT email FROM people_view), people_view AS (SELECT 'x' AS email) SELECT * FROM a",
        TABLE,
    ),
    Attempt(
        "a forward reference under RECURSIVE",
        "WITH RECURSIVE a AS (SELECT email FROM people_view), people_view AS (SELECT 'x' AS email) SELECT * FROM a",
        Anything(),
    ),
    Attempt(
        "a CTE out of scope",
        "SELECT * FROM (WITH people_view AS (SELECT 1) SELECT 1) x, people_view",
        TABLE,
    ),
    Attempt(
        "a CTE out of scope, in the other arm",
        "(WITH people_view AS (SELECT 'x' AS email) SELECT email FROM people_view) UNION ALL SELECT email FROM people_view",
        TABLE,
    ),
    Attempt(
        "a CTE of the arm's own",
        "SELECT 1 UNION ALL (WITH internal AS (SELECT 2 AS a) SELECT a FROM internal)",
        Answered(2),
    ),
    Attempt(
        "a CTE in an inner query",
        "SELECT (WITH internal AS (SELECT 2 AS a) SELECT a FROM internal), (SELECT secret FROM internal LIMIT 1)",
        TABLE,
    ),
    Attempt(
        "a CTE of another case",
        'WITH "People_View" AS (SELECT 1 AS email) SELECT email FROM people_view',
        TABLE,
    ),
    Attempt(
        "a CTE of a long name",
        f"WITH {'a' * 70} AS (SELECT 1 AS x) SELECT x FROM {'a' * 63}",
        Anything(),
    ),
    Attempt(
        "a CTE called as schema consent's table",
        "WITH subject AS (SELECT 1 AS subject_id) SELECT * FROM subject, crm.people WHERE id = 7",
        Answered(1),
    ),
    Attempt(
        "a CTE called t",
        "WITH t AS (SELECT 'mine' AS email), k0 AS (SELECT 1) SELECT people.email, t.email FROM crm.people, t WHERE id = 7",
        Answered(1),
    ),
    Attempt(
        "MATERIALIZED",
        "WITH x AS MATERIALIZED (SELECT * FROM crm.people) SELECT email FROM x WHERE id > 6",
        Answered(4),
    ),
    Attempt(
        "NOT MATERIALIZED",
        "WITH x AS NOT MATERIALIZED (SELECT * FROM crm.people) SELECT email FROM x WHERE id > 6",
        Answered(4),
    ),
    Attempt(
        "a recursive walk",
        "WITH RECURSIVE x AS (SELECT id, email FROM crm.people WHERE id = 1 UNION ALL SELECT p.id, p.email FROM crm.people p JOIN x ON p.id = x.id + 1) SELECT * FROM x",
        Answered(10),
    ),
    Attempt(
        "SEARCH in a recursive walk",
        "WITH RECURSIVE x AS (SELECT id FROM crm.people WHERE id = 1 UNION ALL SELECT p.id FROM crm.people p JOIN x ON p.id = x.id + 1) SEARCH DEPTH FIRST BY id SET o SELECT * FROM x",
        Anything(),
    ),
    Attempt(
        "CYCLE in a recursive walk",
        "WITH RECURSIVE x AS (SELECT id FROM crm.people_view UNION ALL SELECT id FROM x) CYCLE id SET c USING p SELECT * FROM x",
        Anything(),
    ),
    Attempt(
        "a CTE with DELETE",
        "WITH d AS (DELETE FROM crm.people RETURNING email) SELECT * FROM d",
        Anything(),
    ),
    # --- set operations, sub-queries ---
    Attempt(
        "a UNION's arm",
        "SELECT 'x' UNION ALL SELECT email FROM crm.people WHERE id > 6",
        Answered(5),
    ),
    Attempt(
        "a UNION's arm of a hidden table",
        "SELECT 'x' UNION ALL SELECT secret FROM crm.internal",
        TABLE,
    ),
    Attempt(
        "INTERSECT as a probe",
        "SELECT email FROM crm.people INTERSECT SELECT 'Szqxjkvpw-email7@leak.example'",
        Answered(0),
    ),
    Attempt(
        "EXCEPT as a probe",
        "SELECT count(*) FROM (SELECT 'Szqxjkvpw-email7@leak.example' EXCEPT SELECT email FROM crm.people) x",
        Answered(1),
    ),
    Attempt(
        "a scalar sub-query", "SELECT (SELECT email FROM crm.people WHERE id = 7)", Answered(1)
    ),
    Attempt(
        "a scalar sub-query of a hidden table",
        "SELECT (SELECT secret FROM crm.internal LIMIT 1)",
        TABLE,
    ),
    Attempt(
        "ARRAY of a sub-query",
        "SELECT ARRAY(SELECT email FROM crm.people WHERE id > 6)",
        Answered(1),
    ),
    Attempt(
        "EXISTS on a hidden table",
        "SELECT EXISTS (SELECT 1 FROM crm.internal WHERE secret LIKE 'S%')",
        TABLE,
    ),
    Attempt("IN a hidden table", "SELECT 1 WHERE 'x' IN (SELECT secret FROM crm.internal)", TABLE),
    Attempt("a hidden table in LIMIT", "SELECT 1 LIMIT (SELECT count(*) FROM crm.internal)", TABLE),
    Attempt(
        "a hidden table in ORDER BY",
        "SELECT 1 FROM ref.shops ORDER BY (SELECT count(*) FROM crm.internal)",
        TABLE,
    ),
    Attempt(
        "a hidden table in GROUP BY",
        "SELECT 1 FROM ref.shops GROUP BY (SELECT max(secret) FROM crm.internal)",
        TABLE,
    ),
    Attempt(
        "a hidden table in HAVING", "SELECT 1 HAVING (SELECT count(*) FROM crm.internal) > 1", TABLE
    ),
    Attempt(
        "a hidden table in a window",
        "SELECT count(*) OVER (ORDER BY (SELECT max(secret) FROM crm.internal)) FROM ref.shops",
        TABLE,
    ),
    Attempt(
        "a hidden table in a join's condition",
        "SELECT 1 FROM ref.shops a JOIN ref.shops b ON EXISTS (SELECT 1 FROM crm.internal)",
        TABLE,
    ),
    Attempt(
        "a hidden table in VALUES", "VALUES ((SELECT secret FROM crm.internal LIMIT 1))", TABLE
    ),
    Attempt(
        "a hidden table in a function's argument",
        "SELECT upper((SELECT secret FROM crm.internal LIMIT 1))",
        TABLE,
    ),
    Attempt(
        "a hidden table in CASE",
        "SELECT CASE (SELECT secret FROM crm.internal LIMIT 1) WHEN 'x' THEN 1 END",
        TABLE,
    ),
    Attempt(
        "a hidden table in a JSON path's variable",
        "SELECT JSON_VALUE(jsonb '1', '$' PASSING (SELECT secret FROM crm.internal LIMIT 1) AS x)",
        TABLE,
    ),
    Attempt(
        "a hidden table in JSON_ARRAY", "SELECT JSON_ARRAY(SELECT secret FROM crm.internal)", TABLE
    ),
    Attempt(
        "a hidden table in JSON_TABLE",
        "SELECT * FROM JSON_TABLE((SELECT jsonb_agg(secret) FROM crm.internal), '$[*]' COLUMNS (a text PATH '$'))",
        TABLE,
    ),
    Attempt(
        "a hidden table in DEFAULT of JSON_VALUE",
        "SELECT JSON_VALUE(jsonb '1', '$.a' DEFAULT (SELECT secret FROM crm.internal LIMIT 1) ON EMPTY)",
        Anything(),
    ),
    Attempt(
        "a hidden table in DISTINCT ON",
        "SELECT DISTINCT ON ((SELECT max(secret) FROM crm.internal)) 1",
        TABLE,
    ),
    Attempt(
        "a hidden table in FETCH FIRST",
        "SELECT 1 FETCH FIRST ((SELECT count(*) FROM crm.internal)) ROWS ONLY",
        TABLE,
    ),
    Attempt(
        "a hidden table as a quantifier's array",
        "SELECT 'x' = ANY (ARRAY(SELECT secret FROM crm.internal))",
        TABLE,
    ),
    Attempt(
        "a hidden table in TABLESAMPLE's argument",
        "SELECT 1 FROM ref.shops TABLESAMPLE system ((SELECT count(*) FROM crm.internal))",
        KIND,
    ),
]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_rows_are_reached_through_their_guard_alone(pair: Pair, attempt: Attempt) -> None:
    try_in_both(pair, attempt)


def test_a_partition_is_guarded_as_its_parent(pair: Pair) -> None:
    attempt = Attempt("parent", "SELECT id, what FROM crm.events ORDER BY id", Answered(10))
    try_in_both(pair, attempt)
