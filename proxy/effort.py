"""What planning a statement costs, as far as it is known beforehand.

A statement is planned in the event loop while that is known to be little; what turns out to be much
is left where it is and planned in another process (`planner.py`). Costs are estimated from what is
there to be counted (tokens, conditions, characters of the result), not measured: the same statement
always goes the same way. They were fitted to what was measured (docs/benchmarks.md), in
microseconds of one machine; elsewhere they are steps of about equal length.
"""

from __future__ import annotations

from typing import Final

# Bytes as PostgreSQL's scanner sees them: what words and numbers are made of, what stands between
# tokens, what operators are made of; each other byte is a token.
_WORD: Final = bytes(
    byte for byte in range(256) if byte >= 0x80 or chr(byte).isalnum() or byte == ord("_")
)
_SPACE: Final = b" \t\n\r\f\v"
_OPERATORS: Final = b"+-*/<>=~!@#%^&|`?:"
_WORDS_ONLY: Final = bytes(byte if byte in _WORD else ord(" ") for byte in range(256))
_NO_OPERATORS: Final = bytes(byte for byte in range(256) if byte not in _OPERATORS)

_STATEMENT_US: Final = 150.0  # each statement of a text, beside all else
_TOKEN_US: Final = 6.0  # of a text that both readers read
_OPERATOR_US: Final = 16.0  # … beside that, each character of an operator
_RELATION_US: Final = 10.0  # each place that names one
_GUARD_CHARACTER_US: Final = 0.65  # a guard made as a tree, printed and read
# … before it is made:
_GUARD_US: Final = 100.0
_COLUMN_US: Final = 25.0  # shown as it is
_MASKED_COLUMN_US: Final = 250.0
_CATALOG_COLUMN_US: Final = 10.0
_LISTED_US: Final = 2.5  # a relation that a guard of the catalog lists, perhaps several times
_CONDITION_US: Final = 130.0  # a condition repeated in a guard, before that is done
_RESULT_CHARACTER_US: Final = 0.05  # the result read again and compared


class TooMuchEffort(Exception):  # noqa: N818 - an event
    """This statement is not for whoever is in a hurry."""


class GuardsMade(TooMuchEffort):
    """Guards took what others needed. They are kept: another attempt finds them."""


class Effort:
    """What may be spent on one attempt to plan a statement; each method raises TooMuchEffort beyond
    it, or GuardsMade where guards were made in this attempt.
    """

    __slots__ = ("_has_made_guards", "_left_us")

    def __init__(self, limit_us: float = float("inf")) -> None:
        self._left_us = limit_us
        self._has_made_guards = False

    def text(self, text: str) -> None:
        encoded = text.encode(errors="replace")
        words = len(encoded.translate(_WORDS_ONLY).split())
        others = len(encoded.translate(None, _WORD + _SPACE))
        operators = len(encoded.translate(None, _NO_OPERATORS))
        self._spend(_TOKEN_US * (words + others) + _OPERATOR_US * operators)

    def statement(self) -> None:
        self._spend(_STATEMENT_US)

    def relations(self, places: int) -> None:
        """So many places name relations."""
        self._spend(_RELATION_US * places)

    def guard(self, columns: int, masked: int) -> None:
        """A guard of so many columns, masked ones among them, is about to be made, to be kept."""
        self._need(_GUARD_US + _COLUMN_US * (columns - masked) + _MASKED_COLUMN_US * masked)

    def catalog_guard(self, columns: int, relations: int) -> None:
        """So is one of a relation of PostgreSQL's catalog, where so many relations are visible."""
        self._need(_GUARD_US + _CATALOG_COLUMN_US * columns + _LISTED_US * relations)

    def kept(self, characters: int) -> None:
        """A guard of so many characters was made, and is kept."""
        self._has_made_guards = True
        self._spend(_GUARD_CHARACTER_US * characters)

    def conditions(self, conditions: int) -> None:
        """So many conditions are about to be repeated in a guard."""
        self._need(_CONDITION_US * conditions)

    def repeated(self, characters: int) -> None:
        """A guard of so many characters was made of a kept one, with conditions repeated in it."""
        self._spend(_GUARD_CHARACTER_US * characters)

    def result(self, text: str) -> None:
        self._spend(_RESULT_CHARACTER_US * len(text))

    def _spend(self, cost_us: float) -> None:
        self._left_us -= cost_us
        self._need(0.0)

    def _need(self, cost_us: float) -> None:
        if cost_us > self._left_us:
            raise GuardsMade if self._has_made_guards else TooMuchEffort


UNBOUNDED: Final = Effort()
