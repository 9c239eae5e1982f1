"""A trial: pairs of databases, statements asked of both, and what came of it.

A difference is told with the simplest statement that shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Protocol

import postgast

from proxy.errors import Refused
from tests.noninterference.asking import FIELDS_LEFT, Answer, Line, Planning, refusal
from tests.noninterference.chance import Chance, shrink
from tests.noninterference.databases import Databases
from tests.noninterference.pairs import Pair, make_pair
from tests.noninterference.queries import Known
from tests.noninterference.report import Finding, Report
from tests.noninterference.rules import Rules
from tests.noninterference.scope import relations
from tests.noninterference.statements import Statement, Step, make_statement
from tests.noninterference.visible import Visible

STATEMENTS_PER_DATA: Final = 125  # then both databases are filled anew, for the next purpose
SHRINK_ATTEMPTS_MAX: Final = 400
FINDINGS_MAX: Final = 3
# How the databases behind a pair are: with statistics of all rows, hidden ones included, as a real
# one has; or planning every statement as if its relations were large.
PLAIN, ANALYZED, PARALLEL = "plain", "with statistics", "in parallel"
_LARGE: Final = (
    "debug_parallel_query = on",
    "min_parallel_table_scan_size = 0",
    "min_parallel_index_scan_size = 0",
    "parallel_setup_cost = 0",
    "parallel_tuple_cost = 0",
)


class Asked(Protocol):
    """Asks both sides."""

    def ask(self, statement: Statement) -> tuple[Answer, Answer]: ...

    def close(self) -> None: ...


class Caller(Protocol):
    """Asks one side."""

    def ask(self, statement: Statement) -> Answer: ...

    def close(self) -> None: ...


class AskedByPlans:
    """Plans once, and runs the plan on both sides."""

    def __init__(self, databases: Databases, planning: Planning) -> None:
        self.planning = planning
        left, right = databases.conninfos()
        self.lines = Line.open(left, FIELDS_LEFT), Line.open(right, FIELDS_LEFT)
        self.texts: list[str] = []

    def expect_large_relations(self) -> None:
        for line in self.lines:
            for setting in _LARGE:
                line.outcomes(Step(f"SET {setting}"), is_ordered=True)

    def ask(self, statement: Statement) -> tuple[Answer, Answer]:
        planned = self.planning.planned(statement)
        if isinstance(planned, Refused):
            return refusal(planned), refusal(planned)
        self.texts = [step.text for step in planned.steps]
        return self.lines[0].ask(planned), self.lines[1].ask(planned)

    def has_two_plans(self, statement: Statement) -> bool:
        """Has PostgreSQL other plans on one side than on the other?"""
        planned = self.planning.planned(statement)
        assert not isinstance(planned, Refused)
        steps = [
            replace(step, text=_explained(text.strip()))
            for step in planned.steps
            for text in (postgast.split(step.text) if statement.form == "several" else [step.text])
            if not text.startswith(("FETCH", "MOVE", "CLOSE"))  # of a cursor: not opened now
        ]
        explained = replace(planned, steps=tuple(steps), is_ordered=True)  # the lines of a plan are
        left, right = (line.ask(explained) for line in self.lines)
        return left.error is None and right.error is None and left != right

    def close(self) -> None:
        for line in self.lines:
            line.close()


@dataclass(frozen=True, slots=True)
class AskedByDoors:
    """By way of two proxies' doors."""

    left: Caller
    right: Caller

    def ask(self, statement: Statement) -> tuple[Answer, Answer]:
        return self.left.ask(statement), self.right.ask(statement)

    def close(self) -> None:
        self.left.close()
        self.right.close()


Answers = tuple[Answer, Answer]
Ways = Sequence[tuple[str, Asked]]  # one of them by plans
Opener = Callable[[str, str], Ways]


_EXPLAINED: Final = ("SELECT", "WITH", "(", "VALUES", "TABLE", "DECLARE", "EXECUTE")


@dataclass(frozen=True, slots=True)
class Numbers:
    """The statements to ask, by number. Those of one pair of databases are a block; of every
    `parts` blocks, one is asked here.
    """

    count: int
    first: int = 0
    per_block: int = STATEMENTS_PER_DATA
    part: int = 0
    parts: int = 1

    def blocks(self) -> Iterator[range]:
        for start in range(self.first, self.first + self.count, self.per_block):
            if start // self.per_block % self.parts == self.part:
                yield range(start, min(start + self.per_block, self.first + self.count))


class Trial:
    """Asks statements of pairs of databases. `open_ways(tool, purpose)` gives the ways to ask."""

    def __init__(
        self,
        databases: Databases,
        rules: Rules,
        seed: str,
        open_ways: Opener,
        modes: Sequence[str] = (PLAIN,),
    ) -> None:
        self._databases = databases
        self._rules = rules
        self._seed = seed
        self._open_ways = open_ways
        self.report = Report()
        self._modes = modes

    def run(
        self,
        numbers: Numbers,
        *,
        purposes: Sequence[str] = (),
        findings_max: int = FINDINGS_MAX,
        shrink_attempts_max: int = SHRINK_ATTEMPTS_MAX,
    ) -> Report:
        """Ask these statements, or fewer where findings enough were made."""
        self._shrink_attempts_max = shrink_attempts_max
        names = purposes or list(self._rules.purposes)
        for block in numbers.blocks():
            purpose = names[block.start // numbers.per_block % len(names)]
            self._run_block(purpose, block, findings_max)
            if len(self.report.findings) >= findings_max:
                break
        return self.report

    def _run_block(self, purpose: str, numbers: range, findings_max: int) -> None:
        random = Random(f"{self._seed}/data/{numbers.start}")
        mode = random.choice(self._modes)
        pair = make_pair(self._rules, list(self._databases.grants), purpose, random)
        self._databases.fill(pair, random, analyzed=mode == ANALYZED)
        self.report.differences += pair.differences
        known = Known(relations(self._rules, pair), self._databases.calls)
        ways = self._open_ways(self._rules.tool_of(purpose), purpose)
        if mode == PARALLEL:
            by_plans(ways).expect_large_relations()
        try:
            for number in numbers:
                self.report.modes[mode] += 1
                self._run_statement(number, pair, known, ways)
                if len(self.report.findings) >= findings_max:
                    return
        finally:
            for _, asked in ways:
                asked.close()

    def _run_statement(self, number: int, pair: Pair, known: Known, ways: Ways) -> None:
        statement = make_statement(Chance(Random(f"{self._seed}/{number}")), known)
        name, asked = ways[number % len(ways)]
        left, right = asked.ask(statement)
        self.report.note(statement, left, name)
        if left.has_timed_out or right.has_timed_out:
            self.report.timed_out += 1
        elif left != right:
            if self.is_open(statement, (left, right), ways, asked):
                self.report.open += 1
                return
            smallest = self._shrunk(statement, known, asked)
            if self.is_open(smallest, asked.ask(smallest), ways, asked):
                smallest = statement
            self.report.findings.append(
                Finding(number, pair.purpose, name, smallest, *asked.ask(smallest))
            )

    def is_open(self, statement: Statement, answers: Answers, ways: Ways, way: Asked) -> bool:
        """Does the difference follow what SQL leaves open, and nothing hidden? Then a database
        that holds only what the tool may see gives both answers too. That is not enough where one
        side alone fails: by the same plan, only something hidden can make it, or which row comes
        first (a join may find that it needs no other).
        """
        planned = by_plans(ways)
        if way is not planned:
            doors, answers = answers, planned.ask(statement)
            if list(map(_told_by, doors)) != list(map(_told_by, answers)):
                return False  # it is the doors' own
        has_failed = {answer.error is not None for answer in answers}
        visible = Visible.open(self._databases)
        try:
            if len(has_failed) > 1 and not planned.has_two_plans(statement):
                return visible.may_follow_order(statement, answers, planned.planning, planned.lines)
            return visible.may_answer(statement, answers, planned.planning, planned.lines)
        finally:
            visible.close()

    def _shrunk(self, statement: Statement, known: Known, asked: Asked) -> Statement:
        if not self._shrink_attempts_max:
            return statement

        def is_failing(choices: Sequence[int]) -> bool:
            left, right = asked.ask(make_statement(Chance(replay=choices), known))
            return left != right and not left.has_timed_out and not right.has_timed_out

        smallest = shrink(statement.choices, is_failing, self._shrink_attempts_max)
        return make_statement(Chance(replay=smallest), known)


def by_plans(ways: Ways) -> AskedByPlans:
    return next(asked for _, asked in ways if isinstance(asked, AskedByPlans))


def _explained(text: str) -> str:
    """The step with EXPLAIN before it, if that can be."""
    if text.startswith("COPY ("):
        text = text[len("COPY (") : text.rindex(") TO STDOUT")]
    return f"EXPLAIN (COSTS OFF) {text}" if text.startswith(_EXPLAINED) else text


def _told_by(answer: Answer) -> list[tuple[bool, int]]:
    """What two ways of asking the same have in common; doors may tell less of an error."""
    return [
        (bool(outcome.error), len(outcome.rows))
        for outcome in answer.outcomes
        if outcome.rows or outcome.error
    ]
