"""A run: pairs of databases, statements asked of both, and what came of it.

NONINTERFERENCE_SEED and NONINTERFERENCE_PAIRS choose the run; a difference is told with the
simplest statement that shows it, and with what the two sides do not share.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from proxy.errors import Refused
from tests.noninterference.asking import FIELDS_LEFT, Answer, Line, Planning, refusal
from tests.noninterference.chance import Chance, shrink
from tests.noninterference.databases import Databases
from tests.noninterference.pairs import Pair, make_pair
from tests.noninterference.rules import Rules
from tests.noninterference.scope import Relation, relations
from tests.noninterference.statements import Statement, make_statement
from tests.noninterference.visible import Visible

PAIRS: Final = int(os.environ.get("NONINTERFERENCE_PAIRS", "2000"))
# The same statements in every run, unless another seed is asked for: so it is a change that fails
# a run, and not chance. Seeds of their own have the longer runs.
SEED: Final = os.environ.get("NONINTERFERENCE_SEED") or "consent"
STATEMENTS_PER_DATA: Final = 125  # then both databases are filled anew, for the next purpose
SHRINK_ATTEMPTS_MAX: Final = 400
FINDINGS_MAX: Final = 3


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

    def ask(self, statement: Statement) -> tuple[Answer, Answer]:
        planned = self.planning.planned(statement)
        if isinstance(planned, Refused):
            return refusal(planned), refusal(planned)
        self.texts = [step.text for step in planned.steps]
        return self.lines[0].ask(planned), self.lines[1].ask(planned)

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


@dataclass(frozen=True, slots=True)
class Finding:
    """A statement that tells the two sides apart."""

    number: int
    purpose: str
    way: str
    statement: Statement
    left: Answer
    right: Answer

    def __str__(self) -> str:
        texts = "\n".join(
            f"    {step.protocol}: {step.text} {step.values}" for step in self.statement.steps
        )
        return (
            f"statement {self.number} ({self.way}, purpose {self.purpose}) tells the two sides"
            f" apart:\n{texts}\n  left:  {self.left}\n  right: {self.right}"
        )


@dataclass(slots=True)
class Report:
    asked: int = 0
    refused: int = 0
    failed: int = 0
    timed_out: int = 0
    open: int = 0  # answers that follow the order of rows, which SQL leaves open
    with_rows: int = 0
    pushed: int = 0
    differences: int = 0  # rows that the two sides of all pairs do not share
    ways: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def note(self, statement: Statement, answer: Answer, way: str) -> None:
        self.asked += 1
        self.ways[way] += 1
        self.marks.update(statement.marks)
        if answer.is_refused:
            self.refused += 1
        elif answer.error is not None:
            self.failed += 1
        elif answer.row_count:
            self.with_rows += 1
        if answer.error is not None:
            fields = dict(answer.error.error)
            self.errors[f"{fields['SQLSTATE']} {fields['MESSAGE_PRIMARY'][:60]}"] += 1

    def __str__(self) -> str:
        marks = ", ".join(f"{name} {count}" for name, count in self.marks.most_common())
        return (
            f"non-interference, seed {SEED}: {self.asked} statements"
            f" ({', '.join(f'{count} {way}' for way, count in self.ways.items())}),"
            f" {self.refused} refused, {self.failed} failed, {self.with_rows} with rows,"
            f" {self.pushed} with a pushed condition, {self.timed_out} too slow,"
            f" {self.open} left open by SQL;"
            f" {self.differences} hidden rows differ\nfeatures: {marks}"
        )


Answers = tuple[Answer, Answer]
Ways = Sequence[tuple[str, Asked]]  # one of them by plans
Opener = Callable[[str, str], Ways]


class Trial:
    """Asks statements of pairs of databases. `open_ways(tool, purpose)` gives the ways to ask."""

    def __init__(
        self,
        databases: Databases,
        rules: Rules,
        seed: str,
        open_ways: Opener,
        *,
        analyzed: bool = False,
    ) -> None:
        self._databases = databases
        self._rules = rules
        self._seed = seed
        self._open_ways = open_ways
        self.report = Report()
        self._analyzed = analyzed

    def run(
        self,
        pairs: int,
        *,
        purposes: Sequence[str] | None = None,
        findings_max: int = FINDINGS_MAX,
        per_data: int = STATEMENTS_PER_DATA,
        shrink_attempts_max: int = SHRINK_ATTEMPTS_MAX,
    ) -> Report:
        """Ask so many statements, or fewer where findings enough were made."""
        self._shrink_attempts_max = shrink_attempts_max
        names = list(purposes or self._rules.purposes)
        for start in range(0, pairs, per_data):
            purpose = names[start // per_data % len(names)]
            self._run_pair(purpose, range(start, min(start + per_data, pairs)), findings_max)
            if len(self.report.findings) >= findings_max:
                break
        return self.report

    def _run_pair(self, purpose: str, numbers: range, findings_max: int) -> None:
        random = Random(f"{self._seed}/data/{numbers.start}")
        pair = make_pair(self._rules, list(self._databases.grants), purpose, random)
        self._databases.fill(pair, random, analyzed=self._analyzed)
        self.report.differences += pair.differences
        known = relations(self._rules, pair)
        ways = self._open_ways(self._rules.tool_of(purpose), purpose)
        try:
            for number in numbers:
                self._run_statement(number, pair, known, ways)
                if len(self.report.findings) >= findings_max:
                    return
        finally:
            for _, asked in ways:
                asked.close()

    def _run_statement(
        self, number: int, pair: Pair, known: Sequence[Relation], ways: Ways
    ) -> None:
        statement = make_statement(Chance(Random(f"{self._seed}/{number}")), known)
        name, asked = ways[number % len(ways)]
        left, right = asked.ask(statement)
        self.report.note(statement, left, name)
        if left.has_timed_out or right.has_timed_out:
            self.report.timed_out += 1
        elif left != right:
            if self._is_open(statement, (left, right), ways, asked):
                self.report.open += 1
                return
            smallest = self._shrunk(statement, known, asked)
            if self._is_open(smallest, asked.ask(smallest), ways, asked):
                smallest = statement
            self.report.findings.append(
                Finding(number, pair.purpose, name, smallest, *asked.ask(smallest))
            )

    def _is_open(self, statement: Statement, answers: Answers, ways: Ways, way: Asked) -> bool:
        """Does the difference follow what SQL leaves open, and nothing hidden? Then a database
        that holds only what the tool may see gives both answers too.
        """
        planned = next(asked for _, asked in ways if isinstance(asked, AskedByPlans))
        if way is not planned:
            doors, answers = answers, planned.ask(statement)
            if list(map(_told_by, doors)) != list(map(_told_by, answers)):
                return False  # it is the doors' own
        visible = Visible.open(self._databases)
        try:
            shown = visible.shown(planned.planning, planned.lines)
            return visible.may_answer(statement, answers, shown)
        finally:
            visible.close()

    def _shrunk(self, statement: Statement, known: Sequence[Relation], asked: Asked) -> Statement:
        if not self._shrink_attempts_max:
            return statement

        def is_failing(choices: Sequence[int]) -> bool:
            left, right = asked.ask(make_statement(Chance(replay=choices), known))
            return left != right and not left.has_timed_out and not right.has_timed_out

        smallest = shrink(statement.choices, is_failing, self._shrink_attempts_max)
        return make_statement(Chance(replay=smallest), known)


def _told_by(answer: Answer) -> list[tuple[str, int]]:
    """What two ways of asking the same have in common."""
    return [
        (outcome.sqlstate, len(outcome.rows))
        for outcome in answer.outcomes
        if outcome.rows or outcome.error
    ]
