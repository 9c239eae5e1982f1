"""Bounds on a statement's text, checked before any reader sees it."""

from __future__ import annotations

from typing import Final

from proxy.errors import Reason, Refused
from proxy.sql.grammar import scan

_OPENING: Final = frozenset(["ASCII_40", "ASCII_91", "CASE"])
_CLOSING: Final = frozenset(["ASCII_41", "ASCII_93", "END_P"])


def check_size(text: str, bytes_max: int, nesting_max: int) -> None:
    """Raises Refused(statement_too_large | statement_too_deep).

    The nesting is that of parentheses, brackets and CASE: what makes a recursive reader recurse.
    """
    if len(text) > bytes_max or len(text.encode(errors="replace")) > bytes_max:
        raise Refused(Reason.STATEMENT_TOO_LARGE, f"the statement is longer than {bytes_max} bytes")
    # There are at most as many levels as openings; most statements end here.
    if text.count("(") + text.count("[") + text.upper().count("CASE") <= nesting_max:
        return
    if nesting_of(text) > nesting_max:
        raise Refused(
            Reason.STATEMENT_TOO_DEEP,
            f"the statement nests deeper than {nesting_max} levels",
        )


def nesting_of(text: str) -> int:
    """The deepest level, by PostgreSQL's own scanner (so that strings do not count)."""
    depth = deepest = 0
    if "\0" in text:
        return 0  # refused by the grammar, which says why
    for token in scan(text):
        if token.name in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif token.name in _CLOSING and depth:
            depth -= 1
    return deepest
