"""Statements with a mistake in them, as people make them. Not one of them is answered."""

from __future__ import annotations

from typing import Final

STRUCTURE: Final = """
CREATE SCHEMA crm;
CREATE TYPE crm.channel AS ENUM ('web', 'shop');
CREATE TABLE crm.customers (
    id integer PRIMARY KEY, name text, email varchar(80), born date, joined timestamptz,
    score numeric(6, 2), is_active boolean, tags text[], attributes jsonb, channel crm.channel);
CREATE TABLE crm.orders (
    id bigint PRIMARY KEY, customer_id integer, total numeric(10, 2), placed_at timestamptz,
    lines jsonb);
CREATE TABLE crm.wide (id integer, "Mixed Case" text, "größe" text, "select" integer);
INSERT INTO crm.customers VALUES
    (1, 'Ana', 'ana@example.com', '1990-02-28', '2026-01-01 10:00Z', 1.5, true, '{a,b}',
     '{"age": "old"}', 'web'),
    (2, 'Ben', 'ben@example.com', '1985-07-01', '2026-01-02 10:00Z', 0, false, '{}', '{}', 'shop');
INSERT INTO crm.orders VALUES (10, 1, 99.90, '2026-02-01Z', '[]'), (11, 1, 5, '2026-03-01Z', '[]');
INSERT INTO crm.wide VALUES (1, 'x', 'y', 2);
"""

# Names that are not there, or are there twice.
NAMES: Final = (
    "SELECT nosuch FROM customers",
    "SELECT id, emial FROM customers",
    "SELECT c.nosuch FROM customers c",
    "SELECT customers.nosuch FROM crm.customers",
    "SELECT crm.customers.nosuch FROM crm.customers",
    "SELECT c.id FROM customers",
    "SELECT o.id FROM customers c",
    "SELECT id FROM customers, orders",
    "SELECT id FROM customers c JOIN orders o ON c.id = o.customer_id",
    "SELECT * FROM customers c JOIN orders o ON c.id = o.cust_id",
    "SELECT name FROM customers WHERE nosuch = 1",
    "SELECT name FROM customers ORDER BY nosuch",
    "SELECT name FROM customers GROUP BY name HAVING nosuch > 1",
    "SELECT name FROM customers GROUP BY nosuch",
    "SELECT x.id FROM (SELECT id FROM customers) y",
    "SELECT y.name FROM (SELECT id FROM customers) y",
    "WITH w AS (SELECT id FROM customers) SELECT name FROM w",
    "SELECT (SELECT nosuch FROM orders LIMIT 1) FROM customers",
    "SELECT * FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.nosuch = c.id)",
    "SELECT * FROM customers c, (SELECT * FROM orders o WHERE o.customer_id = c.id) o",
    "SELECT 1\n  FROM customers\n WHERE -- a comment\n       nosuch = 2",
    "SELECT /* größer */ 'größer', nosuch FROM customers",
    'SELECT "Größe" FROM wide',
    'SELECT "größe", mixed FROM wide',
    "SELECT lower(nosuch) FROM customers",
    "SELECT nosuch",
    "SELECT * FROM nosuch",
    "SELECT * FROM crm.nosuch",
    "SELECT * FROM nosuch.customers",
    "SELECT id FROM customers UNION SELECT id FROM nosuch",
    "SELECT * FROM customers c JOIN nosuch n ON n.id = c.id",
    "SELECT id FROM customers WHERE id IN (SELECT id FROM nosuch)",
    "SELECT 'ä', * FROM crm.nosuch",
    "SELECT id FROM customers; SELECT nosuch FROM customers",
    "SELECT 'größer'; SELECT id FROM customers; SELECT * FROM nosuch",
    "SELECT id AS x FROM customers WHERE x = 1",
    "SELECT count(*) FROM customers WINDOW w AS (ORDER BY nosuch)",
    "SELECT sum(id) OVER nowhere FROM customers",
    "SELECT * FROM customers c, customers c",
    "SELECT * FROM customers JOIN orders USING (nosuch)",
    "SELECT * FROM customers ORDER BY 99",
    "SELECT name FROM customers GROUP BY 7",
)

# Wrong types, wrong numbers of things, wrong places.
TYPES: Final = (
    "SELECT * FROM customers WHERE id = 'abc'",
    "SELECT * FROM customers WHERE name = 1",
    "SELECT * FROM customers WHERE joined > 'yesterdayish'",
    "SELECT * FROM customers WHERE born = '2026-02-30'",
    "SELECT * FROM customers WHERE is_active = 'perhaps'",
    "SELECT * FROM customers WHERE channel = 'letter'",
    "SELECT * FROM customers WHERE attributes = '{'",
    "SELECT * FROM customers WHERE tags = 'a'",
    "SELECT * FROM customers WHERE name",
    "SELECT * FROM customers WHERE id + 'x'::text = 1",
    "SELECT name + 1 FROM customers",
    "SELECT upper(id) FROM customers",
    "SELECT round(score, 'x') FROM customers",
    "SELECT date_trunc('month', name) FROM customers",
    "SELECT sum(name) FROM customers",
    "SELECT name, count(*) FROM customers",
    "SELECT name FROM customers WHERE count(*) > 1",
    "SELECT id FROM customers GROUP BY name",
    "SELECT count(sum(id)) FROM customers",
    "SELECT row_number() FROM customers",
    "SELECT id FROM customers WHERE row_number() OVER () = 1",
    "SELECT id FROM customers UNION SELECT name FROM customers",
    "SELECT id, name FROM customers UNION SELECT id FROM customers",
    "SELECT id FROM customers WHERE id IN (SELECT id, name FROM customers)",
    "SELECT (SELECT id, name FROM customers)",
    "SELECT CASE WHEN is_active THEN 1 ELSE 'no' END FROM customers",
    "SELECT coalesce(id, 'x') FROM customers",
    "SELECT DISTINCT name FROM customers ORDER BY id",
    "SELECT DISTINCT ON (name) name FROM customers ORDER BY id",
    "SELECT ARRAY[1, 'x']",
    "SELECT 1 IN (1, 'x')",
    "SELECT id FROM customers LIMIT 'x'",
    "SELECT id FROM customers LIMIT name",
    "SELECT id FROM customers WHERE (id, name) = (1, 2, 3)",
    "SELECT generate_series(1, 3) FROM customers WHERE generate_series(1, 3) = 1",
    "SELECT attributes -> id -> 'x' + 1 FROM customers",
    "SELECT extract(nonsense FROM joined) FROM customers",
    "SELECT '12'::integer, 'x'::integer",
    "SELECT 99999999999::integer",
    "SELECT id FROM customers ORDER BY name COLLATE nosuch",
    "SELECT interval 'three days'",
    "VALUES (1), (2, 3)",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION SELECT n + 'x' FROM r) SELECT * FROM r",
    "SELECT $1 FROM customers WHERE id = $1::text",
    "SELECT grouping(name) FROM customers",
    "SELECT percentile_cont(0.5) FROM customers",
)

# What does not read.
SYNTAX: Final = (
    "SELEC id FROM customers",
    "SELECT id FORM customers",
    "SELECT id,, name FROM customers",
    "SELECT id FROM customers WHERE",
    "SELECT id FROM customers ORDER name",
    "SELECT id FROM customers LIMIT",
    "SELECT (id FROM customers",
    "SELECT id FROM customers)",
    "SELECT 'open FROM customers",
    'SELECT "open FROM customers',
    "SELECT $q$open FROM customers",
    "SELECT /* open FROM customers",
    "SELECT id FROM customers WHERE name LIKE",
    "SELECT id FROM customers WHERE id === 1 AND",
    "SELECT CASE id WHEN 1 'x' END FROM customers",
    "SELECT 'größer' größer kleiner FROM customers",
    "SELECT id FROM customers; SELECT FROM FROM orders",
    "SELECT * FROM customers JOIN orders",
    "SELECT 12abc FROM customers",
    "SELECT 0x FROM customers",
    "SELECT U&'\\zzzz'",
    "SELECT E'\\uD800'",
    "FROM customers",
    "SELECT id FROM customers c customers d",
    "WITH w AS SELECT 1 SELECT * FROM w",
    "SELECT TOP 10 * FROM customers",
    "SELECT id FROM `customers`",
    "SELECT id FROM customers WHERE id != = 1",
    "SELECT DISTINCT id, FROM customers",
)

# What fails when it runs: messages speak of values that the tool may see.
VALUES: Final = (
    "SELECT 1 / 0",
    "SELECT 1 / score FROM customers",
    "SELECT name::integer FROM customers",
    "SELECT (attributes ->> 'age')::integer FROM customers",
    "SELECT name::date FROM customers",
    "SELECT sqrt(-score - 1) FROM customers",
    "SELECT ln(score) FROM customers ORDER BY id DESC",
    "SELECT (id::bigint * 5000000000)::integer FROM customers",
    "SELECT (SELECT id FROM orders) FROM customers",
    "SELECT born + interval '500000 years' FROM customers",
    "SELECT name ~ '(' FROM customers",
    "SELECT substring(name, 1, -1) FROM customers",
    "SELECT to_date(name, 'YYYY-MM-DD') FROM customers",
    "SELECT tags[1]::integer FROM customers",
    "SELECT width_bucket(score, 1, 1, 3) FROM customers",
    "SELECT jsonb_object_agg(NULL::text, id) FROM customers",
    "SELECT id FROM customers LIMIT -1",
    "SELECT id FROM customers OFFSET -1",
    "SELECT generate_series(1, 3, 0)",
    "SELECT repeat(name, 1000000000) FROM customers",
    "SELECT name LIKE 'A\\' FROM customers WHERE id = 1",
    "SELECT timezone('Nowhere/Land', joined) FROM customers",
    "SELECT decode(name, 'hex') FROM customers",
)

# Where statements stand in others, or are none.
PLACES: Final = (
    "COPY (SELECT nosuch FROM customers) TO STDOUT",
    "COPY (SELECT id FROM nosuch) TO STDOUT",
    "COPY nosuch TO STDOUT",
    "DECLARE c CURSOR WITH HOLD FOR SELECT nosuch FROM customers",
    "PREPARE p AS SELECT nosuch FROM customers",
    "PREPARE p (integer) AS SELECT 'größer', name FROM customers WHERE name = $1",
    "EXECUTE nosuch",
    "FETCH ALL FROM nosuch",
    "CLOSE nosuch",
    "DEALLOCATE nosuch",
    "ROLLBACK TO nosuch",
    "SAVEPOINT s",
)

# Functions, operators and types that are not there.
MISSING: Final = (
    "SELECT nosuch(1, 'x', 2.5, true, NULL, 99999999999)",
    "SELECT nosuch() FROM customers",
    "SELECT crm.nosuch('x'::text, '1'::int, '2026-01-01'::date)",
    "SELECT id FROM customers WHERE nosuch(1) = id",
    "SELECT pg_catalog.nosuch(1)",
    "SELECT 'x'::nosuch",
    "SELECT name::crm.nosuch FROM customers",
    "SELECT CAST('größer' AS nosuch) FROM customers",
)

CORPUS: Final = NAMES + TYPES + SYNTAX + VALUES + PLACES + MISSING
