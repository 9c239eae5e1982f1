"""G3: nothing is shown from a snapshot that is older than a withdrawal."""

from __future__ import annotations

import pytest

from proxy.errors import Reason, Refused
from proxy.wire import messages as m
from tests.wire.conftest import Proxy
from tests.wire.raw import Raw, error, kinds, rows

PARSE = m.parse(b"", b"SELECT a FROM people")


async def _changed(client: Raw, *send: bytes) -> None:
    client.send(*send)
    fields = error(await client.until_ready())
    assert fields["C"] == "40001"
    assert "consent_changed" in fields["D"]


async def test_fetch_from_a_cursor_is_refused_once_consent_has_changed(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("BEGIN")
    await client.query("DECLARE c CURSOR FOR SELECT a FROM people")
    assert len(rows(await client.query("FETCH 2 FROM c"))) == 2
    proxy.epoch.number += 1
    await _changed(client, m.query(b"FETCH 2 FROM c"))
    assert error(await client.query("SELECT 1"))["C"] == "25P02"
    await client.query("ROLLBACK")
    assert len(rows(await client.query("SELECT a FROM people"))) == 100


async def test_a_cursor_with_hold_is_refused_once_consent_has_changed(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("DECLARE c CURSOR WITH HOLD FOR SELECT a FROM people")
    assert len(rows(await client.query("FETCH 2 FROM c"))) == 2
    proxy.epoch.number += 1
    await _changed(client, m.query(b"FETCH 2 FROM c"))
    await _changed(client, m.query(b"MOVE 2 FROM c"))


async def test_more_of_a_portal_is_refused_once_consent_has_changed(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("BEGIN")
    client.send(PARSE, m.bind(b"p", b""), m.execute(b"p", 2), m.SYNC_MESSAGE)
    assert kinds(await client.until_ready()) == "12DDsZ"
    client.send(m.execute(b"p", 2), m.SYNC_MESSAGE)
    assert kinds(await client.until_ready()) == "DDsZ"
    proxy.epoch.number += 1
    await _changed(client, m.execute(b"p", 2), m.SYNC_MESSAGE)


async def test_a_portal_that_was_bound_before_consent_changed_is_refused(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("BEGIN")
    client.send(PARSE, m.bind(b"p", b""), m.FLUSH_MESSAGE)
    assert [(await client.next())[0] for _ in "12"] == ["1", "2"]
    proxy.epoch.number += 1
    await _changed(client, m.execute(b"p"), m.SYNC_MESSAGE)


async def test_bind_and_execute_that_arrive_as_one_need_no_epoch(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(PARSE, m.bind(b"", b""), m.describe(b"P", b""), m.execute(b""), m.SYNC_MESSAGE)
    assert len(rows(await client.until_ready())) == 100
    assert proxy.epoch.reads == 0


@pytest.mark.parametrize(
    "begin",
    [
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ],
)
async def test_a_repeatable_read_transaction_ends_when_consent_changes(
    proxy: Proxy, begin: str
) -> None:
    client = await proxy.login()
    await client.query(begin)
    assert len(rows(await client.query("SELECT a FROM people"))) == 100
    proxy.epoch.number += 1
    await _changed(client, m.query(b"SELECT a FROM people"))
    assert kinds(await client.query("ROLLBACK")) == "CZ"
    await client.query(begin)
    client.send(PARSE, m.bind(b"", b""), m.execute(b""), m.SYNC_MESSAGE)
    assert len(rows(await client.until_ready())) == 100
    proxy.epoch.number += 1
    await _changed(client, PARSE, m.bind(b"", b""), m.execute(b""), m.SYNC_MESSAGE)


async def test_a_default_isolation_that_keeps_snapshots_counts_as_well(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SET default_transaction_isolation TO 'repeatable read'")
    # Analysis takes the snapshot of the implicit transaction.
    client.send(PARSE, m.FLUSH_MESSAGE)
    assert (await client.next())[0] == "1"
    proxy.epoch.number += 1
    await _changed(client, m.bind(b"", b""), m.execute(b""), m.SYNC_MESSAGE)
    assert len(rows(await client.query("SELECT a FROM people"))) == 100


async def test_read_committed_statements_need_no_epoch(proxy: Proxy) -> None:
    client = await proxy.login()
    for text in ("BEGIN", "SELECT a FROM people", "COMMIT"):
        await client.query(text)
    assert proxy.epoch.reads == 0


async def test_no_snapshot_is_used_after_its_time(proxy: Proxy) -> None:
    proxy.limits.snapshot_s = -1.0
    client = await proxy.login()
    await client.query("BEGIN")
    await client.query("DECLARE c CURSOR FOR SELECT a FROM people")
    await _changed(client, m.query(b"FETCH 1 FROM c"))


async def test_where_the_epoch_can_not_be_read_nothing_old_is_shown(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("BEGIN")
    await client.query("DECLARE c CURSOR FOR SELECT a FROM people")
    proxy.epoch.refused = Refused(Reason.UPSTREAM_UNAVAILABLE, "the ledger does not answer")
    assert error(await client.query("FETCH 1 FROM c"))["C"] == "08006"
    assert kinds(await client.query("ROLLBACK")) == "CZ"


async def test_a_portal_cursor_read_through_sql_is_checked_too(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("BEGIN")
    client.send(PARSE, m.bind(b"p", b""), m.execute(b"p", 2), m.SYNC_MESSAGE)
    await client.until_ready()
    proxy.epoch.number += 1
    await _changed(client, m.query(b"FETCH 1 FROM p"))


async def test_a_session_that_begins_with_such_an_isolation_is_watched_from_the_start(
    proxy: Proxy,
) -> None:
    client = await proxy.login(options="-c default_transaction_isolation=repeatable\\ read")
    await client.query("DISCARD ALL")
    await client.query("BEGIN")
    assert len(rows(await client.query("SELECT a FROM people"))) == 100
    proxy.epoch.number += 1
    await _changed(client, m.query(b"SELECT a FROM people"))


async def test_a_parse_takes_no_snapshot_that_could_not_be_dated(proxy: Proxy) -> None:
    client = await proxy.login()
    proxy.epoch.refused = Refused(Reason.UPSTREAM_UNAVAILABLE, "the ledger does not answer")
    await client.query("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    client.send(PARSE, m.SYNC_MESSAGE)
    assert error(await client.until_ready())["C"] == "08006"
