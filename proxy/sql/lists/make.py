"""Make the lists from running PostgreSQL servers and from what people reviewed.

    python -m proxy.sql.lists.make URL…            shows what would change; exit 1 if so
    python -m proxy.sql.lists.make URL… --write    writes the files

One URL per major version, 13 to 18, each of a database with the reviewed extensions. The lists
are data, read by people in review: this module proposes them by rule (docs/reference/lists.md), so
that nobody has to copy thousands of names, and shows what a new version of PostgreSQL brings.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import asyncpg

from proxy.sql.lists.classes import Versions, class_lines, merged
from proxy.sql.lists.classify import (
    CATALOG,
    FOLDER,
    Reviewed,
    classify,
    read_extensions,
    read_reviewed,
)
from proxy.sql.lists.entries import COUNTED_ARGUMENTS, Entry, read_entries
from proxy.sql.lists.files import ALLOWED, Signature

CALLED: Final = ("function", "aggregate", "window", "procedure")


async def read_version(connection: asyncpg.Connection) -> str:
    number = int(await connection.fetchval("SELECT current_setting('server_version_num')"))
    return str(number // 10_000)


def make_pg_catalog(entries: Mapping[str, Sequence[Entry]], reviewed: Reviewed) -> dict[str, str]:
    """The text of each file, by its name, from the entries of every version."""
    every = merged(entries)
    types = sorted(
        entry.name for entry in every if entry.kind == "type" and _is_allowed(entry, reviewed)
    )
    types += [f"information_schema.{name}" for name in sorted(reviewed.information_schema_types)]
    return {
        "functions.txt": _file(
            "Functions of pg_catalog: name, counts of arguments, `catalog` where it reads the "
            "catalog.",
            function_lines(every, reviewed),
        ),
        "operators.txt": _file("Operators of pg_catalog.", operator_names(every, reviewed)),
        "types.txt": _file("Types that a cast may name; arrays of them as well.", types),
        "classes.txt": _file(
            "Every function, operator, cast and type of pg_catalog, by class.",
            class_lines(every, reviewed),
        ),
    }


def function_lines(every: Mapping[Entry, Versions], reviewed: Reviewed) -> list[str]:
    """A line for each function that some call may use.

    A call `name(n arguments)` is allowed if every overload is that it could reach in any version.
    """
    allowed: defaultdict[str, set[int]] = defaultdict(set)
    refused: defaultdict[str, set[int]] = defaultdict(set)
    catalog = set()
    for entry in every:
        if entry.kind in CALLED:
            known = allowed if _is_allowed(entry, reviewed) else refused
            known[entry.name].update(range(entry.least, entry.most + 1))
            if classify(entry, reviewed) == CATALOG:
                catalog.add(entry.name)
    lines = []
    for name in sorted(allowed):
        counts = allowed[name] - refused[name]
        if counts:
            lines.append(f"{name} {_ranges(counts)}{' catalog' if name in catalog else ''}")
    return lines


def operator_names(every: Iterable[Entry], reviewed: Reviewed) -> list[str]:
    """Names of which no operator, in any version, is off."""
    operators = [entry for entry in every if entry.kind == "operator"]
    off = {entry.name for entry in operators if not _is_allowed(entry, reviewed)}
    return sorted({entry.name for entry in operators} - off)


def unclassified(entries: Iterable[Entry], reviewed: Reviewed) -> list[Signature]:
    """What no rule and nobody has decided about."""
    return sorted(entry.signature for entry in entries if classify(entry, reviewed) is None)


def _is_allowed(entry: Entry, reviewed: Reviewed) -> bool:
    return classify(entry, reviewed) in ALLOWED


def _ranges(counts: set[int]) -> str:
    """`1`, `2-3`, `0,2-4`; `1+` where there is no end."""
    parts: list[str] = []
    for count in sorted(counts):
        if count - 1 in counts:
            continue
        last = count
        while last + 1 in counts:
            last += 1
        if last == COUNTED_ARGUMENTS:
            parts.append(f"{count}+")
        else:
            parts.append(str(count) if last == count else f"{count}-{last}")
    return ",".join(parts)


def _file(title: str, lines: Sequence[str]) -> str:
    head = f"# {title}\n# Made by make.py from PostgreSQL 13 to 18 and what was reviewed.\n"
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


def make_extension(name: str, entries: Mapping[str, Sequence[Entry]]) -> dict[str, str]:
    """The text of an extension's file, by the file's name, from the entries of every version."""
    reviewed = read_extensions()[name]
    reasons = (f"# {each}: {found.reason}" for each, found in reviewed.refused_functions.items())
    lines = [*reasons, *class_lines(merged(entries), reviewed, with_versions=False)]
    return {
        f"extensions/{name}.txt": _file(f"Every member of the extension {name}, by class.", lines)
    }


async def _run(urls: Sequence[str], *, extensions_only: bool) -> dict[str, str]:
    entries: dict[str, Sequence[Entry]] = {}
    extensions: dict[str, dict[str, Sequence[Entry]]] = {name: {} for name in read_extensions()}
    for url in urls:
        connection = await asyncpg.connect(url)
        try:
            version = await read_version(connection)
            entries[version] = await read_entries(connection)
            for row in await connection.fetch("SELECT extname::text AS name FROM pg_extension"):
                if row["name"] in extensions:
                    members = await read_entries(connection, row["name"])
                    extensions[row["name"]][version] = members
        finally:
            await connection.close()
    made = {} if extensions_only else make_pg_catalog(entries, read_reviewed())
    for name, of_versions in extensions.items():
        if of_versions:
            made |= make_extension(name, of_versions)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the lists from running servers.")
    parser.add_argument("urls", nargs="+", metavar="URL", help="one server per major version")
    parser.add_argument("--write", action="store_true", help="write the files")
    parser.add_argument(
        "--extensions-only", action="store_true", help="leave pg_catalog's files as they are"
    )
    arguments = parser.parse_args()
    made = asyncio.run(_run(arguments.urls, extensions_only=arguments.extensions_only))
    changes = differences(made)
    sys.stdout.writelines(f"{line}\n" for line in changes)
    if arguments.write:
        for name, text in made.items():
            path = FOLDER / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return 0
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
