"""asyncpg: binary everywhere, named statements and portals, a pool that resets connections."""

from __future__ import annotations

import datetime as dt
import ipaddress
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg
import pytest
import pytest_asyncio

from proxy.demo.embedded import EmbeddedPostgres


@pytest_asyncio.fixture
async def connection(mailer: str) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(mailer)
    yield made
    await made.close()


async def test_every_column_comes_as_from_the_database_itself(
    teller: str, postgres: EmbeddedPostgres, drivers_database: str
) -> None:
    direct, through = await asyncpg.connect(drivers_database), await asyncpg.connect(teller)
    columns = await through.fetch("SELECT * FROM crm.customers LIMIT 0")
    assert columns == []
    names = [each.name for each in (await through.prepare("TABLE crm.customers")).get_attributes()]
    assert "secret" not in names
    text = f"SELECT {', '.join(names)} FROM crm.customers ORDER BY id"
    assert await through.fetch(text) == await direct.fetch(text)
    seen = (await through.prepare(text)).get_attributes()
    assert seen == (await direct.prepare(text)).get_attributes()
    await direct.close()
    await through.close()


async def test_masked_values_keep_their_types(connection: asyncpg.Connection) -> None:
    text = (
        "SELECT name, email, phone, born, income, balance, visits, channel, tags, numbers,"
        " seen_at, address, picture FROM crm.customers WHERE id = $1"
    )
    assert tuple(await connection.fetchrow(text, 3)) == (
        "P.", "p***@example.com", "********0003", dt.date(1953, 1, 1), Decimal("30000.00"),
        Decimal("3.75"), 0, None, None, [], None, None, b"",
    )  # fmt: skip
    assert tuple(await connection.fetchrow(text, 4)) == (
        "Person 4", "p4@example.com", "+15550000004", dt.date(1954, 6, 14), Decimal("30400.50"),
        Decimal("5.00"), 4, "sms", ["a4", None, 'b,"c'], [4, 8],
        dt.datetime(2025, 1, 1, 16, 0, 0, 123456, tzinfo=dt.UTC),
        ipaddress.ip_address("10.0.0.4"), b"\x00\x04",
    )  # fmt: skip


async def test_a_pseudonym_is_a_uuid_of_its_own(connection: asyncpg.Connection) -> None:
    shown = await connection.fetchval("SELECT token FROM crm.customers WHERE id = 3")
    assert isinstance(shown, uuid.UUID)
    assert shown.version == 8


async def test_a_prepared_statement_answers_again_and_again(connection: asyncpg.Connection) -> None:
    statement = await connection.prepare("SELECT email FROM customers WHERE id = $1")
    assert [await statement.fetchval(number) for number in (1, 2, 3, 4)] == [
        "p***@example.com", "p2@example.com", "p***@example.com", "p4@example.com",
    ]  # fmt: skip


async def test_a_cursor_reads_on_in_its_transaction(connection: asyncpg.Connection) -> None:
    async with connection.transaction():
        seen = [
            row["id"]
            async for row in connection.cursor("SELECT id FROM orders ORDER BY id", prefetch=700)
        ]
        cursor = await connection.cursor("SELECT id, total FROM orders ORDER BY id")
        first = await cursor.fetch(3)
        await cursor.forward(10)
        later = await cursor.fetchrow()
    assert seen == list(range(1, 5001))
    assert [row["id"] for row in first] == [1, 2, 3]
    assert later is not None
    assert later["id"] == 14


async def test_an_enum_and_arrays_of_it_are_looked_up(connection: asyncpg.Connection) -> None:
    assert await connection.fetchval("SELECT channel FROM customers WHERE id = 4") == "sms"
    assert await connection.fetchval(
        "SELECT array_agg(channel ORDER BY id) FROM customers WHERE id < 3"
    ) == [
        None,
        "phone",
    ]
    assert await connection.fetchval("SELECT ARRAY['sms']::crm.channel[]") == ["sms"]


async def test_copying_out_a_query_and_a_table(connection: asyncpg.Connection) -> None:
    lines: list[bytes] = []

    async def take(data: bytes) -> None:
        lines.append(data)

    await connection.copy_from_query(
        "SELECT id, email FROM customers WHERE id <= $1 ORDER BY id", 2, output=take
    )
    assert b"".join(lines) == b"1\tp***@example.com\n2\tp2@example.com\n"
    lines.clear()
    tag = await connection.copy_from_table(
        "orders", schema_name="sales", columns=["id", "customer_id"], output=take, format="csv"
    )
    assert tag == "COPY 5000"
    assert b"".join(lines).startswith(b"1,2\n2,3\n")


async def test_a_pool_resets_its_connections(mailer: str) -> None:
    async with asyncpg.create_pool(mailer, min_size=1, max_size=2) as pool:
        for _ in range(5):
            async with pool.acquire() as held:
                await held.execute("SET search_path TO sales")
                assert await held.fetchval("SELECT count(*) FROM orders") == 5000
            async with pool.acquire() as held:
                # What the one before had set is gone.
                assert await held.fetchval("SELECT count(*) FROM customers") == 40


async def test_a_purpose_is_chosen_by_setting_it(connection: asyncpg.Connection) -> None:
    statement = await connection.prepare("SELECT email FROM customers WHERE id = 1")
    assert await statement.fetchval() == "p***@example.com"
    await connection.execute("SET consent.purpose = 'bookkeeping'")
    assert await connection.fetchval("SHOW consent.purpose") == "bookkeeping"
    assert await connection.fetchval("SELECT email FROM customers WHERE id = 1") == "p1@example.com"
    await connection.execute("RESET consent.purpose")
    assert await statement.fetchval() == "p***@example.com"


async def test_explain_tells_of_the_policy_and_not_of_the_data(
    connection: asyncpg.Connection,
) -> None:
    lines = await connection.fetch("EXPLAIN SELECT email FROM customers")
    shown = "\n".join(line[0] for line in lines)
    assert "crm.customers" in shown
    assert "email" in shown
    statement = await connection.prepare("SELECT email FROM customers WHERE id = 1")
    assert await statement.explain()


async def test_a_refused_statement_leaves_the_connection_usable(
    connection: asyncpg.Connection,
) -> None:
    with pytest.raises(asyncpg.UndefinedTableError) as caught:
        await connection.fetch("SELECT * FROM sales.internal")
    assert str(caught.value.detail).startswith("reason: table_not_in_policy; access: ")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await connection.fetch("SELECT secret FROM crm.customers")
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await connection.execute("UPDATE crm.customers SET name = 'x'")
    assert await connection.fetchval("SELECT 1") == 1


async def test_a_failing_statement_leaves_its_transaction_to_be_rolled_back(
    connection: asyncpg.Connection,
) -> None:
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    assert await connection.fetchval("SELECT count(*) FROM customers") == 40
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.fetch("SELECT 1 / 0 FROM customers")
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await connection.fetch("SELECT 1")
    await transaction.rollback()
    assert await connection.fetchval("SELECT count(*) FROM customers") == 40


async def test_many_arguments_come_as_one_batch(connection: asyncpg.Connection) -> None:
    found = await connection.fetchmany(
        "SELECT id, email FROM customers WHERE id = $1", [(1,), (2,), (3,)]
    )
    assert [tuple(row) for row in found] == [
        (1, "p***@example.com"),
        (2, "p2@example.com"),
        (3, "p***@example.com"),
    ]
