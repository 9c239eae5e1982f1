"""GROUP BY a primary key, with other columns of its relation selected.

PostgreSQL allows it because the key determines the row (SQL:1999, functional dependencies), but
looks for the key's constraint at a table, and behind a guard it sees none. So the columns that are
used without being grouped by are put in front of the key, into the text and the expected tree.

That makes the same groups: the guard has at most one row for each row of the table, shows the key
as it is, and a primary key is unique and not NULL. All rows of a group then come from one row of
the table, or none of them does (an outer join's NULLs, where every column is NULL).

Only where PostgreSQL would see the dependency itself; elsewhere its error is the tool's answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.policy.decide import Shown
from proxy.rewrite.splice import quoted
from proxy.rewrite.store import Prepared
from proxy.sql.catalog import Catalog, Relation
from proxy.sql.grammar import Tree
from proxy.sql.read import RelationUse

# Their arguments need no grouping: it would be harmless, and slower.
_AGGREGATES: Final = frozenset(
    """
    count sum avg min max string_agg array_agg bool_and bool_or every json_agg jsonb_agg
    json_object_agg jsonb_object_agg
    """.split()
)
_GROUPED_CLAUSES: Final = (
    "targetList",
    "havingClause",
    "sortClause",
    "windowClause",
    "distinctClause",
)


@dataclass(frozen=True, slots=True)
class Addition:
    """Names to put in front of item `at` of a SELECT's GROUP BY."""

    select: Tree
    at: int
    names: tuple[tuple[str, ...], ...]  # (alias, column), or (alias,) for the whole row

    @property
    def text(self) -> str:
        return "".join(f"{'.'.join(map(quoted, name))}, " for name in self.names)

    def expect(self) -> None:
        """Put the names into the tree. Of a SELECT's additions, the last one first."""
        self.select["groupClause"][self.at : self.at] = [
            {"ColumnRef": {"fields": [{"String": {"sval": part}} for part in name]}}
            for name in self.names
        ]


def additions(
    uses: Sequence[RelationUse], prepared: Sequence[Prepared], catalog: Catalog
) -> list[Addition]:
    """What to add to the GROUP BY clauses; the last item of each first."""
    found = [
        addition
        for use, guard in zip(uses, prepared, strict=True)
        if (addition := _addition(use, guard, catalog)) is not None
    ]
    return sorted(found, key=lambda each: each.at, reverse=True)


def item_offset(addition: Addition, tree: Tree, same: Tree, text: str) -> int | None:
    """Where the addition's item stands in the text, in characters. `same` is the tree of the text,
    `tree` the one that the addition speaks of.
    """
    for one, other in _pairs(tree, same):
        if one is addition.select:
            ((_, item),) = other["groupClause"][addition.at].items()
            encoded: bytes = text.encode()
            return len(encoded[: item.get("location", 0)].decode())
    return None


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """The nodes at the same places of two trees."""
    if isinstance(one, dict) and isinstance(other, dict):
        yield one, other
        for key, value in one.items():
            yield from _pairs(value, other.get(key))
    elif isinstance(one, list) and isinstance(other, list):
        for left, right in zip(one, other, strict=False):
            yield from _pairs(left, right)


# --- which columns --------------------------------------------------------------------------------


def _addition(use: RelationUse, prepared: Prepared, catalog: Catalog) -> Addition | None:
    items = use.select.get("groupClause", ())
    guard = prepared.guard
    if not items or guard is None or use.is_hidden or use.has_column_aliases:
        return None
    shown = {each.name: isinstance(each.verdict, Shown) for each in guard.columns}
    grouped = [_grouped_column(item, use, shown) for item in items]
    if not any(shown.get(name or "") for name in grouped):
        return None
    key = _primary_key(guard.relation, catalog)
    if not key or not key <= set(grouped) or not all(shown[name] for name in key):
        return None
    mentioned = _Mentioned(use.alias)
    for clause in _GROUPED_CLAUSES:
        mentioned.walk(use.select.get(clause))
    names = [name for name in shown if mentioned.takes(name) and name not in grouped]
    added = [(use.alias, name) for name in names]
    rows = [(use.alias,)] if mentioned.takes_row and use.alias not in shown else []
    if not added and not rows:
        return None
    at = next(number for number, name in enumerate(grouped) if name in key)
    return Addition(use.select, at, (*rows, *added))


def _primary_key(relation: Relation, catalog: Catalog) -> frozenset[str]:
    """The columns of the relation's primary key; empty where it has none to rely on."""
    # A parent's key says nothing of its children's rows.
    is_parent = relation.oid in catalog.structure.parents
    if relation.kind != "p" and (relation.kind != "r" or is_parent):
        return frozenset()
    constraint = catalog.structure.primary_keys.get(relation.oid)
    if constraint is None:
        return frozenset()
    names = {column.attnum: column.name for column in relation.columns}
    key = frozenset(names.get(attnum, "") for attnum in constraint.attnums)
    immediate = {frozenset(key) for key in relation.unique_keys}  # others may be deferred
    return key if key in immediate else frozenset()


@dataclass(slots=True)
class _Mentioned:
    """What the clauses that need grouping say of one FROM item; too much does no harm."""

    alias: str
    names: set[str] = field(default_factory=set)
    takes_all: bool = False
    takes_row: bool = False

    def takes(self, name: str) -> bool:
        return self.takes_all or name in self.names

    def walk(self, value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                self.walk(item)
        elif isinstance(value, dict):
            if "ColumnRef" in value:
                self._column(value["ColumnRef"]["fields"])
            elif "FuncCall" in value and _is_aggregate(value["FuncCall"]):
                # An aggregate of a sub-query may hold columns of ours that are none of its rows'.
                for query in _queries(value):
                    self.walk(query)
            else:
                for item in value.values():
                    if isinstance(item, (dict, list)):
                        self.walk(item)

    def _column(self, fields: list[Tree]) -> None:
        is_star = "A_Star" in fields[-1]
        name = fields[-1].get("String", {}).get("sval", "")
        item = fields[-2]["String"].get("sval", "") if len(fields) > 1 else None
        if item is not None and item != self.alias:
            return
        if is_star:
            self.takes_all = True
        else:
            self.names.add(name)
            self.takes_row |= item is None and name == self.alias


def _is_aggregate(call: Tree) -> bool:
    names = [part["String"].get("sval", "") for part in call["funcname"]]
    return names[-1] in _AGGREGATES and "over" not in call


def _queries(value: Any) -> Iterator[Tree]:
    if isinstance(value, list):
        for item in value:
            yield from _queries(item)
    elif isinstance(value, dict):
        if "SelectStmt" in value:
            yield value
        else:
            for item in value.values():
                if isinstance(item, (dict, list)):
                    yield from _queries(item)


# --- which items of GROUP BY name a column of the relation ----------------------------------------


def _grouped_column(item: Tree, use: RelationUse, shown: dict[str, bool]) -> str | None:
    """The column of the relation that an item of GROUP BY is (parse_clause.c,
    findTargetlistEntrySQL92): a name, an output column's number, or its name.
    """
    if "ColumnRef" in item:
        fields = item["ColumnRef"]["fields"]
        own = _own_column(fields, use, shown)
        if own is not None or len(fields) > 1:
            return own
        return _output_column(fields[0]["String"].get("sval", ""), use, shown)
    number = item.get("A_Const", {}).get("ival", {}).get("ival", 0)
    targets = use.select.get("targetList", ())
    if not 0 < number <= len(targets) or any(_is_star(target) for target in targets[:number]):
        return None
    return _column_of(targets[number - 1], use, shown)


def _output_column(name: str, use: RelationUse, shown: dict[str, bool]) -> str | None:
    for target in use.select.get("targetList", ()):
        if target["ResTarget"].get("name") == name:
            return _column_of(target, use, shown)
    return None


def _column_of(target: Tree, use: RelationUse, shown: dict[str, bool]) -> str | None:
    reference = target["ResTarget"].get("val", {}).get("ColumnRef")
    return _own_column(reference["fields"], use, shown) if reference else None


def _is_star(target: Tree) -> bool:
    reference = target["ResTarget"].get("val", {}).get("ColumnRef")
    return reference is not None and "A_Star" in reference["fields"][-1]


def _own_column(fields: list[Tree], use: RelationUse, shown: dict[str, bool]) -> str | None:
    if any("String" not in part for part in fields):
        return None
    names = [part["String"].get("sval", "") for part in fields]
    if names[-1] not in shown:
        return None
    if len(names) > 1:
        return names[-1] if names[:-1] == [use.alias] else None
    # Another item with such a column makes the name ambiguous, which is an error; but a column
    # that USING merges is the left side's (of an inner or left join).
    return names[-1] if _is_unmerged(names[-1], use.select.get("fromClause", ()), use) else None


def _is_unmerged(name: str, items: Sequence[Tree], use: RelationUse) -> bool:
    return all(_is_unmerged_in(item, name, use) for item in items)


def _is_unmerged_in(item: Tree, name: str, use: RelationUse) -> bool:
    join = item.get("JoinExpr")
    if join is None:
        return True
    using = {part["String"].get("sval", "") for part in join.get("usingClause", ())}
    if name in using or join.get("isNatural"):
        kind = join.get("jointype", "JOIN_INNER")
        return kind in ("JOIN_INNER", "JOIN_LEFT") and join["larg"] is use.holder
    return _is_unmerged_in(join["larg"], name, use) and _is_unmerged_in(join["rarg"], name, use)
