WITH rfm AS (SELECT customer_id, max(ordered_at) AS last, count(*) AS frequency, sum(total) AS monetary FROM sales.orders GROUP BY customer_id)
SELECT customer_id, ntile(5) OVER (ORDER BY last, customer_id) AS r, ntile(5) OVER (ORDER BY frequency, customer_id) AS f, ntile(5) OVER (ORDER BY monetary, customer_id) AS m FROM rfm ORDER BY customer_id;

WITH rfm AS (SELECT c.id, now() - max(o.ordered_at) AS recency, count(o.id) AS frequency, coalesce(sum(o.total), 0) AS monetary FROM crm.customers c LEFT JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id),
scored AS (SELECT id, CASE WHEN recency < interval '1 year' THEN 3 WHEN recency < interval '2 years' THEN 2 ELSE 1 END AS r, LEAST(frequency, 3) AS f, width_bucket(monetary, 0, 50000, 3) AS m FROM rfm)
SELECT r || '-' || f || '-' || m AS cell, count(*) FROM scored GROUP BY cell ORDER BY cell;

SELECT customer_id, sum(total) AS spent, sum(sum(total)) OVER (ORDER BY sum(total) DESC, customer_id) / sum(sum(total)) OVER () AS share FROM sales.orders GROUP BY customer_id ORDER BY spent DESC, customer_id;

SELECT customer_id, percent_rank() OVER (ORDER BY sum(total)) AS pr, cume_dist() OVER (ORDER BY sum(total)) AS cd FROM sales.orders GROUP BY customer_id ORDER BY customer_id;

SELECT customer_id, dense_rank() OVER (ORDER BY count(*) DESC) AS place FROM sales.orders GROUP BY customer_id ORDER BY place, customer_id;

SELECT o.customer_id, avg(o.ordered_at - p.ordered_at) AS gap FROM sales.orders o JOIN LATERAL (SELECT ordered_at FROM sales.orders q WHERE q.customer_id = o.customer_id AND q.ordered_at < o.ordered_at ORDER BY q.ordered_at DESC LIMIT 1) p ON true GROUP BY o.customer_id ORDER BY o.customer_id;

SELECT customer_id, avg(gap) FROM (SELECT customer_id, ordered_at - lag(ordered_at) OVER (PARTITION BY customer_id ORDER BY ordered_at, id) AS gap FROM sales.orders) AS g WHERE gap IS NOT NULL GROUP BY customer_id ORDER BY customer_id;

SELECT stddev(total), variance(total), stddev_pop(total), var_samp(total), corr(total, id), regr_slope(total, id), covar_pop(total, id) FROM sales.orders;

SELECT percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY total) AS quartiles FROM sales.orders;

SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ordered_at) AS median_day FROM sales.orders;

SELECT rank(20000) WITHIN GROUP (ORDER BY total) AS would_be, dense_rank(20000) WITHIN GROUP (ORDER BY total), percent_rank(20000) WITHIN GROUP (ORDER BY total), cume_dist(20000) WITHIN GROUP (ORDER BY total) FROM sales.orders;

SELECT o.*, sum(o.total) OVER (PARTITION BY o.customer_id ORDER BY o.ordered_at, o.id) AS so_far FROM sales.orders o ORDER BY o.customer_id, o.ordered_at, o.id;

SELECT id, total, total - avg(total) OVER (PARTITION BY customer_id) AS above FROM sales.orders ORDER BY id;

SELECT customer_id, total, nth_value(total, 2) OVER w AS second, last_value(total) OVER w AS last, first_value(total) OVER w AS first FROM sales.orders
WINDOW w AS (PARTITION BY customer_id ORDER BY ordered_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY customer_id, ordered_at, id;

SELECT i.sku, sum(i.quantity) AS sold, sum(i.quantity * i.price) AS revenue FROM sales.order_items i GROUP BY i.sku ORDER BY revenue DESC, i.sku;

SELECT i.sku, o.customer_id, count(*) FROM sales.order_items i JOIN sales.orders o ON o.id = i.order_id GROUP BY CUBE (i.sku, o.customer_id) HAVING count(*) > 3 ORDER BY 1 NULLS LAST, 2 NULLS LAST;

SELECT a.sku, b.sku AS with_sku, count(*) FROM sales.order_items a JOIN sales.order_items b ON a.order_id = b.order_id AND a.sku < b.sku GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2;

WITH totals AS (SELECT customer_id, sum(total) AS t FROM sales.orders GROUP BY 1), cut AS (SELECT percentile_cont(0.8) WITHIN GROUP (ORDER BY t) AS p FROM totals)
SELECT customer_id, t FROM totals, cut WHERE t >= cut.p ORDER BY t DESC, customer_id;

SELECT customer_id, total FROM sales.orders ORDER BY total DESC, id FETCH FIRST 10 ROWS ONLY;

SELECT customer_id, count(*) AS n FROM sales.orders GROUP BY customer_id ORDER BY n DESC FETCH FIRST 3 ROWS WITH TIES
-- any order
;

SELECT customer_id, total FROM sales.orders ORDER BY id OFFSET 10 ROWS FETCH NEXT 5 ROWS ONLY;

SELECT customer_id FROM sales.orders GROUP BY customer_id HAVING sum(total) > (SELECT avg(s) FROM (SELECT sum(total) AS s FROM sales.orders GROUP BY customer_id) AS x) ORDER BY 1;

SELECT 'champions' AS segment, count(*) FROM (SELECT customer_id FROM sales.orders GROUP BY 1 HAVING count(*) >= 3) c
UNION ALL SELECT 'once', count(*) FROM (SELECT customer_id FROM sales.orders GROUP BY 1 HAVING count(*) = 1) o ORDER BY segment;

SELECT o.customer_id, jsonb_object_agg(o.id, o.total ORDER BY o.id) AS orders FROM sales.orders o GROUP BY o.customer_id ORDER BY o.customer_id;

SELECT s.customer_id, s.lifetime_value::float8 / nullif(t.spent, 0)::float8 AS ratio FROM crm.scores s LEFT JOIN (SELECT customer_id, sum(total) spent FROM sales.orders GROUP BY customer_id) t USING (customer_id) ORDER BY s.customer_id;

SELECT round(avg(total), 2) AS mean, trunc(max(total)) AS top, ceil(min(total)) AS low, floor(max(total) / 1000) * 1000 AS thousands, power(2, 10), sqrt(avg(total)), ln(max(total)), log(100.0), mod(count(*), 7), abs(min(total) - max(total)), sign(-3), div(17, 5) FROM sales.orders;
