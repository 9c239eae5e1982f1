"""Reading the files that hold every signature with its class (made by make.py).

A line: class, kind, name, then each overload's types, with the versions that have it where not all
do: `computes function array_sort (anyarray)@18`. Functions that only PostgreSQL itself can call
(arguments of type internal or cstring, triggers, input and output of types) are left out: no list
ever holds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

PG_CATALOG: Final = "classes.txt"
ALLOWED: Final = frozenset({"computes", "catalog"})

_OVERLOAD: Final = re.compile(r"\((?P<types>[^)]*)\)(?:@(?P<versions>[0-9,]+))?")
_REASON: Final = re.compile(r"# (?P<name>[a-z_]+): (?P<reason>.*)")


@dataclass(frozen=True, slots=True, order=True)
class Signature:
    kind: str  # function, aggregate, window, procedure, operator, cast, type
    name: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.name}({','.join(self.arguments)})"


def _lines(name: str) -> list[str]:
    return (files("proxy.sql.lists") / name).read_text(encoding="utf-8").splitlines()


def read_classes(name: str = PG_CATALOG, version: str = "") -> Iterator[tuple[Signature, str]]:
    """Everything that a file holds (for one version of PostgreSQL), with its class."""
    for line in _lines(name):
        if line.startswith("# "):
            continue
        found, kind, named, overloads = line.split(" ", 3)
        for match in _OVERLOAD.finditer(overloads):
            if not (version and match["versions"]) or version in match["versions"].split(","):
                types = match["types"]
                yield Signature(kind, named, tuple(types.split(",")) if types else ()), found


@cache
def extension_names() -> frozenset[str]:
    """Extensions that a policy can switch on: those with a reviewed list."""
    folder = files("proxy.sql.lists") / "extensions"
    return frozenset(path.name.removesuffix(".txt") for path in folder.iterdir())


@cache
def extension_classes(name: str) -> Mapping[Signature, str]:
    return dict(read_classes(f"extensions/{name}.txt"))


@cache
def refusals(name: str) -> Mapping[str, str]:
    """Why each class of an extension's members is refused."""
    found = filter(None, map(_REASON.fullmatch, _lines(f"extensions/{name}.txt")))
    return {match["name"]: match["reason"] for match in found}
