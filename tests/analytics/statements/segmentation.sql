SELECT c.id, c.full_name, c.email FROM crm.customers c WHERE c.email IS NOT NULL ORDER BY c.id LIMIT 10;

SELECT count(*) FROM crm.customers;

SELECT count(*) AS customers, count(email) AS with_email, count(phone) AS with_phone FROM crm.customers;

SELECT CASE WHEN date_part('year', age(date '2026-01-01', birth_date)) < 30 THEN 'young'
            WHEN date_part('year', age(date '2026-01-01', birth_date)) < 60 THEN 'middle' ELSE 'senior' END AS band,
       count(*) FROM crm.customers GROUP BY 1 ORDER BY 1;

SELECT v.model, count(DISTINCT v.customer_id) AS owners FROM crm.vehicles v GROUP BY v.model ORDER BY owners DESC, v.model;

SELECT c.id FROM crm.customers c JOIN crm.vehicles v ON v.customer_id = c.id WHERE v.mileage_km > 100_000 ORDER BY 1, v.id;

SELECT id, full_name FROM customers WHERE postal_code LIKE '28%' ORDER BY id;

SELECT id FROM crm.customers WHERE postal_code BETWEEN '28000' AND '28999' ORDER BY id;

SELECT c.id, count(v.*) AS cars FROM crm.customers c LEFT JOIN crm.vehicles v ON v.customer_id = c.id GROUP BY c.id HAVING count(v.*) > 1 ORDER BY cars DESC, c.id;

SELECT c.id, coalesce(s.churn_risk, 0) AS risk FROM crm.customers c LEFT JOIN crm.scores s ON s.customer_id = c.id ORDER BY risk DESC, c.id LIMIT 20;

SELECT ntile(10) OVER (ORDER BY s.lifetime_value, s.customer_id) AS decile, s.customer_id, s.lifetime_value FROM crm.scores AS s ORDER BY s.lifetime_value, s.customer_id;

WITH deciles AS (SELECT customer_id, lifetime_value, ntile(10) OVER (ORDER BY lifetime_value, customer_id) AS d FROM crm.scores)
SELECT d, count(*), min(lifetime_value), max(lifetime_value), round(avg(lifetime_value), 2) FROM deciles GROUP BY d ORDER BY d;

SELECT width_bucket(lifetime_value, 0, 80000, 8) AS bucket, count(*) FROM crm.scores GROUP BY bucket ORDER BY bucket;

SELECT width_bucket(mileage_km, ARRAY[10000, 50000, 100000]) AS bucket, count(*) FROM crm.vehicles GROUP BY 1 ORDER BY 1;

SELECT split_part(email, '@', 2) AS domain, count(*) FROM crm.customers WHERE email IS NOT NULL GROUP BY domain ORDER BY 2 DESC, 1;

SELECT c.id FROM crm.customers c WHERE EXISTS (SELECT 1 FROM sales.orders o WHERE o.customer_id = c.id AND o.total > 20000) ORDER BY c.id;

SELECT c.id FROM crm.customers c WHERE NOT EXISTS (SELECT FROM sales.orders o WHERE o.customer_id = c.id) ORDER BY c.id;

SELECT c.id FROM crm.customers c LEFT JOIN sales.orders o ON o.customer_id = c.id WHERE o.id IS NULL ORDER BY c.id;

SELECT id FROM crm.customers WHERE id IN (SELECT customer_id FROM crm.vehicles WHERE model LIKE 'B%') ORDER BY id;

SELECT id FROM crm.customers WHERE id NOT IN (SELECT customer_id FROM web.page_views WHERE customer_id IS NOT NULL) ORDER BY id;

SELECT life_event, count(*) FILTER (WHERE churn_risk > 0.5) AS at_risk, count(*) AS everybody FROM crm.scores GROUP BY life_event ORDER BY life_event NULLS FIRST;

SELECT (lifetime_value > 1000) AS is_valuable, (churn_risk > 0.8) IS TRUE AS is_leaving, count(*) FROM crm.scores GROUP BY 1, 2 ORDER BY 1, 2;

SELECT c.id, c.full_name, row_number() OVER (PARTITION BY left(c.postal_code, 2) ORDER BY s.lifetime_value DESC, c.id) AS place
FROM crm.customers c JOIN crm.scores s ON s.customer_id = c.id ORDER BY left(c.postal_code, 2), place;

SELECT id FROM crm.customers WHERE email ILIKE '%@EXAMPLE.COM' AND phone IS NOT NULL AND birth_date < '1980-01-01' ORDER BY id;

SELECT id FROM crm.customers WHERE (birth_date, id) > (date '1970-01-01', 50) ORDER BY birth_date, id LIMIT 5;

SELECT segment, count(*) FROM (SELECT CASE WHEN n = 0 THEN 'none' WHEN n = 1 THEN 'one' ELSE 'many' END AS segment
  FROM (SELECT c.id, count(o.id) AS n FROM crm.customers c LEFT JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id) AS per_customer) AS named
GROUP BY segment ORDER BY segment;

SELECT model, percentile_cont(0.5) WITHIN GROUP (ORDER BY mileage_km) AS median_km FROM crm.vehicles GROUP BY model ORDER BY model;

SELECT CASE left(postal_code, 2) WHEN '28' THEN 'Madrid' WHEN '08' THEN 'Barcelona' ELSE 'elsewhere' END AS city, count(*)
FROM crm.customers GROUP BY 1 ORDER BY count(*) DESC, 1;

SELECT id, NULLIF(phone, '') AS phone, GREATEST(birth_date, date '1950-01-01') AS bounded, LEAST(id, 10) AS small FROM crm.customers ORDER BY id LIMIT 7;

SELECT bool_and(email LIKE '%@%') AS all_valid, bool_or(phone IS NULL) AS any_missing, every(id > 0) FROM crm.customers;
