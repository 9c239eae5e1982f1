"""The two patterns that cut text into tokens cut as PostgreSQL's scanner does, or not at all."""

from __future__ import annotations

import random
import re
from typing import Final

import pytest

from proxy.errors import Refused
from proxy.rewrite.lift import split
from proxy.sql.grammar import scan
from proxy.sql.normalise import UnusualError, cut_by_pattern, cut_by_scanner
from tests.errors.mistakes import CORPUS
from tests.fuzz.depth import streams

# What quoting, comments, numbers and operators are made of.
FRAGMENTS: Final = (
    *"'\"$\\;.,()[]{}:=<>+-*/%^|&#@!~?`_aeEbBxXnNuU0123456789 \t\n\r\f\vé€😀\xa0\u2028",
    "''", '""', "$$", "$a$", "$1", "--", "/*", "*/", "E'", "U&'", 'U&"', "B'", "X'", "N'", "::",
    ":=",
    "..", "1.", ".5", "1e", "1e5", "0x1", "0b1", "0o7", "1_000", "123abc", "a.b", "=>", "'a'\n'b'",
    "'a' 'b'", "'*'", "2147483648", "9223372036854775808", "select", "from", "where", "limit",
    "null",
    "Kelvin", "UESCAPE '!'", "operator(pg_catalog.=)", "\x01", "'\x01s'", "abc", "'it''s'",
    '"A""b"',
)  # fmt: skip
KNOWN: Final = frozenset({"a", "abc", "select"})


def texts(block: int) -> list[str]:
    made = []
    for seed in streams(block, 4, 2000):
        chance = random.Random(seed)
        parts = [chance.choice(FRAGMENTS) for _ in range(chance.randint(1, 12))]
        if chance.random() < 0.3:
            parts.insert(chance.randrange(len(parts)), chance.choice(CORPUS))
        made.append(chance.choice(("", " ", " ")).join(parts))
    return made


@pytest.mark.parametrize("block", range(4))
def test_a_statement_for_the_log_is_cut_as_the_scanner_cuts_it(block: int) -> None:
    cut = 0
    for text in texts(block):
        try:
            by_pattern = cut_by_pattern(text, KNOWN)
        except UnusualError:
            continue
        try:
            assert by_pattern == cut_by_scanner(text, KNOWN), text
        except Refused:
            continue  # such as $2147483648, which never gets so far
        cut += 1
    assert cut > 50


@pytest.mark.parametrize("block", range(4))
def test_a_literal_that_is_lifted_is_one_token_of_the_scanner(block: int) -> None:
    lifted = 0
    for text in texts(block):
        taken = split(text)
        if taken is None:
            continue
        try:
            tokens = {(token.start, token.end): token.name for token in scan(text)}
        except Refused:
            continue  # a text that does not read has no plan to be shared
        at = 0
        pieces = re.split("\x01[s48d]", taken.skeleton)
        assert len(pieces) == len(taken.values) + 1
        for piece, value in zip(pieces, taken.values, strict=False):
            at += len(piece)
            assert text[at : at + len(value)] == value
            found = tokens.get((at, at + len(value)))
            assert found in ("SCONST", "ICONST", "FCONST"), (text, at, value)
            at += len(value)
            lifted += 1
    assert lifted > 50
