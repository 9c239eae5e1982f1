WITH marked AS (SELECT id, customer_id, viewed_at, CASE WHEN viewed_at - lag(viewed_at) OVER w < interval '30 minutes' THEN 0 ELSE 1 END AS starts FROM web.page_views WHERE customer_id IS NOT NULL WINDOW w AS (PARTITION BY customer_id ORDER BY viewed_at, id)),
sessions AS (SELECT *, sum(starts) OVER (PARTITION BY customer_id ORDER BY viewed_at, id) AS session FROM marked)
SELECT customer_id, session, min(viewed_at), max(viewed_at), count(*) FROM sessions GROUP BY customer_id, session ORDER BY customer_id, session;

SELECT customer_id, viewed_at, extract(epoch FROM viewed_at - lag(viewed_at) OVER (PARTITION BY customer_id ORDER BY viewed_at, id)) AS idle_s FROM web.page_views ORDER BY customer_id, viewed_at, id;

SELECT date_bin('30 minutes', viewed_at, TIMESTAMP WITH TIME ZONE '2001-01-01') AS slot, count(*) FROM web.page_views GROUP BY slot ORDER BY slot;

SELECT customer_id, day, day - (row_number() OVER (PARTITION BY customer_id ORDER BY day))::int AS island FROM (SELECT DISTINCT customer_id, viewed_at::date AS day FROM web.page_views WHERE customer_id < 20) d ORDER BY customer_id, day;

WITH days AS (SELECT DISTINCT customer_id, at::date AS day FROM web.events), islands AS (SELECT customer_id, day, day - dense_rank() OVER (PARTITION BY customer_id ORDER BY day)::integer AS grp FROM days)
SELECT customer_id, min(day) AS since, max(day) AS until, count(*) AS days FROM islands GROUP BY customer_id, grp HAVING count(*) >= 1 ORDER BY customer_id, since;

SELECT session, name, at, row_number() OVER s AS nth, at - first_value(at) OVER s AS into_session FROM web.events WINDOW s AS (PARTITION BY session ORDER BY at, id) ORDER BY session, nth;

SELECT count(*) AS sessions, avg(n), max(n) FROM (SELECT session, count(*) AS n FROM web.events GROUP BY session) s;

SELECT session, tstzrange(min(at), max(at), '[]') AS lasted FROM web.events GROUP BY session ORDER BY session LIMIT 30;

SELECT a.session, b.session AS overlaps FROM (SELECT session, customer_id, tstzrange(min(at), max(at), '[]') AS r FROM web.events GROUP BY 1, 2) a JOIN (SELECT session, customer_id, tstzrange(min(at), max(at), '[]') AS r FROM web.events GROUP BY 1, 2) b ON a.r && b.r AND a.session < b.session WHERE a.customer_id < 5 ORDER BY 1, 2 LIMIT 40;

SELECT range_agg(r) FROM (SELECT tstzrange(min(at), max(at)) AS r FROM web.events GROUP BY session) s;

SELECT lower(r), upper(r), isempty(r), lower_inc(r) FROM (SELECT tstzrange(min(at), max(at)) AS r FROM web.events GROUP BY session) s ORDER BY 1, 2 LIMIT 10;

SELECT customer_id, last_value(url) OVER (PARTITION BY customer_id ORDER BY viewed_at, id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS exit_page FROM web.page_views ORDER BY customer_id, viewed_at, id LIMIT 40;

SELECT viewed_at::time(0) AS at, extract(dow FROM viewed_at) AS dow, extract(isodow FROM viewed_at) AS isodow FROM web.page_views ORDER BY id LIMIT 20;

SELECT extract(hour FROM viewed_at AT TIME ZONE 'Europe/Madrid') AS hour, count(*) FROM web.page_views GROUP BY hour ORDER BY hour;

SELECT h AS hour, count(p.id) FROM generate_series(0, 23) AS h LEFT JOIN web.page_views AS p ON date_part('hour', p.viewed_at) = h GROUP BY h ORDER BY h;

SELECT customer_id, count(*) FILTER (WHERE viewed_at > now() - interval '7 days') AS week, count(*) FILTER (WHERE viewed_at > now() - interval '30 days') AS month FROM web.page_views GROUP BY customer_id ORDER BY customer_id;

SELECT session, max(at) = any_value(last_at) AS ok FROM (SELECT session, at, max(at) OVER (PARTITION BY session) AS last_at FROM web.events) e GROUP BY session ORDER BY session LIMIT 5;

SELECT e.session, count(*) FILTER (WHERE e.tags @> '{mobile}') AS mobile, bool_or('night' = ANY (e.tags)) AS at_night FROM web.events e GROUP BY e.session ORDER BY e.session LIMIT 25;

SELECT id, count(*) OVER (ORDER BY viewed_at RANGE BETWEEN '1 hour' PRECEDING AND '1 hour' FOLLOWING) AS around FROM web.page_views ORDER BY id;

SELECT id, avg(mileage_km) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 3 FOLLOWING EXCLUDE CURRENT ROW) FROM crm.vehicles ORDER BY id;

SELECT id, sum(mileage_km) OVER (ORDER BY mileage_km GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES) FROM crm.vehicles ORDER BY id;

SELECT id, count(*) OVER (ORDER BY id GROUPS 2 PRECEDING EXCLUDE GROUP) FROM crm.vehicles ORDER BY id;

SELECT session::text, name FROM web.events WHERE session = md5('3')::uuid ORDER BY at;

SELECT left(session::varchar, 8) AS short, count(*) FROM web.events GROUP BY 1 ORDER BY 1;
