"""The SQL that keeps copies of `consent.subject` in tables of the policy (`consent: in_table`).

    consent.kept, kept_column   which tables; which of their columns repeat which of its own
    "~consent" on the table     sets them in every row that is inserted, changes its person, or is
                                written to there; from the ledger, whatever the statement said
    consent.spread() on consent.subject
                                sets them in the rows of the people whose row changed, in the same
                                transaction

**Nobody is overlooked.** A row that is inserted takes its person's row of the ledger FOR SHARE, and
makes it where there is none; who records an event holds it FOR UPDATE and looks for rows after it
has it. So either the event is there when the row is made, or the row is there when the event is
spread: one waits for the other. In REPEATABLE READ the lock fails with 40001 where the ledger's row
is newer than the snapshot; an event is not spread from there at all.

**Nothing is trusted that was not seen.** `consent.kept_state` describes what the columns rest on:
the table and its partitions, the key, the columns, every trigger, with the transactions that wrote
them. Filling keeps the description; while it is not what it was (a trigger was off, a partition
attached, a table restored), guards ask the ledger itself.
"""

from __future__ import annotations

from typing import Final

# "~" sorts behind every letter: triggers fire in the order of their names, and what a later one
# writes would stay.
TRIGGER: Final = "~consent"

TABLES: Final = (
    """-- Tables that repeat columns of consent.subject; `key` is the subject's column.
-- `state` is what kept_state said when every row had been filled; NULL: not filled yet.
CREATE TABLE IF NOT EXISTS consent.kept (
  relation oid PRIMARY KEY,
  key      int2 NOT NULL,
  state    text
)""",
    """CREATE TABLE IF NOT EXISTS consent.kept_column (
  relation    oid REFERENCES consent.kept ON DELETE CASCADE,
  attnum      int2,
  column_name text NOT NULL REFERENCES consent.purpose,
  PRIMARY KEY (relation, attnum)
)""",
)

STATE: Final = f"""-- What the copies in a table rest on, as one text; NULL: on nothing.
CREATE OR REPLACE FUNCTION consent.kept_state(wanted oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  WITH member AS (
    SELECT c.oid, c.relkind FROM pg_class AS c
     WHERE c.oid = wanted OR c.oid IN (SELECT relid FROM pg_partition_tree(wanted))
  ), own AS (
    SELECT m.oid AS member, g.oid, g.xmin, g.tgfoid
      FROM member AS m JOIN pg_trigger AS g ON g.tgrelid = m.oid
     -- BEFORE (2) INSERT (4) OR UPDATE (16) FOR EACH ROW (1)
     WHERE g.tgname = '{TRIGGER}' AND g.tgtype = 23 AND g.tgenabled = 'A' AND g.tgqual IS NULL
       AND g.tgattr::text = ''
       AND g.tgfoid IN (SELECT oid FROM pg_proc WHERE pronamespace = 'consent'::regnamespace)
  ), spreading AS (
    SELECT g.oid, g.xmin FROM pg_trigger AS g
     WHERE g.tgrelid = 'consent.subject'::regclass AND g.tgenabled = 'A'
       AND g.tgfoid = 'consent.spread()'::regprocedure
  )
  SELECT concat_ws(' ', wanted,
           (SELECT concat(a.attnum, ':', a.xmin) FROM pg_attribute AS a
             WHERE a.attrelid = wanted AND a.attnum = k.key),
           (SELECT string_agg(concat(a.attnum, ':', a.xmin, ':', c.column_name), ' '
                              ORDER BY a.attnum)
              FROM consent.kept_column AS c JOIN pg_attribute AS a USING (attnum)
             WHERE c.relation = wanted AND a.attrelid = wanted AND NOT a.attisdropped),
           (SELECT string_agg(concat(member, ':', oid, ':', xmin), ' ' ORDER BY member) FROM own),
           (SELECT string_agg(concat(oid, ':', xmin), ' ' ORDER BY oid) FROM spreading))
    FROM consent.kept AS k
   WHERE k.relation = wanted
     AND NOT EXISTS (SELECT FROM member WHERE relkind NOT IN ('r', 'p'))
     AND (SELECT count(*) FROM member) = (SELECT count(*) FROM own)
     AND (SELECT count(*) FROM spreading) = 4
     -- Rows of an inheritance child pass no trigger of its parent.
     AND NOT EXISTS (SELECT FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhparent
                      WHERE h.inhparent = wanted AND c.relkind = 'r')
     -- Another trigger that comes later could change the key, or the copies.
     AND NOT EXISTS (SELECT FROM pg_trigger AS g JOIN member AS m ON m.oid = g.tgrelid
                      WHERE NOT g.tgisinternal AND g.tgtype & 3 = 3 AND g.tgtype & 20 <> 0
                        AND g.tgname > '{TRIGGER}')
     -- A key that is generated is not known yet when triggers fire; one of another type would be
     -- compared otherwise than it is written.
     AND EXISTS (SELECT FROM pg_attribute AS a JOIN pg_attribute AS s
                   ON s.attrelid = 'consent.subject'::regclass AND s.attname = 'subject_id'
                  AND s.atttypid = a.atttypid AND s.attcollation = a.attcollation
                  WHERE a.attrelid = wanted AND a.attnum = k.key AND a.attgenerated = ''
                    AND NOT a.attisdropped)
$$"""

_COPIES: Final = """consent.kept AS k
      JOIN pg_attribute AS a ON a.attrelid = k.relation AND a.attnum = k.key
                            AND NOT a.attisdropped
     CROSS JOIN LATERAL (
       SELECT string_agg(format('%I = coalesce(s.%I, %L)', o.attname, p.column_name,
                                p.default_until), ', ') AS assigned,
              string_agg(format('t.%I IS DISTINCT FROM coalesce(s.%I, %L)', o.attname,
                                p.column_name, p.default_until), ' OR ') AS differs,
              string_agg(format('t.%I IS NOT NULL', o.attname), ' OR ') AS is_any,
              string_agg(format('%I = NULL', o.attname), ', ') AS none
         FROM consent.kept_column AS c
         JOIN pg_attribute AS o ON o.attrelid = c.relation AND o.attnum = c.attnum
                               AND NOT o.attisdropped
         JOIN consent.purpose AS p USING (column_name)
        WHERE c.relation = k.relation) AS copies"""

# In plpgsql: an EXECUTE is planned for the number of people that there are now.
SPREAD: Final = f"""-- Sets the copies in rows of the people whose row of the ledger was written.
CREATE OR REPLACE FUNCTION consent.spread() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
  kept    record;
  people  text := 'changed';
  written text;
  is_left boolean;
BEGIN
  IF TG_OP <> 'TRUNCATE' THEN
    IF NOT EXISTS (SELECT FROM changed) THEN
      RETURN NULL;
    END IF;
  END IF;
  FOR kept IN SELECT k.relation::regclass AS relation, a.attname AS key, copies.*
    FROM {_COPIES}
   WHERE copies.assigned IS NOT NULL LOOP
    -- An older snapshot would not have the rows that others inserted meanwhile.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'consent is kept in %: it is recorded in READ COMMITTED only', kept.relation
        USING ERRCODE = 'feature_not_supported';
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
      people := format('(SELECT DISTINCT %1$I AS subject_id FROM %2$s WHERE %1$I IS NOT NULL)',
                       kept.key, kept.relation);
    END IF;
    written := format('%s AS n LEFT JOIN consent.subject AS s ON s.subject_id = n.subject_id'
                      ' WHERE t.%I = n.subject_id AND (%s)', people, kept.key, kept.differs);
    EXECUTE format('UPDATE %s AS t SET %s FROM %s', kept.relation, kept.assigned, written);
    -- A rule, a trigger of somebody's or row security could have kept rows as they were.
    EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t, %s)', kept.relation, written) INTO is_left;
    IF is_left THEN
      RAISE EXCEPTION 'consent could not be written into rows of %', kept.relation
        USING ERRCODE = 'triggered_data_change_violation';
    END IF;
  END LOOP;
  RETURN NULL;
END $$"""


def _spreading(name: str, when: str, transition: str, condition: str = "") -> str:
    return (
        f"CREATE TRIGGER {name} AFTER {when} ON consent.subject {transition}\n"
        f"      FOR EACH STATEMENT {condition}EXECUTE FUNCTION consent.spread();\n"
        f"    ALTER TABLE consent.subject ENABLE ALWAYS TRIGGER {name};"
    )


_NEW: Final = "REFERENCING NEW TABLE AS changed"
# What a table's own trigger inserts there is what nobody has said anything about, for people who
# have no other row in any of the tables: nothing is to be spread.
_DIRECTLY: Final = "WHEN (pg_trigger_depth() = 0) "
SPREADING: Final = f"""-- In the transaction of every change to the ledger's rows.
DO $$ BEGIN
  IF 4 <> (SELECT count(*) FROM pg_trigger
            WHERE tgrelid = 'consent.subject'::regclass AND tgenabled = 'A'
              AND tgfoid = 'consent.spread()'::regprocedure) THEN
    DROP TRIGGER IF EXISTS spread_insert ON consent.subject;
    DROP TRIGGER IF EXISTS spread_update ON consent.subject;
    DROP TRIGGER IF EXISTS spread_delete ON consent.subject;
    DROP TRIGGER IF EXISTS spread_truncate ON consent.subject;
    {_spreading("spread_insert", "INSERT", _NEW, _DIRECTLY)}
    {_spreading("spread_update", "UPDATE", _NEW)}
    {_spreading("spread_delete", "DELETE", "REFERENCING OLD TABLE AS changed")}
    {_spreading("spread_truncate", "TRUNCATE", "")}
  END IF;
END $$"""

# {name}, {key}, {same}, {unset}, {copies}, {set}: see in_table.py.
KEEP: Final = """CREATE OR REPLACE FUNCTION {name}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {tag}
DECLARE
  subject consent.subject.subject_id%TYPE := NEW.{key};
BEGIN
  IF TG_OP = 'UPDATE' THEN
    -- The row is locked and this is its newest version: nobody else writes it meanwhile.
    IF {same} THEN
      RETURN NEW;
    END IF;
  END IF;
  {unset}
  WHILE subject IS NOT NULL LOOP
    SELECT {copies} INTO {set}
      FROM consent.subject AS s WHERE s.subject_id = subject FOR SHARE;
    EXIT WHEN FOUND;
    INSERT INTO consent.subject (subject_id) VALUES (subject) ON CONFLICT DO NOTHING;
  END LOOP;
  RETURN NEW;
END {tag}"""

# A few megabytes at a time, each committed: the application waits for none of it for long.
_PAGES: Final = 512
FILL: Final = f"""-- Fills the copies, some pages at a time; outside of a transaction.
-- Nothing reads them until the last line.
DO $$
DECLARE
  relations oid[];
  members   oid[];
  wanted    oid;
  member    oid;
  kept      record;
  pages     bigint;
  seen      text;
  people    text;
  is_left   boolean;
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true);
  relations := ARRAY(SELECT k.relation FROM consent.kept AS k JOIN pg_class AS c
                         ON c.oid = k.relation);
  FOREACH wanted IN ARRAY relations LOOP
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true);
    seen := consent.kept_state(wanted);
    IF seen IS NULL THEN
      RAISE WARNING 'consent can not be kept in %', wanted::regclass;
      CONTINUE;
    END IF;
    LOOP
      members := ARRAY(SELECT c.oid FROM pg_class AS c
                        WHERE c.relkind = 'r' AND (c.oid = wanted
                           OR c.oid IN (SELECT relid FROM pg_partition_tree(wanted))));
      FOREACH member IN ARRAY members LOOP
        pages := pg_relation_size(member) / current_setting('block_size')::int;
        RAISE NOTICE 'filling % (% pages)', member::regclass, pages;
        FOR page IN 0 .. pages BY {_PAGES} LOOP
          PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true);
          SELECT a.attname AS key, copies.* INTO STRICT kept
            FROM {_COPIES}
           WHERE k.relation = wanted;
          people := format('SELECT %1$I FROM %2$s WHERE ctid >= %3$L AND ctid < %4$L'
                           ' AND %1$I IS NOT NULL', kept.key, member::regclass,
                           format('(%s,0)', page), format('(%s,0)', page + {_PAGES}));
          -- First the ledger's rows, in the order of keys: so does who records an event.
          EXECUTE 'INSERT INTO consent.subject (subject_id) SELECT DISTINCT u.* FROM (' || people
            || ') AS u ORDER BY 1 ON CONFLICT DO NOTHING';
          EXECUTE 'SELECT FROM consent.subject WHERE subject_id IN (' || people
            || ') ORDER BY subject_id FOR SHARE';
          EXECUTE format('UPDATE %s AS t SET %s FROM consent.subject AS s WHERE s.subject_id = t.%I'
                         ' AND t.ctid >= %L AND t.ctid < %L AND (%s)', member::regclass,
                         kept.assigned, kept.key, format('(%s,0)', page),
                         format('(%s,0)', page + {_PAGES}), kept.differs);
          EXECUTE format('UPDATE %s AS t SET %s WHERE t.%I IS NULL AND t.ctid >= %L'
                         ' AND t.ctid < %L AND (%s)', member::regclass, kept.none, kept.key,
                         format('(%s,0)', page), format('(%s,0)', page + {_PAGES}), kept.is_any);
          COMMIT;
        END LOOP;
      END LOOP;
      -- A row that the application changed meanwhile may have moved behind what was read.
      PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true);
      SELECT a.attname AS key, copies.* INTO STRICT kept FROM {_COPIES} WHERE k.relation = wanted;
      EXECUTE format('SELECT EXISTS (SELECT FROM %1$s AS t LEFT JOIN consent.subject AS s'
                     ' ON s.subject_id = t.%2$I WHERE CASE WHEN t.%2$I IS NULL THEN (%4$s)'
                     ' ELSE s.subject_id IS NULL OR %3$s END)', wanted::regclass, kept.key,
                     kept.differs, kept.is_any) INTO is_left;
      EXIT WHEN NOT is_left;
    END LOOP;
    UPDATE consent.kept SET state = seen WHERE relation = wanted;
    COMMIT;
  END LOOP;
END $$"""
