"""Ways around the proxy: who reaches the policy's data without being asked for a purpose."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from proxy.cli.findings import Finding, error, listed, ok, warning
from proxy.policy.model import Policy
from proxy.sql.catalog import FIRST_NORMAL_OID

if TYPE_CHECKING:
    import asyncpg

# The policy's relations with their partitions and children, and the views over any of these.
_REACHED: Final = """
WITH RECURSIVE named AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN unnest($1::text[], $2::text[]) AS wanted (schema, name)
      ON (n.nspname, c.relname) = (wanted.schema, wanted.name)
), reached (oid, is_view) AS (
  SELECT oid, false FROM named
  UNION
  SELECT found.oid, found.is_view OR reached.is_view FROM reached, LATERAL (
    SELECT inhrelid AS oid, false AS is_view FROM pg_inherits WHERE inhparent = reached.oid
    UNION ALL
    SELECT w.ev_class, true FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid
     WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
       AND d.refobjid = reached.oid AND w.ev_class <> reached.oid
  ) AS found
)
SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, bool_or(r.is_view) AS is_view,
       c.oid IN (SELECT oid FROM named) AS is_named
  FROM reached r JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%'
 GROUP BY c.oid, n.nspname, c.relname ORDER BY 2
"""
_READERS: Final = """
SELECT r.rolname::text AS role, c.oid, c.relowner = r.oid AS is_owner
  FROM pg_roles r, pg_class c
 WHERE c.oid = ANY ($1::oid[]) AND r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> ALL ($2)
   AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
   AND has_any_column_privilege(r.oid, c.oid, 'SELECT')
 ORDER BY 1, 2
"""
_PUBLIC: Final = """
SELECT c.oid FROM pg_class c WHERE c.oid = ANY ($1::oid[])
   AND has_schema_privilege('public', c.relnamespace, 'USAGE')
   AND has_any_column_privilege('public', c.oid, 'SELECT')
"""
_DEFINERS: Final = """
SELECT p.oid::regprocedure::text AS name
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE p.prosecdef AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'consent'
   AND has_schema_privilege('public', n.oid, 'USAGE')
   AND has_function_privilege('public', p.oid, 'EXECUTE')
 ORDER BY 1
"""
_CASTS: Final = """
SELECT format_type(castsource, NULL) || ' to ' || format_type(casttarget, NULL) AS name
  FROM pg_cast WHERE oid >= $1 AND castsource < $1 AND casttarget < $1 ORDER BY 1
"""


async def findings(
    connection: asyncpg.Connection, policy: Policy, own: tuple[str, ...]
) -> list[Finding]:
    """`own` are the proxy's two roles. Superusers are not told of: they always can."""
    names = list(policy.relations)
    reached = await connection.fetch(
        _REACHED, [name.schema for name in names], [name.name for name in names]
    )
    found = [
        *await _public(connection, reached),
        *await _roles(connection, reached, own),
        *await _definers(connection),
        *await _casts(connection),
    ]
    return found or [ok("ways around", "no other role reads what the policy names")]


async def _public(connection: asyncpg.Connection, reached: list[asyncpg.Record]) -> list[Finding]:
    open_to_all = {
        row["oid"] for row in await connection.fetch(_PUBLIC, [row["oid"] for row in reached])
    }
    names = [row["name"] for row in reached if row["oid"] in open_to_all]
    if not names:
        return []
    return [
        error(
            "ways around",
            f"everybody who can log in may read {listed(names)}",
            "No purpose is asked for, nothing is masked, nothing is recorded.",
            "REVOKE SELECT ON … FROM PUBLIC.",
        )
    ]


async def _roles(
    connection: asyncpg.Connection, reached: list[asyncpg.Record], own: tuple[str, ...]
) -> list[Finding]:
    """Login roles that read relations of the policy, or views over them, by themselves."""
    kinds = {row["oid"]: row for row in reached}
    rows = await connection.fetch(_READERS, list(kinds), list(own))
    tables: defaultdict[str, list[str]] = defaultdict(list)
    views: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        relation = kinds[row["oid"]]
        is_view = relation["is_view"] and not relation["is_named"]
        (views[relation["name"]] if is_view else tables[row["role"]]).append(
            row["role"] if is_view else relation["name"]
        )
    found = [
        warning(
            "ways around",
            f"the role {role} may read {listed(names)} without the proxy",
            "Right for the application that the data belongs to; wrong for a marketing tool.",
            f"If a tool has its password: REVOKE SELECT ON … FROM {role}, change the password.",
        )
        for role, names in tables.items()
    ]
    found += [
        warning(
            "ways around",
            f"the view {view} shows tables of the policy to {listed(roles)}",
            "A view reads with its owner's rights: rights on its tables do not matter.",
            f"REVOKE SELECT ON {view}, or list it in the policy and let tools read it there.",
        )
        for view, roles in views.items()
    ]
    return found


async def _definers(connection: asyncpg.Connection) -> list[Finding]:
    rows = await connection.fetch(_DEFINERS)
    if not rows:
        return []
    return [
        warning(
            "ways around",
            f"everybody may call functions that run with their owner's rights: "
            f"{listed([row['name'] for row in rows])}",
            "SECURITY DEFINER functions can read what their caller may not. Through the proxy "
            "none is called that the policy does not name.",
            "REVOKE EXECUTE ON FUNCTION … FROM PUBLIC.",
        )
    ]


async def _casts(connection: asyncpg.Connection) -> list[Finding]:
    rows = await connection.fetch(_CASTS, FIRST_NORMAL_OID)
    if not rows:
        return []
    return [
        error(
            "casts",
            f"somebody made casts between built-in types: {listed([row['name'] for row in rows])}",
            "A function of the database's own could run, and see values, where a tool or a mask "
            "means PostgreSQL's.",
            "DROP CAST (… AS …).",
        )
    ]
