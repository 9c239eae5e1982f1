"""Nobody can make the proxy keep without bounds: not by talking, not by not listening."""

from __future__ import annotations

from typing import Final

import pytest

from proxy.session.client import BIND_BYTES_MAX
from proxy.upstream.connection import HIGH_WATER_BYTES
from proxy.wire import messages as m
from tests.fuzz.arena import Arena, Player, play
from tests.fuzz.upstream import Upstream

READ: Final = b"SELECT rows 1 FROM people"
CHUNK: Final = 64 * 1024


async def asking(arena: Arena) -> tuple[Player, Upstream]:
    """A client whose statement is under way; the upstream says what it is told to."""
    player = arena.join()
    arena.send(player, m.query(b"SELECT 1"))
    await arena.settle()
    upstream = arena.upstream_of(player)
    assert upstream is not None
    upstream.answer(1 << 20)
    await arena.settle()
    upstream.is_held = True
    arena.send(player, m.query(READ))
    await arena.settle()
    return player, upstream


FLOODS: Final = {
    "rows": m.message(m.DATA_ROW, b"\0\1\0\0\1\0" + b"x" * 256) * 200,
    "one endless row": b"D\x7f\xff\xff\xff" + b"x" * CHUNK,
    "notices": m.error(m.NOTICE, {"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": "x" * 500}) * 99,
    "copied data": m.message(m.COPY_DATA, b"x" * 1000) * 60,
}


@pytest.mark.parametrize("name", FLOODS)
def test_an_upstream_is_not_read_on_for_a_client_that_does_not_listen(name: str) -> None:
    async def moves(arena: Arena) -> None:
        player, upstream = await asking(arena)
        line = player.line
        player.line.is_stalled = True
        if name != "copied data":
            upstream.say(m.message(m.ROW_DESCRIPTION, b"\0\0"))
        else:
            upstream.say(m.message(m.COPY_OUT_RESPONSE, b"\0\0\0"))
        said = 0
        while upstream.is_read and said < 1000:
            upstream.say(FLOODS[name] if said == 0 or name != "one endless row" else b"x" * CHUNK)
            said += 1
        assert said < 100
        held = line.get_write_buffer_size() + player.session._outbox.held
        assert held < 4 * HIGH_WATER_BYTES

    play(moves, is_honest=False)


def test_an_upstream_is_not_read_on_while_a_record_is_not_durable() -> None:
    async def moves(arena: Arena) -> None:
        arena.log.is_held = True
        player, upstream = await asking(arena)
        before = len(player.got)
        upstream.say(m.message(m.ROW_DESCRIPTION, b"\0\0"))
        said = 0
        while upstream.is_read and said < 1000:
            upstream.say(FLOODS["rows"])
            said += 1
        assert said < 100
        assert len(player.got) == before
        assert player.session._outbox.held < 2 * HIGH_WATER_BYTES

    play(moves, is_honest=False)


@pytest.mark.parametrize("value", ["", "x" * 1000])
def test_an_upstream_that_reports_settings_without_end_is_cut_off(value: str) -> None:
    async def moves(arena: Arena) -> None:
        player, upstream = await asking(arena)
        for number in range(100_000):
            upstream.say(m.parameter_status(f"setting_{number}", value))
            if player.line.is_closing():
                break
        assert player.line.is_closing()
        state = player.session._state
        assert state is not None
        assert len(state.told) <= 2 * m.PARAMETERS_MAX

    play(moves, is_honest=False)


@pytest.mark.parametrize("kind", b"TCSEN1Zt")
def test_a_message_that_is_larger_than_postgresqls_is_not_waited_for(kind: int) -> None:
    async def moves(arena: Arena) -> None:
        player, upstream = await asking(arena)
        upstream.say(bytes((kind,)) + b"\x7f\xff\xff\xff")
        assert player.line.is_closing()

    play(moves, is_honest=False)


def test_a_client_is_not_read_on_while_its_pipeline_is_not_answered() -> None:
    async def moves(arena: Arena) -> None:
        player, _ = await asking(arena)
        sent = 0
        while player.line.is_read and sent < 20:
            arena.send(player, m.SYNC_MESSAGE * 10_000)
            sent += 1
        assert sent < 20
        state = player.session._state
        assert state is not None
        assert len(state.queue) <= 4096 + 1
        assert player.session._reader.buffered < 2 * HIGH_WATER_BYTES

    play(moves)


def test_what_is_too_large_is_not_kept() -> None:
    async def moves(arena: Arena) -> None:
        player = arena.join()
        for kind in (m.QUERY, m.PARSE, m.FUNCTION_CALL, m.COPY_DATA):
            arena.send(player, bytes((kind,)) + (100_000_000).to_bytes(4, "big"))
            for _ in range(20):
                arena.send(player, b"x" * CHUNK)
                await arena.settle()
                assert player.session._reader.buffered <= CHUNK
            rest = 100_000_000 - 4 - 20 * CHUNK
            player.session._reader._skip -= rest  # as if the rest had come too
            await arena.settle()
        arena.send(player, m.SYNC_MESSAGE + m.query(READ))
        await arena.settle()
        assert player.got.count(player.mark) == 1

    play(moves)


def test_a_bind_has_a_limit() -> None:
    async def moves(arena: Arena) -> None:
        player = arena.join()
        arena.send(player, b"B" + (BIND_BYTES_MAX + 5).to_bytes(4, "big"))
        await arena.settle()
        assert not player.line.is_closing()
        arena.send(player, b"X\0\0\0\4")

    play(moves)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_stranger_can_not_make_the_proxy_keep_more_than_a_packet(size: int) -> None:
    async def moves(arena: Arena) -> None:
        player = arena.join(is_logged_in=False)
        arena.send(player, b"\0\0\x27\0\0\3\0\0")
        for _ in range(11_000 // size):
            arena.send(player, b"x" * size)
            assert len(player.session._early) < 10_000 + 2 * size
        await arena.settle()
        assert player.line.is_closing()

    play(moves)
