"""What is wrong with a policy, and where: all of it in one run.

A problem is for a person with an editor open: the file, the line, the key and what was expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a policy file. `line` counts from 1; 0 means the file or folder as a whole."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


NOWHERE = Place("", 0)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake (`error`) or doubt (`warning`).

    `key` is the way to the value from the top of the file, as `tables.crm.customers.subject`;
    `message` says what was found and what was expected there.
    """

    file: str
    line: int
    key: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        where = str(Place(self.file, self.line))
        parts = [where, self.severity, self.key, self.message]
        return ": ".join(part for part in parts if part)


class PolicyErrors(Exception):  # noqa: N818 - many problems, found in one run
    """A policy that is not loaded, and every reason why, in the order of the files."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def errors_of(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Only the errors: a policy that has one is not loaded."""
    return tuple(problem for problem in problems if problem.severity == "error")
