SELECT 1_000 AS a, 0x1F AS b, 0o17 AS c, 0b101 AS d, 1_000.5e1 AS e, .5 AS f, 5. AS g, 1e-3 AS h;

SELECT E'a\tb\u00e9\'' AS a, U&'d\0061t\+000061' AS b, U&'d!0061ta' UESCAPE '!' AS c, $$it's$$ AS d, $tag$ $$ $tag$ AS e, 'a''b' AS f, 'x'
  'y' AS g;

SELECT B'1010' AS bits, X'1FF' AS hex, B'101'::bit(3) AS b3, '1'::bit varying(5) AS v, N'nation' AS n;

SELECT id AS "Identität", full_name AS U&"n\0061me", email AS "e""mail" FROM crm.customers ORDER BY "Identität" LIMIT 2;

SELECT /* a comment with /* another */ inside */ id -- to the end; SELECT
FROM crm.customers -- FROM nobody
ORDER BY id LIMIT 1;

select ID from CRM.Customers order by Id limit 2;

SELECT CAST('1' AS integer) AS a, '1'::int4 AS b, int '1' AS c, pg_catalog.int4 '2' AS d, "numeric" '3.5' AS e, CAST(1.5 AS decimal(5, 2)) AS f;

SELECT 'a'::char(3) AS c, 'a'::character varying(3) AS v, 'a'::bpchar AS b, 'abc'::"char" AS q, 'abc'::name AS n, 'x'::text COLLATE "C" AS t, 'y'::national character varying(4) AS nv;

SELECT '1'::double precision AS d, '2'::float(10) AS r, '3'::float(40) AS f, '4'::real AS re, '5'::dec AS de, '6'::smallint AS s, '7'::int8 AS i8, '8'::numeric(6, 2) AS n, '9'::numeric(5) AS n5;

SELECT '12:00'::time(2) without time zone AS t, '12:00+1'::time with time zone AS tz, '2024-01-01'::timestamp(0) AS ts, '2024-01-01Z'::timestamp with time zone AS tstz, '1 day'::interval day AS i, '3 mons'::interval year to month AS ym;

SELECT 't'::boolean AS b, '{1}'::int[] AS a, '192.168.0.1/24'::inet AS i, '10.0.0.0/8'::cidr AS c, '08:00:2b:01:02:03'::macaddr AS m, '6ecd8c99-4036-403d-bf84-cf8400f67836'::uuid AS u;

SELECT '\xdeadbeef'::bytea AS b, encode('\xdead'::bytea, 'hex') AS h, decode('3q0=', 'base64') AS d, '1.5'::money IS NOT NULL AS m, '(1,2)'::point AS p, '[1,5)'::int4range AS r, '{[1,2]}'::int4multirange AS mr;

SELECT 'crm.customers'::regclass::text AS c, 'int4'::regtype AS t, 'now'::regproc AS p, 'lower(text)'::regprocedure AS pp, 'pg_catalog'::regnamespace AS n;

SELECT pg_typeof(1), pg_typeof(1.0), pg_typeof('a'), pg_typeof(NULL), pg_typeof(ARRAY[1]), pg_typeof(1::int8 + 1), pg_typeof(9999999999);

SELECT 7 / 2 AS i, 7 / 2.0 AS n, 7 % 3 AS m, 2 ^ 10 AS p, |/ 25.0 AS r, ||/ 27.0 AS c, @ -5 AS a, 5 & 3 AS an, 5 | 3 AS o, 5 # 3 AS x, ~ 5 AS nt, 1 << 3 AS l, 16 >> 2 AS ri;

SELECT - 5 AS a, + 5 AS b, -(-5) AS c, 2 - -2 AS d, NOT true AS e, NOT NOT false AS f, true AND NULL AS g, true OR NULL AS h;

SELECT 1 = 1 AS a, 1 <> 2 AS b, 1 != 2 AS c, 1 < 2 IS TRUE AS d, NULL IS UNKNOWN AS e, (1 = NULL) IS NOT TRUE AS f, 1 IS NOT NULL AS g, 2 BETWEEN 1 AND 3 AS h, NULL ISNULL AS i, 1 NOTNULL AS j;

SELECT OPERATOR(pg_catalog.-) 5 AS a, 1 OPERATOR(pg_catalog.+) 2 AS b, 'a' OPERATOR(pg_catalog.||) 'b' AS c;

SELECT CASE WHEN true THEN 1 END AS a, CASE 1 WHEN 1 THEN 'one' WHEN 2 THEN 'two' ELSE 'many' END AS b, coalesce(NULL, 2) AS c, nullif(1, 1) AS d, greatest(1, 2, 3) AS e, least('a', 'b') AS f;

SELECT extract(year FROM date '2024-01-01') AS y, position('b' IN 'abc') AS p, substring('abc' FROM 2) AS s, trim(LEADING 'x' FROM 'xxa') AS t, overlay('abc' PLACING 'X' FROM 2) AS o, collation for ('a') IS NULL AS c;

SELECT current_user = session_user AS u, current_schema IS NOT NULL AS s, current_catalog = current_database() AS d, user = current_role AS r;

SELECT 1 AS "select", 2 AS "from", 3 AS user_, 4 AS value, 5 AS year, 6 AS "table";

SELECT 1 AS year, 2 AS month, 'x' AS language, 3 AS percent, 4 AS rank, 5 AS date, 6 AS timestamp, 7 AS text;

SELECT q.year, q.date FROM (SELECT extract(year FROM ordered_at) AS year, ordered_at::date AS date, id FROM sales.orders) q ORDER BY q.id LIMIT 5;

SELECT '{"a": 1}'::jsonb -> 'a' AS a, '{"a": [1,2]}'::json #>> '{a,0}' AS b, 'a' ~ '^a' AS c, 'abc' ~~ 'a%' AS d, 'abc' !~~* 'B%' AS e, 'a' <= 'b' AS f;

SELECT 'abc' LIKE 'a_c' AS a, 'abc' NOT ILIKE 'x%' AS b, 'abc' SIMILAR TO '(a|b)%' AS c, 'abc' NOT SIMILAR TO 'x' AS d, 'a%c' LIKE 'a!%c' ESCAPE '!' AS e, 'ABC' ILIKE 'abc' AS f;

SELECT lower('ABC') || upper('def') AS a, pg_catalog.lower('X') AS b, length('abc') AS c, round(1.2345, 2) AS d, random() < 2 AS e, make_interval(days => 3) AS f, format('%2$s %1$s', 'a', 'b') AS g, concat(VARIADIC ARRAY['x', 'y']) AS h;

SELECT inet '10.1.2.3' <<= '10.0.0.0/8' AS a, inet '10.0.0.0/8' && inet '10.1.0.0/16' AS b, ~ inet '10.0.0.1' AS c, int4range(1, 5) -|- int4range(5, 9) AS d, int4range(1, 3) << int4range(4, 5) AS e, int4range(1, 9) &< int4range(1, 10) AS f;

SELECT point(1, 1) <@ circle(point(0, 0), 2) AS a, box '(0,0),(1,1)' ?# box '(1,1),(2,2)' AS b, @-@ path '((0,0),(1,0))' AS c, # path '((1,0),(0,1))' AS d, @@ circle '((0,0),1)' AS e, lseg '[(0,0),(1,1)]' ?|| lseg '[(1,0),(2,1)]' AS f, ?- lseg '[(0,0),(1,0)]' AS g;

SELECT id FROM crm.customers WHERE id = 1 OR id = 2 AND NOT id = 3 ORDER BY id;;

SELECT 1 AS a,
       2 AS b
  -- a last comment
;

VALUES (1, 'a'), (2, 'b') ORDER BY 1 DESC;

SELECT $1;
-- fails with 42P02

SELECT 1 / 0;
-- fails with 22012

SELECT 'a'::int;
-- fails with 22P02

SELECT FROM crm.customers WHERE id < 3;

SELECT ALL id FROM crm.customers ORDER BY id LIMIT ALL OFFSET 195;
