"""A refused statement takes its place among the replies as a failing statement would."""

from __future__ import annotations

import re

from proxy.wire import messages as m
from tests.wire.conftest import Proxy
from tests.wire.raw import error, kinds, rows, status

REFUSED = "SELECT * FROM forbidden"


def _extended(text: str, portal: bytes = b"") -> bytes:
    return m.parse(b"", text.encode()) + m.bind(portal, b"") + m.execute(portal)


async def test_a_refusal_names_its_reason_and_its_record(proxy: Proxy) -> None:
    client = await proxy.login()
    seen = await client.query(REFUSED)
    assert kinds(seen) == "EZ"
    (record,) = proxy.log.of("access.refused")
    assert error(seen) == {
        "S": "ERROR",
        "V": "ERROR",
        "C": "42501",
        "M": "not in the policy",
        "D": f"reason: table_not_in_policy; access: {record['id']}",
        "H": "Ask for less.",
    }
    assert record["reason"] == "table_not_in_policy"
    assert not proxy.log.of("access.intent")


async def test_statements_before_a_refused_one_run_and_those_after_do_not(proxy: Proxy) -> None:
    client = await proxy.login()
    seen = await client.query(f"SELECT 1; SELECT 2; {REFUSED}; SELECT 3")
    assert kinds(seen) == "TDCTDCEZ"
    assert rows(seen) == [[b"1"], [b"2"]]
    assert status(seen) == "I"


async def test_a_refusal_inside_a_block_aborts_it_and_outside_does_not(proxy: Proxy) -> None:
    client = await proxy.login()
    assert status(await client.query(REFUSED)) == "I"
    assert status(await client.query("BEGIN")) == "T"
    assert status(await client.query(REFUSED)) == "E"
    assert error(await client.query("SELECT 1"))["C"] == "25P02"
    # In an aborted transaction PostgreSQL's own answer is the right one, for a refused one too.
    assert error(await client.query(REFUSED))["C"] == "25P02"
    assert kinds(await client.query("ROLLBACK")) == "CZ"
    assert rows(await client.query("SELECT 1")) == [[b"1"]]


async def test_a_refused_parse_makes_everything_until_sync_be_skipped(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(
        _extended("SELECT 1"),
        m.parse(b"s", REFUSED.encode()),
        m.describe(b"S", b"s"),
        m.bind(b"", b"s"),
        m.execute(b""),
        _extended("SELECT 2"),
        m.SYNC_MESSAGE,
        _extended("SELECT 3"),
        m.SYNC_MESSAGE,
    )
    seen = await client.until_ready(2)
    assert kinds(seen) == "12DCEZ12DCZ"
    assert rows(seen) == [[b"1"], [b"3"]]


async def test_what_comes_after_the_error_was_read_is_skipped_until_sync_as_well(
    proxy: Proxy,
) -> None:
    client = await proxy.login()
    client.send(m.parse(b"", REFUSED.encode()), m.FLUSH_MESSAGE)
    assert (await client.next())[0] == "E"
    client.send(_extended("SELECT 1"), m.query(b"SELECT 2"), m.describe(b"P", b""))
    client.send(m.SYNC_MESSAGE, m.query(b"SELECT 3"))
    seen = await client.until_ready(2)
    assert kinds(seen) == "ZTDCZ"
    assert rows(seen) == [[b"3"]]


async def test_a_refused_statement_is_not_known_by_its_name(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"s", REFUSED.encode()), m.SYNC_MESSAGE)
    assert error(await client.until_ready())["C"] == "42501"
    client.send(m.bind(b"", b"s"), m.SYNC_MESSAGE)
    assert error(await client.until_ready())["C"] == "26000"
    client.send(m.parse(b"s", b"SELECT 1"), m.bind(b"", b"s"), m.execute(b""), m.SYNC_MESSAGE)
    assert kinds(await client.until_ready()) == "12DCZ"


async def test_function_calls_are_refused_with_a_ready_of_their_own(proxy: Proxy) -> None:
    client = await proxy.login()
    call = (1598).to_bytes(4, "big") + b"\0\0" + b"\0\0" + b"\0\0"
    client.send(m.message(m.FUNCTION_CALL, call), m.query(b"SELECT 1"))
    seen = await client.until_ready(2)
    assert kinds(seen) == "EZTDCZ"
    assert error(seen)["C"] == "0A000"
    assert "statement_kind" in error(seen)["D"]


async def test_a_refusal_waits_for_its_record(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SELECT 1")
    proxy.log.is_held = True
    client.send(m.query(b"SELECT 1"), m.query(REFUSED.encode()))
    assert kinds(await client.until_ready()) == "TDCZ"
    await proxy.log.until("access.refused", 1)
    assert not client.reader._buffer  # type: ignore[attr-defined]
    proxy.log.release()
    assert kinds(await client.until_ready()) == "EZ"


async def test_copy_data_that_nobody_asked_for_is_ignored(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.message(m.COPY_DATA, b"x" * 100_000), m.message(m.COPY_FAIL, b"no\0"))
    client.send(m.message(m.COPY_DONE), m.query(b"SELECT 1"))
    assert kinds(await client.until_ready()) == "TDCZ"


async def test_errors_of_statements_that_read_name_no_value_but_their_own_message(
    proxy: Proxy,
) -> None:
    client = await proxy.login()
    fields = error(await client.query("SELECT b::integer FROM people WHERE a = 1"))
    assert set(fields) == {"S", "V", "C", "M"}
    fields = error(await client.query("SELECT nosuch FROM people"))
    assert fields["P"] == "8"
    assert set(fields) <= {"S", "V", "C", "M", "D", "H", "P"}
    fields = error(await client.query("SELECT nosuch"))
    assert not set(fields) & set("pqWFLRstcdn")


async def test_text_that_is_not_utf8_is_refused_as_postgresql_would(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.query(b"SELECT '\xff'"))
    assert error(await client.until_ready())["C"] == "22021"


async def test_too_large_messages_are_swallowed_and_refused_in_their_place(proxy: Proxy) -> None:
    client = await proxy.login()
    large = b"SELECT '" + b"x" * 1_000_000 + b"'"
    client.send(m.query(b"SELECT 1"), m.query(large), m.parse(b"", large), m.bind(b"", b""))
    client.send(m.SYNC_MESSAGE, m.query(b"SELECT 2"))
    seen = await client.until_ready(4)
    assert kinds(seen) == "TDCZEZEZTDCZ"
    states = [m.read_fields(data)["C"] for kind, data in seen if kind == "E"]
    assert states == ["54000", "54000"]
    assert len(proxy.log.of("access.refused")) == 2


async def test_empty_queries_are_answered_as_such(proxy: Proxy) -> None:
    client = await proxy.login()
    assert kinds(await client.query("")) == "IZ"
    assert kinds(await client.query(" ; ;")) == "IZ"
    client.send(_extended(""), m.SYNC_MESSAGE)
    assert kinds(await client.until_ready()) == "12IZ"


async def test_the_refusal_says_the_same_in_every_protocol(proxy: Proxy) -> None:
    client = await proxy.login()
    simple = error(await client.query(REFUSED))
    client.send(m.parse(b"", REFUSED.encode()), m.SYNC_MESSAGE)
    extended = error(await client.until_ready())
    uuid = re.compile("[0-9a-f-]{36}")
    for fields in (simple, extended):
        fields["D"] = uuid.sub("…", fields["D"])
    assert simple == extended
