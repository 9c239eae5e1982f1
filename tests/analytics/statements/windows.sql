SELECT id, total, sum(total) OVER (ORDER BY ordered_at, id) AS running FROM sales.orders ORDER BY ordered_at, id;

SELECT id, avg(total) OVER (ORDER BY ordered_at, id ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS moving FROM sales.orders ORDER BY ordered_at, id;

SELECT day, total, sum(total) OVER (ORDER BY day RANGE BETWEEN '29 days' PRECEDING AND CURRENT ROW) AS month FROM (SELECT ordered_at::date AS day, sum(total) AS total FROM sales.orders GROUP BY 1) d ORDER BY day;

SELECT id, row_number() OVER w, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w, cume_dist() OVER w, ntile(4) OVER w FROM crm.vehicles WINDOW w AS (ORDER BY mileage_km, id) ORDER BY id;

SELECT id, lag(mileage_km, 2, -1) OVER w, lead(mileage_km) OVER w, first_value(id) OVER w, nth_value(id, 2) OVER w FROM crm.vehicles WINDOW w AS (PARTITION BY model ORDER BY mileage_km, id) ORDER BY id;

SELECT id, count(*) OVER () AS n, count(*) OVER (PARTITION BY model) AS of_model FROM crm.vehicles ORDER BY id;

SELECT id, sum(total) OVER w2 FROM sales.orders WINDOW w AS (PARTITION BY customer_id), w2 AS (w ORDER BY id) ORDER BY id;

SELECT id, max(total) OVER (PARTITION BY customer_id ORDER BY id ROWS UNBOUNDED PRECEDING) FROM sales.orders ORDER BY id;

SELECT id, sum(total) FILTER (WHERE total > 1000) OVER (PARTITION BY customer_id) FROM sales.orders ORDER BY id;

SELECT * FROM (SELECT v.*, rank() OVER (PARTITION BY dealer_id ORDER BY cost DESC) AS r FROM crm.service_visits v) x WHERE r <= 2 ORDER BY dealer_id, r, id;

SELECT customer_id, sum(total), rank() OVER (ORDER BY sum(total) DESC) FROM sales.orders GROUP BY customer_id ORDER BY 3, 1;

SELECT date_trunc('month', ordered_at) AS m, sum(total) AS t, lag(sum(total)) OVER (ORDER BY date_trunc('month', ordered_at)) AS p, round(100 * (sum(total) / nullif(lag(sum(total)) OVER (ORDER BY date_trunc('month', ordered_at)), 0) - 1), 1) AS growth FROM sales.orders GROUP BY 1 ORDER BY 1;

SELECT id, total, total / sum(total) OVER (PARTITION BY date_trunc('year', ordered_at)) AS share FROM sales.orders ORDER BY id;

SELECT id, array_agg(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM ref.dealers ORDER BY id;

SELECT id, string_agg(name, ',') OVER (ORDER BY id) FROM ref.dealers ORDER BY id;

SELECT id, json_agg(name) OVER (PARTITION BY city ORDER BY id) FROM ref.dealers ORDER BY id;

SELECT vehicle_id, visited_at, cost, cost - lag(cost) OVER (PARTITION BY vehicle_id ORDER BY visited_at, id) AS dearer FROM crm.service_visits ORDER BY vehicle_id, visited_at, id;

SELECT id, mileage_km, mileage_km - min(mileage_km) OVER (PARTITION BY model) AS over_min FROM crm.vehicles WHERE mileage_km IS NOT NULL ORDER BY id;

SELECT id FROM (SELECT id, row_number() OVER (ORDER BY random_free) AS n FROM (SELECT id, hashint8(id) AS random_free FROM crm.customers) h) x WHERE n <= 10 ORDER BY n;

SELECT DISTINCT model, first_value(id) OVER (PARTITION BY model ORDER BY mileage_km DESC, id) AS farthest FROM crm.vehicles ORDER BY model;

SELECT x.id, x.n FROM (SELECT id, count(*) OVER (PARTITION BY customer_id ORDER BY ordered_at RANGE BETWEEN UNBOUNDED PRECEDING AND interval '1 day' PRECEDING) AS n FROM sales.orders) x ORDER BY x.id;

SELECT id, sum(cost) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING EXCLUDE NO OTHERS) FROM crm.service_visits ORDER BY id;

SELECT customer_id, ordered_at, ordered_at - lag(ordered_at) OVER (PARTITION BY customer_id ORDER BY ordered_at) > interval '1 year' AS came_back FROM sales.orders ORDER BY customer_id, ordered_at, id;

SELECT id, row_number() OVER (PARTITION BY c.id % 3 ORDER BY c.created_at DESC NULLS LAST) FROM crm.customers AS c ORDER BY id;
