"""Statements that stay prepared upstream: what a client sees is what it would see without."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import asyncpg
import pytest
import uvloop

from proxy.config import Database, Pooling
from proxy.session.kept import is_lasting
from proxy.upstream.carried import Carried
from proxy.wire import messages as m
from tests.wire.conftest import Proxy, running
from tests.wire.raw import Raw, error, kinds, rows, status
from tests.wire.test_pooling import completed, same
from tests.wire.test_steady import parsed, query, run

Ask = Callable[[str], Awaitable[None]]

_ASKED = b"SELECT a, b FROM people WHERE a = $1"
_EVERY: tuple[Pooling, ...] = ("session", "transaction")


@pytest.fixture(scope="module")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


@pytest.fixture(params=_EVERY)
async def proxy(request: pytest.FixtureRequest, upstream: Database) -> AsyncIterator[Proxy]:
    pooling: Pooling = request.param
    async with running(upstream, pooling=pooling, connections=1) as proxy:
        yield proxy


@pytest.fixture
async def ask(wire_database: str) -> AsyncIterator[Ask]:
    """Runs SQL as the owner of the database."""
    connection = await asyncpg.connect(wire_database)

    async def run_sql(text: str) -> None:
        await connection.execute(text)

    yield run_sql
    await connection.close()


@pytest.fixture
async def changing(ask: Ask) -> AsyncIterator[bytes]:
    """A Parse that reads a table of its own, which may be altered."""
    await ask("CREATE TABLE changing (a integer); INSERT INTO changing VALUES (7)")
    yield parsed(b"SELECT a FROM changing WHERE a = $1::int")
    await ask("SET lock_timeout = '10s'; DROP TABLE changing")


def carried(proxy: Proxy) -> Carried:
    """What the only connection has, whether it is leased or rests."""
    (connection,) = [*proxy.pool._leased, *(each for _, each in proxy.pool._idle)]
    return connection.carried


async def held(client: Raw) -> list[bytes | None]:
    """The texts that are prepared under names of ours, in the connection that the client gets."""
    found = await client.query(
        "SELECT statement FROM pg_prepared_statements WHERE name LIKE 'consent-proxy: %'"
        " ORDER BY prepare_time"
    )
    return [text for (text,) in rows(found)]


async def say(client: Raw, *packets: bytes) -> list[list[tuple[str, bytes]]]:
    answers = []
    for packet in packets:
        client.send(packet)
        answers.append(await client.until_ready())
    return answers


async def test_a_statement_that_comes_again_is_prepared_once(proxy: Proxy) -> None:
    client = await proxy.login()
    answers = await say(client, *[parsed() + run(b"%d" % n) for n in range(1, 9)])
    assert {kinds(answer) for answer in answers} == {"12TDCZ"}
    assert [rows(answer)[0][0] for answer in answers] == [b"%d" % n for n in range(1, 9)]
    assert await held(client) == [_ASKED]


async def test_nothing_is_kept_where_that_is_switched_off(upstream: Database) -> None:
    async with running(upstream, pooling="session", reuses_statements=False) as proxy:
        client = await proxy.login()
        await say(client, *[parsed() + run()] * 6)
        assert proxy.door.known.used > 3
        assert await held(client) == []


async def test_the_unnamed_statement_is_the_one_that_was_parsed_last(proxy: Proxy) -> None:
    client = await proxy.login()
    other = b"SELECT 'other', $1::text"
    await say(client, *[parsed() + run()] * 6, *[parsed(other) + run()] * 6)
    for packet, first in ((run(), b"other"), (parsed() + run(), b"7"), (run(b"8"), b"8")):
        (answer,) = await say(client, packet)
        assert rows(answer)[0][0] == first
    # Described and bound without its Parse, closed, and then gone.
    (described,) = await say(client, m.describe(b"S", b"") + m.SYNC_MESSAGE)
    assert kinds(described) == "tTZ"
    (closed, gone) = await say(client, m.close(b"S", b"") + m.SYNC_MESSAGE, run())
    assert kinds(closed) == "3Z"
    assert error(gone)["C"] == "26000"


async def test_a_parse_that_is_skipped_leaves_the_unnamed_statement_as_it_was(proxy: Proxy) -> None:
    client = await proxy.login()
    await say(client, *[parsed() + run()] * 6)
    fails = m.bind(b"", b"nothing") + parsed(b"SELECT 'skipped', $1::text") + m.SYNC_MESSAGE
    (failed, answer) = await say(client, fails, run())
    assert error(failed)["C"] == "26000"
    assert rows(answer)[0] == [b"7", b"name 7"]


async def test_a_parse_that_fails_leaves_no_unnamed_statement(proxy: Proxy) -> None:
    client = await proxy.login()
    await say(client, *[parsed() + run()] * 6)
    (failed, answer) = await say(client, parsed(b"SELECT nothing") + m.SYNC_MESSAGE, run())
    assert error(failed)["C"] == "42703"
    assert error(answer)["C"] == "26000"


@pytest.mark.parametrize("text", ["DISCARD ALL", "DEALLOCATE ALL"])
async def test_what_the_client_deallocates_is_prepared_again(proxy: Proxy, text: str) -> None:
    client = await proxy.login()
    await say(client, *[parsed() + run()] * 6)
    await client.query(text)
    (gone, *answers) = await say(client, run(), *[parsed() + run()] * 3)
    assert error(gone)["C"] == "26000"
    assert [rows(answer) for answer in answers] == [[[b"7", b"name 7"]]] * 3
    assert await held(client) == [_ASKED]


async def test_what_code_of_the_database_deallocates_is_prepared_again(proxy: Proxy) -> None:
    client = await proxy.login()
    await say(client, *[parsed() + run()] * 6)
    await client.query("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
    (answer,) = await say(client, parsed() + run())
    assert kinds(answer) == "12TDCZ"
    assert rows(answer)[0] == [b"7", b"name 7"]


async def test_a_literal_is_read_with_the_settings_of_its_parse(proxy: Proxy) -> None:
    client = await proxy.login()
    text = parsed(b"SELECT '2026-05-06 12:00'::timestamptz AT TIME ZONE 'UTC' FROM people LIMIT $1")

    async def shown() -> list[bytes | None]:
        return [rows(answer)[0][0] for answer in await say(client, *[text + run(b"1")] * 6)]

    seen = [await shown()]
    for change in (
        "SET timezone = 'Asia/Tokyo'",
        "BEGIN",
        "SET LOCAL timezone = 'Africa/Dakar'",
        "ROLLBACK",
        "SELECT set_config('timezone', 'America/Lima', false)",
        "RESET timezone",
    ):
        await client.query(change)
        seen.append(await shown())
    assert seen[0] == seen[-1]
    assert seen[1:-1] == [
        [b"2026-05-06 %s:00:00" % hour] * 6 for hour in (b"03", b"03", b"12", b"03", b"17")
    ]
    assert await held(client) != []


async def test_a_literal_of_the_moment_is_read_each_time(proxy: Proxy) -> None:
    client = await proxy.login()
    text = parsed(b"SELECT 'now'::timestamptz = now(), $1::text")
    for answer in await say(client, *[text + run()] * 5):
        assert rows(answer)[0][0] == b"t"
    assert await held(client) == []


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("SELECT a FROM t WHERE b = 'open' AND c > $1 AND d < now()", True),
        ('SELECT "today" FROM t', True),
        ("SELECT 'known', 'snow', '2026-01-01', 'infinity'", True),
        ("SELECT 'it''s', 'b'", True),
        ("SELECT 'now'::timestamptz", False),
        ("SELECT '{today,2026-01-01}'::date[]", False),
        ("SELECT 'TOMORROW 10:00'::timestamp", False),
        ("SELECT '5yesterday'", False),
        ("SELECT 'it''s', 'now'", False),
        ("SELECT \"a'b\", 'now'::date", False),
        ("SELECT E'\\x6eow'::date", False),
        ("SELECT U&'\\006eow'::date", False),
        ("SELECT $$now$$::date", False),
        ("SELECT $x$now$x$::date", False),
        ("SELECT 1 -- it's\n, 'now'::date", False),
        ("SELECT 1 /* ' */, 'now'::date", False),
        ("SELECT 'to'\n'day'::date", False),
        ("SELECT '12:00'::timetz, $1", False),
        ("SELECT cast('12:00' AS time (3) with time zone)", False),
        ("SELECT '2026-05-06 12:00'::timestamp with time zone", True),
    ],
)
def test_only_what_means_the_same_later_is_kept(text: str, is_kept: bool) -> None:
    assert is_lasting(text) is is_kept


async def test_a_result_that_has_changed_is_seen_without_an_error(
    proxy: Proxy, ask: Ask, changing: bytes
) -> None:
    client = await proxy.login()
    await say(client, *[changing + run()] * 6)
    await ask("ALTER TABLE changing ALTER COLUMN a TYPE text")
    await ask("ALTER TABLE changing ALTER COLUMN a TYPE bigint USING a::bigint")
    answers = await say(client, *[changing + run()] * 3)
    assert {kinds(answer) for answer in answers} == {"12TDCZ"}
    described = next(data for kind, data in answers[0] if kind == "T")
    assert m.read_columns(described)[0][1] == 20  # bigint
    # One record for each answer, as for any other statement.
    assert len(proxy.log.of("access.intent")) == 9
    assert len(completed(proxy)) == 9


async def test_an_error_is_seen_though_its_end_comes_later(
    proxy: Proxy, ask: Ask, changing: bytes
) -> None:
    """PostgreSQL sends an error at once; the proxy waits for its end only where it asks again."""
    client = await proxy.login()
    await say(client, *[changing + run()] * 6)
    await client.query("BEGIN")
    await ask("ALTER TABLE changing ALTER COLUMN a TYPE bigint")
    (outdated, failed) = await say(client, changing + run(), changing + run())
    assert kinds(outdated) == "1EZ"
    assert (error(outdated)["C"], error(failed)["C"]) == ("0A000", "25P02")
    await client.query("ROLLBACK")
    # Two packets at once: while the first is asked again the second waits, and is answered.
    client.send(changing + run(), changing + run())
    answers = [await client.until_ready(), await client.until_ready()]
    assert [rows(answer) for answer in answers] == [[[b"7"]]] * 2


async def test_a_relation_that_is_gone_is_an_error_as_ever(proxy: Proxy, ask: Ask) -> None:
    await ask("CREATE TABLE passing (a integer)")
    client = await proxy.login()
    text = parsed(b"SELECT a FROM passing WHERE a = $1")
    await say(client, *[text + run()] * 6)
    await ask("DROP TABLE passing")
    (gone, after) = await say(client, text + run(), parsed() + run())
    assert error(gone)["C"] == "42P01"
    assert status(gone) == "I"
    assert rows(after)[0] == [b"7", b"name 7"]


async def test_more_statements_than_are_kept_make_room_for_each_other(proxy: Proxy) -> None:
    client = await proxy.login()
    await say(client, parsed() + run())
    carried(proxy).statements_max = 3
    texts = [b"SELECT %d, $1::text" % number for number in range(6)]
    for _ in range(7):
        for number, text in enumerate(texts):
            (answer,) = await say(client, parsed(text) + run())
            assert kinds(answer) == "12TDCZ"
            assert rows(answer) == [[b"%d" % number, b"7"]]
    assert len(await held(client)) == 3


async def test_a_large_result_of_a_kept_statement_comes_whole(proxy: Proxy) -> None:
    client = await proxy.login()
    text = parsed(b"SELECT a, repeat('x', 3000) FROM numbers WHERE a <= $1")
    for answer in await say(client, *[text + run(b"300")] * 5):
        assert kinds(answer) == "12T" + "D" * 300 + "CZ"
    assert [found[-2] for found in completed(proxy)] == [300] * 5
    assert len(await held(client)) == 1


async def test_errors_name_the_statement_as_the_client_does(proxy: Proxy) -> None:
    client = await proxy.login()
    await say(client, *[parsed() + run()] * 6)
    (wrong,) = await say(client, parsed() + run(None))
    assert kinds(wrong) == "1EZ"
    assert error(wrong)["M"] == (
        'bind message supplies 0 parameters, but prepared statement "" requires 1'
    )


async def test_a_kept_statement_is_not_run_in_a_failed_block(proxy: Proxy) -> None:
    client = await proxy.login()
    await say(client, *[parsed() + run()] * 6)
    for text in ("BEGIN", "SELECT 1 / 0"):
        await client.query(text)
    (failed,) = await say(client, parsed() + run())
    assert kinds(failed) == "EZ"
    assert error(failed)["C"] == "25P02"
    await client.query("ROLLBACK")
    (answer,) = await say(client, parsed() + run())
    assert rows(answer)[0] == [b"7", b"name 7"]


async def test_another_policy_prepares_another_statement(proxy: Proxy) -> None:
    client = await proxy.login()
    await say(client, *[parsed() + run()] * 6)
    proxy.planner.revision = "r2"
    proxy.planner.rewrite = lambda text, _: text.replace("people", "people WHERE false AND", 1)
    proxy.planner.rewrite = lambda text, _: text.replace("a = $1", "a = $1 AND false")
    for answer in await say(client, *[parsed() + run()] * 6):
        assert kinds(answer) == "12TCZ"
    assert await held(client) == [_ASKED, _ASKED + b" AND false"]


async def test_another_policy_never_brings_back_what_the_upstream_calls_the_unnamed_statement(
    proxy: Proxy,
) -> None:
    client = await proxy.login()
    other = b"SELECT 'of the older policy', b FROM people WHERE a = $1"
    await say(client, *[parsed() + run()] * 6, parsed(other) + run(), parsed() + run())
    proxy.planner.revision = "r2"
    (answer, described) = await say(client, run(), m.describe(b"S", b"") + m.SYNC_MESSAGE)
    assert rows(answer)[0] == [b"7", b"name 7"]
    assert len(m.read_columns(described[1][1])) == 2


async def test_a_statement_that_fails_each_time_leaves_nothing_behind(proxy: Proxy) -> None:
    client = await proxy.login()
    await say(client, *[parsed(b"SELECT nothing, $1::int FROM people") + run()] * 12)
    (session,) = proxy.door._sessions
    assert session._state is not None
    assert not session._state.kept._prepared
    assert not session._state.kept._parsing


@pytest.mark.usefixtures("changing")
async def test_what_has_become_useless_in_a_pipeline_is_not_used_again(
    proxy: Proxy, ask: Ask
) -> None:
    client = await proxy.login()
    await say(client, parsed() + run())
    (session,) = proxy.door._sessions
    # What is not used any more makes room.
    carried(proxy).statements_max = 2
    text = parsed(b"SELECT a FROM changing WHERE a::text = $1")
    for type_ in ("bigint", "text", "integer USING a::integer", "bigint"):
        await say(client, *[text + run()] * 4, *[parsed() + run()] * 4)
        await ask(f"ALTER TABLE changing ALTER COLUMN a TYPE {type_}")
        seen = []
        for _ in range(2):
            # Two packets, and no time for an answer in between.
            session.data_received(text + run())
            session.data_received(text + run())
            seen += [kinds(await client.until_ready()) for _ in range(2)]
        assert seen == ["1EZ", *["12TDCZ"] * 3]
        assert len(await held(client)) <= 3


# --- random sessions --------------------------------------------------------------------------

_TEXTS = (
    _ASKED,
    _ASKED,
    b"SELECT $1::text, '2026-05-06 12:00'::timestamptz AT TIME ZONE 'UTC'",
    b"SELECT 100 / $1::int, '5/6/2026'::date::text",
    b"SELECT $1::text, 'now'::timestamptz = now()",
    b"SELECT $1::text, set_config('timezone', 'Asia/Tokyo', false)",
    b"SELECT a, repeat('x', 900) FROM numbers WHERE a < $1::int * 30",
    b"SELECT nothing FROM people WHERE a = $1",
    b"SELECT forbidden",
)
_BETWEEN = (
    "SET timezone = 'America/Lima'",
    "SET LOCAL timezone = 'Africa/Dakar'",
    "RESET timezone",
    "SET datestyle = 'SQL, DMY'",
    "RESET ALL",
    "SET consent.purpose = 'service'",
    "BEGIN",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "SELECT 1 / 0",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "SELECT a FROM people WHERE a < 4",
)


def _packet(chance: random.Random, texts: Sequence[bytes]) -> tuple[bytes, int]:
    value = chance.choice((b"7", b"7", b"3", b"0", b"x"))
    asked = parsed(chance.choice(texts)) + run(value, described=chance.random() < 0.8)
    match chance.randrange(14):
        case 0:
            return query(chance.choice(_BETWEEN)), 1
        case 2:
            return run(value), 1
        case 3:
            return m.describe(b"S", b"") + m.SYNC_MESSAGE, 1
        case 4:
            return m.close(b"S", b"") + m.SYNC_MESSAGE, 1
        case 5:
            return parsed(chance.choice(texts)) + m.SYNC_MESSAGE, 1
        case 6:
            return m.bind(b"", b"nothing") + asked, 1
        case 7:
            return m.parse(b"s", _ASKED) + run(value, statement=b"s"), 1
        case 8:
            return asked + query(chance.choice(_BETWEEN)) + asked, 3
        case _:
            return asked, 1


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(4, 60))]
)
@pytest.mark.parametrize("pooling", _EVERY)
async def test_a_session_is_answered_and_recorded_as_if_nothing_were_kept(
    upstream: Database, pooling: Pooling, seed: int
) -> None:
    chance = random.Random(seed)
    # Where connections are shared, a statement that lived through a SET is read anew (0004).
    texts = [text for text in _TEXTS if pooling == "session" or b"now" not in text]
    async with (
        running(upstream, pooling="session", connections=1, reuses_statements=False) as plain,
        running(upstream, pooling=pooling, connections=1) as keeping,
    ):
        clients = [await proxy.login() for proxy in (plain, keeping)]
        names = set[bytes]()
        for step in range(250):
            packet, count = (parsed() + run(), 1) if step < 6 else _packet(chance, texts)
            answers = []
            for client in clients:
                client.send(packet)
                answers.append(same(await client.until_ready(count)))
            assert answers[1] == answers[0], packet
            names |= set(carried(keeping)._statements.values())
        assert completed(keeping) == completed(plain)
        assert names
