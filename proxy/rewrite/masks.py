"""What is shown instead of a value: masks as SQL expressions, and which mask fits which type.

policy-language.md, "Masks", says what each mask gives. For every value of a column's type, a mask
gives a value and never an error; it never casts a column's text to another type; nothing in it
depends on a setting, a locale or a search path; it holds no sub-select, aggregate or volatile
function, and its constants can not fail when the planner folds them. So a masked cell tells no
more than its mask, whatever a statement does with it.

`mask_problem` (from masks_fit.py) must have said None before a mask is turned into SQL.
"""

from __future__ import annotations

from typing import assert_never

from sqlglot import exp

from proxy.consent import names
from proxy.errors import InvariantError
from proxy.policy.decide import Absent, ColumnVerdict, Guarded, Masked, Shown
from proxy.policy.model import (
    AgeBandMask,
    BucketMask,
    ConstantMask,
    CutMask,
    DropMask,
    EmailDomainMask,
    EmailMask,
    FirstMask,
    InitialMask,
    IpPrefixMask,
    LastMask,
    Mask,
    NullMask,
    PrefixMask,
    PseudonymMask,
    RedactMask,
)
from proxy.rewrite import masks_text, masks_values
from proxy.rewrite.masks_fit import REDACTED, mask_problem
from proxy.rewrite.masks_terms import (
    TEXT,
    cast,
    cast_to,
    is_array,
    literal,
    qualified_call,
    text,
)
from proxy.sql.catalog import ColumnType

__all__ = [
    "column_type_shown",
    "mask_expression",
    "mask_problem",
    "masked_type",
    "shown_expression",
]

# The functions of schema `consent` that hold the key (one per type: text, uuid, bigint).
PSEUDONYM = "pseudonym"
PSEUDONYM_UUID = "pseudonym_uuid"
PSEUDONYM_BIGINT = "pseudonym_bigint"


def masked_type(mask: Mask, column_type: ColumnType) -> ColumnType:
    """The type a column has under the mask: its own, but text under `age_band`."""
    return TEXT if isinstance(mask, AgeBandMask) else column_type


def column_type_shown(verdict: ColumnVerdict, column_type: ColumnType) -> ColumnType:
    """The type of a column of a guard, for all its rows.

    A column that some rows show through `age_band` is text in the others too.
    """
    match verdict:
        case Shown() | Absent():
            return column_type
        case Masked(mask=mask):
            return masked_type(mask, column_type)
        case Guarded(through=through, mask=mask):
            own = column_type if through is None else masked_type(through, column_type)
            return masked_type(mask, own)
    assert_never(verdict)


def shown_expression(
    mask: Mask | None,
    column: exp.Expr,
    column_type: ColumnType,
    shown: ColumnType,
    *,
    tool: str,
    purpose: str,
) -> exp.Expr:
    """One branch of a guard's cell, of exactly type `shown` (of `column_type_shown`).

    `mask` None is the value itself. Where a date's column is text for the sake of `age_band`, what
    would be a date is its ISO 8601 text.
    """
    if mask is None:
        value = column.copy()
    else:
        value = mask_expression(mask, column, column_type, tool=tool, purpose=purpose)
    own = column_type if mask is None else masked_type(mask, column_type)
    if own == shown:
        # The value itself needs no cast: it is a column of exactly this type.
        return value if mask is None else cast_to(value, shown)
    if own.base == "date" and shown == TEXT:
        return cast_to(masks_values.date_as_text(cast_to(value, own)), TEXT)
    raise InvariantError("a mask changes a type that it does not fit")


def mask_expression(
    mask: Mask, column: exp.Expr, column_type: ColumnType, *, tool: str, purpose: str
) -> exp.Expr:
    """The masked value of `column`, to be cast to `masked_type(mask, column_type)`.

    `column` is a plain column reference and is copied. The cast cuts text to the column's length;
    it can not fail. A `drop` that reaches an expression is NULL: only some rows lose the column.
    """
    match mask:
        case NullMask() | DropMask():
            return _null(column_type)
        case ConstantMask(value=value):
            return cast_to(literal(value), column_type)
        case RedactMask():
            return cast_to(
                literal("{}" if is_array(column_type) else REDACTED[column_type.base]), column_type
            )
        case (
            InitialMask()
            | EmailMask()
            | EmailDomainMask()
            | FirstMask()
            | LastMask()
            | PrefixMask()
        ):
            return _text_mask(mask, masks_text.as_text(column, column_type.base))
        case PseudonymMask():
            # A tool's name holds no `/` (the policy says so): two pairs never make one context.
            return _pseudonym(column, column_type, text(f"{tool}/{purpose}"))
        case CutMask(unit=unit):
            return masks_values.cut(column, column_type.base, unit)
        case AgeBandMask(n=n):
            return masks_values.age_band(column, n)
        case BucketMask(n=n):
            return masks_values.bucket(column, column_type, n)
        case IpPrefixMask():
            return masks_values.ip_prefix(column)
    assert_never(mask)


def _null(column_type: ColumnType) -> exp.Expr:
    if column_type.kind != "d":
        return exp.Null()
    # A cast of NULL to a domain fails where the domain is NOT NULL. A missing element of an array
    # of the domain is a NULL of the domain's type that nothing checks.
    nothing = exp.Cast(
        this=exp.Literal.string("{}"),
        to=exp.DataType(this=exp.DType.USERDEFINED, kind=f"{column_type.sql}[]"),
    )
    return exp.Bracket(this=exp.Paren(this=nothing), expressions=[exp.Literal.number(1)], offset=1)


def _text_mask(
    mask: InitialMask | EmailMask | EmailDomainMask | FirstMask | LastMask | PrefixMask,
    value: exp.Expr,
) -> exp.Expr:
    match mask:
        case InitialMask():
            return masks_text.initial(value)
        case EmailMask():
            return masks_text.email(value)
        case EmailDomainMask():
            return masks_text.email_domain(value)
        case FirstMask(n=n):
            return masks_text.first(value, n)
        case LastMask(n=n):
            return masks_text.last(value, n)
        case PrefixMask(n=n):
            return masks_text.prefix(value, n)
    assert_never(mask)


def _pseudonym(column: exp.Expr, column_type: ColumnType, context: exp.Expr) -> exp.Expr:
    match column_type.base:
        case "uuid":
            return qualified_call(names.SCHEMA, PSEUDONYM_UUID, context, column)
        case "int8":
            return qualified_call(names.SCHEMA, PSEUDONYM_BIGINT, context, column)
        case _:
            value = masks_text.as_text(column, column_type.base)
            return qualified_call(names.SCHEMA, PSEUDONYM, context, cast(value, "text"))
