WITH RECURSIVE days AS (SELECT date '2025-01-01' AS d UNION ALL SELECT d + 1 FROM days WHERE d < '2025-01-31') SELECT d, to_char(d, 'Day') AS name, extract(isodow FROM d) > 5 AS is_weekend FROM days ORDER BY d;

WITH RECURSIVE n AS (SELECT 1 AS i, 1::numeric AS f UNION ALL SELECT i + 1, f * (i + 1) FROM n WHERE i < 20) SELECT i, f FROM n ORDER BY i;

SELECT m::date AS month, count(o.id) AS orders FROM generate_series(date '2025-01-01', date '2025-12-01', interval '1 month') AS m LEFT JOIN sales.orders o ON date_trunc('month', o.ordered_at AT TIME ZONE 'UTC') = m GROUP BY m ORDER BY m;

SELECT d.city, count(*) FILTER (WHERE extract(year FROM v.visited_at) = 2024) AS y2024, count(*) FILTER (WHERE extract(year FROM v.visited_at) = 2025) AS y2025 FROM ref.dealers d JOIN crm.service_visits v ON v.dealer_id = d.id GROUP BY d.city ORDER BY d.city;

SELECT work, sum(CASE WHEN dealer_id = 1 THEN cost ELSE 0 END) AS d1, sum(CASE dealer_id WHEN 2 THEN cost END) AS d2 FROM crm.service_visits GROUP BY work ORDER BY work;

SELECT c.id, u.kind, u.value FROM crm.customers c CROSS JOIN LATERAL (VALUES ('email', c.email::text), ('phone', c.phone::text), ('postal', c.postal_code)) AS u (kind, value) ORDER BY c.id, u.kind LIMIT 30;

SELECT id, unnest(ARRAY['email', 'phone']) AS kind, unnest(ARRAY[email::text, phone::text]) AS value FROM crm.customers ORDER BY id, kind LIMIT 20;

SELECT key, value FROM ref.dealers d, jsonb_each_text(to_jsonb(d)) WHERE d.id = 1 ORDER BY key;

SELECT y, q, count(o.id) FROM generate_series(2023, 2025) AS y CROSS JOIN generate_series(1, 4) AS q LEFT JOIN sales.orders o ON extract(year FROM o.ordered_at) = y AND extract(quarter FROM o.ordered_at) = q GROUP BY y, q ORDER BY y, q;

SELECT model, jsonb_object_agg(y, n) FROM (SELECT model, extract(year FROM registered_on)::text AS y, count(*) AS n FROM crm.vehicles GROUP BY 1, 2) m GROUP BY model ORDER BY model;

WITH RECURSIVE chain AS (SELECT id, customer_id, ordered_at, 1 AS nth FROM sales.orders o WHERE NOT EXISTS (SELECT 1 FROM sales.orders p WHERE p.customer_id = o.customer_id AND p.ordered_at < o.ordered_at) UNION ALL SELECT n.id, n.customer_id, n.ordered_at, c.nth + 1 FROM chain c CROSS JOIN LATERAL (SELECT * FROM sales.orders o WHERE o.customer_id = c.customer_id AND o.ordered_at > c.ordered_at ORDER BY o.ordered_at LIMIT 1) n) SELECT nth, count(*) FROM chain GROUP BY nth ORDER BY nth;

WITH RECURSIVE a AS (SELECT 1 AS n UNION SELECT (n * 3) % 7 FROM a) SELECT n FROM a ORDER BY n;

WITH RECURSIVE x (n) AS (SELECT * FROM y UNION SELECT n + 1 FROM x WHERE n < 3), y (n) AS (SELECT 1) SELECT n FROM x ORDER BY n;

SELECT date_trunc('month', d) AS month, count(*) FILTER (WHERE extract(isodow FROM d) < 6) AS working_days FROM generate_series(timestamp '2025-01-01', '2025-12-31', '1 day') AS d GROUP BY 1 ORDER BY 1;

SELECT count(*) FROM (SELECT id FROM crm.customers UNION SELECT customer_id FROM crm.vehicles UNION ALL SELECT id FROM archive.customers) all_ids;

(SELECT id FROM crm.customers ORDER BY id LIMIT 2) UNION ALL (SELECT id FROM archive.customers ORDER BY id DESC LIMIT 2) ORDER BY id DESC LIMIT 3;

SELECT 'a' AS kind, count(*) FROM crm.customers UNION ALL SELECT 'b', count(*) FROM crm.vehicles UNION ALL SELECT 'c', count(*) FROM sales.orders ORDER BY kind;

(VALUES (1), (2)) EXCEPT (VALUES (2)) UNION SELECT 3 ORDER BY 1;

(WITH x AS (SELECT 1 AS a) SELECT a FROM x) UNION ALL (WITH x AS (SELECT 2 AS a) SELECT a FROM x) ORDER BY a;

SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 INTERSECT SELECT 3 ORDER BY n;

SELECT id, NULL AS nothing FROM ref.dealers UNION ALL SELECT id, name FROM ref.regions ORDER BY id, nothing;

TABLE ref.dealers UNION ALL TABLE ref.dealers ORDER BY id LIMIT 3;

SELECT x.column1, x.column2 FROM (VALUES (1, date '2025-01-01'), (2, NULL)) AS x ORDER BY column1;

SELECT * FROM (VALUES (1, 'new'), (2, 'old')) AS v (id, label) LEFT JOIN ref.dealers d USING (id) ORDER BY id;

SELECT model, sum(CASE WHEN mileage_km < 50000 THEN 1 ELSE 0 END) AS low, sum((mileage_km >= 50000)::int) AS high FROM crm.vehicles GROUP BY model ORDER BY model;
