"""What a run reached, and what it found."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import Final

from proxy.sql.functions import function_names
from tests.noninterference.asking import Answer
from tests.noninterference.statements import Statement

_CALLED: Final = re.compile(r"(\w+) ?\(")
_OPERATOR: Final = re.compile(r"OPERATOR\(pg_catalog\.([^)]+)\)")


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
    open: int = 0  # answers that follow what SQL leaves open
    with_rows: int = 0
    pushed: int = 0  # conditions that went into a guard
    differences: int = 0  # rows that the two sides of all pairs do not share
    ways: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)  # functions, in what was answered
    operators: Counter[str] = field(default_factory=Counter)  # written as OPERATOR(…)
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
        if answer.error is None:
            for step in statement.steps:
                names = {name.lower() for name in _CALLED.findall(step.text)}
                self.calls.update(names & function_names())
                self.operators.update(_OPERATOR.findall(step.text))
        else:
            told = dict(answer.error.error)
            self.errors[f"{told['SQLSTATE']} {told['MESSAGE_PRIMARY'][:60]}"] += 1

    def add(self, other: Report) -> None:
        """What another part of the run reached."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def __str__(self) -> str:
        return (
            f"{self.asked} statements: {_listed(self.ways)}; {_listed(self.modes)}\n"
            f"{self.refused} refused, {self.failed} failed, {self.with_rows} with rows,"
            f" {self.pushed} conditions pushed, {self.timed_out} too slow,"
            f" {self.open} left open by SQL, {self.differences} hidden rows differ;"
            f" {len(self.findings)} findings\n"
            f"{len(self.calls)} of {len(function_names())} functions and"
            f" {len(self.operators)} of {operator_count()} operators of the lists called\n"
            f"{len(self.marks)} features: {_listed(self.marks)}"
        )


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counted.most_common())


def operator_count() -> int:
    text = (files("proxy.sql.lists") / "operators.txt").read_text(encoding="utf-8")
    return sum(bool(line) and not line.startswith("# ") for line in text.splitlines())
