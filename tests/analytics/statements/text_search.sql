SELECT id FROM crm.chat_transcripts WHERE to_tsvector('english', transcript) @@ to_tsquery('english', 'brake & noise') ORDER BY id;

SELECT id, ts_rank(to_tsvector('english', transcript), q) AS rank FROM crm.chat_transcripts, plainto_tsquery('english', 'new offer') AS q WHERE to_tsvector('english', transcript) @@ q ORDER BY rank DESC, id;

SELECT count(*) FROM crm.chat_transcripts WHERE to_tsvector('simple', transcript) @@ websearch_to_tsquery('simple', '"second child" or divorce -car');

SELECT ts_headline('english', transcript, phraseto_tsquery('english', 'second child')) FROM crm.chat_transcripts ORDER BY id LIMIT 3;

SELECT word, count(*) FROM crm.chat_transcripts, unnest(to_tsvector('english', transcript)) AS u(word, positions, weights) GROUP BY word ORDER BY 2 DESC, 1 LIMIT 20;

SELECT tsvector_to_array(to_tsvector('english', transcript)) FROM crm.chat_transcripts ORDER BY id LIMIT 3;

SELECT setweight(to_tsvector('english', d.name), 'A') || setweight(to_tsvector('english', d.city), 'B') AS doc FROM ref.dealers d ORDER BY d.id;

SELECT 'fat & cat'::tsquery && 'rat'::tsquery AS a, !! 'fat'::tsquery AS b, 'a'::tsquery <-> 'b'::tsquery AS c, numnode('a & b'::tsquery), strip('a:1 b:2'::tsvector), length('a b'::tsvector);

SELECT w, count(*) FROM crm.chat_transcripts t, regexp_split_to_table(lower(t.transcript), E'[^[:alpha:]]+') AS w WHERE length(w) > 3 GROUP BY w ORDER BY 2 DESC, 1;

SELECT id, regexp_count(transcript, 'e', 1, 'i') AS e, regexp_instr(transcript, 'a') AS a, regexp_substr(transcript, '[A-Z]\w+') AS w, regexp_like(transcript, 'BRAKES', 'i') AS b FROM crm.chat_transcripts ORDER BY id LIMIT 10;

SELECT (regexp_matches(transcript, '\m([A-Z]\w*)', 'g'))[1] AS capital, count(*) FROM crm.chat_transcripts GROUP BY 1 ORDER BY 2 DESC, 1;

SELECT id FROM crm.chat_transcripts WHERE transcript ~ '(car|Brisa)' AND transcript !~* 'HOSPITAL' ORDER BY id;

SELECT id FROM crm.chat_transcripts WHERE transcript LIKE '%\%%' ESCAPE '\' OR transcript NOT LIKE '%!_%' ESCAPE '!' ORDER BY id;

SELECT sentiment > 0 AS happy, count(*), avg(sentiment)::numeric(5,3) FROM crm.chat_transcripts GROUP BY 1 ORDER BY 1;

SELECT width_bucket(sentiment::float8, -1, 1, 4) AS bucket, count(*), round(min(sentiment)::numeric, 2) FROM crm.chat_transcripts GROUP BY 1 ORDER BY 1;

SELECT source, string_agg(DISTINCT left(transcript, 10), ' | ' ORDER BY left(transcript, 10)) FROM crm.chat_transcripts GROUP BY source ORDER BY source;

SELECT id, CASE WHEN transcript ILIKE '%divorc%' THEN 'divorce' WHEN transcript ~~* '%child%' THEN 'child' WHEN transcript !~~ '%car%' THEN 'other' END AS topic FROM crm.chat_transcripts ORDER BY id;

SELECT substring(transcript SIMILAR '%#"second#"%' ESCAPE '#') AS s, substring(transcript FROM '(\w+)\?') AS asked FROM crm.chat_transcripts ORDER BY id LIMIT 10;

SELECT convert_from(convert_to(transcript, 'UTF8'), 'UTF8') = transcript AS same, ascii(transcript), chr(65), to_hex(255), quote_literal(transcript), quote_ident('a b'), quote_nullable(NULL) FROM crm.chat_transcripts ORDER BY id LIMIT 3;

SELECT normalize(full_name, NFD) = full_name AS plain, full_name IS NFC NORMALIZED AS composed, unicode_assigned(full_name), casefold(full_name) IS NULL AS n FROM crm.customers ORDER BY id LIMIT 10;

SELECT upper(full_name COLLATE "C"), full_name < 'M' COLLATE "C" AS early FROM crm.customers ORDER BY full_name COLLATE "C", id LIMIT 10;

SELECT bit_length('abc'), 'abc' || 1 || NULL AS nothing, 'a' 'b' AS syntax;
-- fails with 42601

SELECT json_agg(x) FROM ts_parse('default', 'a brake-noise') AS x;
