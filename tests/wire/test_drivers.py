"""Real drivers and psql, through the door."""

from __future__ import annotations

import asyncio
import shutil

import asyncpg
import psycopg
import pytest

from tests.wire.conftest import Proxy


async def test_asyncpg_prepares_pages_copies_and_resets(proxy: Proxy) -> None:
    pool = await asyncpg.create_pool(proxy.url(), min_size=1, max_size=2)
    for _ in range(3):
        async with pool.acquire() as connection:
            row = await connection.fetchrow("SELECT a, b, c, d FROM people WHERE a = $1", 3)
            assert (row["a"], row["b"]) == (3, "name 3")
            async with connection.transaction():
                seen = [r["a"] async for r in connection.cursor("SELECT a FROM people", prefetch=7)]
            assert sorted(seen) == list(range(1, 101))
            with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
                await connection.fetch("SELECT * FROM forbidden")
            assert "table_not_in_policy" in refused.value.detail
            out: list[bytes] = []

            async def take(data: bytes, out: list[bytes] = out) -> None:
                out.append(data)

            await connection.copy_from_query("SELECT a FROM people", output=take)
            assert b"".join(out).count(b"\n") == 100
    await pool.close()


async def test_psycopg_pipelines_streams_and_uses_server_cursors(proxy: Proxy) -> None:
    connection = await psycopg.AsyncConnection.connect(proxy.url(), autocommit=True)
    async with connection.pipeline():
        cursors = [await connection.execute("SELECT %s::int", (n,)) for n in range(50)]
        assert [(await c.fetchone()) for c in cursors] == [(n,) for n in range(50)]
    for _ in range(8):  # after five it prepares by name
        cursor = await connection.execute("SELECT b FROM people WHERE a = %s", (9,))
        assert await cursor.fetchall() == [("name 9",)]
    binary = connection.cursor(binary=True)
    await binary.execute("SELECT a, c FROM people WHERE a = 2")
    assert [tuple(map(str, row)) for row in await binary.fetchall()] == [("2", "3.00")]
    async with connection.transaction(), connection.cursor("named") as server:
        await server.execute("SELECT a FROM people ORDER BY a")
        assert await server.fetchmany(3) == [(1,), (2,), (3,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await connection.execute("SELECT * FROM forbidden")
    texts = ("SELECT 1", "SELECT * FROM forbidden", "SELECT 2")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await _pipeline(connection, texts)
    cursor = connection.cursor()
    async with cursor.copy("COPY (SELECT a FROM people) TO STDOUT") as copy:
        assert len([row async for row in copy.rows()]) == 100
    await connection.close()


async def _pipeline(connection: psycopg.AsyncConnection[object], texts: tuple[str, ...]) -> None:
    async with connection.pipeline():
        for text in texts:
            await connection.execute(text.encode())


async def test_psycopg_cancels(proxy: Proxy) -> None:
    connection = await psycopg.AsyncConnection.connect(proxy.url(), autocommit=True)
    task = asyncio.create_task(connection.execute("SELECT pg_sleep(600), a FROM people"))
    await proxy.log.until("access.intent", 1)
    await connection.cancel_safe()
    with pytest.raises(psycopg.errors.QueryCanceled):
        await task
    await connection.close()


async def test_psql_runs_scripts_and_fetches_in_parts(proxy: Proxy) -> None:
    psql = shutil.which("psql")
    assert psql is not None
    script = (
        "\\set FETCH_COUNT 30\nSELECT a FROM people;\nBEGIN;\nSELECT * FROM forbidden;\n"
        "SELECT 1;\nROLLBACK;\nSELECT 42 \\g\n\\copy (SELECT a FROM people) TO STDOUT\n"
    )
    process = await asyncio.create_subprocess_exec(
        psql,
        "-XAtq",
        proxy.url(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await process.communicate(script.encode())
    lines = output.decode().split()
    assert sorted(map(int, lines[:100])) == list(range(1, 101))
    assert lines[100] == "42"
    assert len(lines) == 201
    assert b"not in the policy" in complaints
    assert b"current transaction is aborted" in complaints
