"""The HTTP front door: listens, asks who it is, lets the route answer, and drains.

gateway = Gateway(services, pool, tokens=…, ledger=…, metrics=…, readiness=…)
port = await gateway.start("127.0.0.1", 0)
await gateway.drain(20)
await gateway.close()
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, cast

import structlog
from aiohttp.web import BaseRequest, Server, StreamResponse

from proxy.consent.ledger import Ledger
from proxy.errors import Refused
from proxy.gateway.answers import problem_answer
from proxy.gateway.callers import authenticate
from proxy.gateway.problem import Problem, of_refusal
from proxy.gateway.protocol import Connection, Deadlines, internal_error
from proxy.gateway.recording import Recorder
from proxy.gateway.routes import OpenRoute, find
from proxy.gateway.services import GatewayServices, Parts, Readiness, Tokens
from proxy.gateway.status import own_page
from proxy.telemetry import Metrics
from proxy.upstream.pool import Pool

_log = structlog.get_logger(__name__)

_BACKLOG: Final = 512
# As for a header: a handshake is what comes before one.
_TLS_HANDSHAKE_S: Final = 5.0
# A cancelled handler needs no I/O to end; longer than this, it is a bug.
_CLOSE_TIMEOUT_S: Final = 5.0


async def _no_pages() -> list[bytes]:
    return []


class Gateway:
    """One worker's front door for HTTP clients.

    `ledger` gives None while the ledger can not be used: what needs it answers 503. `statement_s`
    is `limits.statement_s`: a result that takes longer, its reader included, is ended.
    `other_pages` gives the metrics of other workers.
    """

    def __init__(  # noqa: PLR0913 - all that a door is given
        self,
        services: GatewayServices,
        pool: Pool,
        *,
        tokens: Tokens,
        ledger: Callable[[], Ledger | None],
        metrics: Metrics,
        readiness: Readiness,
        statement_s: float = 300.0,
        deadlines: Deadlines | None = None,
        other_pages: Callable[[], Awaitable[list[bytes]]] | None = None,
    ) -> None:
        self._parts = Parts(
            planner=services.planner,
            limits=services.limits,
            pool=pool,
            tokens=tokens,
            ledger=ledger,
            metrics=metrics,
            readiness=readiness,
            recorder=Recorder(services.access_log, services.policy_revision, metrics),
            statement_s=statement_s,
            other_pages=other_pages or _no_pages,
        )
        self._deadlines = deadlines or Deadlines()
        self._listener: asyncio.Server | None = None
        self._server: Server | None = None
        self._connections = 0
        self._answering = 0
        self._quiet = asyncio.Event()  # no request is being answered
        self._quiet.set()

    # --- life ---

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
        # A client that goes away cancels its handler, and that its statement.
        server = self._server = Server(self._handle, handler_cancellation=True, loop=loop)
        self._listener = await loop.create_server(
            lambda: Connection(server, self, self._deadlines, loop=loop),
            host,
            port,
            ssl=ssl_context,
            ssl_handshake_timeout=None if ssl_context is None else _TLS_HANDSHAKE_S,
            reuse_port=reuse_port or None,
            backlog=_BACKLOG,
        )
        return int(self._listener.sockets[0].getsockname()[1])

    def metrics_page(self) -> bytes:
        """This worker's part of the metrics, for another worker's page."""
        return own_page(self._parts)

    def close_listener(self) -> None:
        """Take no new connection. Open ones go on."""
        if self._listener is not None:
            self._listener.close()

    async def drain(self, seconds: float) -> None:
        """Take no new connection, end idle ones, and give requests so long to end."""
        self.close_listener()
        if self._server is not None:
            self._server.pre_shutdown()
        try:
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Cut what is left: statements are cancelled, their outcome is recorded."""
        self.close_listener()
        if self._server is None:
            return
        await self._server.shutdown(timeout=0.01)
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._quiet.wait()
        except TimeoutError:
            # What is closed after us (the access log above all) must be closed all the same.
            _log.error("a request could not be ended", connections=self._connections)

    # --- as connections call it ---

    @property
    def is_full(self) -> bool:
        return self._connections >= self._parts.limits.connections

    def opened(self) -> None:
        self._connections += 1
        self._parts.metrics.connections.labels("http").inc()

    def closed(self) -> None:
        self._connections -= 1
        self._parts.metrics.connections.labels("http").dec()

    # --- requests ---

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        connection = cast(Connection, request.protocol)
        connection.begin(request)
        self._answering += 1
        self._quiet.clear()
        try:
            return await self._answer(request, connection)
        except Problem as problem:
            return problem_answer(problem)
        except Refused as refused:
            return problem_answer(of_refusal(refused, None))
        except ConnectionError:
            raise
        except Exception as error:
            if request.writer.output_size > 0:
                raise ConnectionError("an answer ended in the middle") from error
            return internal_error(error)
        finally:
            self._answering -= 1
            if self._answering == 0:
                self._quiet.set()

    async def _answer(self, request: BaseRequest, connection: Connection) -> StreamResponse:
        route = find(request.method, request.rel_url.raw_path)
        if isinstance(route, OpenRoute):
            return route.handle(request, self._parts)
        caller = await authenticate(request, self._parts, route.roles, connection.logins)
        return await route.handle(request, caller, self._parts)
