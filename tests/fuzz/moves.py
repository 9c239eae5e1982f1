"""Any bytes as a list of moves: who sends what, who stalls, who leaves."""

from __future__ import annotations

from typing import Final

from proxy.errors import Reason, Refused
from proxy.wire import messages as m
from tests.fuzz.arena import Arena, Player
from tests.fuzz.upstream import Upstream

PLAYERS_MAX: Final = 4
# fmt: off
_TEXTS: Final = (
    b"SELECT a FROM people", b"SELECT 1", b"SELECT rows 40 FROM people", b"SELECT forbidden",
    b"SELECT fail FROM people", b"BEGIN", b"COMMIT", b"ROLLBACK", b"",
    b"SELECT 1; SELECT 2 FROM people",
    b"COPY people TO STDOUT", b"SET consent.purpose = 'service'", b"RESET ALL", b"DISCARD ALL",
    b"BEGIN ISOLATION LEVEL REPEATABLE READ", b"DECLARE c CURSOR FOR SELECT a FROM people",
    b"FETCH 1 FROM c", b"CLOSE c", b"PREPARE p AS SELECT a FROM people", b"EXECUTE p",
    b"DEALLOCATE p",
    b"SET search_path = public", b"SHOW consent.purpose", b"SELECT 1; fail; SELECT 2", b"\xff\xfe",
    b"SELECT rows 500 FROM people; SELECT rows 400 FROM people", b"SELECT '" + b"x" * 3000 + b"'",
    b"DECLARE c CURSOR WITH HOLD FOR SELECT a FROM people", b"SET consent.purpose = 'nobody'",
)
# fmt: on
_NAMES: Final = (b"", b"s", b"p", b"c", b"consent-proxy: own", b"x" * 70)

CANNED: Final[tuple[bytes, ...]] = (
    *(m.query(text) for text in _TEXTS),
    *(m.parse(name, text) for text in _TEXTS for name in (b"", b"s")),
    *(m.bind(portal, name) for portal in (b"", b"c") for name in _NAMES),
    *(m.execute(name, limit) for name in _NAMES for limit in (0, 1, 2**31 - 1)),
    *(m.describe(what, name) for what in (b"S", b"P") for name in _NAMES),
    *(m.close(what, name) for what in (b"S", b"P") for name in _NAMES),
    m.SYNC_MESSAGE,
    m.FLUSH_MESSAGE,
    m.message(m.COPY_DATA, b"x"),
    m.message(m.COPY_DONE),
    m.message(m.COPY_FAIL, b"no\0"),
    m.message(m.FUNCTION_CALL, b"\0" * 14),
    m.message(m.PASSWORD, b"password\0"),
)
SAID: Final[tuple[bytes, ...]] = (
    *(m.ready(status) for status in b"ITEX"),
    m.message(m.READY),
    m.message(m.READY, b"II"),
    *(m.message(kind) for kind in b"123nsIcWGtTDCHAKRvZEN"),
    m.command_complete("SELECT 1"),
    m.command_complete("X " + "9" * 5000),
    m.message(m.COMMAND_COMPLETE, b"no end"),
    m.message(m.DATA_ROW, b"\0\1\0\0\0\1x"),
    m.message(m.DATA_ROW, b"\x7f\xff"),
    m.message(m.COPY_OUT_RESPONSE, b"\0\0\0"),
    m.message(m.COPY_DATA, b"data"),
    m.message(m.ROW_DESCRIPTION, b"\0\0"),
    m.message(m.ROW_DESCRIPTION, b"\xff\xff"),
    m.message(m.PARAMETER_DESCRIPTION, b"\0\0"),
    m.message(m.PARAMETER_DESCRIPTION, b"\xff\xff\0"),
    m.parameter_status("TimeZone", "Mars"),
    m.parameter_status("is_superuser", "on"),
    m.message(m.PARAMETER_STATUS, b"no end"),
    m.message(m.NOTIFICATION, b"\0\0\0\1channel\0payload\0"),
    m.refusal("ERROR", "22012", "division by zero"),
    m.refusal("ERROR", "42P01", "no such relation"),
    m.refusal("FATAL", "57P01", "terminating connection"),
    m.refusal("PANIC", "XX000", "x"),
    m.error(m.NOTICE, {"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": "hello"}),
    m.message(m.ERROR, b"SERROR"),
    m.message(m.ERROR, b"SERROR\0C\0\0"),
    m.message(m.ERROR, b"\0"),
    m.message(m.NOTICE, b"M\xff\xfe\0P9\0\0"),
    m.message(m.AUTHENTICATION, b"\0\0\0\3"),
    b"Z\xff\xff\xff\xff",
    b"D\x7f\xff\xff\xff",
    b"T\0\0\0\3",
    b"D\0\0\0\0",
    b"\0\0\0\0\0\0\0\0",
    b"E\0\xff\xff\xff",
)


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)

    def one(self) -> int:
        value = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return value

    def some(self) -> bytes:
        count = self.one()
        part = self._data[self._at : self._at + count]
        self._at += count
        return part


async def make_moves(arena: Arena, data: bytes) -> None:
    """Play `data`; whatever it is, it is a game."""
    rest = _Bytes(data)
    arena.join()
    while not rest.is_empty:
        await _move(arena, rest)


async def _move(arena: Arena, rest: _Bytes) -> None:
    what = rest.one()
    player = arena.players[(what >> 6) % len(arena.players)]
    kind = what & 0x0F
    upstream = arena.upstream_of(player)
    if kind <= 5:
        _ask(arena, player, kind, rest)
    elif kind == 6:
        await arena.settle()
    elif kind == 7:
        if player.line.is_stalled:
            player.line.take()
        else:
            player.line.is_stalled = True
    elif kind == 8:
        _around(arena, rest.one())
    elif kind == 9:
        _people(arena, player, rest.one())
    elif upstream is not None:
        _answer(upstream, kind, rest, is_honest=arena.is_honest)


def _ask(arena: Arena, player: Player, kind: int, rest: _Bytes) -> None:
    match kind:
        case 0:
            arena.send(player, rest.some())
        case 1:
            arena.send(player, m.message(rest.one(), rest.some()))
        case 5:
            arena.send(player, CANNED[rest.one() % len(CANNED)] + m.SYNC_MESSAGE)
        case _:
            arena.send(player, CANNED[rest.one() % len(CANNED)])


def _answer(upstream: Upstream, kind: int, rest: _Bytes, *, is_honest: bool) -> None:
    match kind:
        case 10:
            upstream.is_held = not upstream.is_held
        case 11:
            upstream.answer(rest.one())
        case 12 if not is_honest:
            upstream.say(rest.some())
        case 13 if not is_honest:
            upstream.say(m.message(rest.one(), rest.some()))
        case _ if not is_honest:
            upstream.say(SAID[rest.one() % len(SAID)])
        case _:
            pass


def _around(arena: Arena, what: int) -> None:
    """What happens beside the conversation."""
    match what % 9:
        case 0:
            arena.epoch.number += 1
        case 1:
            arena.planner.revision = f"r{what}"
        case 2:
            arena.planner.is_slow = not arena.planner.is_slow
        case 3:
            arena.log.is_held = not arena.log.is_held
            if not arena.log.is_held:
                arena.log.release()
        case 4:
            arena.log.release()
        case 5 if what > 200:
            arena.log.release(failed=True)
        case 6 if what > 220:
            arena.log.is_sealed = True
        case 7:
            refused = Refused(Reason.UPSTREAM_UNAVAILABLE, "gone")
            arena.epoch.refused = None if arena.epoch.refused else refused
        case 8:
            arena.planner.surface = f"s{what}"
        case _:
            pass


def _people(arena: Arena, player: Player, what: int) -> None:
    """Who comes, who goes."""
    match what % 6:
        case 0 | 1 if len(arena.players) < PLAYERS_MAX:
            arena.join(is_logged_in=what < 240)
        case 2:
            arena.leave(player)
        case 3:
            player.session.cancel_statement()
        case 4 if (upstream := arena.upstream_of(player)) is not None:
            upstream.cut()
        case 5:
            player.session.end_when_idle(m.refusal("FATAL", "57P01", "shutting down"))
        case _:
            pass
