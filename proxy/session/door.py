"""The PostgreSQL front door: listens, counts, and ends sessions when it must."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from proxy.errors import Reason, Refused
from proxy.session import errors
from proxy.session.client import ClientSession
from proxy.session.known import Known
from proxy.session.recorder import error_of
from proxy.session.services import Services
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.pool import Pool
from proxy.wire.scram import certificate_hash

# How often sessions that have been idle for too long are looked for.
_SWEEP_S: Final = 5.0
# Connections that have not logged in may be this many more than clients.
_STRANGERS_MAX: Final = 256
# A cancel key's number is positive; its upper bits name the worker.
_NUMBER_BITS: Final = 20
_SECRET_BYTES: Final = 4
_LONG_SECRET_BYTES: Final = 32  # under protocol 3.2


@dataclass(slots=True)
class DoorCounters:
    """For metrics. `open` and `logged_in` are now, the others since the start."""

    accepted: int = 0
    refused: int = 0
    logged_in: int = 0
    cancels: int = 0
    by_tool: Counter[str] = field(default_factory=Counter)


class PostgresDoor:
    """One worker's front door for PostgreSQL clients.

    `database` is the name that clients ask for. `certificate` (DER) is what `ssl_context` shows:
    with it, SCRAM-SHA-256-PLUS is offered. `forward_cancel` takes a cancel request whose number
    names another worker: worker, number, secret.
    """

    def __init__(
        self,
        services: Services,
        pool: Pool,
        *,
        database: str,
        worker: int = 0,
        certificate: bytes | None = None,
        requires_tls: bool = False,
        forward_cancel: Callable[[int, int, bytes], None] | None = None,
    ) -> None:
        self.services = services
        self.pool = pool
        self.database = database
        self.requires_tls = requires_tls
        self.certificate_hash = None if certificate is None else certificate_hash(certificate)
        self.ssl_context: ssl.SSLContext | None = None
        self.connections = DoorCounters()
        self.known = Known()
        self._worker = worker
        self._forward_cancel = forward_cancel
        self._sessions: set[ClientSession] = set()
        self._by_number: dict[int, ClientSession] = {}
        self._tools: dict[ClientSession, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._is_draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(
        self,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext | None = None,
        *,
        reuse_port: bool = False,
    ) -> int:
        """Listen; returns the port (that was taken, for port 0)."""
        loop = asyncio.get_running_loop()
        self.ssl_context = ssl_context
        self._server = await loop.create_server(
            lambda: ClientSession(self),
            host,
            port,
            reuse_port=reuse_port or None,
            backlog=512,
        )
        self._sweeper = loop.create_task(self._sweep())
        return int(self._server.sockets[0].getsockname()[1])

    def stop_listening(self) -> None:
        """Take no new connection. Open sessions go on."""
        if self._server is not None:
            self._server.close()

    async def drain(self, seconds: float) -> None:
        """Take no new connection, end sessions as they become idle; after `seconds`, all."""
        self._is_draining = True
        self.stop_listening()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for session in list(self._sessions):
            session.end_when_idle(errors.shutdown())
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            for session in list(self._sessions):
                session.end_now(errors.shutdown())
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def end_sessions(self, tool: str) -> int:
        """End every open session of a tool now (disabled, or a new password); how many."""
        ended = [session for session, name in self._tools.items() if name == tool]
        for session in ended:
            session.end_now(errors.shutdown())
        return len(ended)

    # --- for the sessions ---

    def opened(self, session: ClientSession) -> None:
        self.connections.accepted += 1
        self._sessions.add(session)
        self._empty.clear()
        if len(self._sessions) > self.services.limits.connections + _STRANGERS_MAX:
            self.connections.refused += 1
            session.end_now(self.refusal_of_new())

    def refuses_new(self) -> bool:
        is_full = len(self._tools) >= self.services.limits.connections
        self.connections.refused += is_full or self._is_draining
        return is_full or self._is_draining

    def refusal_of_new(self) -> bytes:
        if self._is_draining:
            return errors.fatal("57P03", "the proxy is shutting down")
        refused = Refused(
            Reason.TOO_MANY_CONNECTIONS,
            "too many clients",
            hint="Close sessions that are not needed, or try again later.",
        )
        return error_of(refused, access_id=None, severity="FATAL")

    def logged_in(self, session: ClientSession, tool: str, *, is_long_key: bool) -> None:
        """Count the session, and give it its cancel key."""
        self._tools[session] = tool
        self.connections.logged_in += 1
        self.connections.by_tool[tool] += 1
        number = 0
        while number == 0 or number in self._by_number:
            number = self._worker << _NUMBER_BITS | secrets.randbelow(1 << _NUMBER_BITS)
        session.number = number
        session.secret = secrets.token_bytes(_LONG_SECRET_BYTES if is_long_key else _SECRET_BYTES)
        self._by_number[number] = session

    def closed(self, session: ClientSession) -> None:
        self._sessions.discard(session)
        tool = self._tools.pop(session, None)
        if tool is not None:
            self.connections.logged_in -= 1
            self.connections.by_tool[tool] -= 1
            self._by_number.pop(session.number, None)
        if not self._sessions:
            self._empty.set()

    def cancel(self, number: int, secret: bytes) -> None:
        """A CancelRequest. Whoever sent it learns nothing, whether it was right or not."""
        worker = number >> _NUMBER_BITS
        if worker != self._worker:
            if self._forward_cancel is not None:
                self._forward_cancel(worker, number, secret)
            return
        session = self._by_number.get(number)
        if session is not None and hmac.compare_digest(session.secret, secret):
            self.connections.cancels += 1
            session.cancel_statement()

    def give_up(self, upstream: UpstreamConnection) -> None:
        """Cancel what runs for a client that is gone, then close."""
        task = asyncio.get_running_loop().create_task(self._cancel_and_close(upstream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cancel_and_close(self, upstream: UpstreamConnection) -> None:
        try:
            await upstream.cancel_for_good()
        finally:
            self.pool.release(upstream, is_clean=False)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP_S, max(0.05, self.services.limits.idle_s / 4)))
            oldest = time.monotonic() - self.services.limits.idle_s
            for session in list(self._tools):
                if session.active_at < oldest and not session.is_busy:
                    session.end_now(errors.idle_too_long())
