"""Two databases that differ only in what a tool may not see answer its every statement alike."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from tests.noninterference.asking import Answer, Planning
from tests.noninterference.databases import Databases
from tests.noninterference.pairs import make_pair
from tests.noninterference.report import Report
from tests.noninterference.rules import Rules
from tests.noninterference.run import PAIRS, SEED, run
from tests.noninterference.statements import Statement, Step
from tests.noninterference.trial import AskedByPlans, Numbers

# What the statements must reach, in parts of a hundred. Measured over many seeds: 96, 45, 12.
_ANSWERED_MIN, _WITH_ROWS_MIN, _PUSHED_MIN = 90, 35, 5
# Every one of these must have been asked for at least once in a run of the default length.
_FEATURES = frozenset(
    """
    join|left join|right join|full join|cross join|natural|using|parenthesised join
    join with an alias|join with column aliases|alias with columns|derived table|lateral
    function in from|values|with|recursive|sub-query|in sub-query|exists|scalar sub-query
    correlated|group|grouping sets|having|filter|window|distinct|distinct on|union|intersect
    except|limit|ordered-set aggregate|star|whole row|row comparison|may fail|trap|pattern|json
    array|range|address|text search|dates|text functions|in list|between|any of an array
    a mask's image|probe|unqualified|search path|parameters|simple|extended|prepared|sql prepare
    look-up|join by key|correlated look-up|first by key|any function|any form|any operator|any cast
    any set|any aggregate|any window|sketch|cursor|copy|copy relation|whole relation|several
    again|catalog|not answered
    """.replace("\n", "|")
    .replace("  ", "")
    .strip("| ")
    .split("|")
) - {""}


@pytest.mark.slow
def test_what_a_tool_may_not_see_changes_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor do statistics of it, which the planner reads, nor plans for large relations."""
    report = run(SEED, Numbers(PAIRS), processes=2)
    with capsys.disabled():
        print(f"\nseed {SEED}: {report}")  # noqa: T201 - what was reached, in every run's output
    found = "\n".join(map(str, report.findings))
    assert not found, f"NONINTERFERENCE_SEED={SEED} NONINTERFERENCE_PAIRS={PAIRS}\n{found}"
    _assert_that_the_run_reached_far(report)


@pytest.mark.parametrize("purpose", ["campaign", "personal"])
def test_the_catalog_tells_nothing_of_what_is_hidden(
    databases: Databases, rules: Rules, purpose: str
) -> None:
    """Row counts, pages, statistics and storage follow hidden rows; no relation shows them."""
    enforcer = databases.enforcer()
    random = Random(f"{SEED}/{purpose}")
    pair = make_pair(rules, list(databases.grants), purpose, random)
    databases.fill(pair, random, analyzed=True)
    asked = AskedByPlans(databases, Planning(enforcer, rules.tool_of(purpose), purpose))
    shown = 0
    try:
        for relation in sorted(enforcer.catalog.system_relations):
            # The two databases have two names, and numbers of their own.
            columns = "datname, datistemplate" if relation.name == "pg_database" else "*"
            step = Step(f"SELECT {columns} FROM {relation}")
            left, right = asked.ask(Statement("catalog", (step,), False, frozenset(), ()))
            shown += not left.is_refused
            names = (databases.left, databases.right)
            assert _unnamed(left, names) == _unnamed(right, names), str(relation)
    finally:
        asked.close()
    assert shown > 100


def _unnamed(answer: Answer, names: Sequence[str]) -> list[object]:
    """The answer's rows without the databases' names."""
    (outcome,) = answer.outcomes
    hidden = {name.encode() for name in names}
    rows = [[None if value in hidden else value for value in row] for row in outcome.rows]
    return [outcome.tag, outcome.error, sorted(rows, key=repr)]


def _assert_that_the_run_reached_far(report: Report) -> None:
    """A run in which nothing is answered, or nothing is hidden, shows nothing."""
    if report.asked < 1000:
        return  # too short for shares to mean anything
    parts = report.asked / 100
    assert report.asked - report.refused >= _ANSWERED_MIN * parts, report
    assert report.with_rows >= _WITH_ROWS_MIN * parts, report
    assert report.pushed >= _PUSHED_MIN * parts, report
    assert report.ways["by PostgreSQL's protocol"] >= 25 * parts, report
    assert report.timed_out + report.open <= parts, report
    assert report.differences > report.asked, report
    if report.asked >= 2000:
        assert report.marks.keys() >= _FEATURES, _FEATURES - report.marks.keys()
