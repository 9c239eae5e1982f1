"""A client that speaks the protocol byte by byte and keeps every message it gets."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from typing import Self

from proxy.wire import messages as m
from proxy.wire.scram import ScramClient
from proxy.wire.startup import SSL_REQUEST, startup_message
from tests.wire.doubles import PASSWORD

TIMEOUT_S = 20


class Raw:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.parameters: dict[str, str] = {}
        self.key = (0, b"")

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def login(
        cls,
        port: int,
        database: str,
        user: str = "mailer",
        password: str = PASSWORD,
        **settings: str,
    ) -> Self:
        client = await cls.open(port)
        await client.log_in({"user": user, "database": database, **settings}, password)
        return client

    async def log_in(
        self,
        start: dict[str, str],
        password: str = PASSWORD,
        *,
        binding: bytes | None = None,
        packet: bytes | None = None,
    ) -> list[tuple[str, bytes]]:
        """Everything up to ReadyForQuery; raises Failed with the fields of an error."""
        self.send(packet or startup_message(start))
        seen: list[tuple[str, bytes]] = []
        scram: ScramClient | None = None
        while True:
            kind, data = await self.next()
            seen.append((kind, data))
            if kind == "E":
                raise Failed(m.read_fields(data))
            if kind == "S":
                name, value = m.read_parameter_status(data)
                self.parameters[name] = value
            elif kind == "K":
                self.key = (int.from_bytes(data[5:9], "big"), data[9:])
            elif kind == "Z":
                return seen
            elif kind == "R":
                code, body = int.from_bytes(data[5:9], "big"), data[9:]
                if code == 10:
                    names = [name.decode() for name in body.split(b"\0") if name]
                    scram = ScramClient(names, password, os.urandom(18), binding)
                    first = scram.first()
                    head = scram.mechanism.encode() + b"\0" + len(first).to_bytes(4, "big")
                    self.send(m.message(m.PASSWORD, head + first))
                elif code == 11 and scram is not None:
                    self.send(m.message(m.PASSWORD, scram.final(body)))
                elif code == 12 and scram is not None:
                    scram.verify(body)

    async def secure(self, context: ssl.SSLContext) -> None:
        self.send(SSL_REQUEST)
        assert await self.reader.readexactly(1) == b"S"
        await self.writer.start_tls(context)

    def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def next(self) -> tuple[str, bytes]:
        async with asyncio.timeout(TIMEOUT_S):
            head = await self.reader.readexactly(5)
            body = await self.reader.readexactly(int.from_bytes(head[1:], "big") - 4)
        return chr(head[0]), head + body

    async def until_ready(self, count: int = 1) -> list[tuple[str, bytes]]:
        """Messages up to and with the count-th ReadyForQuery."""
        seen: list[tuple[str, bytes]] = []
        while count:
            kind, data = await self.next()
            seen.append((kind, data))
            count -= kind == "Z"
        return seen

    async def query(self, text: str) -> list[tuple[str, bytes]]:
        self.send(m.query(text.encode()))
        return await self.until_ready()

    async def closed(self) -> bytes:
        """What comes before the connection is closed."""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.transport.abort()


async def until(condition: Callable[[], object]) -> None:
    """Return when what is set off elsewhere in this loop has come about."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - the code under test has no event to wait for
            await asyncio.sleep(0)


class Failed(Exception):  # noqa: N818 - a login that was refused, as it should be
    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(str(fields))
        self.fields = fields


def kinds(seen: list[tuple[str, bytes]]) -> str:
    """The types of messages, in order."""
    return "".join(kind for kind, _ in seen)


def error(seen: list[tuple[str, bytes]]) -> dict[str, str]:
    """The fields of the only error."""
    (found,) = [m.read_fields(data) for kind, data in seen if kind == "E"]
    return found


def rows(seen: list[tuple[str, bytes]]) -> list[list[bytes | None]]:
    return [m.read_row(data, 0)[0] for kind, data in seen if kind == "D"]


def status(seen: list[tuple[str, bytes]]) -> str:
    """The transaction status of the last ReadyForQuery."""
    return chr([data for kind, data in seen if kind == "Z"][-1][5])
