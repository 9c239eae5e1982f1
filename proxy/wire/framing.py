"""Splitting byte streams into protocol messages: the inner loop of the relay.

Plain typed code over `bytes` and integers, so that mypyc can compile this one module (indexing, no
struct, no memoryview, machine integers where rows are counted: that is what makes it 10–20 times
faster there) and so that it runs as it is where there is no compiler.

A message is a type byte and a length that counts itself but not the type byte (PostgreSQL manual,
"Message Formats").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mypy_extensions import i64

from proxy.errors import ClientProtocolError, UpstreamProtocolError

HEADER_BYTES: Final = 5

DATA_ROW: Final = 0x44  # D
COPY_DATA: Final = 0x64  # d

# Messages other than rows are looked at whole. The largest that PostgreSQL sends are an error that
# quotes a value and a description of 1,600 columns; more than this is not PostgreSQL.
BACKEND_MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024


class FrontendReader:
    """The messages of a client, one at a time, each whole.

    `limits` gives the largest body for a type byte, `limit` that of all others. A message that
    is longer is swallowed without being kept, and reported as `(type, b"")`.
    """

    __slots__ = ("_data", "_held", "_late", "_limit", "_limits", "_pos", "_skip", "_wanted")

    def __init__(self, limits: Mapping[int, int], limit: int) -> None:
        self._limits = limits
        self._limit = limit
        self._data = b""
        self._pos = 0
        self._late: list[bytes] = []  # what came after _data and is not joined yet
        self._held = 0  # bytes in _late
        self._wanted = 0  # bytes from _pos on that complete the message we wait for
        self._skip = 0  # bytes still to come of a message that is too long

    @property
    def buffered(self) -> int:
        """Bytes that were received and not yet handed out."""
        return len(self._data) - self._pos + self._held

    @property
    def is_between_messages(self) -> bool:
        """Whether the next byte begins a message: also none that is too long is being skipped."""
        return not (self._skip or self._late) and self._pos == len(self._data)

    def relimit(self, limits: Mapping[int, int], limit: int) -> None:
        """Use other limits from the next message on (after authentication)."""
        self._limits = limits
        self._limit = limit

    def feed(self, chunk: bytes) -> None:
        if self._skip:
            if len(chunk) <= self._skip:
                self._skip -= len(chunk)
                return
            chunk = chunk[self._skip :]
            self._skip = 0
        if self._pos == len(self._data) and not self._late:
            self._data = chunk
            self._pos = 0
            return
        # Joined only when a message is complete, else a large Bind would be copied once a chunk.
        self._late.append(chunk)
        self._held += len(chunk)

    def _join(self) -> None:
        self._late.insert(0, self._data[self._pos :])
        self._data = b"".join(self._late)
        self._pos = 0
        self._late = []
        self._held = 0

    def next(self) -> tuple[int, bytes] | None:
        """The next whole message with its header, or None until more has been fed."""
        if self._late and self.buffered >= self._wanted:
            self._join()
        data = self._data
        pos = self._pos
        available = len(data) - pos
        if available < HEADER_BYTES:
            self._wanted = HEADER_BYTES
            return None
        length = (
            (data[pos + 1] << 24) | (data[pos + 2] << 16) | (data[pos + 3] << 8) | data[pos + 4]
        )
        # The length counts itself: less than four is a lie, not a short read.
        if length < 4 or length > 0x7FFFFFFF:
            raise ClientProtocolError("message length is out of range")
        kind = data[pos]
        total = length + 1
        if length - 4 > self._limits.get(kind, self._limit):
            self._drop(total)
            return kind, b""
        if available < total:
            self._wanted = total
            return None
        self._wanted = 0
        end = pos + total
        message = data if pos == 0 and end == len(data) else data[pos:end]
        self._pos = end
        return kind, message

    def _drop(self, total: int) -> None:
        self._join()
        if len(self._data) >= total:
            self._pos = total
        else:
            self._skip = total - len(self._data)
            self._data = b""
            self._pos = 0
        self._wanted = 0

    def execute_ahead(self, portal: bytes) -> int:
        """Is the Execute of a portal that is being bound already there, behind its Bind?"""
        if self._late:
            self._join()
        return execute_ahead(self._data, portal, self._pos)


class BackendReader:
    """The messages of the upstream; rows in bulk, as they were received.

    `next` gives `(type, bytes, rows)`. For rows (DataRow, CopyData) the bytes are any part of the
    stream that holds nothing but rows of one type, even parts of them, and `rows` counts those
    that begin in it. Every other message comes whole, with `rows` 0.
    """

    __slots__ = ("_data", "_held", "_late", "_pos", "_row", "_row_rest", "_wanted")

    def __init__(self) -> None:
        self._data = b""
        self._pos = 0
        self._late: list[bytes] = []
        self._held = 0
        self._wanted = 0
        self._row = DATA_ROW
        self._row_rest = 0  # bytes still to come of a row that was handed out in part

    @property
    def is_between_messages(self) -> bool:
        """False while part of a row has been handed out and the rest has not."""
        return self._row_rest == 0

    def feed(self, chunk: bytes) -> None:
        if self._pos == len(self._data) and not self._late:
            self._data = chunk
            self._pos = 0
            return
        self._late.append(chunk)
        self._held += len(chunk)

    def _join(self) -> None:
        self._late.insert(0, self._data[self._pos :])
        self._data = b"".join(self._late)
        self._pos = 0
        self._late = []
        self._held = 0

    def next(self) -> tuple[int, bytes, int] | None:
        if self._late and len(self._data) - self._pos + self._held >= self._wanted:
            self._join()
        data = self._data
        start = self._pos
        size = len(data)
        if start >= size:
            return None
        if self._row_rest or data[start] == DATA_ROW or data[start] == COPY_DATA:
            return self._rows(data, start, size)
        if size - start < HEADER_BYTES:
            self._wanted = HEADER_BYTES
            return None
        length = (
            (data[start + 1] << 24)
            | (data[start + 2] << 16)
            | (data[start + 3] << 8)
            | data[start + 4]
        )
        if length < 4 or length > BACKEND_MESSAGE_BYTES_MAX:
            raise UpstreamProtocolError("message length is out of range")
        end = start + length + 1
        if end > size:
            self._wanted = length + 1
            return None
        self._wanted = 0
        self._pos = end
        return data[start], (data if start == 0 and end == size else data[start:end]), 0

    def _rows(self, data: bytes, start: i64, size: i64) -> tuple[int, bytes, int] | None:
        pos = start
        rows: i64 = 0
        rest: i64 = self._row_rest
        if rest:
            if size - pos <= rest:
                self._row_rest = rest - (size - pos)
                self._pos = size
                self._wanted = 0
                return self._row, (data if start == 0 else data[start:]), 0
            pos += rest
            rest = 0
        else:
            self._row = data[pos]
        # Machine integers, each byte into one: a third of the time (bulk results are this loop).
        kind: i64 = self._row
        while pos + 5 <= size:
            found: i64 = data[pos]
            if found != kind:
                break
            b1: i64 = data[pos + 1]
            b2: i64 = data[pos + 2]
            b3: i64 = data[pos + 3]
            b4: i64 = data[pos + 4]
            length = (b1 << 24) | (b2 << 16) | (b3 << 8) | b4
            if length < 4 or length > 0x7FFFFFFF:
                raise UpstreamProtocolError("row length is out of range")
            rows += 1
            pos += length + 1
        if pos > size:
            rest = pos - size
            pos = size
        self._row_rest = rest
        self._pos = pos
        if pos == start:  # less than a header of a row
            self._wanted = HEADER_BYTES
            return None
        self._wanted = 0
        return self._row, (data if start == 0 and pos == size else data[start:pos]), rows


EXECUTE_NONE: Final = 0
EXECUTE_LIMITED: Final = 1
EXECUTE_WHOLE: Final = 2


def execute_ahead(data: bytes, portal: bytes, pos: int = 0) -> int:
    """The same of `data` from `pos` on. Nothing but what is looked at is copied.

    EXECUTE_WHOLE: yes, for all rows; EXECUTE_LIMITED: yes, for some; EXECUTE_NONE: not, or
    something other than Describe stands between.
    """
    while len(data) - pos >= HEADER_BYTES:
        length = (
            (data[pos + 1] << 24) | (data[pos + 2] << 16) | (data[pos + 3] << 8) | data[pos + 4]
        )
        if length < 4 or length > len(data) - pos - 1:
            return EXECUTE_NONE
        kind = data[pos]
        end = pos + length + 1
        if kind == 0x45:  # Execute: portal name, NUL, Int32 row limit
            if length != len(portal) + 9 or data[pos + 5 : end - 4] != portal + b"\0":
                return EXECUTE_NONE
            return EXECUTE_WHOLE if data[end - 4 : end] == b"\0\0\0\0" else EXECUTE_LIMITED
        if kind != 0x44:  # Describe
            return EXECUTE_NONE
        pos = end
    return EXECUTE_NONE
