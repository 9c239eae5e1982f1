"""Writing the files that hold every signature with its class (files.py reads them)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from proxy.sql.lists.classify import Reviewed, classify
from proxy.sql.lists.entries import Entry

Versions = tuple[str, ...]


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
