"""Which values can be the image of a mask: `a***@example.com` can, `ana@example.com` can not.

A condition on a masked column is answered by an index for the rows that show their value; the rows
that show their mask need a scan, which is spared where the wanted value is no image. Only for
masks of text; a test that is true too often costs time, one that is false too often would lose
rows (tests/rewrite/test_images.py asks the database).
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from proxy.policy.model import (
    ConstantMask,
    EmailDomainMask,
    EmailMask,
    FirstMask,
    InitialMask,
    LastMask,
    Mask,
    PrefixMask,
    PseudonymMask,
    RedactMask,
)
from proxy.rewrite.masks_fit import PSEUDONYM_LENGTH
from proxy.rewrite.masks_terms import call, cast, number, operate, text
from proxy.rewrite.masks_text import HIDDEN
from proxy.sql.catalog import ColumnType

EMAIL_IMAGE_CHARACTERS: Final = 5  # `a***@`
_TEXTS: Final = frozenset({"text", "varchar", "bpchar"})


def never_plain(mask: Mask, type_: ColumnType) -> bool:
    """Is no image of the mask a plain text (`conditions.is_plain`)?"""
    match mask:
        case EmailMask():
            return _holds_email(type_)
        case FirstMask() | LastMask():
            return True  # at least half the characters of an image are stars
        case _:
            return False


def may_be_image(mask: Mask, type_: ColumnType, value: exp.Expr) -> exp.Expr | None:
    """A condition that is true for every value that can be an image; None: nothing is known.

    `value` is an expression of the column's type, or of text; its collation has to be one that
    calls equal only what is equal byte by byte.
    """
    if type_.schema != "pg_catalog" or type_.base not in _TEXTS:
        return None
    value = cast(value, "text")  # a char(n) without its padding
    match mask:
        case EmailMask() if _holds_email(type_):
            return _has(value, "*")
        case FirstMask() | LastMask():
            return exp.Or(this=_has(value, "*"), expression=_is_within(value, 0))
        case InitialMask():
            return _is_within(value, 2)
        case PrefixMask(n=n):
            return _is_within(value, max(n, len(HIDDEN)))
        case EmailDomainMask():
            return operate(call("strpos", value, text("@")), "=", number(0))
        case RedactMask():
            return _is_within(value, len(HIDDEN))
        case ConstantMask(value=constant):
            return _is_within(value, len(constant))
        case PseudonymMask():
            return operate(call("length", value), "=", number(PSEUDONYM_LENGTH))
        case _:
            return None


def may_be_image_in(mask: Mask, type_: ColumnType, array: exp.Expr) -> exp.Expr | None:
    """The same for an array: true if one of its elements can be an image."""
    if type_.schema != "pg_catalog" or type_.base not in _TEXTS:
        return None
    elements = cast(array, "text[]")
    has_star = _has(call("array_to_string", elements, text("")), "*")
    match mask:
        case EmailMask() if _holds_email(type_):
            return has_star
        case FirstMask() | LastMask():
            has_empty = operate(text(""), "=", exp.Any(this=exp.Paren(this=elements)))
            return exp.Or(this=has_star, expression=has_empty)
        case _:
            return None


def _holds_email(type_: ColumnType) -> bool:
    # A shorter column cuts the stars off.
    return type_.max_length is None or type_.max_length >= EMAIL_IMAGE_CHARACTERS


def _has(value: exp.Expr, part: str) -> exp.Expr:
    return operate(call("strpos", value, text(part)), ">", number(0))


def _is_within(value: exp.Expr, characters: int) -> exp.Expr:
    return operate(call("length", value), "<=", number(characters))
