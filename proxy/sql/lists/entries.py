"""What a running server has: the functions, operators, casts and types of pg_catalog, or of one
extension, each with what the rules look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from proxy.sql.lists.files import Signature
from proxy.sql.type_names import TYPE_NAMES

# PostgreSQL takes 100 arguments (FUNC_MAX_ARGS); more than this only variadic functions do.
COUNTED_ARGUMENTS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A function, operator, cast or type; `arguments` are type names (see `TYPE_NAMES`).

    A cast is named by its source; its argument is the target. A type has no arguments.
    """

    kind: str  # function, aggregate, window, procedure, operator, cast, type
    name: str
    arguments: tuple[str, ...]
    volatility: str = "i"  # of the function itself, or the one behind the operator or cast
    least: int = 0  # how many arguments a call may have
    most: int = 0
    language: str = ""
    function: str = ""  # name of the function behind an operator or a cast
    is_internal: bool = False  # only PostgreSQL itself can call it: internal, cstring, triggers …
    description: str = ""

    @property
    def signature(self) -> Signature:
        return Signature(self.kind, self.name, self.arguments)


# `members`: the oids of what belongs to the wanted place, by the catalog that holds them.
_PLACE: Final = """
WITH place AS (
  SELECT $1::text AS extension
), members AS (
  SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid, place
   WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = extension
  UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc, place
   WHERE extension = '' AND pronamespace = 'pg_catalog'::regnamespace
  UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator, place
   WHERE extension = '' AND oprnamespace = 'pg_catalog'::regnamespace
  UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type, place
   WHERE extension = '' AND typnamespace = 'pg_catalog'::regnamespace
  UNION ALL SELECT 'pg_cast'::regclass, oid FROM pg_cast, place
   WHERE extension = '' AND oid < 16384
)
"""

_FUNCTIONS: Final = f"""{_PLACE}, {TYPE_NAMES}, of_types AS (
  SELECT unnest(ARRAY[typinput, typoutput, typreceive, typsend, typmodin, typmodout,
                      typanalyze])::oid
    FROM pg_type
)
SELECT p.proname::text AS name, p.prokind::text AS kind, p.provolatile::text AS volatility,
       l.lanname::text AS language, coalesce(obj_description(p.oid, 'pg_proc'), '') AS description,
       coalesce(typed.arguments, '{{}}') AS arguments,
       p.pronargs::int4 AS count, p.pronargdefaults::int4 AS defaults,
       p.provariadic <> 0 AS is_variadic, coalesce(a.aggkind <> 'n', false) AS is_ordered_set,
       (rt.typtype = 'p' AND rt.typname !~ '^any'
           AND rt.typname NOT IN ('record', '_record', 'void'))
         OR EXISTS (SELECT FROM unnest(p.proargtypes) a
                     WHERE a IN ('internal'::regtype, 'cstring'::regtype))
         OR p.oid IN (SELECT * FROM of_types) AS is_internal
  FROM pg_proc p JOIN members m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
  LEFT JOIN (
    SELECT f.oid, array_agg(n.name ORDER BY a.place) AS arguments
      FROM pg_proc f, unnest(f.proargtypes) WITH ORDINALITY a (type, place), type_names n
     WHERE n.oid = a.type GROUP BY f.oid
  ) typed ON typed.oid = p.oid
  JOIN pg_type rt ON rt.oid = p.prorettype JOIN pg_language l ON l.oid = p.prolang
  LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
"""

_OPERATORS: Final = f"""{_PLACE}, {TYPE_NAMES}
SELECT o.oprname::text AS name, array_remove(ARRAY[l.name, r.name], NULL) AS arguments,
       p.provolatile::text AS volatility, p.proname::text AS function, x.lanname::text AS language
  FROM pg_operator o JOIN members m ON m.classid = 'pg_operator'::regclass AND m.objid = o.oid
  JOIN pg_proc p ON p.oid = o.oprcode JOIN pg_language x ON x.oid = p.prolang
  LEFT JOIN type_names l ON l.oid = o.oprleft LEFT JOIN type_names r ON r.oid = o.oprright
"""

_CASTS: Final = f"""{_PLACE}, {TYPE_NAMES}
SELECT s.name, ARRAY[t.name] AS arguments, coalesce(p.provolatile::text, 'i') AS volatility,
       coalesce(p.proname::text, '') AS function, coalesce(x.lanname::text, '') AS language
  FROM pg_cast c JOIN members m ON m.classid = 'pg_cast'::regclass AND m.objid = c.oid
  JOIN type_names s ON s.oid = c.castsource JOIN type_names t ON t.oid = c.casttarget
  LEFT JOIN pg_proc p ON p.oid = c.castfunc LEFT JOIN pg_language x ON x.oid = p.prolang
"""

# No arrays (what holds for the element holds for them), no rows of the catalog's own relations.
_TYPES: Final = f"""{_PLACE}, {TYPE_NAMES}
SELECT n.name, t.typtype::text AS type_kind
  FROM pg_type t JOIN members m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
  JOIN type_names n ON n.oid = t.oid
 WHERE t.typtype <> 'c' AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
"""

_KINDS: Final[Mapping[str, str]] = {
    "f": "function", "a": "aggregate", "w": "window", "p": "procedure"
}  # fmt: skip


async def read_entries(connection: asyncpg.Connection, extension: str = "") -> list[Entry]:
    """Everything of pg_catalog, or of an extension that the database has."""
    functions = [_function(row) for row in await connection.fetch(_FUNCTIONS, extension)]
    operators = [_behind(row, "operator") for row in await connection.fetch(_OPERATORS, extension)]
    casts = [_behind(row, "cast") for row in await connection.fetch(_CASTS, extension)]
    types = [
        Entry(
            kind="type",
            name=row["name"],
            arguments=(),
            is_internal=row["type_kind"] not in ("b", "r", "m", "e"),
        )
        for row in await connection.fetch(_TYPES, extension)
    ]
    return [*functions, *operators, *casts, *types]


def _function(row: Mapping[str, Any] | asyncpg.Record) -> Entry:
    # WITHIN GROUP splits the arguments of an ordered-set aggregate over two lists.
    least = 0 if row["is_ordered_set"] else row["count"] - row["defaults"]
    return Entry(
        kind=_KINDS[row["kind"]],
        name=row["name"],
        arguments=tuple(row["arguments"]),
        volatility=row["volatility"],
        least=least,
        most=COUNTED_ARGUMENTS if row["is_variadic"] else row["count"],
        language=row["language"],
        is_internal=row["is_internal"],
        description=row["description"],
    )


def _behind(row: Mapping[str, Any] | asyncpg.Record, kind: str) -> Entry:
    return Entry(
        kind=kind,
        name=row["name"],
        arguments=tuple(row["arguments"]),
        volatility=row["volatility"],
        language=row["language"],
        function=row["function"],
    )
