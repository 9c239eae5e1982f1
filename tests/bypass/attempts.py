"""An attempt: what is sent, how, and what must come back. Families of them are the test files.

Every attempt is sent to both worlds. Whatever its verdict, no byte that comes back may be of a
hidden value, and the answers of the two worlds must be the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import orjson

from tests.bypass.client import BINARY, TEXT, Client, Message, error_fields, tags_of
from tests.bypass.worlds import Pair, Side

Way = Literal["simple", "extended", "binary", "http"]
EVERY_WAY: Final[tuple[Way, ...]] = ("simple", "extended", "binary", "http")
# Statements that a Query alone can hold, or that belong to a session.
IN_A_SESSION: Final[tuple[Way, ...]] = ("simple", "extended")
SIMPLE: Final[tuple[Way, ...]] = ("simple",)


@dataclass(frozen=True, slots=True)
class Refused:
    """`rows`: of the statements before it, in the same text."""

    reason: str
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Fails:
    """PostgreSQL's own error, by the beginning of its SQLSTATE."""

    sqlstate: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, without anything hidden; `rows` where their number must be right."""

    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Anything:
    """Refused, failed or answered: but nothing hidden, and the same in both worlds."""


Verdict = Refused | Fails | Answered | Anything

TABLE: Final = Refused("table_not_in_policy")
FUNCTION: Final = Refused("function_not_allowed")
TYPE: Final = Refused("type_not_allowed")
SETTING: Final = Refused("setting_not_allowed")
KIND: Final = Refused("statement_kind")
UNCLEAR: Final = Refused("not_understood")
SYNTAX: Final = Refused("syntax")
NO_COLUMN: Final = Fails("42703")
ANSWERED: Final = Answered()


@dataclass(frozen=True, slots=True)
class Attempt:
    """`sql` is sent alone, on a connection that is idle before and after."""

    name: str
    sql: str
    verdict: Verdict
    tool: str = "profiler"
    ways: tuple[Way, ...] = EVERY_WAY
    before: tuple[str, ...] = ()  # statements of the same session, in a transaction if they say so
    parameters: tuple[str | None, ...] = ()
    types: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True)
class Answer:
    """What came back, for comparing and for judging."""

    raw: bytes
    compared: bytes
    reason: str | None = None
    sqlstate: str | None = None
    rows: int = 0
    messages: list[Message] = field(default_factory=list)


_UUID: Final = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ACCESS: Final = re.compile(
    rb"(access: |access_id\"\s*:\s*\")[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)


def try_in_both(pair: Pair, attempt: Attempt) -> None:
    """Send the attempt every way to both worlds; assert verdict, silence and sameness."""
    for way in attempt.ways:
        answers = [send(side, attempt, way) for side in pair.sides]
        for side, answer in zip(pair.sides, answers, strict=True):
            told = f"{attempt.name}, {way}: {attempt.sql!r}"
            assert_silent(side, answer.raw, told)
            _assert_verdict(attempt.verdict, answer, told)
        one, other = (answer.compared for answer in answers)
        assert one == other, f"{attempt.name}, {way}: {one!r} in one world, {other!r} in the other"


def assert_silent(side: Side, data: bytes, told: str) -> None:
    # Pseudonyms and names of records are hexadecimal: any four digits can be among them.
    assert b"77777777-7777" not in data, told
    lower = _UUID.sub(b"", data).lower()
    for leak in side.leaks:
        assert leak not in lower, f"LEAK of {leak!r} by {told}: {data!r}"


def _assert_verdict(verdict: Verdict, answer: Answer, told: str) -> None:
    shown = f"{told} gave {answer.reason or answer.sqlstate or 'rows'}: {answer.raw[:600]!r}"
    match verdict:
        case Refused(reason, rows):
            assert answer.reason == reason, shown
            assert answer.rows == rows, shown
        case Fails(sqlstate):
            # Over HTTP a column that is not there has a reason's name as well.
            assert answer.reason in (None, "column_not_available"), shown
            assert (answer.sqlstate or "").startswith(sqlstate), shown
        case Answered(rows):
            assert answer.sqlstate is None, shown
            assert rows is None or rows == answer.rows, shown
        case Anything():
            pass


# --- ways ------------------------------------------------------------------------------------


def send(side: Side, attempt: Attempt, way: Way) -> Answer:
    if way == "http":
        return _by_http(side, attempt)
    client = side.client(attempt.tool)
    for statement in attempt.before:
        messages = client.simple(statement)
        assert error_fields(messages) is None, (statement, messages)
    parameters = [None if each is None else each.encode() for each in attempt.parameters]
    if way == "simple" and not parameters:
        messages = client.simple(attempt.sql)
    else:
        result = BINARY if way == "binary" else TEXT
        messages = client.extended(attempt.sql, parameters, attempt.types, result)
    answer = answer_of(client, messages)
    if client.status != "I" or attempt.before:
        side.forget(attempt.tool)  # what the statement did to the session ends with it
    return answer


def answer_of(client: Client, messages: Sequence[Message]) -> Answer:
    """The answer to what was sent last."""
    raw = bytes(client.received)
    fields = error_fields(messages) or {}
    reason = re.search(r"reason: (\w+)", fields.get("D", ""))
    return Answer(
        raw=raw,
        compared=compared(messages),
        reason=reason[1] if reason else None,
        sqlstate=fields.get("C"),
        rows=sum(message.kind in "Dd" for message in messages),
        messages=list(messages),
    )


def compared(messages: Sequence[Message]) -> bytes:
    """The messages as bytes, but for the order of rows and the names of access records."""
    rows = sorted(message.body for message in messages if message.kind in "Dd")
    others = [
        message.kind.encode() + message.body for message in messages if message.kind not in "Dd"
    ]
    return ACCESS.sub(b"access", b"\n".join([*rows, *others]))


def _by_http(side: Side, attempt: Attempt) -> Answer:
    body: dict[str, object] = {"sql": attempt.sql}
    if attempt.parameters:
        body["params"] = list(attempt.parameters)
    status, raw = side.post("/v1/query", attempt.tool, body)
    document = orjson.loads(raw)
    error = document.get("error", {})
    rows = document.get("rows", [])
    shown = {**document, "rows": sorted(map(orjson.dumps, rows))} if rows else document
    reason = error.get("reason")
    return Answer(
        raw=raw,
        compared=ACCESS.sub(b"access", repr((status, shown)).replace("'", '"').encode()),
        reason=None if reason == "database_error" else reason,
        sqlstate=error.get("sqlstate"),
        rows=len(rows),
    )


def tags(answer: Answer) -> list[str]:
    return tags_of(answer.messages)
