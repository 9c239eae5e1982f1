SELECT dealer_id, count(*), sum(cost), avg(cost), min(cost), max(cost) FROM crm.service_visits GROUP BY dealer_id ORDER BY dealer_id;

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY cost), percentile_disc(0.5) WITHIN GROUP (ORDER BY cost), mode() WITHIN GROUP (ORDER BY work) FROM crm.service_visits;

SELECT dealer_id, percentile_cont(ARRAY[0.1, 0.5, 0.9]) WITHIN GROUP (ORDER BY cost DESC) FROM crm.service_visits GROUP BY dealer_id ORDER BY dealer_id;

SELECT rank(500, 3) WITHIN GROUP (ORDER BY cost, dealer_id) FROM crm.service_visits;

SELECT cume_dist(500::numeric) WITHIN GROUP (ORDER BY cost DESC) FROM crm.service_visits;

SELECT dealer_id, work, grouping(dealer_id), grouping(dealer_id, work) AS g, sum(cost) FROM crm.service_visits GROUP BY CUBE (dealer_id, work) ORDER BY 1 NULLS LAST, 2 NULLS LAST, 4;

SELECT dealer_id, work, sum(cost) FROM crm.service_visits GROUP BY ROLLUP (dealer_id, work) ORDER BY 1 NULLS LAST, 2 NULLS LAST, 3;

SELECT dealer_id, work, sum(cost) FROM crm.service_visits GROUP BY GROUPING SETS ((dealer_id, work), (dealer_id), ROLLUP (work)) ORDER BY 1 NULLS LAST, 2 NULLS LAST, 3;

SELECT dealer_id, extract(year FROM visited_at) AS y, work, count(*) FROM crm.service_visits GROUP BY DISTINCT ROLLUP (1, 2), ROLLUP (1, 3) ORDER BY 1 NULLS LAST, 2 NULLS LAST, 3 NULLS LAST, 4;

SELECT count(DISTINCT dealer_id) AS dealers, count(DISTINCT (dealer_id, work)) AS pairs, count(ALL work) AS works FROM crm.service_visits;

SELECT string_agg(DISTINCT work, ', ' ORDER BY work) FROM crm.service_visits;

SELECT string_agg(work, ', ' ORDER BY cost DESC, id) FROM crm.service_visits GROUP BY vehicle_id ORDER BY vehicle_id;

SELECT bit_and(dealer_id), bit_or(dealer_id), bit_xor(dealer_id), bool_and(cost > 0) FROM crm.service_visits;

SELECT regr_count(cost, dealer_id), regr_r2(cost, dealer_id), regr_intercept(cost, dealer_id), regr_sxy(cost, dealer_id), regr_avgx(cost, dealer_id), covar_samp(cost, dealer_id) FROM crm.service_visits;

SELECT work, sum(cost) FILTER (WHERE visited_at >= now() - interval '1 year') AS lately, sum(cost) AS ever FROM crm.service_visits GROUP BY work ORDER BY work;

SELECT count(*) FILTER (WHERE cost > 100) * 100.0 / count(*) AS share FROM crm.service_visits;

SELECT dealer_id FROM crm.service_visits GROUP BY dealer_id HAVING sum(cost) > 100 AND count(*) FILTER (WHERE work = 'brakes') >= 0 ORDER BY 1;

SELECT sum(cost), (SELECT count(*) FROM ref.dealers) AS houses FROM crm.service_visits HAVING count(*) > 0;

SELECT array_agg(cost ORDER BY cost USING >) FROM crm.service_visits WHERE dealer_id = 1;

SELECT id, cost FROM crm.service_visits ORDER BY cost USING >, id USING <;

SELECT id FROM crm.service_visits ORDER BY cost USING OPERATOR(pg_catalog.<), id;

SELECT array_agg(id ORDER BY cost DESC NULLS LAST, id) FROM crm.service_visits;

SELECT json_object_agg(work, n) FROM (SELECT work, count(*) AS n FROM crm.service_visits GROUP BY work ORDER BY work) w;

SELECT max(work), min(visited_at), max(ARRAY[cost]), min((dealer_id, cost)::text) FROM crm.service_visits;

SELECT avg(cost)::numeric(10,2), sum(cost)::money IS NOT NULL AS m, stddev_samp(cost)::real, avg(cost::float4), sum(dealer_id::smallint), sum(dealer_id::bigint) FROM crm.service_visits;

SELECT 1 FROM crm.service_visits GROUP BY () HAVING true;

SELECT visits, count(*) AS vehicles FROM (SELECT vehicle_id, count(*) AS visits FROM crm.service_visits GROUP BY vehicle_id) AS per_vehicle GROUP BY visits ORDER BY visits;

SELECT dealer_id, any_value(dealer_id + 1) AS next, count(*) FROM crm.service_visits GROUP BY ALL ORDER BY 1;
-- fails with 42601

SELECT range_agg(int4range(dealer_id, dealer_id + 1)), range_intersect_agg(int4range(0, 100 + dealer_id)) FROM crm.service_visits;

SELECT dealer_id, sum(cost) / count(DISTINCT vehicle_id) AS per_car FROM crm.service_visits GROUP BY 1 ORDER BY per_car DESC, 1;

SELECT dealer_id, bool_or(work IS NULL) FROM crm.service_visits WHERE cost IS NOT NULL GROUP BY 1 ORDER BY 1;

SELECT cost, dealer_id, count(id) FROM crm.service_visits GROUP BY dealer_id;
-- fails with 42803
