"""Is what the proxy answers what PostgreSQL answers?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.errors import Reason, Refused
from tests.analytics.answering import Answer, Outcome

# Statements that are answered, and otherwise than by PostgreSQL: each with its documented reason.
_RECORD: Final = "-- row of type record"
_FIELD: Final = "-- field of a record"
EXCEPTIONS: Final = {
    _RECORD: "a whole row within an expression has the type `record`, not the relation's own",
    _FIELD: "so a sub-query's whole row has no fields to pick: PostgreSQL's error 42703",
}
_RECORDS: Final = {2249, 2287}  # record, record[]


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: str  # same, refused, other
    reason: str = ""


def judge(outcome: Outcome) -> Verdict:
    """What became of a statement under the policy that opens everything."""
    direct, opened = outcome.direct, outcome.opened
    if isinstance(opened, Refused):
        # PostgreSQL's own syntax error, in its own words, is its answer.
        if opened.reason is Reason.SYNTAX and direct.sqlstate == "42601":
            return Verdict("same")
        return Verdict("refused", f"`{opened.reason.value}`: {opened}")
    difference = _difference(outcome, direct, opened)
    if difference is None:
        return Verdict("same")
    return Verdict("other", _documented(outcome, direct, opened) or f"**{difference}**")


def _difference(outcome: Outcome, direct: Answer, opened: Answer) -> str | None:
    if direct.sqlstate != opened.sqlstate:
        return f"SQLSTATE {opened.sqlstate} instead of {direct.sqlstate}: {opened.message}"
    if direct.columns != opened.columns:
        return "other columns"
    if direct.rows == opened.rows:
        return None
    is_ordered = outcome.statement.is_ordered
    if is_ordered or sorted(map(repr, direct.rows)) != sorted(map(repr, opened.rows)):
        return "other rows"
    return None


def _documented(outcome: Outcome, direct: Answer, opened: Answer) -> str | None:
    """The reason of an exception that the statement is marked with, if it is no other."""
    text = outcome.statement.text
    if _FIELD in text and opened.sqlstate == "42703":
        return EXCEPTIONS[_FIELD]
    if _RECORD not in text or opened.sqlstate or direct.rows != opened.rows:
        return None
    are_records = all(
        ours == own or (ours[0] == own[0] and ours[1] in _RECORDS)
        for ours, own in zip(opened.columns, direct.columns, strict=True)
    )
    return EXCEPTIONS[_RECORD] if are_records else None


def masked_problem(outcome: Outcome, answer: Answer | Refused) -> str | None:
    """What is wrong with an answer under the dealer's policy; None: nothing.

    A tool may meet the policy (a column that does not exist for it), PostgreSQL's own error for
    the statement, or a function that fails on a masked value.
    """
    if isinstance(answer, Refused):
        is_same = isinstance(outcome.opened, Refused) and outcome.opened.reason is answer.reason
        return None if is_same else f"{answer.reason.value}: {answer}"
    state = answer.sqlstate
    if state in (None, outcome.direct.sqlstate, "42703") or re.match("22", state):
        return None
    return f"{state}: {answer.message}"
