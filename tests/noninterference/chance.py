"""Choices that can be recorded, replayed and made simpler: statements are functions of them.

Everywhere 0 is the simplest choice, and a list that is too short goes on with zeros: so cutting
pieces out of the list, or making numbers smaller, gives simpler statements that are still whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

_T = TypeVar("_T")


class Chance:
    """Draws small numbers: at random, or those of an earlier run."""

    def __init__(self, random: Random | None = None, replay: Sequence[int] = ()) -> None:
        self._random = random
        self._replay = replay
        self.drawn: list[int] = []

    def below(self, limit: int) -> int:
        if self._random is not None:
            number = self._random.randrange(limit)
        elif len(self.drawn) < len(self._replay):
            number = min(self._replay[len(self.drawn)], limit - 1)
        else:
            number = 0
        self.drawn.append(number)
        return number

    def pick(self, options: Sequence[_T]) -> _T:
        """One of them; the first is the simplest."""
        return options[self.below(len(options))]

    def maybe(self, percent: int) -> bool:
        return self.below(100) >= 100 - percent

    def count(self, least: int, most: int) -> int:
        return least + self.below(most - least + 1)


def shrink(
    choices: Sequence[int], is_failing: Callable[[Sequence[int]], bool], attempts_max: int
) -> list[int]:
    """The simplest list found that fails still, in so many attempts."""
    best = list(choices)
    attempts = 0

    def is_better(candidate: list[int]) -> bool:
        nonlocal best, attempts
        attempts += 1
        if candidate == best or attempts > attempts_max or not is_failing(candidate):
            return False
        best = candidate
        return True

    size = len(best)
    while size and attempts <= attempts_max:
        at = 0
        while at < len(best) and attempts <= attempts_max:
            # Without these choices, or else with the simplest ones in their place.
            without = best[:at] + best[at + size :]
            zeros = [*best[:at], *([0] * len(best[at : at + size])), *best[at + size :]]
            if not is_better(without) and not is_better(zeros):
                at += size
        size //= 2
    return best
