from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.model import ConstantMask
from proxy.rewrite.masks import mask_problem
from tests.masks.upstream import Upstream, masked

TYPES = (
    "text", "character varying(5)", "character(4)", "bpchar", "name", "smallint", "integer",
    "bigint", "real", "double precision", "numeric", "numeric(4,2)", "numeric(3,5)",
    "numeric(3,-2)", "boolean", "date", "timestamp", "timestamp(0)", "timestamp(3)",
    "timestamptz", "timestamptz(1)", "uuid", "json", "jsonb", "bytea", "inet", "cidr",
)  # fmt: skip

_numbers = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats(allow_nan=True).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.from_regex(r"\A[+-]?[0-9]{0,4}\.?[0-9]{0,4}([eE][+-]?[0-9]{1,3})?\Z"),
    st.sampled_from(
        ("1e400", "1e-400", "1e38", "4e38", "1e-46", "0x10", "1_000", "١٢", "", ".", "-")
    ),
)
_times = st.one_of(
    st.dates().map(str),
    st.datetimes().map(str),
    st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
    st.from_regex(
        r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]"
        r"([ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{0,7})?)?)?"
        r"(Z|[+-][01][0-9]:[0-6][0-9])?\Z"
    ),
    st.sampled_from(("now", "today", "epoch", "infinity", "0000-01-01", "10000-01-01", "1/2/2024")),
)
_others = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda uuid: uuid.hex),
    st.ip_addresses().map(str),
    st.from_regex(r"\A(([0-9]{1,3}\.){3}[0-9]{1,3}|[0-9a-f:]{2,20})(/[0-9]{1,3})?\Z"),
    st.binary(max_size=8).map(lambda data: "\\x" + data.hex()),
    st.sampled_from(
        ("\\x0", "\\xzz", "\\101", "true", "TRUE", "off", "o", "maybe", "null", "'", "\\")
    ),
    st.sampled_from(
        ("10.0.0.1/8", "10.0.0.0/8", "10.1", "::1%eth0", "::ffff:1.2.3.4", "fe80::/10")
    ),
)
_json = st.one_of(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        max_leaves=6,
    ).map(json.dumps),
    st.sampled_from(
        ('"\\u0000"', '"\\ud800"', '{"a":1,}', "[1e400]", "[1e100000000]", "01", "'a'", '{"a":1}\n',
         "[" * 60 + "]" * 60, '{"a": "b\\\\c\'d"}', "\u00a01", "NaN", '"\x01"')
    ),
)  # fmt: skip
values = st.one_of(
    _numbers, _times, _others, _json, st.text(max_size=8), st.text(min_size=40, max_size=70)
)


def _accepted(upstream: Upstream, drawn: list[str]) -> Iterator[tuple[str, str, str]]:
    for value in drawn:
        for sql in TYPES:
            column_type = upstream.column_type(sql)
            if mask_problem(ConstantMask(value), column_type) is None:
                yield value, sql, masked(ConstantMask(value), column_type)


@settings(max_examples=150)
@given(st.lists(values, min_size=1, max_size=15))
def test_a_constant_that_is_accepted_is_read_alike_under_every_setting(
    upstream: Upstream, drawn: list[str]
) -> None:
    accepted = list(_accepted(upstream, drawn))
    if not accepted:
        return
    for _, sql, constant in accepted:
        answers = [upstream.answer(f"SELECT {constant}", settings=i, binary=True) for i in range(3)]
        assert answers[0] == answers[1] == answers[2], (sql, constant)
        assert answers[0] != [None]


@settings(max_examples=150)
@given(st.lists(values, min_size=1, max_size=15))
def test_a_constant_that_is_accepted_is_neither_cut_nor_rounded(
    upstream: Upstream, drawn: list[str]
) -> None:
    for value, sql, constant in _accepted(upstream, drawn):
        (answer,) = upstream.answer(f"SELECT CAST({constant} AS pg_catalog.text)")
        assert answer is not None
        if sql in {"text", "character varying(5)", "name"}:
            assert answer.decode() == value
        elif sql.startswith("character") or sql == "bpchar":
            assert answer.decode() == value.rstrip(" ")
        elif sql.startswith("numeric") or sql in {"smallint", "integer", "bigint"}:
            assert Decimal(answer.decode()) == Decimal(value)
        elif sql == "json":
            assert answer.decode() == value
        elif sql.startswith("timestamp"):
            fraction = value.partition(".")[2][:6].split("Z")[0].split("+")[0].split("-")[0]
            shown = answer.decode().partition(".")[2].split("+")[0]
            assert fraction.rstrip("0") == shown.rstrip("0")


@pytest.mark.parametrize(
    ("value", "sql"),
    [
        ("n/a", "text"), ("", "text"), ("it's", "character varying(5)"), ("a\\b", "text"),
        ("ab", "character(4)"), ("0", "integer"), ("-32768", "smallint"), ("1.5", "real"),
        ("9.99", "numeric(4,2)"), ("9.9900", "numeric(4,2)"), ("0.00999", "numeric(3,5)"),
        ("99900", "numeric(3,-2)"), ("true", "boolean"), ("2026-01-31", "date"),
        ("2026-01-31 23:59", "timestamp"), ("2026-01-31T23:59:59.5", "timestamp(1)"),
        ("2026-01-31 23:59:59+01:00", "timestamptz"), ("2026-01-31T23:59:59Z", "timestamptz"),
        ("00000000-0000-0000-0000-000000000000", "uuid"), ("{}", "jsonb"), ('"a\\"b"', "json"),
        ("\\x00ff", "bytea"), ("0.0.0.0", "inet"), ("10.0.0.0/8", "cidr"), ("::/0", "cidr"),
    ],
)  # fmt: skip
def test_a_plain_constant_is_accepted(upstream: Upstream, value: str, sql: str) -> None:
    column_type = upstream.column_type(sql)
    assert mask_problem(ConstantMask(value), column_type) is None
    upstream.answer(f"SELECT {masked(ConstantMask(value), column_type)}")


@pytest.mark.parametrize(
    ("value", "sql"),
    [
        ("longer", "character varying(5)"), ("x" * 64, "name"), ("a\0b", "text"),
        ("\ud800", "text"), ("32768", "smallint"), ("1.0", "integer"), ("10.001", "numeric(4,2)"),
        ("100", "numeric(4,2)"), ("0.01", "numeric(3,5)"), ("150", "numeric(3,-2)"),
        ("NaN", "numeric"), ("4e38", "real"), ("1e-50", "real"), ("maybe", "boolean"),
        ("2026-02-30", "date"), ("today", "date"), ("31/01/2026", "date"),
        ("2026-01-31 24:00", "timestamp"), ("2026-01-31 10:00:00.12", "timestamp(1)"),
        ("2026-01-31 10:00", "timestamptz"), ("2026-01-31 10:00 CET", "timestamptz"),
        ("0", "uuid"), ("{a}", "jsonb"), ('"\\u0000"', "jsonb"), ("\\x0", "bytea"),
        ("10.0.0.1/8", "cidr"), ("10.0.0", "inet"),
        ("1 day", "interval"), ("{}", "integer[]"), ("1", "money"), ("10:00", "time"),
    ],
)  # fmt: skip
def test_a_constant_that_the_column_can_not_hold_is_an_error_at_load(
    upstream: Upstream, value: str, sql: str
) -> None:
    assert mask_problem(ConstantMask(value), upstream.column_type(sql)) is not None
