"""Names, durations and masks as a policy writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.durations import DURATION_S_MAX, duration_text, parse_duration
from proxy.policy.mask_text import mask_text, parse_mask
from proxy.policy.model import (
    AgeBandMask,
    BucketMask,
    ColumnName,
    ConstantMask,
    CutMask,
    FirstMask,
    LastMask,
    Mask,
    NullMask,
    PrefixMask,
    RelationName,
)
from proxy.policy.names import parse_column, parse_column_of, parse_relation, quote, relation_text

_IDENTIFIERS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=15
).filter(lambda name: len(name.encode()) <= 63)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("crm.customers", RelationName("crm", "customers")),
        ("CRM.Customers", RelationName("crm", "customers")),
        ('"Web"."Page Views"', RelationName("Web", "Page Views")),
        ('web."a.b"', RelationName("web", "a.b")),
        ('web."say ""hi"""', RelationName("web", 'say "hi"')),
        ("crm.ÄÖ", RelationName("crm", "ÄÖ")),  # PostgreSQL folds A-Z only
        ("crm._a$1", RelationName("crm", "_a$1")),
    ],
)
def test_names_are_read_as_sql_reads_them(text: str, name: RelationName) -> None:
    assert parse_relation(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "customers",
        "db.crm.customers",
        "crm.",
        ".customers",
        "crm..customers",
        "crm .customers",
        "crm.page views",
        "crm.1st",
        'crm."unfinished',
        'crm.""',
        'crm."a"b',
        "crm." + "x" * 64,
        "crm." + "ä" * 32,
        "pg_catalog.pg_authid",
        "information_schema.tables",
        "consent.subject",
        "CONSENT.subject",
        "pg_temp.x",
    ],
)
def test_what_is_not_the_name_of_a_table_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_relation(text)


@given(_IDENTIFIERS, _IDENTIFIERS)
def test_a_name_that_is_printed_is_read_back_as_itself(schema: str, name: str) -> None:
    relation = RelationName(f"s{schema}"[:15], name)
    assert parse_relation(relation_text(relation)) == relation
    assert parse_column(quote(name)) == name


def test_a_column_of_a_table_has_three_parts() -> None:
    expected = ColumnName(RelationName("crm", "customers"), "id")
    assert parse_column_of("crm.customers.ID") == expected
    with pytest.raises(ValueError, match=r"schema\.table\.column"):
        parse_column_of("customers.id")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15), ("30m", 1800), ("24h", 86_400), ("90d", 2160 * 3600), ("2w", 14 * 86_400)],
)
def test_durations_are_exact(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "d", "90 d", "-1d", "1.5h", "0d", "1y", "1mo", "1d12h", "101000w", "９d"]
)
def test_what_is_not_an_exact_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@given(st.integers(1, DURATION_S_MAX))
def test_a_duration_that_is_printed_is_read_back_as_itself(seconds: int) -> None:
    assert parse_duration(duration_text(seconds)) == seconds


_NAMED = ["null", "drop", "redact", "initial", "email", "email_domain", "pseudonym", "ip_prefix"]
_NUMBERS = st.integers(1, 150)
_MASKS: st.SearchStrategy[Mask] = st.one_of(
    st.sampled_from([parse_mask(name) for name in _NAMED]),
    st.builds(ConstantMask, st.text(st.characters(exclude_characters="\0"))),
    st.builds(FirstMask, _NUMBERS),
    st.builds(LastMask, _NUMBERS),
    st.builds(PrefixMask, _NUMBERS),
    st.builds(AgeBandMask, _NUMBERS),
    st.builds(BucketMask, st.integers(1, 2**63 - 1)),
    st.builds(CutMask, st.sampled_from(("year", "month", "week", "day"))),
)


@given(_MASKS)
def test_a_mask_that_is_printed_is_read_back_as_itself(mask: Mask) -> None:
    assert parse_mask(mask_text(mask)) == mask


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("null", NullMask()),
        ("last4", LastMask(4)),
        ("last(4)", LastMask(4)),
        ("prefix(3)", PrefixMask(3)),
        ("constant(n/a)", ConstantMask("n/a")),
        ("constant()", ConstantMask("")),
        ("constant( (a) )", ConstantMask(" (a) ")),
        ("week", CutMask("week")),
    ],
)
def test_masks_are_read_as_the_policy_language_writes_them(text: str, mask: Mask) -> None:
    assert parse_mask(text) == mask


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NULL",
        "hash",
        "prefix",
        "prefix()",
        "prefix(0)",
        "prefix(-1)",
        "prefix(3.5)",
        "prefix(03)",
        "prefix( 3 )",
        "prefix(3",
        "email(1)",
        "bucket(9223372036854775808)",
        "age_band(151)",
        "constant",
        "last4 ",
    ],
)
def test_what_is_not_a_mask_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_mask(text)
