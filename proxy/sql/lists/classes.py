"""The file that holds every signature with its class: what is not in it was looked at by nobody.

A line: class, kind, name, then each overload's types, with the versions that have it where not all
do: `computes function array_sort (anyarray)@18`. Functions that only PostgreSQL itself can call
(arguments of type internal or cstring, triggers, input and output of types) are left out: no list
ever holds them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from proxy.sql.lists.classify import FOLDER, Reviewed, classify
from proxy.sql.lists.entries import Entry

Versions = tuple[str, ...]

_OVERLOAD: Final = re.compile(r"\((?P<types>[^)]*)\)(?:@(?P<versions>[0-9,]+))?")


@dataclass(frozen=True, slots=True, order=True)
class Signature:
    kind: str
    name: str
    arguments: tuple[str, ...]

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(entry.kind, entry.name, entry.arguments)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}({','.join(self.arguments)})"


def merged(entries: Mapping[str, Sequence[Entry]]) -> dict[Entry, Versions]:
    """Every distinct entry with the versions that have it."""
    found: defaultdict[Entry, list[str]] = defaultdict(list)
    for version, of_version in entries.items():
        for entry in of_version:
            found[entry].append(version)
    return {entry: tuple(versions) for entry, versions in found.items()}


def is_pinned(entry: Entry) -> bool:
    return entry.kind == "type" or not entry.is_internal


def class_lines(
    every: Mapping[Entry, Versions], reviewed: Reviewed, *, with_versions: bool = True
) -> list[str]:
    """One line per class, kind and name, in that order. Extensions have versions of their own."""
    all_versions = {version for versions in every.values() for version in versions}
    lines: defaultdict[tuple[str, str, str], defaultdict[tuple[str, ...], set[str]]] = defaultdict(
        lambda: defaultdict(set)
    )
    for entry, versions in every.items():
        if is_pinned(entry):
            key = (classify(entry, reviewed) or "unclassified", entry.kind, entry.name)
            lines[key][entry.arguments].update(versions if with_versions else all_versions)
    return [
        " ".join((*key, *(_overload(each, where[each], all_versions) for each in sorted(where))))
        for key, where in sorted(lines.items())
    ]


def _overload(arguments: tuple[str, ...], versions: set[str], every: set[str]) -> str:
    where = "" if versions == every else "@" + ",".join(sorted(versions))
    return f"({','.join(arguments)}){where}"


def read_classes(version: str, name: str = "classes.txt") -> Iterator[tuple[str, Signature]]:
    """Class and signature of everything that the file holds for a version of PostgreSQL."""
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            continue
        found, kind, named, overloads = line.split(" ", 3)
        for match in _OVERLOAD.finditer(overloads):
            if match["versions"] is None or version in match["versions"].split(","):
                types = match["types"]
                yield found, Signature(kind, named, tuple(types.split(",")) if types else ())
