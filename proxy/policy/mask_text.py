"""Masks as a policy writes them: `email`, `prefix(3)`, `constant(n/a)`, `"null"`."""

from __future__ import annotations

import re
from collections.abc import Callable
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

_PLAIN: Final[dict[str, Mask]] = {
    "null": NullMask(),
    "drop": DropMask(),
    "redact": RedactMask(),
    "initial": InitialMask(),
    "email": EmailMask(),
    "email_domain": EmailDomainMask(),
    "last4": LastMask(4),
    "pseudonym": PseudonymMask(),
    "year": CutMask("year"),
    "month": CutMask("month"),
    "week": CutMask("week"),
    "day": CutMask("day"),
    "ip_prefix": IpPrefixMask(),
}

_PLAIN_TEXT: Final = {mask: name for name, mask in _PLAIN.items()}

# The mask's maker and the largest n. Texts: more than any column shows; bands: a lifetime;
# buckets: what bigint holds.
_NUMBERED: Final[dict[str, tuple[Callable[[int], Mask], int]]] = {
    "first": (FirstMask, 10_000),
    "last": (LastMask, 10_000),
    "prefix": (PrefixMask, 10_000),
    "age_band": (AgeBandMask, 150),
    "bucket": (BucketMask, 2**63 - 1),
}

_CALL = re.compile(r"([a-z_0-9]+)\((.*)\)", re.DOTALL)
_NUMBER = re.compile(r"[1-9][0-9]{0,18}")

MASK_NAMES: Final = (*_PLAIN, *(f"{name}(n)" for name in _NUMBERED), "constant(v)")
EXPECTED: Final = "expected a mask: " + ", ".join(
    '"null" in quotes' if name == "null" else name for name in MASK_NAMES
)


def parse_mask(text: str) -> Mask:
    """The mask that `text` writes. ValueError tells what was expected."""
    plain = _PLAIN.get(text)
    if plain is not None:
        return plain
    call = _CALL.fullmatch(text)
    if call is None:
        raise ValueError(f"unknown mask {text!r}; {EXPECTED}")
    name, argument = call[1], call[2]
    if name == "constant":
        # PostgreSQL's text holds every character but this one.
        if "\0" in argument:
            raise ValueError("a constant can not hold a zero character")
        return ConstantMask(argument)
    if name not in _NUMBERED:
        raise ValueError(f"unknown mask {text!r}; {EXPECTED}")
    make, largest = _NUMBERED[name]
    if not _NUMBER.fullmatch(argument) or int(argument) > largest:
        raise ValueError(f"expected {name}(n) with a whole number from 1 to {largest}")
    return make(int(argument))


def mask_text(mask: Mask) -> str:
    """The mask as a policy writes it; `parse_mask` reads it back as the same mask."""
    match mask:
        case ConstantMask(value):
            return f"constant({value})"
        case FirstMask(n):
            return f"first({n})"
        case LastMask(n):
            return "last4" if n == 4 else f"last({n})"
        case PrefixMask(n):
            return f"prefix({n})"
        case AgeBandMask(n):
            return f"age_band({n})"
        case BucketMask(n):
            return f"bucket({n})"
        case CutMask(unit):
            return unit
        case (
            NullMask()
            | DropMask()
            | RedactMask()
            | InitialMask()
            | EmailMask()
            | EmailDomainMask()
            | PseudonymMask()
            | IpPrefixMask()
        ):
            return _PLAIN_TEXT[mask]
        case _:
            assert_never(mask)
