"""Who comes in, for which purpose, and what they may ask for at the door."""

from __future__ import annotations

import struct

import pytest

from proxy.wire import messages as m
from proxy.wire.startup import GSSENC_CODE, SSL_REQUEST, startup_message
from tests.wire.conftest import Proxy
from tests.wire.raw import Failed, Raw, kinds, rows, until

GSSENC_REQUEST = struct.pack("!II", 8, GSSENC_CODE)


async def _refused(proxy: Proxy, **start: str) -> dict[str, str]:
    client = await Raw.open(proxy.port)
    with pytest.raises(Failed) as failed:
        await client.log_in({"user": "mailer", "database": proxy.database, **start})
    assert await client.closed() == b""
    assert failed.value.fields["V"] == "FATAL"
    return failed.value.fields


async def _purpose(proxy: Proxy, **start: str) -> bytes | None:
    client = await Raw.open(proxy.port)
    await client.log_in({"user": "mailer", "database": proxy.database, **start})
    return rows(await client.query("SHOW consent.purpose"))[0][0]


async def test_a_tool_is_told_what_a_server_tells(proxy: Proxy) -> None:
    client = await proxy.login(application_name="psql", TimeZone="UTC", extra_float_digits="3")
    assert client.parameters["server_version"].startswith("18")
    assert client.parameters["application_name"] == "psql"
    assert client.parameters["session_authorization"] == "mailer"
    assert client.parameters["is_superuser"] == "off"
    assert client.parameters["client_encoding"] == "UTF8"
    assert rows(await client.query("SHOW extra_float_digits")) == [[b"3"]]
    assert rows(await client.query("SHOW search_path")) == [[b"public"]]
    assert [record["tool"] for record in proxy.log.of("login.ok")] == ["mailer"]


async def test_an_idle_client_holds_no_upstream(proxy: Proxy) -> None:
    proxy.pool.pooling = "session"
    clients = [await proxy.login() for _ in range(12)]  # more than there are upstreams
    assert proxy.pool.leased == 0
    await clients[0].query("SELECT 1")
    assert proxy.pool.leased == 1


@pytest.mark.parametrize(
    ("user", "password"), [("mailer", "wrong"), ("nobody", "a password"), ("off", "a password")]
)
async def test_wrong_unknown_and_disabled_look_alike(
    proxy: Proxy, user: str, password: str
) -> None:
    client = await Raw.open(proxy.port)
    with pytest.raises(Failed) as failed:
        await client.log_in({"user": user, "database": proxy.database}, password)
    assert failed.value.fields == {
        "S": "FATAL",
        "V": "FATAL",
        "C": "28P01",
        "M": f'password authentication failed for user "{user}"',
        "D": "reason: wrong_credential",
    }
    (record,) = proxy.log.of("login.failed")
    assert record["reason"] == "wrong_credential"
    assert ("tool" in record) == (user != "nobody")  # a stranger's text is not recorded


async def test_an_unknown_user_is_offered_the_same_salt_each_time(proxy: Proxy) -> None:
    salts = set()
    for _ in range(2):
        client = await Raw.open(proxy.port)
        client.send(startup_message({"user": "nobody", "database": proxy.database}))
        await client.next()
        first = b"n,,n=,r=abcdefgh"
        head = b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big")
        client.send(m.message(m.PASSWORD, head + first))
        _, answer = await client.next()
        salts.add(answer[9:].split(b",", 1)[1])
        client.close()
    assert len(salts) == 1
    assert next(iter(salts)).endswith(b"i=4096")


async def test_a_credential_of_another_role_runs_no_statement(proxy: Proxy) -> None:
    fields = await _refused(proxy, user="reviewer")
    assert fields["C"] == "28000"
    assert "role_not_allowed" in fields["D"]


async def test_the_purpose_is_the_default_or_one_of_the_tools_own(proxy: Proxy) -> None:
    assert await _purpose(proxy) == b"newsletter"
    assert await _purpose(proxy, options="-c consent.purpose=service") == b"service"
    assert await _purpose(proxy, options="--consent.purpose=service") == b"service"
    assert await _purpose(proxy, database=f"{proxy.database}@service") == b"service"
    for start in (
        {"options": "-c consent.purpose=billing"},
        {"database": f"{proxy.database}@billing"},
        {"database": f"{proxy.database}@newsletter", "options": "-c consent.purpose=service"},
    ):
        fields = await _refused(proxy, **start)
        assert fields["C"] == "28000"
        assert "purpose_not_allowed" in fields["D"]


@pytest.mark.parametrize(
    "start",
    [
        {"replication": "database"},
        {"role": "postgres"},
        {"session_authorization": "postgres"},
        {"options": "-c role=postgres"},
        {"options": "-c standard_conforming_strings=off"},
        {"options": "-e"},
        {"options": "-c default_transaction_read_only=off"},
        {"search_path": "consent"},
        {"options": "-csearch_path=nosuch"},
        {"nosuch": "1"},
    ],
)
async def test_start_up_settings_that_are_not_listed_are_refused(
    proxy: Proxy, start: dict[str, str]
) -> None:
    fields = await _refused(proxy, **start)
    assert fields["C"] == "42501"
    assert "setting_not_allowed" in fields["D"]


async def test_another_database_does_not_exist(proxy: Proxy) -> None:
    assert (await _refused(proxy, database="postgres"))["C"] == "3D000"


@pytest.mark.parametrize(
    "requests",
    [
        [SSL_REQUEST],
        [GSSENC_REQUEST],
        [SSL_REQUEST, GSSENC_REQUEST],
        [GSSENC_REQUEST, SSL_REQUEST],
    ],
)
async def test_encryption_may_be_asked_for_in_any_order(
    proxy: Proxy, requests: list[bytes]
) -> None:
    client = await Raw.open(proxy.port)
    for request in requests:
        client.send(request)
        assert await client.reader.readexactly(1) == b"N"
    await client.log_in({"user": "mailer", "database": proxy.database})
    assert rows(await client.query("SELECT 1")) == [[b"1"]]


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST])
async def test_bytes_behind_an_encryption_request_are_not_believed(
    proxy: Proxy, request_: bytes
) -> None:
    client = await Raw.open(proxy.port)
    client.send(request_ + startup_message({"user": "mailer"}))
    answer = await client.closed()
    assert answer[:1] == b"E"
    assert b"08P01" in answer


@pytest.mark.parametrize(
    "packet",
    [
        b"\0\0\0\x04",
        b"\xff\xff\xff\xff",
        b"\0\0\x27\x11" + b"x" * 10,
        struct.pack("!II", 8, 0x20000),
        struct.pack("!II", 9, 0x30000) + b"x",
        startup_message([("user", "mailer"), ("user", "other")]),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_what_is_no_start_up_packet_closes_the_connection(
    proxy: Proxy, packet: bytes
) -> None:
    client = await Raw.open(proxy.port)
    client.send(packet)
    assert b"08P01" in await client.closed()


async def test_a_newer_protocol_is_negotiated_down_and_gets_long_keys(proxy: Proxy) -> None:
    client = await Raw.open(proxy.port)
    body = b"user\0mailer\0database\0" + proxy.database.encode() + b"\0_pq_.grease\0x\0\0"
    packet = struct.pack("!II", 8 + len(body), 0x30000 | 9999) + body
    seen = await client.log_in({}, packet=packet)
    assert kinds(seen)[0] == "v"
    assert seen[0][1][5:] == struct.pack("!II", 0x30002, 1) + b"_pq_.grease\0"
    assert len(client.key[1]) == 32
    other = await proxy.login()
    assert len(other.key[1]) == 4


async def test_messages_before_the_password_are_small_and_of_one_kind(proxy: Proxy) -> None:
    for message in (m.query(b"SELECT 1"), m.message(m.PASSWORD, b"x" * 9_000)):
        client = await Raw.open(proxy.port)
        client.send(startup_message({"user": "mailer", "database": proxy.database}))
        await client.next()
        client.send(message)
        assert b"08P01" in await client.closed()


async def test_a_proof_can_not_be_replayed(proxy: Proxy) -> None:
    """The final message of one login is worth nothing in another."""
    client = await Raw.open(proxy.port)
    client.send(startup_message({"user": "mailer", "database": proxy.database}))
    await client.next()
    first = b"n,,n=,r=abcdefgh"
    head = b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big")
    client.send(m.message(m.PASSWORD, head + first))
    await client.next()
    proof = b"c=biws,r=abcdefghsomethingelse,p=" + b"A" * 43 + b"="
    client.send(m.message(m.PASSWORD, proof))
    assert b"28P01" in await client.closed()


async def test_too_many_clients_are_told_so(proxy: Proxy) -> None:
    proxy.limits.connections = 1
    client = await proxy.login()
    assert (await _refused(proxy))["C"] == "53300"
    assert rows(await client.query("SELECT 1")) == [[b"1"]]


async def test_a_login_that_can_not_be_recorded_is_refused(proxy: Proxy) -> None:
    proxy.log.is_sealed = True
    assert (await _refused(proxy))["C"] == "58030"


async def test_a_login_needs_a_user(proxy: Proxy) -> None:
    client = await Raw.open(proxy.port)
    client.send(startup_message({"database": proxy.database}))
    assert b"28000" in await client.closed()


async def test_connections_that_say_nothing_cost_nothing(proxy: Proxy) -> None:
    client = await Raw.open(proxy.port)
    client.close()
    await until(lambda: not proxy.door._sessions)
    assert proxy.pool.leased == 0
