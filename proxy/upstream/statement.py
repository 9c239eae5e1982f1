"""One statement at a time on a leased connection, its rows as a stream: for the HTTP door.

    async with lease(pool, {"consent.purpose": "newsletter"}) as upstream:
        stream = await upstream.run(text, [b"1"], parameter_types=[23])
        async for rows in stream:      # lists of rows, each a list of text values (None: NULL)
            ...
        stream.tag                     # "SELECT 2", once the rows are over

A statement that fails raises `StatementFailed`, at `run` or while its rows are read. Rows that
nobody reads stop the upstream, they do not fill memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from proxy.errors import UpstreamProtocolError
from proxy.session.errors import has_shown_hint
from proxy.session.identifiers import quote_literal
from proxy.upstream.connection import HIGH_WATER_BYTES, UpstreamConnection
from proxy.upstream.pool import Pool
from proxy.wire import messages as m
from proxy.wire.framing import BackendReader

# One row is held whole before it is handed on; PostgreSQL's own limit is 1 GiB.
ROW_BYTES_MAX: Final = 64 * 1024 * 1024

Row = list[bytes | None]


@dataclass(frozen=True, slots=True)
class ResultColumn:
    name: str
    type_oid: int
    modifier: int


class StatementFailed(Exception):  # noqa: N818 - PostgreSQL's verdict
    """PostgreSQL's error, cleaned of all that speaks of the rewriting or of hidden values."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.sqlstate = fields.get("C", "XX000")
        self.message = fields.get("M", "")
        self.hint = fields.get("H") if has_shown_hint(fields) else None
        super().__init__(f"{self.sqlstate}: {self.message}")

    @property
    def fields(self) -> dict[str, str]:
        kept = {"S": "ERROR", "V": "ERROR", "C": self.sqlstate, "M": self.message}
        return kept if self.hint is None else {**kept, "H": self.hint}


class RowStream:
    """The result of one statement. `rows` and `bytes` count what has been handed out."""

    def __init__(self, upstream: LeasedUpstream, columns: list[ResultColumn]) -> None:
        self._upstream = upstream
        self.columns = columns
        self.tag = ""
        self.rows = 0
        self.bytes = 0

    def __aiter__(self) -> AsyncIterator[list[Row]]:
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[list[Row]]:
        while True:
            kind, data = await self._upstream.next_message()
            if kind == m.DATA_ROW:
                rows = _split_rows(data)
                self.rows += len(rows)
                self.bytes += len(data)
                yield rows
            elif kind == m.COMMAND_COMPLETE:
                self.tag = m.read_tag(data)
            elif kind == m.READY:
                return


class LeasedUpstream:
    """A connection of the pool that runs one statement at a time. Made by `lease`."""

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        self._reader = BackendReader()
        self._messages: deque[tuple[int, bytes]] = deque()
        self._row = b""  # the beginning of a row that has not come whole
        self._held = 0
        self._waiting: asyncio.Future[None] | None = None
        self._failure: UpstreamProtocolError | None = None
        self._open = 0  # ReadyForQuery still to come
        self._error: dict[str, str] | None = None
        self.status = m.IDLE
        connection.attach(self)

    @property
    def is_clean(self) -> bool:
        """Everything is answered, and no transaction is open."""
        return self._open == 0 and self.status == m.IDLE and not self._connection.is_lost

    async def set_up(self, settings: Mapping[str, str]) -> None:
        """Give the session its settings, before anything else runs."""
        if not settings:
            return
        calls = (
            f"pg_catalog.set_config({quote_literal(name)}, {quote_literal(value)}, false)"
            for name, value in settings.items()
        )
        self._send(m.query(("SELECT " + ", ".join(calls)).encode()))
        await self._finish()

    async def run(
        self,
        text: str,
        parameters: Sequence[bytes | None] = (),
        parameter_types: Sequence[int] = (),
    ) -> RowStream:
        """Start a statement, parameters in text format. Raises StatementFailed."""
        self._send(
            m.parse(b"", text.encode(), parameter_types)
            + m.bind(b"", b"", parameters)
            + m.describe(b"P", b"")
            # The columns come at once, not with the first full buffer of rows.
            + m.FLUSH_MESSAGE
            + m.execute(b"")
            + m.SYNC_MESSAGE
        )
        columns: list[ResultColumn] = []
        while True:
            kind, data = await self.next_message()
            if kind == m.ROW_DESCRIPTION:
                columns = [ResultColumn(*column) for column in m.read_columns(data)]
                return RowStream(self, columns)
            if kind == m.NO_DATA:
                return RowStream(self, columns)
            if kind == m.READY:
                raise UpstreamProtocolError("the upstream did not describe a result")

    async def execute(self, text: str) -> str:
        """Run a statement without rows of interest (BEGIN, COMMIT); its command tag."""
        stream = await self.run(text)
        async for _ in stream:
            pass
        return stream.tag

    def cancel(self) -> None:
        """Ask the upstream to cancel what runs; the stream ends with 57014, or as it would."""
        if self._open:
            self._connection.cancel()

    async def next_message(self) -> tuple[int, bytes]:
        """The next message, rows in bulk; raises StatementFailed behind an error's end."""
        while not self._messages:
            if self._failure is not None:
                raise self._failure
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        kind, data = self._messages.popleft()
        self._held -= len(data)
        if self._held <= HIGH_WATER_BYTES // 2:
            self._connection.resume_reading()
        if kind in (m.COPY_OUT_RESPONSE, m.COPY_IN_RESPONSE):
            raise UpstreamProtocolError("COPY is not for a stream of rows")
        if kind == m.ERROR:
            self._error = m.read_fields(data)
            await self._finish()
        if kind == m.READY:
            self._open -= 1
            self.status = data[5]
            if self._error is not None:
                error, self._error = self._error, None
                raise StatementFailed(error)
        return kind, data

    async def _finish(self) -> None:
        while True:
            kind, _ = await self.next_message()
            if kind == m.READY:
                return

    def _send(self, data: bytes) -> None:
        if self._open:
            raise UpstreamProtocolError("another statement is running")
        self._open += 1
        self._connection.write(data)

    # --- as the connection calls it ---

    def upstream_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (found := self._reader.next()) is not None:
                kind, part, _ = found
                if kind == m.DATA_ROW:
                    self._take_rows(part)
                elif kind not in (m.NOTICE, m.NOTIFICATION, m.PARAMETER_STATUS):
                    self._put(kind, part)
        except UpstreamProtocolError as error:
            self._failure = error
            self._connection.abort()
        if self._held > HIGH_WATER_BYTES:
            self._connection.pause_reading()
        self._wake()

    def _take_rows(self, part: bytes) -> None:
        data = self._row + part if self._row else part
        end = 0
        while len(data) - end >= 5:
            length = 1 + int.from_bytes(data[end + 1 : end + 5], "big")
            if length > ROW_BYTES_MAX:
                raise UpstreamProtocolError("a row is too large")
            if len(data) - end < length:
                break
            end += length
        self._row = data[end:]
        if end:
            self._put(m.DATA_ROW, data[:end])

    def _put(self, kind: int, data: bytes) -> None:
        self._messages.append((kind, data))
        self._held += len(data)

    def upstream_lost(self) -> None:
        self._failure = self._failure or UpstreamProtocolError("the upstream was lost")
        self._wake()

    def upstream_paused(self) -> None:
        pass  # one statement is written at a time: its size bounds what waits

    def upstream_resumed(self) -> None:
        pass

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


@asynccontextmanager
async def lease(pool: Pool, settings: Mapping[str, str]) -> AsyncIterator[LeasedUpstream]:
    """A connection with these settings. What is not over at the end is cancelled.

    Raises Refused (too_many_connections, upstream_unavailable).
    """
    connection = await pool.acquire()
    upstream = LeasedUpstream(connection)
    is_clean = False
    try:
        await upstream.set_up(settings)
        yield upstream
        is_clean = upstream.is_clean
    except StatementFailed:
        is_clean = upstream.is_clean
        raise
    finally:
        if not is_clean and not connection.is_lost:
            connection.detach()
            upstream.cancel()
            await asyncio.shield(connection.cancels_taken())
        pool.release(connection, is_clean=is_clean)


def _split_rows(data: bytes) -> list[Row]:
    rows: list[Row] = []
    pos = 0
    while pos < len(data):
        row, pos = m.read_row(data, pos)
        rows.append(row)
    return rows
