"""The upstream: who is let in there, what is refused, what comes back clean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config import Database
from proxy.errors import Reason, Refused, UpstreamProtocolError
from proxy.upstream.connection import UpstreamError, connect
from proxy.upstream.pool import PINNED_SETTINGS, Pool
from proxy.upstream.statement import LeasedUpstream, StatementFailed, lease
from proxy.wire import messages as m
from tests.wire.raw import until


@pytest.fixture
async def pool(upstream: Database) -> AsyncIterator[Pool]:
    pool = Pool(upstream, connections=2, wait_s=5, statement_s=60)
    await pool.start()
    yield pool
    await pool.close()


async def _all(upstream: LeasedUpstream, text: str, *parameters: bytes | None) -> list[object]:
    stream = await upstream.run(text, parameters)
    return [row for chunk in [c async for c in stream] for row in chunk]


async def test_a_statement_gives_columns_rows_and_a_tag(pool: Pool) -> None:
    async with lease(pool, {"consent.purpose": "newsletter", "search_path": "public"}) as upstream:
        stream = await upstream.run(
            "SELECT a, b, c FROM people WHERE a <= $1 ORDER BY a", [b"2"], [23]
        )
        assert [(c.name, c.type_oid, c.modifier) for c in stream.columns] == [
            ("a", 23, -1),
            ("b", 25, -1),
            ("c", 1700, 10 << 16 | 2 + 4),
        ]
        rows = [row for chunk in [c async for c in stream] for row in chunk]
        assert rows == [[b"1", b"name 1", b"1.50"], [b"2", b"name 2", b"3.00"]]
        assert (stream.tag, stream.rows) == ("SELECT 2", 2)
        assert await _all(upstream, "SHOW consent.purpose") == [[b"newsletter"]]
        assert await _all(upstream, "SELECT $1::text", None) == [[None]]


async def test_a_failed_statement_is_told_without_what_it_must_not_say(pool: Pool) -> None:
    async with lease(pool, {}) as upstream:
        with pytest.raises(StatementFailed) as failed:
            await upstream.run("SELECT nosuch FROM people")
        assert failed.value.sqlstate == "42703"
        assert set(failed.value.fields) <= set("SVCMH")
        with pytest.raises(StatementFailed) as failed:
            await _all(upstream, "SELECT 1 / (50 - a) FROM people ORDER BY a")
        assert failed.value.sqlstate == "22012"
        assert await _all(upstream, "SELECT 1") == [[b"1"]]
    assert pool.leased == 0


async def test_a_stream_that_nobody_reads_stops_the_upstream(pool: Pool) -> None:
    async with lease(pool, {}) as upstream:
        stream = await upstream.run("SELECT a, repeat('x', 5000) FROM numbers")
        transport = upstream._connection._transport
        assert transport is not None
        await until(lambda: not transport.is_reading())
        assert upstream._held < 1024 * 1024
        async for _ in stream:
            pass
        assert stream.rows == 20_000


async def test_a_lease_that_is_left_in_the_middle_is_cancelled_and_not_used_again(
    pool: Pool,
) -> None:
    async with lease(pool, {}) as upstream:
        pid = upstream._connection.process
        await upstream.run("SELECT a, pg_sleep(600) FROM people")
    assert pool.leased == 0
    async with lease(pool, {}) as upstream:
        assert upstream._connection.process != pid


async def test_cancel_ends_a_stream_with_its_error(pool: Pool) -> None:
    async with lease(pool, {}) as upstream:
        stream = await upstream.run("SELECT a, pg_sleep(600) FROM people")
        upstream.cancel()
        with pytest.raises(StatementFailed) as failed:
            async for _ in stream:
                pass
        assert failed.value.sqlstate == "57014"


async def test_every_connection_has_the_settings_that_the_readers_take_for_granted(
    pool: Pool,
) -> None:
    async with lease(pool, {}) as upstream:
        for name, value in PINNED_SETTINGS.items():
            if name != "application_name":
                (row,) = await _all(upstream, f"SHOW {name}")
                assert row == [value.encode()]
        assert await _all(upstream, "SHOW statement_timeout") == [[b"1min"]]


async def test_a_lease_waits_for_its_turn_and_no_longer_than_allowed(pool: Pool) -> None:
    pool._wait_s = 0.05
    async with lease(pool, {}), lease(pool, {}):
        with pytest.raises(Refused) as refused:
            await pool.acquire()
        assert refused.value.reason is Reason.TOO_MANY_CONNECTIONS
    pool._wait_s = 5
    first, second = await pool.acquire(), await pool.acquire()
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
