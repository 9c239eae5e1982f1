WITH RECURSIVE RecursiveTree (Id, Path) AS (SELECT id, ARRAY[id] FROM ref.regions WHERE parent_id IS NULL UNION ALL SELECT r.id, path || r.id FROM ref.regions AS r INNER JOIN RecursiveTree AS rt ON r.parent_id = rt.id WHERE NOT r.id = ANY (path)) SELECT * FROM RecursiveTree ORDER BY Path;

SELECT DISTINCT ON (c.id) c.id, c.full_name, p.url, p.viewed_at FROM crm.customers AS c INNER JOIN web.page_views AS p ON p.customer_id = c.id ORDER BY c.id, p.viewed_at DESC, p.id LIMIT 20;

SELECT CASE WHEN grouping(d.city) = 1 THEN 'all' ELSE d.city END AS city, CASE WHEN grouping(v.work) = 1 THEN 'all' ELSE coalesce(v.work, '-') END AS work, to_char(sum(v.cost), 'FM999G999G990D00') AS total FROM crm.service_visits AS v JOIN ref.dealers AS d ON d.id = v.dealer_id GROUP BY CUBE (d.city, v.work) ORDER BY grouping(d.city), 1, grouping(v.work), 2;

SELECT date_trunc('week', viewed_at)::date AS week, count(*) AS views, count(DISTINCT customer_id) AS visitors, round(count(*)::numeric / nullif(count(DISTINCT customer_id), 0), 2) AS per_visitor FROM web.page_views WHERE viewed_at >= now() - INTERVAL '12 weeks' AND viewed_at < date_trunc('week', now()) GROUP BY week ORDER BY week;

SELECT * FROM (SELECT c.id, c.full_name, sum(o.total) AS spent, ROW_NUMBER() OVER (PARTITION BY substr(c.postal_code, 1, 2) ORDER BY sum(o.total) DESC, c.id) AS rn FROM crm.customers c JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id) ranked WHERE rn <= 3 ORDER BY id;

SELECT c.*, o.* FROM crm.customers c LEFT JOIN LATERAL (SELECT count(*) AS orders, max(ordered_at) AS last_order FROM sales.orders WHERE customer_id = c.id) o ON TRUE WHERE o.orders > 1 ORDER BY c.id;

SELECT a.id, b.id FROM crm.customers a JOIN crm.customers b ON b.postal_code = a.postal_code AND b.id > a.id AND abs(b.birth_date - a.birth_date) < 365 ORDER BY a.id, b.id;

SELECT model, count(*) FILTER (WHERE mileage_km < 50000) AS "< 50 tkm", count(*) FILTER (WHERE mileage_km BETWEEN 50000 AND 100000) AS "50-100 tkm", count(*) FILTER (WHERE mileage_km > 100000) AS "> 100 tkm" FROM crm.vehicles GROUP BY model ORDER BY model;

SELECT count(*) FILTER (WHERE last > now() - '30 days'::interval) AS active, count(*) FILTER (WHERE last <= now() - '30 days'::interval) AS churned FROM (SELECT customer_id, max(viewed_at) AS last FROM web.page_views WHERE customer_id IS NOT NULL GROUP BY customer_id) AS s;

SELECT id, email, regexp_replace(email, '^(.).*@', '\1***@') AS masked, split_part(split_part(email, '@', 2), '.', -1) AS tld FROM crm.customers WHERE email ~ '^[^@]+@[^@]+\.[a-z]{2,}$' ORDER BY id LIMIT 25;

SELECT t.model, t.km[1] AS q1, t.km[2] AS median, t.km[3] AS q3 FROM (SELECT model, percentile_cont('{0.25,0.5,0.75}'::float8[]) WITHIN GROUP (ORDER BY mileage_km) AS km FROM crm.vehicles GROUP BY model) AS t ORDER BY t.model;

SELECT abs(hashtext(id::text)) % 2 AS arm, count(*) FROM crm.customers GROUP BY arm ORDER BY arm;

SELECT o.id FROM sales.orders AS o WHERE (o.customer_id, o.ordered_at) IN (SELECT customer_id, max(ordered_at) FROM sales.orders GROUP BY customer_id) ORDER BY o.id;

SELECT c.id FROM crm.customers c WHERE (SELECT count(*) FROM sales.orders o WHERE o.customer_id = c.id) BETWEEN 2 AND 3 ORDER BY c.id DESC;

SELECT sum(CASE WHEN s.churn_risk >= 0.8 THEN s.lifetime_value END) AS at_stake, sum(s.lifetime_value) AS whole FROM crm.scores s JOIN crm.customers c ON c.id = s.customer_id WHERE c.created_at < '2025-06-01'::timestamptz;

SELECT json_build_object('type', 'FeatureCollection', 'features', json_agg(json_build_object('id', d.id, 'properties', json_strip_nulls(row_to_json(d))) ORDER BY d.id)) FROM ref.dealers d;

SELECT e.name, e.payload -> 'car' ->> 'model' AS model, count(*) AS n, sum(count(*)) OVER (PARTITION BY e.name) AS of_name FROM web.events AS e GROUP BY e.name, e.payload -> 'car' ->> 'model' ORDER BY 1, 2;

SELECT day::date, coalesce(n, 0) AS n, avg(coalesce(n, 0)) OVER (ORDER BY day ROWS 6 PRECEDING) AS week FROM generate_series('2026-01-01'::timestamptz, '2026-01-12', '1 day') AS day LEFT JOIN (SELECT date_trunc('day', at) AS day, count(*) AS n FROM web.events GROUP BY 1) AS e USING (day) ORDER BY day;

SELECT x.* FROM (VALUES ('a', 1), ('b', 2)) AS x (k, v) WHERE NOT EXISTS (SELECT 1 FROM (VALUES ('b')) AS y (k) WHERE y.k = x.k);

SELECT name, tags, cardinality(tags) AS n FROM web.events WHERE tags @> ARRAY['night']::text[] AND at >= '2026-01-03' AND at < '2026-01-05' ORDER BY at;

SELECT s, upper(s) COLLATE "C", s > 'b' COLLATE "C" AS late FROM unnest('{b,a,C}'::text[]) AS s ORDER BY s COLLATE "C";

SELECT c.id, c.created_at::date, c.created_at::time(0), (c.created_at AT TIME ZONE 'UTC')::date = c.created_at::date AS same FROM crm.customers AS c WHERE c.created_at IS NOT NULL ORDER BY c.created_at LIMIT 10;

SELECT id, total FROM sales.orders WHERE id = ANY (VALUES (1), (2), (3)) OR total = (SELECT max(total) FROM sales.orders) ORDER BY id;

SELECT lo, hi, count(o.id) FROM (VALUES (0, 100), (100, 1000), (1000, NULL)) AS b (lo, hi) LEFT JOIN sales.orders o ON o.total >= b.lo AND (b.hi IS NULL OR o.total < b.hi) GROUP BY lo, hi ORDER BY lo;

SELECT round((sum(a.total * b.rank) / sum(b.rank))::numeric, 4) AS weighted FROM sales.orders a JOIN (SELECT id, rank() OVER (ORDER BY total) AS rank FROM sales.orders) b USING (id);

SELECT id, model, mileage_km, round((mileage_km - avg(mileage_km) OVER w) / nullif(stddev_samp(mileage_km) OVER w, 0), 3) AS z FROM crm.vehicles WINDOW w AS (PARTITION BY model) ORDER BY id;

SELECT width_bucket(total, (SELECT min(total) FROM sales.orders), (SELECT max(total) + 1 FROM sales.orders), 10) AS b, count(*), repeat('#', count(*)::int) AS bar FROM sales.orders GROUP BY b ORDER BY b;
