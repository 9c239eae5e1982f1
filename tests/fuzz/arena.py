"""Clients, the door and an upstream in one event loop without sockets: bytes in, bytes out.

A stream of bytes is read as a list of moves (`moves.py`), so that whatever mutates bytes (a seeded
generator, Hypothesis, a coverage-guided fuzzer) plays both sides: what clients send, what the
upstream answers, who stalls, who leaves, what the access log and the epoch do meanwhile.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from proxy.config_url import read_url
from proxy.session.client import ClientSession
from proxy.session.door import PostgresDoor
from proxy.session.login import LoggedIn
from proxy.session.services import Services
from proxy.session.settings import Context
from proxy.sql.settings import SettingLimits, check_set
from proxy.upstream.carried import Settings
from proxy.upstream.connection import UpstreamConnection
from tests.fuzz.upstream import Upstream
from tests.wire.doubles import FakeCredentials, FakeEpoch, FakeLimits, FakeLog, FakePlanner

_CREDENTIALS: Final = FakeCredentials()  # a verifier takes time to make
HIGH_WATER: Final = 64 * 1024
TURNS_MAX: Final = 20_000
_BACKEND_TYPES: Final = frozenset(b"RSKZTDC123nsItEANHdcvGWV")
DATABASE: Final = read_url("postgresql://reader@/crm?host=/nowhere", None, Path("/"))


class Line(asyncio.Transport):
    """One end of a connection; what is written goes to `on_write`, unless the peer stalls."""

    def __init__(self, protocol: asyncio.Protocol, on_write: Callable[[bytes], None]) -> None:
        super().__init__()
        self.protocol = protocol
        self.is_stalled = False
        self.is_read = True
        self._on_write = on_write
        self._kept = bytearray()
        self._is_closing = False
        self._is_told = False
        self._high = HIGH_WATER

    # --- as a protocol calls it ---

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing:
            return
        if self.is_stalled:
            self._kept += data
            if len(self._kept) > self._high and not self._is_told:
                self._is_told = True
                self.protocol.pause_writing()
        else:
            self._on_write(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high or HIGH_WATER

    def get_write_buffer_size(self) -> int:
        return len(self._kept)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    # --- as the peer does ---

    def take(self) -> None:
        """The peer reads again."""
        self.is_stalled = False
        kept, self._kept = bytes(self._kept), bytearray()
        if kept:
            self._on_write(kept)
        if self._is_told and not self._is_closing:
            self._is_told = False
            self.protocol.resume_writing()


class Connection(UpstreamConnection):
    """A leased connection, whose cancel requests are counted and not sent."""

    cancels = 0

    def cancel(self) -> None:
        self.cancels += 1

    async def cancels_taken(self) -> None:
        pass

    async def cancel_for_good(self) -> None:
        self.cancel()


class FakePool:
    """Hands out connections to upstreams of the arena."""

    pooling = "session"
    reuses_statements = True

    def __init__(self, connections: int) -> None:
        self.parameters = {"server_version": "18.0", "TimeZone": "UTC"}
        self.leased: dict[Connection, Upstream] = {}
        self.is_slow = False
        self._connections = connections

    def acquire_now(self, settings: Settings) -> UpstreamConnection | None:
        return None  # each lease is waited for: what comes meanwhile is a phase of its own

    async def acquire(self, settings: Settings) -> UpstreamConnection:
        if self.is_slow:
            await asyncio.sleep(0)
        connection = Connection(DATABASE)
        upstream = Upstream()
        line = Line(connection, upstream.received)
        upstream.attach(line, connection.data_received)
        connection.connection_made(line)
        connection.parameters = dict(self.parameters)
        self.leased[connection] = upstream
        return connection

    def release(self, connection: Connection, *, is_clean: bool) -> None:
        connection.detach()
        connection.close()
        self.leased.pop(connection, None)


@dataclass(slots=True)
class Player:
    """A client: what it got, and the mark by which its own rows are known."""

    session: ClientSession
    line: Line
    mark: bytes
    got: bytearray = field(default_factory=bytearray)


class Arena:
    """The door, and clients that come and go. `run` inside `loop`."""

    def __init__(self, *, is_honest: bool = True) -> None:
        self.log = FakeLog()
        self.planner = FakePlanner()
        self.epoch = FakeEpoch()
        self.limits = FakeLimits(statement_bytes=2048)
        self.pool = FakePool(8)
        self.is_honest = is_honest
        self.faults: list[str] = []
        self.players: list[Player] = []
        services = Services(
            credentials=_CREDENTIALS,
            planner=self.planner,
            access_log=self.log,
            epoch=self.epoch,
            limits=self.limits,
            policy_revision=lambda: "abcd",
            check_setting=lambda name, value: check_set(name, value, SettingLimits()),
        )
        self.door = PostgresDoor(services, self.pool, database="crm")  # type: ignore[arg-type]

    def join(self, *, is_logged_in: bool = True) -> Player:
        session = ClientSession(self.door)
        mark = b"mark-%d-" % len(self.players)
        got = bytearray()
        line = Line(session, got.extend)
        player = Player(session, line, mark, got)
        self.players.append(player)
        session.connection_made(line)
        if is_logged_in:
            session._open(b"", _logged_in(mark.decode()))
        return player

    def upstream_of(self, player: Player) -> Upstream | None:
        leased = player.session._upstream
        return None if leased is None else self.pool.leased.get(leased)  # type: ignore[call-overload]

    def send(self, player: Player, data: bytes) -> None:
        if not player.line.is_closing():
            player.session.data_received(data)

    def leave(self, player: Player) -> None:
        player.line.abort()

    async def settle(self) -> None:
        """Let everything happen that does not wait for somebody."""
        loop = asyncio.get_running_loop()
        for _ in range(TURNS_MAX):
            await asyncio.sleep(0)
            moved = False
            if self.is_honest:
                for upstream in list(self.pool.leased.values()):
                    moved = upstream.answer() or moved
            if not moved and not loop._ready:  # type: ignore[attr-defined]
                return
        raise AssertionError("work without end")

    # --- what must hold ---

    def check(self) -> None:
        """Every promise that holds whatever was sent."""
        assert not self.faults, self.faults
        for player in self.players:
            self._check_stream(player)

    def _check_stream(self, player: Player) -> None:
        """Whole messages of the protocol, none of another client's bytes."""
        at, data = 0, bytes(player.got)
        while len(data) - at >= 5:
            length = int.from_bytes(data[at + 1 : at + 5], "big")
            if at == 0 and data[0] in b"SN" and length < 4:
                at += 1  # the answer to a request for encryption
                continue
            assert data[at] in _BACKEND_TYPES, (data[at], at)
            assert length >= 4
            at += length + 1
        is_closed = player.line.is_closing()
        assert at == len(data) or (at > len(data) and is_closed) or len(data) - at < 5
        marks = set(re.findall(rb"mark-\d+-", data))
        assert marks <= {player.mark}, (player.mark, marks)

    def check_answered(self) -> None:
        """With an honest upstream: whatever came whole has been answered; nothing waits."""
        if self.log.is_held:
            return
        for player in self.players:
            session, state = player.session, player.session._state
            if player.line.is_closing() or state is None or player.line.is_stalled:
                continue
            upstream = self.upstream_of(player)
            if upstream is not None and (upstream.is_held or upstream.has_part):
                continue
            assert session._task is None
            assert session._step is None or state.is_segment_open
            assert session._outbox.held == 0
            if not state.is_segment_open:
                assert not state.queue, list(state.queue)
            assert player.line.is_read

    async def end(self) -> None:
        """Everybody leaves; nothing stays behind."""
        self.log.is_held = False
        self.log.release()
        for player in self.players:
            self.leave(player)
        await self.settle()
        assert not self.door._sessions
        assert not self.door._by_number
        assert not self.pool.leased
        assert not self.door._tasks
        for player in self.players:
            assert not player.session._tasks
            assert player.session._upstream is None


def _logged_in(mark: str) -> LoggedIn:
    login = _CREDENTIALS.tool_of("mailer")
    assert login is not None
    return LoggedIn(
        login=login,
        context=Context(purpose="newsletter", search_path=("public",)),
        purpose_from="default",
        settings={"application_name": mark},
        application_name=mark,
        minor=0,
    )


def play(moves: Callable[[Arena], Any], *, is_honest: bool = True) -> Arena:
    """Run moves in a loop of their own, and hold what happened against the promises."""
    loop = _loop()
    arena_box: list[Arena] = []

    async def run() -> None:
        arena = Arena(is_honest=is_honest)
        arena_box.append(arena)
        loop.set_exception_handler(lambda _, context: arena.faults.append(repr(context)))
        await moves(arena)
        await arena.settle()
        arena.check()
        if is_honest:
            arena.check_answered()
        await arena.end()
        arena.check()

    with structlog.testing.capture_logs() as logs:
        loop.run_until_complete(run())
    (arena,) = arena_box
    for entry in logs:
        is_expected = not is_honest and entry.get("error") == "InvariantError"
        if entry["event"] == "session ended by a fault of ours" and not is_expected:
            raise AssertionError(entry)
        if is_honest and entry["event"] == "upstream broke the protocol":
            raise AssertionError(entry)
    return arena


_LOOPS: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    if not _LOOPS:
        # asyncio's own: it tells what is left to do.
        _LOOPS.append(asyncio.SelectorEventLoop())
    return _LOOPS[0]
