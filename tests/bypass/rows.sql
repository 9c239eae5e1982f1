-- Rows, and secrets wherever a tool must not see. :names are replaced by the values of one world
-- (worlds.py): what no mask lets through differs from world to world, all else is the same.

SELECT setval('crm.people_id', :serial);

INSERT INTO crm.people
SELECT n, (ARRAY['ES', 'DE', 'FR'])[n % 3 + 1], 'Open' || n, 'open' || n || '@fine.example',
       'alias' || n, '60000000' || n, 'C' || n, 20 + n, 100 + n, 1000 + n, n / 8.0,
       make_date(1980, 1, n), timestamptz '2026-01-01 00:00Z' + n * interval '1 day', n % 2 = 0,
       ('00000000-0000-4000-8000-00000000000' || n)::uuid, jsonb_build_object('n', n),
       ('\x0' || n)::bytea, ('198.51.100.' || n)::inet, ARRAY['t' || n], 'calm', 'gold', n,
       'spell' || n, ROW('Main', n)::crm.place, to_tsvector('simple', 'word' || n), n / 16.0,
       n / 32.0, ':diary' || n, ':unlisted' || n
  FROM generate_series(1, 6) n;
INSERT INTO crm.people
SELECT n, (ARRAY['ES', 'DE', 'FR'])[n % 3 + 1], ':name' || n, ':email' || n || '@leak.example',
       ':alias' || n, ':phone' || '432' || (n % 10), ':code' || n, :age + n, :big + n, 7000 + :cents + n,
       :score + n, make_date(1977, :month, 1) + (n - 7)::int,
       timestamptz ':seen' + n * interval '1 hour', (n = ANY (:members)),
       ('77777777-7777-4777-8777-77777777777' || n % 10)::uuid,
       jsonb_build_object('secret', ':doc' || n, 'n', :big), (':blob' || n)::bytea,
       ('203.0.113.' || (:host + n))::inet, ARRAY[':tag' || n, 'x'], ':mood', ':status' || n,
       :small + n, ':spell' || n, ROW(':street', :age + n)::crm.place,
       to_tsvector('simple', ':word' || n), :score + n + 0.5, :score, ':diary' || n,
       ':unlisted' || n
  FROM generate_series(7, 10) n;

-- Of each reason to be absent some rows; and in one world more than in the other.
INSERT INTO crm.visits
SELECT n, n % 3 + 1, '/open' || n, 'site', timestamptz ':now' - n * interval '2 days', 'note' || n, n
  FROM generate_series(1, 6) n;
INSERT INTO crm.visits
SELECT 100 + n, 1, ':url' || n, 'bought', timestamptz ':now' - interval '9 days', ':note' || n, 0
  FROM generate_series(1, :removed) n;
INSERT INTO crm.visits
SELECT 200 + n, 1, ':url' || n, 'site', timestamptz ':now' - interval '99 days', ':note' || n, 0
  FROM generate_series(1, :removed) n;
INSERT INTO crm.visits
SELECT 300 + n, 9, ':url' || n, NULL, timestamptz ':now' - interval '9 days', ':note' || n, 0
  FROM generate_series(1, :removed) n;
-- Seen an hour ago: absent for every purpose that is not exempt from `quiet`.
INSERT INTO crm.visits VALUES (401, 2, ':url0', 'bought', timestamptz ':now' - interval '1 hour', ':note0', 0);
-- Only this person's consent is missing: the row is there where people: all.
INSERT INTO crm.visits VALUES (501, 8, ':url8', 'form', timestamptz ':now' - interval '9 days', 'seen', 5);

INSERT INTO crm.orders SELECT n, n, 'item' || n, 10 * n FROM generate_series(1, 6) n;
INSERT INTO crm.orders SELECT n, n, ':item' || n, :big + n FROM generate_series(7, 10) n;
INSERT INTO crm.items SELECT n, n, 'sku' || n, 100 * n FROM generate_series(1, 6) n;
INSERT INTO crm.items SELECT n, n, ':sku' || n, 7000 + :cents FROM generate_series(7, 10) n;
INSERT INTO crm.items VALUES (77, NULL, ':sku77', 7000 + :cents), (78, 999, ':sku78', 7000 + :cents);
INSERT INTO crm.pairs VALUES (1, 1, 2, 'both'), (2, 1, 7, ':about2'), (3, 8, 1, ':about3'), (4, NULL, 1, ':about4');
INSERT INTO crm.loose VALUES (1, ':loose1');
INSERT INTO crm.loose_child VALUES (2, ':loose2');
INSERT INTO crm.events SELECT n, n, 'event' || n FROM generate_series(1, 6) n;
INSERT INTO crm.events SELECT n, n, ':what' || n FROM generate_series(7, 10) n;
INSERT INTO crm.internal SELECT n, n, ':internal' || n FROM generate_series(1, 9) n;
INSERT INTO private.people SELECT n, ':email' || n FROM generate_series(1, 9) n;
INSERT INTO private.ranks VALUES (1, 'plain'), (2, 'vip');
INSERT INTO private.members SELECT n, 'nick' || n, 20 + n, 1 FROM generate_series(1, 4) n;
INSERT INTO private.members SELECT 50 + n, ':nick' || n, 0, 2 FROM generate_series(1, :removed) n;
INSERT INTO ref.shops VALUES (1, 'Madrid', 'shop1@fine.example'), (2, 'Berlin', 'shop2@fine.example');

-- The order of rows on disk is the same in every world, and statistics hold what can leak.
CLUSTER crm.people USING people_pkey;
CLUSTER crm.visits USING visits_pkey;
REFRESH MATERIALIZED VIEW crm.people_copy;
ANALYZE;
