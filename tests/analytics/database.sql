-- What the dealer's database has beside the demo's tables: events, an archive with tables of the
-- same names, a hierarchy, and types that the demo has no columns of.
CREATE SCHEMA archive;
CREATE TABLE web.events (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES crm.customers,
    session uuid NOT NULL,
    name text NOT NULL,
    payload jsonb NOT NULL,
    tags text[] NOT NULL,
    at timestamptz NOT NULL
);
CREATE TABLE ref.regions (
    id integer PRIMARY KEY,
    parent_id integer REFERENCES ref.regions,
    name varchar(40) NOT NULL UNIQUE,
    provinces int4range,
    opened date
);
CREATE TABLE archive.orders (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    total numeric(12,2) NOT NULL,
    ordered_at timestamptz NOT NULL
);
CREATE TABLE archive.customers (
    id bigint PRIMARY KEY,
    full_name text NOT NULL,
    closed_on date NOT NULL
);
INSERT INTO web.events
SELECT i, 1 + i % 40, md5((i / 4)::text)::uuid,
       (ARRAY['visit', 'configure', 'test_drive', 'order'])[1 + (i * 7 + i / 11) % 4],
       jsonb_build_object('step', i % 5, 'car', jsonb_build_object('model', (ARRAY['Brisa', 'Alba', 'Estela'])[1 + i % 3],
                          'price', 20000 + i * 13 % 9000), 'utm', CASE WHEN i % 3 > 0
                          THEN jsonb_build_object('source', (ARRAY['mail', 'search', 'social'])[1 + i % 3]) END,
                          'options', (SELECT jsonb_agg('o' || k) FROM generate_series(1, i % 4) AS k)),
       (ARRAY['new', 'mobile', 'night', 'returning'])[1:1 + i % 4],
       timestamptz '2026-01-01 00:00Z' + i * interval '37 minutes'
  FROM generate_series(1, 400) AS i;
INSERT INTO ref.regions VALUES
  (1, NULL, 'Spain', NULL, '2001-01-01'), (2, 1, 'North', '[1,20)', '2003-05-17'),
  (3, 1, 'South', '[20,40)', NULL), (4, 2, 'Cantabria', '[1,8)', '2010-02-28'),
  (5, 2, 'Asturias', '[8,20)', '2012-12-31'), (6, 3, 'Málaga', '[20,30)', '2016-02-29');
INSERT INTO archive.orders
SELECT i, 1 + i % 60, (i * 37 % 5000) + 0.5, timestamptz '2019-01-01Z' + i * interval '9 days'
  FROM generate_series(1, 120) AS i;
INSERT INTO archive.customers
SELECT i, 'Old Person ' || i, date '2020-01-01' + i FROM generate_series(50, 90) AS i;
