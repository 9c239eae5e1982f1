"""Transaction pooling: clients share connections, and none can tell that it does."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import uvloop

from proxy.config import Database, Pooling
from proxy.demo.embedded import EmbeddedPostgres
from proxy.rewrite.plan import Plan, PlanContext
from proxy.session.lease import Lease
from proxy.upstream.carried import DEFAULTS
from proxy.upstream.connection import connect, exchange
from proxy.wire import messages as m
from tests.wire.conftest import Proxy, running
from tests.wire.raw import Raw, error, kinds, rows, until
from tests.wire.test_steady import SCRIPTS, parsed, query, run

Seen = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """One loop is enough here: what is new has no I/O."""
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


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
    "SET statement_timeout = '5s'",
    "SET extra_float_digits = 0",
    "SET default_transaction_isolation = 'repeatable read'",
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
    match chance.randrange(14):
        case 12 | 13:  # what is known as a whole, and stays prepared
            return parsed(chance.choice(_TEXTS)) + run(chance.choice((b"7", b"0"))), 1
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


@pytest.mark.parametrize(
    "seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(3, 40))]
)
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
        await clients.open(application_name="fourth", options="-c statement_timeout=30s")
        for _ in range(150):
            index = chance.choice(list(clients.free()))
            await clients.say(index, *_step(chance))
        assert completed(pooled) == completed(alone)
        assert pooled.pool.counts.leases > 3
        assert pooled.pool.counts.set_ups > 1


async def test_clients_that_leave_and_come_leave_nothing_to_others(
    upstream: Database, pooled: Proxy
) -> None:
    chance = random.Random(1)
    async with running(upstream, pooling="session") as alone:
        pooled.planner.rewrite = alone.planner.rewrite = _planned
        for _ in range(25):
            clients = _Clients(pooled, alone)
            await clients.open()
            for _ in range(4):
                await clients.say(0, *_step(chance))
            for client in clients.both[0]:
                client.send(m.TERMINATE_MESSAGE)
                client.close()
            await until(lambda: not pooled.pool.leased)
        assert pooled.pool.counts.set_ups > 1


@pytest.mark.parametrize("pooling", ["session", "transaction"])
async def test_a_failed_block_takes_no_statement_that_is_planned_anew_after_it(
    upstream: Database, pooling: Pooling
) -> None:
    async with running(upstream, pooling=pooling) as proxy:
        proxy.planner.rewrite = _planned
        client = await proxy.login()
        client.send(m.parse(b"s", b"SELECT $$PLANNED$$"), m.SYNC_MESSAGE)
        await client.until_ready()
        for text in ("SET consent.purpose = 'service'", "BEGIN", "SELECT 1 / 0"):
            await client.query(text)
        client.send(run(None, statement=b"s"))
        assert error(await client.until_ready())["C"] == "25P02"
        await client.query("ROLLBACK")
        client.send(run(None, statement=b"s"))
        assert rows(await client.until_ready()) == [[b"service public"]]


@pytest.mark.parametrize("name", [b"", b"s"])
async def test_a_statement_that_was_to_be_prepared_in_a_skipped_part_is_nobody_elses(
    pooled: Proxy, name: bytes
) -> None:
    """In the next part of the pipeline, the upstream may know something else by its name."""
    first, second = await pooled.login(), await pooled.login()
    first.send(m.parse(name, b"SELECT b FROM people WHERE a = 7"), m.SYNC_MESSAGE)
    await first.until_ready()
    if name:
        await second.query("DISCARD ALL")
    second.send(m.parse(b"", b"SELECT b FROM people WHERE a = 8"), run(None))
    assert rows(await second.until_ready()) == [[b"name 8"]]
    bound = run(None, statement=name)
    first.send(m.bind(b"", b"nothing") + bound + bound + bound)
    skipped, *answers = [await first.until_ready() for _ in range(3)]
    assert kinds(skipped) == "EZ"
    assert [rows(answer) for answer in answers] == [[[b"name 7"]]] * 2


async def test_nor_where_a_part_prepares_the_same_under_two_names(pooled: Proxy) -> None:
    first, second = await pooled.login(), await pooled.login()
    text = b"SELECT b FROM people WHERE a = 7"
    first.send(m.parse(b"", text), m.parse(b"s", text), m.SYNC_MESSAGE)
    await first.until_ready()
    await second.query("DISCARD ALL")
    second.send(m.parse(b"", b"SELECT b FROM people WHERE a = 8"), run(None))
    await second.until_ready()
    # The named one is prepared, then something fails, and the unnamed one is skipped.
    part = (
        m.bind(b"", b"s")
        + m.bind(b"", b"nothing")
        + run(None)
        + run(None)
        + run(None, statement=b"s")
    )
    for _ in range(2):
        first.send(part)
        _, *answers = [await first.until_ready() for _ in range(3)]
        assert [rows(answer) for answer in answers] == [[[b"name 7"]]] * 2


@pytest.mark.parametrize("call", ["SET_CONFIG", 'U&"set_confi\\0067"'])
async def test_a_setting_is_noticed_however_it_is_written(pooled: Proxy, call: str) -> None:
    """Some statements are sent as they were written, and not in PostgreSQL's own printing."""
    first, second = await pooled.login(), await pooled.login()
    for _ in range(4):
        await first.query(f"SELECT {call}('timezone', 'Asia/Tokyo', false)")
        assert rows(await second.query("SHOW timezone")) != [[b"Asia/Tokyo"]]
        assert rows(await first.query("SHOW timezone")) == [[b"Asia/Tokyo"]]


async def test_defaults_that_change_meanwhile_are_those_of_the_next(pooled: Proxy) -> None:
    client = await pooled.login()
    client.send(*[parsed(_NOON) + run(None)] * 4, query("BEGIN"), query("SHOW timezone"))
    await client.until_ready(6)
    (leased,) = pooled.pool._leased
    before = leased.carried
    # As the database says it when its configuration was read again.
    leased.data_received(m.parameter_status("TimeZone", "Asia/Tokyo"))
    assert kinds(await client.query("COMMIT")) == "SCZ"
    await until(lambda: pooled.pool.idle)
    assert leased.carried is not before
    # A parameter that a tool sets is none of those: what is prepared stays.
    before = leased.carried
    await client.query("SET timezone = 'Asia/Tokyo'")
    assert leased.carried is before


@pytest.mark.parametrize("pooling", ["session", "transaction"])
async def test_nor_does_a_block_that_fails_in_the_same_breath(
    upstream: Database, pooling: Pooling
) -> None:
    async with running(upstream, pooling=pooling) as proxy:
        proxy.planner.rewrite = _planned
        client = await proxy.login()
        client.send(m.parse(b"s", b"SELECT $$PLANNED$$"), m.SYNC_MESSAGE)
        await client.until_ready()
        for text in ("SET consent.purpose = 'service'", "BEGIN"):
            await client.query(text)
        client.send(query("SELECT 1 / 0") + run(None, statement=b"s"))
        assert [kinds(await client.until_ready()) for _ in range(2)] == ["EZ", "EZ"]
        await client.query("ROLLBACK")
        client.send(run(None, statement=b"s"))
        assert rows(await client.until_ready()) == [[b"service public"]]


# --- what is shared, and what is not ----------------------------------------------------------


async def test_one_connection_answers_many_clients_in_turn(pooled: Proxy) -> None:
    clients = [await pooled.login(application_name=str(number)) for number in range(20)]
    shown = b"SELECT current_setting('application_name')"
    for client in clients:
        client.send(m.parse(b"s", shown), m.SYNC_MESSAGE)
        await client.until_ready()
    for _ in range(3):
        for number, client in enumerate(clients):
            client.send(run(None, statement=b"s"))
            assert rows(await client.until_ready()) == [[str(number).encode()]]
    assert pooled.pool.leased == 0
    assert pooled.pool.idle == 1


async def test_a_new_client_is_told_nothing_of_what_others_have_set(pooled: Proxy) -> None:
    before = await pooled.login()
    await before.query("SET timezone = 'Asia/Tokyo'")
    await before.query("SET application_name = 'a secret'")
    after = await pooled.login()
    assert after.parameters == before.parameters
    seen = await after.query("SELECT 1")
    assert kinds(seen) == "TDCZ"


async def test_a_literal_in_a_prepared_statement_is_read_with_its_own_client_s_settings(
    pooled: Proxy,
) -> None:
    text = b"SELECT extract(epoch FROM '2026-05-06 12:00'::timestamptz)::text"
    clients = [await pooled.login(TimeZone=zone) for zone in ("Asia/Tokyo", "UTC", "America/Lima")]
    found = set()
    for client in clients:
        client.send(m.parse(b"s", text), m.SYNC_MESSAGE)
        await client.until_ready()
    for client in clients:
        client.send(run(None, statement=b"s"))
        found.add(rows(await client.until_ready())[0][0])
    assert len(found) == 3


_NOON = b"SELECT extract(epoch FROM '2026-05-06 12:00'::timestamptz)::text"


async def _noon(client: Raw) -> list[list[bytes | None]]:
    client.send(run(None, statement=b"s"))
    return rows(await client.until_ready())


async def _prepare(client: Raw) -> None:
    client.send(m.parse(b"s", _NOON), m.SYNC_MESSAGE)
    await client.until_ready()


async def test_a_statement_prepared_while_a_setting_is_local_is_not_given_to_others(
    pooled: Proxy,
) -> None:
    first, second = await pooled.login(), await pooled.login()
    await _prepare(second)
    noon = await _noon(second)
    await first.query("BEGIN")
    await first.query("SET LOCAL timezone = 'Asia/Tokyo'")
    await _prepare(first)
    assert await _noon(first) != noon
    await first.query("COMMIT")
    assert await _noon(second) == noon
    assert await _noon(first) == noon


async def test_nor_one_prepared_so_before_it_was_known_what_was_set_before(pooled: Proxy) -> None:
    first = await pooled.login(application_name="same")
    lease = _lease_of(pooled)
    slow = b" UNION ALL SELECT 'application_name', 'same' FROM pg_sleep(0.2) UNION ALL"
    lease.question = lease.question.replace(b" UNION ALL", slow)
    second = await pooled.login(application_name="same")
    await _prepare(second)
    noon = await _noon(second)
    await first.query("SET application_name = 'same'")
    first.send(query("BEGIN"), query("SET LOCAL timezone = 'Asia/Tokyo'"))
    await first.until_ready(2)
    assert pooled.pool.counts.questions == 1
    await _prepare(first)
    assert await _noon(first) != noon
    await first.query("COMMIT")
    assert await _noon(second) == noon
    assert await _noon(first) == noon


def _lease_of(proxy: Proxy) -> Lease:
    """Of the only session."""
    (session,) = proxy.door._tools
    state = session._state
    assert state is not None
    assert state.lease is not None
    return state.lease


async def test_what_the_database_s_own_code_leaves_behind_is_gone_for_the_next(
    pooled: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = pooled.planner._one

    def runs_code(text: str, context: PlanContext) -> Plan:
        return replace(planned(text, context), runs_code="advisory" in text)

    monkeypatch.setattr(pooled.planner, "_one", runs_code)
    first, second = await pooled.login(), await pooled.login()
    await first.query("SELECT pg_advisory_lock(1)")
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert rows(await second.query(locks)) == [[b"0"]]
    assert rows(await second.query("SHOW consent.purpose")) == [[b"newsletter"]]


@pytest.mark.parametrize(
    ("begins", "ends", "cause"),
    [
        ("DECLARE c CURSOR WITH HOLD FOR SELECT a FROM people", "CLOSE c", "cursor"),
        ("PREPARE p AS SELECT 1", "DEALLOCATE p", "prepare"),
    ],
)
async def test_what_can_not_be_moved_keeps_the_connection_until_it_is_gone(
    pooled: Proxy, begins: str, ends: str, cause: str
) -> None:
    client = await pooled.login()
    await client.query(begins)
    for _ in range(3):
        await client.query("SELECT 1")
        assert pooled.pool.leased == 1
    await client.query(ends)
    assert pooled.pool.leased == 0
    assert pooled.pool.counts.pins == {cause: 1}


async def test_a_client_whose_settings_can_not_be_asked_for_keeps_its_connection(
    pooled: Proxy,
) -> None:
    client = await pooled.login()
    _lease_of(pooled).question = b"SELECT 1 / 0"
    await client.query("SET timezone = 'Asia/Tokyo'")
    for _ in range(2):
        assert rows(await client.query("SHOW timezone")) == [[b"Asia/Tokyo"]]
    assert pooled.pool.leased == 1
    assert pooled.pool.counts.pins == {"settings": 1}
    client.send(m.TERMINATE_MESSAGE)
    other = await pooled.login()
    assert rows(await other.query("SHOW timezone")) != [[b"Asia/Tokyo"]]


async def test_statements_make_room_for_others_and_are_prepared_again(
    pooled: Proxy,
) -> None:
    pooled.pool._idle[0][1].carried.statements_max = 3
    client = await pooled.login()
    names = [f"s{number}".encode() for number in range(8)]
    for number, name in enumerate(names):
        client.send(m.parse(name, f"SELECT {number}".encode()), m.SYNC_MESSAGE)
        await client.until_ready()
    for _ in range(2):
        for number, name in enumerate(names):
            client.send(run(None, statement=name))
            assert rows(await client.until_ready()) == [[str(number).encode()]]
    assert pooled.pool.counts.parses >= 8
    connection = await pooled.pool.acquire(DEFAULTS)
    held = await exchange(connection, b"SELECT count(*) FROM pg_prepared_statements")
    assert held == [[b"3"]]
    pooled.pool.release(connection, is_clean=True)


async def test_an_older_result_type_is_an_error_once(
    pooled: Proxy, postgres: EmbeddedPostgres
) -> None:
    postgres.run("CREATE TABLE changing AS SELECT 1 AS a", database=pooled.database)
    client = await pooled.login()
    prepare = m.parse(b"s", b"SELECT * FROM changing") + m.SYNC_MESSAGE
    client.send(prepare, run(None, statement=b"s"))
    assert kinds(await client.until_ready(2)) == "1Z2TDCZ"
    postgres.run("ALTER TABLE changing ALTER a TYPE text", database=pooled.database)
    client.send(run(None, statement=b"s"))
    assert error(await client.until_ready())["C"] == "0A000"
    client.send(m.close(b"S", b"s"), prepare, run(None, statement=b"s"))
    assert kinds(await client.until_ready(2)) == "31Z2TDCZ"
    postgres.run("DROP TABLE changing", database=pooled.database)


async def test_http_s_door_gets_a_connection_as_it_was_when_it_was_new(pooled: Proxy) -> None:
    client = await pooled.login()
    await client.query("SET timezone = 'Asia/Tokyo'")
    client.send(m.parse(b"s", b"SELECT 1"), m.SYNC_MESSAGE)
    await client.until_ready()
    await until(lambda: not pooled.pool.leased)
    connection = await pooled.pool.acquire()
    asked = b"SELECT current_setting('timezone'), count(*) FROM pg_prepared_statements"
    ((zone, prepared),) = await exchange(connection, asked)
    assert (zone != b"Asia/Tokyo", prepared) == (True, b"0")
    pooled.pool.release(connection, is_clean=True)


# --- cancelling, loss, the end ----------------------------------------------------------------


async def _runs(proxy: Proxy, text: str) -> None:
    """Return when a statement runs upstream."""
    admin = await connect(proxy.pool._database, {})
    asked = f"SELECT FROM pg_stat_activity WHERE state = 'active' AND query = '{text}'"
    async with asyncio.timeout(20):
        while not await exchange(admin, asked.encode()):
            pass
    admin.close()


async def test_a_cancel_request_never_hits_the_statement_of_the_next(pooled: Proxy) -> None:
    first, second = await pooled.login(), await pooled.login()
    await first.query("SELECT 1")
    second.send(m.query(b"SELECT pg_sleep(600)"))
    await _runs(pooled, "SELECT pg_sleep(600)")
    for _ in range(3):
        pooled.door.cancel(*first.key)  # it runs nothing: the connection is another's now
    pooled.door.cancel(*second.key)
    assert error(await second.until_ready())["C"] == "57014"
    for client in (first, second):
        assert rows(await client.query("SELECT 1")) == [[b"1"]]


async def test_a_connection_with_a_cancel_request_on_its_way_is_not_used(
    pooled: Proxy,
) -> None:
    is_held = asyncio.Event()
    on_its_way = asyncio.create_task(is_held.wait())
    connection = pooled.pool._idle[0][1]
    connection._cancelling.add(on_its_way)  # type: ignore[arg-type]
    on_its_way.add_done_callback(connection._cancelling.discard)
    first, second = await pooled.login(), await pooled.login()
    await first.query("SELECT 1")
    second.send(m.query(b"SELECT 1"))
    await until(lambda: pooled.pool.waiting)
    is_held.set()
    assert kinds(await second.until_ready()) == "TDCZ"


async def test_a_lost_connection_ends_whoever_has_it_and_nobody_else(pooled: Proxy) -> None:
    idle, busy = await pooled.login(), await pooled.login()
    await idle.query("SET timezone = 'Asia/Tokyo'")
    idle.send(m.parse(b"s", b"SELECT current_setting('timezone')"), m.SYNC_MESSAGE)
    await idle.until_ready()
    busy.send(m.query(b"SELECT pg_terminate_backend(pg_backend_pid())"))
    assert b"57P01" in await busy.closed()
    idle.send(run(None, statement=b"s"))
    assert rows(await idle.until_ready()) == [[b"Asia/Tokyo"]]


async def test_a_client_that_leaves_while_its_settings_are_asked_for_costs_no_connection(
    pooled: Proxy,
) -> None:
    connection = pooled.pool._idle[0][1]
    for _ in range(3):
        client = await pooled.login()
        _lease_of(pooled).question = b"SELECT 'a', 'b' FROM pg_sleep(0.2)"
        await client.query("SET timezone = 'Asia/Tokyo'")
        client.close()
        await until(lambda: pooled.pool.idle)
    assert pooled.pool._idle[0][1] is connection


async def test_draining_ends_clients_that_rest_at_once(pooled: Proxy) -> None:
    clients = [await pooled.login() for _ in range(5)]
    for client in clients:
        await client.query("SELECT 1")
    await pooled.door.drain(5)
    for client in clients:
        assert b"57P01" in await client.closed()


async def test_more_clients_than_can_be_served_in_time_are_told(pooled: Proxy) -> None:
    first, second = await pooled.login(), await pooled.login()
    await first.query("BEGIN")
    pooled.pool._wait_s = 0.05
    second.send(m.query(b"SELECT 1"))
    assert b"53300" in await second.closed()
    assert kinds(await first.query("COMMIT")) == "CZ"


async def _waiting(proxy: Proxy, number: int) -> None:
    await until(lambda: proxy.pool.waiting == number)


async def test_who_waits_longest_is_next(pooled: Proxy) -> None:
    clients = [await pooled.login() for _ in range(6)]
    await clients[0].query("BEGIN")
    answered = list[int]()

    async def wait(number: int) -> None:
        await clients[number].until_ready()
        answered.append(number)

    waiting = []
    for number in range(1, 6):
        clients[number].send(m.query(b"SELECT 1"))
        await _waiting(pooled, number)
        waiting.append(asyncio.create_task(wait(number)))
    clients[0].send(m.query(b"COMMIT"), m.query(b"SELECT 1"))
    await asyncio.gather(*waiting)
    assert answered == [1, 2, 3, 4, 5]
