"""Nobody is held up by what somebody else sends, or does not take."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from proxy.wire import messages as m
from tests.load.ticker import memory_bytes, open_files, ticking, ticks
from tests.promises.process import Process
from tests.wire.raw import Raw, error, kinds, rows

MIB: Final = 1024 * 1024
IDLE: Final = 500
# Memory that Python's allocator keeps for later, and sockets that the kernel is about to close.
SLACK_BYTES: Final = 24 * MIB


def _name_of(length: int) -> str:
    """A statement of exactly so many bytes."""
    head, tail = "SELECT id FROM crm.customers WHERE name = '", "' OR id = 2"
    return head + "x" * (length - len(head) - len(tail)) + tail


async def test_a_statement_of_one_mebibyte_is_answered_and_nobody_waits(process: Process) -> None:
    async with ticking(process) as ticker:
        raw = await process.login()
        before = ticker.count
        for _ in range(5):
            assert rows(await raw.query(_name_of(MIB))) == [[b"2"]]
        assert ticker.count - before >= 10
        assert error(await raw.query(_name_of(MIB + 1)))["C"] == "54000"
        assert rows(await raw.query("SELECT 1")) == [[b"1"]]
        raw.close()


async def test_a_hundred_nested_parentheses_are_answered_and_one_more_refused(
    process: Process,
) -> None:
    raw = await process.login()
    assert rows(await raw.query("SELECT " + "(" * 100 + "7" + ")" * 100)) == [[b"7"]]
    assert error(await raw.query("SELECT " + "(" * 101 + "7" + ")" * 101))["C"] == "54000"
    deep = "SELECT " + "(SELECT " * 99 + "id FROM crm.customers WHERE id = 2" + ")" * 99
    assert rows(await raw.query(deep)) == [[b"2"]]
    raw.close()


async def test_a_list_of_twenty_thousand_elements_is_answered_and_nobody_waits(
    process: Process,
) -> None:
    numbers = ", ".join(str(number) for number in range(-19_998, 2))
    async with ticking(process) as ticker:
        raw = await process.login()
        before = ticker.count
        for _ in range(3):
            text = f"SELECT id FROM crm.customers WHERE id IN ({numbers}, 2)"
            assert rows(await raw.query(text)) == [[b"1"], [b"2"]]
        assert ticker.count - before >= 10
        raw.close()


async def test_a_client_that_stops_reading_costs_bounded_memory_and_holds_up_nobody(
    process: Process, own_postgres: EmbeddedPostgres
) -> None:
    async with ticking(process) as ticker:
        await ticks(ticker, None, 50)
        before = memory_bytes(process.pid)
        raw = await process.login()
        raw.reader._transport.pause_reading()  # type: ignore[attr-defined]  # stops for good
        # Some two hundred megabytes.
        raw.send(m.query(b"SELECT repeat('x', 1000), a.id FROM sales.orders a, crm.customers b"))
        # PostgreSQL itself waits for the client that does not read.
        await _until_it_runs(own_postgres, "wait_event = 'ClientWrite'")
        await ticks(ticker, None, 300)
        assert memory_bytes(process.pid) - before < SLACK_BYTES
        raw.close()
        await ticks(ticker, None, 50)


@pytest.mark.slow
async def test_five_hundred_idle_clients_hold_no_upstream_and_give_their_memory_back(
    process: Process, own_postgres: EmbeddedPostgres
) -> None:
    def upstreams() -> int:
        return int(
            own_postgres.run(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'consent_reader'"
            )
        )

    async with ticking(process) as ticker:
        files, held = open_files(process.pid), upstreams()
        afterwards: list[int] = []
        for _ in range(3):
            clients = await _idle_clients(process)
            await ticks(ticker, None, 20)
            # Beside sessions, the proxy itself looks at the catalog now and then.
            assert upstreams() <= held + 3
            for client in clients:
                client.close()
            while open_files(process.pid) > files + 5:
                await ticks(ticker, None, 5)
            afterwards.append(memory_bytes(process.pid))
        # Once warm, another five hundred leave nothing behind.
        assert afterwards[-1] - afterwards[0] < SLACK_BYTES


async def _idle_clients(process: Process) -> list[Raw]:
    found: list[Raw] = []
    for _ in range(IDLE // 20):
        found += await asyncio.gather(*(process.login() for _ in range(20)))
    return found


async def test_when_the_upstream_dies_sessions_end_with_a_clean_error_and_new_ones_work(
    process: Process, own_postgres: EmbeddedPostgres
) -> None:
    idle, busy = await process.login(), await process.login()
    _ = await busy.query("SELECT 1")
    never_asked = await process.login()
    _ = await idle.query("SELECT 1")
    busy.send(m.query(b"SELECT count(*) FROM sales.orders a, sales.orders b, sales.orders c"))
    await _until_it_runs(own_postgres)
    own_postgres.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'consent_reader'"
    )
    for raw in (busy, idle):
        told = await raw.closed()
        assert b"C57P01\0" in told or b"C08006\0" in told
    # Who held no connection has lost none.
    assert rows(await never_asked.query("SELECT id FROM crm.customers WHERE id = 2")) == [[b"2"]]
    fresh = await process.login()
    assert rows(await fresh.query("SELECT id FROM crm.customers WHERE id = 2")) == [[b"2"]]
    for raw in (never_asked, fresh):
        raw.close()


async def _until_it_runs(server: EmbeddedPostgres, where: str = "state = 'active'") -> None:
    """Wait until a statement of the proxy's is under way upstream."""
    running = f"SELECT 1 FROM pg_stat_activity WHERE usename = 'consent_reader' AND {where}"
    for _ in range(2000):
        if server.run(running):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the statement does not run")


async def test_when_the_server_restarts_clients_are_told_and_the_proxy_recovers_by_itself(
    process: Process, own_postgres: EmbeddedPostgres
) -> None:
    raw = await process.login()
    _ = await raw.query("SELECT 1")
    pid = own_postgres.run(
        "SELECT pid FROM pg_stat_activity WHERE usename = 'consent_reader' LIMIT 1"
    )
    # PostgreSQL ends all its other processes as well, and starts anew from the log.
    os.kill(int(pid), signal.SIGKILL)
    told = await raw.closed()
    assert b"SFATAL\0" in told
    while True:
        fresh = await process.login()
        seen = await _answer(fresh)
        fresh.close()
        if "D" in kinds(seen):
            break
        # Meanwhile: a clean error, never silence.
        assert "E" in kinds(seen)


async def _answer(raw: Raw) -> list[tuple[str, bytes]]:
    """What is answered until the session is ready, or has ended."""
    seen: list[tuple[str, bytes]] = []
    raw.send(m.query(b"SELECT id FROM crm.customers WHERE id = 2"))
    try:
        while not seen or seen[-1][0] != "Z":
            seen.append(await raw.next())
    except (OSError, EOFError):
        pass
    return seen
