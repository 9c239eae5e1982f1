"""Literals found in bytes are those that are found in text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.rewrite.lift import split
from proxy.rewrite.literals import find_literals

PIECES = st.sampled_from(
    """' '' " 0 1 12 01 . 1.5 1. .5 1.5.2 2147483647 2147483648 9223372036854775807 - -- / /* *
    9223372036854775808 a E U& N _ 1a a1 \\ $ $1 é x 'abc' 'a b' '*' 'it''s' '\\' = < , ( ) & ; N'a'
    "q" "1" ::date interval date'2026-01-01' limit e e- E+ 1e 1e-6 1.e+6 .e-1""".split()
) | st.sampled_from([" ", "\n", "\t", "\r", "\f", "\0", "\x7f", "' '", "'\n'", '"\n"', "''"])
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30)


@given(TEXTS)
def test_literals_are_found_in_bytes_as_in_text(text: str) -> None:
    sent = text.encode()
    found = find_literals(b"Q1'2\"" + sent + b"'\0", 5, 5 + len(sent))
    expected = split(text)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.skeleton.decode() == expected.skeleton
        assert tuple(each.decode() for each in found.values) == expected.values


def test_more_literals_than_a_plan_is_shared_by_are_not_looked_for() -> None:
    for count in (64, 65):
        text = ",".join("1" * count)
        assert (find_literals(text.encode(), 0, len(text)) is None) == (split(text) is None)
