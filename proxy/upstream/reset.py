"""Bringing a connection back to what it was when it was new, before another session gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.errors import UpstreamProtocolError
from proxy.upstream.connection import UpstreamConnection
from proxy.wire import messages as m
from proxy.wire.framing import BackendReader

RESET_TIMEOUT_S: Final = 10.0
_DISCARD_ALL: Final = m.query(b"DISCARD ALL")


class Reset:
    """Sends DISCARD ALL and calls `done` once, when it is answered; else the connection is lost.

    A session ends with each: so this is a listener, and no task of the event loop.
    """

    __slots__ = ("_done", "_has_completed", "_reader", "_timer", "_unanswered", "connection")

    def __init__(
        self, connection: UpstreamConnection, done: Callable[[Reset], None], *, unanswered: int = 0
    ) -> None:
        """`unanswered`: so many Queries were sent before, whose answers mean nothing any more."""
        self._unanswered = unanswered
        self.connection = connection
        self._done = done
        self._reader = BackendReader()
        self._has_completed = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(RESET_TIMEOUT_S, self.give_up)
        self.connection.attach(self)
        self.connection.write(_DISCARD_ALL)

    def give_up(self) -> None:
        """It is not used again."""
        self.connection.abort()
        self._end()

    def _end(self) -> None:
        timer, self._timer = self._timer, None
        if timer is None:
            return
        timer.cancel()
        if not self.connection.is_lost:
            self.connection.detach()
        self._done(self)

    # --- as the connection calls it ---

    def upstream_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (found := self._reader.next()) is not None:
                kind, part, _ = found
                if self._unanswered:
                    self._unanswered -= kind == m.READY
                    continue
                if kind == m.READY and self._has_completed and part[5] == m.IDLE:
                    self.connection.was_reset()
                    self._end()
                    return
                self._take(kind, part)
        except UpstreamProtocolError:
            self.give_up()

    def _take(self, kind: int, part: bytes) -> None:
        match kind:
            case m.PARAMETER_STATUS:
                name, value = m.read_parameter_status(part)
                self.connection.parameters[name] = value
            case m.COMMAND_COMPLETE:
                self._has_completed = True
            case m.NOTICE | m.NOTIFICATION:
                pass
            case _:
                raise UpstreamProtocolError("DISCARD ALL failed")

    def upstream_lost(self) -> None:
        self._end()

    def upstream_paused(self) -> None:
        pass

    def upstream_resumed(self) -> None:
        pass
