"""Whether a `constant(v)` is a value of a column's type, decided without a database.

Accepted is only text that PostgreSQL certainly reads, as the same value under every setting, and
without changing it (no rounding, no cutting). So this is stricter than PostgreSQL: dates are
ISO 8601, times with a zone carry an offset, numbers are decimal. Types whose values can not be
checked here (enums, domains, arrays, intervals, …) have no constants.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

from proxy.rewrite.masks_terms import TEXT_TYPES, built_in
from proxy.rewrite.masks_values import numeric_digits
from proxy.sql.catalog import ColumnType

# A constant stands in every statement that is rewritten; nobody needs a long one.
_CHARACTERS_MAX: Final = 1000
_NAME_BYTES_MAX: Final = 63  # type name: NAMEDATALEN - 1
_EXPONENT_MAX: Final = 300  # inside what every number type but float4 can hold
_NESTING_MAX: Final = 50  # of JSON: far below PostgreSQL's and Python's stacks
# From the least normal number: a smaller one is not read alike on every platform.
_FLOAT_RANGE: Final[Mapping[str, tuple[Decimal, Decimal]]] = {
    "float4": (Decimal("1.2e-38"), Decimal("3.4e38")),
    "float8": (Decimal("2.3e-308"), Decimal("1.7e308")),
}

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.(?P<fraction>[0-9]{1,6}))?)?"
_TIMESTAMP: Final = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T]{_TIME}")
_TIMESTAMPTZ: Final = re.compile(rf"{_TIMESTAMP.pattern}(?P<zone>Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BYTEA: Final = re.compile(r"\\x([0-9a-fA-F]{2})*")
_ADDRESS: Final = re.compile(r"[0-9a-fA-F:.]+(/[0-9]{1,3})?")
_BOOLEANS: Final = frozenset(
    {"true", "false", "t", "f", "yes", "no", "y", "n", "on", "off", "1", "0"}
)
_INTEGER_BITS: Final[Mapping[str, int]] = {"int2": 16, "int4": 32, "int8": 64}


def constant_problem(value: str, column_type: ColumnType) -> str | None:
    """Why `value` can not stand for a column of this type; None where it can."""
    base = built_in(column_type) or ""
    if base not in _FORMS and base not in _FITS:
        return f"constants of type {column_type.sql} can not be checked; use null or drop"
    if len(value) > _CHARACTERS_MAX:
        return f"a constant has at most {_CHARACTERS_MAX} characters"
    if "\0" in value or not _is_unicode(value):
        return "not a text that PostgreSQL can hold"
    expected = _FORMS[base](value) if base in _FORMS else _FITS[base](value, column_type)
    return None if expected is None else f"expected {expected}"


def _is_unicode(value: str) -> bool:
    """Whether UTF-8 can say it (a lone surrogate can not be said)."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# Each check answers what was expected, or None where the value is right.


def _text(value: str, column_type: ColumnType) -> str | None:
    if column_type.base == "name" and len(value.encode()) > _NAME_BYTES_MAX:
        return f"at most {_NAME_BYTES_MAX} bytes"
    if column_type.max_length is not None and len(value) > column_type.max_length:
        return f"at most {column_type.max_length} characters, for type {column_type.sql}"
    return None


def _integer(value: str, column_type: ColumnType) -> str | None:
    half = 2 ** (_INTEGER_BITS[column_type.base] - 1)
    if _INTEGER.fullmatch(value) and -half <= int(value) < half:
        return None
    return f"a whole number from {-half} to {half - 1}"


def _decimal(value: str) -> Decimal | None:
    if not _DECIMAL.fullmatch(value):
        return None
    number = Decimal(value)
    is_small = number == 0 or -_EXPONENT_MAX <= number.adjusted() <= _EXPONENT_MAX
    exponent = number.as_tuple().exponent
    # Zeros with an exponent, and many digits after a small number, are bounded as well.
    is_short = isinstance(exponent, int) and -_CHARACTERS_MAX <= exponent <= _EXPONENT_MAX
    return number if is_small and is_short else None


def _numeric(value: str, column_type: ColumnType) -> str | None:
    number = _decimal(value)
    if number is None:
        return "a decimal number"
    digits = numeric_digits(column_type)
    if digits is None or number == 0:
        return None
    precision, scale = digits
    is_exact = (Fraction(number) * Fraction(10) ** scale).denominator == 1
    if is_exact and number.adjusted() < precision - scale:
        return None
    return f"a number that type {column_type.sql} holds exactly"


def _float(value: str, column_type: ColumnType) -> str | None:
    number = _decimal(value)
    least, most = _FLOAT_RANGE[column_type.base]
    if number is not None and (number == 0 or least <= abs(number) <= most):
        return None
    return f"a decimal number, in the range of type {column_type.sql}"


def _boolean(value: str) -> str | None:
    return None if value.isascii() and value.lower() in _BOOLEANS else "true or false"


def _date(value: str) -> str | None:
    if _DATE.fullmatch(value) and _is_read_by(dt.date.fromisoformat, value):
        return None
    return "a date as 2026-01-31"


def _timestamp(value: str, column_type: ColumnType) -> str | None:
    return _instant(value, column_type, _TIMESTAMP, "2026-01-31 23:59:59")


def _timestamptz(value: str, column_type: ColumnType) -> str | None:
    return _instant(value, column_type, _TIMESTAMPTZ, "2026-01-31 23:59:59+01:00")


def _instant(
    value: str, column_type: ColumnType, form: re.Pattern[str], example: str
) -> str | None:
    match = form.fullmatch(value)
    if match is None or not _is_read_by(dt.datetime.fromisoformat, value):
        return f"a time as {example}"
    fraction = match["fraction"] or ""
    if 0 <= column_type.typmod < len(fraction.rstrip("0")):
        return f"at most {column_type.typmod} digits of a second, for type {column_type.sql}"
    return None


def _uuid(value: str) -> str | None:
    return None if _UUID.fullmatch(value) else "a uuid as 00000000-0000-0000-0000-000000000000"


def _bytea(value: str) -> str | None:
    return None if _BYTEA.fullmatch(value) else r"bytes as \x00ff"


def _inet(value: str) -> str | None:
    if _ADDRESS.fullmatch(value) and _is_read_by(ipaddress.ip_interface, value):
        return None
    return "an address as 203.0.113.7 or 2001:db8::1, perhaps with /length"


def _cidr(value: str) -> str | None:
    if _ADDRESS.fullmatch(value) and _is_read_by(ipaddress.ip_network, value):
        return None
    return "a network as 203.0.113.0/24, no bits set to the right of its length"


def _is_read_by(read: Callable[[str], object], value: str) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True


def _json(value: str) -> str | None:
    try:
        document = json.loads(
            value, parse_constant=_refuse_json, parse_int=_json_number, parse_float=_json_number
        )
    except (ValueError, RecursionError):
        return "JSON"
    return None if _is_plain_json(document, _NESTING_MAX) else "JSON of plain values"


def _refuse_json(_: str) -> object:
    raise ValueError("NaN and Infinity are not JSON")


def _json_number(number: str) -> object:
    if _decimal(number) is None:
        raise ValueError("a number that not every reader of JSON holds")
    return number


def _is_plain_json(document: object, depth: int) -> bool:
    """No escaped NUL or lone surrogate, which jsonb can not hold, and not too deep."""
    if isinstance(document, str):
        return "\0" not in document and _is_unicode(document)
    if isinstance(document, dict):
        return depth > 0 and all(
            _is_plain_json(part, depth - 1) for pair in document.items() for part in pair
        )
    if isinstance(document, list):
        return depth > 0 and all(_is_plain_json(part, depth - 1) for part in document)
    return True


# Types whose values have one form, and types where the modifier or range counts as well.
_FORMS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "bool": _boolean,
    "date": _date,
    "uuid": _uuid,
    "bytea": _bytea,
    "inet": _inet,
    "cidr": _cidr,
    "json": _json,
    "jsonb": _json,
}
_FITS: Final[Mapping[str, Callable[[str, ColumnType], str | None]]] = {
    **dict.fromkeys(TEXT_TYPES, _text),
    **dict.fromkeys(_INTEGER_BITS, _integer),
    **dict.fromkeys(_FLOAT_RANGE, _float),
    "numeric": _numeric,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
}
