SELECT id, tags[1] AS first, tags[2:3] AS middle, array_length(tags, 1), cardinality(tags) FROM web.events ORDER BY id LIMIT 20;

SELECT count(*) FROM web.events WHERE 'night' = ANY (tags);

SELECT count(*) FROM web.events WHERE tags && ARRAY['night', 'returning'] AND NOT tags <@ '{new}'::text[];

SELECT count(*) FROM web.events WHERE 'new' <> ALL (tags[2:]);

SELECT id, array_to_string(tags, ', ', '-') AS tags FROM web.events ORDER BY id LIMIT 10;

SELECT ARRAY(SELECT id FROM ref.dealers ORDER BY id) AS ids, ARRAY[[1, 2], [3, 4]] AS square, (ARRAY[1, 2, 3])[2] AS two;

SELECT array_append(tags, 'x'), array_prepend('y', tags), array_cat(tags, tags), tags || 'z'::text, array_remove(tags, 'new'), array_replace(tags, 'new', 'old') FROM web.events ORDER BY id LIMIT 5;

SELECT array_agg(tag ORDER BY tag) FROM (SELECT DISTINCT unnest(tags) AS tag FROM web.events) t;

SELECT e.id, t.tag, t.nr FROM web.events e CROSS JOIN LATERAL unnest(e.tags) WITH ORDINALITY AS t (tag, nr) ORDER BY e.id, t.nr LIMIT 40;

SELECT a, b FROM unnest(ARRAY[1, 2, 3], ARRAY['a', 'b']) AS u (a, b);

SELECT * FROM ROWS FROM (generate_series(1, 3), unnest(ARRAY['x', 'y'])) WITH ORDINALITY AS r (a, b, n);

SELECT s, array_position(ARRAY[3, 1, 2], s), array_positions(ARRAY[1, 2, 1], s) FROM generate_subscripts(ARRAY[3, 1, 2], 1) AS s;

SELECT array_fill(0, ARRAY[3]), array_dims(ARRAY[[1], [2]]), array_lower(ARRAY[1], 1), array_upper(ARRAY[1, 2], 1), array_ndims(ARRAY[[1]]), trim_array(ARRAY[1, 2, 3], 1);

SELECT string_to_array('a,b,,c', ',', '') AS parts, array_to_string(ARRAY[1, NULL, 3], ',', '*');

SELECT customer_id, array_agg(name ORDER BY at DESC) FILTER (WHERE name <> 'visit') AS names FROM web.events GROUP BY customer_id ORDER BY customer_id;

SELECT (array_agg(id ORDER BY at DESC))[1:3] AS last_three, customer_id FROM web.events GROUP BY customer_id ORDER BY customer_id;

SELECT customer_id FROM web.events GROUP BY customer_id HAVING array_agg(DISTINCT name) @> '{order}' ORDER BY 1;

SELECT c.id, c.full_name FROM crm.customers c WHERE c.id = ANY ('{1,2,3}'::bigint[]) ORDER BY c.id;

SELECT c.id FROM crm.customers c WHERE c.id = ANY (ARRAY(SELECT customer_id FROM crm.vehicles WHERE mileage_km < 5000)) ORDER BY c.id;

SELECT c.id FROM crm.customers c WHERE c.id > ALL (SELECT o.customer_id FROM sales.orders o WHERE o.total > 45000) ORDER BY c.id;

SELECT c.id FROM crm.customers c WHERE c.id = SOME (SELECT customer_id FROM archive.orders) ORDER BY 1;

SELECT c.full_name LIKE ANY (ARRAY['A%', 'B%']) AS ab, count(*) FROM crm.customers c GROUP BY 1 ORDER BY 1;

SELECT array_agg(ARRAY[id, dealer_id]) FROM (SELECT id, dealer_id FROM crm.service_visits ORDER BY id LIMIT 3) v;

SELECT ARRAY[1, 2] || ARRAY[3], 0 || ARRAY[1], ARRAY[1, 2] = ARRAY[1, 2], ARRAY[1, 2] < ARRAY[1, 3], '{1,2}'::int[] @> ARRAY[2];

SELECT '{{1,2},{3,4}}'::int[][] AS m, ('{{1,2},{3,4}}'::int[])[2][1] AS three, '[2:3]={7,8}'::int[] AS shifted;

SELECT ARRAY['pg_class']::regclass[] AS c, '{int4,text}'::regtype[] AS t;

SELECT '{text,int4}'::regtype[]::text[] AS names, array_agg(x::regtype) FROM unnest(ARRAY['int4', 'text']) AS x;

SELECT '{2024-01-01,2024-02-01}'::date[] AS d, '{1.5,2}'::numeric(4,2)[] AS n, '{a,b}'::varchar(3)[] AS v, '{1 day}'::interval[] AS i, '{t,f}'::bool[] AS b, '{}'::jsonb[] AS j;

SELECT ARRAY[]::text[] AS nothing, ARRAY[NULL]::int[] AS one, cardinality(ARRAY[]::bigint[]), CAST('{1}' AS int ARRAY), CAST('{1,2}' AS int ARRAY[2]);

SELECT array_agg(DISTINCT tag ORDER BY tag DESC) FROM web.events e JOIN LATERAL unnest(e.tags) tag ON true;

SELECT id, array_sort(tags), array_reverse(tags) FROM web.events ORDER BY id LIMIT 5;

SELECT x.k, x.v FROM (SELECT unnest(ARRAY['a', 'b']), unnest(ARRAY[1, 2])) AS x (k, v);
