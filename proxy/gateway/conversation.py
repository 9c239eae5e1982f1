"""One statement on a leased upstream connection: described, bound, its rows one part at a time.

    conversation = Conversation(connection)
    description = await conversation.describe(settings, text)
    conversation.execute(parameters)
    while (rows := await conversation.rows()) is not None: …

What the upstream sends faster than it is taken stays in its socket: never more than a few hundred
kilobytes are held here, however large the result.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.errors import UpstreamProtocolError
from proxy.session.errors import sqlstate_of
from proxy.upstream.connection import UpstreamConnection
from proxy.wire import messages
from proxy.wire.framing import BackendReader

Row = list[bytes | None]

_HIGH_WATER_BYTES: Final = 256 * 1024
_LOW_WATER_BYTES: Final = 64 * 1024
# So many rows are handed out at once that making JSON of them does not hold up the event loop.
_PART_BYTES: Final = 16 * 1024
# A row is made into JSON whole; larger ones belong to the other door, which never holds a row.
ROW_BYTES_MAX: Final = 64 * 1024 * 1024

# Named, as the unnamed statement would not outlive a simple query between Parse and Bind.
_STATEMENT: Final = b"statement"
_SKIPPED: Final = frozenset(
    {messages.PARAMETER_STATUS, messages.NOTICE, messages.NOTIFICATION, messages.BACKEND_KEY}
)


class DatabaseError(Exception):
    """The upstream answered with an error; `fields` as it sent them. The conversation goes on.

    `is_analysis`: it came before anything ran.
    """

    def __init__(self, fields: dict[str, str], *, is_analysis: bool = False) -> None:
        super().__init__(fields.get("C", ""))
        self.fields = fields
        self.is_analysis = is_analysis

    @property
    def sqlstate(self) -> str:
        return sqlstate_of(self.fields)


class RowTooLarge(Exception):  # noqa: N818 - named for what it is
    """A row has more than ROW_BYTES_MAX bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Parameter types (oids), and name, type oid and type modifier of each column."""

    parameters: tuple[int, ...]
    columns: tuple[tuple[str, int, int], ...]


class Conversation:
    """Speaks the protocol on a connection until `leave`. Raises UpstreamProtocolError when lost."""

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        self._reader = BackendReader()
        self._rows = _RowReader()
        self._received: deque[tuple[int, bytes]] = deque()
        self._held = 0
        self._is_broken = False
        self._waiter: asyncio.Future[None] | None = None
        self._unanswered = 0  # Query and Sync messages whose ReadyForQuery has not come
        connection.attach(self)

    @property
    def is_clean(self) -> bool:
        """Every answer was read and no transaction is open: the connection can be used again."""
        return self._unanswered == 0 and not self._is_broken and not self._connection.is_lost

    @property
    def has_more(self) -> bool:
        """Something has been received that `rows` need not wait for."""
        return bool(self._received)

    def leave(self) -> None:
        """Stop listening; a statement that still runs is asked to stop."""
        if self._connection.is_lost:
            return
        self._connection.detach()
        if self._unanswered:
            self._connection.cancel()

    # --- the steps ---

    async def describe(self, settings: str, text: str) -> Description:
        """Run `settings` (SET statements), then prepare `text`. Raises DatabaseError."""
        self._send(
            messages.query(settings.encode()),
            messages.parse(_STATEMENT, text.encode())
            + messages.describe(b"S", _STATEMENT)
            + messages.SYNC_MESSAGE,
        )
        try:
            await self._until_ready()
        except DatabaseError:
            await self._until_ready()  # the statement's own answer is of no use any more
            raise
        try:
            found = await self._until_ready()
        except DatabaseError as error:
            raise DatabaseError(error.fields, is_analysis=True) from None
        parameters: tuple[int, ...] = ()
        columns: tuple[tuple[str, int, int], ...] = ()
        for kind, data in found:
            if kind == messages.PARAMETER_DESCRIPTION:
                parameters = messages.read_parameter_types(data)
            elif kind == messages.ROW_DESCRIPTION:
                columns = tuple(messages.read_columns(data))
        return Description(parameters=parameters, columns=columns)

    async def ask(self, text: str) -> list[Row]:
        """The rows of a question of our own; they are few."""
        self._send(messages.query(text.encode()))
        rows = _RowReader()
        return [
            row
            for kind, data in await self._until_ready()
            if kind == messages.DATA_ROW
            for row in rows.feed(data)
        ]

    def execute(self, parameters: Sequence[bytes | None]) -> None:
        """Start the prepared statement; its rows come from `rows`."""
        self._send(
            messages.bind(b"", _STATEMENT, parameters)
            + messages.execute(b"")
            + messages.SYNC_MESSAGE
        )

    async def rows(self) -> list[Row] | None:
        """The next rows, None after the last. Raises DatabaseError, RowTooLarge."""
        while True:
            kind, data = await self._next()
            if kind == messages.DATA_ROW:
                rows = self._rows.feed(data)
                if rows:
                    return rows
            elif kind == messages.READY:
                return None
            elif kind == messages.ERROR:
                await self._until_ready()
                raise DatabaseError(messages.read_fields(data))
            elif kind not in (messages.BIND_COMPLETE, messages.COMMAND_COMPLETE):
                raise self._broken("unexpected message in a result")

    # --- messages ---

    def _send(self, *packets: bytes) -> None:
        self._unanswered += len(packets)
        self._connection.write(b"".join(packets))

    async def _until_ready(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        failed: dict[str, str] | None = None
        while True:
            kind, data = await self._next()
            if kind == messages.READY:
                break
            if kind == messages.ERROR:
                failed = messages.read_fields(data)
            else:
                found.append((kind, data))
        if failed is not None:
            raise DatabaseError(failed)
        return found

    async def _next(self) -> tuple[int, bytes]:
        while not self._received:
            if self._is_broken or self._connection.is_lost:
                raise UpstreamProtocolError("the upstream closed the connection")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        kind, data = self._received.popleft()
        self._held -= len(data)
        if self._held <= _LOW_WATER_BYTES:
            self._connection.resume_reading()
        if kind == messages.READY:
            self._unanswered -= 1
            if len(data) != 6 or data[5] != messages.IDLE:
                raise self._broken("a statement left a transaction open")
        return kind, data

    def _broken(self, why: str) -> UpstreamProtocolError:
        self._is_broken = True
        return UpstreamProtocolError(why)

    # --- as the connection calls it ---

    def upstream_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (found := self._reader.next()) is not None:
                kind, part, _ = found
                if kind not in _SKIPPED:
                    self._keep(kind, part)
        except UpstreamProtocolError:
            self._is_broken = True
            self._connection.abort()
        if self._held > _HIGH_WATER_BYTES:
            self._connection.pause_reading()
        self._wake()

    def _keep(self, kind: int, part: bytes) -> None:
        self._held += len(part)
        if kind != messages.DATA_ROW:
            self._received.append((kind, part))
            return
        for start in range(0, len(part), _PART_BYTES):
            self._received.append((kind, part[start : start + _PART_BYTES]))

    def upstream_lost(self) -> None:
        self._wake()

    def upstream_paused(self) -> None:
        # What is written here is bounded by the size of one request.
        pass

    def upstream_resumed(self) -> None:
        pass

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _RowReader:
    """Whole rows from a stream of DataRow messages that was cut anywhere."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._wanted = 0

    def feed(self, part: bytes) -> list[Row]:
        self._parts.append(part)
        self._held += len(part)
        if self._held < self._wanted:
            return []
        # Joined only when a row is complete, else a large one would be copied once a part.
        data = b"".join(self._parts) if len(self._parts) > 1 else part
        rows: list[Row] = []
        pos = 0
        while True:
            if len(data) - pos < 5:
                self._wanted = 5
                break
            length = int.from_bytes(data[pos + 1 : pos + 5], "big") + 1
            if length > ROW_BYTES_MAX:
                raise RowTooLarge
            if len(data) - pos < length:
                self._wanted = length
                break
            row, pos = messages.read_row(data, pos)
            rows.append(row)
        rest = data[pos:]
        self._parts = [rest] if rest else []
        self._held = len(rest)
        return rows
