-- A small database that has one of everything, and secrets wherever a tool must not see.
-- :names are replaced by the values of one world (worlds.py): what no mask lets through differs
-- from world to world, everything else is the same.

CREATE SCHEMA crm;
CREATE SCHEMA ref;
CREATE SCHEMA private;

CREATE TYPE crm.mood AS ENUM ('calm', 'tense', 'furious');
CREATE DOMAIN crm.spelling AS text CHECK (VALUE <> '');
CREATE TYPE crm.place AS (street text, house int);

CREATE TABLE crm.people (
    id bigint PRIMARY KEY, country text NOT NULL, name text, email varchar(254), alias varchar(60),
    phone text, code char(12), age int, big bigint, balance numeric(12,2), score float8, born date,
    seen timestamptz, member boolean, token uuid, doc jsonb, blob bytea, ip inet, tags text[],
    mood crm.mood, status varchar(20), small smallint, spell crm.spelling, place crm.place,
    words tsvector, event float8, churn real, diary text,
    unlisted text  -- not in the policy
);
CREATE INDEX ON crm.people (email);
CREATE INDEX ON crm.people (alias);
CREATE INDEX people_unlisted ON crm.people (unlisted) WHERE unlisted <> 'nobody';

CREATE TABLE crm.visits (
    id bigint PRIMARY KEY, person_id bigint, url text, source text, seen_at timestamptz, note text,
    amount int
);
CREATE INDEX ON crm.visits (note);
CREATE TABLE crm.orders (id bigint PRIMARY KEY, person_id bigint, item text, total numeric(12,2));
CREATE TABLE crm.items (id bigint PRIMARY KEY, order_id bigint, sku text, price numeric(12,2));
CREATE TABLE crm.pairs (id bigint PRIMARY KEY, one_id bigint, other_id bigint, about text);
CREATE TABLE crm.loose (id bigint, text text);
CREATE TABLE crm.loose_child () INHERITS (crm.loose);
CREATE TABLE crm.events (id bigint, person_id bigint, what text) PARTITION BY RANGE (id);
CREATE TABLE crm.events_1 PARTITION OF crm.events FOR VALUES FROM (0) TO (100);
CREATE TABLE crm.internal (id bigint, person_id bigint, secret text);
CREATE TABLE ref.shops (id int PRIMARY KEY, city text, email text);
CREATE TABLE private.people (id bigint, email text);
CREATE SEQUENCE crm.people_id START :serial;
SELECT nextval('crm.people_id');

-- A view of the policy whose own rows are a choice: the others are nobody's to see.
CREATE TABLE private.ranks (rank int PRIMARY KEY, name text);
CREATE TABLE private.members (id bigint, nick text, years int, rank int);
CREATE VIEW crm.adults AS
    SELECT id, nick, years FROM private.members JOIN private.ranks USING (rank) WHERE name <> 'vip';
CREATE VIEW crm.adults_barred WITH (security_barrier) AS SELECT * FROM crm.adults;
-- And those that the policy does not name.
CREATE VIEW crm.people_view AS SELECT * FROM crm.people;
CREATE MATERIALIZED VIEW crm.people_copy AS SELECT 1 AS id, ':email7'::text AS email;
CREATE RULE watch AS ON UPDATE TO crm.internal DO ALSO NOTHING;

-- The worst that a database can hold: functions of the path's schemas that read with other rights.
CREATE FUNCTION crm.tell(bigint) RETURNS text LANGUAGE sql SECURITY DEFINER STABLE
    AS 'SELECT email FROM crm.people WHERE id = $1';
CREATE FUNCTION crm.tell_text(text) RETURNS text LANGUAGE sql SECURITY DEFINER STABLE
    AS 'SELECT email FROM crm.people WHERE id = $1::bigint';
CREATE FUNCTION crm.tell_row(record) RETURNS text LANGUAGE plpgsql SECURITY DEFINER STABLE
    AS $f$ BEGIN RETURN (SELECT email FROM crm.people WHERE id = 7); END $f$;
CREATE FUNCTION crm.tell_any(anyelement) RETURNS text LANGUAGE sql SECURITY DEFINER STABLE
    AS 'SELECT email FROM crm.people WHERE id = 7';
CREATE FUNCTION crm.tell_person(crm.people) RETURNS text LANGUAGE sql SECURITY DEFINER STABLE
    AS 'SELECT email FROM crm.people WHERE id = $1.id';
CREATE FUNCTION crm.tell_default(bigint, bigint DEFAULT 1) RETURNS text LANGUAGE sql
    SECURITY DEFINER STABLE AS 'SELECT email FROM crm.people WHERE id = $1';
CREATE FUNCTION crm.tell_many(VARIADIC bigint[]) RETURNS text LANGUAGE sql SECURITY DEFINER STABLE
    AS 'SELECT email FROM crm.people WHERE id = $1[1]';
CREATE FUNCTION crm.tell_nothing() RETURNS text LANGUAGE sql SECURITY DEFINER STABLE
    AS 'SELECT email FROM crm.people WHERE id = 7';
CREATE FUNCTION crm.spy(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001
    AS $f$ BEGIN RAISE NOTICE 'spy: %', $1; RETURN true; END $f$;
CREATE FUNCTION crm.spy_state(text, text) RETURNS text LANGUAGE sql
    AS $f$ SELECT ':email7' $f$;
CREATE AGGREGATE crm.spy_all(text) (SFUNC = crm.spy_state, STYPE = text);
CREATE FUNCTION crm.tell_operator(text, text) RETURNS text LANGUAGE sql SECURITY DEFINER STABLE
    AS 'SELECT email FROM crm.people WHERE id = 7';
CREATE OPERATOR crm.<=>> (LEFTARG = text, RIGHTARG = text, FUNCTION = crm.tell_operator);
CREATE DOMAIN crm.teller AS text CHECK (crm.spy(VALUE));
CREATE COLLATION crm.plain (provider = libc, locale = 'C');
CREATE STATISTICS crm.people_both ON country, alias FROM crm.people;

-- --- rows ---------------------------------------------------------------------------------------

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
SELECT n, n % 3 + 1, '/open' || n, 'site', now() - n * interval '2 days', 'note' || n, n
  FROM generate_series(1, 6) n;
INSERT INTO crm.visits
SELECT 100 + n, 1, ':url' || n, 'bought', now() - interval '9 days', ':note' || n, 0
  FROM generate_series(1, :removed) n;
INSERT INTO crm.visits
SELECT 200 + n, 1, ':url' || n, 'site', now() - interval '99 days', ':note' || n, 0
  FROM generate_series(1, :removed) n;
INSERT INTO crm.visits
SELECT 300 + n, 9, ':url' || n, NULL, now() - interval '9 days', ':note' || n, 0
  FROM generate_series(1, :removed) n;
-- Seen an hour ago: absent for every purpose that is not exempt from `quiet`.
INSERT INTO crm.visits VALUES (401, 2, ':url0', 'bought', now() - interval '1 hour', ':note0', 0);
-- Only this person's consent is missing: the row is there where people: all.
INSERT INTO crm.visits VALUES (501, 8, ':url8', 'form', now() - interval '9 days', 'seen', 5);

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
