SELECT id, visited_at AT TIME ZONE 'Europe/Madrid' AS there, visited_at AT TIME ZONE INTERVAL '-05:00' AS elsewhere FROM crm.service_visits ORDER BY id LIMIT 10;

SELECT extract(epoch FROM visited_at)::bigint AS epoch, date_part('doy', visited_at), extract(quarter FROM visited_at), extract(century FROM visited_at), extract(timezone FROM visited_at) FROM crm.service_visits ORDER BY id LIMIT 10;

SELECT date '2024-02-29' + interval '1 year' AS a, date '2024-01-31' + interval '1 month' AS b, timestamp '2024-03-31 02:30' - interval '1 day 2 hours' AS c;

SELECT interval '1 year 2 mons 3 days 04:05:06' AS i, interval '90' MINUTE AS m, interval '2' DAY AS d, interval '1-2' YEAR TO MONTH AS ym, interval '3 4:05' DAY TO MINUTE AS dm, interval '1.5' SECOND(1) AS s;

SELECT INTERVAL '1 day' * 3 AS a, 2.5 * INTERVAL '1 hour' AS b, INTERVAL '1 day' / 4 AS c, -INTERVAL '1 day' AS d, interval(0) '1.7 seconds' AS e;

SELECT justify_days(interval '65 days'), justify_hours(interval '50 hours'), justify_interval(interval '1 mon -1 hour');

SELECT make_interval(years => 1, days => 10), make_date(2024, 2, 29), make_timestamp(2024, 1, 1, 10, 30, 0), make_timestamptz(2024, 1, 1, 10, 30, 0, 'Europe/Madrid'), make_time(1, 2, 3.5);

SELECT to_char(ordered_at, 'YYYY-MM-DD HH24:MI:SS TZ') AS shown, to_char(total, 'FM999G999D00') AS amount FROM sales.orders ORDER BY id LIMIT 10;

SELECT to_date('17/05/2024', 'DD/MM/YYYY'), to_timestamp('2024-05-17 10', 'YYYY-MM-DD HH24'), to_timestamp(0);

SELECT date_trunc('day', ordered_at) AS day, sum(total) FROM sales.orders WHERE ordered_at >= date_trunc('year', now()) - interval '1 year' GROUP BY day ORDER BY day;

SELECT d::date AS day, coalesce(sum(o.total), 0) AS total FROM generate_series(timestamptz '2025-06-01', timestamptz '2025-06-30', '1 day') AS d LEFT JOIN sales.orders o ON o.ordered_at >= d AND o.ordered_at < d + interval '1 day' GROUP BY d ORDER BY d;

SELECT (date '2024-01-01', date '2024-06-30') OVERLAPS (date '2024-05-01', interval '100 days') AS o;

SELECT age(timestamptz '2026-01-01', ordered_at) AS a, age(ordered_at) IS NOT NULL AS b FROM sales.orders ORDER BY id LIMIT 5;

SELECT registered_on + 30 AS due, registered_on - date '2000-01-01' AS days, registered_on - interval '1 month' AS before FROM crm.vehicles ORDER BY id;

SELECT CURRENT_DATE - 7 < CURRENT_DATE AS a, CURRENT_TIMESTAMP = now() AS b, LOCALTIMESTAMP(0) IS NULL AS c, CURRENT_TIME(3) IS NOT NULL AS d, LOCALTIME IS NULL AS e;

SELECT isfinite(timestamp 'infinity'), 'infinity'::timestamptz > now(), '-infinity'::date < date 'epoch', timestamp 'today' = current_date;

SELECT time '10:30' + interval '45 minutes' AS t, time with time zone '10:30+02' AS tz, date '2024-01-01' + time '12:00' AS ts, timetz '04:05:06-08:00' AT TIME ZONE 'UTC' AS z;

SELECT count(*) FROM sales.orders WHERE ordered_at BETWEEN SYMMETRIC timestamptz '2026-01-01' AND timestamptz '2024-01-01';

SELECT count(*) FROM sales.orders WHERE ordered_at NOT BETWEEN '2024-01-01' AND '2024-12-31';

SELECT count(*) FROM crm.vehicles WHERE registered_on NOT BETWEEN SYMMETRIC '2024-12-31' AND '2020-01-01';

SELECT extract(day FROM interval '40 days 3 hours'), extract(epoch FROM interval '1 day'), extract('month' FROM date '2024-05-17'), extract(julian FROM date '2024-05-17'), extract(microseconds FROM time '1:02:03.5');

SELECT timezone('UTC', timestamp '2024-05-17 10:00'), timestamp '2024-05-17 10:00' AT TIME ZONE 'America/New_York' AT TIME ZONE 'Asia/Tokyo', timestamptz '2024-05-17 10:00+00' AT LOCAL;

SELECT birth_date, (date_trunc('year', date '2026-01-01') + (birth_date - date_trunc('year', birth_date)))::date AS birthday FROM crm.customers WHERE birth_date IS NOT NULL ORDER BY id LIMIT 20;

SELECT id FROM crm.customers WHERE to_char(birth_date, 'MM-DD') BETWEEN '05-01' AND '05-31' ORDER BY id;

SELECT extract(month FROM birth_date) AS m, count(*) FROM crm.customers GROUP BY m ORDER BY m NULLS FIRST;

SELECT dow, to_char(date '2024-01-01' + dow - 1, 'Dy') AS name, count(o.id) FROM generate_series(1, 7) AS dow LEFT JOIN sales.orders o ON extract(isodow FROM o.ordered_at) = dow GROUP BY dow ORDER BY dow;

SELECT v.id, v.registered_on, lead(v.registered_on, 1, CURRENT_DATE) OVER (PARTITION BY v.customer_id ORDER BY v.registered_on, v.id) - v.registered_on > 0 AS held FROM crm.vehicles v ORDER BY v.id;

SELECT daterange(registered_on, registered_on + 365, '[]') @> date '2024-06-01' AS had_warranty, count(*) FROM crm.vehicles GROUP BY 1 ORDER BY 1;

SELECT r * daterange('2005-01-01', '2011-01-01') AS common, r + daterange('2003-01-01', '2030-01-01') AS both FROM (SELECT daterange(opened, NULL) AS r FROM ref.regions WHERE opened < '2005-01-01') x ORDER BY 1;

SELECT multirange(daterange('2024-01-01', '2024-02-01')) AS m, datemultirange(daterange('2024-01-01', '2024-02-01'), daterange('2024-03-01', '2024-04-01')) - datemultirange(daterange('2024-01-10', '2024-01-20')) AS gaps;

SELECT unnest(range_agg(daterange(registered_on, registered_on + 30))) AS busy FROM crm.vehicles ORDER BY 1 LIMIT 20;

SELECT min(visited_at)::date, max(visited_at)::timestamp(0), avg(visited_at - timestamptz '2020-01-01'), sum(interval '1 hour') FROM crm.service_visits;

SELECT vehicle_id, visited_at, visited_at + make_interval(months => 12) AS next_service FROM crm.service_visits WHERE visited_at = (SELECT max(x.visited_at) FROM crm.service_visits x WHERE x.vehicle_id = service_visits.vehicle_id) ORDER BY vehicle_id, id;

SELECT d, extract(isoyear FROM d) AS y, extract(week FROM d) AS w FROM (VALUES (date '2024-12-30'), (date '2021-01-03')) AS v(d) ORDER BY d;

SELECT 'now'::text, 'yesterday'::date < 'today'::date AS b, date 'tomorrow' - date 'today' AS one;

SELECT pg_typeof(now() - interval '1 day'), pg_typeof(date '2024-01-01' + 1), pg_typeof(extract(day FROM now()));

SELECT date_add(timestamptz '2024-03-30 12:00Z', interval '1 day', 'Europe/Madrid'), date_subtract(timestamptz '2024-03-31 12:00Z', '1 day');
