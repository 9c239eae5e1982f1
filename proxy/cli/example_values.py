"""Is a row that came over the wire the one that an example expects?

Examples are YAML: text, whole and other numbers, true, false, nothing. What a driver makes of a
column's type is compared with that by meaning: `1984-05-17` is the date, `18000.00` the number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from proxy.cli.example_database import Clock
from proxy.policy.testfile import Given, Relative


def rows_differ(
    expected: Sequence[Sequence[Given]], rows: Sequence[Sequence[Any]], clock: Clock
) -> bool:
    """Whether number, order or any value of the rows is another one."""
    return len(expected) != len(rows) or any(
        len(wanted) != len(row)
        or not all(_is_same(w, value, clock) for w, value in zip(wanted, row, strict=True))
        for wanted, row in zip(expected, rows, strict=True)
    )


def rows_text(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as an example would write them."""
    return "[" + ", ".join("[" + ", ".join(map(_text, row)) + "]" for row in rows) + "]"


def _is_same(wanted: Given, value: Any, clock: Clock) -> bool:
    match wanted:
        case None:
            return value is None
        case bool():
            return value is wanted
        case Relative():
            return _is_about(clock.at(wanted), value)
        case int() | Decimal():
            return not isinstance(value, bool) and _is_number(Decimal(wanted), value)
        case str():
            return value is not None and _is_text(wanted, value)


def _is_number(wanted: Decimal, value: Any) -> bool:
    """Text counts too: where no type is said, a key is text here."""
    try:
        return Decimal(str(value)) == wanted
    except InvalidOperation:
        return False


# The rows were made moments before the example runs; no duration of a policy is finer than this.
_ABOUT_S = 60.0


def _is_about(wanted: datetime, value: Any) -> bool:
    if isinstance(value, datetime):
        known = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return abs((known - wanted).total_seconds()) <= _ABOUT_S
    return isinstance(value, date) and value == wanted.astimezone(UTC).date()


def _is_text(wanted: str, value: Any) -> bool:
    if isinstance(value, datetime):
        return _is_instant(wanted, value)
    if isinstance(value, str) and value[:1] in ("{", "["):
        return value == wanted or _is_json(wanted, value)
    return _text(value) == wanted or str(value) == wanted


def _is_instant(wanted: str, value: datetime) -> bool:
    try:
        read = datetime.fromisoformat(wanted)
    except ValueError:
        return False
    if read.tzinfo is None and value.tzinfo is not None:
        read = read.replace(tzinfo=UTC)
    if read.tzinfo is not None and value.tzinfo is None:
        return False
    return read == value


def _is_json(wanted: str, value: str) -> bool:
    try:
        return bool(json.loads(wanted) == json.loads(value))
    except ValueError:
        return False


def _text(value: Any) -> str:
    """A value as YAML or PostgreSQL writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return f"\\x{value.hex()}"
        case Relative(seconds):
            return f"{{{'ago' if seconds < 0 else 'in'}: {abs(seconds)}s}}"
        case list() | tuple():
            return "[" + ", ".join(map(_text, value)) + "]"
        case _:
            return str(value)
