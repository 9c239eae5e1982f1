"""What a database has beyond PostgreSQL's own functions, operators and types, and whose it is.

Read together with the catalog (`catalog.py`); a plain value. That something belongs to an extension
is taken from pg_depend alone, and proves what it does only where a superuser owns it. A name proves
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from proxy.sql.type_names import TYPE_NAMES

Rows = Sequence[asyncpg.Record]

# PostgreSQL takes 100 arguments (FUNC_MAX_ARGS).
ARGUMENTS_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A function, operator or type that users or extensions made."""

    kind: str  # function, aggregate, window, procedure, operator, type
    schema: str
    name: str
    arguments: tuple[str, ...] = ()  # as the lists write types (type_names.py)
    extension: str = ""  # to which it belongs; "" for none
    is_proven: bool = False  # a superuser owns it: nobody else can have written or replaced it


@dataclass(frozen=True, slots=True, kw_only=True)
class Routine(Member):
    """A function of any kind, with what a policy that names it asks of it."""

    printed: tuple[str, ...]  # argument types as PostgreSQL prints them
    least: int  # how many arguments a call may have
    most: int
    volatility: str  # pg_proc.provolatile: i immutable, s stable, v volatile
    language: str
    owner: str
    is_definer: bool  # SECURITY DEFINER: runs with its owner's rights
    is_internal: bool  # takes or returns what no statement can hold: internal, cstring, trigger …
    definition: str  # a hash that changes with it


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnType(Member):
    oid: int
    array: int  # oid of the array type, 0 for none


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Everything that the wanted schemas hold, and what somebody put into pg_catalog."""

    routines: tuple[Routine, ...] = ()
    operators: tuple[Member, ...] = ()
    types: tuple[OwnType, ...] = ()
    extensions: Mapping[str, str] = field(default_factory=dict)  # name → schema
    # pg_catalog's functions that share a name with a routine: name, least and most arguments.
    namesakes: tuple[tuple[str, int, int], ...] = ()


# A database's own roles can be made owners of what belongs to an extension, and could replace it.
_OWNED: Final = f"""
WITH {TYPE_NAMES}, owned AS (
  SELECT d.classid, d.objid, e.extname::text AS extension
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
   WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
), superusers AS (SELECT oid FROM pg_roles WHERE rolsuper)
"""

_WANTED: Final = (
    "(n.nspname = ANY($1::text[]) OR n.nspname = 'pg_catalog' OR o.extension = ANY($2))"
)

# A function's definition is what can be run again, and what can be set beside it.
_ROUTINES: Final = f"""{_OWNED}, typed AS (
  SELECT p.oid, array_agg(t.name ORDER BY x.place) AS names,
         array_agg(format_type(t.oid, NULL) ORDER BY x.place) AS printed
    FROM pg_proc p, unnest(p.proargtypes) WITH ORDINALITY x (type, place), type_names t
   WHERE p.oid >= 16384 AND t.oid = x.type GROUP BY p.oid
)
SELECT n.nspname::text AS schema, p.proname::text AS name, p.prokind::text AS kind,
       coalesce(typed.names, '{{}}') AS arguments, coalesce(typed.printed, '{{}}') AS printed,
       coalesce(o.extension, '') AS extension,
       p.proowner IN (SELECT oid FROM superusers) AS is_proven,
       CASE WHEN a.aggkind <> 'n' THEN 0 ELSE p.pronargs - p.pronargdefaults END AS least,
       CASE WHEN p.provariadic <> 0 THEN {ARGUMENTS_MAX} ELSE p.pronargs END AS most,
       p.provolatile::text AS volatility, l.lanname::text AS language,
       pg_get_userbyid(p.proowner)::text AS owner, p.prosecdef AS is_definer,
       (rt.typtype = 'p' AND rt.typname !~ '^any'
           AND rt.typname NOT IN ('record', '_record', 'void'))
         OR EXISTS (SELECT FROM unnest(p.proargtypes) t
                     WHERE t IN ('internal'::regtype, 'cstring'::regtype)) AS is_internal,
       md5(concat_ws(' ', p.prosrc, p.probin, p.prosecdef, p.provolatile, p.proconfig::text,
                     p.proowner, p.prolang, to_jsonb(p) ->> 'prosqlbody',
                     a.aggtransfn, a.aggfinalfn)) AS definition
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_language l ON l.oid = p.prolang JOIN pg_type rt ON rt.oid = p.prorettype
  LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
  LEFT JOIN owned o ON o.classid = 'pg_proc'::regclass AND o.objid = p.oid
  LEFT JOIN typed ON typed.oid = p.oid
 WHERE p.oid >= 16384 AND {_WANTED}
 ORDER BY p.oid
"""

_OPERATORS: Final = f"""{_OWNED}
SELECT n.nspname::text AS schema, p.oprname::text AS name,
       array_remove(ARRAY[l.name, r.name], NULL) AS arguments,
       coalesce(o.extension, '') AS extension,
       p.oprowner IN (SELECT oid FROM superusers) AND f.proowner IN (SELECT oid FROM superusers)
         AND (f.oid < 16384 OR EXISTS (
           SELECT FROM owned b WHERE b.classid = 'pg_proc'::regclass AND b.objid = f.oid
              AND b.extension = o.extension)) AS is_proven
  FROM pg_operator p JOIN pg_namespace n ON n.oid = p.oprnamespace
  JOIN pg_proc f ON f.oid = p.oprcode
  LEFT JOIN type_names l ON l.oid = p.oprleft LEFT JOIN type_names r ON r.oid = p.oprright
  LEFT JOIN owned o ON o.classid = 'pg_operator'::regclass AND o.objid = p.oid
 WHERE p.oid >= 16384 AND {_WANTED}
 ORDER BY p.oid
"""

_TYPES: Final = f"""{_OWNED}
SELECT n.nspname::text AS schema, t.typname::text AS name, t.oid::int8 AS oid,
       t.typarray::int8 AS array,
       o.extension, t.typowner IN (SELECT oid FROM superusers) AS is_proven
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  JOIN owned o ON o.classid = 'pg_type'::regclass AND o.objid = t.oid
 WHERE t.oid >= 16384 AND {_WANTED}
   AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
 ORDER BY t.oid
"""

_EXTENSIONS: Final = """
SELECT e.extname::text AS name, n.nspname::text AS schema
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 ORDER BY 1
"""

_NAMESAKES: Final = f"""
SELECT DISTINCT p.proname::text AS name,
       CASE WHEN a.aggkind <> 'n' THEN 0 ELSE p.pronargs - p.pronargdefaults END AS least,
       CASE WHEN p.provariadic <> 0 THEN {ARGUMENTS_MAX} ELSE p.pronargs END AS most
  FROM pg_proc p LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
 WHERE p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY($1::text[])
 ORDER BY 1, 2, 3
"""

# Beyond the schemas' own functions and operators: membership, pg_catalog, and who is a superuser.
FINGERPRINT: Final = """
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, extnamespace, xmin), 0)))
     FROM pg_extension),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', classid, objid, refobjid), 0)))
     FROM pg_depend WHERE deptype = 'e'),
  (SELECT concat(count(*), ':', sum(hashtextextended(concat_ws(' ', oid, xmin), 0)))
     FROM pg_proc WHERE oid >= 16384 AND pronamespace = 'pg_catalog'::regnamespace),
  (SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_roles WHERE rolsuper)
"""

_KINDS: Final[Mapping[str, str]] = {
    "f": "function", "a": "aggregate", "w": "window", "p": "procedure"
}  # fmt: skip


async def read_members(
    connection: asyncpg.Connection, schemas: Sequence[str], extensions: Sequence[str]
) -> dict[str, Rows]:
    """The rows that `members_of` understands: of the schemas, and of the extensions wherever."""
    wanted = (list(schemas), list(extensions))
    routines = await connection.fetch(_ROUTINES, *wanted)
    names = sorted({row["name"] for row in routines})
    return {
        "routines": routines,
        "operators": await connection.fetch(_OPERATORS, *wanted),
        "own_types": await connection.fetch(_TYPES, *wanted),
        "extensions": await connection.fetch(_EXTENSIONS),
        "namesakes": await connection.fetch(_NAMESAKES, names),
    }


def members_of(read: Mapping[str, Rows]) -> Members:
    return Members(
        routines=tuple(map(_routine, read["routines"])),
        operators=tuple(map(_operator, read["operators"])),
        types=tuple(map(_type, read["own_types"])),
        extensions={row["name"]: row["schema"] for row in read["extensions"]},
        namesakes=tuple((row["name"], row["least"], row["most"]) for row in read["namesakes"]),
    )


def _routine(row: asyncpg.Record) -> Routine:
    return Routine(
        kind=_KINDS[row["kind"]],
        schema=row["schema"],
        name=row["name"],
        arguments=tuple(row["arguments"]),
        printed=tuple(row["printed"]),
        extension=row["extension"],
        is_proven=row["is_proven"],
        least=row["least"],
        most=row["most"],
        volatility=row["volatility"],
        language=row["language"],
        owner=row["owner"],
        is_definer=row["is_definer"],
        is_internal=row["is_internal"],
        definition=row["definition"],
    )


def _operator(row: asyncpg.Record) -> Member:
    return Member(
        kind="operator",
        schema=row["schema"],
        name=row["name"],
        arguments=tuple(row["arguments"]),
        extension=row["extension"],
        is_proven=row["is_proven"],
    )


def _type(row: asyncpg.Record) -> OwnType:
    return OwnType(
        kind="type",
        schema=row["schema"],
        name=row["name"],
        extension=row["extension"],
        is_proven=row["is_proven"],
        oid=row["oid"],
        array=row["array"],
    )
