"""Has something become slower? A pure function of what was measured.

A measure is a ratio to a reference that did its work in the same round, so that neither the
machine nor its neighbours move it much; of several rounds the median counts, so that a round in
which one of the two was interrupted does not. Nothing is concluded from too few rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ROUNDS_MIN: Final = 3


@dataclass(frozen=True, slots=True)
class Round:
    """What ours and the reference took for the same work, in any one unit."""

    ours: float
    reference: float

    @property
    def ratio(self) -> float:
        return self.ours / self.reference


@dataclass(frozen=True, slots=True)
class Verdict:
    measure: str
    ratio: float  # the median
    allowed: float

    @property
    def is_within(self) -> bool:
        return self.ratio <= self.allowed


def judge(
    measured: Mapping[str, Sequence[Round]], allowed: Mapping[str, float]
) -> Sequence[Verdict]:
    """A verdict for each measure that something is allowed to; ValueError where one is missing.

    A round whose reference took nothing is none: a process that ends is in nobody's account until
    its parent has noticed.
    """
    measured = {
        name: [each for each in rounds if each.reference > 0] for name, rounds in measured.items()
    }
    missing = [name for name in allowed if len(measured.get(name, ())) < ROUNDS_MIN]
    if missing:
        raise ValueError(f"measured less than {ROUNDS_MIN} times: {', '.join(missing)}")
    return [
        Verdict(name, statistics.median(each.ratio for each in measured[name]), most)
        for name, most in allowed.items()
    ]
