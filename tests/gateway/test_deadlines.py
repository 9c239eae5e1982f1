"""Clients that hold a connection without using it, and clients that speak no HTTP."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.config import Limits
from proxy.gateway import requests
from proxy.gateway.protocol import Connection, Deadlines
from tests.gateway.conftest import OpenHouse
from tests.gateway.house import House

# Short enough for a test, each far from the others: which one ended it can be told.
LONG = 3600.0


async def _connect(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", house.port)


async def _is_cut(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


def _deadlines(**some: float) -> Deadlines:
    values = {"first_request_s": LONG, "header_s": LONG, "keep_alive_s": LONG,
              "write_stall_s": LONG, **some}  # fmt: skip
    return Deadlines(**values)


async def test_a_client_that_says_nothing_is_cut_off(open_door: OpenHouse) -> None:
    async with open_door(deadlines=_deadlines(first_request_s=0.05)) as house:
        reader, writer = await _connect(house)
        assert await _is_cut(reader) == b""
        writer.close()


@pytest.mark.parametrize("sent", [b"G", b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: "])
async def test_half_a_header_is_not_waited_for(open_door: OpenHouse, sent: bytes) -> None:
    async with open_door(deadlines=_deadlines(header_s=0.05)) as house:
        reader, writer = await _connect(house)
        writer.write(sent)
        assert await _is_cut(reader) == b""
        writer.close()


async def test_a_header_that_comes_drop_by_drop_is_not_waited_for(open_door: OpenHouse) -> None:
    async with open_door(deadlines=_deadlines(header_s=0.05)) as house:
        reader, writer = await _connect(house)
        writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
        cut = asyncio.create_task(_is_cut(reader))
        while not cut.done():
            writer.write(b"X")
            await asyncio.sleep(0.005)
        assert await cut == b""
        writer.close()


async def test_half_a_second_header_is_not_waited_for(open_door: OpenHouse) -> None:
    async with open_door(deadlines=_deadlines(header_s=0.05)) as house:
        reader, writer = await _connect(house)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"}")
        writer.write(b"GET /hea")
        assert await _is_cut(reader) == b""
        writer.close()


async def test_a_connection_that_rests_between_requests_is_kept(open_door: OpenHouse) -> None:
    async with open_door() as house:
        reader, writer = await _connect(house)
        await house.until(lambda: house.gateway._server.connections)  # type: ignore[union-attr]
        (connection,) = house.gateway._server.connections  # type: ignore[union-attr]
        assert isinstance(connection, Connection)
        body = json.dumps({"sql": "SELECT 1"}).encode()
        for _ in range(2):
            assert connection._answering is None
            writer.write(
                b"POST /v1/query HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                + f"Authorization: Bearer {house.tokens['mailer']}\r\n".encode()
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
            )
            # The body comes later than the header, and must not be taken for a next request.
            await house.until(lambda: connection._answering is not None)
            assert connection._timer is None
            writer.write(body)
            assert b"200 OK" in await reader.readuntil(b"0\r\n\r\n")
            await house.until(lambda: connection._answering is None)
            assert connection._timer is None
        writer.close()


async def test_a_connection_that_rests_too_long_is_closed(open_door: OpenHouse) -> None:
    async with open_door(deadlines=_deadlines(keep_alive_s=0.05)) as house:
        reader, writer = await _connect(house)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"200 OK" in await _is_cut(reader)
        writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(
    open_door: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "BODY_TIMEOUT_S", 0.05)
    async with open_door() as house:
        reader, writer = await _connect(house)
        writer.write(
            b"POST /v1/query HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            + f"Authorization: Bearer {house.tokens['mailer']}\r\n".encode()
            + b'Content-Length: 100\r\n\r\n{"sql"'
        )
        text = await _is_cut(reader)
        assert b"408 Request Timeout" in text
        assert b"request_too_slow" in text
        writer.close()


async def test_a_stranger_is_refused_before_the_body_is_read(house: House) -> None:
    reader, writer = await _connect(house)
    writer.write(
        b"POST /v1/query HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer nobody\r\nContent-Length: 1000000\r\n\r\n"
    )
    assert b"401 Unauthorized" in await _is_cut(reader)
    writer.close()


async def test_a_client_that_does_not_read_is_cut_off(open_door: OpenHouse) -> None:
    async with open_door(deadlines=_deadlines(write_stall_s=0.2)) as house:
        body = json.dumps({"sql": "SELECT id, filler FROM crm.many"}).encode()
        _, writer = await _connect(house)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it
        writer.write(
            b"POST /v1/query HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            + f"Authorization: Bearer {house.tokens['counter']}\r\n".encode()
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await house.until(lambda: house.records("access.outcome"))
        assert house.records("access.outcome")[0]["state"] == "client_gone"
        assert house.pool.leased == 0
        writer.transport.abort()


async def test_beyond_the_limit_a_client_is_turned_away(open_door: OpenHouse) -> None:
    async with open_door(limits=Limits(connections=2, statement_bytes=1000)) as house:
        held = [await _connect(house) for _ in range(2)]
        await house.until(lambda: house.gateway.is_full)
        reader, writer = await _connect(house)
        text = await _is_cut(reader)
        head, _, body = text.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert json.loads(body)["error"]["reason"] == "too_many_connections"
        writer.close()
        held[0][1].transport.abort()
        await house.until(lambda: not house.gateway.is_full)
        assert (await house.call("GET", "/healthz", who=None)).status == 200
        for _, each in held:
            each.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"HELLO\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        b"POST /v1/query HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_answered_in_our_own_words(house: House, sent: bytes) -> None:
    reader, writer = await _connect(house)
    writer.write(sent)
    head, _, body = (await _is_cut(reader)).partition(b"\r\n\r\n")
    assert b" 400 Bad Request" in head
    assert b"Server: consent-proxy" in head
    assert json.loads(body)["error"] == {
        "sqlstate": None,
        "reason": "invalid_request",
        "message": "the request is not valid HTTP/1.1",
        "hint": None,
        "access_id": None,
    }
    writer.close()


async def test_http_1_0_gets_no_result_that_could_be_cut_unseen(house: House) -> None:
    reader, writer = await _connect(house)
    writer.write(
        b"POST /v1/query HTTP/1.0\r\nHost: h\r\n"
        + f"Authorization: Bearer {house.tokens['mailer']}\r\n\r\n".encode()
    )
    assert b" 505 " in await _is_cut(reader)
    writer.close()
