"""Cancelling, timeouts, shutdown, peers that die or do not read: bounded, and clean afterwards."""

from __future__ import annotations

import asyncio

from proxy.session import errors
from proxy.wire import messages as m
from proxy.wire.startup import cancel_request
from tests.wire.conftest import Proxy
from tests.wire.raw import Raw, error, kinds, rows, status, until

SLEEP = b"SELECT pg_sleep(600), a FROM people"


async def _running(proxy: Proxy, client: Raw, text: bytes = SLEEP) -> None:
    before = len(proxy.log.of("access.intent"))
    client.send(m.query(text))
    await proxy.log.until("access.intent", before + 1)


async def _until_free(proxy: Proxy) -> None:
    await until(lambda: not proxy.pool.leased)


async def test_a_cancel_request_ends_what_runs_and_is_never_answered(proxy: Proxy) -> None:
    client = await proxy.login()
    await _running(proxy, client)
    other = await Raw.open(proxy.port)
    other.send(cancel_request(*client.key))
    assert await other.closed() == b""
    seen = await client.until_ready()
    assert error(seen)["C"] == "57014"
    assert rows(await client.query("SELECT 1")) == [[b"1"]]


async def test_a_cancel_request_with_a_wrong_secret_does_nothing(proxy: Proxy) -> None:
    client = await proxy.login()
    await _running(proxy, client)
    number, secret = client.key
    for wrong in ((number, b"\0\0\0\0"), (number, secret + b"x"), (number + 1, secret)):
        other = await Raw.open(proxy.port)
        other.send(cancel_request(*wrong))
        assert await other.closed() == b""
    assert proxy.door.connections.cancels == 0
    proxy.door.cancel(number, secret)
    assert error(await client.until_ready())["C"] == "57014"


async def test_a_cancel_request_of_an_idle_client_does_nothing(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SELECT 1")
    proxy.door.cancel(*client.key)
    assert rows(await client.query("SELECT 1")) == [[b"1"]]


async def test_a_cancel_request_for_another_worker_is_handed_on(proxy: Proxy) -> None:
    handed: list[tuple[int, int, bytes]] = []
    proxy.door._forward_cancel = lambda *request: handed.append(request)
    number = 5 << 20 | 17
    proxy.door.cancel(number, b"abcd")
    assert handed == [(5, number, b"abcd")]


async def test_an_upstream_that_dies_ends_the_session_with_an_error_and_the_pool_recovers(
    proxy: Proxy,
) -> None:
    client, killer = await proxy.login(), await proxy.login()
    pid = rows(await client.query("SELECT pg_backend_pid()"))[0][0]
    assert pid is not None
    await _running(proxy, client)
    await killer.query(f"SELECT pg_terminate_backend({pid.decode()})")
    kind, data = await client.next()
    if kind == "T":
        kind, data = await client.next()
    assert kind == "E"
    assert m.read_fields(data)["C"] == "57P01"
    assert m.read_fields(data)["V"] == "FATAL"
    assert await client.closed() == b""
    again = await proxy.login()
    assert rows(await again.query("SELECT 1")) == [[b"1"]]


async def test_no_row_is_cut_by_a_message_of_ours(proxy: Proxy) -> None:
    client = await proxy.login()
    await _running(proxy, client, b"SELECT repeat('x', 50000000), a FROM people WHERE a = 1")
    assert (await client.next())[0] == "T"
    head = await client.reader.readexactly(5)
    proxy.door.end_sessions("mailer")
    rest = await client.closed()
    length = int.from_bytes(head[1:], "big") - 4
    # Either all of the row, and then the error, or part of it and nothing else.
    assert rest[:100].count(b"FATAL") == 0
    assert b"FATAL" not in rest[: min(length, len(rest))]


async def test_a_reader_that_is_slow_stops_the_upstream_and_not_our_memory(proxy: Proxy) -> None:
    client = await proxy.login()
    await _running(proxy, client, b"SELECT a, repeat('x', 5000) FROM numbers")
    (session,) = proxy.door._tools
    upstream = session._upstream
    assert upstream is not None
    await until(lambda: not (upstream._transport is None or upstream._transport.is_reading()))
    assert session._transport is not None
    assert session._transport.get_write_buffer_size() < 1024 * 1024
    assert len(rows(await client.until_ready())) == 20_000


async def test_a_client_that_sends_without_reading_is_not_read_without_end(proxy: Proxy) -> None:
    client = await proxy.login()
    text = b"SELECT repeat('x', 2000) FROM numbers WHERE a < 50 -- " + b"y" * 20_000
    sent = 300
    sender = asyncio.create_task(_send_all(client, [m.query(text)] * sent))
    (session,) = proxy.door._tools
    assert session._transport is not None
    seen = await client.until_ready(sent)
    await sender
    assert len(rows(seen)) == sent * 49
    assert session._reader.buffered == 0


async def _send_all(client: Raw, messages: list[bytes]) -> None:
    for message in messages:
        client.send(message)
        await client.writer.drain()


async def test_large_parameters_pass(proxy: Proxy) -> None:
    client = await proxy.login()
    value = b"x" * 5_000_000
    client.send(m.parse(b"", b"SELECT length($1::text)"), m.bind(b"", b"", [value]))
    client.send(m.execute(b""), m.SYNC_MESSAGE)
    assert rows(await client.until_ready()) == [[b"5000000"]]


async def test_draining_ends_idle_sessions_now_and_others_behind_their_statement(
    proxy: Proxy,
) -> None:
    idle, busy, late = await proxy.login(), await proxy.login(), await Raw.open(proxy.port)
    await busy.query("BEGIN")
    proxy.log.is_held = True
    busy.send(m.query(b"SELECT a FROM people"))
    await proxy.log.until("access.intent", 1)
    draining = asyncio.create_task(proxy.door.drain(10))
    assert b"57P01" in await idle.closed()
    proxy.log.release()
    seen = await busy.until_ready()
    assert len(rows(seen)) == 100
    assert b"57P01" in await busy.closed()
    await draining
    assert await late.closed() is not None
    assert not proxy.door._sessions


async def test_draining_cuts_what_does_not_end_in_time(proxy: Proxy) -> None:
    client = await proxy.login()
    await _running(proxy, client)
    await proxy.door.drain(0)
    assert b"57P01" in await client.closed()
    (outcome,) = proxy.log.of("access.outcome")
    assert (outcome["state"], outcome["sqlstate"]) == ("error", "57P01")


async def test_a_tool_that_is_disabled_loses_its_open_sessions(proxy: Proxy) -> None:
    mailer, many = await proxy.login(), await proxy.login("many")
    await _running(proxy, mailer)
    assert proxy.door.end_sessions("mailer") == 1
    assert b"57P01" in await mailer.closed()
    assert rows(await many.query("SELECT 1")) == [[b"1"]]


async def test_a_session_that_idles_too_long_is_ended(proxy: Proxy) -> None:
    proxy.limits.idle_s = 0.05
    proxy.door._sweeper.cancel()  # type: ignore[union-attr]
    client = await proxy.login()
    proxy.door._sweeper = asyncio.create_task(proxy.door._sweep())
    assert b"57P05" in await client.closed()


async def test_what_was_sent_before_terminate_is_answered(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.query(b"SELECT a FROM people"), m.TERMINATE_MESSAGE)
    assert len(rows(await client.until_ready())) == 100
    assert await client.closed() == b""
    await _until_free(proxy)


async def test_a_session_leaves_nothing_behind_for_the_next(proxy: Proxy) -> None:
    client = await proxy.login()
    pid = rows(await client.query("SELECT pg_backend_pid()"))
    for text in (
        "PREPARE s AS SELECT 1",
        "SET timezone TO 'Asia/Tokyo'",
        "SET consent.purpose = 'service'",
        "DECLARE c CURSOR WITH HOLD FOR SELECT a FROM people",
    ):
        assert "E" not in kinds(await client.query(text))
    client.send(m.TERMINATE_MESSAGE)
    await client.closed()
    await until(lambda: proxy.pool.idle)
    other = await proxy.login("many")
    assert rows(await other.query("SELECT pg_backend_pid()")) == pid
    assert rows(await other.query("SHOW timezone")) != [[b"Asia/Tokyo"]]
    assert rows(await other.query("SHOW consent.purpose")) == [[b""]]
    seen = await other.query("SELECT count(*) FROM pg_prepared_statements")
    assert rows(seen) == [[b"0"]]
    assert rows(await other.query("SELECT count(*) FROM pg_cursors")) == [[b"0"]]


async def test_an_upstream_with_an_open_transaction_is_not_used_again(proxy: Proxy) -> None:
    client = await proxy.login()
    pid = rows(await client.query("SELECT pg_backend_pid()"))
    assert status(await client.query("BEGIN")) == "T"
    client.close()
    await _until_free(proxy)
    other = await proxy.login()
    assert rows(await other.query("SELECT pg_backend_pid()")) != pid


async def test_a_message_of_no_known_type_ends_the_session(proxy: Proxy) -> None:
    for message in (m.message(ord("!")), m.message(m.PASSWORD, b"x"), b"Q\0\0\0\x03"):
        client = await proxy.login()
        client.send(message)
        assert b"08P01" in await client.closed()


async def test_more_clients_than_upstreams_wait_and_are_told(proxy: Proxy) -> None:
    proxy.pool.pooling = "session"
    clients = [await proxy.login() for _ in range(9)]
    for client in clients[:8]:
        await client.query("SELECT 1")
    proxy.pool._wait_s = 0.05
    clients[8].send(m.query(b"SELECT 1"))
    answer = await clients[8].closed()
    assert b"53300" in answer
    assert b"too_many_connections" in answer


async def test_a_client_in_line_gets_the_next_upstream(proxy: Proxy) -> None:
    proxy.pool.pooling = "session"
    clients = [await proxy.login() for _ in range(9)]
    for client in clients[:8]:
        await client.query("SELECT 1")
    clients[8].send(m.query(b"SELECT 1"))
    await until(lambda: proxy.pool.waiting)
    clients[0].send(m.TERMINATE_MESSAGE)
    assert rows(await clients[8].until_ready()) == [[b"1"]]


async def test_a_fault_of_ours_ends_one_session_only(proxy: Proxy) -> None:
    client, other = await proxy.login(), await proxy.login()
    await client.query("SELECT 1")
    await other.query("SELECT 1")
    original = proxy.planner.plan_now
    proxy.planner.plan_now = lambda *_: 1 // 0  # type: ignore[assignment, method-assign]
    client.send(m.query(b"SELECT 2"))
    answer = await client.closed()
    assert errors.internal() in answer
    assert b"division" not in answer
    proxy.planner.plan_now = original  # type: ignore[method-assign]
    assert rows(await other.query("SELECT 1")) == [[b"1"]]


async def test_a_pipeline_without_end_is_answered_and_bounded(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SELECT 1")
    count = 20_000
    sender = asyncio.create_task(_send_all(client, [m.SYNC_MESSAGE * 1000] * (count // 1000)))
    (session,) = proxy.door._tools
    longest = 0
    for _ in range(count):
        assert (await client.next())[0] == "Z"
        assert session._state is not None
        longest = max(longest, len(session._state.queue))
    await sender
    assert longest <= 4096
    assert rows(await client.query("SELECT 2")) == [[b"2"]]
