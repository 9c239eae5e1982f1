"""The upstream: who is let in there, what is refused, what comes back clean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config import Database
from proxy.errors import Reason, Refused, UpstreamProtocolError
from proxy.upstream.connection import UpstreamError, connect, exchange
from proxy.upstream.pool import PINNED_SETTINGS, Pool
from proxy.wire import messages as m
from tests.wire.raw import until


@pytest.fixture
async def pool(upstream: Database) -> AsyncIterator[Pool]:
    pool = Pool(upstream, connections=2, wait_s=5, statement_s=60)
    await pool.start()
    yield pool
    await pool.close()


async def test_every_connection_has_the_settings_that_the_readers_take_for_granted(
    pool: Pool,
) -> None:
    connection = await pool.acquire()
    for name, value in {**PINNED_SETTINGS, "statement_timeout": "1min"}.items():
        assert await exchange(connection, f"SHOW {name}".encode()) == [[value.encode()]]
    pool.release(connection, is_clean=True)


async def test_a_lease_waits_for_its_turn_and_no_longer_than_allowed(pool: Pool) -> None:
    first, second = await pool.acquire(), await pool.acquire()
    pool._wait_s = 0.05
    with pytest.raises(Refused) as refused:
        await pool.acquire()
    assert refused.value.reason is Reason.TOO_MANY_CONNECTIONS
    pool._wait_s = 5
    third = asyncio.create_task(pool.acquire())
    await until(lambda: pool.waiting)
    pool.release(first, is_clean=False)  # room for a new one
    pool.release(await third, is_clean=True)
    pool.release(second, is_clean=True)


async def test_who_gives_up_waiting_leaves_the_place_to_the_next(pool: Pool) -> None:
    first, second = await pool.acquire(), await pool.acquire()
    waiting = [asyncio.create_task(pool.acquire()) for _ in range(2)]
    await until(lambda: pool.waiting == 2)
    waiting[0].cancel()
    pool.release(first, is_clean=True)
    pool.release(await waiting[1], is_clean=True)
    pool.release(second, is_clean=True)


async def test_an_upstream_that_does_not_answer_is_unavailable(upstream: Database) -> None:
    pool = Pool(replace(upstream, host="/nonexistent"), connections=2, wait_s=5, statement_s=60)
    with pytest.raises(OSError, match=r"No such"):
        await pool.start()
    assert not pool.is_healthy
    with pytest.raises(Refused) as refused:
        await pool.acquire()
    assert refused.value.reason is Reason.UPSTREAM_UNAVAILABLE
    await pool.close()


async def test_a_wrong_password_at_the_upstream_is_an_error(tcp_upstream: Database) -> None:
    with pytest.raises(UpstreamError) as failed:
        await connect(replace(tcp_upstream, password="wrong"), {})
    assert failed.value.fields["C"] == "28P01"
    with pytest.raises(UpstreamProtocolError):
        await connect(replace(tcp_upstream, password=None), {})


class _Server:
    """A false upstream that answers the start-up packet with what it is told to."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(self._answers[0])
        for answer in self._answers[1:]:
            await reader.read(1000)
            writer.write(answer)
        if len(self._answers) > 1:
            await reader.read(1000)
        writer.close()


@pytest.mark.parametrize(
    "answers",
    [
        (m.message(m.AUTHENTICATION, (3).to_bytes(4, "big")),),
        (m.message(m.AUTHENTICATION, (5).to_bytes(4, "big") + b"salt"),),
        (m.AUTHENTICATION_OK + b"HTTP/1.1 200 OK\r\n\r\n",),
        (m.authentication_sasl(["SCRAM-SHA-256"]), m.AUTHENTICATION_OK + m.ready(m.IDLE)),
        (b"",),
        (
            m.AUTHENTICATION_OK + m.ready(m.IDLE),
            m.message(m.DATA_ROW, b"\0\x01\0\0\0\x01t") + m.ready(m.IDLE),
        ),
    ],
    ids=["cleartext", "md5", "http", "unproved", "silence", "standby"],
)
async def test_an_upstream_that_is_not_what_it_must_be_is_refused(
    upstream: Database, tmp_path: Path, answers: tuple[bytes, ...]
) -> None:
    server = await asyncio.start_unix_server(_Server(*answers), tmp_path / ".s.PGSQL.5432")
    false = replace(upstream, host=str(tmp_path), port=5432, password="secret")
    with pytest.raises((UpstreamProtocolError, OSError)):
        await connect(false, {})
    server.close()
