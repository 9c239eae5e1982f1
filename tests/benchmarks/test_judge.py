"""The benchmark guard's judgement: what is slower is found, a noisy machine is not blamed."""

from __future__ import annotations

import random

import pytest

from benchmarks.guard import ALLOWED
from benchmarks.judge import ROUNDS_MIN, Round, judge

# What was measured when the bands were set.
USUAL = {name: max(most / 2, 1.0) for name, most in ALLOWED.items()}


def rounds(ratio: float, count: int = 5) -> list[Round]:
    return [Round(ratio * reference, reference) for reference in range(10, 10 + count)]


@pytest.mark.parametrize("measure", ALLOWED)
def test_a_measure_that_doubles_is_beyond_its_band(measure: str) -> None:
    measured = {name: rounds(ratio) for name, ratio in USUAL.items()}
    assert all(verdict.is_within for verdict in judge(measured, ALLOWED))
    measured[measure] = rounds(USUAL[measure] * 2.1)
    beyond = [each.measure for each in judge(measured, ALLOWED) if not each.is_within]
    assert beyond == [measure]


def test_a_slower_machine_changes_nothing() -> None:
    slow = [Round(each.ours * 7, each.reference * 7) for each in rounds(3.0)]
    assert judge({"a": slow}, {"a": 4.0}) == judge({"a": rounds(3.0)}, {"a": 4.0})


def test_rounds_in_which_one_of_the_two_was_interrupted_do_not_count() -> None:
    disturbed = [*rounds(3.0, 3), Round(900, 10), Round(10, 900)]
    random.Random(1).shuffle(disturbed)
    (verdict,) = judge({"a": disturbed}, {"a": 4.0})
    assert verdict.is_within
    assert verdict.ratio == pytest.approx(3.0)


@pytest.mark.parametrize("count", range(ROUNDS_MIN))
def test_too_few_rounds_are_no_verdict(count: int) -> None:
    with pytest.raises(ValueError, match="less than"):
        judge({"a": rounds(1.0, count)}, {"a": 4.0})


def test_a_round_whose_reference_took_nothing_is_none() -> None:
    broken = Round(5.0, 0.0)
    (verdict,) = judge({"a": [broken, *rounds(2.0)]}, {"a": 3.0})
    assert verdict.ratio == pytest.approx(2.0)
    with pytest.raises(ValueError, match="a"):
        judge({"a": [broken] * ROUNDS_MIN}, {"a": 3.0})
