"""The HTTP door's half of a conversation with an upstream that answers anything."""

from __future__ import annotations

import asyncio
import random

import pytest

from proxy.errors import UpstreamProtocolError
from proxy.gateway.conversation import Conversation, DatabaseError, RowTooLarge
from proxy.upstream.connection import UpstreamConnection
from proxy.wire import messages as m
from tests.fuzz.arena import DATABASE, Line
from tests.fuzz.depth import streams
from tests.fuzz.moves import SAID

_CLEAN = (
    m.message(m.ROW_DESCRIPTION, b"\0\0") + m.command_complete("SELECT 1") + m.ready(m.IDLE),
    m.message(m.PARSE_COMPLETE) + m.message(m.PARAMETER_DESCRIPTION, b"\0\0"),
    m.message(m.ROW_DESCRIPTION, b"\0\1a\0" + b"\0" * 18) + m.ready(m.IDLE),
    m.message(m.BIND_COMPLETE) + m.message(m.DATA_ROW, b"\0\1\0\0\0\1x"),
    m.command_complete("SELECT 1") + m.ready(m.IDLE),
)


def answers(chance: random.Random) -> list[bytes]:
    """What an honest upstream would say, with pieces changed, left out and put between."""
    said = list(_CLEAN)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(said))
        match chance.randrange(4):
            case 0:
                said.insert(at, chance.choice(SAID))
            case 1:
                del said[at]
            case 2:
                damaged = bytearray(said[at])
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
                said[at] = bytes(damaged)
            case _:
                said.insert(at, chance.randbytes(chance.randrange(40)))
        if not said:
            break
    whole = b"".join(said)
    size = chance.choice((1, 7, 64, 10_000))
    return [whole[at : at + size] for at in range(0, len(whole), size)]


async def talk(chance: random.Random) -> None:
    connection = UpstreamConnection(DATABASE)
    line = Line(connection, lambda _: None)
    connection.connection_made(line)
    conversation = Conversation(connection)

    async def ask() -> None:
        await conversation.describe("SELECT 1", "SELECT 2")
        conversation.execute([])
        while await conversation.rows() is not None:
            pass

    asked = asyncio.ensure_future(ask())
    await asyncio.sleep(0)
    for part in answers(chance):
        if not line.is_closing():
            connection.data_received(part)
        await asyncio.sleep(0)
    line.abort()
    async with asyncio.timeout(5):
        try:
            await asked
        except (DatabaseError, UpstreamProtocolError, RowTooLarge):
            return
    assert conversation.is_clean or connection.is_lost


@pytest.mark.parametrize("block", range(8))
async def test_whatever_the_upstream_answers_is_an_answer_or_its_fault(block: int) -> None:
    for seed in streams(block, 8, 1600):
        try:
            await talk(random.Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
