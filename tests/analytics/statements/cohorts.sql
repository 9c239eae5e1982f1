SELECT date_trunc('month', created_at) AS cohort, count(*) FROM crm.customers GROUP BY 1 ORDER BY 1;

WITH firsts AS (SELECT customer_id, min(ordered_at) AS first_order FROM sales.orders GROUP BY customer_id)
SELECT date_trunc('quarter', first_order)::date AS cohort, count(*) AS customers FROM firsts GROUP BY cohort ORDER BY cohort;

WITH firsts AS (SELECT customer_id, date_trunc('year', min(ordered_at)) AS cohort FROM sales.orders GROUP BY customer_id)
SELECT f.cohort, extract(year FROM o.ordered_at) - extract(year FROM f.cohort) AS years_later, count(DISTINCT o.customer_id) AS active
FROM firsts f JOIN sales.orders o USING (customer_id) GROUP BY 1, 2 ORDER BY 1, 2;

WITH cohort AS (SELECT id, extract(year FROM created_at)::int AS y FROM crm.customers),
     activity AS (SELECT customer_id, extract(year FROM ordered_at)::int AS y FROM sales.orders)
SELECT cohort.y, activity.y - cohort.y AS age, count(DISTINCT cohort.id),
       round(100.0 * count(DISTINCT cohort.id) / sum(count(DISTINCT cohort.id)) OVER (PARTITION BY cohort.y), 1) AS share
FROM cohort LEFT JOIN activity ON activity.customer_id = cohort.id GROUP BY cohort.y, activity.y - cohort.y ORDER BY 1, 2;

SELECT cohort, sum(n) OVER (ORDER BY cohort) AS running FROM (SELECT date_trunc('month', created_at) AS cohort, count(*) AS n FROM crm.customers GROUP BY 1) AS c ORDER BY cohort;

SELECT cohort, n, lag(n) OVER w AS before, n - lag(n, 1, 0::bigint) OVER w AS growth
FROM (SELECT extract(year FROM created_at) AS cohort, count(*) AS n FROM crm.customers GROUP BY 1) AS c WINDOW w AS (ORDER BY cohort) ORDER BY cohort;

WITH months AS (SELECT generate_series(date '2024-01-01', date '2024-12-01', interval '1 month')::date AS month)
SELECT m.month, count(c.id) AS joined FROM months m LEFT JOIN crm.customers c ON date_trunc('month', c.created_at) = m.month GROUP BY m.month ORDER BY m.month;

WITH RECURSIVE months(month) AS (SELECT date '2025-01-01' UNION ALL SELECT (month + interval '1 month')::date FROM months WHERE month < date '2025-12-01')
SELECT month, (SELECT count(*) FROM sales.orders WHERE date_trunc('month', ordered_at) = month) AS orders FROM months ORDER BY month;

WITH first_seen AS MATERIALIZED (SELECT customer_id, min(viewed_at) AS at FROM web.page_views WHERE customer_id IS NOT NULL GROUP BY 1),
     weekly AS NOT MATERIALIZED (SELECT f.customer_id, floor(extract(epoch FROM p.viewed_at - f.at) / 604800)::int AS week FROM first_seen f JOIN web.page_views p USING (customer_id))
SELECT week, count(DISTINCT customer_id) FROM weekly GROUP BY week ORDER BY week;

SELECT CASE WHEN o.ordered_at < c.created_at + interval '30 days' THEN 'first month' ELSE 'later' END AS bought, count(*)
FROM crm.customers c JOIN sales.orders o ON o.customer_id = c.id GROUP BY 1 ORDER BY 1;

SELECT registered_year, model, count(*) FROM (SELECT extract(year FROM registered_on)::int AS registered_year, model FROM crm.vehicles) v GROUP BY GROUPING SETS ((registered_year), (model), ()) ORDER BY 1 NULLS LAST, 2 NULLS LAST;

SELECT date_part('year', age(c.created_at, c.birth_date::timestamptz)) AS age_at_joining, count(*) FROM crm.customers c WHERE c.birth_date IS NOT NULL GROUP BY 1 ORDER BY 1;

SELECT c.id, (SELECT min(o.ordered_at) FROM sales.orders o WHERE o.customer_id = c.id) - c.created_at AS waited FROM crm.customers c ORDER BY waited NULLS LAST, c.id;

SELECT c.id, first.ordered_at, first.total FROM crm.customers c CROSS JOIN LATERAL (SELECT o.ordered_at, o.total FROM sales.orders o WHERE o.customer_id = c.id ORDER BY o.ordered_at LIMIT 1) AS first ORDER BY c.id;

SELECT c.id, first.ordered_at FROM crm.customers c LEFT JOIN LATERAL (SELECT o.ordered_at FROM sales.orders o WHERE o.customer_id = c.id ORDER BY o.ordered_at, o.id FETCH FIRST ROW ONLY) first ON true ORDER BY c.id;

SELECT DISTINCT ON (customer_id) customer_id, id, ordered_at FROM sales.orders ORDER BY customer_id, ordered_at, id;

WITH y AS (SELECT customer_id, extract(year FROM ordered_at)::int AS y FROM sales.orders GROUP BY 1, 2)
SELECT a.y, count(*) AS active, count(b.customer_id) AS retained, round(count(b.customer_id)::numeric / count(*), 3) AS rate
FROM y AS a LEFT JOIN y AS b ON b.customer_id = a.customer_id AND b.y = a.y + 1 GROUP BY a.y ORDER BY a.y;

SELECT to_char(created_at, 'YYYY-"Q"Q') AS quarter, count(*) FROM crm.customers GROUP BY quarter ORDER BY quarter;

SELECT to_char(date_trunc('week', ordered_at), 'IYYY-IW') AS week, sum(total) FROM sales.orders GROUP BY 1 ORDER BY 1;

SELECT cohort, max(CASE WHEN year = 2024 THEN n END) AS "2024", max(CASE WHEN year = 2025 THEN n END) AS "2025" FROM (
  SELECT extract(year FROM c.created_at) AS cohort, extract(year FROM o.ordered_at) AS year, count(*) AS n
  FROM crm.customers c JOIN sales.orders o ON o.customer_id = c.id GROUP BY 1, 2) AS t GROUP BY cohort ORDER BY cohort;

SELECT make_date(extract(year FROM created_at)::int, 1, 1) AS y, array_agg(id ORDER BY id) AS members FROM crm.customers GROUP BY 1 ORDER BY 1;

SELECT date_bin('90 days', ordered_at, timestamptz '2020-01-01 00:00:00+00') AS period, count(*) FROM sales.orders GROUP BY period ORDER BY period;

SELECT date_trunc('month', created_at, 'Europe/Madrid') AS month_there, count(*) FROM crm.customers GROUP BY 1 ORDER BY 1;

SELECT count(*) FILTER (WHERE closed_on < '2020-03-01') AS early, count(*) FILTER (WHERE closed_on >= '2020-03-01') AS late FROM archive.customers;

SELECT a.full_name AS old_name, c.full_name AS new_name FROM archive.customers a JOIN crm.customers c ON c.id = a.id ORDER BY a.id;
