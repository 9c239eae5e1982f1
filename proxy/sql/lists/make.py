"""Make functions.txt, operators.txt and types.txt from a running PostgreSQL and reviewed.yaml.

    python -m proxy.sql.lists.make postgresql://…            shows what would change; exit 1 if so
    python -m proxy.sql.lists.make postgresql://… --write    writes the files

The lists are data, read by people in review: this module proposes them by rule, so that nobody
has to copy 1,000 names, and shows what a new major version of PostgreSQL brings. The rules are
written down in docs/reference/lists.md.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
from ruamel.yaml import YAML

FOLDER: Final = Path(__file__).parent
FILES: Final = ("functions.txt", "operators.txt", "types.txt")

# PostgreSQL takes 100 arguments (FUNC_MAX_ARGS); more than this only variadic functions do.
_COUNTED_ARGUMENTS: Final = 20

# `is_machinery`: functions that PostgreSQL itself describes as the inside of an operator, an
# aggregate, an index or a type. The operator or aggregate is on its own list.
_FUNCTIONS: Final = r"""
SELECT p.proname::text AS name, p.pronargs::int4 AS count, p.pronargdefaults::int4 AS defaults,
       p.provariadic <> 0 AS is_variadic, p.provolatile::text AS volatility,
       coalesce(a.aggkind::text, 'n') AS aggregate,
       coalesce(obj_description(p.oid, 'pg_proc') ~
         ('^(implementation of |aggregate (transition|final|combine|serial|deserial)|hash( a |$)|'
          || 'less-equal-greater|larger of two|smaller of two|I/O|\(internal\)|'
          || '(sort|skip|GiST|GIN|SP-GiST|BRIN|planner|window RANGE) (.* )?support)'),
         false) AS is_machinery
  FROM pg_proc p LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
 WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384
   AND p.prokind IN ('f', 'a', 'w')
   AND (p.prorettype = 'void'::regtype OR p.prorettype IN (
          SELECT t.oid FROM pg_type t
           WHERE t.typtype <> 'p' OR t.typname ~ '^any' OR t.typname IN ('record', '_record')))
   AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) a
                    WHERE a IN ('internal'::regtype, 'cstring'::regtype))
   AND NOT EXISTS (SELECT FROM pg_type t WHERE p.oid IN (t.typinput, t.typoutput, t.typreceive,
                     t.typsend, t.typmodin, t.typmodout, t.typanalyze))
"""

_OPERATORS: Final = """
SELECT o.oprname::text AS name FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
 WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oid < 16384
 GROUP BY 1 HAVING bool_and(p.provolatile <> 'v')
"""

_TYPES: Final = """
SELECT t.typname::text AS name FROM pg_type t
 WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.oid < 16384
   AND t.typtype IN ('b', 'r', 'm')
   AND (t.typcategory <> 'A' OR t.typname IN ('int2vector', 'oidvector'))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """reviewed.yaml: names, or `name/n`."""

    functions: frozenset[str]
    catalog_functions: frozenset[str]
    refused_functions: frozenset[str]
    refused_types: frozenset[str]
    information_schema_types: frozenset[str]

    def allows(self, name: str, count: int) -> bool:
        return self._covers(self.functions, name, count) or self.is_catalog(name, count)

    def is_catalog(self, name: str, count: int) -> bool:
        return self._covers(self.catalog_functions, name, count)

    def refuses(self, name: str, count: int) -> bool:
        return self._covers(self.refused_functions, name, count)

    @staticmethod
    def _covers(names: frozenset[str], name: str, count: int) -> bool:
        return name in names or f"{name}/{count}" in names


def read_reviewed() -> Reviewed:
    content: dict[str, list[str]] = YAML(typ="safe").load(
        (FOLDER / "reviewed.yaml").read_text(encoding="utf-8")
    )
    return Reviewed(**{key: frozenset(names) for key, names in content.items()})


async def make(connection: asyncpg.Connection) -> dict[str, str]:
    """The text of each file, by its name."""
    reviewed = read_reviewed()
    functions = function_lines(await connection.fetch(_FUNCTIONS), reviewed)
    operators = sorted(row["name"] for row in await connection.fetch(_OPERATORS))
    types = {row["name"] for row in await connection.fetch(_TYPES)} - reviewed.refused_types
    return {
        "functions.txt": _file(
            "Functions of pg_catalog: name, counts of arguments, `catalog` where it reads the "
            "catalog.",
            functions,
        ),
        "operators.txt": _file("Operators of pg_catalog.", operators),
        "types.txt": _file(
            "Types that a cast may name; arrays of them as well.",
            sorted(types)
            + [f"information_schema.{name}" for name in sorted(reviewed.information_schema_types)],
        ),
    }


def function_lines(
    rows: Sequence[Mapping[str, Any] | asyncpg.Record], reviewed: Reviewed
) -> list[str]:
    """A line for each function that some call may use.

    A call `name(n arguments)` is allowed if every overload that it could reach is.
    """
    allowed: defaultdict[str, set[int]] = defaultdict(set)
    refused: defaultdict[str, set[int]] = defaultdict(set)
    for row in rows:
        name, counts = row["name"], _counts(row)
        for count in counts:
            (allowed if _is_allowed(row, count, reviewed) else refused)[name].add(count)
    lines = []
    for name in sorted(allowed):
        counts = allowed[name] - refused[name]
        if not counts:
            continue
        mark = " catalog" if any(reviewed.is_catalog(name, count) for count in counts) else ""
        lines.append(f"{name} {_ranges(counts)}{mark}")
    return lines


def _is_allowed(row: Mapping[str, Any] | asyncpg.Record, count: int, reviewed: Reviewed) -> bool:
    name = row["name"]
    if reviewed.refuses(name, count):
        return False
    by_rule = row["volatility"] == "i" and not row["is_machinery"]
    return by_rule or reviewed.allows(name, count)


def _counts(row: Mapping[str, Any] | asyncpg.Record) -> Iterable[int]:
    # WITHIN GROUP splits the arguments of an ordered-set aggregate over two lists.
    least = 0 if row["aggregate"] in ("o", "h") else row["count"] - row["defaults"]
    most = _COUNTED_ARGUMENTS if row["is_variadic"] else row["count"]
    return range(least, most + 1)


def _ranges(counts: set[int]) -> str:
    """`1`, `2-3`, `0,2-4`; `1+` where there is no end."""
    parts: list[str] = []
    for count in sorted(counts):
        if count - 1 in counts:
            continue
        last = count
        while last + 1 in counts:
            last += 1
        if last == _COUNTED_ARGUMENTS:
            parts.append(f"{count}+")
        else:
            parts.append(str(count) if last == count else f"{count}-{last}")
    return ",".join(parts)


def _file(title: str, lines: Sequence[str]) -> str:
    head = f"# {title}\n# Made by make.py from PostgreSQL 18 and reviewed.yaml.\n"
    return head + "".join(f"{line}\n" for line in lines)


def differences(made: Mapping[str, str]) -> list[str]:
    """What the files of this folder would have to change to be `made`, as unified diffs."""
    lines: list[str] = []
    for name, text in made.items():
        path = FOLDER / name
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        lines += difflib.unified_diff(
            there.splitlines(), text.splitlines(), name, f"{name} (made)", lineterm="", n=0
        )
    return lines


async def _run(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url)
    try:
        return await make(connection)
    finally:
        await connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the lists from a running PostgreSQL 18.")
    parser.add_argument("url", help="any database of a PostgreSQL 18, any role")
    parser.add_argument("--write", action="store_true", help="write the files")
    arguments = parser.parse_args()
    made = asyncio.run(_run(arguments.url))
    changes = differences(made)
    sys.stdout.writelines(f"{line}\n" for line in changes)
    if arguments.write:
        for name, text in made.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
