"""What analysts write is answered as by the database itself, and little of it is refused."""

from __future__ import annotations

from tests.analytics.answering import Outcome
from tests.analytics.judging import judge, masked_problem
from tests.analytics.report import PAGE, page

STATEMENTS_MIN = 500


def test_there_are_five_hundred_different_statements(outcomes: list[Outcome]) -> None:
    assert len({each.statement.text for each in outcomes}) >= STATEMENTS_MIN


def test_postgresql_itself_answers_each_statement_as_it_says(outcomes: list[Outcome]) -> None:
    wrong = [
        (each.statement.name, each.direct.sqlstate, each.direct.message)
        for each in outcomes
        if each.direct.sqlstate != each.statement.sqlstate
    ]
    assert wrong == []


def test_nothing_that_postgresql_answers_is_refused_where_all_is_open(
    outcomes: list[Outcome],
) -> None:
    refused = [
        (each.statement.name, judge(each).reason)
        for each in outcomes
        if judge(each).kind == "refused"
    ]
    assert refused == []


def test_every_answer_is_the_databases_own_where_all_is_open(outcomes: list[Outcome]) -> None:
    others = [
        (each.statement.name, verdict.reason)
        for each in outcomes
        if (verdict := judge(each)).kind == "other" and verdict.reason.startswith("**")
    ]
    assert others == []


def test_masks_refuse_nothing_and_make_nothing_fail_but_by_its_values(
    outcomes: list[Outcome],
) -> None:
    problems = [
        (each.statement.name, asker, problem)
        for each in outcomes
        for asker, answer in each.masked.items()
        if (problem := masked_problem(each, answer)) is not None
    ]
    assert problems == []


def test_the_page_of_what_is_refused_is_up_to_date(outcomes: list[Outcome]) -> None:
    made = page(outcomes)
    print(made)  # noqa: T201  # the report is this test's other result
    assert PAGE.read_text(encoding="utf-8") == made, "run: python -m tests.analytics.report"
