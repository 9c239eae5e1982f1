"""Two databases that differ only in what a tool may not see answer its every statement alike."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from sqlglot import exp

import proxy.enforce
from proxy.rewrite.pushdown import push_down
from tests.noninterference.asking import Answer, Planning
from tests.noninterference.databases import Databases
from tests.noninterference.doors import HttpCaller, open_line
from tests.noninterference.pairs import make_pair
from tests.noninterference.rules import Rules
from tests.noninterference.statements import Statement, Step
from tests.noninterference.trial import (
    PAIRS,
    SEED,
    STATEMENTS_PER_DATA,
    Asked,
    AskedByDoors,
    AskedByPlans,
    Report,
    Trial,
)
from tests.world import World

# Out of ten statements six are planned and run without the doors, which is faster.
_BY_POSTGRES, _BY_HTTP = 3, 1
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
    cursor|copy|copy relation|whole relation|several|again|catalog|not answered
    """.replace("\n", "|")
    .replace("  ", "")
    .strip("| ")
    .split("|")
) - {""}


class _Counter:
    """Counts the guards that a condition was pushed into."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pushed = 0
        monkeypatch.setattr(proxy.enforce, "push_down", self._counted)

    def _counted(self, *arguments: Any, **options: Any) -> exp.Select | None:
        made = push_down(*arguments, **options)
        self.pushed += made is not None
        return made


@pytest.mark.slow
def test_what_a_tool_may_not_see_changes_no_answer(
    databases: Databases,
    rules: Rules,
    worlds: tuple[World, World],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    counter = _Counter(monkeypatch)
    enforcer = databases.enforcer()

    def ways(tool: str, purpose: str) -> list[tuple[str, Asked]]:
        left, right = worlds
        planned = AskedByPlans(databases, Planning(enforcer, tool, purpose))
        lines = AskedByDoors(open_line(left, tool, purpose), open_line(right, tool, purpose))
        calls = AskedByDoors(HttpCaller(left, tool, purpose), HttpCaller(right, tool, purpose))
        slots: list[tuple[str, Asked]] = [("by plans", planned)] * 10
        slots[1 : 1 + 2 * _BY_POSTGRES : 2] = [("by PostgreSQL's protocol", lines)] * _BY_POSTGRES
        slots[-_BY_HTTP:] = [("by HTTP", calls)] * _BY_HTTP
        return slots

    report = Trial(databases, rules, SEED, ways).run(PAIRS)
    report.pushed = counter.pushed
    with capsys.disabled():
        print(f"\n{report}")  # noqa: T201 - the seed and what was reached, in every run's output
    assert not report.findings, _told(report)
    _assert_that_the_run_reached_far(report)


@pytest.mark.slow
def test_statistics_of_what_is_hidden_change_no_rows_and_no_planning(
    databases: Databases, rules: Rules, capsys: pytest.CaptureFixture[str]
) -> None:
    """The planner reads the values of all rows: it evaluates some conditions on them."""
    enforcer = databases.enforcer()

    def ways(tool: str, purpose: str) -> list[tuple[str, Asked]]:
        return [("by plans", AskedByPlans(databases, Planning(enforcer, tool, purpose)))]

    report = Trial(databases, rules, f"{SEED}/analyzed", ways, analyzed=True).run(
        PAIRS // 4, per_data=STATEMENTS_PER_DATA // 2
    )
    with capsys.disabled():
        print(f"\nwith statistics, {report}")  # noqa: T201 - as above
    assert not report.findings, _told(report)


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


def _told(report: Report) -> str:
    found = "\n".join(map(str, report.findings))
    return f"NONINTERFERENCE_SEED={SEED} NONINTERFERENCE_PAIRS={PAIRS}\n{found}"


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
