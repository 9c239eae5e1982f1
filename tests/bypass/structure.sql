-- A small database that has one of everything; rows.sql fills it.

CREATE SCHEMA crm;
CREATE SCHEMA ref;
CREATE SCHEMA private;

CREATE TYPE crm.mood AS ENUM ('calm', 'tense', 'furious');
CREATE DOMAIN crm.spelling AS text CHECK (VALUE <> '');
CREATE TYPE crm.place AS (street text, house int);

CREATE TABLE crm.people (
    id bigint PRIMARY KEY, country text NOT NULL, name text, email varchar(254), alias varchar(60),
    phone text, code char(24), age int, big bigint, balance numeric(12,2), score float8, born date,
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
    amount int, share int GENERATED ALWAYS AS (100 / amount) VIRTUAL
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
CREATE SEQUENCE crm.people_id;

-- A view of the policy whose own rows are a choice: the others are nobody's to see.
CREATE TABLE private.ranks (rank int PRIMARY KEY, name text);
CREATE TABLE private.members (id bigint, nick text, years int, rank int);
CREATE VIEW crm.adults AS
    SELECT id, nick, years FROM private.members JOIN private.ranks USING (rank) WHERE name <> 'vip';
CREATE VIEW crm.adults_barred WITH (security_barrier) AS SELECT * FROM crm.adults;
-- And those that the policy does not name.
CREATE VIEW crm.people_view AS SELECT * FROM crm.people;
CREATE MATERIALIZED VIEW crm.people_copy AS SELECT * FROM private.people;
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
    AS 'SELECT email FROM private.people WHERE id = 7';
CREATE AGGREGATE crm.spy_all(text) (SFUNC = crm.spy_state, STYPE = text);
CREATE FUNCTION crm.tell_operator(text, text) RETURNS text LANGUAGE sql SECURITY DEFINER STABLE
    AS 'SELECT email FROM crm.people WHERE id = 7';
CREATE OPERATOR crm.<=>> (LEFTARG = text, RIGHTARG = text, FUNCTION = crm.tell_operator);
CREATE DOMAIN crm.teller AS text CHECK (crm.spy(VALUE));
CREATE COLLATION crm.plain (provider = libc, locale = 'C');
CREATE STATISTICS crm.people_both ON country, alias FROM crm.people;
CREATE TEXT SEARCH CONFIGURATION crm.plain_words (COPY = pg_catalog.simple);
CREATE TEXT SEARCH DICTIONARY crm.plain_terms (TEMPLATE = pg_catalog.simple);
