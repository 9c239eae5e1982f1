"""Conditions of a tool that are put into the guard too, so that they reach an index.

A condition `column = 'x'` on a masked or fenced relation stays where it is and is repeated inside
the guard on the bare column, together with the condition that the cell is in force. It may be
repeated only where that changes no answer:

* it is a top-level AND part of the WHERE of the SELECT whose FROM holds the relation, or of the ON
  of an inner join around it, and the relation is not on the nullable side of an outer join;
* the other side is a constant or a parameter, so that nothing else is evaluated earlier;
* the operator is leakproof for exactly these types, so that it can not fail on a hidden value;
* a row whose cell is not in force can not satisfy it: its mask is NULL, or the mask never gives
  the constant.

The guard is fenced then: without the fence another condition of the tool would be evaluated on
rows chosen by the bare value, and its error would tell (research/rewriting.md, 4.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp

from proxy.policy.decide import Guarded, Shown
from proxy.policy.model import (
    DropMask,
    EmailMask,
    FirstMask,
    LastMask,
    Mask,
    NullMask,
    Policy,
)
from proxy.rewrite.guard import Guard, ShownColumn, column, in_force, joined
from proxy.rewrite.masks_terms import literal, operate
from proxy.sql.catalog import Catalog, ColumnType
from proxy.sql.grammar import Tree
from proxy.sql.read import Reading, RelationUse, names_of

_FLIPPED: Final = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
# Object ids of pg_type.dat: fixed for ever.
_INT4, _INT8, _TEXT, _VARCHAR = 23, 20, 25, 1043
_INTEGERS: Final = frozenset(["int2", "int4", "int8"])
EMAIL_IMAGE_CHARACTERS: Final = 5  # `a***@`
_INT8_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Constant:
    """The other side: how it is printed, its type (0: takes the column's), and all that is decided
    by of its text: plans are shared by statements that differ in literals (`lift.py`).
    """

    expression: exp.Expr
    type_oid: int
    is_plain: bool  # a text, known, and plain


@dataclass(frozen=True, slots=True)
class _Condition:
    column: str
    operator: str
    constants: tuple[_Constant, ...]  # several: IN


def push_down(
    guard: Guard,
    use: RelationUse,
    reading: Reading,
    policy: Policy,
    catalog: Catalog,
    *,
    purpose: str,
    declared_types: Sequence[int],
) -> exp.Select | None:
    """The guard with the conditions that may be repeated in it; None if there are none."""
    if use.is_nullable_side or use.is_hidden or use.has_column_aliases:
        return None
    if guard.relation.is_open_view:
        return None  # a column of it may be an expression that fails on a row that it leaves out
    # A virtual column is an expression as well: it may fail on a row that the guard removes.
    virtual = {each.name for each in guard.relation.columns if each.is_virtual}
    shown = {each.name: each for each in guard.columns if each.name not in virtual}
    if not guard.removes_rows and not any(isinstance(e.verdict, Guarded) for e in guard.columns):
        return None  # PostgreSQL pushes into a plain derived table by itself
    reader = _Reader(use, reading, frozenset(shown), declared_types)
    added: list[exp.Expr] = []
    for condition in reader.conditions():
        each = shown[condition.column]
        if _may_push(each, condition, guard, catalog):
            added.append(_repeat(each, condition))
            if isinstance(each.verdict, Guarded):
                added.append(in_force(policy, purpose, guard.verdict, each.verdict))
    if not added:
        return None
    select = guard.select.copy()
    return select.where(joined(added, exp.And), copy=False).offset(0, copy=False)


def _may_push(each: ShownColumn, condition: _Condition, guard: Guard, catalog: Catalog) -> bool:
    match each.verdict:
        case Shown():
            if not guard.removes_rows:
                return False
        case Guarded(through=None, mask=mask):
            if not all(
                _never_gives(mask, condition.operator, c, each.type) for c in condition.constants
            ):
                return False
        case _:
            return False
    own = _compared_type(each.type)
    return all(
        (condition.operator, own, own if constant.type_oid == 0 else constant.type_oid)
        in catalog.leakproof_operators
        for constant in condition.constants
    )


def _compared_type(type_: ColumnType) -> int:
    """The type that an operator sees: varchar has no operators of its own, it is seen as text."""
    return _TEXT if type_.oid == _VARCHAR else type_.oid


def _never_gives(mask: Mask, operator: str, constant: _Constant, type_: ColumnType) -> bool:
    """Can no masked cell satisfy the condition?"""
    if isinstance(mask, NullMask | DropMask):
        return True  # NULL satisfies no comparison
    if operator != "=" or not constant.is_plain:
        return False
    match mask:
        case EmailMask():
            # The image of `email` is `a***@…` or `***`, unless a short column cuts it.
            return type_.max_length is None or type_.max_length >= EMAIL_IMAGE_CHARACTERS
        case FirstMask() | LastMask():
            return True  # at least half the characters of an image are stars
        case _:
            return False


def is_plain(text: str) -> bool:
    """No image of a mask: images have stars, or are empty (blanks are, in a char(n)).

    This is all that a decision may hang on of a literal's text; `lift.py` relies on that.
    """
    return text.strip(" ") != "" and "*" not in text


def _repeat(each: ShownColumn, condition: _Condition) -> exp.Expr:
    return joined(
        [
            operate(column(each.name, "t"), condition.operator, constant.expression)
            for constant in condition.constants
        ],
        exp.Or,
    )


class _Reader:
    """Finds the conditions on one relation in PostgreSQL's tree."""

    def __init__(
        self,
        use: RelationUse,
        reading: Reading,
        columns: frozenset[str],
        declared_types: Sequence[int],
    ) -> None:
        self._use = use
        self._reading = reading
        self._columns = columns
        self._declared = declared_types
        # An unqualified name is this relation's for sure only if nothing else is in the FROM.
        self._is_alone = use.select.get("fromClause") == [use.holder]

    def conditions(self) -> Iterator[_Condition]:
        sources: list[Tree] = [*self._use.on_conditions]
        if "whereClause" in self._use.select:
            sources.append(self._use.select["whereClause"])
        for source in sources:
            for part in _and_parts(source):
                yield from self._condition(part)

    def _condition(self, part: Tree) -> Iterator[_Condition]:
        node = part.get("A_Expr")
        if node is None:
            return
        names = names_of(node.get("name", []))
        if len(names) > 1 and names[0] != "pg_catalog":
            return
        operator, kind = names[-1], node["kind"]
        left, right = node.get("lexpr"), node.get("rexpr")
        if kind == "AEXPR_OP" and operator in _FLIPPED and left and right:
            yield from self._comparison(left, operator, right)
            yield from self._comparison(right, _FLIPPED[operator], left)
        elif kind == "AEXPR_IN" and operator == "=" and left and isinstance(right, dict):
            yield from self._in(left, right["List"]["items"])
        elif kind == "AEXPR_BETWEEN" and left and isinstance(right, dict):
            low, high = right["List"]["items"]
            yield from self._comparison(left, ">=", low)
            yield from self._comparison(left, "<=", high)

    def _comparison(self, side: Tree, operator: str, other: Tree) -> Iterator[_Condition]:
        name = self._own_column(side)
        constant = self._constant(other)
        if name is not None and constant is not None:
            yield _Condition(name, operator, (constant,))

    def _in(self, side: Tree, items: Sequence[Tree]) -> Iterator[_Condition]:
        name = self._own_column(side)
        constants = [self._constant(item) for item in items]
        known = tuple(constant for constant in constants if constant is not None)
        if name is not None and known and len(known) == len(constants):
            yield _Condition(name, "=", known)

    def _own_column(self, node: Tree) -> str | None:
        reference = node.get("ColumnRef")
        if reference is None or any("String" not in part for part in reference["fields"]):
            return None
        names = names_of(reference["fields"])
        is_own = self._is_alone if len(names) == 1 else names[:-1] == [self._use.alias]
        return names[-1] if is_own and names[-1] in self._columns else None

    def _constant(self, node: Tree) -> _Constant | None:
        if "A_Const" in node:
            return _plain_constant(node["A_Const"])
        if "ParamRef" in node:
            number = node["ParamRef"].get("number", 0)
            declared = self._declared[number - 1] if 0 < number <= len(self._declared) else 0
            if declared == 0 and self._reading.parameters.get(number) != 1:
                return None  # its type may be found at another use, which would come later then
            expression = exp.Parameter(this=exp.Literal.number(number))
            type_oid = _TEXT if declared == _VARCHAR else declared
            return _Constant(expression, type_oid, is_plain=False)
        return None


def _plain_constant(constant: Any) -> _Constant | None:
    if "sval" in constant:
        value = constant["sval"].get("sval", "")
        return _Constant(literal(value), 0, is_plain(value))
    if "ival" in constant:
        value = constant["ival"].get("ival", 0)
        if value < 0:
            return None
        return _Constant(exp.Literal.number(value), _INT4, is_plain=False)
    if "fval" in constant:
        written = constant["fval"].get("fval", "")
        if written.isdigit() and int(written) <= _INT8_MAX:
            return _Constant(exp.Literal.number(written), _INT8, is_plain=False)
    return None


def _and_parts(node: Tree) -> Iterator[Tree]:
    if "BoolExpr" in node and node["BoolExpr"]["boolop"] == "AND_EXPR":
        for part in node["BoolExpr"]["args"]:
            yield from _and_parts(part)
    else:
        yield node
