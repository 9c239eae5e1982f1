"""Which mask fits which type: asked when a policy is loaded, so that no statement finds out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

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
from proxy.rewrite.masks_constant import constant_problem
from proxy.rewrite.masks_terms import (
    ADDRESS_TYPES,
    DAY_TYPES,
    NUMBER_TYPES,
    TEXT_TYPES,
    built_in,
    is_array,
)
from proxy.rewrite.masks_values import numeric_digits
from proxy.sql.catalog import ColumnType

# What `redact` gives, as PostgreSQL reads it under every setting.
REDACTED: Final[Mapping[str, str]] = {
    **dict.fromkeys(TEXT_TYPES, "***"),
    **dict.fromkeys(NUMBER_TYPES, "0"),
    "date": "1970-01-01",
    "timestamp": "1970-01-01 00:00:00",
    "timestamptz": "1970-01-01 00:00:00+00",
    "bool": "false",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "json": "null",
    "jsonb": "null",
    "bytea": "",
}

PSEUDONYM_LENGTH: Final = 43  # base64url of 32 bytes, without padding
PSEUDONYM_TYPES: Final = TEXT_TYPES | {"uuid", "int8"}

_DATE: Final = frozenset({"date"})

_CHARACTERS_MAX: Final = 2**31 - 1  # lengths are int4
_AGE_BAND_MAX: Final = 1000  # years: wider than any age
_BUCKET_MAX: Final = 2**63 - 1  # steps are int8


def mask_problem(mask: Mask, column_type: ColumnType) -> str | None:
    """Why the mask does not fit a column of this type; None where it does.

    The text is meant for whoever wrote the policy: it names what was expected.
    """
    match mask:
        case NullMask() | DropMask():
            return None
        case ConstantMask(value=value):
            return constant_problem(value, column_type)
        case RedactMask():
            return _redact_problem(column_type)
        case InitialMask() | EmailMask() | EmailDomainMask():
            return _only(TEXT_TYPES, "text", column_type)
        case FirstMask(n=n) | LastMask(n=n) | PrefixMask(n=n):
            return _only(TEXT_TYPES, "text", column_type) or _bounds(n, _CHARACTERS_MAX)
        case PseudonymMask():
            return _pseudonym_problem(column_type)
        case CutMask():
            return _only(DAY_TYPES, "dates and timestamps", column_type)
        case AgeBandMask(n=n):
            return _only(_DATE, "dates", column_type) or _bounds(n, _AGE_BAND_MAX)
        case BucketMask(n=n):
            return _bucket_problem(column_type, n)
        case IpPrefixMask():
            return _only(ADDRESS_TYPES, "inet and cidr", column_type)
    assert_never(mask)


def _only(types: frozenset[str], expected: str, column_type: ColumnType) -> str | None:
    if built_in(column_type) in types:
        return None
    return f"this mask is for {expected}, not for type {column_type.sql}"


def _bounds(n: int, most: int) -> str | None:
    return None if 1 <= n <= most else f"expected a whole number from 1 to {most}, not {n}"


def _redact_problem(column_type: ColumnType) -> str | None:
    if built_in(column_type) in REDACTED or is_array(column_type):
        return None
    return f"type {column_type.sql} has no value for redact; use null or drop"


def _pseudonym_problem(column_type: ColumnType) -> str | None:
    problem = _only(PSEUDONYM_TYPES, "text, uuid and bigint", column_type)
    if (
        problem is None
        and column_type.max_length is not None
        and column_type.max_length < PSEUDONYM_LENGTH
    ):
        return (
            f"a pseudonym has {PSEUDONYM_LENGTH} characters, more than type {column_type.sql} holds"
        )
    return problem


def _bucket_problem(column_type: ColumnType, n: int) -> str | None:
    problem = _only(NUMBER_TYPES, "numbers", column_type) or _bounds(n, _BUCKET_MAX)
    digits = numeric_digits(column_type) if column_type.base == "numeric" else None
    if problem is None and digits is not None and digits[1] < 0 and n % 10 ** -digits[1]:
        # numeric(3,-2) holds hundreds only: a multiple of 30 would be rounded, perhaps up.
        return f"type {column_type.sql} holds only multiples of {10 ** -digits[1]}, not of {n}"
    return problem
