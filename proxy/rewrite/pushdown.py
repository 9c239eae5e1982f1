"""Conditions of a tool that are put into the guard too, so that they reach an index.

A condition `column = 'x'` on a masked or fenced relation stays where it is and is repeated inside
the guard on the bare column, together with the condition that the cell is in force. It may be
repeated only where that changes no answer:

* it holds for every row that plays a part in the answer (`conditions.py` finds such conditions);
* the other side is a constant or a parameter, so that nothing else is evaluated earlier;
* the operator is leakproof for exactly these types, so that it can not fail on a hidden value;
* a row whose cell is not in force can not fulfil it: its mask is NULL, or never gives the constant.
  Where the mask may give it, a second arm of the guard answers for the rows that show their mask,
  started only if the value can be an image of the mask (`images.py`).

The guard is fenced then: without the fence another condition of the tool would be evaluated on
rows chosen by the bare value, and its error would tell (research/rewriting.md, 4.2). A fence keeps
conditions of open columns out as well, and join keys, and the order that an index has: those are
repeated inside (`join_keys.py`, `order.py`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp

from proxy.policy.decide import Guarded, Shown
from proxy.policy.model import DropMask, Mask, NullMask
from proxy.rewrite.asked import Asked
from proxy.rewrite.comparisons import begins_index, is_leakproof, repeat
from proxy.rewrite.conditions import Condition, Conditions, is_alone, is_plain
from proxy.rewrite.guard import Guard, ShownColumn, column, fenced, in_force, joined
from proxy.rewrite.images import may_be_image, may_be_image_in, never_plain
from proxy.rewrite.join_keys import JoinKeys, join_keys
from proxy.rewrite.masks_terms import number_of
from proxy.rewrite.order import index_order
from proxy.sql.catalog import Catalog, ColumnType
from proxy.sql.read import RelationUse

__all__ = ["is_plain", "push_down"]

# How often the second arm's rows are put under a LIMIT of which the planner knows nothing. It takes
# each for a tenth of the rows and of their cost. Without them it would make a plan for every
# execution, because the arm, though hardly ever started, seems dear (measured: 0.16 ms instead of
# 0.02 on 1 M rows). Six make one row of a million.
_LIMITS: Final = 6


# What guards call their relations (guard.py).
_GUARDS_OWN: Final = re.compile(r"t|[kh][0-9]+")


@dataclass(slots=True)
class _Pushed:
    """What is repeated in a guard."""

    conditions: list[exp.Expr] = field(default_factory=list)
    split: _Split | None = None
    is_found: bool = False  # by an index, for one value
    order: list[exp.Ordered] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Split:
    """Rows that show the value, and rows that show their mask: which of each, and whether any."""

    shown: list[exp.Expr]
    masked: list[exp.Expr]
    is_image: exp.Expr


@dataclass(frozen=True, slots=True)
class PushedDown:
    """A guard with what is repeated in it; LATERAL where that names another FROM item."""

    query: exp.Query
    is_lateral: bool = False


def push_down(guard: Guard, use: RelationUse, asked: Asked) -> PushedDown | None:
    """The guard with what may be repeated in it; None if there is nothing."""
    pushed = _pushed(guard, use, asked)
    if pushed is None:
        return None
    keys = JoinKeys()
    if not pushed.is_found:
        keys = join_keys(guard, use, asked, _push_constants)
        pushed.conditions += keys.conditions
    query = _query(guard, pushed)
    if query is None:
        return None
    _give_way(query, keys.names)
    return PushedDown(_kept(query) if keys.is_among else query, keys.is_lateral)


def _give_way(query: exp.Query, names: Collection[str]) -> None:
    """Where the statement calls an item as the guard calls one of its own, the guard's is renamed:
    the statement's name would mean the bare columns there. Only the guard's names have no quotes.
    """
    own = [name for name in names if _GUARDS_OWN.fullmatch(name)]
    longest = max(map(len, names), default=0)
    for each in query.find_all(exp.Identifier) if own else ():
        if each.this in own and not each.args.get("quoted"):
            each.set("this", each.this.ljust(longest + 1, "_"))


def _push_constants(guard: Guard, use: RelationUse, asked: Asked) -> exp.Query | None:
    pushed = _pushed(guard, use, asked)
    return None if pushed is None else _query(guard, pushed)


def _pushed(guard: Guard, use: RelationUse, asked: Asked) -> _Pushed | None:
    """What compares with constants, and the order; None for a guard that needs no help."""
    if guard.relation.is_open_view:
        return None  # a column of it may be an expression that fails on a row that it leaves out
    if not guard.removes_rows and not any(isinstance(e.verdict, Guarded) for e in guard.columns):
        return None  # PostgreSQL pushes into a plain derived table by itself
    pushed = _masked_conditions(guard, use, asked)
    if not guard.removes_rows and not pushed.conditions and pushed.split is None:
        return None
    pushed.conditions += _open_conditions(guard, use, asked)
    pushed.order = index_order(guard, use, asked.catalog)
    return pushed


def _query(guard: Guard, pushed: _Pushed) -> exp.Query | None:
    if pushed.split is not None:
        return _two_arms(guard, pushed.conditions, pushed.split)
    if not pushed.conditions and not pushed.order:
        return None
    select = _with(guard, pushed.conditions)
    if pushed.order:
        select.set("order", exp.Order(expressions=pushed.order))
    return fenced(select)


def _kept(query: exp.Query) -> exp.Query:
    """The rows, made once: where the planner expects one row of the other relation, because it
    counts a condition inside and outside of the other guard, it would make them for each.
    """
    name = exp.TableAlias(this=exp.to_identifier("g"))
    rows = exp.CTE(this=query, alias=name, materialized=True)
    outer = exp.Select(expressions=[exp.Star()]).from_("g", copy=False)
    outer.set("with_", exp.With(expressions=[rows]))
    return outer


def _with(guard: Guard, conditions: Iterable[exp.Expr]) -> exp.Select:
    select = guard.select.copy()
    select.set("offset", None)
    added = list(conditions)
    return select.where(joined(added, exp.And), copy=False) if added else select


def _bare_columns(guard: Guard) -> dict[str, ShownColumn]:
    # A virtual column is an expression: it may fail on a row that the guard removes.
    virtual = {each.name for each in guard.relation.columns if each.is_virtual}
    return {each.name: each for each in guard.columns if each.name not in virtual}


def _conditions(guard: Guard, use: RelationUse, asked: Asked) -> Iterator[Condition]:
    columns = frozenset(_bare_columns(guard))
    return Conditions(asked.reading, asked.declared_types).of(use, columns)


# --- masked columns -------------------------------------------------------------------------------


def _masked_conditions(guard: Guard, use: RelationUse, asked: Asked) -> _Pushed:
    shown = _bare_columns(guard)
    pushed = _Pushed()
    splits: list[_Split] = []
    for condition in _conditions(guard, use, asked):
        each = shown[condition.column]
        is_equality = condition.operator == "="
        is_found = is_equality and begins_index(guard, each.name, asked.catalog)
        if not isinstance(each.verdict, Guarded):
            pushed.is_found |= is_found and isinstance(each.verdict, Shown)
            continue
        if not is_equality and not guard.removes_rows and not is_alone(use):
            continue  # a fence for a range would cost more than it finds: a join's keys
        if _may_push(each, condition, guard, asked.catalog):
            bare = repeat(column(each.name, "t"), each.type, condition)
            grant = in_force(
                asked.policy, asked.catalog, asked.purpose, guard.verdict, each.verdict
            )
            pushed.conditions += [bare, grant]
            pushed.is_found |= is_found
        elif (split := _split(each, condition, guard, asked)) is not None:
            splits.append(split)
    if splits and not pushed.is_found:
        pushed.split, pushed.is_found = splits[0], True
    return pushed


def _may_push(each: ShownColumn, condition: Condition, guard: Guard, catalog: Catalog) -> bool:
    """May the condition be repeated as one on the bare column, where the cell is in force?"""
    match each.verdict:
        case Guarded(through=None, mask=mask):
            is_hidden = not _shows_masks(guard, each.verdict) or _never_gives(
                mask, condition, each, guard
            )
            return is_hidden and is_leakproof(condition, each.type, catalog)
        case _:
            return False


def _shows_masks(guard: Guard, verdict: Guarded) -> bool:
    """Has the guard rows that show the mask? Not where all rows left in are in force anyway."""
    return not guard.verdict.is_consented_only or verdict.sensitive is not None


def _never_gives(mask: Mask, condition: Condition, each: ShownColumn, guard: Guard) -> bool:
    """Can no masked cell fulfil the condition?"""
    if isinstance(mask, NullMask | DropMask):
        return True  # NULL fulfils no comparison
    return (
        condition.operator == "="
        and all(constant.is_plain for constant in condition.constants)
        and never_plain(mask, each.type)
        and _is_bytewise(each, guard)
    )


def _is_bytewise(each: ShownColumn, guard: Guard) -> bool:
    """Are two texts equal only if their bytes are? Some collations pass over case or stars."""
    own = guard.relation.column(each.name)
    return own is not None and own.is_deterministic


def _split(each: ShownColumn, condition: Condition, guard: Guard, asked: Asked) -> _Split | None:
    verdict = each.verdict
    if not isinstance(verdict, Guarded) or verdict.through is not None:
        return None
    if condition.operator != "=" or not _is_bytewise(each, guard):
        return None
    if not is_leakproof(condition, each.type, asked.catalog):
        return None
    is_image = _is_image(verdict.mask, each.type, condition)
    if is_image is None:
        return None
    grant = in_force(asked.policy, asked.catalog, asked.purpose, guard.verdict, verdict)
    shown = [repeat(column(each.name, "t"), each.type, condition), grant]
    is_masked = exp.Not(this=exp.Is(this=exp.Paren(this=grant.copy()), expression=exp.true()))
    return _Split(shown, [is_image, is_masked], is_image)


def _is_image(mask: Mask, type_: ColumnType, condition: Condition) -> exp.Expr | None:
    tests: list[exp.Expr] = []
    for constant in condition.constants:
        test = (may_be_image_in if condition.is_array else may_be_image)(
            mask, type_, constant.expression
        )
        if test is None:
            return None
        tests.append(test)
    return joined(tests, exp.Or)


def _two_arms(guard: Guard, conditions: Sequence[exp.Expr], split: _Split) -> exp.Query:
    shown = _with(guard, [*conditions, *split.shown])
    masked: exp.Select = _with(guard, [*conditions, *split.masked])
    for _ in range(_LIMITS):
        masked = _limited(masked, split.is_image)
    both = exp.Union(this=shown, expression=exp.Subquery(this=masked), distinct=False)
    return fenced(both)


def _limited(select: exp.Select, is_wanted: exp.Expr) -> exp.Select:
    limit = exp.Case(
        ifs=[exp.If(this=is_wanted.copy(), true=exp.Null())], default=number_of("int8", 0)
    )
    inner = exp.Subquery(
        this=select, alias=exp.TableAlias(this=exp.Identifier(this="a", quoted=False))
    )
    return exp.Select(expressions=[exp.Star()]).from_(inner).limit(limit, copy=False)


# --- open columns of a fenced guard ---------------------------------------------------------------


def _open_conditions(guard: Guard, use: RelationUse, asked: Asked) -> Iterator[exp.Expr]:
    shown = _bare_columns(guard)
    for condition in _conditions(guard, use, asked):
        each = shown[condition.column]
        if isinstance(each.verdict, Shown) and is_leakproof(condition, each.type, asked.catalog):
            yield repeat(column(each.name, "t"), each.type, condition)
