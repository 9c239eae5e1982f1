"""Masks of dates, numbers and network addresses, as expressions.

PostgreSQL's own functions fail at the edges of their types (`date_trunc` before 4713 BC, a cast
of a far date to timestamp, a product that is too large); each mask stays clear of those edges by
a condition before, never by arithmetic that could fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from proxy.rewrite.masks_terms import (
    FLOAT_TYPES,
    INTEGER_TYPES,
    both,
    call,
    case,
    cast,
    concat,
    number,
    number_of,
    operate,
    text,
)
from proxy.sql.catalog import ColumnType

# After so many days, 400 years, the calendar begins again: leap years and weekdays alike.
_CALENDAR_DAYS: Final = 146_097
_EPOCH: Final = "2000-01-01"
# The first day PostgreSQL knows (Julian day 0, a Monday): as far down as anything can be cut.
_FIRST_DAY: Final = "4714-11-24"
# Before these days the start of the month or year is not a date any more.
_FIRST_START: Final[Mapping[str, str]] = {"month": "4714-12-01", "year": "4713-01-01"}
# date_part()'s name for "which day of the unit is it, counted from 1"; weeks start on Monday.
_DAY_OF: Final[Mapping[str, str]] = {"year": "doy", "month": "day", "week": "isodow"}

_MIN: Final[Mapping[str, int]] = {"int2": -(2**15), "int4": -(2**31), "int8": -(2**63)}
# Beyond these a float can not hold every integer: a multiple of n might be rounded to another
# number, even to one above the value.
_EXACT: Final[Mapping[str, int]] = {"float4": 2**24, "float8": 2**53}
# A numeric holds 131,072 digits before the point; one digit less, and no sum can overflow.
_NUMERIC_DIGITS: Final = 131071

_IPV4_SHOWN: Final = 24
_IPV6_SHOWN: Final = 48


# --- dates -----------------------------------------------------------------------------------


def cut(column: exp.Expr, base: str, unit: str) -> exp.Expr:
    """Cut down to the unit, in UTC. Infinity stays; below the first full unit: the first day."""
    if base == "date" and unit == "day":
        return column.copy()
    kept_as_it_is = (exp.Not(this=call("isfinite", column)), column)
    start = _cut_date(column, unit) if base == "date" else _cut_instant(column, base, unit)
    if unit not in _FIRST_START:
        return case(kept_as_it_is, default=start)
    is_too_early = operate(column, "<", _before_christ(base, _FIRST_START[unit]))
    return case(kept_as_it_is, (is_too_early, _before_christ(base, _FIRST_DAY)), default=start)


def _before_christ(base: str, day: str) -> exp.Expr:
    zone = "+00" if base == "timestamptz" else ""
    time = "" if base == "date" else f" 00:00:00{zone}"
    return cast(exp.Literal.string(f"{day}{time} BC"), base)


def _cut_date(column: exp.Expr, unit: str) -> exp.Expr:
    # date_trunc has no form for dates: it takes them for timestamps, of which there are fewer.
    return operate(column, "-", operate(_field(_DAY_OF[unit], column, "int4"), "-", number(1)))


def _field(name: str, date: exp.Expr, base: str) -> exp.Expr:
    # extract(text, date), which reads dates themselves, is PostgreSQL's since 14 only. Of a far
    # date the same day of another cycle of the calendar is asked: it is a timestamp, too.
    epoch = cast(exp.Literal.string(_EPOCH), "date")
    days = call("mod", operate(date, "-", epoch), number(_CALENDAR_DAYS))
    near = cast(operate(epoch.copy(), "+", days), "timestamp")
    return cast(call("date_part", text(name), near), base)


def _cut_instant(column: exp.Expr, base: str, unit: str) -> exp.Expr:
    zone = (text("UTC"),) if base == "timestamptz" else ()
    return call("date_trunc", text(unit), column, *zone)


def age_band(column: exp.Expr, n: int) -> exp.Expr:
    """Full years at the statement's UTC date, as `30-39`. In the future, or infinite: NULL.

    Who was born on 29 February has birthday on 1 March in other years.
    """
    now = call("timezone", text("UTC"), call("statement_timestamp"))
    # Every date up to now is a timestamp as well: the cast can not fail in this branch.
    is_born = both(call("isfinite", column), operate(column, "<=", now))
    age = call("age", now, cast(column, "timestamp"))
    years = cast(call("date_part", text("year"), age), "numeric")
    lower = operate(call("div", years, number(n)), "*", number(n))
    upper = operate(lower, "+", number(n - 1))
    return case((is_born, concat(cast(lower, "text"), text("-"), cast(upper, "text"))))


def date_as_text(date: exp.Expr) -> exp.Expr:
    """ISO 8601 (`0044-03-15 BC`, `infinity`), whatever DateStyle says: the JSON form of a date."""
    return operate(call("to_jsonb", date), "#>>", cast(exp.Literal.string("{}"), "text[]"))


# --- numbers ---------------------------------------------------------------------------------


def numeric_digits(column_type: ColumnType) -> tuple[int, int] | None:
    """Precision and scale of `numeric(p,s)`, None for plain `numeric`.

    The layout of the modifier is PostgreSQL's (make_numeric_typmod in numeric.c): the scale is
    signed, in eleven bits.
    """
    if column_type.typmod < 4:
        return None
    packed = column_type.typmod - 4
    return packed >> 16 & 0xFFFF, ((packed & 0x7FF) ^ 0x400) - 0x400


def bucket(column: exp.Expr, column_type: ColumnType, n: int) -> exp.Expr:
    """Rounded down to a multiple of n; NaN, infinity, or where the type has no such number: NULL.

    `type` is one of the built-in number types.
    """
    if column_type.base in INTEGER_TYPES:
        return _multiple_below(cast(column, "int8"), "int8", n, _MIN[column_type.base])
    if column_type.base in FLOAT_TYPES:
        return _float_bucket(column, _EXACT[column_type.base], n)
    return _numeric_bucket(column, column_type, n)


def _multiple_below(whole: exp.Expr, base: str, n: int, lowest: int) -> exp.Expr:
    """The multiple of n at or below a whole number ≥ lowest; NULL where it is below lowest."""
    step = number_of(base, n)
    rest = call("mod", whole, step)  # has the sign of `whole`: towards zero, not down
    nearer_zero = operate(whole, "-", rest)
    return case(
        (operate(rest, ">=", number_of(base, 0)), nearer_zero),
        (operate(nearer_zero, ">=", number_of(base, lowest + n)), operate(nearer_zero, "-", step)),
    )


def _float_bucket(column: exp.Expr, exact: int, n: int) -> exp.Expr:
    # floor() of a float never fails; dividing it by n could (underflow), multiplying too.
    value = cast(column, "float8")
    whole = cast(call("floor", value), "int8")
    is_exact = both(
        operate(value, ">=", number_of("float8", -exact)),
        operate(value, "<=", number_of("float8", exact)),  # NaN is above every number
    )
    return case((is_exact, _multiple_below(whole, "int8", n, -exact)))


def _numeric_bucket(column: exp.Expr, column_type: ColumnType, n: int) -> exp.Expr:
    # floor() first: else the answer would tell how many digits after the point the value has.
    whole = call("floor", column)
    digits = numeric_digits(column_type)
    if digits is None:
        # Asked of the column: floor() itself would overflow beyond this.
        limit = f"1e{_NUMERIC_DIGITS}"
        return case((_is_within(column, limit), _numeric_multiple(whole, n, f"-{limit}")))
    precision, scale = digits
    # Asked of floor(): that of the least value may have a digit more than the type holds.
    places = max(precision - scale, 0)
    return case(
        (_is_within(whole, f"1e{places}"), _numeric_multiple(whole, n, str(n - 10**places)))
    )


def _is_within(value: exp.Expr, limit: str) -> exp.Expr:
    """Whether a numeric is between -limit and limit: no infinity, no NaN (which is above all)."""
    return both(
        operate(value, ">", number_of("numeric", f"-{limit}")),
        operate(value, "<", number_of("numeric", limit)),
    )


def _numeric_multiple(whole: exp.Expr, n: int, room_above: str) -> exp.Expr:
    """The multiple of n at or below; a step down is taken only from above `room_above`."""
    step = number_of("numeric", n)
    rest = call("mod", whole, step)
    nearer_zero = operate(whole, "-", rest)
    has_room = operate(nearer_zero, ">", number_of("numeric", room_above))
    return case(
        (operate(rest, ">=", number(0)), nearer_zero),
        (has_room, operate(nearer_zero, "-", step)),
    )


# --- network addresses -----------------------------------------------------------------------


def ip_prefix(column: exp.Expr) -> exp.Expr:
    """The network of 24 (IPv4) or 48 (IPv6) bits; what names a larger network already stays."""
    value = cast(column, "inet")
    shown = case(
        (operate(call("family", value), "=", number(4)), number(_IPV4_SHOWN)),
        default=number(_IPV6_SHOWN),
    )
    length = call("int4smaller", call("masklen", value), shown)
    return call("network", call("set_masklen", value, length))
