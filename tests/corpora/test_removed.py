"""What is hidden is answered as by a database from which it was really removed."""

from __future__ import annotations

from tests.corpora.exceptions import EXCEPTIONS, OF_DROPPED, exception_of
from tests.corpora.replay import Outcome


def test_what_tools_ask_is_answered_as_if_the_hidden_had_been_dropped(
    half_hidden: list[Outcome],
) -> None:
    undocumented = [
        (each.tool, each.text, each.difference)
        for each in half_hidden
        if each.difference and exception_of(each, EXCEPTIONS + OF_DROPPED) is None
    ]
    assert undocumented == []
    same = [each for each in half_hidden if not each.difference and not each.refusal]
    assert len(same) > 0.9 * len(half_hidden)


def test_no_answer_to_a_tool_names_what_is_hidden(half_hidden: list[Outcome]) -> None:
    for outcome in half_hidden:
        for hidden in (b"secret_", b"secret remark", b"secret constant", b"amount_2"):
            assert hidden not in outcome.answer or hidden.decode() in outcome.text, outcome.text


def test_nothing_more_is_refused_where_something_is_hidden(
    half_hidden: list[Outcome], outcomes: list[Outcome]
) -> None:
    def refused(found: list[Outcome]) -> set[tuple[str, str]]:
        return {(each.tool, each.message) for each in found if each.refusal}

    assert refused(half_hidden) <= refused(outcomes)
