"""The protocol itself: messages that no SQL reader sees, start-up packets, names, orders of messages."""

# ruff: noqa: E501 - an attempt is one line of a table

from __future__ import annotations

import socket
import struct

import pytest

from proxy.session.expectations import OWN_NAME, POISON_NAME
from proxy.wire import messages as m
from proxy.wire.startup import SSL_REQUEST, startup_message
from tests.bypass.attempts import answer_of, assert_silent
from tests.bypass.client import BINARY, Client, Closed, Message, error_fields, rows_of, tags_of
from tests.bypass.worlds import Pair, Side

INT8, TEXT_OID, BYTEA = 20, 25, 17


def _both(pair: Pair, tool: str, *parts: bytes) -> list[Message]:
    """Send the same bytes to both worlds; the first world's answer."""
    answers = []
    for side in pair.sides:
        client = side.connect(tool)
        messages = client.send(*parts)
        answer = answer_of(client, messages)
        assert_silent(side, answer.raw, repr(parts))
        answers.append((messages, answer.compared))
        client.close()
    assert answers[0][1] == answers[1][1]
    return answers[0][0]


def _reason(messages: list[Message]) -> str:
    fields = error_fields(messages) or {}
    return fields.get("D", fields.get("C", "")).split(";")[0]


def _oid(side: Side, what: str) -> int:
    return int(side.world.postgres.run(f"SELECT {what}::oid", database=side.world.database))


# --- FunctionCall ----------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["crm.tell(bigint)", "pg_catalog.lower(text)"])
@pytest.mark.parametrize("form", [0, 1])
def test_a_function_can_not_be_called_by_message(pair: Pair, function: str, form: int) -> None:
    oid = _oid(pair.sides[0], f"'{function}'::regprocedure")
    argument = struct.pack("!q", 7) if form else b"7"
    body = struct.pack("!IhhhI", oid, 1, form, 1, len(argument)) + argument
    messages = _both(pair, "profiler", m.message(m.FUNCTION_CALL, body + struct.pack("!h", form)))
    assert _reason(messages) == "reason: statement_kind"


def test_a_function_call_inside_a_failed_block_is_no_different(pair: Pair) -> None:
    for side in pair.sides:
        client = side.connect("profiler")
        client.simple("BEGIN")
        client.simple("SELECT 1/0")
        messages = client.send(m.message(m.FUNCTION_CALL, struct.pack("!Ihhh", 870, 0, 0, 0)))
        assert error_fields(messages) is not None
        assert client.status == "E"
        client.close()


# --- Parse, Bind, Execute --------------------------------------------------------------------


def test_a_parameter_can_not_be_of_a_tables_row_type_and_reach_a_function(pair: Pair) -> None:
    oid = _oid(pair.sides[0], "'crm.people'::regtype")
    messages = _both(
        pair,
        "profiler",
        m.parse(b"", b"SELECT ($1).tell_person", [oid]),
        m.bind(b"", b"", [b"(7,,,,,,,,,,,,,,,,,,,,,,,,,,,,)"]),
        m.execute(b""),
        m.SYNC_MESSAGE,
    )
    assert _reason(messages) == "reason: type_not_allowed"


def test_a_parameter_of_a_domain_runs_no_function_of_anybody(pair: Pair) -> None:
    oid = _oid(pair.sides[0], "'crm.teller'::regtype")
    messages = _both(
        pair,
        "profiler",
        m.parse(b"", b"SELECT $1::text", [oid]),
        m.bind(b"", b"", [b"x"]),
        m.execute(b""),
        m.SYNC_MESSAGE,
    )
    assert _reason(messages) == "reason: type_not_allowed"


@pytest.mark.parametrize("name", ["crm.mood", "crm.mood[]"])
def test_a_parameter_may_be_an_enum_of_the_policys_schemas(pair: Pair, name: str) -> None:
    oid = _oid(pair.sides[0], f"'{name}'::regtype")
    messages = _both(
        pair,
        "profiler",
        m.parse(b"", b"SELECT $1::text", [oid]),
        m.bind(b"", b"", [None]),
        m.execute(b""),
        m.SYNC_MESSAGE,
    )
    assert rows_of(messages) == [[None]]


def test_binary_parameters_and_results_are_guarded(pair: Pair) -> None:
    messages = _both(
        pair,
        "profiler",
        m.parse(b"", b"SELECT * FROM crm.people WHERE id >= $1", [INT8]),
        m.bind(b"", b"", [struct.pack("!q", 7)], parameter_formats=[1], result_formats=[BINARY]),
        m.execute(b""),
        m.SYNC_MESSAGE,
    )
    assert len(rows_of(messages)) == 4


def test_describing_a_hidden_table_tells_no_column(pair: Pair) -> None:
    messages = _both(
        pair,
        "profiler",
        m.parse(b"a", b"SELECT * FROM crm.internal"),
        m.describe(b"S", b"a"),
        m.SYNC_MESSAGE,
    )
    assert _reason(messages) == "reason: table_not_in_policy"
    assert all(message.kind not in "Tt" for message in messages)


def test_a_refused_parse_leaves_the_old_statement_out_of_reach(pair: Pair) -> None:
    messages = _both(
        pair,
        "profiler",
        m.parse(b"", b"SELECT 1"),
        m.SYNC_MESSAGE,
    )
    assert error_fields(messages) is None
    for side in pair.sides:
        client = side.connect("profiler")
        client.send(m.parse(b"", b"SELECT email FROM crm.people"), m.SYNC_MESSAGE)
        client.send(m.parse(b"", b"SELECT secret FROM crm.internal"), m.SYNC_MESSAGE)
        messages = client.send(m.bind(b"", b""), m.execute(b""), m.SYNC_MESSAGE)
        assert (error_fields(messages) or {})["C"] == "26000"
        client.close()


def test_what_follows_a_refusal_is_skipped_until_sync(pair: Pair) -> None:
    messages = _both(
        pair,
        "profiler",
        m.parse(b"", b"SELECT secret FROM crm.internal"),
        m.bind(b"", b""),
        m.execute(b""),
        m.query(b"SELECT email FROM crm.people"),
        m.parse(b"", b"SELECT 1"),
        m.SYNC_MESSAGE,
    )
    assert rows_of(messages) == []
    assert _reason(messages) == "reason: table_not_in_policy"


@pytest.mark.parametrize("name", [OWN_NAME, POISON_NAME], ids=["own", "poison"])
def test_the_proxys_own_names_are_names_like_others(pair: Pair, name: bytes) -> None:
    for side in pair.sides:
        client = side.connect("both")
        try:
            client.send(m.parse(name, b"SELECT email, alias FROM crm.people"), m.SYNC_MESSAGE)
            client.simple("RESET search_path")
            client.send(
                m.parse(b"", b"RESET search_path"), m.bind(b"", b""), m.execute(b""), m.SYNC_MESSAGE
            )
            messages = client.send(m.bind(b"", name), m.execute(b""), m.SYNC_MESSAGE)
            assert_silent(side, bytes(client.received), "own name")
            # Whatever it is now, it is not one of the proxy's statements.
            assert all(len(row) == 2 for row in rows_of(messages))
        except Closed:
            assert_silent(side, bytes(client.received), "own name")
        client.close()


def test_a_name_that_is_cut_at_63_bytes_is_one_name(pair: Pair) -> None:
    long = b"n" * 63
    messages = _both(
        pair,
        "profiler",
        m.parse(long + b"a", b"SELECT alias FROM crm.people WHERE id > 6"),
        m.parse(long + b"b", b"SELECT secret FROM crm.internal"),
        m.SYNC_MESSAGE,
    )
    assert error_fields(messages) is not None
    assert rows_of(messages) == []


def test_a_portal_goes_on_and_stays_guarded(pair: Pair) -> None:
    for side in pair.sides:
        client = side.connect("profiler")
        messages = client.send(
            m.parse(b"", b"SELECT email, alias FROM crm.people ORDER BY id DESC"),
            m.bind(b"p", b""),
            m.execute(b"p", 2),
            m.execute(b"p", 2),
            m.execute(b"p", 0),
            m.SYNC_MESSAGE,
        )
        assert_silent(side, bytes(client.received), "portal")
        assert len(rows_of(messages)) == 10
        client.close()


def test_a_cursor_is_read_as_a_portal_and_stays_guarded(pair: Pair) -> None:
    for side in pair.sides:
        client = side.connect("profiler")
        client.simple("BEGIN")
        client.simple("DECLARE c CURSOR FOR SELECT email, alias FROM crm.people")
        messages = client.send(m.describe(b"P", b"c"), m.execute(b"c", 0), m.SYNC_MESSAGE)
        assert_silent(side, bytes(client.received), "cursor")
        assert len(rows_of(messages)) == 10
        client.close()


def test_portals_and_statements_of_others_are_not_there(pair: Pair) -> None:
    for side in pair.sides:
        first, second = side.connect("profiler"), side.connect("mailer")
        first.send(m.parse(b"mine", b"SELECT email FROM crm.people"), m.SYNC_MESSAGE)
        first.simple("PREPARE ours AS SELECT alias FROM crm.people")
        for name in (b"mine", b"ours"):
            messages = second.send(m.bind(b"", name), m.execute(b""), m.SYNC_MESSAGE)
            assert (error_fields(messages) or {})["C"] == "26000"
        first.close()
        second.close()


def test_copy_messages_without_a_copy_do_nothing(pair: Pair) -> None:
    messages = _both(
        pair,
        "profiler",
        m.query(b"COPY crm.people FROM STDIN"),
        m.message(ord("d"), b"7\tx\n"),
        m.message(ord("c")),
    )
    assert _reason(messages) == "reason: statement_kind"


@pytest.mark.parametrize(
    "bad",
    [
        b"X\0\0\0\3",
        b"Q\0\0\0\1",
        b"Q\xff\xff\xff\xff",
        b"Q\0\0\0\x05S",
        b"\x01\0\0\0\4",
        b"p\0\0\0\x08abcd",
        SSL_REQUEST,
        m.message(m.PARSE, b"a\0SELECT 1\0\0\5"),
        m.message(m.BIND, b"\0\0\0\1"),
        m.message(m.QUERY, b"SELECT 1\0; SELECT secret FROM crm.internal\0"),
    ],
)
def test_a_broken_message_ends_the_connection_or_is_refused(pair: Pair, bad: bytes) -> None:
    for side in pair.sides:
        client = side.connect("profiler")
        try:
            client.socket.sendall(bad + m.query(b"SELECT 1"))
            client.socket.shutdown(socket.SHUT_WR)
            client.drain()
        except Closed:
            pass
        assert_silent(side, bytes(client.received), repr(bad))
        assert not any(
            message.kind == "T" and b"secret" in message.body for message in client.messages
        )
        client.close()


# --- start-up --------------------------------------------------------------------------------


def _start(side: Side, tool: str, **start: str) -> tuple[Client, bool]:
    client = Client.open(side.world.address)
    parameters = {"user": tool, "database": side.world.database, **start}
    try:
        client.log_in(startup_message(parameters), side.world.passwords[tool])
    except Closed:
        return client, False
    return client, True


@pytest.mark.parametrize(
    "start",
    [
        {"options": "-c consent.purpose=service"},
        {"options": "-c consent.purpose=profile -c consent.purpose=service"},
        {"consent.purpose": "service"},
        {"options": "--consent.purpose=service"},
        {"options": "-cconsent.purpose=service"},
        {"replication": "database"},
        {"replication": "true"},
        {"options": "-c session_preload_libraries=auto_explain"},
        {"options": "-c search_path=private"},
        {"options": "-c search_path=pg_temp,crm"},
        {"options": "-c standard_conforming_strings=off"},
        {"options": "-c transform_null_equals=on"},
        {"options": "-c default_transaction_read_only=off"},
        {"options": "-c row_security=off"},
        {"options": "-c role=postgres"},
        {"options": "-c session_authorization=postgres"},
        {"options": "-c client_min_messages=debug5"},
        {"options": "-c client_encoding=SJIS"},
        {"client_encoding": "BIG5"},
        {"options": "-c log_statement=all"},
        {"options": "-e"},
        {"options": "-d 5"},
        {"options": "-S 1"},
        {"role": "postgres"},
        {"search_path": "private"},
        {"standard_conforming_strings": "off"},
        {"default_transaction_read_only": "off"},
        {"my.own": "x"},
    ],
    ids=str,
)
def test_a_start_up_packet_sets_nothing_that_set_may_not(pair: Pair, start: dict[str, str]) -> None:
    for side in pair.sides:
        client, is_in = _start(side, "both", **start)
        if is_in:
            messages = client.simple(
                "SELECT current_setting('search_path'), current_setting('standard_conforming_strings'),"
                " current_setting('transform_null_equals'), current_user, current_schema(),"
                " current_setting('default_transaction_read_only'), current_setting('row_security'),"
                " current_setting('client_encoding'), current_setting('client_min_messages')"
            )
            (row,) = rows_of(messages)
            assert row == [
                b"crm, ref", b"on", b"off", b"consent_reader", b"crm", b"on", b"on", b"UTF8", b"notice"
            ]  # fmt: skip
            (purpose,) = rows_of(client.simple("SHOW consent.purpose"))
            assert purpose in ([b"campaign"], [b"profile"])
        assert_silent(side, bytes(client.received), repr(start))
        client.close()


@pytest.mark.parametrize("purpose", ["service", "nothing", "", "profile@service", "profile'--"])
def test_a_database_name_chooses_no_purpose_of_somebody_else(pair: Pair, purpose: str) -> None:
    for side in pair.sides:
        client, is_in = _start(side, "profiler", database=f"{side.world.database}@{purpose}")
        assert not is_in
        client.close()


def test_another_database_is_not_reached(pair: Pair) -> None:
    for side in pair.sides:
        for name in ("postgres", "template1", "other"):
            client, is_in = _start(side, "profiler", database=name)
            if is_in:
                (row,) = rows_of(client.simple("SELECT current_database()"))
                assert row == [side.world.database.encode()]
            client.close()


@pytest.mark.parametrize(
    "user", ["postgres", "consent_reader", "consent_writer", "nobody", "", "PROFILER"]
)
def test_nobody_comes_in_as_somebody_else(pair: Pair, user: str) -> None:
    for side in pair.sides:
        client = Client.open(side.world.address)
        packet = startup_message({"user": user, "database": side.world.database})
        with pytest.raises(Closed):
            client.log_in(packet, side.world.passwords["profiler"])
        client.close()


def test_a_statement_before_the_login_is_not_read(pair: Pair) -> None:
    for side in pair.sides:
        client = Client.open(side.world.address)
        packet = startup_message({"user": "profiler", "database": side.world.database})
        client.socket.sendall(packet + m.query(b"SELECT email FROM crm.people"))
        with pytest.raises(Closed):
            client.drain()
        assert all(message.kind in "ERN" for message in client.messages)
        client.close()


def test_several_statements_of_one_text_stop_at_the_refusal(pair: Pair) -> None:
    messages = _both(
        pair,
        "profiler",
        m.query(b"SELECT 1; SELECT crm.tell(7); SELECT email FROM crm.people"),
    )
    assert tags_of(messages) == ["SELECT 1"]
