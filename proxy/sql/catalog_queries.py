"""The queries that read a catalog: PostgreSQL 13–18, with the rights of any role.

Everything lies in pg_catalog, which PostgreSQL shows to every role; no right on the relations
themselves is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.sql import members

# format_type leaves out the schema of types that the path shows: with an empty path only
# pg_catalog's own stay bare. Local to the transaction: the connection may serve others next.
EMPTY_PATH: Final = "SET LOCAL search_path = ''"

FACTS: Final = """
SELECT current_setting('server_version_num')::int4 AS server_version,
       d.datname::text AS database, d.oid::int8 AS database_oid, d.datdba::int8 AS database_owner
  FROM pg_database d WHERE d.datname = current_database() AND $1::text[] IS NOT NULL
"""

RELATIONS: Final = """
SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name,
       c.relkind::text AS kind,
       EXISTS (SELECT FROM pg_options_to_table(c.reloptions)
                WHERE option_name = 'security_barrier' AND option_value::bool) AS is_barrier,
       c.relrowsecurity AS has_row_security, c.relowner::int8 AS owner,
       EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid) AS has_children
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE (n.nspname = ANY($1::text[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))
    OR (n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v')
        AND c.oid < 16384)
 ORDER BY c.oid
"""

COLUMNS: Final = """
SELECT a.attrelid::int8 AS relation, a.attname::text AS name, a.attnum::int4 AS attnum,
       t.oid::int8 AS type, a.atttypmod AS typmod, format_type(a.atttypid, a.atttypmod) AS sql,
       tn.nspname::text AS type_schema, t.typname::text AS type_name, t.typtype::text AS kind,
       t.typcategory::text AS category, a.attgenerated = 'v' AS is_virtual,
       a.attcollation::int8 AS collation,
       coalesce((SELECT co.collisdeterministic FROM pg_collation co
                  WHERE co.oid = a.attcollation), true) AS is_deterministic
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  JOIN pg_namespace tn ON tn.oid = t.typnamespace
 WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum
"""

# `is_key`: equality on these columns finds at most one row. That asks for plain columns, an index
# that is checked at once and complete, the columns' own collations (a coarser one would call
# different keys equal), and no inheritance children, whose rows the parent's index does not hold.
INDEXES: Final = """
SELECT i.indexrelid::int8 AS oid, ic.relname::text AS name, i.indrelid::int8 AS relation,
       i.indkey::int2[]::int4[] AS key, i.indnkeyatts::int4 AS key_length,
       i.indisunique AND i.indisvalid AND i.indisready AND i.indislive AND i.indimmediate
         AND i.indpred IS NULL AND i.indexprs IS NULL
         AND (c.relkind = 'p'
              OR NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = i.indrelid))
         AND NOT EXISTS (
           SELECT FROM generate_series(0, i.indnkeyatts - 1) k
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
            WHERE a.attcollation <> i.indcollation[k]) AS is_key,
       ARRAY(SELECT d.refobjsubid FROM pg_depend d
              WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
              ORDER BY 1) AS mentions
  FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
 WHERE i.indrelid = ANY($1::oid[])
 ORDER BY 1
"""

CONSTRAINTS: Final = """
SELECT con.oid::int8 AS oid, con.conname::text AS name, con.contype::text AS kind,
       con.conrelid::int8 AS relation, con.conkey::int4[] AS key, con.conindid::int8 AS index,
       con.confrelid::int8 AS target, con.confkey::int4[] AS target_key
  FROM pg_constraint con WHERE con.conrelid = ANY($1::oid[])
 ORDER BY 1
"""

# A generated column's expression is recorded under the default from PostgreSQL 15 on, under the
# column itself before.
DEFAULTS: Final = """
SELECT ad.oid::int8 AS oid, ad.adrelid::int8 AS relation, ad.adnum::int4 AS attnum,
       ARRAY(SELECT d.refobjsubid FROM pg_depend d
              WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ad.adrelid
                AND ((d.classid = 'pg_attrdef'::regclass AND d.objid = ad.oid)
                  OR (d.classid = 'pg_class'::regclass AND d.objid = ad.adrelid
                      AND d.objsubid = ad.adnum))
              ORDER BY 1) AS mentions
  FROM pg_attrdef ad WHERE ad.adrelid = ANY($1::oid[])
 ORDER BY 1
"""

# Of other schemas, types that columns may have, but no row types of tables: they come and go with
# every temporary table.
TYPES: Final = """
SELECT t.oid::int8 AS oid, n.nspname::text AS schema, t.typname::text AS name,
       t.typtype::text AS kind, t.typrelid::int8 AS relation, format_type(t.oid, NULL) AS sql,
       ARRAY[t.typelem, t.typarray, t.typbasetype, coalesce(r.rngsubtype, 0)]::int8[] AS related,
       EXISTS (SELECT FROM pg_type b WHERE b.typname = t.typname
                  AND b.typnamespace = 'pg_catalog'::regnamespace) AS is_built_in_name
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_range r ON r.rngtypid = t.oid
 WHERE t.oid >= 16384 AND (n.nspname = ANY($1::text[]) OR NOT EXISTS (
         SELECT FROM pg_class c
          WHERE c.relkind <> 'c' AND (c.reltype = t.oid OR c.reltype = t.typelem)))
 ORDER BY 1
"""

NAMESPACES: Final = """
SELECT nspname::text AS name, oid::int8 AS oid, nspowner::int8 AS owner FROM pg_namespace
 WHERE nspname = ANY($1::text[]) OR nspname IN ('pg_catalog', 'information_schema')
 ORDER BY 1
"""

INHERITS: Final = """
SELECT inhrelid::int8 AS child, inhparent::int8 AS parent FROM pg_inherits
 WHERE inhrelid = ANY($1::oid[]) OR inhparent = ANY($1::oid[])
 ORDER BY 1, 2
"""

# What a view's definition mentions: relations and columns (0: the relation as a whole), types, and
# whether there is anything else that users made. Other rules are about writing.
DEFINITIONS: Final = """
SELECT r.oid::int8 AS rule, r.ev_class::int8 AS relation, pg_get_viewdef(r.ev_class) AS text,
       coalesce(array_agg(d.refobjid::int8 ORDER BY d.refobjid, d.refobjsubid)
         FILTER (WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid >= 16384), '{}')
         AS relations,
       coalesce(array_agg(d.refobjsubid ORDER BY d.refobjid, d.refobjsubid)
         FILTER (WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid >= 16384), '{}')
         AS attnums,
       coalesce(array_agg(d.refobjid::int8 ORDER BY d.refobjid)
         FILTER (WHERE d.refclassid = 'pg_type'::regclass AND d.refobjid >= 16384), '{}') AS types,
       coalesce(bool_or(d.refobjid >= 16384
         AND d.refclassid NOT IN ('pg_class'::regclass, 'pg_type'::regclass)), false) AS has_others
  FROM pg_rewrite r
  LEFT JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
 WHERE r.ev_class = ANY($1::oid[]) AND r.rulename = '_RETURN'
 GROUP BY r.oid, r.ev_class ORDER BY r.oid
"""

TRIGGERS: Final = """
SELECT oid::int8 AS oid, tgrelid::int8 AS relation, tgconstraint::int8 AS constraint
  FROM pg_trigger WHERE tgisinternal AND tgconstraint <> 0 AND tgrelid = ANY($1::oid[])
 ORDER BY 1
"""

# The names of what is PostgreSQL's own: they are there for every tool.
BUILT_IN: Final = """
SELECT DISTINCT v.kind, n.nspname::text AS schema, v.name
  FROM (SELECT 'relation' AS kind, relnamespace AS namespace, relname::text AS name
          FROM pg_class WHERE oid < 16384
        UNION ALL SELECT 'type', typnamespace, typname FROM pg_type WHERE oid < 16384
        UNION ALL SELECT 'function', pronamespace, proname FROM pg_proc WHERE oid < 16384
        UNION ALL SELECT 'operator', oprnamespace, oprname FROM pg_operator WHERE oid < 16384
        UNION ALL SELECT 'collation', collnamespace, collname FROM pg_collation WHERE oid < 16384
        UNION ALL SELECT 'config', cfgnamespace, cfgname FROM pg_ts_config WHERE oid < 16384
        UNION ALL SELECT 'dictionary', dictnamespace, dictname FROM pg_ts_dict WHERE oid < 16384
        UNION ALL SELECT 'parser', prsnamespace, prsname FROM pg_ts_parser WHERE oid < 16384) v
  JOIN pg_namespace n ON n.oid = v.namespace
 WHERE $1::text[] IS NOT NULL AND n.nspname IN ('pg_catalog', 'information_schema')
UNION ALL SELECT 'setting', '', lower(name) FROM pg_settings WHERE strpos(name, '.') = 0
 ORDER BY 1, 2, 3
"""

# Roles that a tool may see: PostgreSQL's own, the session's, and who owns what could be shown.
ROLES: Final = """
SELECT r.rolname::text AS name, r.oid::int8 AS oid, r.rolname = current_user AS is_own
  FROM pg_roles r
 WHERE r.oid < 16384 OR r.rolname = current_user
    OR r.oid IN (SELECT datdba FROM pg_database WHERE datname = current_database()
                 UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = ANY($1::text[])
                 UNION ALL SELECT c.relowner FROM pg_class c
                   JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = ANY($1::text[]))
 ORDER BY 1
"""

# Whatever a user wrote is a shadow, whatever it takes, and even where this server's pg_catalog has
# no such name: the lists hold names of the newest PostgreSQL. Only what belongs to an extension
# and takes a type of its own is not (citext's max): a column of that type alone reaches it, and
# the extension's type was the customer's choice.
SHADOWED_FUNCTIONS: Final = """
SELECT DISTINCT p.proname::text AS name
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = ANY($1::text[])
   AND NOT (EXISTS (SELECT FROM unnest(p.proargtypes) a WHERE a >= 16384)
        AND EXISTS (SELECT FROM pg_depend d
                     WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                       AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'))
 ORDER BY 1
"""

SHADOWED_OPERATORS: Final = """
SELECT DISTINCT o.oprname::text AS name
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
 WHERE n.nspname = ANY($1::text[])
   AND NOT ((o.oprleft >= 16384 OR o.oprright >= 16384)
        AND EXISTS (SELECT FROM pg_depend d
                     WHERE d.classid = 'pg_operator'::regclass AND d.objid = o.oid
                       AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'))
 ORDER BY 1
"""

# `x.f` is `f(x)` where `x` has no column f (Function Calls, "functional notation"), whatever the
# type of x: `(7).f` too, and `('…'::text).ts_stat` ran any query (measured). A type's name is a
# cast. `takes_row`: a row can be its argument; a guard's is of type record, so functions of a
# relation's own row type are out of reach, those of record and of the polymorphic types are not.
DOTTED_FUNCTIONS: Final = """
SELECT name, bool_or(takes_row) AS takes_row
  FROM (SELECT p.proname::text AS name, n.nspname::text AS schema,
               (SELECT t.typtype FROM pg_type t WHERE t.oid = p.proargtypes[0]) IN ('p', 'c')
                 AS takes_row
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1
        UNION ALL
        SELECT t.typname::text, n.nspname::text, false
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE t.typtype <> 'c') callable
 WHERE schema = ANY($1::text[]) OR schema IN ('pg_catalog', 'information_schema')
 GROUP BY name ORDER BY name
"""

LEAKPROOF: Final = """
SELECT o.oprname::text AS name, o.oprleft::int8 AS left, o.oprright::int8 AS right
  FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
 WHERE $1::text[] IS NOT NULL
   AND o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b' AND p.proleakproof
   AND p.pronamespace = 'pg_catalog'::regnamespace AND o.oprresult = 'bool'::regtype
 ORDER BY 1, 2, 3
"""

# Types of users' own that a cast takes from or to another by a function of somebody's: without a
# call in the text, `mood::text`, `mood || ''` and `to_json(mood)` run it (measured). Those of
# extensions are a part of their types. Between PostgreSQL's own types only a superuser makes one.
CONVERTED_TYPES: Final = """
SELECT DISTINCT v.oid::int8 AS oid
  FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc,
       LATERAL (VALUES (c.castsource), (c.casttarget)) v (oid)
 WHERE $1::text[] IS NOT NULL AND p.oid >= 16384 AND v.oid >= 16384
   AND NOT (p.proowner IN (SELECT oid FROM pg_roles WHERE rolsuper)
        AND EXISTS (SELECT FROM pg_depend d
                     WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                       AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'))
 ORDER BY 1
"""

# The relations' views and what they are made of, in whatever schema.
ORIGINS: Final = """
WITH RECURSIVE origin(oid) AS (
  SELECT c.oid FROM pg_class c WHERE c.oid = ANY($1::oid[]) AND c.relkind = 'v'
   UNION
  SELECT d.refobjid FROM origin o
    JOIN pg_rewrite r ON r.ev_class = o.oid AND r.rulename = '_RETURN'
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                    AND d.refclassid = 'pg_class'::regclass)
SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name,
       CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS definition,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              ORDER BY a.attnum) AS columns,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attgenerated = 'v') AS computed
  FROM origin o JOIN pg_class c ON c.oid = o.oid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
 ORDER BY 1
"""

# What each answers, and from what: the schemas' names ...
BY_SCHEMA: Final[Mapping[str, str]] = {
    "facts": FACTS,
    "namespaces": NAMESPACES,
    "built_in": BUILT_IN,
    "roles": ROLES,
    "relations": RELATIONS,
    "types": TYPES,
    "converted_types": CONVERTED_TYPES,
    "shadowed_functions": SHADOWED_FUNCTIONS,
    "shadowed_operators": SHADOWED_OPERATORS,
    "dotted_functions": DOTTED_FUNCTIONS,
    "leakproof_operators": LEAKPROOF,
}

# ... or the oids of their relations.
BY_RELATION: Final[Mapping[str, str]] = {
    "indexes": INDEXES,
    "constraints": CONSTRAINTS,
    "defaults": DEFAULTS,
    "inherits": INHERITS,
    "definitions": DEFINITIONS,
    "triggers": TRIGGERS,
    "origins": ORIGINS,
}

# One number per catalog that DDL touches: the rows' oids and the transactions that wrote them.
# Hashes are summed, so that nothing has to be sorted.
FINGERPRINT: Final = f"""
WITH n AS (SELECT oid, nspname, nspowner FROM pg_namespace WHERE nspname = ANY($1::text[])),
     c AS (SELECT oid, relnamespace, relname, relkind, reltype, reloptions, relrowsecurity,
                   relowner
             FROM pg_class
            WHERE relnamespace IN (SELECT oid FROM n))
SELECT concat_ws('/', current_setting('server_version_num'), current_database(),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, nspname, nspowner), 0)))
     FROM n),
  (SELECT concat(count(*), ':', sum(hashtextextended(
     concat_ws(' ', oid, relnamespace, relname, relkind, reloptions::text, relrowsecurity,
               relowner), 0)))
     FROM c),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', attrelid, attnum, xmin), 0)))
     FROM pg_attribute WHERE attrelid IN (SELECT oid FROM c)),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', indexrelid, xmin), 0)))
     FROM pg_index WHERE indrelid IN (SELECT oid FROM c)),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, xmin), 0)))
     FROM pg_constraint WHERE conrelid IN (SELECT oid FROM c)),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, xmin), 0)))
     FROM pg_attrdef WHERE adrelid IN (SELECT oid FROM c)),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', inhrelid, inhparent), 0)))
     FROM pg_inherits WHERE inhrelid IN (SELECT oid FROM c) OR inhparent IN (SELECT oid FROM c)),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, xmin), 0)))
     FROM pg_rewrite WHERE rulename = '_RETURN' AND ev_class IN (SELECT oid FROM c)),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, xmin), 0)))
     FROM pg_trigger WHERE tgisinternal AND tgrelid IN (SELECT oid FROM c)),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, xmin), 0)))
     FROM pg_type t WHERE oid >= 16384 AND (typnamespace IN (SELECT oid FROM n) OR NOT EXISTS (
       SELECT FROM pg_class r
        WHERE r.relkind <> 'c' AND (r.reltype = t.oid OR r.reltype = t.typelem)))),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, xmin), 0)))
     FROM pg_cast WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, xmin), 0)))
     FROM pg_proc WHERE pronamespace IN (SELECT oid FROM n)),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, xmin), 0)))
     FROM pg_operator WHERE oprnamespace IN (SELECT oid FROM n)),
{members.FINGERPRINT})
"""
