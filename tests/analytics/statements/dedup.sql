SELECT lower(email) AS email, count(*) FROM crm.customers WHERE email IS NOT NULL GROUP BY lower(email) HAVING count(*) > 1 ORDER BY 1;

SELECT full_name, array_agg(id ORDER BY id) AS ids FROM crm.customers GROUP BY full_name HAVING count(*) > 1 ORDER BY full_name;

SELECT a.id, b.id AS twin FROM crm.customers a JOIN crm.customers b ON a.id < b.id AND lower(a.full_name) = lower(b.full_name) ORDER BY 1, 2;

SELECT * FROM (SELECT c.*, row_number() OVER (PARTITION BY lower(full_name) ORDER BY created_at DESC, id) AS rn FROM crm.customers c) AS ranked WHERE rn = 1 ORDER BY id;

SELECT DISTINCT full_name FROM crm.customers ORDER BY full_name;

SELECT DISTINCT ON (lower(full_name)) id, full_name, created_at FROM crm.customers ORDER BY lower(full_name), created_at DESC, id;

SELECT count(*) - count(DISTINCT email) AS repeated FROM crm.customers;

SELECT count(*) AS n, count(DISTINCT regexp_replace(phone, '\D', '', 'g')) AS phones FROM crm.customers;

SELECT translate(lower(full_name), 'áéíóúñü', 'aeiounu') AS plain, count(*) FROM crm.customers GROUP BY plain ORDER BY plain;

SELECT md5(lower(trim(email))) AS hash, id FROM crm.customers WHERE email <> '' ORDER BY id;

SELECT encode(sha256(lower(email)::bytea), 'hex') AS hash FROM crm.customers ORDER BY id LIMIT 5;

SELECT encode(sha256(convert_to(lower(email), 'UTF8')), 'base64') AS hash FROM crm.customers ORDER BY id LIMIT 5;

SELECT vin, count(*) FROM crm.vehicles GROUP BY vin HAVING count(*) <> 1;

SELECT c1.id FROM crm.customers c1 WHERE EXISTS (SELECT 1 FROM crm.customers c2 WHERE c2.birth_date = c1.birth_date AND c2.id <> c1.id) ORDER BY c1.id;

SELECT id FROM crm.customers c WHERE id = (SELECT min(id) FROM crm.customers d WHERE d.full_name = c.full_name) ORDER BY id;

SELECT id, full_name FROM crm.customers INTERSECT SELECT id, full_name FROM archive.customers;

SELECT id FROM crm.customers INTERSECT SELECT id FROM archive.customers ORDER BY id;

SELECT id FROM crm.customers EXCEPT SELECT customer_id FROM sales.orders ORDER BY 1;

SELECT customer_id FROM sales.orders EXCEPT ALL SELECT customer_id FROM archive.orders ORDER BY 1;

(SELECT id, 'crm' AS place FROM crm.customers LIMIT 0) UNION (SELECT id, 'archive' FROM archive.customers ORDER BY id LIMIT 3) ORDER BY 1;

SELECT customer_id, total FROM sales.orders UNION SELECT customer_id, total FROM archive.orders ORDER BY 1, 2;

(SELECT customer_id FROM sales.orders UNION ALL SELECT customer_id FROM archive.orders) INTERSECT SELECT id FROM crm.customers ORDER BY 1;

SELECT id, initcap(lower(full_name)) AS tidy, length(full_name), char_length(full_name), octet_length(full_name), position(' ' IN full_name), strpos(full_name, 'a') FROM crm.customers ORDER BY id;

SELECT id, trim(BOTH ' ' FROM full_name), ltrim(full_name, 'A'), rtrim(full_name), btrim(full_name, 'a '), overlay(full_name PLACING '*' FROM 2 FOR 3), substring(full_name FROM 1 FOR 3), substring(full_name, 2), substr(full_name, 2, 2) FROM crm.customers ORDER BY id LIMIT 20;

SELECT split_part(full_name, ' ', 1) AS first, split_part(full_name, ' ', -1) AS last, reverse(full_name), repeat('x', 3), lpad(id::text, 6, '0'), rpad(full_name, 5, '.') FROM crm.customers ORDER BY id LIMIT 20;

SELECT a.id, a.full_name, b.full_name FROM archive.customers a JOIN crm.customers b USING (id) WHERE a.full_name IS DISTINCT FROM b.full_name ORDER BY a.id;

SELECT count(*) FROM crm.customers a, crm.customers b WHERE a.phone IS NOT DISTINCT FROM b.phone AND a.id < b.id;

SELECT max(id) AS keep, array_remove(array_agg(id ORDER BY id), max(id)) AS drop FROM crm.customers GROUP BY lower(full_name), birth_date ORDER BY keep;

SELECT starts_with(email, 'a') AS a, email ^@ 'b' AS b, count(*) FROM crm.customers GROUP BY 1, 2 ORDER BY 1, 2;

SELECT concat(full_name, ' <', email, '>') AS address, concat_ws(', ', full_name, phone, email) AS line, format('%s (%s) %L %I', full_name, id, email, 'Name') FROM crm.customers ORDER BY id;
