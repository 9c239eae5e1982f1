"""The two doors of a proxy as ways to ask, one proxy in front of each database."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.noninterference.asking import Answer, Line, Outcome
from tests.noninterference.statements import Statement
from tests.world import World


def open_line(world: World, tool: str, purpose: str) -> Line:
    """By PostgreSQL's protocol; the purpose is chosen by the database's name."""
    return Line.open(world.dsn(tool, purpose) + "?sslmode=disable&gssencmode=disable")


class HttpCaller:
    """`POST /v1/query`; what HTTP does not answer (cursors, COPY) is asked of the other door."""

    def __init__(self, world: World, tool: str, purpose: str) -> None:
        address = urlsplit(world.http)
        assert address.hostname is not None
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        self._headers = {
            "Authorization": f"Bearer {world.tokens[tool]}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._purpose = purpose
        self._line = open_line(world, tool, purpose)

    def close(self) -> None:
        self._connection.close()
        self._line.close()

    def ask(self, statement: Statement) -> Answer:
        (step, *others) = statement.steps
        if others or step.types or statement.form in ("several", "copy", "copy relation"):
            return self._line.ask(statement)
        body = {"sql": step.text, "params": list(step.values), "purpose": self._purpose}
        self._connection.request("POST", "/v1/query", orjson.dumps(body), self._headers)
        response = self._connection.getresponse()
        document: Any = orjson.loads(response.read())
        return Answer((_outcome(response.status, document, is_ordered=statement.is_ordered),))


def _outcome(status: int, document: Any, *, is_ordered: bool) -> Outcome:
    if "error" in document:
        told = document["error"]
        told.pop("access_id", None)
        message, sqlstate = str(told.pop("message", "")), str(told.pop("sqlstate", ""))
        reason = told.get("reason")
        fields = {"MESSAGE_PRIMARY": message, "SQLSTATE": sqlstate, "HTTP": str(status)}
        fields.update({name: str(value) for name, value in told.items()})
        return Outcome(error=tuple(sorted(fields.items())), is_refused=bool(reason))
    rows = [tuple(orjson.dumps(value) for value in row) for row in document["rows"]]
    if not is_ordered:
        rows.sort()
    columns = tuple((orjson.dumps(column), 0, 0) for column in document["columns"])
    return Outcome(tag=str(status), columns=columns, rows=tuple(rows))
