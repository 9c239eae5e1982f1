"""Random sessions while policy, catalog, consent and settings change: however connections and
statements are shared, each client is answered as if it had a connection of its own and nothing were
kept; and the access log tells exactly what was answered.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack

import asyncpg
import pytest
import uvloop

from proxy.config import Database, Pooling
from proxy.rewrite.plan import PlanContext
from proxy.session.client import ClientSession
from proxy.wire import messages as m
from tests.wire.conftest import Proxy, running
from tests.wire.raw import Raw, until
from tests.wire.test_pooling import Seen, same
from tests.wire.test_steady import parsed, query, run

# What reads relations gives rows that begin so, and nothing else does.
_ROW = b"row"
_PLAIN = b"SELECT 'row', b FROM people WHERE a = $1"
_TEXTS = (
    _PLAIN,
    _PLAIN,
    b"SELECT 'row', a FROM people WHERE a < $1::int ORDER BY a",
    b"SELECT 'row', $$REVISION$$, $$PURPOSE$$ FROM people WHERE a <= $1::int % 4 ORDER BY a",
    b"SELECT 'row', 100 / (a - $1::int) FROM people ORDER BY a",
    b"SELECT $$REVISION$$, $1::text",
    b"SELECT 100 / $1::int",
    b"SELECT forbidden",
)
_FAILS = b"SELECT 'row', nothing FROM people WHERE a = $1"
# A literal is read with the settings of its Parse: known by nothing but its own Parse (0004).
_READ_ANEW = (
    b"SELECT $1::text, '2026-05-06 12:00'::timestamptz AT TIME ZONE 'UTC'",
    b"SELECT 'row', '5/6/2026'::date::text FROM people WHERE a = $1::int",
    b"SELECT $1::text, set_config('timezone', 'Asia/Tokyo', false)",
    b"SELECT 'row', c FROM of_late WHERE a::text = $1",
)
_QUERIES = (
    "SET timezone = 'America/Lima'",
    "SET LOCAL timezone = 'Africa/Dakar'",
    "SELECT set_config('datestyle', 'German', true)",
    "SET datestyle = 'SQL, DMY'",
    "SET consent.purpose = 'service'",
    "RESET consent.purpose",
    "SET search_path = pg_catalog, public",
    "RESET timezone",
    "RESET ALL",
    "BEGIN",
    "BEGIN",
    "COMMIT",
    "COMMIT AND CHAIN",
    "ROLLBACK",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
    "SELECT 1 / 0",
    "DEALLOCATE ALL",
    "DEALLOCATE k",
    "DISCARD ALL",
    "SELECT 'row', a FROM people WHERE a < 4",
    "SELECT 'row', a FROM people WHERE a < 4; SELECT 'row', 1 / 0 FROM people; SELECT 1",
    "DECLARE c CURSOR FOR SELECT 'row', a FROM people ORDER BY a",
    "FETCH 2 FROM c",
    "CLOSE c",
)
_VALUES = (b"7", b"7", b"3", b"0", b"x")
_NAMES = (b"", b"k", b"l")
_OF_LATE = "CREATE TABLE IF NOT EXISTS of_late AS SELECT 7 AS a, 5 AS c"
_SUBJECTS: tuple[tuple[Pooling, bool], ...] = (
    ("session", False),
    ("session", True),
    ("transaction", True),
    ("transaction", False),
)
_PORTALS = (b"", b"", b"p")


@pytest.fixture(scope="module")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


def _message(chance: random.Random) -> bytes:
    name, portal = chance.choice(_NAMES), chance.choice(_PORTALS)
    match chance.randrange(12):
        case 0 | 1 | 2:
            # Of a name that exists, PostgreSQL would say first what is wrong with the text.
            if name:
                return m.parse(name, chance.choice(_TEXTS))
            types = chance.choice(((), (), (0,), (25,), (23,)))
            return m.parse(b"", chance.choice((*_TEXTS, _FAILS)), types)
        case 3 | 4 | 5:
            formats = chance.choice(((), (), (0,), (1,), (0, 1)))
            return m.bind(portal, name, (chance.choice(_VALUES),), result_formats=formats)
        case 6:
            return m.describe(b"P", portal)
        case 7:
            return m.describe(b"S", name)
        case 8:
            return chance.choice((m.close(b"S", name), m.close(b"P", portal), m.FLUSH_MESSAGE))
        case 9:
            return query(chance.choice(_QUERIES)) if chance.random() < 0.2 else m.execute(portal)
        case _:
            return m.execute(portal, chance.choice((0, 0, 1, 2)))


def _segment(chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        name = chance.choice(_NAMES)
        return m.parse(name, chance.choice(_TEXTS)) * chance.randrange(2) + run(
            chance.choice(_VALUES), statement=name, limit=chance.choice((0, 0, 0, 2))
        )
    return b"".join(_message(chance) for _ in range(chance.randint(1, 6))) + m.SYNC_MESSAGE


def _packets(chance: random.Random) -> list[bytes]:
    """What a client sends before it reads, in packets."""
    asked = parsed(chance.choice((*_TEXTS, _FAILS))) + run(chance.choice(_VALUES))
    match chance.randrange(12):
        case 0 | 1 | 2:
            return [query(chance.choice(_QUERIES))]
        case 3:
            return [parsed(chance.choice(_READ_ANEW)) + run(), parsed(_PLAIN) + m.SYNC_MESSAGE]
        case 4:
            return [b"".join(_segment(chance) for _ in range(chance.randint(1, 4)))]
        case 5:
            return [_segment(chance) for _ in range(chance.randint(1, 3))]
        case 6:
            return [asked, query(chance.choice(_QUERIES)), asked]
        case 7:
            return [run(chance.choice(_VALUES))]
        case 8:
            whole = asked + _segment(chance)
            size = chance.choice((1, 5, 40))
            return [whole[at : at + size] for at in range(0, len(whole), size)]
        case _:
            return [asked]


class _Subject:
    """A proxy and its clients, whose bytes are given to their sessions as packets come."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.clients: list[tuple[Raw, ClientSession, bytearray]] = []
        self.seen = [0, 0]  # rows of relations that were answered, and their bytes
        proxy.planner.rewrite = self._planned

    def _planned(self, text: str, context: PlanContext) -> str:
        shown = text.replace("$$REVISION$$", f"'{self.proxy.planner.revision}'")
        return shown.replace("$$PURPOSE$$", f"'{context.purpose}'")

    async def join(self) -> None:
        client, got = await self.proxy.login(), bytearray()
        session = self.proxy.door._by_number[client.key[0]]
        session._send = got.extend
        assert session._state is not None
        # How long a message waits for its turn decides nothing here.
        session._state.clock = lambda: 0.0
        self.clients.append((client, session, got))

    def free(self) -> set[int]:
        """Who can be answered now: has a connection, or there is one to be had."""
        leased = [session._upstream is not None for _, session, _ in self.clients]
        is_any = sum(leased) < self.proxy.pool._connections_max
        return {index for index, has_one in enumerate(leased) if is_any or has_one}

    async def say(self, index: int, packets: list[bytes]) -> Seen:
        _, session, got = self.clients[index]
        for packet in packets:
            session.data_received(packet)
        await until(lambda: not session.is_busy)
        answer = list(_messages(bytes(got)))
        got.clear()
        for kind, data in answer:
            if kind == "D" and m.read_row(data, 0)[0][0] == _ROW:
                self.seen[0] += 1
                self.seen[1] += len(data)
        return answer

    async def leave(self) -> None:
        for client, _, _ in self.clients:
            client.close()
        await until(lambda: not self.proxy.door._sessions)


def _messages(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(data):
        end = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
        yield chr(data[at]), data[at:end]
        at = end


async def _change_the_world(chance: random.Random, subjects: list[_Subject], step: int) -> None:
    match chance.randrange(3):
        case 0:
            # A policy that is another, or one that comes back.
            revision = f"r{chance.choice((1, 2, step))}"
            for subject in subjects:
                subject.proxy.planner.revision = revision
        case 1:
            for subject in subjects:
                subject.proxy.epoch.number += 1
        case _:
            # A catalog that is another.
            for subject in subjects:
                subject.proxy.planner.revision += f"+{step}"


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(3, 60))]
)
async def test_whatever_is_shared_or_kept_each_client_is_answered_as_if_it_were_alone(
    upstream: Database, wire_database: str, seed: int
) -> None:
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        subjects = []
        for pooling, reuses in _SUBJECTS:
            connections = chance.choice((1, 2)) if pooling == "transaction" else 2
            proxy = await stack.enter_async_context(
                running(
                    upstream, pooling=pooling, connections=connections, reuses_statements=reuses
                )
            )
            subjects.append(_Subject(proxy))
        for subject in subjects:
            await subject.join()
            await subject.join()
        owner = await asyncpg.connect(wire_database)
        stack.push_async_callback(owner.close)
        await owner.execute(_OF_LATE)
        is_idle = [True, True]
        for step in range(120):
            if chance.random() < 0.06:
                await _change_the_world(chance, subjects, step)
            if all(is_idle) and chance.random() < 0.04:
                kind = chance.choice(("integer", "bigint", "text"))
                await owner.execute(f"ALTER TABLE of_late ALTER c TYPE {kind} USING c::{kind}")
            index = chance.choice(sorted(set.intersection(*[each.free() for each in subjects])))
            packets = _packets(chance)
            answers = [same(await subject.say(index, packets)) for subject in subjects]
            for answer in answers[1:]:
                assert answer == answers[0], (step, packets)
            is_idle[index] = answers[0][-1] == m.ready(m.IDLE)
        for subject in subjects:
            await subject.leave()
            _check_log(subject)
            assert _read(subject) == _read(subjects[0])


def _read(subject: _Subject) -> Counter[tuple[object, ...]]:
    """What was read, and what for. What a pipeline records behind a message that fails, without a
    row, hangs on when the failure becomes known.
    """
    log = subject.proxy.log
    purposes = {each["id"]: each["purpose"] for each in log.of("access.intent")}
    ended = (each for each in log.of("access.outcome") if each["rows"])
    return Counter((purposes[each["id"]], each["rows"], each["bytes"]) for each in ended)


def _check_log(subject: _Subject) -> None:
    """Each access has one end, and the log tells of all rows that were answered."""
    log = subject.proxy.log
    ended = log.of("access.outcome")
    assert sorted(str(each["id"]) for each in ended) == sorted(
        str(each["id"]) for each in log.of("access.intent")
    )
    assert [
        sum(int(str(each[what])) for each in ended) for what in ("rows", "bytes")
    ] == subject.seen
