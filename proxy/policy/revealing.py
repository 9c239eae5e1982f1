"""Masks that hide little of what a column of a type holds: a doubt, never an error."""

from __future__ import annotations

import re
from typing import Final

from proxy.policy.model import (
    AgeBandMask,
    BucketMask,
    CutMask,
    FirstMask,
    LastMask,
    Mask,
    PrefixMask,
)

_WHOLE_NUMBERS: Final = frozenset({"int2", "int4", "int8"})
_DECLARED = re.compile(
    r"([a-z0-9_ ]+?)(?:\(\s*([0-9]+)\s*(?:,[^)]*)?\))?( with(?:out)? time zone)?"
)

# Types as people write them in a policy → PostgreSQL's internal names.
_BASES: Final = {
    "smallint": "int2",
    "integer": "int4",
    "int": "int4",
    "bigint": "int8",
    "decimal": "numeric",
    "real": "float4",
    "double precision": "float8",
    "boolean": "bool",
    "character varying": "varchar",
    "character": "bpchar",
    "char": "bpchar",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
}

# Fewer people share a band or prefix than a mask should leave in doubt.
_BAND_YEARS_MIN: Final = 5
_PREFIX_MAX: Final = 8


def declared_type(text: str) -> tuple[str, int | None]:
    """The internal name and the length of a type as a policy writes it: `varchar(20)`."""
    match = _DECLARED.fullmatch(" ".join(text.lower().split()))
    if match is None:
        return text, None
    name = match[1] + (match[3] or "")
    base = _BASES.get(name, name)
    length = int(match[2]) if match[2] and base in ("varchar", "bpchar") else None
    return base, length


def reveals_much(mask: Mask, base: str, max_length: int | None) -> str | None:
    """Why the mask shows much of a value of type `base` (of at most `max_length` characters)."""
    match mask:
        case CutMask(unit="day") if base == "date":
            return "day leaves a date as it is"
        case CutMask(unit="day" | "week") if base in ("date", "timestamp", "timestamptz"):
            return "a day or a week can single a person out; consider month or year"
        case BucketMask(n=1) if base in _WHOLE_NUMBERS:
            return "bucket(1) leaves whole numbers as they are"
        case AgeBandMask(n=n) if n < _BAND_YEARS_MIN:
            return f"a band of {n} years can single a person out; consider age_band(10)"
        case PrefixMask(n=n) if n > _PREFIX_MAX or _most(n, max_length):
            return f"prefix({n}) shows most of a value"
        case FirstMask(n=n) | LastMask(n=n) if n > _PREFIX_MAX or _most(n, max_length):
            return f"{n} characters, up to half of the value, can single a person out"
        case _:
            return None


def _most(n: int, max_length: int | None) -> bool:
    return max_length is not None and 2 * n >= max_length
