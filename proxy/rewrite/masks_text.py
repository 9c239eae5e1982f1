"""Masks of text, as expressions over a value of type text.

Characters are counted, never bytes. Nothing asks a locale: no case, no classes of characters.
A `char(n)` comes without its padding, which is not part of its value.
"""

from __future__ import annotations

from sqlglot import exp

from proxy.rewrite.masks_terms import (
    call,
    case,
    cast,
    concat,
    in_c_collation,
    number,
    operate,
    text,
)

HIDDEN = "***"  # what stands for a text of which nothing may be seen


def as_text(column: exp.Expr, base: str) -> exp.Expr:
    """The column's value as text; `base` is one of the built-in text types."""
    return column.copy() if base == "text" else cast(column, "text")


def initial(value: exp.Expr) -> exp.Expr:
    is_empty = operate(call("length", value), "=", number(0))
    first = concat(call("left", value, number(1)), text("."))
    return case((is_empty, text("")), default=first)


def email(value: exp.Expr) -> exp.Expr:
    shown = concat(call("left", value, number(1)), text(f"{HIDDEN}@"), _after_last_at(value))
    return _where_it_has_an_at(value, shown)


def email_domain(value: exp.Expr) -> exp.Expr:
    return _where_it_has_an_at(value, _after_last_at(value))


def _where_it_has_an_at(value: exp.Expr, shown: exp.Expr) -> exp.Expr:
    # A NULL fails the condition, and what is shown of it is NULL.
    return case((operate(_first_at(value), "=", number(0)), text(HIDDEN)), default=shown)


def _first_at(value: exp.Expr) -> exp.Expr:
    return call("strpos", in_c_collation(value), text("@"))


def _after_last_at(value: exp.Expr) -> exp.Expr:
    """What follows the last `@` of a value that has one."""
    # `reverse` and counting from the end take twice as long as all else in these masks: only for
    # values with several. (`split_part` would give the text itself another collation.)
    has_several = operate(in_c_collation(value), "~~", text("%@%@%"))
    reversed_at = call("strpos", in_c_collation(call("reverse", value)), text("@"))
    # Of a negative number of characters, `right` gives all but so many.
    characters = case(
        (has_several, operate(reversed_at, "-", number(1))),
        default=operate(number(0), "-", _first_at(value)),
    )
    return call("right", value, characters)


def first(value: exp.Expr, n: int) -> exp.Expr:
    shown = _at_most_half(value, n)
    return concat(call("left", value, shown), _stars(value, shown))


def last(value: exp.Expr, n: int) -> exp.Expr:
    shown = _at_most_half(value, n)
    return concat(_stars(value, shown), call("right", value, shown))


def _at_most_half(value: exp.Expr, n: int) -> exp.Expr:
    half = operate(call("length", value), "/", number(2))
    return call("int4smaller", number(n), half)


def _stars(value: exp.Expr, shown: exp.Expr) -> exp.Expr:
    # As long as the value itself: `repeat` can not run out of what a text may hold.
    return call("repeat", text("*"), operate(call("length", value), "-", shown))


def prefix(value: exp.Expr, n: int) -> exp.Expr:
    is_short = operate(call("length", value), "<=", number(n))
    return case((is_short, text(HIDDEN)), default=call("left", value, number(n)))
