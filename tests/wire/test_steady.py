"""What is known as a whole is answered and recorded as on the general way, byte for byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from proxy.config import Database
from proxy.session.steady import SWITCH
from proxy.wire import messages as m
from tests.wire.conftest import Proxy, running
from tests.wire.raw import Raw, error, kinds, rows

Packets = list[bytes]
Say = Callable[..., Awaitable[int]]

_SELECT = b"SELECT a, b FROM people WHERE a = $1"


def query(text: str) -> bytes:
    return m.query(text.encode())


def run(
    value: bytes | None = b"7", *, statement: bytes = b"", described: bool = True, limit: int = 0
) -> bytes:
    bound = m.bind(b"", statement, () if value is None else (value,))
    shown = m.describe(b"P", b"") if described else b""
    return bound + shown + m.execute(b"", limit) + m.SYNC_MESSAGE


def parsed(text: bytes = _SELECT) -> bytes:
    return m.parse(b"", text)


PREPARE = m.parse(b"s", _SELECT) + m.SYNC_MESSAGE

SCRIPTS: dict[str, Packets] = {
    "prepared": [PREPARE, *[run(b"%d" % n, statement=b"s") for n in range(4)]],
    "prepared, not described": [PREPARE, *[run(statement=b"s", described=False)] * 3],
    "prepared without parameters": [
        m.parse(b"t", b"SELECT count(*) FROM people") + m.SYNC_MESSAGE,
        *[run(None, statement=b"t")] * 3,
    ],
    "extended": [parsed() + run(b"%d" % n) for n in range(6)],
    "extended, then without its parse": [*[parsed() + run()] * 3, run(), run(b"8")],
    "extended, two in turn": [parsed() + run(), parsed(b"SELECT 1") + run(None)] * 4 + [run(None)],
    "simple": [query("SELECT a, b FROM people WHERE a < 5")] * 4,
    "simple without relations": [query("SELECT 1")] * 4,
    "simple drops the unnamed statement": [
        parsed() + m.SYNC_MESSAGE,
        *[query("SELECT 1")] * 4,
        run(),
    ],
    "no rows": [PREPARE, *[run(b"-1", statement=b"s")] * 3],
    "a large result": [query("SELECT a, repeat('x', 3000) FROM numbers WHERE a < 300")] * 4,
    "a result of some packets": [PREPARE] + [query("SELECT a, d FROM numbers, people")] * 3,
    "a value that is none": [PREPARE, run(statement=b"s"), run(b"x", statement=b"s"), run(b"9")],
    "too few values": [PREPARE, run(statement=b"s"), run(None, statement=b"s"), run(b"1")],
    "an error on a row": [
        m.parse(b"s", b"SELECT 1 / (a - $1) FROM people") + m.SYNC_MESSAGE,
        *[run(b"1000", statement=b"s")] * 2,
        *[run(b"50", statement=b"s")] * 2,
        run(b"1000", statement=b"s"),
    ],
    "an error in a simple query": [query("SELECT 1 / (a - 50) FROM people")] * 4,
    "an error behind a parse": [
        parsed(b"SELECT 1 / (a - $1) FROM people") + run(b"%d" % n) for n in (999, 999, 999, 5, 5)
    ],
    "a statement of ours that fails at parse": [parsed(b"SELECT nothing FROM people") + run()] * 3,
    "a refusal": [query("SELECT forbidden")] * 3,
    "in a block": [
        query("BEGIN"), PREPARE, *[run(statement=b"s")] * 3, m.execute(b"") + m.SYNC_MESSAGE,
        query("SELECT 1 / 0"), run(statement=b"s"), query("ROLLBACK"), run(statement=b"s"),
    ],
    "in a block, extended": [
        query("BEGIN"), *[parsed() + run()] * 3, m.describe(b"P", b"") + m.SYNC_MESSAGE,
        m.close(b"P", b"") + m.SYNC_MESSAGE, query("COMMIT"), run(),
    ],
    "in a block, simple": [
        query("BEGIN"), *[query("SELECT 1")] * 4, query("COMMIT"), query("SELECT 1"),
    ],
    "in a transaction that keeps its snapshot": [
        PREPARE, run(statement=b"s"), query("BEGIN ISOLATION LEVEL REPEATABLE READ"),
        *[run(statement=b"s")] * 2, query("COMMIT"), run(statement=b"s"),
    ],
    "a cursor meanwhile": [
        query("BEGIN"), query("DECLARE c CURSOR WITH HOLD FOR SELECT a FROM people"),
        *[query("SELECT 1")] * 3, query("FETCH 2 FROM c"), query("COMMIT"),
        *[query("SELECT 1")] * 2, query("FETCH 2 FROM c"),
    ],
    "closed in between": [
        PREPARE, run(statement=b"s"), m.close(b"S", b"s") + m.SYNC_MESSAGE, run(statement=b"s"),
        PREPARE, run(statement=b"s"),
    ],
    "another purpose": [
        *[query("SELECT 1 FROM people")] * 3, query("SET consent.purpose = 'service'"),
        *[query("SELECT 1 FROM people")] * 3, query("RESET consent.purpose"),
        query("SELECT 1 FROM people"),
    ],
    "another search path": [
        PREPARE, run(statement=b"s"), query("SET search_path = public"), *[run(statement=b"s")] * 2,
        query("SET search_path = nowhere"), *[parsed() + run()] * 3,
    ],
    "rows in portions": [PREPARE, *[run(statement=b"s", limit=1)] * 2, run(statement=b"s")],
    "a name that is no longer": [
        run(statement=b"s"), PREPARE, run(statement=b"s"), query("DEALLOCATE s"),
        run(statement=b"s"),
    ],
    "a long name": [
        m.parse(b"n" * 80, _SELECT) + m.SYNC_MESSAGE, *[run(statement=b"n" * 80)] * 2,
        *[run(statement=b"n" * 63)] * 2,
    ],
    "a named portal": [PREPARE, m.bind(b"p", b"s", (b"3",)) + m.execute(b"p") + m.SYNC_MESSAGE] * 2,
    "settings are told": [*[query("SELECT set_config('application_name', 'other', false)")] * 4],
    "notices": [*[query("SELECT b::name FROM people WHERE a = 1")] * 4],
    "a statement that goes stale": [
        PREPARE, *[run(statement=b"s")] * 2, query("DISCARD ALL"), run(statement=b"s"), PREPARE,
        run(statement=b"s"),
    ],
    "malformed": [*[query("SELECT 1")] * 3, m.message(m.QUERY, b"SELECT 1")],
    "malformed execute": [
        PREPARE, run(statement=b"s"), m.bind(b"", b"s", (b"1",)) + m.message(m.EXECUTE, b"\0"),
    ],
}  # fmt: skip


@pytest.fixture
async def proxy(upstream: Database) -> AsyncIterator[Proxy]:
    async with running(upstream, pooling="session") as proxy:
        yield proxy


@pytest.fixture
def switch() -> Iterator[Callable[[bool], None]]:
    def turn(is_on: bool) -> None:
        SWITCH.is_on = is_on

    yield turn
    SWITCH.is_on = True


@pytest.fixture
async def two_ways(proxy: Proxy, switch: Callable[[bool], None]) -> Say:
    """Says a script on the general way and on the short one, and compares all that comes of it."""

    async def say(packets: Packets, cut: int = 0) -> int:
        results = []
        for is_on in (False, True):
            switch(is_on)
            proxy.log.records.clear()
            assert proxy.door.known.used == 0
            answers = await _say(await proxy.login(), packets, cut)
            records = [(kind, _comparable(fields)) for kind, fields in proxy.log.records]
            results.append((answers, records))
        assert results[0] == results[1]
        return proxy.door.known.used

    return say


async def _say(client: Raw, packets: Packets, cut: int) -> list[bytes]:
    answers: list[bytes] = []
    for packet in packets:
        if cut:
            client.send(packet[:cut])
            await client.writer.drain()
        client.send(packet[cut:])
        try:
            answers += [_without_ids(data) for _, data in await client.until_ready()]
        except EOFError:
            return [*answers, b"closed"]
        except TimeoutError:
            return [*answers, b"silence"]
    client.close()
    return answers


def _without_ids(data: bytes) -> bytes:
    return re.sub(rb"access: [0-9a-f-]{36}", b"access: -", data)


def _comparable(fields: dict[str, object]) -> dict[str, object]:
    return {
        name: value
        for name, value in fields.items()
        if name not in ("id", "ms", "client", "tables", "credential")
    }


# What these say first is never known, or changes what is.
_NEVER_KNOWN = {
    "rows in portions",
    "a long name",
    "a named portal",
    "a refusal",
    "a statement of ours that fails at parse",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda name: name.replace(" ", "-"))
async def test_both_ways_say_and_record_the_same(two_ways: Say, script: str) -> None:
    used = await two_ways(SCRIPTS[script])
    assert used > 0 or script in _NEVER_KNOWN


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 7, 20, 40, -1, -5, -6])
async def test_a_packet_that_comes_in_two_parts_is_answered_and_recorded_alike(
    two_ways: Say, cut: int
) -> None:
    await two_ways([*SCRIPTS["prepared"], *SCRIPTS["extended"], *SCRIPTS["simple"]], cut)


async def test_a_pipeline_of_known_packets_is_answered_in_order(
    proxy: Proxy, switch: Callable[[bool], None]
) -> None:
    found = []
    for is_on in (False, True):
        switch(is_on)
        client = await proxy.login()
        client.send(*SCRIPTS["prepared"], *SCRIPTS["simple"], *SCRIPTS["extended"])
        found.append(await client.until_ready(15))
    assert found[0] == found[1]


async def test_no_byte_of_a_known_result_leaves_before_its_intent_is_durable(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(PREPARE, run(statement=b"s"))
    await client.until_ready(2)
    proxy.log.is_held = True
    for count in range(1, 4):
        client.send(run(statement=b"s"))
        await proxy.log.until("access.outcome", 1 + count)  # it has run to its end upstream
        assert not client.reader._buffer  # type: ignore[attr-defined]
        assert proxy.door.known.used == count
        proxy.log.release()
        assert kinds(await client.until_ready()) == "2TDCZ"


async def test_a_known_statement_whose_record_is_lost_ends_the_session(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(PREPARE, run(statement=b"s"))
    await client.until_ready(2)
    proxy.log.is_held = True
    client.send(run(statement=b"s"))
    await proxy.log.until("access.outcome", 2)
    proxy.log.release(failed=True)
    answer = await client.closed()
    assert m.read_fields(answer)["C"] == "58030"
    assert answer[:1] == b"E"


async def test_a_known_statement_is_refused_where_it_can_not_be_recorded(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(PREPARE, run(statement=b"s"))
    await client.until_ready(2)
    proxy.log.is_sealed = True
    client.send(run(statement=b"s"))
    assert error(await client.until_ready())["C"] == "58030"


async def test_another_policy_makes_what_was_known_be_planned_again(proxy: Proxy) -> None:
    client = await proxy.login()
    packets = [parsed() + run(), query("SELECT a FROM people")]
    for packet in packets * 3:
        client.send(packet)
        await client.until_ready()
    used, asked = proxy.door.known.used, len(proxy.planner.asked)
    assert used == 2
    proxy.planner.revision = "r2"
    proxy.planner.rewrite = lambda text, _: text.replace("people", "people WHERE false", 1)
    for packet in packets:
        client.send(packet)
        assert "D" not in kinds(await client.until_ready())
    assert proxy.door.known.used == used
    assert len(proxy.planner.asked) == asked + 2


async def test_a_known_statement_can_be_cancelled(proxy: Proxy) -> None:
    client = await proxy.login()
    sleeps = m.parse(b"s", b"SELECT pg_sleep($1::float8), a FROM people LIMIT 1") + m.SYNC_MESSAGE
    client.send(sleeps, run(b"0", statement=b"s"), run(b"0", statement=b"s"))
    await client.until_ready(3)
    client.send(run(b"600", statement=b"s"))
    await proxy.log.until("access.intent", 3)
    async with asyncio.timeout(20):
        while len(proxy.log.of("access.outcome")) < 3:
            # Again, should the first come before the statement.
            proxy.door.cancel(*client.key)
            await asyncio.sleep(0.05)
    assert error(await client.until_ready())["C"] == "57014"
    assert proxy.log.of("access.outcome")[2]["state"] == "cancelled"


async def test_a_client_that_leaves_in_a_known_statement_is_recorded_as_gone(proxy: Proxy) -> None:
    client = await proxy.login()
    sleeps = m.parse(b"s", b"SELECT pg_sleep($1::float8), a FROM people LIMIT 1") + m.SYNC_MESSAGE
    client.send(sleeps, run(b"0", statement=b"s"), run(b"0", statement=b"s"))
    await client.until_ready(3)
    client.send(run(b"600", statement=b"s"))
    await proxy.log.until("access.intent", 3)
    client.close()
    await proxy.log.until("access.outcome", 3)
    assert proxy.log.of("access.outcome")[2]["state"] == "client_gone"


async def test_an_application_name_that_is_set_is_recorded_from_then_on(proxy: Proxy) -> None:
    client = await proxy.login(application_name="first")
    for _ in range(3):
        await client.query("SELECT a FROM people")
    await client.query("SET application_name = 'second'")
    await client.query("SELECT a FROM people")
    names = [fields["application_name"] for fields in proxy.log.of("access.intent")]
    assert names == ["first", "first", "first", "second"]


async def test_the_rest_of_a_message_that_is_too_long_is_never_taken_for_a_message(
    proxy: Proxy,
) -> None:
    client = await proxy.login()
    known = query("SELECT a FROM people WHERE a = 1")
    for _ in range(4):
        await client.query("SELECT a FROM people WHERE a = 1")
    used = proxy.door.known.used
    assert used > 0
    large = m.query(b"x" * 100_000)
    client.send(large[: -len(known)])
    assert error(await client.until_ready())["C"] == "54000"
    (session,) = proxy.door._sessions
    # As it comes from the network, in a packet of its own.
    session.data_received(known)
    assert proxy.door.known.used == used
    assert rows(await client.query("SELECT 'next'")) == [[b"next"]]
