SELECT left(postal_code, 2) AS province, count(*) FROM crm.customers GROUP BY province ORDER BY province;

SELECT substring(postal_code, 1, 2)::int AS province, count(*) FROM crm.customers WHERE postal_code ~ '^[0-9]{5}$' GROUP BY 1 ORDER BY 1;

SELECT d.city, count(v.id) AS visits, sum(v.cost) AS turnover FROM ref.dealers d LEFT JOIN crm.service_visits v ON v.dealer_id = d.id GROUP BY d.city ORDER BY d.city;

SELECT d.name, r.cost, r.visited_at FROM ref.dealers d CROSS JOIN LATERAL (SELECT v.cost, v.visited_at FROM crm.service_visits v WHERE v.dealer_id = d.id ORDER BY v.cost DESC, v.id LIMIT 3) r ORDER BY d.name, r.cost DESC, r.visited_at;

SELECT r.name, count(c.id) FROM ref.regions r JOIN crm.customers c ON r.provinces @> left(c.postal_code, 2)::int GROUP BY r.name ORDER BY r.name;

SELECT r.name, lower(r.provinces), upper(r.provinces) - 1 AS last FROM ref.regions r WHERE r.provinces IS NOT NULL ORDER BY r.id;

WITH RECURSIVE tree AS (SELECT id, name, 0 AS depth, name::text AS path FROM ref.regions WHERE parent_id IS NULL UNION ALL SELECT r.id, r.name, t.depth + 1, t.path || ' / ' || r.name FROM ref.regions r JOIN tree t ON r.parent_id = t.id)
SELECT repeat('  ', depth) || name AS shown, path FROM tree ORDER BY path;

WITH RECURSIVE tree AS (SELECT id, parent_id, name FROM ref.regions WHERE parent_id IS NULL UNION ALL SELECT r.id, r.parent_id, r.name FROM ref.regions r JOIN tree t ON r.parent_id = t.id) SEARCH DEPTH FIRST BY name SET ordercol
SELECT name FROM tree ORDER BY ordercol;

WITH RECURSIVE tree AS (SELECT id, name FROM ref.regions WHERE parent_id IS NULL UNION ALL SELECT r.id, r.name FROM ref.regions r JOIN tree t ON r.parent_id = t.id) SEARCH BREADTH FIRST BY id SET o
SELECT id, name FROM tree ORDER BY o;

WITH RECURSIVE g(id, parent_id) AS (SELECT id, parent_id FROM ref.regions WHERE id = 4 UNION ALL SELECT r.id, r.parent_id FROM ref.regions r JOIN g ON r.id = g.parent_id) CYCLE id SET is_cycle USING path
SELECT id, is_cycle, path FROM g ORDER BY id DESC;

WITH RECURSIVE g(id) AS (SELECT 4 UNION SELECT r.parent_id FROM ref.regions r JOIN g USING (id) WHERE r.parent_id IS NOT NULL) CYCLE id SET is_cycle TO 'Y' DEFAULT 'N' USING path
SELECT id, is_cycle FROM g ORDER BY id;

SELECT child.name, parent.name AS within FROM ref.regions child LEFT JOIN ref.regions parent ON child.parent_id = parent.id ORDER BY child.id;

SELECT name COLLATE "C" AS name FROM ref.regions ORDER BY name COLLATE "C";

SELECT name FROM ref.regions ORDER BY name COLLATE pg_catalog."C" DESC NULLS LAST;

SELECT postal_code, count(*) AS n FROM crm.customers GROUP BY postal_code HAVING count(*) > 1 ORDER BY n DESC, postal_code;

SELECT left(c.postal_code, 3) AS area, model, count(*) FROM crm.customers c JOIN crm.vehicles v ON v.customer_id = c.id GROUP BY GROUPING SETS ((left(c.postal_code, 3), model), (model)) ORDER BY 1 NULLS FIRST, 2;

SELECT d.city, extract(year FROM v.visited_at) AS year, sum(v.cost) FROM crm.service_visits v JOIN ref.dealers d ON d.id = v.dealer_id GROUP BY ROLLUP (d.city, extract(year FROM v.visited_at)) ORDER BY 1 NULLS LAST, 2 NULLS LAST;

SELECT d.id, d.name, point(d.id, d.id * 2) AS at, point(d.id, d.id) <-> point(0, 0) AS far FROM ref.dealers d ORDER BY d.id;

SELECT box(point(0, 0), point(2, 2)) @> point(1, 1) AS inside, circle(point(0, 0), 5) @> point(3, 3) AS within, length(lseg '[(0,0),(3,4)]') AS five;

SELECT acos(sin(radians(40.4)) * sin(radians(41.4)) + cos(radians(40.4)) * cos(radians(41.4)) * cos(radians(2.2 + 3.7))) * 6371 AS km, degrees(pi()) AS half;

SELECT d.city, v.work, count(*), rank() OVER (PARTITION BY d.city ORDER BY count(*) DESC) FROM crm.service_visits AS v, ref.dealers AS d WHERE d.id = v.dealer_id GROUP BY d.city, v.work ORDER BY 1, 4, 2;

SELECT id, CASE WHEN postal_code IN ('28001', '08001') THEN 'centre' WHEN postal_code SIMILAR TO '(28|08)%' THEN 'ring' END AS zone FROM crm.customers ORDER BY id LIMIT 30;

SELECT id FROM crm.customers WHERE postal_code ~* '^0[1-9]' AND postal_code !~ '9$' ORDER BY id;

SELECT postal_code::int / 1000 AS province, (postal_code::int % 1000) AS rest FROM crm.customers WHERE postal_code IS NOT NULL ORDER BY id LIMIT 10;

SELECT to_number(postal_code, '99999') AS n FROM crm.customers ORDER BY id LIMIT 5;

SELECT * FROM ref.dealers ORDER BY city, name;

TABLE ref.dealers ORDER BY id;

TABLE ref.regions;
-- any order

SELECT dealers.name FROM ref.dealers ORDER BY dealers.id;

SELECT ref.dealers.name, ref.dealers.city FROM ref.dealers ORDER BY ref.dealers.id;
