"""Join keys of a fenced relation, which reach its index only if the guard knows them.

* `FROM people p JOIN visits v ON v.person_id = p.id WHERE p.id < 100`: behind its fence, all visits
  would be read and joined. The guard of visits is given `person_id = p.id` (it is LATERAL then).
* `FROM visits v JOIN people p …`: what stands on the left can not be asked by p. The guard of
  visits is given `person_id = ANY (SELECT p.id …)`, over the guard of people with the conditions on
  it. What the tool sees of people decides and nothing else: which visits are left tells nothing.
* `(SELECT count(*) FROM visits v WHERE v.person_id = p.id)`, asked for each person: as the first.

Rows that the guard leaves out so, the statement leaves out as well. Only for open columns of the
fenced relation and operators that are leakproof for exactly these types, because they meet rows
that the guard removes; and what is asked of the other relation can not fail either, because whether
it is asked at all hangs on such rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp

from proxy.policy.decide import Shown
from proxy.rewrite.asked import Asked
from proxy.rewrite.comparisons import begins_index, compared_type, is_leakproof, repeat
from proxy.rewrite.conditions import (
    Condition,
    Conditions,
    FromItem,
    and_parts_around,
    may_be_followed,
    output_columns,
    own_column,
    own_operator,
)
from proxy.rewrite.guard import Guard, ShownColumn, column, identifier, joined
from proxy.rewrite.masks_terms import operate
from proxy.sql.catalog import Column
from proxy.sql.grammar import Tree
from proxy.sql.read import RelationUse

# Without the fence too PostgreSQL asks these once for each row around them; EXISTS it may ask so.
_BY_ROW: Final = frozenset({"EXPR_SUBLINK", "ARRAY_SUBLINK"})
_AMONG: Final = "ANY_SUBLINK"
_PERHAPS_BY_ROW: Final = frozenset({"EXISTS_SUBLINK", _AMONG})
_CHOOSING: Final = (
    "larg", "groupClause", "havingClause", "windowClause", "limitCount", "limitOffset",
)  # fmt: skip
_EQUAL: Final = [{"String": {"sval": "="}}]  # IN
# Relations whose columns are stored: none is an expression of somebody's.
_STORED: Final = frozenset("rpm")

Push = Callable[[Guard, RelationUse, Asked], exp.Query | None]


@dataclass(slots=True)
class JoinKeys:
    """Conditions for a guard."""

    conditions: list[exp.Expr] = field(default_factory=list)
    is_lateral: bool = False  # they name another item of the FROM list
    is_among: bool = False  # they ask another relation on their own
    names: set[str] = field(default_factory=set)  # of FROM items of the statement, in them


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of `v.person_id = p.id`: a column of a guard, perhaps through a sub-query."""

    use: RelationUse
    guard: Guard
    column: ShownColumn
    item: FromItem  # the FROM item that the statement names
    name: str  # of the column, there

    @property
    def stored(self) -> Column | None:
        """The database's column, if its value is stored."""
        own = self.guard.relation.column(self.column.name)
        is_stored = self.guard.relation.kind in _STORED and own is not None and not own.is_virtual
        return own if is_stored else None

    @property
    def reference(self) -> exp.Expr:
        return exp.Column(this=identifier(self.name), table=identifier(self.item.alias))


def join_keys(guard: Guard, use: RelationUse, asked: Asked, push: Push) -> JoinKeys:
    """Conditions for the guard. `push` gives the other guard with the conditions on its own."""
    keys = JoinKeys()
    if not may_be_followed(use):
        return keys
    pairs = [
        pair for part in and_parts_around(use) for pair in _equalities(part, guard, use, asked)
    ]
    for own, other in (*pairs, *_memberships(guard, use, asked)):
        if _is_leakproof(own, other, asked):
            _add(own, other, asked, push, keys)
    return keys


def _add(own: _Side, other: _Side, asked: Asked, push: Push, keys: JoinKeys) -> None:
    value: exp.Expr | None = None
    if other.item.select is not own.use.select:
        if _is_asked_by_row(own, other, asked):
            value = other.reference
    elif not may_be_followed(other.item):
        return
    elif _stands_before(other, own):
        if _begins_index(own, asked) and _is_few(other, asked):
            value, keys.is_lateral = other.reference, True
    elif other.item is other.use and _is_few(other, asked):
        value, keys.is_among = _among(other, asked, push), True
    if value is not None:
        keys.names.add(other.item.alias)
        keys.conditions.append(operate(column(own.column.name, "t"), "=", value))


# --- which columns are compared -------------------------------------------------------------------


def _equalities(
    part: Tree, guard: Guard, use: RelationUse, asked: Asked
) -> Iterator[tuple[_Side, _Side]]:
    node = part.get("A_Expr")
    if node is None or node["kind"] != "AEXPR_OP" or own_operator(node) != "=":
        return
    left, right = node.get("lexpr"), node.get("rexpr")
    if not isinstance(left, dict) or not isinstance(right, dict):
        return
    for one, other in ((left, right), (right, left)):
        own = _side(one, use, guard, use)
        if own is None or not isinstance(own.column.verdict, Shown) or not _is_qualified(other):
            continue
        for other_use, other_guard in asked.uses:
            if other_use is use or other_guard is None:
                continue
            outer = asked.reading.derived.get(id(other_use.select))
            for item in (other_use, outer):
                side = None if item is None else _side(other, other_use, other_guard, item)
                if side is not None:
                    yield own, side


def _memberships(guard: Guard, use: RelationUse, asked: Asked) -> Iterator[tuple[_Side, _Side]]:
    """`p.id IN (SELECT v.person_id …)`, as a condition that has to be true: not NULL, not false."""
    if asked.reading.sublinks.get(id(use.select)) != _AMONG or not _is_each_row(use.select):
        return
    (target, *others) = use.select.get("targetList", ())
    own = _side(target["ResTarget"].get("val", {}), use, guard, use)
    if own is None or others or not isinstance(own.column.verdict, Shown):
        return
    for other_use, other_guard in asked.uses:
        if other_guard is None or not may_be_followed(other_use):
            continue
        for part in and_parts_around(other_use):
            link = part.get("SubLink", {})
            is_ours = link.get("subselect", {}).get("SelectStmt") is use.select
            if not is_ours or own_operator({"name": link.get("operName", _EQUAL)}) != "=":
                continue
            other = _side(link.get("testexpr", {}), other_use, other_guard, other_use)
            if other is not None:
                yield own, other


def _is_each_row(select: Tree) -> bool:
    """Does every row of the FROM list have a part in the answer? One that a LIMIT, DISTINCT ON or a
    group leaves out could come in where another is left out before.
    """
    is_plain = select.get("distinctClause", [{}]) == [{}]
    return is_plain and not any(clause in select for clause in _CHOOSING)


def _side(node: Tree, use: RelationUse, guard: Guard, item: FromItem) -> _Side | None:
    """The side that names a column of the item: of the relation, or of the sub-query around it."""
    shown = {each.name: each for each in guard.columns}
    if item is use:
        names: dict[str, str | None] = {name: name for name in shown}
    elif may_be_followed(use):
        names = output_columns(use, frozenset(shown))
    else:
        return None
    name = own_column(node, item, frozenset(names))
    origin = names.get(name) if name is not None else None
    if name is None or origin is None:
        return None
    return _Side(use, guard, shown[origin], item, name)


def _is_qualified(node: Tree) -> bool:
    return len(node.get("ColumnRef", {}).get("fields", ())) > 1


def _is_leakproof(own: _Side, other: _Side, asked: Asked) -> bool:
    mine, theirs = own.stored, other.stored
    if mine is None or theirs is None:
        return False
    types = (compared_type(own.column.type), compared_type(other.column.type))
    if ("=", *types) not in asked.catalog.leakproof_operators:
        return False
    # Texts of two collations can not be compared, which is found out at the first row.
    return mine.collation == theirs.collation and (
        mine.collation == 0 or isinstance(other.column.verdict, Shown)
    )


def _begins_index(side: _Side, asked: Asked) -> bool:
    return side.stored is not None and begins_index(side.guard, side.column.name, asked.catalog)


# --- items of the same FROM list ------------------------------------------------------------------


def _stands_before(other: _Side, own: _Side) -> bool:
    return _location(other.item, other.use) < own.use.location


def _location(item: FromItem, use: RelationUse) -> int:
    if "RangeVar" in item.holder:
        location: int = item.holder["RangeVar"].get("location", 0)
        return location
    return use.location  # inside the sub-query, which is a whole


def _is_few(other: _Side, asked: Asked) -> bool:
    """Are there conditions, or a LIMIT, by which the other relation gives few of its rows?"""
    return ("limitCount" in other.use.select and other.item is not other.use) or any(
        _begins_index(_Side(other.use, other.guard, each, other.use, each.name), asked)
        for condition in _conditions(other, asked)
        for each in other.guard.columns
        if each.name == condition.column
    )


def _conditions(other: _Side, asked: Asked) -> list[Condition]:
    """The conditions on what the tool sees of the other relation that can not fail."""
    shown = {each.name: each for each in other.guard.columns}
    found = Conditions(asked.reading, asked.declared_types).of(other.use, frozenset(shown))
    return [
        each
        for each in found
        if _Side(other.use, other.guard, shown[each.column], other.use, each.column).stored
        and is_leakproof(each, shown[each.column].type, asked.catalog)
    ]


def _among(other: _Side, asked: Asked, push: Push) -> exp.Expr:
    """The keys of the other relation's rows that the conditions on it leave."""
    guard = push(other.guard, other.use, asked) or other.guard.select.copy()
    types = {each.name: each.type for each in other.guard.columns}
    conditions = [
        repeat(column(each.column, "v"), types[each.column], each)
        for each in _conditions(other, asked)
    ]
    keys = (
        exp.Select(expressions=[column(other.column.name, "v")])
        .from_(exp.Subquery(this=guard, alias=exp.TableAlias(this=exp.to_identifier("v"))))
        .where(joined(conditions, exp.And), copy=False)
    )
    return exp.Any(this=exp.Paren(this=keys))


# --- an item around a sub-query -------------------------------------------------------------------


def _is_asked_by_row(own: _Side, other: _Side, asked: Asked) -> bool:
    if asked.reading.item_names.count(other.item.alias) != 1 or other.item.is_hidden:
        return False  # the name may be another's
    link = asked.reading.sublinks.get(id(own.use.select))
    if link in _BY_ROW:
        return True
    # Where few rows ask, an index is better than a join with all rows.
    return link in _PERHAPS_BY_ROW and _begins_index(own, asked) and _is_few(other, asked)
