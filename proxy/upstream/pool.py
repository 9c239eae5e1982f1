"""Warm connections to the upstream, leased one at a time to whoever asks.

A lease is for a whole session: what comes back clean is reset and used again, what does not is
closed. Or it is for a transaction: then it is passed on as it is, with what it carries
(docs/decisions/0004). Beyond the limit one waits in line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

import structlog

from proxy.config import Database, Pooling
from proxy.errors import Reason, Refused, UpstreamProtocolError
from proxy.upstream.carried import DEFAULTS, Settings
from proxy.upstream.connection import UpstreamConnection, UpstreamError, connect
from proxy.upstream.counts import PoolCounts
from proxy.upstream.reset import Reset

_log = structlog.get_logger(__name__)

# Session defaults of every upstream connection: RESET and DISCARD come back to them. What readers
# took for granted when they read a statement must hold where it runs (design.md, "Resolve").
PINNED_SETTINGS: Final[Mapping[str, str]] = {
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "row_security": "on",
    "default_transaction_read_only": "on",
    # A role's or database's own default could make every statement keep an old snapshot.
    "default_transaction_isolation": "read committed",
    "application_name": "consent-proxy",
}

# A new connection costs the upstream a process: these are kept for whoever comes next …
WARM_CONNECTIONS: Final = 2
# … and more than that only so long.
IDLE_S: Final = 300.0
# How often health and the warm ones are looked after; also the pause after a failed attempt.
CARE_S: Final = 2.0


class Pool:
    """Connections to one upstream, `connections` at most.

    `statement_s` is the upstream's own limit for one statement, `wait_s` how long a lease may
    wait, `pooling` what sessions lease for. `reuses_statements`: whether sessions may keep
    statements of ours prepared (session/kept.py).
    """

    def __init__(
        self,
        database: Database,
        *,
        connections: int,
        wait_s: float,
        statement_s: float,
        pooling: Pooling = "session",
        reuses_statements: bool = True,
    ) -> None:
        self.pooling = pooling
        self.reuses_statements = reuses_statements
        self.counts: Final = PoolCounts()
        self._database = database
        self._connections_max = connections
        self._wait_s = wait_s
        self._settings = {
            **PINNED_SETTINGS,
            "statement_timeout": str(max(1, int(statement_s * 1000))),
        }
        self._idle: deque[tuple[float, UpstreamConnection]] = deque()
        self._leased: set[UpstreamConnection] = set()
        self._opening = 0
        self._resetting: set[Reset] = set()
        self._settling: set[asyncio.Task[None]] = set()  # they wait for a cancel request's end
        self._waiters: deque[asyncio.Future[UpstreamConnection | None]] = deque()
        self._care: asyncio.Task[None] | None = None
        self._is_closed = False
        self.is_healthy = False
        """Whether the last attempt to reach the upstream succeeded."""
        self.parameters: dict[str, str] = {}
        """What the upstream reports of itself (ParameterStatus), as last seen."""

    @property
    def leased(self) -> int:
        return len(self._leased)

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    async def start(self) -> None:
        """Open the first connection; raises UpstreamProtocolError, OSError or TimeoutError."""
        self._keep(await self._connect())
        self._care = asyncio.get_running_loop().create_task(self._take_care())

    async def close(self) -> None:
        """Close every connection; leased ones are cut."""
        self._is_closed = True
        if self._care is not None:
            self._care.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        for task in list(self._settling):
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        for reset in list(self._resetting):
            reset.give_up()
        while self._idle:
            self._idle.popleft()[1].close()
        for connection in list(self._leased):
            connection.abort()

    def acquire_now(self, settings: Settings) -> UpstreamConnection | None:
        """A connection that is at hand; None: ask `acquire`, and wait."""
        # Whoever waits in line comes first.
        connection = None if self._waiters or self._is_closed else self._take_idle(settings)
        if connection is not None:
            self._leased.add(connection)
            self.counts.leases += 1
        return connection

    async def acquire(self, settings: Settings | None = None) -> UpstreamConnection:
        """A connection. Raises Refused(too_many_connections or upstream_unavailable).

        `settings`: those that are wanted, though it may have others (see `carried`). None: it has
        to be as it was when it was new.
        """
        self.counts.leases += 1
        try:
            async with asyncio.timeout(self._wait_s):
                connection = await self._acquire(settings or DEFAULTS)
                while settings is None and not connection.carried.is_new:
                    await self._renew(connection)
                    if connection.is_lost:
                        connection = await self._acquire(DEFAULTS)
        except TimeoutError:
            raise Refused(
                Reason.TOO_MANY_CONNECTIONS,
                "all connections to the database are in use",
                hint="Close sessions that are not needed, or try again later.",
            ) from None
        self._leased.add(connection)
        return connection

    async def _acquire(self, settings: Settings) -> UpstreamConnection:
        while not self._is_closed:
            connection = (
                self._take_idle(settings) or await self._open_one() or await self._next_free()
            )
            if connection is not None:
                self._leased.add(connection)
                return connection
        raise _unavailable()

    def _take_idle(self, settings: Settings) -> UpstreamConnection | None:
        # The last that came back: its caches are warm, and the others can go. Best one that has
        # the settings already.
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index][1].carried.settings == settings:
                connection = self._idle[index][1]
                del self._idle[index]
                if not connection.is_lost:
                    return connection
        while self._idle:
            _, connection = self._idle.pop()
            if not connection.is_lost:
                return connection
        return None

    async def _renew(self, connection: UpstreamConnection) -> None:
        done = asyncio.get_running_loop().create_future()
        reset = Reset(connection, lambda _: None if done.done() else done.set_result(None))
        reset.begin()
        try:
            await done
        except asyncio.CancelledError:
            reset.give_up()
            self._leased.discard(connection)
            self._invite()
            raise
        if connection.is_lost:
            self._leased.discard(connection)

    async def _open_one(self) -> UpstreamConnection | None:
        """A new connection, or None where there are as many as there may be."""
        if self._count >= self._connections_max:
            return None
        try:
            return await self._connect()
        except UpstreamError as error:
            # The upstream itself has no more: one of ours may become free.
            if error.fields.get("C") == "53300" and self._count > 0:
                return None
            raise _unavailable() from None
        except (UpstreamProtocolError, OSError, TimeoutError):
            raise _unavailable() from None

    async def _next_free(self) -> UpstreamConnection | None:
        """The next one that is given back; None: there is room to open one."""
        waiter: asyncio.Future[UpstreamConnection | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._waiters.append(waiter)
        self.counts.waits += 1
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # It was given just as the time was up: the next one shall have it.
                given = waiter.result()
                if given is not None:
                    self._leased.discard(given)
                self._keep(given)
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def give_back(self, connection: UpstreamConnection) -> None:
        """Give a connection back that is idle, outside a transaction, every answer read, and for
        which `carried` tells what it has: others get it as it is.
        """
        carried = connection.carried
        if (
            connection.is_lost
            or self._is_closed
            or connection.is_being_cancelled
            or carried.needs_reset
            or carried.settings.has_short_limit
        ):
            self.release(connection, is_clean=True)
            return
        self._leased.discard(connection)
        connection.detach()
        self._keep(connection)

    def release(
        self, connection: UpstreamConnection, *, is_clean: bool, unanswered: int = 0
    ) -> None:
        """Give a connection back. `is_clean`: idle, outside a transaction, every answer read but
        those to so many `unanswered` Queries.
        """
        self._leased.discard(connection)
        if not is_clean or connection.is_lost or self._is_closed:
            connection.close()
            self._invite()
            return
        connection.detach()
        if not connection.is_being_cancelled:
            self._reset(connection, unanswered)
            return
        task = asyncio.get_running_loop().create_task(self._reset_later(connection, unanswered))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _reset_later(self, connection: UpstreamConnection, unanswered: int) -> None:
        try:
            await connection.cancels_taken()
        except asyncio.CancelledError:
            connection.abort()
            raise
        if connection.is_lost:
            self._keep(connection)
        else:
            self._reset(connection, unanswered)

    def _reset(self, connection: UpstreamConnection, unanswered: int) -> None:
        """Bring a connection back to what it was when it was new; then it is `_was_reset`."""
        reset = Reset(connection, self._was_reset, unanswered=unanswered)
        self._resetting.add(reset)
        reset.begin()

    def _was_reset(self, reset: Reset) -> None:
        self._resetting.discard(reset)
        self._keep(reset.connection)

    @property
    def _count(self) -> int:
        returning = len(self._resetting) + len(self._settling)
        return len(self._idle) + len(self._leased) + self._opening + returning

    async def _connect(self) -> UpstreamConnection:
        self._opening += 1
        try:
            connection = await connect(self._database, self._settings)
        except (UpstreamProtocolError, OSError, TimeoutError) as error:
            if self.is_healthy:
                _log.warning("upstream does not answer", error=type(error).__name__)
            self.is_healthy = False
            raise
        finally:
            self._opening -= 1
        if not self.is_healthy:
            _log.info(
                "upstream answers", server_version=connection.parameters.get("server_version")
            )
        self.is_healthy = True
        self.parameters = dict(connection.parameters)
        return connection

    def _keep(self, connection: UpstreamConnection | None) -> None:
        """A clean connection for whoever waits, or for later."""
        if connection is None or connection.is_lost or self._is_closed:
            if connection is not None:
                connection.close()
            self._invite()
            return
        if connection.carried.is_new:
            self.parameters = dict(connection.parameters)
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._leased.add(connection)  # counted before its new owner runs
                waiter.set_result(connection)
                return
        self._idle.append((asyncio.get_running_loop().time(), connection))

    def _invite(self) -> None:
        """A place has become free: whoever waits longest may open a connection."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _take_care(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CARE_S)
            self._idle = deque(pair for pair in self._idle if not pair[1].is_lost)
            while len(self._idle) > WARM_CONNECTIONS and loop.time() - self._idle[0][0] > IDLE_S:
                self._idle.popleft()[1].close()
            if not self._idle and self._count < min(WARM_CONNECTIONS, self._connections_max):
                try:
                    self._keep(await self._connect())
                except (UpstreamProtocolError, OSError, TimeoutError):
                    continue


def _unavailable() -> Refused:
    return Refused(
        Reason.UPSTREAM_UNAVAILABLE,
        "the database does not answer",
        hint="Try again later.",
    )
