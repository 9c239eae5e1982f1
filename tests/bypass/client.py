"""A client that keeps every byte it gets, and can send whatever it likes. Blocking, on purpose."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn, Self

from proxy.wire import messages as m
from proxy.wire.scram import ScramClient
from proxy.wire.startup import startup_message

TIMEOUT_S: Final = 20.0

TEXT, BINARY = 0, 1


@dataclass(frozen=True, slots=True)
class Message:
    kind: str
    body: bytes


class Closed(Exception):  # noqa: N818 - an event
    """The proxy closed the connection."""


@dataclass(slots=True)
class Client:
    """One connection. `received` is everything that came since it was last emptied, but for the
    login's own messages.
    """

    socket: socket.socket
    received: bytearray = field(default_factory=bytearray)
    messages: list[Message] = field(default_factory=list)
    _pending: bytearray = field(default_factory=bytearray)
    status: str = "I"

    @classmethod
    def connect(cls, address: tuple[str, int], user: str, password: str, **start: str) -> Self:
        """Logged in and idle. Raises Closed where the proxy says no; `received` tells why."""
        client = cls(socket.create_connection(address, timeout=TIMEOUT_S))
        client.log_in(startup_message({"user": user, **start}), password)
        return client

    @classmethod
    def open(cls, address: tuple[str, int]) -> Self:
        return cls(socket.create_connection(address, timeout=TIMEOUT_S))

    def close(self) -> None:
        self.socket.close()

    def log_in(self, packet: bytes, password: str) -> None:
        self.socket.sendall(packet)
        scram: ScramClient | None = None
        while True:
            message = self.next()
            if message.kind == "Z":
                return
            if message.kind == "E":
                raise Closed
            if message.kind != "R":
                continue
            code, body = int.from_bytes(message.body[:4], "big"), message.body[4:]
            if code == 10:
                names = [name.decode() for name in body.split(b"\0") if name]
                scram = ScramClient(names, password, os.urandom(18), None)
                first = scram.first()
                head = scram.mechanism.encode() + b"\0" + struct.pack("!i", len(first))
                self.socket.sendall(m.message(m.PASSWORD, head + first))
            elif code == 11 and scram is not None:
                self.socket.sendall(m.message(m.PASSWORD, scram.final(body)))

    # --- sending ---

    def send(self, *parts: bytes) -> list[Message]:
        """Send, and read up to ReadyForQuery; the messages of this answer."""
        self.messages.clear()
        self.received.clear()
        self.socket.sendall(b"".join(parts))
        while self.next().kind != "Z":
            pass
        self.status = self.messages[-1].body.decode()
        return list(self.messages)

    def simple(self, sql: str) -> list[Message]:
        return self.send(m.query(sql.encode()))

    def extended(
        self,
        sql: str,
        parameters: Sequence[bytes | None] = (),
        types: Sequence[int] = (),
        result: int = TEXT,
    ) -> list[Message]:
        return self.send(
            m.parse(b"", sql.encode(), types),
            m.bind(b"", b"", parameters, result_formats=[result]),
            m.describe(b"P", b""),
            m.execute(b""),
            m.SYNC_MESSAGE,
        )

    # --- receiving ---

    def next(self) -> Message:
        while len(self._pending) < 5 or len(self._pending) < self._length:
            data = self.socket.recv(65536)
            if not data:
                raise Closed
            self._pending += data
        message = Message(chr(self._pending[0]), bytes(self._pending[5 : self._length]))
        if message.kind not in "RK":  # random bytes of the login: any letters can be among them
            self.received += self._pending[: self._length]
        del self._pending[: self._length]
        self.messages.append(message)
        return message

    def drain(self) -> NoReturn:
        """Read until the proxy closes the connection."""
        while True:
            self.next()

    @property
    def _length(self) -> int:
        return 1 + int.from_bytes(self._pending[1:5], "big")


def error_fields(messages: Sequence[Message]) -> dict[str, str] | None:
    """The fields of the first error among them."""
    for message in messages:
        if message.kind == "E":
            return m.read_fields(m.message(m.ERROR, message.body))
    return None


def rows_of(messages: Sequence[Message]) -> list[list[bytes | None]]:
    return [_row(message.body) for message in messages if message.kind == "D"]


def tags_of(messages: Sequence[Message]) -> list[str]:
    return [each.body.rstrip(b"\0").decode() for each in messages if each.kind == "C"]


def _row(body: bytes) -> list[bytes | None]:
    (count,) = struct.unpack_from("!h", body)
    at, values = 2, []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if length < 0 else body[at : at + length])
        at += max(length, 0)
    return values
