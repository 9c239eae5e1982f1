"""Asking, and what comes back: by way of the proxy's doors, or of its plans alone.

`Line` speaks through libpq, so that every message field is seen as a client would see it. With
`Planning` its statements are planned by an Enforcer and run as the proxy's role upstream: the same
steps without the doors, for speed and for tests that change a step.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from psycopg import pq

from proxy.enforce import Enforcer
from proxy.errors import Refused
from proxy.rewrite.plan import PlanContext
from tests.noninterference.statements import Statement, Step

TIMED_OUT: Final = "57014"
READ_TOO_LATE: Final = "the statement is too large or too deep to be read in time"
ANSWER_S_MAX: Final = 60.0  # ten times what a statement may take; then the test fails
_Diagnostic = pq.DiagnosticField
ALL_FIELDS: Final = frozenset(field.name for field in _Diagnostic)
# What the proxy lets through of an error of PostgreSQL's that may follow a value.
FIELDS_LEFT: Final = frozenset(["SEVERITY", "SQLSTATE", "MESSAGE_PRIMARY"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one statement of a message: all that a client can see but its timing."""

    tag: str = ""
    columns: tuple[tuple[bytes, int, int], ...] = ()  # name, type, modifier
    rows: tuple[tuple[bytes | None, ...], ...] = ()
    error: tuple[tuple[str, str], ...] = ()  # field, value; a refusal's own number left out
    notices: tuple[str, ...] = ()
    is_refused: bool = False

    @property
    def sqlstate(self) -> str:
        return dict(self.error).get("SQLSTATE", "")


@dataclass(frozen=True, slots=True)
class Answer:
    outcomes: tuple[Outcome, ...]

    @property
    def is_refused(self) -> bool:
        return any(outcome.is_refused for outcome in self.outcomes)

    @property
    def has_timed_out(self) -> bool:
        """Did it take too long? How long that is depends on the machine, not on the data."""
        return any(
            outcome.sqlstate == TIMED_OUT or READ_TOO_LATE in dict(outcome.error).values()
            for outcome in self.outcomes
        )

    @property
    def row_count(self) -> int:
        return sum(len(outcome.rows) for outcome in self.outcomes)

    @property
    def error(self) -> Outcome | None:
        return next((outcome for outcome in self.outcomes if outcome.error), None)


def _wait(connection: pq.abc.PGconn, *, is_writing: bool = False) -> None:
    reading, writing = ([], [connection.socket]) if is_writing else ([connection.socket], [])
    if not any(select.select(reading, writing, [], ANSWER_S_MAX)):
        raise AssertionError("no answer")
    if connection.status == pq.ConnStatus.OK:
        connection.consume_input()


@dataclass(slots=True)
class Line:
    """A connection of a client."""

    connection: pq.abc.PGconn
    fields: frozenset[str]  # of an error: those that a client would see
    notices: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, conninfo: str, fields: frozenset[str] = ALL_FIELDS) -> Line:
        connection = pq.PGconn.connect_start(conninfo.encode())
        while (polled := connection.connect_poll()) != pq.PollingStatus.OK:
            assert polled != pq.PollingStatus.FAILED, connection.error_message
            _wait(connection, is_writing=polled == pq.PollingStatus.WRITING)
        line = cls(connection, fields)
        connection.notice_handler = line._note
        return line

    def close(self) -> None:
        self.connection.finish()

    def _note(self, result: pq.abc.PGresult) -> None:
        message = result.error_field(_Diagnostic.MESSAGE_PRIMARY) or b""
        self.notices.append(message.decode())

    def ask(self, statement: Statement) -> Answer:
        outcomes: list[Outcome] = []
        for step in statement.steps:
            outcomes += self.outcomes(step, is_ordered=statement.is_ordered)
            if outcomes[-1].error:
                break
        if self.connection.transaction_status != pq.TransactionStatus.IDLE:
            self.outcomes(Step("ROLLBACK"), is_ordered=True)
        if statement.form == "sql prepare":
            self.outcomes(Step("DEALLOCATE ALL"), is_ordered=True)
        self.notices.clear()
        return Answer(tuple(outcomes))

    def outcomes(self, step: Step, *, is_ordered: bool) -> list[Outcome]:
        text, values = step.text.encode(), [value.encode() for value in step.values]
        connection = self.connection
        if step.protocol == "simple":
            connection.send_query(text)
        elif step.protocol == "extended":
            connection.send_query_params(text, values, step.types or None)
        else:
            return self._prepared(text, values, step.types, is_ordered=is_ordered)
        return self._results(is_ordered=is_ordered)

    def _prepared(
        self, text: bytes, values: Sequence[bytes], types: Sequence[int], *, is_ordered: bool
    ) -> list[Outcome]:
        connection = self.connection
        connection.send_prepare(b"s1", text, types or None)
        outcomes = self._results(is_ordered=True)
        if outcomes[-1].error:
            return outcomes
        connection.send_describe_prepared(b"s1")
        outcomes += self._results(is_ordered=True)
        connection.send_query_prepared(b"s1", values)
        outcomes += self._results(is_ordered=is_ordered)
        self.outcomes(Step("DEALLOCATE s1"), is_ordered=True)
        return outcomes

    def _results(self, *, is_ordered: bool) -> list[Outcome]:
        outcomes = []
        while (result := self._next_result()) is not None:
            copied: list[tuple[bytes | None, ...]] = []
            if result.status == pq.ExecStatus.COPY_OUT:
                copied = self._copied()
            outcomes.append(self._outcome(result, is_ordered, copied))
            if outcomes[-1].error and len(outcomes) > 1 and outcomes[-2].tag == "":
                # How many rows a COPY sends before one fails is as open as which one fails first.
                outcomes[-2] = replace(outcomes[-2], rows=())
        return outcomes

    # A proxy may run in this process: whoever waits must let its thread run, which libpq's own
    # waiting, inside PQgetResult, would not.

    def _next_result(self) -> pq.abc.PGresult | None:
        while self.connection.is_busy():
            _wait(self.connection)
        return self.connection.get_result()

    def _copied(self) -> list[tuple[bytes | None, ...]]:
        copied: list[tuple[bytes | None, ...]] = []
        while True:
            size, data = self.connection.get_copy_data(1)
            if size > 0:
                copied.append((bytes(data),))
            elif size == 0:
                _wait(self.connection)
            else:
                return copied

    def _outcome(
        self,
        result: pq.abc.PGresult,
        is_ordered: bool,
        copied: Sequence[tuple[bytes | None, ...]] = (),
    ) -> Outcome:
        notices, self.notices = tuple(self.notices), []
        if result.status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE):
            return _failure(result, notices, self.fields)
        rows = [
            tuple(result.get_value(row, column) for column in range(result.nfields))
            for row in range(result.ntuples)
        ]
        rows += copied
        if not is_ordered:
            rows.sort(key=repr)
        return Outcome(
            tag=(result.command_status or b"").decode(),
            columns=tuple(
                (result.fname(n) or b"", result.ftype(n), result.fmod(n))
                for n in range(result.nfields)
            ),
            rows=tuple(rows),
            notices=notices,
        )


def _failure(result: pq.abc.PGresult, notices: tuple[str, ...], fields: frozenset[str]) -> Outcome:
    found = {
        name.name: (result.error_field(name) or b"").decode()
        for name in _Diagnostic
        if name.name in fields and result.error_field(name) is not None
    }
    detail = found.get("MESSAGE_DETAIL", "")
    if is_refused := detail.startswith("reason: "):
        found["MESSAGE_DETAIL"] = detail.partition("; access: ")[0]
    return Outcome(error=tuple(sorted(found.items())), notices=notices, is_refused=is_refused)


class Planning:
    """The proxy's steps without its doors: a statement as it goes upstream for a tool."""

    def __init__(self, enforcer: Enforcer, tool: str, purpose: str) -> None:
        self._enforcer = enforcer
        self._tool, self._purpose = tool, purpose

    def planned(self, statement: Statement) -> Statement | Refused:
        steps: list[Step] = []
        for step in statement.steps:
            planned = self._planned(step)
            if isinstance(planned, Refused):
                return planned
            steps.append(planned)
        return replace(statement, steps=tuple(steps))

    def _planned(self, step: Step) -> Step | Refused:
        context = PlanContext(
            tool=self._tool,
            purpose=self._purpose,
            search_path=self._enforcer.policy.schemas,
            is_extended=step.protocol != "simple",
            parameter_types=step.types,
        )
        texts = []
        for plan in self._enforcer.plan(step.text, context):
            if isinstance(plan, Refused):
                return plan
            texts.append(plan.text)
        return replace(step, text="; ".join(texts))


def refusal(refused: Refused) -> Answer:
    error = (("MESSAGE_PRIMARY", str(refused)), ("SQLSTATE", refused.sqlstate))
    return Answer((Outcome(error=error, is_refused=True),))
