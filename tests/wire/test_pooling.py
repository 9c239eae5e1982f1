"""Transaction pooling: clients share connections, and none can tell that it does."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator

import pytest

from proxy.config import Database
from proxy.rewrite.plan import PlanContext
from proxy.upstream.carried import STATEMENTS_MAX
from proxy.wire import messages as m
from tests.wire.conftest import Proxy, running
from tests.wire.raw import Raw, error, kinds, rows, until
from tests.wire.test_steady import SCRIPTS, query, run

Seen = list[tuple[str, bytes]]


@pytest.fixture
async def pooled(upstream: Database) -> AsyncIterator[Proxy]:
    """One connection for all."""
    async with running(upstream, pooling="transaction", connections=1) as proxy:
        yield proxy


def same(seen: Seen) -> list[bytes]:
    """What a client may not see differ: all but the order of ParameterStatus next to each other,
    and the numbers of records.
    """
    answer: list[bytes] = []
    told: list[bytes] = []
    for kind, data in seen:
        if kind == "S":
            told.append(data)
            continue
        answer += sorted(told)
        told = []
        answer.append(re.sub(rb"access: [0-9a-f-]{36}", b"access: -", data))
    return answer + sorted(told)


def recorded(proxy: Proxy) -> list[tuple[str, dict[str, object]]]:
    varying = ("id", "ms", "client", "tables", "credential")
    return [
        (kind, {name: value for name, value in fields.items() if name not in varying})
        for kind, fields in proxy.log.records
    ]


def completed(proxy: Proxy) -> list[tuple[object, ...]]:
    """What was read to its end, by whom, what for. What a pipeline records behind a message that
    fails hangs on when the failure becomes known.
    """
    intents = {fields["id"]: fields for fields in proxy.log.of("access.intent")}
    told = ("tool", "application_name", "purpose", "purpose_from", "policy")
    return [
        (*(intents[ended["id"]].get(name) for name in told), ended["rows"], ended["bytes"])
        for ended in proxy.log.of("access.outcome")
        if ended["state"] == "complete"
    ]


# --- one client's, as in session pooling ------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda name: name.replace(" ", "-"))
async def test_a_client_hears_and_is_recorded_as_in_session_pooling(
    upstream: Database, pooled: Proxy, script: str
) -> None:
    found = []
    async with running(upstream, pooling="session") as alone:
        for proxy in (alone, pooled):
            client = await proxy.login()
            answers: list[list[bytes]] = []
            for packet in SCRIPTS[script]:
                client.send(packet)
                try:
                    answers.append(same(await client.until_ready()))
                except EOFError:
                    answers.append([b"closed"])
                    break
            found.append((answers, recorded(proxy)))
    assert found[0] == found[1]


# --- random clients in turn -------------------------------------------------------------------

_SHOW = (
    "SELECT current_setting('timezone'), current_setting('datestyle'), "
    "current_setting('intervalstyle'), current_setting('bytea_output'), "
    "current_setting('search_path'), current_setting('application_name'), "
    "current_setting('consent.purpose'), current_setting('statement_timeout'), "
    "$$PLANNED$$, '2026-05-06 12:00Z'::timestamptz, interval '-1 2:03', '\\x01'::bytea"
)
_CHANGES = (
    "SET timezone = 'Europe/Madrid'",
    "SET timezone TO 'Asia/Tokyo'",
    "SET LOCAL timezone = 'America/Lima'",
    "SELECT set_config('timezone', 'Africa/Cairo', false)",
    "SELECT set_config('timezone', 'Africa/Dakar', true)",
    "SET datestyle = 'SQL'",
    "SET datestyle = 'DMY'",
    "SET datestyle = 'German'",
    "SET intervalstyle = 'iso_8601'",
    "SET bytea_output = 'escape'",
    "SET application_name = 'one'",
    "SET application_name = 'two'",
    "SET consent.purpose = 'service'",
    "SET consent.purpose = 'newsletter'",
    "SET search_path = pg_catalog",
    "SET statement_timeout = '20s'",
    "RESET timezone",
    "RESET application_name",
    "RESET consent.purpose",
    "RESET ALL",
    "DISCARD ALL",
)
_BLOCKS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s")
_READS = (
    _SHOW,
    _SHOW,
    "SELECT a, b FROM people WHERE a < 4",
    "SELECT 1; SELECT 2 FROM people WHERE a = 1",
    "SELECT forbidden",
    "SELECT 1 / 0",
    "SELECT nothing",
    "COPY people TO STDOUT",
)
_SQL_NAMES = (
    "PREPARE p AS SELECT a, current_setting('timezone') FROM people WHERE a = 3",
    "EXECUTE p",
    "DEALLOCATE p",
    "DECLARE c CURSOR WITH HOLD FOR SELECT a FROM people ORDER BY a",
    "DECLARE d CURSOR FOR SELECT a FROM people ORDER BY a",
    "FETCH 2 FROM c",
    "FETCH 2 FROM d",
    "CLOSE c",
    "DEALLOCATE ALL",
    "DEALLOCATE k",
    "DEALLOCATE l",
    "PREPARE k AS SELECT 1",
)
_TEXTS = (
    b"SELECT a, b, current_setting('timezone'), $$PLANNED$$ FROM public.people WHERE a = $1",
    b"SELECT $1::text, current_setting('datestyle')",
    b"SELECT 100 / $1::int",
    b"SELECT forbidden",
)
_NAMES = (b"", b"k", b"l")


def _extended(chance: random.Random) -> bytes:
    """Some messages and a Sync."""
    packet = b""
    for _ in range(chance.randint(1, 4)):
        name = chance.choice(_NAMES)
        match chance.randrange(6):
            case 0 | 1:
                packet += m.parse(name, chance.choice(_TEXTS))
            case 2:
                packet += m.describe(b"S", name)
            case 3:
                packet += m.close(b"S", name)
            case _:
                value = chance.choice((b"7", b"0", b"x"))
                packet += m.bind(b"", name, (value,)) + m.describe(b"P", b"") + m.execute(b"")
    return packet + m.SYNC_MESSAGE


def _step(chance: random.Random) -> tuple[bytes, int]:
    """A packet, and how many ReadyForQuery answer it."""
    match chance.randrange(12):
        case 0 | 1 | 2:
            return query(chance.choice(_CHANGES)), 1
        case 3 | 4:
            return query(chance.choice(_BLOCKS)), 1
        case 5 | 6:
            return query(chance.choice(_READS)), 1
        case 7:
            return query(chance.choice(_SQL_NAMES)), 1
        case 8:
            return _extended(chance) + query(chance.choice(_CHANGES)) + _extended(chance), 3
        case _:
            return _extended(chance), 1


def _planned(text: str, context: PlanContext) -> str:
    return text.replace("$$PLANNED$$", f"'{context.purpose} {','.join(context.search_path)}'")


class _Clients:
    """The same clients of a pooled proxy and of one that pools sessions."""

    def __init__(self, pooled: Proxy, alone: Proxy) -> None:
        self.pooled = pooled
        self.alone = alone
        self.both: list[tuple[Raw, Raw]] = []

    async def open(self, **settings: str) -> None:
        one, other = [await proxy.login(**settings) for proxy in (self.pooled, self.alone)]
        assert one.parameters == other.parameters
        self.both.append((one, other))

    def free(self) -> Iterator[int]:
        """Who can be answered now: has a connection, or there is one to be had."""
        leased = {
            session.number
            for session in self.pooled.door._sessions
            if session._upstream is not None
        }
        is_any = len(leased) < self.pooled.pool._connections_max
        for index, (client, _) in enumerate(self.both):
            if is_any or client.key[0] in leased:
                yield index

    async def say(self, index: int, packet: bytes, count: int) -> None:
        answers = []
        for client in self.both[index]:
            client.send(packet)
            answers.append(same(await client.until_ready(count)))
        assert answers[0] == answers[1], packet


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("connections", [1, 2])
async def test_clients_in_turn_are_answered_and_recorded_as_if_each_had_a_connection(
    upstream: Database, connections: int, seed: int
) -> None:
    chance = random.Random(f"{connections} {seed}")
    async with (
        running(upstream, pooling="transaction", connections=connections) as pooled,
        running(upstream, pooling="session") as alone,
    ):
        pooled.planner.rewrite = alone.planner.rewrite = _planned
        clients = _Clients(pooled, alone)
        await clients.open()
        await clients.open(TimeZone="Asia/Kolkata", application_name="third")
        await clients.open(options="-c datestyle=DMY -c consent.purpose=service")
        await clients.open(application_name="fourth")
        for _ in range(250):
            index = chance.choice(list(clients.free()))
            await clients.say(index, *_step(chance))
        assert completed(pooled) == completed(alone)
        assert pooled.pool.counts.leases > 20
        assert pooled.pool.counts.set_ups > 10
        assert pooled.pool.counts.parses > 0
