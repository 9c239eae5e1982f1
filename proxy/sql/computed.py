"""Which columns of a view are expressions: such a column can fail on a row that nobody may see.

A column that is one of a table's, perhaps through other views, can not. What is not understood
here counts as an expression.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.errors import Refused
from proxy.sql.grammar import Tree, parse

_Name = tuple[str, str]  # schema, relation


@dataclass(frozen=True, slots=True)
class Origin:
    """A relation that a view is made of, or the view itself."""

    columns: tuple[str, ...]  # in their order
    computed: frozenset[str]  # generated when they are read
    definition: str | None  # a view's


def computed_columns(origins: Mapping[_Name, Origin]) -> Mapping[_Name, frozenset[str]]:
    """The columns that are expressions, of each of the relations."""
    known: dict[_Name, frozenset[str]] = {}
    for name in origins:
        _computed(name, origins, known)
    return known


def _computed(
    name: _Name, origins: Mapping[_Name, Origin], known: dict[_Name, frozenset[str]]
) -> frozenset[str]:
    if name in known:
        return known[name]
    origin = origins[name]
    known[name] = frozenset(origin.columns)  # until more is known: a view can not be of itself
    if origin.definition is None:
        known[name] = origin.computed
        return known[name]
    try:
        (statement,) = parse(origin.definition)
    except (Refused, ValueError):
        return known[name]
    plain = set(range(len(origin.columns)))
    for select in _arms(statement.node):
        plain &= _plain(select, origins, known)
    known[name] = frozenset(column for at, column in enumerate(origin.columns) if at not in plain)
    return known[name]


def _arms(select: Tree) -> Iterable[Tree]:
    if "larg" in select:
        yield from _arms(select["larg"])
        yield from _arms(select["rarg"])
    else:
        yield select


def _plain(
    select: Tree, origins: Mapping[_Name, Origin], known: dict[_Name, frozenset[str]]
) -> set[int]:
    """The output columns, by their place, that are columns of relations as they are stored."""
    if "withClause" in select:
        return set()  # a name could be the WITH query's
    items = _relations(select.get("fromClause", ()))
    if items is None:
        return set()
    plain = set()
    for at, target in enumerate(select.get("targetList", ())):
        fields = target["ResTarget"].get("val", {}).get("ColumnRef", {}).get("fields", ())
        parts = [part.get("String", {}).get("sval", "") for part in fields]
        if not parts:
            continue
        named = items.get(parts[-2]) if len(parts) > 1 else _only(items)
        if named is None or named not in origins:
            continue
        if parts[-1] not in _computed(named, origins, known):
            plain.add(at)
    return plain


def _only(items: Mapping[str, _Name]) -> _Name | None:
    return next(iter(items.values())) if len(items) == 1 else None


def _relations(items: Sequence[Any]) -> dict[str, _Name] | None:
    """The relations of a FROM list by the names they have there; None if it holds anything else."""
    found: dict[str, _Name] = {}
    for item in items:
        if "JoinExpr" in item and "alias" not in item["JoinExpr"]:
            inner = _relations([item["JoinExpr"]["larg"], item["JoinExpr"]["rarg"]])
            if inner is None or inner.keys() & found.keys():
                return None
            found |= inner
        elif "RangeVar" in item:
            node = item["RangeVar"]
            alias = node.get("alias", {})
            name = alias.get("aliasname", node["relname"])
            if "colnames" in alias or name in found:
                return None
            found[name] = (node.get("schemaname", "pg_catalog"), node["relname"])
        else:
            return None
    return found
