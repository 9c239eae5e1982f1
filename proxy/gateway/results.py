"""The three forms of a result, as bytes that can be sent as they are made.

`application/json`    {"columns":[{"name","type"}],"rows":[[…]],"access_id":…}
`application/x-ndjson`  {"columns":…,"access_id":…}, one array per row, {"end":{"rows":n}}
`text/csv`            a header line, then the rows (RFC 4180, UTF-8)

A result that ends early can be told from a whole one: NDJSON ends with {"error":…}, the others
are cut, and HTTP's own framing (chunks without a last one) says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import orjson

from proxy.gateway.conversation import Row
from proxy.gateway.values import ColumnType, Encoder, csv_encoder, csv_field, json_encoder


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: ColumnType


class Form(Protocol):
    """Makes the bytes of one result."""

    def begin(self) -> bytes: ...
    def rows(self, rows: Sequence[Row]) -> bytes: ...
    def end(self, count: int) -> bytes: ...
    def fail(self, problem: bytes) -> bytes | None:
        """What ends a result that failed; None: nothing can, the connection must be cut."""


JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
FORMS: Final = (JSON, NDJSON, CSV)


def form_of(media: str, columns: Sequence[Column], access_id: str | None) -> Form:
    match media:
        case "application/x-ndjson":
            return _NdjsonForm(columns, access_id)
        case "text/csv":
            return _CsvForm(columns)
        case _:
            return _JsonForm(columns, access_id)


def content_type(media: str) -> str:
    return "text/csv; charset=utf-8; header=present" if media == CSV else media


def _described(columns: Sequence[Column]) -> list[dict[str, str]]:
    return [{"name": column.name, "type": column.type.name} for column in columns]


class _JsonForm:
    def __init__(self, columns: Sequence[Column], access_id: str | None) -> None:
        self._columns = columns
        self._access_id = access_id
        self._row = _row_encoder([json_encoder(column.type) for column in columns])
        self._is_first = True

    def begin(self) -> bytes:
        return b'{"columns":' + orjson.dumps(_described(self._columns)) + b',"rows":['

    def rows(self, rows: Sequence[Row]) -> bytes:
        text = b",".join(map(self._row, rows))
        if self._is_first:
            self._is_first = False
            return text
        return b"," + text

    def end(self, count: int) -> bytes:  # noqa: ARG002 - the rows can be counted
        return b'],"access_id":' + orjson.dumps(self._access_id) + b"}"

    def fail(self, problem: bytes) -> None:  # noqa: ARG002 - nothing may make it valid JSON
        return None


class _NdjsonForm:
    def __init__(self, columns: Sequence[Column], access_id: str | None) -> None:
        self._columns = columns
        self._access_id = access_id
        self._row = _row_encoder([json_encoder(column.type) for column in columns])

    def begin(self) -> bytes:
        head = {"columns": _described(self._columns), "access_id": self._access_id}
        return orjson.dumps(head) + b"\n"

    def rows(self, rows: Sequence[Row]) -> bytes:
        return b"\n".join(map(self._row, rows)) + b"\n"

    def end(self, count: int) -> bytes:
        return orjson.dumps({"end": {"rows": count}}) + b"\n"

    def fail(self, problem: bytes) -> bytes:
        return problem + b"\n"


class _CsvForm:
    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._encoders: list[Encoder] = [csv_encoder(column.type) for column in columns]

    def begin(self) -> bytes:
        return b",".join(csv_field(column.name.encode()) for column in self._columns) + b"\r\n"

    def rows(self, rows: Sequence[Row]) -> bytes:
        encoders = self._encoders
        lines = (
            b",".join(
                b"" if value is None else encode(value)
                for value, encode in zip(row, encoders, strict=True)
            )
            for row in rows
        )
        return b"\r\n".join(lines) + b"\r\n"

    def end(self, count: int) -> bytes:  # noqa: ARG002 - the lines can be counted
        return b""

    def fail(self, problem: bytes) -> None:  # noqa: ARG002 - CSV has no place for an error
        return None


def _row_encoder(encoders: Sequence[Encoder]) -> Callable[[Row], bytes]:
    def encode(row: Row) -> bytes:
        return (
            b"["
            + b",".join(
                b"null" if value is None else encoder(value)
                for value, encoder in zip(row, encoders, strict=True)
            )
            + b"]"
        )

    return encode
