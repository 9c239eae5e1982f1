"""G6: what a tool may see, it sees byte for byte as from the database itself."""

from __future__ import annotations

import asyncio

import pytest

from proxy.config import Database
from proxy.wire import messages as m
from proxy.wire.startup import startup_message
from tests.wire.conftest import Proxy
from tests.wire.raw import Raw

STATEMENTS = (
    "SELECT 1",
    "SELECT a, b, c, d FROM people ORDER BY a",
    "SELECT a FROM numbers",
    "SELECT NULL::text, ''::text, 'é', 1.50::numeric(10,2), '{1,2}'::int[], now() > '2000-01-01'",
    "VALUES (1, 'x'), (2, NULL)",
    "SELECT FROM people WHERE a < 3",
    "SELECT b FROM people WHERE a < 0",
    "COPY people TO STDOUT",
    "COPY (SELECT a, b FROM people) TO STDOUT (FORMAT csv, HEADER)",
    "COPY (SELECT a, b FROM people) TO STDOUT (FORMAT binary)",
    "SHOW standard_conforming_strings",
    "SET extra_float_digits TO 1",
    "SELECT repeat('x', 300000)",
    "DO 'BEGIN RAISE NOTICE $x$a notice$x$; END'",
)


async def _direct(upstream: Database) -> Raw:
    raw = Raw(*await asyncio.open_unix_connection(f"{upstream.host}/.s.PGSQL.{upstream.port}"))
    raw.send(
        startup_message(
            {
                "user": upstream.user,
                "database": upstream.database,
                "client_encoding": "UTF8",
                "search_path": "public",
                "default_transaction_read_only": "on",
                "application_name": "consent-proxy",
            }
        )
    )
    await raw.until_ready()
    return raw


def _simple(text: str) -> bytes:
    return m.query(text.encode())


def _extended(text: str) -> bytes:
    return b"".join(
        (
            m.parse(b"", text.encode()),
            m.bind(b"", b""),
            m.describe(b"P", b""),
            m.execute(b""),
            m.SYNC_MESSAGE,
        )
    )


def _prepared_binary(text: str) -> bytes:
    return b"".join(
        (
            m.parse(b"s", text.encode()),
            m.describe(b"S", b"s"),
            m.bind(b"p", b"s", result_formats=[1]),
            m.execute(b"p", 7),
            m.close(b"P", b"p"),
            m.close(b"S", b"s"),
            m.SYNC_MESSAGE,
        )
    )


@pytest.mark.parametrize("speak", [_simple, _extended, _prepared_binary])
async def test_every_reply_is_the_same_byte_for_byte_as_without_the_proxy(
    proxy: Proxy, upstream: Database, speak: object
) -> None:
    assert callable(speak)
    direct, through = await _direct(upstream), await proxy.login()
    through.send(m.SYNC_MESSAGE)
    await through.until_ready()  # from here on the session has its upstream and its settings
    for text in STATEMENTS:
        if text.startswith("DO") and speak is not _simple:
            continue  # a notice's place in the source is ours to remove; compared below
        direct.send(speak(text))
        through.send(speak(text))
        expected, seen = await direct.until_ready(), await through.until_ready()
        assert [x for x in expected if x[0] != "N"] == [x for x in seen if x[0] != "N"], text
        assert [kind for kind, _ in expected] == [kind for kind, _ in seen]
    direct.close()
    through.close()


async def test_a_pipeline_of_many_statements_is_answered_in_order(
    proxy: Proxy, upstream: Database
) -> None:
    direct, through = await _direct(upstream), await proxy.login()
    through.send(m.SYNC_MESSAGE)
    await through.until_ready()
    batch = b"".join(
        _extended(f"SELECT {number}, b FROM people WHERE a = {number}") for number in range(1, 60)
    )
    direct.send(batch)
    through.send(batch)
    assert await direct.until_ready(59) == await through.until_ready(59)
    direct.close()
    through.close()


async def test_messages_that_are_split_at_any_byte_are_understood(
    proxy: Proxy, upstream: Database
) -> None:
    direct, through = await _direct(upstream), await proxy.login()
    through.send(m.SYNC_MESSAGE)
    await through.until_ready()
    batch = _extended("SELECT b FROM people WHERE a < 4") + _simple("SELECT 2")
    direct.send(batch)
    expected = await direct.until_ready(2)
    for offset in range(1, len(batch)):
        through.send(batch[:offset])
        await through.writer.drain()
        await asyncio.sleep(0)  # let the first part arrive by itself
        through.send(batch[offset:])
        assert await through.until_ready(2) == expected
    direct.close()
    through.close()
