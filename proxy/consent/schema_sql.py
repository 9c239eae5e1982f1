"""The SQL of schema `consent`: plain texts with the key's type put in. `schema.py` orders them.

They need no extension and run on PostgreSQL 13 and newer. Every name is qualified or lies in
pg_catalog, the whole search path while the script runs.
"""

from __future__ import annotations

from typing import Final

SETTINGS: Final = (
    """-- Only pg_catalog is on the search path: nothing that others made can stand in for it.
SET LOCAL search_path = pg_catalog""",
    "SET LOCAL standard_conforming_strings = on",
    "SET LOCAL client_min_messages = warning",
    """-- Statements of tools queue behind a waiting ALTER TABLE: better give up than hold them.
SET LOCAL lock_timeout = '10s'""",
    """-- One preparation at a time.
DO $$ BEGIN PERFORM pg_advisory_xact_lock(7164016582741905); END $$""",
)

SCHEMA: Final = "CREATE SCHEMA IF NOT EXISTS consent"

# {key}: the key's type, with its collation.
TABLES: Final = (
    """-- What people said. Append-only: no grant to change it, and a trigger that refuses.
CREATE TABLE IF NOT EXISTS consent.event (
  event           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subject_id      {key} NOT NULL,
  purpose         text,                                  -- NULL: all purposes
  categories      text[] NOT NULL DEFAULT '{{}}',
  state           text NOT NULL
                  CHECK (state IN ('given', 'refused', 'withdrawn', 'objected', 'restricted')),
  at              timestamptz NOT NULL CHECK (isfinite(at)),
  until           timestamptz CHECK (isfinite(until)),
  source          text,
  notice          text,
  evidence        text CHECK (evidence ~ '^[0-9a-f]{{64}}$'),
  recorded_by     text,
  recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  idempotency_key text NOT NULL UNIQUE,
  request_hash    text NOT NULL,
  CONSTRAINT only_a_grant_ends_by_itself CHECK (until IS NULL OR (state = 'given' AND until > at)),
  CONSTRAINT no_grant_is_dated_in_the_future CHECK (state <> 'given' OR at <= recorded_at)
)""",
    "CREATE INDEX IF NOT EXISTS event_subject ON consent.event (subject_id)",
    "CREATE INDEX IF NOT EXISTS event_recorded_at ON consent.event (recorded_at)",
    """-- One row per person of whom something is recorded; per purpose, and per purpose and
-- sensitive category, until when it is in force: -infinity is no, infinity is without end.
CREATE TABLE IF NOT EXISTS consent.subject (subject_id {key} PRIMARY KEY)""",
    """-- Which column of consent.subject is which purpose. `default_until` holds for people of whom
-- nothing is recorded. A grant for all purposes covers those that existed then (added_at).
CREATE TABLE IF NOT EXISTS consent.purpose (
  column_name   text PRIMARY KEY,
  purpose       text NOT NULL,
  category      text,
  basis         text NOT NULL,
  default_until timestamptz NOT NULL,
  added_at      timestamptz NOT NULL DEFAULT transaction_timestamp(),
  changed_at    timestamptz NOT NULL DEFAULT transaction_timestamp()
)""",
    """-- Moves in the transaction of every event that takes something away from somebody.
CREATE TABLE IF NOT EXISTS consent.epoch (
  only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch      bigint NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT transaction_timestamp()
)""",
    "INSERT INTO consent.epoch (epoch) VALUES (1) ON CONFLICT DO NOTHING",
    """-- The key of the pseudonyms, as HMAC's two padded blocks (RFC 2104), for its owner alone.
CREATE TABLE IF NOT EXISTS consent.pseudonym_key (
  only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  inner_key bytea NOT NULL,
  outer_key bytea NOT NULL
)""",
)

# {key}: the key's type as format_type prints it.
KEY_CHECK: Final = """-- A ledger of another key's type can not be taken over.
DO $$ BEGIN
  IF 2 <> (SELECT count(*) FROM pg_attribute
            WHERE attrelid IN ('consent.subject'::regclass, 'consent.event'::regclass)
              AND attname = 'subject_id' AND format_type(atttypid, NULL) = '{key}') THEN
    RAISE EXCEPTION 'schema consent exists, and its subject_id is not of type {key}';
  END IF;
END $$"""

# No extension: random bytes come from gen_random_uuid() (122 random bits each), condensed to 32.
LOCK: Final = """-- Nothing is recorded meanwhile; tools go on reading.
LOCK TABLE consent.subject IN SHARE ROW EXCLUSIVE MODE"""

KEY_MADE: Final = """-- The key is made here, at random, and never leaves the database.
DO $$
DECLARE
  random bytea;
BEGIN
  IF NOT EXISTS (SELECT FROM consent.pseudonym_key) THEN
    random := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                  || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
           || decode(repeat('00', 32), 'hex');
    INSERT INTO consent.pseudonym_key (inner_key, outer_key)
    SELECT string_agg(set_byte('\\x00', 0, get_byte(random, i) # 54), '' ORDER BY i),
           string_agg(set_byte('\\x00', 0, get_byte(random, i) # 92), '' ORDER BY i)
      FROM generate_series(0, 63) AS i;
  END IF;
END $$"""

_HMAC: Final = """sha256(k.outer_key || sha256(k.inner_key
                  || convert_to(context, 'UTF8') || '\\x00' || convert_to({text}, 'UTF8')))"""
_TEXT_HMAC: Final = _HMAC.format(text="value")
_CAST_HMAC: Final = _HMAC.format(text="value::text")

PSEUDONYMS: Final = (
    f"""-- HMAC-SHA-256 of context, a zero byte and the value; as base64url (43 characters), …
CREATE OR REPLACE FUNCTION consent.pseudonym(context text, value text) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  RETURN (SELECT rtrim(translate(encode(
           {_TEXT_HMAC}, 'base64'), '+/', '-_'), '=')
            FROM consent.pseudonym_key AS k);
END $$""",
    f"""-- … as a UUID of version 8 (RFC 9562), …
CREATE OR REPLACE FUNCTION consent.pseudonym_uuid(context text, value uuid) RETURNS uuid
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  digest bytea;
BEGIN
  SELECT {_CAST_HMAC}
    INTO STRICT digest FROM consent.pseudonym_key AS k;
  digest := set_byte(digest, 6, (get_byte(digest, 6) & 15) | 128);
  digest := set_byte(digest, 8, (get_byte(digest, 8) & 63) | 128);
  RETURN encode(substr(digest, 1, 16), 'hex')::uuid;
END $$""",
    f"""-- … and as a bigint (its first eight bytes).
CREATE OR REPLACE FUNCTION consent.pseudonym_bigint(context text, value bigint) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  RETURN (SELECT ('x' || encode(substr(
           {_CAST_HMAC}, 1, 8), 'hex'))::bit(64)::bigint
            FROM consent.pseudonym_key AS k);
END $$""",
)

PSEUDONYM_SIGNATURES: Final = (
    "consent.pseudonym(text, text)",
    "consent.pseudonym_uuid(text, uuid)",
    "consent.pseudonym_bigint(text, bigint)",
)

APPEND_ONLY: Final = (
    """CREATE OR REPLACE FUNCTION consent.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION 'consent.event is append-only' USING ERRCODE = 'insufficient_privilege';
END $$""",
    """DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_trigger
                  WHERE tgrelid = 'consent.event'::regclass AND tgname = 'append_only') THEN
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consent.event
      FOR EACH STATEMENT EXECUTE FUNCTION consent.refuse_change();
    ALTER TABLE consent.event ENABLE ALWAYS TRIGGER append_only;
  END IF;
END $$""",
)

# The rules of consent/states.py, written for many people at once; tests hold the two together.
# {key}: the key's type.
REFRESH: Final = """-- Writes these people's rows anew from their events; is anything shorter now?
-- Of two events the later `at` decides, at equal `at` the one that allows less. The caller holds
-- the rows' locks. The columns are those that consent.purpose lists.
CREATE OR REPLACE FUNCTION consent.refresh(subjects {key}[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  computed text;
  changes  text;
  shorter  text;
  assigned text;
  is_any_shorter boolean;
BEGIN
  SELECT string_agg(format('COALESCE(max(d.until) FILTER (WHERE d.column_name = %L), %L) AS %I',
                           column_name, default_until, column_name), ', '),
         string_agg(format('s.%I <> c.%I', column_name, column_name), ' OR '),
         string_agg(format('c.%I < s.%I', column_name, column_name), ' OR '),
         string_agg(format('%I = c.%I', column_name, column_name), ', ')
    INTO computed, changes, shorter, assigned
    FROM consent.purpose;
  IF computed IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE format($query$
    WITH applicable AS (
      SELECT e.subject_id, p.column_name, p.default_until, e.at, e.until, e.state <> 'given' AS ends
        FROM consent.event AS e
        JOIN consent.purpose AS p ON e.purpose IS NULL OR e.purpose = p.purpose
       WHERE e.subject_id = ANY ($1)
         AND CASE WHEN e.state = 'given' THEN
               -- A grant for all purposes does not cover one that was added later. A grant grants
               -- its purpose, and those sensitive categories that it names or names from above.
               (e.purpose IS NOT NULL OR e.recorded_at >= p.added_at)
               AND (p.category IS NULL OR EXISTS (
                     SELECT FROM unnest(e.categories) AS named(category)
                      WHERE p.category = named.category
                         OR starts_with(p.category, named.category || '.')))
             ELSE
               -- What ends the purpose ends its categories; what names a category ends only that.
               (cardinality(e.categories) = 0 OR EXISTS (
                     SELECT FROM unnest(e.categories) AS named(category)
                      WHERE p.category = named.category
                         OR starts_with(p.category, named.category || '.')))
               -- A contract or a legal duty does not end by a withdrawal, only by a restriction.
               AND (p.category IS NOT NULL OR p.basis IN ('consent', 'legitimate_interest')
                    OR e.state = 'restricted')
             END
    ), weighed AS (
      SELECT a.subject_id, a.column_name, a.at,
             CASE WHEN a.ends THEN '-infinity'
                  -- Where no grant was needed, its end is one only if it lifted something.
                  WHEN a.default_until = 'infinity' AND NOT bool_or(a.ends) OVER (
                         PARTITION BY a.subject_id, a.column_name) THEN 'infinity'
                  ELSE COALESCE(a.until, 'infinity') END AS until
        FROM applicable AS a
    ), decided AS (
      SELECT DISTINCT ON (w.subject_id, w.column_name) w.subject_id, w.column_name, w.until
        FROM weighed AS w
       ORDER BY w.subject_id, w.column_name, w.at DESC, w.until
    ), computed AS (
      SELECT k.subject_id, %1$s
        FROM unnest($1) AS k(subject_id) LEFT JOIN decided AS d USING (subject_id)
       GROUP BY k.subject_id
    ), written AS (
      UPDATE consent.subject AS s SET %4$s
        FROM computed AS c WHERE s.subject_id = c.subject_id AND (%2$s)
    )
    -- This SELECT sees the rows as they were before.
    SELECT COALESCE(bool_or(%3$s), false)
      FROM consent.subject AS s JOIN computed AS c USING (subject_id)
  $query$, computed, changes, shorter, assigned) INTO is_any_shorter USING subjects;
  RETURN is_any_shorter;
END $$"""

REFRESHED: Final = """-- Where a purpose or category is new or a basis changed: people known before.
DO $$
DECLARE
  changed record;
BEGIN
  FOR changed IN SELECT column_name, default_until FROM consent.purpose
                  WHERE changed_at = transaction_timestamp() LOOP
    EXECUTE format('ALTER TABLE consent.subject ALTER COLUMN %I SET DEFAULT %L',
                   changed.column_name, changed.default_until);
  END LOOP;
  -- A new column has the right default already for those whose events say nothing about it.
  IF consent.refresh(ARRAY(
       SELECT s.subject_id FROM consent.subject AS s
        WHERE EXISTS (SELECT FROM consent.purpose AS p
                       WHERE p.changed_at = transaction_timestamp() AND p.added_at < p.changed_at)
           OR EXISTS (SELECT FROM consent.event AS e
                        JOIN consent.purpose AS p ON e.purpose IS NULL OR e.purpose = p.purpose
                       WHERE e.subject_id = s.subject_id
                         AND p.changed_at = transaction_timestamp()))) THEN
    UPDATE consent.epoch SET epoch = epoch + 1, changed_at = clock_timestamp();
  END IF;
END $$"""
