SELECT o.id, p.source, p.viewed_at FROM sales.orders o LEFT JOIN LATERAL (SELECT source, viewed_at FROM web.page_views p WHERE p.customer_id = o.customer_id AND p.viewed_at < o.ordered_at ORDER BY viewed_at DESC LIMIT 1) AS p ON true ORDER BY o.id;

SELECT p.source, count(DISTINCT o.id) AS assisted, sum(o.total) FROM sales.orders o JOIN web.page_views p ON p.customer_id = o.customer_id AND p.viewed_at BETWEEN o.ordered_at - interval '30 days' AND o.ordered_at GROUP BY p.source ORDER BY p.source;

WITH touches AS (SELECT o.id AS order_id, o.total, p.source, row_number() OVER (PARTITION BY o.id ORDER BY p.viewed_at, p.id) AS first, row_number() OVER (PARTITION BY o.id ORDER BY p.viewed_at DESC, p.id DESC) AS last, count(*) OVER (PARTITION BY o.id) AS n
  FROM sales.orders o JOIN web.page_views p ON p.customer_id = o.customer_id AND p.viewed_at < o.ordered_at)
SELECT source, sum(total) FILTER (WHERE first = 1) AS first_touch, sum(total) FILTER (WHERE last = 1) AS last_touch, round(sum(total / n), 2) AS linear FROM touches GROUP BY source ORDER BY source;

WITH t AS (SELECT e.id, e.customer_id, coalesce(e.payload #>> '{utm,source}', 'direct') AS source, e.at FROM web.events e)
SELECT source, count(*) FILTER (WHERE is_first) AS first_contacts FROM (SELECT source, t.at = min(t.at) OVER (PARTITION BY customer_id) AS is_first FROM t) x GROUP BY source ORDER BY source;

SELECT source, sum(exp(-extract(epoch FROM age_s) / 604800.0)) AS decayed FROM (SELECT e.payload -> 'utm' ->> 'source' AS source, timestamptz '2026-02-01Z' - e.at AS age_s FROM web.events e) d GROUP BY source ORDER BY source;

SELECT substring(url FROM '^/([^/?]+)') AS section, count(*) FROM web.page_views GROUP BY 1 ORDER BY 1;

SELECT url, (regexp_match(url, '/([a-z-]+)$'))[1] AS last_part FROM web.page_views GROUP BY url ORDER BY url;

SELECT DISTINCT regexp_replace(url, '^/', '') AS page FROM web.page_views ORDER BY page;

SELECT id, regexp_split_to_array(url, '/') AS parts FROM web.page_views ORDER BY id LIMIT 10;

SELECT part, count(*) FROM web.page_views, regexp_split_to_table(url, '/') AS part WHERE part <> '' GROUP BY part ORDER BY part;

SELECT part, n, count(*) FROM web.page_views v, string_to_table(v.url, '/') WITH ORDINALITY AS s(part, n) GROUP BY part, n ORDER BY n, part;

SELECT source, count(*) * 100.0 / (SELECT count(*) FROM web.page_views) AS share FROM web.page_views GROUP BY source ORDER BY source;

SELECT host(ip) AS ip, family(ip), count(*) FROM web.page_views GROUP BY ip ORDER BY ip;

SELECT network(set_masklen(ip, CASE family(ip) WHEN 4 THEN 24 ELSE 48 END)) AS net, count(DISTINCT customer_id) FROM web.page_views WHERE ip IS NOT NULL GROUP BY 1 ORDER BY 1;

SELECT count(*) FROM web.page_views WHERE ip << inet '203.0.113.0/24' OR ip <<= '198.51.100.0/24'::cidr;

SELECT a.source AS a, b.source AS b, count(DISTINCT a.customer_id) AS both FROM web.page_views a JOIN web.page_views b USING (customer_id) WHERE a.source < b.source GROUP BY 1, 2 ORDER BY 1, 2;

SELECT p.customer_id, array_agg(DISTINCT p.source ORDER BY p.source) AS sources FROM web.page_views p WHERE p.customer_id = ANY (ARRAY[1, 2, 3]) GROUP BY p.customer_id ORDER BY 1;

SELECT source, first_value(url) OVER (PARTITION BY source ORDER BY viewed_at, id) AS first_url, id FROM web.page_views ORDER BY id;

SELECT coalesce(a.source, b.source) AS source, a.n AS views, b.n AS chats FROM (SELECT source, count(*) AS n FROM web.page_views GROUP BY 1) a FULL JOIN (SELECT source, count(*) AS n FROM crm.chat_transcripts GROUP BY 1) b ON a.source = b.source ORDER BY 1;

SELECT source, a.n, b.n FROM (SELECT source, count(*) AS n FROM web.page_views GROUP BY 1) a FULL OUTER JOIN (SELECT source, count(*) AS n FROM crm.chat_transcripts GROUP BY 1) b USING (source) ORDER BY source;

SELECT unnest(ARRAY['mail', 'search']) AS source, unnest(ARRAY[1, 2, 3]) AS n;

SELECT s.source, s.weight, count(e.id) FROM (VALUES ('mail', 0.5), ('search', 0.3), ('social', 0.2)) AS s(source, weight) LEFT JOIN web.events e ON e.payload #>> '{utm,source}' = s.source GROUP BY s.source, s.weight ORDER BY s.source;

SELECT count(DISTINCT (customer_id, source)) FROM web.page_views;

SELECT grouping(source, is_known) AS g, source, is_known, count(*) FROM (SELECT source, customer_id IS NOT NULL AS is_known FROM web.page_views) v GROUP BY CUBE (source, is_known) ORDER BY 1, 2, 3;
