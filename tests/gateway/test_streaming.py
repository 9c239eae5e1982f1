"""Large results, slow clients, clients that go away, results that fail in the middle."""

from __future__ import annotations

import asyncio
import json
import tracemalloc

import aiohttp
import pytest
from yarl import URL

from tests.gateway.conftest import OpenHouse
from tests.gateway.house import House

MANY = "SELECT id, filler FROM crm.many"
# Rows that fail once some hundred thousand of them have been sent.
FAILS_LATE = "SELECT filler, 1 / (199999 - id) FROM crm.many"
ENDLESS = "SELECT count(*) FROM crm.many a, crm.many b WHERE a.filler < b.filler"


async def _open(house: House, sql: str, accept: str) -> aiohttp.ClientResponse:
    return await house.client.post(
        URL(f"http://127.0.0.1:{house.port}/v1/query"),
        json={"sql": sql},
        headers={"Authorization": f"Bearer {house.tokens['counter']}", "Accept": accept},
    )


async def test_a_large_result_is_whole_in_every_form(house: House) -> None:
    answer = await house.query(MANY, who="counter")
    assert len(answer.json["rows"]) == 200_000
    answer = await house.query(MANY, who="counter", accept="application/x-ndjson")
    lines = answer.body.splitlines()
    assert json.loads(lines[-1]) == {"end": {"rows": 200_000}}
    assert [json.loads(line)[0] for line in lines[1:-1]] == list(range(1, 200_001))
    answer = await house.query(MANY, who="counter", accept="text/csv")
    assert len(answer.body.splitlines()) == 200_001


async def test_a_large_result_takes_little_memory(house: House) -> None:
    await house.query("SELECT id, filler FROM crm.many LIMIT 10", who="counter")
    tracemalloc.start()
    try:
        size = 0
        async with await _open(house, f"{MANY} LIMIT 100000", "application/x-ndjson") as response:
            async for part in response.content.iter_any():
                size += len(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 10 * 1024 * 1024
    # Buffers of the upstream, of us and of this client, some hundred kilobytes each.
    assert peak < 5 * 1024 * 1024


async def test_a_client_that_does_not_read_stops_the_upstream(house: House) -> None:
    async with await _open(house, MANY, "application/json") as response:
        assert response.status == 200
        waits = (
            "SELECT wait_event FROM pg_stat_activity WHERE usename = 'consent_reader'"
            " AND state = 'active' AND datname = current_database()"
            " AND backend_type = 'client backend'"
        )

        async def is_held() -> bool:
            return bool(await house.admin.fetchval(waits) == "ClientWrite")

        await house.until(is_held)
        body = await response.read()
    assert len(json.loads(body)["rows"]) == 200_000


@pytest.mark.parametrize("sql", [ENDLESS, MANY])
async def test_a_client_that_goes_away_stops_its_statement(house: House, sql: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    body = json.dumps({"sql": sql}).encode()
    writer.write(
        b"POST /v1/query HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        + f"Authorization: Bearer {house.tokens['counter']}\r\n".encode()
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )

    async def is_running() -> bool:
        return await house.running() == 1

    async def is_idle() -> bool:
        return await house.running() == 0

    if sql is MANY:
        await reader.readexactly(100)
    await house.until(is_running)
    writer.transport.abort()
    await house.until(is_idle)
    await house.until(lambda: house.records("access.outcome"))
    (outcome,) = house.records("access.outcome")
    assert outcome["state"] == "client_gone"
    assert house.pool.leased == 0


async def test_ndjson_says_that_it_failed(house: House) -> None:
    answer = await house.query(FAILS_LATE, who="counter", accept="application/x-ndjson")
    assert answer.status == 200
    last = json.loads(answer.body.splitlines()[-1])
    assert last["error"]["sqlstate"] == "22012"
    assert last["error"]["access_id"] == answer.headers["Access-Id"]
    (outcome,) = house.records("access.outcome")
    assert (outcome["state"], outcome["sqlstate"]) == ("error", "22012")


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
async def test_other_forms_are_cut_where_they_fail(house: House, accept: str) -> None:
    async with await _open(house, FAILS_LATE, accept) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    await house.until(lambda: house.records("access.outcome"))
    assert house.records("access.outcome")[0]["state"] == "error"
    assert house.pool.leased == 0


async def test_an_error_before_the_first_row_has_its_status(house: House) -> None:
    sql = "SELECT 1 / (id - 1) FROM crm.many"
    for accept in ("application/json", "application/x-ndjson", "text/csv"):
        answer = await house.query(sql, who="counter", accept=accept)
        assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json")
        assert answer.error["sqlstate"] == "22012"


async def test_a_large_value_comes_whole(house: House) -> None:
    assert await house.value("SELECT repeat('y', 20000000)") == "y" * 20_000_000


async def test_a_row_beyond_the_limit_is_refused(house: House) -> None:
    answer = await house.query("SELECT repeat('y', 70000000)")
    assert (answer.status, answer.error["reason"]) == (400, "row_too_large")
    assert (await house.query("SELECT 1")).status == 200


async def test_rows_are_sent_as_they_come(house: House) -> None:
    """The first rows can be read while the statement still runs."""
    # PostgreSQL sends rows when they fill its buffer of 8 KiB.
    sql = f"SELECT id, repeat('x', 20000), CASE WHEN id > 2 THEN ({ENDLESS}) END FROM crm.people"
    async with await _open(house, sql, "application/x-ndjson") as response:
        await response.content.readline()
        assert json.loads(await response.content.readline())[0] == 1
        assert await house.running() == 1


async def test_draining_lets_a_running_statement_end(open_door: OpenHouse) -> None:
    async with open_door() as house:
        async with await _open(house, MANY, "application/json") as response:
            draining = asyncio.create_task(house.gateway.drain(30))
            await asyncio.sleep(0)  # the drain begins
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", house.port)
            body = await response.read()
        assert len(json.loads(body)["rows"]) == 200_000
        await draining


async def test_closing_cancels_what_still_runs_and_records_it(open_door: OpenHouse) -> None:
    async with open_door() as house:
        asking = asyncio.create_task(house.query(ENDLESS, who="counter"))

        async def is_running() -> bool:
            return await house.running() == 1

        await house.until(is_running)
        await house.gateway.drain(0.01)
        await house.gateway.close()
        assert house.pool.leased == 0
        with pytest.raises(aiohttp.ClientError):
            await asking
        assert house.records("access.outcome")[0]["state"] == "cancelled"
