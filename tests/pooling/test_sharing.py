"""Real drivers share connections, and each has its own purpose, settings and statements."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import psycopg
import pytest

from proxy.wire import messages as m
from tests.wire.raw import Raw, rows
from tests.world import World

ZONES = ("UTC", "Asia/Tokyo", "America/Lima", "Europe/Madrid")
_EMAIL = "SELECT email, current_setting('timezone') FROM crm.customers WHERE id = %s"


async def test_a_thousand_clients_are_answered_by_two_connections(world: World) -> None:
    host, port = world.address
    assert host == "127.0.0.1"
    at_once = asyncio.Semaphore(50)

    async def come(number: int) -> Raw:
        async with at_once:
            tool = ("mailer", "teller")[number % 2]
            zone = ZONES[number % 4]
            client = await Raw.login(
                port, world.database, tool, world.passwords[tool], TimeZone=zone
            )
            text = b"SELECT email, current_setting('timezone') FROM crm.customers WHERE id = $1"
            client.send(m.parse(b"s", text), m.SYNC_MESSAGE)
            await client.until_ready()
            return client

    clients = await asyncio.gather(*(come(number) for number in range(1000)))
    execute = m.bind(b"", b"s", (b"3",)) + m.execute(b"") + m.SYNC_MESSAGE
    for client in clients:
        client.send(execute)
    for number, client in enumerate(clients):
        email = (b"p***@example.com", b"p3@example.com")[number % 2]
        assert rows(await client.until_ready()) == [[email, ZONES[number % 4].encode()]]
        client.close()


def test_psycopg_prepares_and_sets_among_others(world: World) -> None:
    def work(number: int) -> None:
        tool, zone = ("mailer", "teller")[number % 2], ZONES[number % 4]
        email = ("p***@example.com", "p5@example.com")[number % 2]
        with psycopg.connect(world.dsn(tool), prepare_threshold=0, autocommit=True) as session:
            # So few that it evicts some, with DEALLOCATE.
            session.prepared_max = 2
            session.execute(f"SET timezone = '{zone}'")
            for turn in range(6):
                assert session.execute(_EMAIL, (5,)).fetchone() == (email, zone)
                assert session.execute(f"SELECT {turn} + %s", (1,)).fetchone() == (turn + 1,)
                assert session.execute("SELECT id FROM crm.customers").rowcount == 40
                with session.transaction(), session.pipeline():
                    first = session.execute(_EMAIL, (5,))
                    second = session.execute("SELECT %s::int", (number,))
                    assert (first.fetchone(), second.fetchone()) == ((email, zone), (number,))
                with pytest.raises(psycopg.errors.DivisionByZero), session.transaction():
                    session.execute("SELECT 1 / %s::int", (0,))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))


async def test_asyncpg_pools_and_prepares_among_others(world: World) -> None:
    async def work(number: int) -> None:
        tool, zone = ("mailer", "teller")[number % 2], ZONES[number % 4]
        email = ("p***@example.com", "p5@example.com")[number % 2]
        async with (
            asyncpg.create_pool(
                world.dsn(tool), min_size=1, max_size=2, server_settings={"timezone": zone}
            ) as pool,
        ):
            for turn in range(5):
                async with pool.acquire() as session, session.transaction():
                    statement = await session.prepare(
                        "SELECT email, current_setting('timezone') FROM crm.customers WHERE id = $1"
                    )
                    assert tuple(await statement.fetchrow(5)) == (email, zone)
                    found = [row[0] async for row in session.cursor("SELECT id FROM crm.customers")]
                    assert len(found) == 40
                assert await pool.fetchval("SELECT $1::int", turn) == turn

    await asyncio.gather(*(work(number) for number in range(8)))


def test_a_withdrawal_is_seen_by_the_next_execute_on_whichever_connection(world: World) -> None:
    sessions = [
        psycopg.connect(world.dsn("mailer"), prepare_threshold=0, autocommit=True) for _ in range(5)
    ]
    try:
        for session in sessions:
            found = session.execute("SELECT email FROM crm.customers WHERE id = 4").fetchone()
            assert found == ("p4@example.com",)
        world.record(4, "email_campaign", "withdrawn")
        for session in sessions:
            found = session.execute("SELECT email FROM crm.customers WHERE id = 4").fetchone()
            assert found == ("p***@example.com",)
    finally:
        world.record(4, "email_campaign", "given")
        for session in sessions:
            session.close()


def test_a_purpose_that_is_chosen_is_the_client_s_own(world: World) -> None:
    purposes = ("email_campaign", "bookkeeping")
    with (
        psycopg.connect(world.dsn("teller"), autocommit=True) as teller,
        psycopg.connect(world.dsn("mailer"), autocommit=True) as mailer,
    ):
        for _ in range(3):
            assert teller.execute("SHOW consent.purpose").fetchone() == (purposes[1],)
            assert mailer.execute("SHOW consent.purpose").fetchone() == (purposes[0],)


def test_the_modes_of_a_transaction_do_not_go_with_the_connection(world: World) -> None:
    with (
        psycopg.connect(world.dsn("teller")) as holder,
        psycopg.connect(world.dsn("mailer"), autocommit=True) as one,
        psycopg.connect(world.dsn("teller"), autocommit=True) as other,
    ):
        holder.execute("SELECT 1")  # in a transaction: the others have one connection between them
        for _ in range(2):
            with one.transaction():
                one.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY")
                one.execute("SELECT count(*) FROM crm.customers")
            one.execute("SET timezone = 'Asia/Tokyo'")
            assert other.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
