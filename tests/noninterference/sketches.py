"""Statements of shapes that the grammar of `queries.py` does not make.

`{relation}` stands for any relation, always with the alias p, `{people}` for that of people;
`{where}` for a condition on p, `{text}` and other families for an expression over p, `{key}` for
the name of a number that leads to something, `{column}` for any column's name. An order in one is
total.
"""

from __future__ import annotations

from typing import Final

_SKETCHES: Final = """
SELECT name(p) AS c1 FROM {people} AS p WHERE {where}

SELECT (p).{column} AS c1, (p.*).id AS c2 FROM {relation} AS p WHERE {where} ORDER BY p.id

SELECT p AS c1 FROM {relation} AS p WHERE {where} ORDER BY p::text

SELECT DISTINCT p AS c1 FROM {relation} AS p WHERE {where}

SELECT count(DISTINCT p::text) AS c1, count(p) AS c2 FROM {relation} AS p WHERE {where}

SELECT p.id AS c1 FROM {relation} AS p WHERE p::text IN (SELECT q::text FROM {relation} AS q)

SELECT row_to_json(p) AS c1, to_jsonb(p) - 'id' AS c2 FROM {relation} AS p WHERE {where}

SELECT p.id AS c1, p.{column} AS c2, count(*) AS c3 FROM {people} AS p GROUP BY p.id HAVING
  {having}

SELECT p.plan AS c1, grouping(p.plan) AS c2, count(*) AS c3 FROM {people} AS p WHERE {where}
  GROUP BY GROUPING SETS ((p.plan), ())

SELECT {text} AS c1, {int} AS c2, count(*) AS c3 FROM {relation} AS p GROUP BY DISTINCT ROLLUP
  (1), CUBE (1, 2)

SELECT p.id AS c1, count(*) OVER w AS c2, first_value({text}) OVER w AS c3 FROM {relation} AS p
  WINDOW w AS (ORDER BY p.id GROUPS BETWEEN 1 PRECEDING AND 2 FOLLOWING)

SELECT p.id AS c1, sum({int}) OVER (ORDER BY p.id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT
  ROW EXCLUDE GROUP) AS c2 FROM {relation} AS p WHERE {where}

SELECT p.id AS c1, nth_value({text}, 2) OVER (PARTITION BY p.{key} ORDER BY p.id RANGE BETWEEN 2
  PRECEDING AND UNBOUNDED FOLLOWING) AS c2 FROM {relation} AS p

SELECT j.id AS c1, p.{column} AS c2 FROM {relation} AS p JOIN {relation} AS q USING (id) AS j
  WHERE {where}

SELECT p.{column} AS c1, q.n AS c2 FROM {relation} AS p LEFT JOIN LATERAL (SELECT count(*) AS n
  FROM {people} AS q WHERE q.id = p.{key}) AS q ON true WHERE {where}

SELECT p.id AS c1, x.id AS c2 FROM {people} AS p, LATERAL (SELECT v.id, v.url FROM web.views AS
  v WHERE v.person_id = p.id ORDER BY v.id LIMIT 2) AS x WHERE {where}

SELECT p.id AS c1, t.tag AS c2 FROM {people} AS p LEFT JOIN LATERAL unnest(ARRAY[{text},
  {text}]) AS t(tag) ON true WHERE {where}

SELECT ARRAY(SELECT {text} FROM {relation} AS p WHERE {where} ORDER BY 1) AS c1

SELECT EXISTS (TABLE {relation}) AS c1, (SELECT count(*) FROM {relation} AS p WHERE {where}) AS
  c2

VALUES ((SELECT max({text}) FROM {relation} AS p WHERE {where})), ('x')

SELECT * FROM (VALUES (1, (SELECT min({int}) FROM {relation} AS p WHERE {where}))) AS v(a, b)

SELECT {text} AS c1 FROM {relation} AS p WHERE {where} ORDER BY p.id USING >

SELECT p.id AS c1 FROM {relation} AS p WHERE {where} ORDER BY {text} COLLATE "C" NULLS FIRST,
  p.id DESC FETCH FIRST 3 ROWS ONLY

SELECT people.plan AS c1, crm.people.id AS c2 FROM crm.people WHERE crm.people.id < 9

SELECT views.*, people.plan FROM crm.people, web.views WHERE people.id = views.person_id

WITH RECURSIVE w(n, id) AS (SELECT 1, p.id FROM {relation} AS p WHERE {where} UNION ALL SELECT n
  + 1, w.id FROM w WHERE n < 3) SEARCH DEPTH FIRST BY id SET o SELECT id AS c1, n AS c2 FROM w

WITH RECURSIVE w(id, other) AS (SELECT p.from_id, p.to_id FROM sales.shares AS p UNION ALL
  SELECT w.id, s.to_id FROM w JOIN sales.shares AS s ON s.from_id = w.other) CYCLE other SET c
  USING path SELECT id AS c1, other AS c2, c AS c3 FROM w

WITH RECURSIVE w(id) AS (SELECT p.id FROM {relation} AS p WHERE {where} UNION SELECT p.{key}
  FROM {relation} AS p JOIN w ON w.id = p.id) SELECT id AS c1 FROM w ORDER BY 1

WITH w AS (SELECT p.*, {text} AS more FROM {relation} AS p) SELECT a.more AS c1, b.more AS c2
  FROM w AS a JOIN w AS b ON a.id = b.id

WITH w AS NOT MATERIALIZED (SELECT p.id, {text} AS more FROM {relation} AS p) SELECT * FROM w AS
  a WHERE a.id IN (SELECT b.id FROM w AS b WHERE b.more > 'b')

SELECT j.v AS c1, count(*) AS c2 FROM crm.people AS p, JSON_TABLE(p.prefs, '$.*' COLUMNS (v text
  PATH '$')) AS j WHERE {where} GROUP BY 1

SELECT * FROM ONLY {relation} AS p WHERE {where}

SELECT p.at AS c1, date_trunc('week', p.at) AS c2, count(*) AS c3 FROM web.views AS p WHERE
  {where} GROUP BY 1, 2

SELECT range_agg(p.stay) AS c1, range_intersect_agg(p.stay) AS c2 FROM crm.people AS p WHERE
  {where}

SELECT p.id AS c1, p.at - lag(p.at) OVER (PARTITION BY p.person_id ORDER BY p.at, p.id) >
  interval '1 day' AS c2 FROM web.views AS p WHERE {where}

SELECT corr({int}, {int}) IS NULL AS c1, regr_count({int}, {int}) AS c2 FROM {relation} AS p
  WHERE {where}
"""
SKETCHES: Final = tuple(" ".join(each.split()) for each in _SKETCHES.strip().split("\n\n"))
