"""The comparison of trees: what PostgreSQL reads must be what was meant."""

from __future__ import annotations

import pytest

from proxy.errors import Reason, Refused
from proxy.rewrite.check import check, is_printed, is_same
from proxy.sql.grammar import parse_query, print_query

SAME = [
    ("select 1", "SELECT   1"),
    ("select a from t where a in (1, 2)", "SELECT a FROM   t WHERE a IN (1,   2)"),
    ("select array[1, 2]", "SELECT  ARRAY[1,2]"),
]
DIFFERENT = [
    ("select 1", "select 2"),
    ("select a from t", "select a from u"),
    ("select a from t", "select a from only t"),
    ("select a from t limit 1", "select a from t"),
    ("""select '","location":5'""", """select '","location":6'"""),
    ("""select '"location":5,'""", """select '"location":7,'"""),
    ("""select '{"location":5}'""", """select '{"location":7}'"""),
    ("select 1 as location", "select 1 as locations"),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_trees_that_differ_in_positions_only_are_equal(left: str, right: str) -> None:
    assert is_printed(print_query(left), parse_query(right))
    assert is_same(parse_query(left), parse_query(right))


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_trees_that_differ_in_anything_else_are_not(left: str, right: str) -> None:
    assert not is_printed(print_query(left), parse_query(right))
    assert not is_same(parse_query(left), parse_query(right))


def test_deep_trees_are_compared_too() -> None:
    deep = "select " + "1 + " * 200 + "1"
    assert is_printed(print_query(deep), parse_query(deep.replace(" + ", "+")))
    assert not is_printed(print_query(deep), parse_query(deep + "1"))


@pytest.mark.parametrize("text", ["select 1; select 2", "select from from", "select 2"])
def test_a_final_text_that_is_not_what_was_meant_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refusal:
        check(text, parse_query("select 1"))
    assert refusal.value.reason is Reason.READERS_DISAGREE
