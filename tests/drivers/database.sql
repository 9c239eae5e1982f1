-- What the drivers read through the proxy: forty customers, one column of every common type, an
-- enum, keys and references, a view, and a table that the policy does not name.
CREATE SCHEMA crm;
CREATE SCHEMA sales;

CREATE TYPE crm.channel AS ENUM ('email', 'sms', 'phone');

CREATE TABLE crm.customers (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    email varchar(254) UNIQUE,
    phone varchar(30),
    born date,
    income numeric(12,2),
    balance numeric(12,2) DEFAULT 0,
    visits integer,
    level smallint,
    ratio real,
    score double precision,
    guess double precision,
    channel crm.channel,
    tags text[],
    numbers integer[],
    attributes jsonb,
    notes json,
    is_member boolean,
    seen_at timestamptz,
    local_at timestamp(3),
    wakes time,
    waits interval,
    address inet,
    token uuid,
    picture bytea,
    code char(4),
    secret text
);
COMMENT ON TABLE crm.customers IS 'One row per person';

CREATE TABLE sales.orders (
    id bigserial PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES crm.customers,
    total numeric(12,2) NOT NULL,
    ordered_at timestamptz NOT NULL
);
CREATE INDEX orders_customer_id ON sales.orders (customer_id);
CREATE TABLE sales.internal (id bigint PRIMARY KEY, note text);

INSERT INTO crm.customers
SELECT i, 'Person ' || i, 'p' || i || '@example.com', '+1555' || lpad(i::text, 7, '0'),
       date '1950-06-15' + i * 365, 30000.50 + i * 100, i * 1.25, i, i % 7, i / 4.0, i / 3.0, i / 100.0,
       (enum_range(NULL::crm.channel))[1 + i % 3], ARRAY['a' || i, NULL, 'b,"c'], ARRAY[i, i * 2],
       jsonb_build_object('k', i), json_build_object('n', i), i % 2 = 0,
       timestamptz '2025-01-01 12:00:00.123456+00' + i * interval '1 hour',
       timestamp '2025-01-01 08:00:00.5' + i * interval '1 day', time '06:30:15', i * interval '1 hour',
       ('10.0.0.' || i)::inet, ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid,
       decode(lpad(to_hex(i), 4, '0'), 'hex'), 'c' || i, 'secret of ' || i
  FROM generate_series(1, 40) AS i;
INSERT INTO sales.orders (customer_id, total, ordered_at)
SELECT 1 + i % 40, 10.25 * i, timestamptz '2025-02-01 00:00:00+00' + i * interval '1 day'
  FROM generate_series(1, 5000) AS i;
INSERT INTO sales.internal VALUES (1, 'not for tools');
