from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.model import (
    EmailDomainMask,
    EmailMask,
    FirstMask,
    InitialMask,
    LastMask,
    Mask,
    PrefixMask,
    PseudonymMask,
)
from tests.masks import oracle
from tests.masks.upstream import PURPOSE, TOOL, Upstream, masked

TYPES = (
    "text",
    "character varying",
    "character varying(1)",
    "character varying(5)",
    "character varying(254)",
    "character(1)",
    "character(7)",
    "bpchar",
    "name",
)
NASTY = (
    "", " ", "   ", "@", "@@", "a@", "@b", "a@b@c", "ana@example.com", "Ana Ruiz", "1234567",
    "é@é", "e\u0301", "👩‍👩‍👧@x", "ß", "İstanbul", "\\", "\\x41", "'", "''", "%", "$1", "a\nb",
    "\t", "\u200e", "\ufeff", "\U0010ffff", "null", "NULL", "x" * 5000, "é" * 300, "a@" * 200,
    "*" * 9,
)  # fmt: skip
texts = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from(NASTY),
        st.text(st.sampled_from("ab@é👍 *.\\'"), max_size=12),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80),
    ),
    min_size=30,
    max_size=60,
)
numbers = st.one_of(st.integers(1, 9), st.sampled_from((10_000, 2**31 - 1)))


def _cases(n: int) -> tuple[tuple[Mask, Callable[[str], str]], ...]:
    return (
        (InitialMask(), oracle.initial),
        (EmailMask(), oracle.email),
        (EmailDomainMask(), oracle.email_domain),
        (FirstMask(n), lambda value: oracle.first(value, n)),
        (LastMask(n), lambda value: oracle.last(value, n)),
        (PrefixMask(n), lambda value: oracle.prefix(value, n)),
    )


@pytest.mark.parametrize("sql", TYPES)
@settings(max_examples=20)  # … of six masks, some forty values each
@given(texts, numbers)
def test_a_mask_of_text_gives_what_the_policy_language_says(
    upstream: Upstream, sql: str, values: list[str | None], n: int
) -> None:
    column_type = upstream.column_type(sql)
    for mask, expected in _cases(n):
        assert upstream.masked(mask, column_type, values) == [
            None if v is None else oracle.stored(expected(oracle.stored(v, sql)), sql)
            for v in values
        ]


@pytest.mark.parametrize(
    ("mask", "value", "expected"),
    [
        (InitialMask(), "Ana Ruiz", "A."),
        (InitialMask(), "", ""),
        (EmailMask(), "ana@example.com", "a***@example.com"),
        (EmailMask(), "no address", "***"),
        (EmailDomainMask(), "ana@example.com", "example.com"),
        (EmailDomainMask(), "no address", "***"),
        (LastMask(4), "1234567", "****567"),
        (FirstMask(2), "1234567", "12*****"),
        (FirstMask(2), "a", "*"),
        (PrefixMask(3), "28001", "280"),
        (PrefixMask(3), "280", "***"),
    ],
)
def test_the_examples_of_the_policy_language_hold(
    upstream: Upstream, mask: Mask, value: str, expected: str
) -> None:
    assert upstream.masked(mask, upstream.column_type("text"), [value]) == [expected]


@pytest.mark.parametrize(
    "mask", [InitialMask(), EmailMask(), EmailDomainMask(), LastMask(4), PrefixMask(3)]
)
def test_a_masked_column_sorts_under_the_collation_of_the_column(
    upstream: Upstream, mask: Mask
) -> None:
    column_type = upstream.column_type("text")
    cell = f"CASE WHEN t.c IS NULL THEN t.c ELSE {masked(mask, column_type)} END"
    (collation,) = upstream.answer(
        f"SELECT pg_catalog.pg_collation_for({cell}) FROM (SELECT NULL::text COLLATE"
        ' "POSIX" AS c) AS t'
    )
    assert collation == b'"POSIX"'


@pytest.mark.parametrize("mask", [EmailMask(), EmailDomainMask()])
def test_a_search_names_a_collation_that_allows_searching(upstream: Upstream, mask: Mask) -> None:
    # Under a nondeterministic collation a search is an error before PostgreSQL 18.
    expression = masked(mask, upstream.column_type("text"))
    searches = expression.count("pg_catalog.strpos(")
    assert searches > 0
    assert searches == expression.count('COLLATE pg_catalog."C", CAST(')


# --- pseudonyms ------------------------------------------------------------------------------

# The ledger's functions are compiled by each session: with standard_conforming_strings on, as
# every session of the proxy has it.
CONFORMING = (0, 2)


def _pseudonym(upstream: Upstream, value: str) -> bytes:
    row = upstream.plain.execute("SELECT inner_key FROM consent.pseudonym_key").fetchone()
    assert row is not None
    key = bytes(byte ^ 0x36 for byte in row[0])
    return hmac.new(key, f"{TOOL}/{PURPOSE}\0{value}".encode(), hashlib.sha256).digest()


@pytest.mark.parametrize("sql", ["text", "character varying(43)", "character(60)", "name"])
@given(texts)
def test_a_pseudonym_of_text_is_a_keyed_hash_that_names_tool_and_purpose(
    upstream: Upstream, sql: str, values: list[str | None]
) -> None:
    def expected(value: str) -> str:
        digest = _pseudonym(upstream, oracle.stored(value, sql))
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    answers = upstream.masked(PseudonymMask(), upstream.column_type(sql), values, CONFORMING)
    assert answers == [None if v is None else expected(v) for v in values]


@given(st.lists(st.one_of(st.none(), st.uuids().map(str)), min_size=1))
def test_a_pseudonym_of_a_uuid_is_a_version_8_uuid(
    upstream: Upstream, values: list[str | None]
) -> None:
    answers = upstream.masked(PseudonymMask(), upstream.column_type("uuid"), values, CONFORMING)
    for value, answer in zip(values, answers, strict=True):
        if value is None:
            assert answer is None
        else:
            assert answer is not None
            digest = _pseudonym(upstream, value).hex()
            assert answer[14] == "8"
            assert answer[19] in "89ab"
            assert answer.replace("-", "")[:12] == digest[:12]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_a_pseudonym_of_a_bigint_is_a_bigint(upstream: Upstream, values: list[int | None]) -> None:
    answers = upstream.masked(
        PseudonymMask(),
        upstream.column_type("bigint"),
        [None if v is None else str(v) for v in values],
        CONFORMING,
    )
    assert answers == [
        None
        if v is None
        else str(int.from_bytes(_pseudonym(upstream, str(v))[:8], "big", signed=True))
        for v in values
    ]
