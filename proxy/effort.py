"""What planning a statement costs, as far as it is known beforehand.

A statement is planned in the event loop while that is known to be little; what turns out to be much
is left where it is and planned in another process (`planner.py`). Costs are estimated from what is
there to be counted (tokens, conditions, characters of the result), not measured: the same statement
always goes the same way. They were fitted to what was measured (docs/benchmarks.md), in
microseconds of one machine; elsewhere they are steps of about equal length.
"""

from __future__ import annotations

import re
from typing import Final

# Words, numbers, and all other characters one by one: never fewer than PostgreSQL's scanner finds.
_TOKEN: Final = re.compile(r"\w+|[^\w\s]")

_STATEMENT_US: Final = 150.0  # each statement of a text, beside all else
_TOKEN_US: Final = 8.0  # of a text that both readers read
_GUARD_CHARACTER_US: Final = 0.65  # a guard made as a tree, printed and read
_GUARD_COLUMN_US: Final = 40.0  # … before it is made
_CONDITION_US: Final = 130.0  # a condition repeated in a guard, before that is done
_RESULT_CHARACTER_US: Final = 0.05  # the result read again and compared


class TooMuchEffort(Exception):  # noqa: N818 - an event
    """This statement is not for whoever is in a hurry."""


class Effort:
    """What may be spent on one statement, and as much again on guards that it is the first to need;
    each method raises TooMuchEffort beyond it.
    """

    __slots__ = ("_left_for_guards_us", "_left_us")

    def __init__(self, limit_us: float = float("inf")) -> None:
        self._left_us = self._left_for_guards_us = limit_us

    def text(self, text: str) -> None:
        self._spend(_TOKEN_US * len(_TOKEN.findall(text)))

    def statement(self) -> None:
        self._spend(_STATEMENT_US)

    def guard(self, columns: int) -> None:
        """A guard of so many columns is about to be made, and will be kept."""
        if _GUARD_COLUMN_US * columns > self._left_for_guards_us:
            raise TooMuchEffort

    def kept(self, characters: int) -> None:
        """A guard of so many characters was made, and is kept."""
        self._left_for_guards_us -= _GUARD_CHARACTER_US * characters
        self.guard(0)

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
            raise TooMuchEffort


UNBOUNDED: Final = Effort()
