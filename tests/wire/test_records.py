"""G4: no byte of a result before its record is durable; what ends is recorded as it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from proxy.config import Database
from proxy.upstream.connection import connect, exchange
from proxy.wire import messages as m
from proxy.wire.startup import CANCEL_CODE
from tests.wire.conftest import Proxy, running
from tests.wire.raw import error, kinds, rows, until

READS = "SELECT a FROM people WHERE a < 3"

ROUNDS_MAX = 400


def _extended(text: str, limit: int = 0) -> bytes:
    return b"".join(
        (
            m.parse(b"", text.encode()),
            m.bind(b"", b""),
            m.describe(b"P", b""),
            m.execute(b"", limit),
            m.SYNC_MESSAGE,
        )
    )


async def test_no_byte_of_a_result_leaves_before_its_intent_is_durable(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SELECT 1")
    proxy.log.is_held = True
    client.send(m.query(b"SELECT 1"), m.query(READS.encode()), m.query(b"SELECT 2"))
    assert kinds(await client.until_ready()) == "TDCZ"
    await proxy.log.until("access.outcome", 1)  # it has run to its end upstream
    assert not client.reader._buffer  # type: ignore[attr-defined]
    proxy.log.release()
    assert kinds(await client.until_ready(2)) == "TDDCZTDCZ"


async def test_errors_count_as_results(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SELECT 1")
    proxy.log.is_held = True
    client.send(m.query(b"SELECT 1/(a-a) FROM people"))
    (outcome,) = await proxy.log.until("access.outcome", 1)
    assert (outcome["state"], outcome["sqlstate"]) == ("error", "22012")
    assert not client.reader._buffer  # type: ignore[attr-defined]
    proxy.log.release()
    assert kinds(await client.until_ready()) in ("EZ", "TEZ")


async def test_in_extended_queries_earlier_replies_leave_and_the_result_waits(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SELECT 1")
    proxy.log.is_held = True
    client.send(_extended(READS))
    assert [(await client.next())[0] for _ in range(3)] == ["1", "2", "T"]
    await proxy.log.until("access.outcome", 1)
    assert not client.reader._buffer  # type: ignore[attr-defined]
    proxy.log.release()
    assert kinds(await client.until_ready()) == "DDCZ"


async def test_a_record_that_fails_takes_the_rows_with_it(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SELECT 1")
    proxy.log.is_held = True
    client.send(m.query(READS.encode()))
    await proxy.log.until("access.intent", 1)
    proxy.log.release(failed=True)
    kind, data = await client.next()
    assert kind == "E"
    fields = m.read_fields(data)
    assert (fields["V"], fields["C"]) == ("FATAL", "58030")
    assert await client.closed() == b""


async def test_a_sealed_log_answers_no_statement_that_reads_and_every_other(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SELECT 1")
    proxy.log.is_sealed = True
    fields = error(await client.query(READS))
    assert fields["C"] == "58030"
    assert "access_log_unavailable" in fields["D"]
    client.send(_extended(READS))
    assert kinds(await client.until_ready()) == "12TEZ"
    assert rows(await client.query("SELECT 1")) == [[b"1"]]
    fields = error(await client.query("SELECT * FROM forbidden"))
    assert fields["C"] == "58030"


async def test_each_statement_of_a_text_has_its_record_and_its_outcome(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query(
        f"SELECT 1; {READS}; COPY people TO STDOUT; SELECT a FROM numbers WHERE a/0=1"
    )
    intents, outcomes = proxy.log.of("access.intent"), proxy.log.of("access.outcome")
    assert [intent["id"] for intent in intents] == [outcome["id"] for outcome in outcomes]
    assert [(o["state"], o["rows"]) for o in outcomes] == [
        ("complete", 2),
        ("complete", 100),
        ("error", 0),
    ]
    assert intents[0]["purpose"] == "newsletter"
    assert intents[0]["policy"] == "abcd"
    assert intents[0]["tool"] == "mailer"


async def test_what_reads_no_relation_has_no_record(proxy: Proxy) -> None:
    client = await proxy.login()
    for text in ("SELECT 1", "BEGIN", "SHOW timezone", "COMMIT", "SET timezone TO utc"):
        await client.query(text)
    assert not proxy.log.of("access.intent")


async def test_a_portal_that_is_read_in_parts_is_one_access(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"", b"SELECT a FROM people WHERE a <= 5"), m.bind(b"p", b""))
    client.send(m.execute(b"p", 2), m.execute(b"p", 2), m.execute(b"p", 2), m.SYNC_MESSAGE)
    assert kinds(await client.until_ready()) == "12DDsDDsDCZ"
    assert len(proxy.log.of("access.intent")) == 1
    (outcome,) = proxy.log.of("access.outcome")
    assert (outcome["rows"], outcome["state"]) == (5, "complete")


async def test_a_suspended_portal_ends_with_its_transaction(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"", b"SELECT a FROM people"), m.bind(b"p", b""), m.execute(b"p", 2))
    client.send(m.SYNC_MESSAGE)
    assert kinds(await client.until_ready()) == "12DDsZ"
    (outcome,) = proxy.log.of("access.outcome")
    assert (outcome["rows"], outcome["state"]) == (2, "complete")
    client.send(m.execute(b"p", 2), m.SYNC_MESSAGE)
    assert error(await client.until_ready())["C"] == "34000"


async def test_each_fetch_is_an_access_of_the_cursors_tables(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("BEGIN")
    await client.query("DECLARE c CURSOR FOR SELECT a FROM people")
    await client.query("FETCH 3 FROM c")
    await client.query("FETCH 4 FROM c")
    assert len(proxy.log.of("access.intent")) == 3
    assert [o["rows"] for o in proxy.log.of("access.outcome")] == [0, 3, 4]


async def test_an_execute_of_sql_is_an_access_of_what_was_prepared(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("PREPARE s AS SELECT a FROM people WHERE a < 4")
    assert not proxy.log.of("access.intent")
    assert len(rows(await client.query("EXECUTE s"))) == 3
    assert len(proxy.log.of("access.intent")) == 1


async def test_a_statement_that_fails_at_bind_has_a_record(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"", b"SELECT a FROM people WHERE a = $1", [23]))
    client.send(m.bind(b"", b"", [b"x"]), m.execute(b""), m.SYNC_MESSAGE)
    assert error(await client.until_ready())["C"] == "22P02"
    assert proxy.log.of("access.outcome")[0]["state"] == "error"


async def test_a_client_that_leaves_in_the_middle_is_recorded_and_its_statement_cancelled(
    proxy: Proxy, upstream: Database
) -> None:
    client = await proxy.login()
    client.send(m.query(b"SELECT pg_sleep(611), a FROM people"))
    await _until_runs(upstream, "SELECT pg_sleep(611)%", is_wanted=True)
    client.close()
    (outcome,) = await proxy.log.until("access.outcome", 1)
    assert outcome["state"] == "client_gone"
    await _until_runs(upstream, "SELECT pg_sleep(611)%", is_wanted=False)
    await until(lambda: not proxy.pool.leased)


async def test_a_statement_whose_client_left_is_cancelled_until_it_hears_of_it(
    tcp_upstream: Database,
) -> None:
    """Also when rows came meanwhile: they do not say that it has ended."""
    async with _losing_cancels(tcp_upstream, 3) as relayed, running(relayed) as proxy:
        client = await proxy.login()
        pauses = "CASE a WHEN 1 THEN 0.3 WHEN 5000 THEN 600 ELSE 0 END"
        client.send(m.query(f"SELECT pg_sleep({pauses}), a FROM numbers".encode()))
        await _until_runs(tcp_upstream, "SELECT pg_sleep(CASE%", is_wanted=True)
        client.close()
        await _until_runs(tcp_upstream, "SELECT pg_sleep(CASE%", is_wanted=False)


@asynccontextmanager
async def _losing_cancels(upstream: Database, count: int) -> AsyncIterator[Database]:
    """The upstream behind a relay in which so many cancel requests are lost."""
    lost = 0

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lost
        first = await reader.readexactly(8)
        if int.from_bytes(first[4:], "big") == CANCEL_CODE and lost < count:
            lost += 1
            writer.close()
            return
        onward = await asyncio.open_connection(upstream.host, upstream.port)
        onward[1].write(first)
        await asyncio.gather(pass_on(reader, onward[1]), pass_on(onward[0], writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield replace(upstream, port=server.sockets[0].getsockname()[1])
        assert lost == count
    finally:
        server.close()


async def _until_runs(upstream: Database, like: str, *, is_wanted: bool) -> None:
    """Return when the database runs such a statement, or none (any more)."""
    admin = await asyncpg.connect(upstream.url)
    try:
        running = []
        for _ in range(ROUNDS_MAX):  # it begins, and hears of a cancel, when it gets to it
            running = await admin.fetch(
                "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1", like
            )
            if bool(running) == is_wanted:
                return
            await asyncio.sleep(0.05)
        pytest.fail("the statement runs still" if running else "the statement never ran")
    finally:
        await admin.close()


async def test_a_cancelled_statement_is_recorded_as_cancelled(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.query(b"SELECT pg_sleep(600), a FROM people"))
    await proxy.log.until("access.intent", 1)
    async with asyncio.timeout(20):
        while not proxy.log.of("access.outcome"):
            # Again, should the first come before the statement.
            proxy.door.cancel(*client.key)
            await asyncio.sleep(0.05)
    assert error(await client.until_ready())["C"] == "57014"
    assert proxy.log.of("access.outcome")[0]["state"] == "cancelled"


async def test_a_retained_result_is_bounded_while_its_record_waits(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SELECT 1")
    proxy.log.is_held = True
    client.send(m.query(b"SELECT a, repeat('x', 1000) FROM numbers"))
    await proxy.log.until("access.intent", 1)
    (session,) = proxy.door._tools
    upstream = session._upstream
    assert upstream is not None
    assert upstream._transport is not None
    transport = upstream._transport
    await until(lambda: not transport.is_reading())
    # Nothing more is read: what is held is the mark and one read of the socket.
    assert 256 * 1024 < session._outbox.held < 1024 * 1024
    proxy.log.release()
    assert len(rows(await client.until_ready())) == 20_000


async def test_a_suspended_portal_ends_where_another_takes_its_place(proxy: Proxy) -> None:
    client = await proxy.login()
    whole = _extended(READS)
    for _ in range(3):
        client.send(whole)
        await client.until_ready()
    await client.query("BEGIN")
    for place, packet in enumerate(
        (_extended("SELECT a FROM people", 2), whole, m.query(b"SHOW jit"))
    ):
        client.send(_extended("SELECT a FROM people", 5), packet)
        await client.until_ready(2)
        ended = await proxy.log.until("access.outcome", 4 + 2 * place)
        assert [fields["state"] for fields in ended].count("complete") == len(ended)
        assert 5 in [fields["rows"] for fields in ended[-2:]]
    await client.query("COMMIT")
    assert len(proxy.log.of("access.outcome")) == len(proxy.log.of("access.intent"))


async def test_a_portal_that_is_gone_before_its_execute_is_recorded_as_an_error(
    proxy: Proxy,
) -> None:
    client = await proxy.login()
    await client.query("BEGIN")
    client.send(m.parse(b"", READS.encode()), m.bind(b"p", b""), m.SYNC_MESSAGE)
    await client.until_ready()
    # In one packet: the second is sent before it is known that the first ended the block.
    client.send(m.query(b"COMMIT") + m.execute(b"p") + m.SYNC_MESSAGE)
    assert error(await client.until_ready(2))["C"] == "34000"
    assert [each["state"] for each in proxy.log.of("access.outcome")] == ["error"]


async def test_what_the_upstream_ends_is_no_departure_of_the_client(
    proxy: Proxy, upstream: Database
) -> None:
    client = await proxy.login()
    client.send(m.query(b"SELECT pg_sleep(600), a FROM people"))
    await proxy.log.until("access.intent", 1)
    (leased,) = proxy.pool._leased
    await _terminate(upstream, leased.process)
    assert b"57P01" in await client.closed()
    (outcome,) = await proxy.log.until("access.outcome", 1)
    assert (outcome["state"], outcome["sqlstate"]) == ("error", "57P01")


async def test_a_connection_that_is_lost_is_no_departure_of_the_client(
    proxy: Proxy, upstream: Database
) -> None:
    client = await proxy.login()
    client.send(m.query(b"SELECT pg_sleep(600), a FROM people"))
    await proxy.log.until("access.intent", 1)
    (leased,) = proxy.pool._leased
    leased.abort()
    assert b"08006" in await client.closed()
    (outcome,) = await proxy.log.until("access.outcome", 1)
    assert (outcome["state"], outcome["sqlstate"]) == ("error", "08006")
    await _terminate(upstream, leased.process)  # the database does not know that it is lost


async def _terminate(upstream: Database, process: int) -> None:
    admin = await connect(upstream, {})
    await exchange(admin, b"SELECT pg_terminate_backend(%d)" % process)
    admin.close()
