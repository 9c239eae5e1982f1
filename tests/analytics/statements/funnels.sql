SELECT name, count(*) AS events, count(DISTINCT customer_id) AS people FROM web.events GROUP BY name ORDER BY name;

SELECT count(DISTINCT customer_id) FILTER (WHERE name = 'visit') AS visited, count(DISTINCT customer_id) FILTER (WHERE name = 'configure') AS configured,
       count(DISTINCT customer_id) FILTER (WHERE name = 'test_drive') AS drove, count(DISTINCT customer_id) FILTER (WHERE name = 'order') AS ordered FROM web.events;

WITH v AS (SELECT customer_id, min(at) AS at FROM web.events WHERE name = 'visit' GROUP BY 1),
     c AS (SELECT e.customer_id, min(e.at) AS at FROM web.events e JOIN v ON v.customer_id = e.customer_id AND e.at > v.at WHERE e.name = 'configure' GROUP BY 1),
     o AS (SELECT e.customer_id, min(e.at) AS at FROM web.events e JOIN c ON c.customer_id = e.customer_id AND e.at > c.at WHERE e.name = 'order' GROUP BY 1)
SELECT (SELECT count(*) FROM v) AS visits, (SELECT count(*) FROM c) AS configured, (SELECT count(*) FROM o) AS ordered;

SELECT step, people, lag(people) OVER (ORDER BY step) AS before, round(people::numeric / nullif(first_value(people) OVER (ORDER BY step), 0), 2) AS share
FROM (SELECT (payload ->> 'step')::int AS step, count(DISTINCT customer_id) AS people FROM web.events GROUP BY 1) AS s ORDER BY step;

SELECT customer_id, string_agg(name, ' > ' ORDER BY at, id) AS path FROM web.events GROUP BY customer_id ORDER BY customer_id;

SELECT path, count(*) FROM (SELECT session, array_agg(name ORDER BY at, id) AS path FROM web.events GROUP BY session) AS s GROUP BY path ORDER BY count(*) DESC, path;

SELECT customer_id FROM web.events GROUP BY customer_id HAVING bool_or(name = 'visit') AND bool_or(tags @> '{new,mobile}') ORDER BY customer_id;

SELECT customer_id, at, name, lead(name) OVER (PARTITION BY customer_id ORDER BY at, id) AS next FROM web.events ORDER BY customer_id, at, id LIMIT 50;

SELECT name, next, count(*) FROM (SELECT name, lead(name) OVER (PARTITION BY session ORDER BY at, id) AS next FROM web.events) AS steps WHERE next IS NOT NULL GROUP BY name, next ORDER BY 1, 2;

SELECT e.customer_id, e.at AS configured, n.at AS drove, n.at - e.at AS took FROM web.events e
JOIN LATERAL (SELECT at FROM web.events x WHERE x.customer_id = e.customer_id AND x.name = 'test_drive' AND x.at > e.at ORDER BY x.at LIMIT 1) n ON TRUE
WHERE e.name = 'configure' ORDER BY e.customer_id, e.at;

SELECT avg(took), percentile_disc(0.9) WITHIN GROUP (ORDER BY took) FROM (SELECT max(at) - min(at) AS took FROM web.events GROUP BY session) AS t;

SELECT mode() WITHIN GROUP (ORDER BY name) AS commonest, name FROM web.events GROUP BY name ORDER BY name;

SELECT count(*) FROM web.events a JOIN web.events b ON a.customer_id = b.customer_id AND a.name = 'visit' AND b.name = 'order' AND b.at BETWEEN a.at AND a.at + interval '7 days';

SELECT session, count(*) AS events, min(at) AS started, max(at) - min(at) AS lasted FROM web.events GROUP BY session HAVING count(*) >= 3 ORDER BY started LIMIT 20;

SELECT tag, count(*) FROM web.events, unnest(tags) AS tag GROUP BY tag ORDER BY tag;

SELECT name, 100 * count(*) / sum(count(*)) OVER () AS percent FROM web.events GROUP BY name ORDER BY name;

WITH steps AS (SELECT * FROM (VALUES (1, 'visit'), (2, 'configure'), (3, 'test_drive'), (4, 'order')) AS s (n, name))
SELECT s.n, s.name, count(DISTINCT e.customer_id) FROM steps s LEFT JOIN web.events e USING (name) GROUP BY s.n, s.name ORDER BY s.n;

SELECT c.id, c.full_name, bool_or(e.name = 'order') AS has_ordered FROM crm.customers c JOIN web.events e ON e.customer_id = c.id GROUP BY c.id, c.full_name ORDER BY c.id;

SELECT coalesce(payload -> 'utm' ->> 'source', 'direct') AS source, name, count(*) FROM web.events GROUP BY ROLLUP (1, 2) ORDER BY 1 NULLS LAST, 2 NULLS LAST;

SELECT source, count(*) AS views, count(DISTINCT customer_id) AS known, count(*) FILTER (WHERE customer_id IS NULL) AS unknown FROM web.page_views GROUP BY source ORDER BY source;

SELECT url, count(*) AS n, rank() OVER (ORDER BY count(*) DESC) AS place FROM web.page_views GROUP BY url ORDER BY n DESC, url;

SELECT p.url, count(DISTINCT o.id) AS orders_after FROM web.page_views p LEFT JOIN sales.orders o ON o.customer_id = p.customer_id AND o.ordered_at >= p.viewed_at GROUP BY p.url ORDER BY p.url;

SELECT e.name, e.at::date AS day, count(*) OVER (PARTITION BY e.name ORDER BY e.at::date RANGE BETWEEN interval '3 days' PRECEDING AND CURRENT ROW) AS lately FROM web.events e ORDER BY e.name, e.at;

SELECT (ARRAY['visit', 'configure', 'test_drive', 'order'])[n] AS step, count(e.id) FROM generate_series(1, 4) AS n LEFT JOIN web.events e ON e.name = (ARRAY['visit', 'configure', 'test_drive', 'order'])[n] GROUP BY n ORDER BY n;

SELECT customer_id, array_position(array_agg(name ORDER BY at, id), 'order') AS orders_at FROM web.events GROUP BY customer_id ORDER BY customer_id;

SELECT x.customer_id, x.steps FROM (SELECT customer_id, array_agg(DISTINCT name) AS steps FROM web.events GROUP BY 1) AS x WHERE x.steps @> ARRAY['visit', 'order'] ORDER BY 1;
