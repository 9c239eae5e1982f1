"""How lists write types: the same text whatever schema an extension was put into."""

from __future__ import annotations

from typing import Final

# `int4`, `text[]` for PostgreSQL's own (pg_type's names), `hstore.hstore` for a type that belongs
# to the extension hstore (pg_depend says so, no name does), `schema.name?` for anything else, which
# no list holds. Part of a WITH clause.
TYPE_NAMES: Final = """
elements AS (
  SELECT t.oid,
         CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace AND t.oid < 16384
                THEN t.typname::text
              WHEN e.extname IS NOT NULL THEN concat(e.extname, '.', t.typname)
              ELSE concat(t.typnamespace::regnamespace, '.', t.typname, '?') END AS name
    FROM pg_type t
    LEFT JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid
      AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
    LEFT JOIN pg_extension e ON e.oid = d.refobjid
), type_names AS (
  SELECT t.oid, coalesce(element.name || '[]', own.name) AS name
    FROM pg_type t JOIN elements own ON own.oid = t.oid
    LEFT JOIN pg_type of_array ON of_array.typarray = t.oid
    LEFT JOIN elements element ON element.oid = of_array.oid
)
"""
