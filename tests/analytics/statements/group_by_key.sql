SELECT c.id, c.full_name, c.email, count(o.id) AS orders FROM crm.customers c LEFT JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY c.id;

SELECT d.id, d.name, d.city, sum(v.cost) FROM ref.dealers d JOIN crm.service_visits v ON v.dealer_id = d.id GROUP BY d.id ORDER BY d.id;

SELECT d.*, count(v.id) AS visits FROM ref.dealers d LEFT JOIN crm.service_visits v ON v.dealer_id = d.id GROUP BY d.id ORDER BY d.id;

SELECT c.full_name, max(o.ordered_at) FROM crm.customers c JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id HAVING c.birth_date < '1990-01-01' ORDER BY c.full_name, c.id;

SELECT full_name, count(v.id) FROM crm.customers LEFT JOIN crm.vehicles v ON v.customer_id = customers.id GROUP BY customers.id ORDER BY created_at, customers.id;

SELECT upper(c.full_name) AS name, count(*) FROM crm.customers c JOIN crm.vehicles v ON v.customer_id = c.id GROUP BY c.id ORDER BY name, c.id;

SELECT o.id, o.total, o.ordered_at, sum(i.price * i.quantity) AS items FROM sales.orders o JOIN sales.order_items i ON i.order_id = o.id GROUP BY o.id ORDER BY o.id;

SELECT c.id, c.full_name, v.id, v.model, count(s.id) FROM crm.customers c JOIN crm.vehicles v ON v.customer_id = c.id LEFT JOIN crm.service_visits s ON s.vehicle_id = v.id GROUP BY c.id, v.id ORDER BY 1, 3;

SELECT c.id, c.full_name, extract(year FROM o.ordered_at) AS y, sum(o.total) FROM crm.customers c JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id, y ORDER BY c.id, y;

SELECT s.customer_id, s.life_event, count(p.id) FROM crm.scores s LEFT JOIN web.page_views p ON p.customer_id = s.customer_id GROUP BY s.customer_id ORDER BY 1;

SELECT c.id AS customer, c.email FROM crm.customers c GROUP BY 1 ORDER BY 1;

SELECT id, full_name FROM crm.customers GROUP BY id ORDER BY id;

SELECT c.id, c.full_name, rank() OVER (ORDER BY count(o.id) DESC, c.created_at) AS place FROM crm.customers c LEFT JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY place;

SELECT c.id, (SELECT count(*) FROM web.page_views p WHERE p.customer_id = c.id) AS views, c.phone FROM crm.customers c JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY c.id;

SELECT d.name, (SELECT max(v.cost) FROM crm.service_visits v WHERE v.dealer_id = d.id AND d.city <> '') AS dearest FROM ref.dealers d GROUP BY d.id ORDER BY d.name;

SELECT r.name, r.opened, count(k.id) FROM ref.regions r LEFT JOIN ref.regions k ON k.parent_id = r.id GROUP BY r.id ORDER BY r.id;

SELECT c FROM crm.customers c GROUP BY c.id ORDER BY c.id LIMIT 2;
-- row of type record

SELECT orders.customer_id, orders.total, count(*) FROM sales.orders JOIN sales.order_items i ON i.order_id = orders.id GROUP BY orders.id ORDER BY orders.id;

SELECT sales.orders.total, count(*) FROM sales.orders JOIN sales.order_items i ON i.order_id = sales.orders.id GROUP BY sales.orders.id ORDER BY sales.orders.id;

SELECT x.full_name, x.n FROM (SELECT c.full_name, c.id, count(*) AS n FROM crm.customers c JOIN crm.vehicles v ON v.customer_id = c.id GROUP BY c.id) x ORDER BY x.id;

WITH spent AS (SELECT c.id, c.full_name, sum(o.total) AS total FROM crm.customers c JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id) SELECT * FROM spent ORDER BY total DESC, id LIMIT 10;

SELECT c.id, c.full_name, s.life_event, count(*) FROM crm.customers c JOIN crm.scores s ON s.customer_id = c.id JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id, s.customer_id ORDER BY c.id;

SELECT name, city FROM ref.dealers GROUP BY name;
-- fails with 42803

SELECT c.full_name, count(*) FROM crm.customers c GROUP BY c.email;
-- fails with 42803

SELECT c.id, c.full_name, o.total FROM crm.customers c JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id;
-- fails with 42803

SELECT c.id, c.full_name, count(*) FROM crm.customers c GROUP BY ROLLUP (c.id) ORDER BY c.id;
-- fails with 42803
