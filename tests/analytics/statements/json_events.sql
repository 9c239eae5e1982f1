SELECT id, payload -> 'car' ->> 'model' AS model, (payload -> 'car' ->> 'price')::numeric AS price FROM web.events ORDER BY id LIMIT 20;

SELECT payload #>> '{car,model}' AS model, avg((payload #> '{car,price}')::int) FROM web.events GROUP BY 1 ORDER BY 1;

SELECT payload['car']['model'] AS model, count(*) FROM web.events GROUP BY 1 ORDER BY 1;

SELECT count(*) FROM web.events WHERE payload @> '{"car": {"model": "Alba"}}';

SELECT count(*) FROM web.events WHERE payload ? 'utm' AND payload ?& ARRAY['step', 'car'] AND payload ?| '{a,car}';

SELECT count(*) FROM web.events WHERE payload -> 'utm' <> 'null'::jsonb;

SELECT id, jsonb_array_length(payload -> 'options') AS options FROM web.events WHERE jsonb_typeof(payload -> 'options') = 'array' ORDER BY id;

SELECT e.id, o.value, o.ordinality FROM web.events e, jsonb_array_elements_text(CASE jsonb_typeof(e.payload -> 'options') WHEN 'array' THEN e.payload -> 'options' END) WITH ORDINALITY AS o ORDER BY 1, 3;

SELECT DISTINCT k FROM web.events, jsonb_object_keys(payload) AS k ORDER BY k;

SELECT key, count(*) FROM web.events e CROSS JOIN LATERAL jsonb_each(e.payload) GROUP BY key ORDER BY key;

SELECT e.id, x.model, x.price FROM web.events e, jsonb_to_record(e.payload -> 'car') AS x(model text, price int) ORDER BY e.id LIMIT 10;

SELECT x.* FROM jsonb_to_recordset('[{"a": 1, "b": "x"}, {"a": 2}]') AS x(a int, b text) ORDER BY a;

SELECT json_build_object('id', c.id, 'name', c.full_name, 'cars', (SELECT json_agg(json_build_object('vin', v.vin, 'km', v.mileage_km) ORDER BY v.id) FROM crm.vehicles v WHERE v.customer_id = c.id)) AS doc FROM crm.customers c ORDER BY c.id LIMIT 10;

SELECT row_to_json(d) FROM ref.dealers d ORDER BY d.id;

SELECT to_jsonb(c) - 'email' - 'phone' AS person FROM crm.customers c ORDER BY c.id LIMIT 10;

SELECT json_agg(d ORDER BY d.id) FROM ref.dealers AS d;

SELECT jsonb_agg(to_jsonb(d) || jsonb_build_object('visits', (SELECT count(*) FROM crm.service_visits s WHERE s.dealer_id = d.id)) ORDER BY id) FROM ref.dealers d;

SELECT jsonb_pretty(payload) FROM web.events ORDER BY id LIMIT 1;

SELECT jsonb_path_query(payload, '$.car.price ? (@ > 25000)') AS price FROM web.events ORDER BY id, 1;

SELECT count(*) FROM web.events WHERE payload @? '$.car ? (@.price > 25000)' OR payload @@ '$.step == 1';

SELECT id, jsonb_path_query_first(payload, '$.options[0]') AS first, jsonb_path_exists(payload, '$.utm.source') AS has FROM web.events ORDER BY id LIMIT 20;

SELECT jsonb_set(payload, '{car,price}', '0') AS free, payload #- '{car,price}' AS without, jsonb_strip_nulls(payload) AS tidy, jsonb_insert(payload, '{options,0}', '"z"') FROM web.events WHERE payload -> 'options' <> 'null' ORDER BY id LIMIT 10;

SELECT JSON_OBJECT('id': id, 'name': name) AS doc FROM ref.dealers ORDER BY id;

SELECT JSON_OBJECT('id' VALUE id, 'city' VALUE city ABSENT ON NULL RETURNING jsonb) AS doc FROM ref.dealers ORDER BY id;

SELECT JSON_ARRAY(id, name, NULL NULL ON NULL) AS a, JSON_ARRAY(1, 2 RETURNING jsonb) AS b FROM ref.dealers ORDER BY id;

SELECT JSON_ARRAY(SELECT name FROM ref.dealers ORDER BY id) AS names;

SELECT JSON_OBJECTAGG(id: name) FROM (SELECT * FROM ref.dealers ORDER BY id) AS d;

SELECT JSON_OBJECTAGG(name VALUE id ABSENT ON NULL WITH UNIQUE KEYS RETURNING jsonb) FROM ref.dealers;

SELECT JSON_ARRAYAGG(name ORDER BY id) AS a, JSON_ARRAYAGG(city ORDER BY id ABSENT ON NULL RETURNING jsonb) FILTER (WHERE id > 1) AS b FROM ref.dealers;

SELECT JSON_VALUE(payload, '$.car.model') AS model, JSON_VALUE(payload, '$.car.price' RETURNING int) AS price FROM web.events ORDER BY id LIMIT 10;

SELECT JSON_VALUE(payload, '$.nothing' DEFAULT 'none' ON EMPTY ERROR ON ERROR) AS v FROM web.events ORDER BY id LIMIT 3;

SELECT JSON_QUERY(payload, '$.options[*]' WITH WRAPPER) AS o, JSON_QUERY(payload, '$.car.model' OMIT QUOTES) AS m FROM web.events ORDER BY id LIMIT 10;

SELECT count(*) FROM web.events WHERE JSON_EXISTS(payload, '$.car ? (@.price > $low)' PASSING 25000 AS low);

SELECT e.id, t.* FROM web.events e, JSON_TABLE(e.payload, '$.car' COLUMNS (model text PATH '$.model', price int PATH '$.price')) AS t ORDER BY e.id LIMIT 20;

SELECT e.id, t.n, t.o FROM web.events e CROSS JOIN JSON_TABLE(e.payload, '$.options[*]' COLUMNS (n FOR ORDINALITY, o text PATH '$')) AS t ORDER BY 1, 2;

SELECT t.* FROM web.events e, JSON_TABLE(payload, '$' AS root COLUMNS (step int PATH '$.step', has_utm boolean EXISTS PATH '$.utm.source', NESTED PATH '$.options[*]' AS opts COLUMNS (o text PATH '$'))) t ORDER BY e.id, t.o NULLS FIRST LIMIT 30;

SELECT count(*) FROM web.events WHERE payload::text IS JSON OBJECT;

SELECT '[1]' IS JSON ARRAY AS a, '1' IS JSON SCALAR AS b, 'x' IS NOT JSON AS c, '{"a":1,"a":2}' IS JSON WITH UNIQUE KEYS AS d;

SELECT JSON('{"a": 1}') AS j, JSON_SCALAR(12) AS s, JSON_SERIALIZE('{"a": 1}' RETURNING text) AS t;

SELECT jsonb_object_agg(name, n ORDER BY name) FROM (SELECT name, count(*) AS n FROM web.events GROUP BY name) x;

SELECT payload ->> 'step' AS step, jsonb_agg(DISTINCT payload -> 'car' -> 'model') FROM web.events GROUP BY 1 ORDER BY 1;

SELECT payload || '{"seen": true}' AS marked FROM web.events ORDER BY id LIMIT 3;

SELECT (payload ->> 'step')::int % 2 = 0 AS even, count(*) FROM web.events GROUP BY 1 ORDER BY 1;

SELECT array_to_json(tags) AS tags, array_to_json(ARRAY[1, 2]), json_build_array(1, 'a', NULL), json_object('{a,b}', '{1,2}') FROM web.events ORDER BY id LIMIT 3;
