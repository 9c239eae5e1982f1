"""What a function, operator, cast or type does: its class, by rules and by people's decisions.

Two classes may be used: `computes` (nothing is read but arguments, clock, chance and the session's
own settings) and `catalog` (structure is read as well). Every other class is a reason to refuse.
None of the classes fits: unclassified, which fails a test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from proxy.sql.lists.entries import Entry

FOLDER: Final = Path(__file__).parent
COMPUTES: Final = "computes"
CATALOG: Final = "catalog"
MACHINERY: Final = "machinery"

# Functions that PostgreSQL itself describes as the inside of an operator, an aggregate, an index
# or a type. The operator or aggregate is classified for itself.
_INSIDE: Final = re.compile(
    r"^(implementation of |aggregate (transition|final|combine|serial|deserial)|hash( a |$)"
    r"|less-equal-greater|larger of two|smaller of two|I/O|\(internal\)"
    r"|(sort|skip|GiST|GIN|SP-GiST|BRIN|planner|window RANGE) (.* )?support)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedClass:
    """A class of functions that no statement may call."""

    reason: str
    functions: frozenset[str] = frozenset()
    like: re.Pattern[str] | None = None
    argument_checked: frozenset[str] = frozenset()  # refused but for arguments that read.py knows

    def has(self, entry: Entry) -> bool:
        is_named = covers(self.functions | self.argument_checked, entry)
        return is_named or (self.like is not None and self.like.fullmatch(entry.name) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """People's decisions: names, `name/n` for n arguments, or `name(types)` for one overload."""

    functions: frozenset[str] = frozenset()
    catalog_functions: frozenset[str] = frozenset()
    refused_functions: Mapping[str, RefusedClass] = field(default_factory=dict)
    stable_operators: frozenset[str] = frozenset()  # names of the functions behind them
    refused_operators: frozenset[str] = frozenset()  # the same
    refused_types: frozenset[str] = frozenset()
    information_schema_types: frozenset[str] = frozenset()
    # Whose immutable functions compute; of an extension, what is written in others is looked at.
    languages: frozenset[str] = frozenset({"c", "internal", "sql"})


def covers(names: frozenset[str], entry: Entry) -> bool:
    signature = f"{entry.name}({','.join(entry.arguments)})"
    counted = f"{entry.name}/{len(entry.arguments)}"
    return entry.name in names or counted in names or signature in names


def read_reviewed() -> Reviewed:
    """What was decided about pg_catalog."""
    return _reviewed(_yaml("reviewed.yaml"))


def read_extensions() -> dict[str, Reviewed]:
    """What was decided about each extension that a policy can switch on."""
    return {
        name: _reviewed({**content, "languages": ["c", "internal", *content.get("languages", ())]})
        for name, content in _yaml("extensions.yaml").items()
    }


def _yaml(name: str) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load((FOLDER / name).read_text(encoding="utf-8"))
    return content


def _reviewed(content: dict[str, Any]) -> Reviewed:
    refused = content.pop("refused_functions", {})
    return Reviewed(
        refused_functions={name: _refused_class(found) for name, found in refused.items()},
        **{key: frozenset(names) for key, names in content.items()},
    )


def _refused_class(content: Mapping[str, Any]) -> RefusedClass:
    like = "|".join(content.get("like", ()))
    return RefusedClass(
        reason=content["reason"],
        functions=frozenset(content.get("functions", ())),
        like=re.compile(like) if like else None,
        argument_checked=frozenset(content.get("argument_checked", ())),
    )


def classify(entry: Entry, reviewed: Reviewed) -> str | None:
    """The entry's class; None where no rule and nobody has decided."""
    match entry.kind:
        case "type":
            is_refused = entry.is_internal or entry.name in reviewed.refused_types
            return MACHINERY if is_refused else COMPUTES
        case "operator":
            if entry.function in reviewed.refused_operators:
                return MACHINERY
            return _behind(entry, reviewed, reviewed.stable_operators)
        case "cast":
            if entry.function in reviewed.catalog_functions:
                return CATALOG
            return _behind(entry, reviewed, reviewed.functions)
        case _:
            return _function_class(entry, reviewed)


def _behind(entry: Entry, reviewed: Reviewed, stable: frozenset[str]) -> str | None:
    """By the function behind an operator or a cast; some casts have none."""
    is_reviewed = entry.volatility in "is" and entry.function in stable
    is_pure = entry.volatility == "i" and entry.language in {*reviewed.languages, ""}
    return COMPUTES if is_pure or is_reviewed else None


def _function_class(entry: Entry, reviewed: Reviewed) -> str | None:
    if entry.is_internal:
        return MACHINERY
    for name, refused in reviewed.refused_functions.items():
        if covers(refused.functions | refused.argument_checked, entry):
            return name
    if covers(reviewed.catalog_functions, entry):
        return CATALOG
    if covers(reviewed.functions, entry):
        return COMPUTES
    if _INSIDE.match(entry.description):
        return MACHINERY
    for name, refused in reviewed.refused_functions.items():
        if refused.has(entry):
            return name
    # PostgreSQL's own promise: an immutable function depends on its arguments alone.
    is_pure = entry.volatility == "i" and entry.kind != "procedure"
    return COMPUTES if is_pure and entry.language in reviewed.languages else None
