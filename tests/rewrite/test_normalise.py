"""What the access log may hold of a statement: cut by a pattern as PostgreSQL's scanner cuts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refused
from proxy.sql.normalise import UnusualError, cut_by_pattern, cut_by_scanner, normalise
from tests.rewrite.test_lift import FRAGMENTS, SENT, sent_texts

KNOWN = frozenset(["customers", "email", "count", 'q"r'])

NORMALISED = {
    "SELECT email FROM Customers WHERE name = 'Ana'": "SELECT email FROM customers WHERE name = ?",
    "SELECT a, b, A FROM x WHERE b = 1.5": "SELECT i1, i2, i1 FROM i3 WHERE i2 = ?",
    """SELECT "Email", "q""r" FROM t""": 'SELECT i1, q"r FROM i2',
    "SELECT 1 /* ana */ -- bo\n+ $1": "SELECT ?  \n+ $1",
    "SELECT E'a\\'b', U&'x', B'101', $$ana$$, 1e5, .5, 0x1F": "SELECT ?, ?, ?, ?, ?, ?, ?",
    "SELECT 'O''Hara' AS name, 'é', straße": "SELECT ? AS name, ?, i1",
}


@pytest.mark.parametrize(("text", "normalised"), NORMALISED.items())
def test_no_literal_and_no_name_of_the_tool_is_in_a_normalised_statement(
    text: str, normalised: str
) -> None:
    assert normalise(text, KNOWN).text == normalised


def _agree(text: str) -> bool:
    """Was the text cut by the pattern, and as the scanner cuts it?"""
    try:
        cut = cut_by_pattern(text, KNOWN)
    except UnusualError:
        return False
    try:
        assert cut == cut_by_scanner(text, KNOWN)
    except Refused:
        return False  # PostgreSQL reads no such text
    return True


@given(st.lists(FRAGMENTS), st.sampled_from([" ", ""]))
def test_the_pattern_cuts_as_the_scanner_does(parts: list[str], between: str) -> None:
    _agree(between.join(parts))


def test_most_of_what_tools_send_is_cut_by_the_pattern_and_as_the_scanner_cuts_it() -> None:
    texts = {text for path in SENT.glob("*.json") for text in sent_texts(path)}
    cut = sum(_agree(text) for text in texts)
    assert cut > len(texts) / 2
