"""Every message in every phase of a session: answered, ignored or the end, never a surprise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from proxy.wire import messages as m
from proxy.wire.startup import SSL_REQUEST, cancel_request, startup_message
from tests.fuzz.arena import Arena, Player, play
from tests.fuzz.depth import DEPTH
from tests.fuzz.upstream import Upstream

Phase = Callable[[Arena], Awaitable[Player]]

READ: Final = b"SELECT rows 3 FROM people"


async def stranger(arena: Arena) -> Player:
    return arena.join(is_logged_in=False)


async def asked_for_tls(arena: Arena) -> Player:
    player = await stranger(arena)
    arena.send(player, SSL_REQUEST)
    return player


async def asked_to_log_in(arena: Arena) -> Player:
    player = await stranger(arena)
    arena.send(player, startup_message({"user": "mailer", "database": "crm"}))
    return player


async def half_proved(arena: Arena) -> Player:
    player = await asked_to_log_in(arena)
    first = b"n,,n=,r=abcdefghijklmnopqrstuvwx"
    head = b"SCRAM-SHA-256\0" + len(first).to_bytes(4, "big")
    arena.send(player, m.message(m.PASSWORD, head + first))
    return player


async def idle(arena: Arena) -> Player:
    return arena.join()


async def leased(arena: Arena) -> Player:
    player = arena.join()
    arena.send(player, m.query(READ))
    await arena.settle()
    return player


async def answering(arena: Arena) -> Player:
    player = await leased(arena)
    _upstream(arena, player).is_held = True
    arena.send(player, m.query(READ))
    await arena.settle()
    return player


async def amid_rows(arena: Arena) -> Player:
    player = await answering(arena)
    _upstream(arena, player).answer(56)
    await arena.settle()
    return player


async def in_a_batch(arena: Arena) -> Player:
    player = await leased(arena)
    arena.send(player, m.parse(b"s", READ) + m.bind(b"", b"s"))
    await arena.settle()
    return player


async def with_a_portal_left(arena: Arena) -> Player:
    player = await leased(arena)
    arena.send(player, m.parse(b"", READ) + m.bind(b"", b"") + m.execute(b"", 1) + m.FLUSH_MESSAGE)
    await arena.settle()
    return player


async def skipping(arena: Arena) -> Player:
    player = await leased(arena)
    arena.send(player, m.parse(b"", b"SELECT forbidden") + m.FLUSH_MESSAGE)
    await arena.settle()
    return player


async def in_a_failed_block(arena: Arena) -> Player:
    player = await leased(arena)
    arena.send(player, m.query(b"BEGIN") + m.query(b"SELECT fail"))
    await arena.settle()
    return player


async def copying_out(arena: Arena) -> Player:
    player = await leased(arena)
    _upstream(arena, player).is_held = True
    arena.send(player, m.query(b"COPY people TO STDOUT"))
    await arena.settle()
    _upstream(arena, player).answer(30)
    await arena.settle()
    return player


async def waiting_for_a_plan(arena: Arena) -> Player:
    player = await leased(arena)
    arena.planner.is_slow = True
    arena.send(player, m.query(READ))
    return player


async def waiting_for_a_lease(arena: Arena) -> Player:
    arena.pool.is_slow = True
    player = arena.join()
    arena.send(player, m.query(READ))
    return player


async def waiting_for_a_record(arena: Arena) -> Player:
    player = await leased(arena)
    arena.log.is_held = True
    arena.send(player, m.query(READ))
    await arena.settle()
    return player


async def leaving(arena: Arena) -> Player:
    player = await answering(arena)
    arena.send(player, m.TERMINATE_MESSAGE)
    return player


async def told_to_end(arena: Arena) -> Player:
    player = await answering(arena)
    player.session.end_when_idle(m.refusal("FATAL", "57P01", "shutting down"))
    return player


def _upstream(arena: Arena, player: Player) -> Upstream:
    found = arena.upstream_of(player)
    assert found is not None
    return found


PHASES: Final[tuple[Phase, ...]] = (
    stranger, asked_for_tls, asked_to_log_in, half_proved, idle, leased, answering, amid_rows,
    in_a_batch, with_a_portal_left, skipping, in_a_failed_block, copying_out, waiting_for_a_plan,
    waiting_for_a_lease, waiting_for_a_record, leaving, told_to_end,
)  # fmt: skip
GOOD: Final[tuple[bytes, ...]] = (
    m.query(READ), m.query(b""), m.query(b"BEGIN"), m.query(b"SELECT forbidden"),
    m.parse(b"s", READ), m.parse(b"", b"SELECT forbidden"), m.bind(b"", b""), m.bind(b"c", b"s"),
    m.describe(b"S", b""), m.describe(b"P", b""), m.execute(b""), m.execute(b"", 1),
    m.close(b"S", b"s"), m.close(b"P", b""), m.SYNC_MESSAGE, m.FLUSH_MESSAGE, m.TERMINATE_MESSAGE,
    m.message(m.FUNCTION_CALL, b"\0\0\0\1\0\0\0\0\0\0"), m.message(m.COPY_DATA, b"x"),
    m.message(m.COPY_DONE), m.message(m.COPY_FAIL, b"no\0"), m.message(m.PASSWORD, b"p\0"),
    SSL_REQUEST, startup_message({"user": "mailer"}), cancel_request(1, b"1234"),
)  # fmt: skip
# Type bytes with a body that fits none, and with lengths that are lies.
_TYPES: Final = range(256) if DEPTH > 1 else b"QPBDECFSHdcfpXRZtTN19\0\x16 \x7f\xff"
BAD: Final[tuple[bytes, ...]] = (
    *(m.message(kind) for kind in _TYPES),
    *(m.message(kind, b"\xff\0\xff") for kind in b"QPBDECFSHdcfpX"),
    *(bytes((kind,)) + b"\0\0\0\3" for kind in b"QPBS"),
    *(bytes((kind,)) + b"\xff\xff\xff\xff" for kind in b"QPBS"),
    *(bytes((kind,)) + b"\x7f\xff\xff\xff" for kind in b"QPBd"),
)


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_every_message_in_every_phase_leaves_others_alone(phase: Phase) -> None:
    for message in GOOD + BAD:

        async def moves(arena: Arena, message: bytes = message) -> None:
            player = await phase(arena)
            other = arena.join()
            arena.send(player, message)
            arena.planner.is_slow = False
            await arena.settle()
            arena.log.is_held = False
            arena.log.release()
            for upstream in arena.pool.leased.values():
                upstream.is_held = False
            await arena.settle()
            arena.send(other, m.query(READ))
            await arena.settle()
            assert other.got.count(other.mark) == 3

        try:
            play(moves)
        except Exception as error:
            raise AssertionError(message) from error


AFTER_LOGIN: Final = PHASES[PHASES.index(idle) : PHASES.index(leaving)]


@pytest.mark.parametrize("phase", AFTER_LOGIN, ids=lambda phase: phase.__name__)
def test_after_a_message_that_is_understood_the_session_goes_on(phase: Phase) -> None:
    for message in GOOD[:16]:

        async def moves(arena: Arena, message: bytes = message) -> None:
            player = await phase(arena)
            arena.send(player, message)
            arena.send(player, m.SYNC_MESSAGE + m.query(b"ROLLBACK"))
            arena.planner.is_slow = False
            arena.log.is_held = False
            arena.log.release()
            for upstream in arena.pool.leased.values():
                upstream.is_held = False
            await arena.settle()
            before = player.got.count(player.mark)
            arena.send(player, m.query(READ))
            await arena.settle()
            assert not player.line.is_closing()
            assert player.got.count(player.mark) == before + 3
            assert player.got.endswith(m.ready(m.IDLE))

        try:
            play(moves)
        except Exception as error:
            raise AssertionError(message) from error


@pytest.mark.parametrize("message", [b"\0\0\0\7\0\0\0\0", b"\0\0\x40\0", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_does_not_speak_the_protocol_is_told_so_and_cut_off(message: bytes) -> None:
    async def moves(arena: Arena) -> None:
        player = await stranger(arena)
        arena.send(player, message)
        await arena.settle()
        assert player.line.is_closing()
        assert player.got[:1] == b"E"

    play(moves)


@pytest.mark.parametrize("end", ["upstream lost", "shut down", "record lost"])
def test_in_the_middle_of_a_row_nothing_else_is_said(end: str) -> None:
    async def moves(arena: Arena) -> None:
        player = await amid_rows(arena)
        replies = player.session._replies
        assert replies is not None
        assert not replies.is_between_messages
        got = bytes(player.got)
        if end == "upstream lost":
            _upstream(arena, player).cut()
        elif end == "shut down":
            player.session.end_now(m.refusal("FATAL", "57P01", "shutting down"))
        else:
            player.session._record_failed()
        await arena.settle()
        assert player.line.is_closing()
        # An error would be taken for a part of the row.
        assert bytes(player.got) == got

    play(moves)
