"""The two doors of a proxy as ways to ask, one proxy in front of each database."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from proxy.gateway.results import CSV, FORMS, JSON, NDJSON
from tests.noninterference.asking import ANSWER_S_MAX, Answer, Line, Outcome
from tests.noninterference.statements import Statement
from tests.world import World


def open_line(world: World, tool: str, purpose: str) -> Line:
    """By PostgreSQL's protocol; the purpose is chosen by the database's name."""
    return Line.open(world.dsn(tool, purpose) + "?sslmode=disable&gssencmode=disable")


class HttpCaller:
    """`POST /v1/query`; what HTTP does not answer (cursors, COPY) is asked of the other door."""

    def __init__(self, world: World, tool: str, purpose: str) -> None:
        self._address = urlsplit(world.http).netloc
        self._headers = {
            "Authorization": f"Bearer {world.tokens[tool]}",
            "Content-Type": "application/json",
        }
        self._purpose = purpose
        self._line = open_line(world, tool, purpose)

    def close(self) -> None:
        self._line.close()

    def ask(self, statement: Statement) -> Answer:
        (step, *others) = statement.steps
        if others or step.types or statement.form in ("several", "copy", "copy relation"):
            return self._line.ask(statement)
        body = {"sql": step.text, "params": list(step.values), "purpose": self._purpose}
        media = FORMS[len(statement.choices) % len(FORMS)]
        headers = {**self._headers, "Accept": media}
        # A new connection each time: an idle one is closed, and others are asked between.
        with closing(http.client.HTTPConnection(self._address, timeout=ANSWER_S_MAX)) as connection:
            connection.request("POST", "/v1/query", orjson.dumps(body), headers)
            response = connection.getresponse()
            try:
                content = response.read()
            except http.client.IncompleteRead:
                # So ends a result that failed after its first rows, where it can not say so.
                cut = (("MESSAGE_PRIMARY", "cut"), ("SQLSTATE", ""))
                return Answer((Outcome(error=cut),))
        form = JSON if response.status != http.HTTPStatus.OK else media
        return Answer((_READERS[form](content, str(response.status), statement.is_ordered),))


def _json(content: bytes, status: str, is_ordered: bool) -> Outcome:
    document: Any = orjson.loads(content)
    if "error" in document:
        return _failure(document["error"], status)
    return _rows(document["columns"], document["rows"], status, is_ordered=is_ordered)


def _ndjson(content: bytes, status: str, is_ordered: bool) -> Outcome:
    head, *rows, end = map(orjson.loads, content.splitlines())
    if "error" in end:
        return _failure(end["error"], status)
    assert end == {"end": {"rows": len(rows)}}, end
    return _rows(head["columns"], rows, status, is_ordered=is_ordered)


def _csv(content: bytes, status: str, is_ordered: bool) -> Outcome:
    # Without csv's own reader: it knows no difference between NULL and an empty text.
    head, *lines = content.removesuffix(b"\r\n").split(b"\r\n")
    return _rows(
        [head.decode()], [[each.decode()] for each in lines], status, is_ordered=is_ordered
    )


_READERS: Final = {JSON: _json, NDJSON: _ndjson, CSV: _csv}


def _failure(told: dict[str, Any], status: str) -> Outcome:
    told.pop("access_id", None)
    message, sqlstate = str(told.pop("message", "")), str(told.pop("sqlstate", ""))
    reason = told.get("reason")
    fields = {"MESSAGE_PRIMARY": message, "SQLSTATE": sqlstate, "HTTP": status}
    fields.update({name: str(value) for name, value in told.items()})
    is_refused = bool(reason) and reason != "database_error"
    return Outcome(error=tuple(sorted(fields.items())), is_refused=is_refused)


def _rows(
    columns: Sequence[object], rows: Sequence[Sequence[object]], status: str, *, is_ordered: bool
) -> Outcome:
    shown = [tuple(orjson.dumps(value) for value in row) for row in rows]
    if not is_ordered:
        shown.sort()
    described = tuple((orjson.dumps(column), 0, 0) for column in columns)
    return Outcome(tag=status, columns=described, rows=tuple(shown))
