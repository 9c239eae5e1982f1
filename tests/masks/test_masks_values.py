from __future__ import annotations

import datetime as dt
import ipaddress
import math
import struct
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.model import AgeBandMask, BucketMask, CutMask, IpPrefixMask
from proxy.rewrite.masks import mask_problem
from tests.masks import oracle
from tests.masks.upstream import SETTINGS, Upstream, masked

Unit = Literal["year", "month", "week", "day"]
UNITS: tuple[Unit, ...] = ("year", "month", "week", "day")
INFINITIES = ("infinity", "-infinity")


def around(*edges: int) -> st.SearchStrategy[int]:
    return st.builds(lambda edge, step: edge + step, st.sampled_from(edges), st.integers(-3, 3))


# --- dates -----------------------------------------------------------------------------------

dates = st.one_of(
    st.integers(oracle.FIRST_DAY, oracle.LAST_DAY),
    st.integers(-40_000, 20_000),  # 1890 to 2054
    around(*(oracle.days_from_civil(y, 1, 1) for y in (-4712, -1, 0, 1, 1900, 2000, 9999))),
    around(*(oracle.days_from_civil(y, 3, 1) for y in (-4712, -4, 0, 1900, 2000, 2024))),
    st.integers(oracle.FIRST_DAY, oracle.FIRST_DAY + 500),
    st.integers(oracle.LAST_DAY - 500, oracle.LAST_DAY),
    around(106_751_991),  # about where timestamps end
).filter(lambda day: oracle.FIRST_DAY <= day <= oracle.LAST_DAY)
instants = st.one_of(
    st.integers(oracle.FIRST_INSTANT, oracle.END_INSTANT - 1),
    st.integers(-(2**50), 2**50),
    st.builds(
        lambda day, rest: day * oracle.DAY_US + rest,
        st.one_of(dates, st.integers(oracle.FIRST_DAY, oracle.FIRST_DAY + 500)),
        st.one_of(st.just(0), st.just(oracle.DAY_US - 1), st.integers(0, oracle.DAY_US - 1)),
    ),
    around(oracle.FIRST_INSTANT, oracle.END_INSTANT - 1),
).filter(lambda instant: oracle.FIRST_INSTANT <= instant < oracle.END_INSTANT)


def many(values: st.SearchStrategy[int]) -> st.SearchStrategy[list[int | str | None]]:
    other = st.sampled_from((None, *INFINITIES))
    return st.lists(st.one_of(values, values, values, other), min_size=30, max_size=60)


def _cut(value: int | str | None, unit: str, text: Callable[[int], str], day: int) -> str | None:
    if not isinstance(value, int):
        return value
    return text(oracle.cut_days(value // day, unit) * day)


@pytest.mark.parametrize("unit", UNITS)
@given(many(dates))
def test_a_date_is_cut_down_and_infinity_stays(
    upstream: Upstream, unit: Unit, values: list[int | str | None]
) -> None:
    given_texts = [oracle.date_text(v) if isinstance(v, int) else v for v in values]
    answers = upstream.masked(CutMask(unit), upstream.column_type("date"), given_texts)
    assert answers == [_cut(v, unit, oracle.date_text, 1) for v in values]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    ("sql", "zone"),
    [
        ("timestamp", ""),
        ("timestamp(0)", ""),
        ("timestamp(3)", ""),
        ("timestamptz", "+00"),
        ("timestamptz(0)", "+00"),
    ],
)
@settings(max_examples=25)
@given(many(instants))
def test_an_instant_is_cut_down_in_utc_whatever_the_zone_of_the_session(
    upstream: Upstream, unit: Unit, sql: str, zone: str, values: list[int | str | None]
) -> None:
    def text(microseconds: int) -> str:
        return oracle.instant_text(microseconds, zone)

    step = 10 ** (6 - int(sql[-2])) if sql.endswith(")") else 1
    # What the column holds is rounded already.
    stored = [v // step * step if isinstance(v, int) else v for v in values]
    given_texts = [text(v) if isinstance(v, int) else v for v in stored]
    answers = upstream.masked(CutMask(unit), upstream.column_type(sql), given_texts)
    assert answers == [_cut(v, unit, text, oracle.DAY_US) for v in stored]


@given(many(dates), st.integers(1, 1000))
def test_an_age_band_counts_full_years_up_to_the_statements_utc_date(
    upstream: Upstream, values: list[int | str | None], n: int
) -> None:
    _check_age_bands(upstream, values, n, "pg_catalog.statement_timestamp()", None)


@given(
    many(st.one_of(st.integers(-40_000, 12_000), dates)),
    st.sampled_from((1, 5, 10, 100)),
    st.integers(dt.date(1999, 1, 1).toordinal(), dt.date(2029, 1, 1).toordinal()),
    st.sampled_from(("00:00:00", "23:59:59.999999")),
)
def test_an_age_band_is_right_on_every_day_leap_days_included(
    upstream: Upstream, values: list[int | str | None], n: int, today: int, time: str
) -> None:
    day = dt.date.fromordinal(today)
    now = f"'{day} {time}+00'::timestamptz"
    near = [oracle.days_from_civil(1996, 2, 29), oracle.days_from_civil(day.year - 30, 3, 1)]
    _check_age_bands(upstream, [*values, *near], n, now, day)


def _check_age_bands(
    upstream: Upstream, values: list[int | str | None], n: int, now: str, day: dt.date | None
) -> None:
    column_type = upstream.column_type("date")
    texts = [oracle.date_text(v) if isinstance(v, int) else v for v in values]
    expression = masked(AgeBandMask(n), column_type)
    assert "pg_catalog.statement_timestamp()" in expression
    statement = expression.replace("pg_catalog.statement_timestamp()", now)
    for way in range(len(SETTINGS)):
        (raw_today,) = upstream.answer(
            f"SELECT CAST(pg_catalog.timezone('UTC', {now}) AS pg_catalog.date)"
            " OPERATOR(pg_catalog.-) CAST('2000-01-01' AS pg_catalog.date)",
            settings=way,
        )
        assert raw_today is not None
        answers = upstream.over(statement, column_type, texts, settings=way)
        if day is not None:
            assert int(raw_today) == (day - dt.date(2000, 1, 1)).days
        assert [None if a is None else a.decode() for a in answers] == [
            oracle.age_band(v, int(raw_today), n) if isinstance(v, int) else None for v in values
        ]


# --- numbers ---------------------------------------------------------------------------------

steps = st.one_of(
    st.integers(1, 20),
    st.sampled_from((1000, 2**15, 2**24, 2**31, 2**53 + 1, 10**18, 2**63 - 1)),
)


@pytest.mark.parametrize(("sql", "bits"), [("smallint", 16), ("integer", 32), ("bigint", 64)])
@settings(max_examples=50)
@given(st.data(), steps)
def test_an_integer_is_rounded_down_to_its_bucket(
    upstream: Upstream, sql: str, bits: int, data: st.DataObject, n: int
) -> None:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    near = around(low + 3, high - 4, 0)
    values = data.draw(
        st.lists(st.one_of(st.none(), near, st.integers(low, high - 1)), min_size=30, max_size=60)
    )
    texts = [None if v is None else str(v) for v in values]
    answers = upstream.masked(BucketMask(n), upstream.column_type(sql), texts)
    assert [a if a is None else int(a) for a in answers] == [
        v if v is None else oracle.bucket(Fraction(v), n, low - 1, high) for v in values
    ]


@pytest.mark.parametrize(("sql", "width", "exact"), [("real", 32, 2**24), ("float8", 64, 2**53)])
@settings(max_examples=50)
@given(st.data(), steps)
def test_a_float_is_rounded_down_to_its_bucket_where_that_is_exact(
    upstream: Upstream, sql: str, width: Literal[32, 64], exact: int, data: st.DataObject, n: int
) -> None:
    nasty = (-0.0, 5e-324 if width == 64 else 2.0**-149, math.inf, -math.inf, math.nan)
    values = data.draw(
        st.lists(
            st.one_of(
                st.none(),
                st.floats(width=width),
                st.floats(-1e6, 1e6).map(lambda v: _narrow(v, width)),
                around(exact, -exact).map(lambda v: _narrow(float(v), width)),
                st.sampled_from(nasty),
            ),
            min_size=30,
            max_size=60,
        )
    )
    texts = [None if v is None else repr(v).replace("inf", "Infinity") for v in values]
    answers = upstream.masked(BucketMask(n), upstream.column_type(sql), texts)
    assert [a if a is None else Fraction(a) for a in answers] == [
        oracle.bucket(Fraction(v), n, -exact - 1, exact + 1)
        if v is not None and math.isfinite(v) and abs(v) <= exact
        else None
        for v in values
    ]
    assert "-0" not in answers


def _narrow(value: float, width: int) -> float:
    narrowed: float = struct.unpack("f", struct.pack("f", value))[0] if width == 32 else value
    return narrowed


@pytest.mark.parametrize(
    ("precision", "scale"), [(10, 2), (3, 0), (1, 0), (2, 2), (3, 5), (38, 10), (5, -2), (1000, 1)]
)
@settings(max_examples=50)
@given(st.data(), steps)
def test_a_numeric_of_fixed_size_is_rounded_down_to_its_bucket(
    upstream: Upstream, precision: int, scale: int, data: st.DataObject, n: int
) -> None:
    n = n if scale >= 0 else n * 10**-scale
    most = 10**precision - 1
    unscaled = data.draw(
        st.lists(
            st.one_of(
                st.none(), st.integers(-most, most), around(0), st.sampled_from((most, -most))
            ),
            min_size=30,
            max_size=60,
        )
    )
    values = [None if u is None or abs(u) > most else u * Fraction(10) ** -scale for u in unscaled]
    texts = [None if v is None else _decimal_text(v) for v in values]
    column_type = upstream.column_type(f"numeric({precision},{scale})")
    if mask_problem(BucketMask(n), column_type) is not None:
        assert n > 2**63 - 1
        return
    answers = upstream.masked(BucketMask(n), column_type, [*texts, "NaN"])
    limit = Fraction(10) ** (precision - scale)
    assert [a if a is None else Fraction(a) for a in answers] == [
        *(v if v is None else oracle.bucket(v, n, -limit, limit) for v in values),
        None,
    ]


def _decimal_text(value: Fraction) -> str:
    # Decimal's own arithmetic rounds to 28 digits; its exponents do not.
    exponent = 0
    while value.denominator != 1:
        value, exponent = value * 10, exponent - 1
    return f"{value.numerator}e{exponent}"


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.decimals(allow_nan=False, allow_infinity=False).filter(
                lambda v: v == 0 or abs(v.adjusted()) < 5000
            ),
            st.integers(-100, 100).map(Decimal),
        ),
        min_size=20,
        max_size=40,
    ),
    steps,
)
def test_a_numeric_of_any_size_is_rounded_down_and_tells_nothing_of_its_digits(
    upstream: Upstream, values: list[Decimal | None], n: int
) -> None:
    values = [v if v is None or v.as_tuple().exponent > -16000 else None for v in values]  # type: ignore[operator]
    texts = [None if v is None else str(v) for v in values]
    answers = upstream.masked(BucketMask(n), upstream.column_type("numeric"), texts)
    assert answers == [None if v is None else str(math.floor(Fraction(v) / n) * n) for v in values]


@pytest.mark.parametrize("n", [1, 7, 2**63 - 1])
def test_numerics_at_the_edge_of_what_postgresql_holds_have_a_bucket_or_none(
    upstream: Upstream, n: int
) -> None:
    nines = "9" * 131072
    values = ["NaN", "Infinity", "-Infinity", nines, f"-{nines}.{'9' * 16383}", "1e131071",
              "-1e131071", "-1e131070", "1e-16383", "-1e-16383", "0e-16383"]  # fmt: skip
    answers = upstream.masked(BucketMask(n), upstream.column_type("numeric"), values)
    assert answers[:5] == [None] * 5
    assert answers[8:] == ["0", str(-n), "0"]


# --- addresses -------------------------------------------------------------------------------

addresses = st.one_of(
    st.builds(
        lambda ip, length: f"{ip}/{length}",
        st.ip_addresses(v=4),
        st.one_of(st.just(32), st.integers(0, 32)),
    ),
    st.builds(
        lambda ip, length: f"{ip}/{length}",
        st.ip_addresses(v=6),
        st.one_of(st.just(128), st.integers(0, 128)),
    ),
)


@pytest.mark.parametrize("sql", ["inet", "cidr"])
@given(st.lists(st.one_of(st.none(), addresses), min_size=1, max_size=40))
def test_an_address_becomes_its_network_and_a_larger_network_stays(
    upstream: Upstream, sql: str, values: list[str | None]
) -> None:
    texts = [
        v if v is None or sql == "inet" else str(ipaddress.ip_interface(v).network) for v in values
    ]
    answers = upstream.masked(IpPrefixMask(), upstream.column_type(sql), texts)
    assert [None if a is None else ipaddress.ip_network(a) for a in answers] == [
        None if v is None else ipaddress.ip_network(oracle.ip_prefix(v)) for v in texts
    ]
