SELECT d FROM ref.dealers d ORDER BY d.id;

SELECT d.* FROM ref.dealers d ORDER BY d;

SELECT (d).name, (d).city FROM ref.dealers d ORDER BY (d).id;

SELECT (d).* FROM ref.dealers d ORDER BY d.id;

SELECT count(d), count(d.*), count(DISTINCT d) FROM ref.dealers d;

SELECT d::text FROM ref.dealers d ORDER BY 1;

SELECT d IS NULL AS a, d IS NOT NULL AS b, d.* IS NOT NULL AS c FROM ref.dealers d ORDER BY d.id;

SELECT dealers FROM ref.dealers ORDER BY dealers.id;

SELECT array_agg(d ORDER BY d.id) FROM ref.dealers d;
-- row of type record

SELECT to_json(d), row_to_json(d.*), to_jsonb(d) ->> 'name' FROM ref.dealers d ORDER BY id;

SELECT ROW(d.*) = ROW(e.*) AS same FROM ref.dealers d JOIN ref.dealers e ON e.id = d.id ORDER BY d.id;

SELECT d = e AS same FROM ref.dealers d, ref.dealers e WHERE d.id = 1 ORDER BY e.id;

SELECT row(d.id, d.name) FROM ref.dealers d ORDER BY d.id;

SELECT md5(d::text) AS fingerprint FROM ref.dealers d ORDER BY d.id;

SELECT jsonb_agg(c.* ORDER BY c.id) FROM (SELECT id, full_name FROM crm.customers ORDER BY id LIMIT 5) c;

SELECT x FROM (SELECT 1 AS a, 'b' AS b) x;

SELECT (x).a + 1 AS n FROM (SELECT 1 AS a) x;

SELECT c.id, (SELECT o FROM sales.orders o WHERE o.customer_id = c.id ORDER BY o.id LIMIT 1) AS first FROM crm.customers c ORDER BY c.id LIMIT 20;
-- row of type record

SELECT ((SELECT o FROM sales.orders o ORDER BY o.id LIMIT 1)).total AS total;
-- field of a record

SELECT coalesce(a, b) FROM ref.dealers a FULL JOIN ref.dealers b ON a.id = b.id + 1 ORDER BY a.id, b.id;
-- row of type record

SELECT greatest(d, d) FROM ref.dealers d ORDER BY d.id LIMIT 1;
-- row of type record

SELECT d.id, json_build_object('dealer', d, 'n', 1) FROM ref.dealers d ORDER BY d.id;

SELECT pg_typeof(d) FROM (SELECT ROW(1, 'a') AS d) x;

SELECT (ROW(1, 2) < ROW(1, 3)) AS a, (1, 2) IS DISTINCT FROM (1, NULL) AS b, ROW(1, NULL) IS NULL AS c, (1, 2) IN ((1, 2), (3, 4)) AS d;

SELECT f.* FROM ref.dealers d, LATERAL (SELECT d.*) f ORDER BY f.id;

SELECT hash_record_free FROM (SELECT d.id AS hash_record_free FROM ref.dealers d) x ORDER BY 1;
