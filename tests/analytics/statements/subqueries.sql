SELECT (SELECT count(*) FROM crm.customers) AS customers, (SELECT count(*) FROM sales.orders) AS orders, (SELECT max(total) FROM sales.orders) AS top;

SELECT id, (SELECT name FROM ref.dealers d WHERE d.id = v.dealer_id) AS dealer FROM crm.service_visits v ORDER BY (SELECT city FROM ref.dealers d WHERE d.id = v.dealer_id), v.id;

SELECT id FROM sales.orders WHERE total > (SELECT avg(total) FROM sales.orders) ORDER BY id;

SELECT customer_id, count(*) FROM sales.orders GROUP BY customer_id HAVING count(*) >= (SELECT avg(n) FROM (SELECT count(*) AS n FROM sales.orders GROUP BY customer_id) t) ORDER BY customer_id;

SELECT id FROM crm.customers ORDER BY id LIMIT (SELECT count(*) / 20 FROM crm.customers) OFFSET (SELECT 3);

SELECT CASE WHEN EXISTS (SELECT 1 FROM sales.orders o WHERE o.customer_id = c.id) THEN 'buyer' ELSE 'visitor' END AS kind, count(*) FROM crm.customers c GROUP BY 1 ORDER BY 1;

SELECT CASE (SELECT count(*) FROM crm.vehicles v WHERE v.customer_id = c.id) WHEN 0 THEN 'none' WHEN 1 THEN 'one' ELSE 'several' END AS cars, count(*) FROM crm.customers c GROUP BY 1 ORDER BY 1;

SELECT ARRAY(SELECT v.model FROM crm.vehicles v WHERE v.customer_id = c.id ORDER BY v.id) AS models FROM crm.customers c ORDER BY c.id LIMIT 30;

SELECT id FROM crm.customers WHERE (id, 1) IN (SELECT customer_id, count(*) FROM sales.orders GROUP BY customer_id) ORDER BY id;

SELECT id FROM crm.customers WHERE (id, id) = (SELECT max(customer_id), max(customer_id) FROM sales.orders);

SELECT id FROM sales.orders o WHERE o.total >= ALL (SELECT p.total FROM sales.orders p WHERE p.customer_id = o.customer_id) ORDER BY id;

SELECT o.id, sum(o.total) OVER (ORDER BY (SELECT c.created_at FROM crm.customers c WHERE c.id = o.customer_id), o.id) AS running FROM sales.orders o ORDER BY o.id;

SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM crm.vehicles v WHERE v.customer_id = c.id)) AS owners, count(*) AS everybody FROM crm.customers c;

SELECT * FROM (SELECT id, full_name FROM crm.customers WHERE id IN (SELECT customer_id FROM sales.orders WHERE total > 1000)) AS rich JOIN (SELECT customer_id, count(*) AS cars FROM crm.vehicles GROUP BY customer_id) AS cars ON cars.customer_id = rich.id ORDER BY rich.id;

SELECT count(*) FROM (SELECT 1 FROM crm.customers LIMIT 10);

SELECT s.n FROM (SELECT count(*) AS n FROM crm.customers) AS s, (VALUES (1)) AS v (x) WHERE s.n > v.x;

WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS x FROM a) SELECT a.x, b.x FROM a, b;

WITH customers AS (SELECT id FROM crm.customers WHERE id < 5) SELECT count(*) FROM customers;

WITH customers AS (SELECT id FROM crm.customers WHERE id < 5) SELECT (SELECT count(*) FROM customers) AS few, (SELECT count(*) FROM crm.customers) AS everybody;

WITH c AS (WITH d AS (SELECT id FROM ref.dealers) SELECT count(*) AS n FROM d) SELECT n, (WITH e AS (SELECT 2 AS two) SELECT two FROM e) FROM c;

SELECT (SELECT x FROM (SELECT max(total) AS x FROM sales.orders WHERE customer_id = c.id) y) AS top FROM crm.customers c ORDER BY c.id LIMIT 20;

SELECT EXISTS (SELECT FROM crm.customers WHERE id = 1) AS a, NOT EXISTS (TABLE ref.dealers) AS b, 1 IN (VALUES (1), (2)) AS c, 5 = ANY (VALUES (1), (5)) AS d;

SELECT c.id FROM crm.customers c WHERE c.id IN (SELECT o.customer_id FROM sales.orders o WHERE o.id IN (SELECT i.order_id FROM sales.order_items i WHERE i.price > (SELECT avg(price) FROM sales.order_items))) ORDER BY c.id;

SELECT generate_series(1, (SELECT count(*) FROM ref.dealers)) AS n;

WITH t (a, b) AS (VALUES (1, 'x'), (2, 'y')) SELECT b, a FROM t ORDER BY a;

SELECT id, (SELECT string_agg(k || '', ',' ORDER BY k) FROM generate_series(1, d.id) AS k) FROM ref.dealers d ORDER BY id;

SELECT id FROM crm.customers WHERE id < 4 GROUP BY id ORDER BY (SELECT -id);
