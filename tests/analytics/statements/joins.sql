SELECT c.id, o.id AS order_id FROM crm.customers c JOIN sales.orders o ON o.customer_id = c.id ORDER BY 1, 2;

SELECT customer_id, o.total, s.churn_risk FROM sales.orders o JOIN crm.scores s USING (customer_id) ORDER BY customer_id, o.id;

SELECT a.customer_id, o.total FROM sales.orders o JOIN crm.scores s USING (customer_id) AS a ORDER BY a.customer_id, o.id;

SELECT a.* FROM sales.orders o JOIN crm.vehicles v USING (customer_id, id) AS a ORDER BY 1, 2;

SELECT j.id, j.order_id FROM (sales.order_items i JOIN sales.orders o ON i.order_id = o.id) AS j (id, order_id, sku, quantity, price, oid, customer_id, total, ordered_at) ORDER BY 1;

SELECT j.* FROM (crm.vehicles v JOIN crm.scores s USING (customer_id)) AS j ORDER BY j.id;

SELECT customer_id, count(*) FROM sales.orders NATURAL JOIN crm.scores GROUP BY customer_id ORDER BY customer_id;

SELECT * FROM sales.orders NATURAL LEFT JOIN crm.scores ORDER BY id;

SELECT * FROM archive.orders NATURAL FULL JOIN sales.orders ORDER BY id, total;

SELECT * FROM ref.dealers d CROSS JOIN ref.regions r ORDER BY d.id, r.id;

SELECT c.id, v.id FROM crm.customers c RIGHT JOIN crm.vehicles v ON v.customer_id = c.id AND c.email IS NOT NULL ORDER BY v.id;

SELECT c.id, a.id AS old FROM crm.customers c FULL JOIN archive.customers a ON a.id = c.id WHERE c.id IS NULL OR a.id IS NOT NULL ORDER BY 2;

SELECT c.id, i.sku FROM crm.customers c LEFT JOIN (sales.orders o JOIN sales.order_items i ON i.order_id = o.id) ON o.customer_id = c.id ORDER BY c.id, i.id;

SELECT c.id, i.sku FROM crm.customers c LEFT JOIN sales.orders o JOIN sales.order_items i ON i.order_id = o.id ON o.customer_id = c.id ORDER BY c.id, i.id;

SELECT c.full_name, v.model, d.name, s.cost FROM crm.customers c, crm.vehicles v, crm.service_visits s, ref.dealers d WHERE v.customer_id = c.id AND s.vehicle_id = v.id AND d.id = s.dealer_id ORDER BY s.id;

SELECT orders.id, orders_1.id FROM sales.orders, archive.orders AS orders_1 WHERE orders.customer_id = orders_1.customer_id ORDER BY 1, 2;

SELECT sales.orders.total, archive.orders.total AS old FROM sales.orders, archive.orders WHERE sales.orders.id = archive.orders.id ORDER BY sales.orders.id;

SELECT sales.orders.id, archive.orders.total FROM sales.orders JOIN archive.orders ON archive.orders.customer_id = sales.orders.customer_id ORDER BY sales.orders.id, archive.orders.id;

SELECT count(*) FROM crm.customers JOIN archive.customers ON crm.customers.id = archive.customers.id;

SELECT crm.customers.id, (SELECT max(archive.customers.closed_on) FROM archive.customers WHERE archive.customers.id = crm.customers.id) AS closed FROM crm.customers ORDER BY 1;

SELECT sales.orders.*, archive.orders.ordered_at AS before FROM sales.orders LEFT JOIN archive.orders USING (id) ORDER BY sales.orders.id;

SELECT c.id FROM crm.customers AS c (id, name) ORDER BY id LIMIT 3;

SELECT x.who, x.mail FROM crm.customers AS x (who, name, mail) ORDER BY x.who LIMIT 3;

SELECT "c"."id" AS "Customer Id", "c"."full_name" AS "Name" FROM "crm"."customers" AS "c" ORDER BY "Customer Id";

SELECT o1.id, o2.id AS later FROM sales.orders o1 JOIN sales.orders o2 ON o1.customer_id = o2.customer_id AND o2.ordered_at > o1.ordered_at ORDER BY 1, 2;

SELECT c.id, t.* FROM crm.customers c, LATERAL (SELECT count(*) AS n, sum(total) AS spent FROM sales.orders o WHERE o.customer_id = c.id) AS t ORDER BY c.id;

SELECT c.id, k FROM crm.customers c JOIN generate_series(1, 3) AS k ON k <= c.id ORDER BY 1, 2 LIMIT 10;

SELECT c.id, g.n FROM crm.customers c, LATERAL generate_series(1, c.id % 4) AS g (n) ORDER BY 1, 2 LIMIT 30;

SELECT a.id, b.id FROM ref.dealers a JOIN ref.dealers b ON a.id <> b.id AND (a.city, a.id) < (b.city, b.id) ORDER BY 1, 2;

SELECT v.id FROM crm.vehicles v WHERE NOT EXISTS (SELECT FROM crm.service_visits s WHERE s.vehicle_id = v.id) ORDER BY v.id;

SELECT customers.id FROM crm.customers WHERE customers.id IN (TABLE archive.customers);
-- fails with 42601

SELECT customers.id FROM crm.customers WHERE EXISTS (TABLE archive.customers) ORDER BY 1 LIMIT 2;

SELECT crm.customers.full_name FROM crm.customers c;
-- fails with 42P01

SELECT id FROM crm.customers, crm.vehicles;
-- fails with 42702

SELECT * FROM crm.customers c JOIN crm.customers c ON true;
-- fails with 42712

SELECT o.id FROM archive.orders o UNION ALL SELECT orders.id FROM sales.orders ORDER BY id;
