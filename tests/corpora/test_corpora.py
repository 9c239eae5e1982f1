"""G6: where all is open, tools get byte for byte what the database itself answers."""

from __future__ import annotations

from tests.corpora.exceptions import EXCEPTIONS, exception_of
from tests.corpora.refused import PAGE, page
from tests.corpora.replay import Outcome


def test_every_answer_is_the_databases_own_or_a_documented_exception(
    outcomes: list[Outcome],
) -> None:
    undocumented = [
        (each.tool, each.text, each.difference)
        for each in outcomes
        if each.difference and exception_of(each) is None
    ]
    assert undocumented == []


def test_every_documented_exception_occurs(outcomes: list[Outcome]) -> None:
    found = {exception_of(each) for each in outcomes if each.difference}
    assert found >= set(EXCEPTIONS)


def test_the_page_of_what_is_refused_is_up_to_date(outcomes: list[Outcome]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(outcomes), (
        "run: python -m tests.corpora.refused"
    )
