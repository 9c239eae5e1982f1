"""Comparisons with constants: which can not fail or tell, and how they are printed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from proxy.rewrite.conditions import (
    ELEMENTS,
    INT4,
    INT8,
    TEXT,
    UNKNOWN,
    VARCHAR,
    Condition,
    Constant,
)
from proxy.rewrite.guard import Guard, joined
from proxy.rewrite.masks_terms import cast, operate
from proxy.sql.catalog import Catalog, ColumnType


def is_leakproof(condition: Condition, type_: ColumnType, catalog: Catalog) -> bool:
    own = compared_type(type_)
    return all(
        (condition.operator, own, _other_type(constant, own, is_array=condition.is_array))
        in catalog.leakproof_operators
        for constant in condition.constants
    )


def _other_type(constant: Constant, own: int, *, is_array: bool) -> int:
    if constant.type_oid == UNKNOWN:
        return own
    oid = ELEMENTS[constant.type_oid] if is_array else constant.type_oid
    return TEXT if oid == VARCHAR else oid


def compared_type(type_: ColumnType) -> int:
    """The type that an operator sees: varchar has no operators of its own, it is seen as text."""
    return TEXT if type_.oid == VARCHAR else type_.oid


def begins_index(guard: Guard, name: str, catalog: Catalog) -> bool:
    """Is the column the first of an index of the relation?"""
    own = guard.relation.column(name)
    key = (guard.relation.oid, own.attnum if own is not None else 0)
    return own is not None and key in catalog.structure.first_columns


def repeat(value: exp.Expr, type_: ColumnType, condition: Condition) -> exp.Expr:
    constants = condition.constants
    if condition.is_array:
        return _equals_any(value, constants[0].expression)
    if len(constants) > 1 and (element := _element(constants, type_)) is not None:
        array = exp.Array(expressions=[constant.expression.copy() for constant in constants])
        return _equals_any(value, cast(array, f"{element}[]"))
    return joined(
        [operate(value, condition.operator, constant.expression) for constant in constants], exp.Or
    )


def _element(constants: Sequence[Constant], type_: ColumnType) -> str | None:
    """The elements' type of an array of these constants, if one holds them all as they are."""
    types = {constant.type_oid for constant in constants}
    if any(constant.is_parameter for constant in constants):
        return None
    if types == {UNKNOWN}:
        return "text" if type_.base == "varchar" else type_.base
    if types <= {INT4, INT8}:
        return "int8" if INT8 in types else "int4"
    return None


def _equals_any(value: exp.Expr, array: exp.Expr) -> exp.Expr:
    return operate(value, "=", exp.Any(this=exp.Paren(this=array.copy())))
