"""Connecting to something that is not PostgreSQL, or not kind: refused, within bounds."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from proxy.config import Database
from proxy.config_url import read_url
from proxy.errors import Refused, UpstreamProtocolError
from proxy.upstream import connection as upstream
from proxy.upstream.pool import Pool
from proxy.wire import messages as m

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def asks(code: int, body: bytes = b"") -> bytes:
    return m.message(m.AUTHENTICATION, struct.pack("!i", code) + body)


OK: Final = asks(0)
GREETING: Final = (
    OK + m.parameter_status("server_version", "18.0") + m.backend_key(1, b"1234") + m.ready(m.IDLE)
)
SASL: Final = asks(10, b"SCRAM-SHA-256\0\0")
PRIMARY: Final = (
    m.message(m.ROW_DESCRIPTION, b"\0\0")
    + m.message(m.DATA_ROW, b"\0\1\0\0\0\1f")
    + m.command_complete("SELECT 1")
    + m.ready(m.IDLE)
)

# What is said when the StartupMessage has come; the connection is closed behind it.
SAID: Final = {
    "nothing": b"",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "half a message": OK[:6],
    "password in clear": asks(3),
    "MD5": asks(5, b"salt"),
    "Kerberos": asks(2),
    "GSS": asks(7),
    "GSS, on": asks(8, b"token"),
    "SSPI": asks(9),
    "an unknown way": asks(99),
    "no code at all": m.message(m.AUTHENTICATION),
    "SASL without a mechanism": asks(10, b"\0"),
    "SASL of another kind": asks(10, b"OAUTHBEARER\0\0"),
    "SASL with bytes that are none": asks(10, b"\xff\xfe\0"),
    "SASL twice": SASL + SASL,
    "the middle of SASL first": asks(11, b"r=x,s=eA==,i=4096"),
    "the end of SASL first": asks(12, b"v=eA=="),
    "SASL and then simply yes": SASL + OK,
    "too many iterations": SASL + asks(11, b"r=x,s=eA==,i=4294967295"),
    "iterations of many digits": SASL + asks(11, b"r=x,s=eA==,i=" + b"9" * 5000),
    "no salt": SASL + asks(11, b"r=x,s=,i=1"),
    "an error": m.refusal("FATAL", "28P01", "no"),
    "an error without an end": m.message(m.ERROR, b"SFATAL"),
    "an error without fields": m.message(m.ERROR, b"\0"),
    "a length that is a lie": b"R\0\0\0\3",
    "a length beyond all": b"R\x7f\xff\xff\xff",
    "rows before anything": m.message(m.DATA_ROW, b"\0\0"),
    "ready before it is": m.ready(m.IDLE),
    "a protocol it negotiates": m.negotiate(0, ["_pq_.x"]),
    "to be copied into": m.message(m.COPY_IN_RESPONSE, b"\0\0\0"),
    "both ways": m.message(m.COPY_BOTH_RESPONSE, b"\0\0\0"),
    "a setting without an end": OK + m.message(m.PARAMETER_STATUS, b"x"),
    "a setting that is too long": OK + m.parameter_status("x", "y" * 100_000),
    "settings without end": OK + b"".join(m.parameter_status(f"x{n}", "") for n in range(2000)),
    "an error after yes": OK + m.refusal("FATAL", "3D000", "no such database"),
    "no answer whether it is a primary": GREETING,
    "a standby": GREETING + PRIMARY.replace(b"\1f", b"\1t"),
    "a row cut short": GREETING + m.message(m.DATA_ROW, b"\x7f\xff"),
    "a row of another length": GREETING + m.message(m.DATA_ROW, b"\0\1\0\0\0\x63f"),
    "rows without end": GREETING + m.message(m.DATA_ROW, b"\0\1\0\0\0\1f") * 1000,
    "half a row": GREETING + b"D\x7f\xff\xff\xff" + b"x" * 100_000,
    "a flood of notices": OK + m.error(m.NOTICE, {"M": "x" * 60_000}) * 200,
}


@asynccontextmanager
async def server(said: Play) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = await reader.readexactly(4)
            await reader.readexactly(int.from_bytes(head, "big") - 4)
            await said(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in tasks:
            task.cancel()


def database(port: int) -> Database:
    found = read_url(f"postgresql://reader@127.0.0.1:{port}/crm", None, Path("/"))
    return replace(found, password="secret")


def saying(data: bytes) -> Play:
    async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if data.startswith(GREETING):
            writer.write(GREETING)
            await reader.read(1)  # the question whether it is a primary
        writer.write(data.removeprefix(GREETING))
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return said


@pytest.mark.parametrize("name", SAID)
async def test_who_does_not_answer_as_postgresql_is_not_connected_to(name: str) -> None:
    async with server(saying(SAID[name])) as port:
        with pytest.raises((UpstreamProtocolError, OSError)):
            await upstream.connect(database(port), {})


@pytest.mark.parametrize("name", ["nothing", "half a message", "SASL twice", "a row cut short"])
async def test_a_pool_survives_it_and_says_that_the_database_does_not_answer(name: str) -> None:
    is_good = False

    async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(GREETING + PRIMARY if is_good else SAID[name])(reader, writer)

    async with server(said) as port:
        pool = Pool(database(port), connections=2, wait_s=5, statement_s=60)
        with pytest.raises(Refused):
            await pool.acquire()
        assert (pool.leased, pool.idle) == (0, 0)
        is_good = True
        assert await pool.acquire() is not None
        await pool.close()


async def test_who_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "CONNECT_TIMEOUT_S", 0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(m.error(m.NOTICE, {"M": "x"}) * 100)
            await writer.drain()

    for play in (silent, endless):
        async with server(play) as port:
            with pytest.raises((TimeoutError, UpstreamProtocolError)):
                await upstream.connect(database(port), {})
