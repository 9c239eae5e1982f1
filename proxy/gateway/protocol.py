"""One HTTP connection, with the deadlines that aiohttp has not.

A client that opens a connection and says nothing, sends half a header, or does not read, is cut
off; aiohttp itself would wait for ever for each (measured with 3.14.5). The body's deadline is
where bodies are read (requests.py).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import structlog
from aiohttp.web import BaseRequest, RequestHandler, Response, Server, StreamResponse

from proxy.gateway.answers import problem_answer
from proxy.gateway.problem import Problem

_log = structlog.get_logger(__name__)

# What a token, an Accept and a long path need; together at most a megabyte per connection.
HEADER_LINE_BYTES_MAX: Final = 8190
HEADERS_MAX: Final = 64
# How long what is left of a refused body is read, so that the client gets to read the answer.
LINGER_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds. Each ends one way of holding a connection without using it."""

    first_request_s: float = 10.0  # opened, and nothing sent
    header_s: float = 5.0  # from the first byte of a request to the end of its header
    keep_alive_s: float = 75.0  # between two requests; longer than usual reverse proxies wait
    write_stall_s: float = 30.0  # the client takes nothing of what was written


class Watcher(Protocol):
    """Who counts connections and requests."""

    @property
    def is_full(self) -> bool: ...
    def opened(self) -> None: ...
    def closed(self) -> None: ...


class Connection(RequestHandler):
    """A client's connection. `logins` are the credentials already recorded on it."""

    def __init__(
        self,
        server: Server,
        watcher: Watcher,
        deadlines: Deadlines,
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=deadlines.keep_alive_s,
            access_log=cast(Any, None),  # the access log is ours
            max_line_size=HEADER_LINE_BYTES_MAX,
            max_field_size=HEADER_LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )
        self.logins: set[str] = set()
        self._watcher = watcher
        self._deadlines = deadlines
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._answering: BaseRequest | None = None
        self._has_next = False  # bytes of the next request came while this one was answered
        self._has_begun = False  # bytes of a request came that has no handler yet
        self._is_turned_away = False
        self.is_client_gone = False
        """The connection was lost, not closed by us."""

    # --- as the loop calls it ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._watcher.is_full:
            self._is_turned_away = True
            self._turn_away(cast(asyncio.Transport, transport))
            return
        self._watcher.opened()
        super().connection_made(transport)
        self._expect_within(self._deadlines.first_request_s)

    def data_received(self, data: bytes) -> None:
        if self._is_turned_away:
            return
        if not data:
            pass  # aiohttp goes on with what it has, after a pause
        elif self._answering is not None:
            self._has_next = self._has_next or self._answering.content.is_eof()
        elif not self._has_begun:
            self._has_begun = True
            self._expect_within(self._deadlines.header_s)
        super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._timer, self._stall):
            if timer is not None:
                timer.cancel()
        self._timer = self._stall = None
        if not self._is_turned_away:
            # Before aiohttp cancels the handler, which asks why.
            self.is_client_gone = True
            self._watcher.closed()
            super().connection_lost(exc)

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        """Send the answer, or what is left of it; then the next request may begin."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._end()

    # --- as the gateway calls it ---

    def begin(self, request: BaseRequest) -> None:
        """A request's header is complete and it is being answered."""
        self._answering = request
        self._has_begun = self._has_next = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._answering = None
        if self._has_next:
            self._has_begun = True
            self._expect_within(self._deadlines.header_s)
        if self.transport is not None and self.transport.get_write_buffer_size():
            self._watch_writing()

    # --- deadlines ---

    def _expect_within(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._cut)

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _watch_writing(self) -> None:
        if self._stall is None and self.transport is not None:
            # Not self.transport: aiohttp forgets it while it still has bytes to write.
            self._stall = self._loop.call_later(
                self._deadlines.write_stall_s, self._end_stall, self.transport
            )

    def _end_stall(self, transport: asyncio.Transport) -> None:
        self._stall = None
        if transport.get_write_buffer_size():
            transport.abort()

    # --- answers that are no handler's ---

    def _turn_away(self, transport: asyncio.Transport) -> None:
        transport.write(_too_many())
        transport.close()
        self._loop.call_later(LINGER_S, transport.abort)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what the client sent
    ) -> StreamResponse:
        """The answer to what is not HTTP (400), or to a bug of ours (500)."""
        if request.writer.output_size > 0 or isinstance(exc, ConnectionError):
            raise ConnectionError("part of an answer was sent, no other can be")
        if status >= 500:
            return internal_error(exc)
        return problem_answer(
            Problem(status, "invalid_request", "the request is not valid HTTP/1.1", is_last=True)
        )


def is_client_gone(request: BaseRequest) -> bool:
    """Whether a request is cancelled because its client has left, not because we close."""
    return cast(Connection, request.protocol).is_client_gone


def internal_error(error: BaseException | None) -> Response:
    """A bug: told to the operator by its place, and to the client not at all."""
    _log.error("a request failed", exc_info=error)
    return problem_answer(
        Problem(500, "internal_error", "the request could not be answered", is_last=True)
    )


def _too_many() -> bytes:
    body = Problem(
        503,
        "too_many_connections",
        "all connections to the proxy are in use",
        sqlstate="53300",
        hint="Try again later.",
    ).json()
    return (
        b"HTTP/1.1 503 Service Unavailable\r\nServer: consent-proxy\r\nConnection: close\r\n"
        b"Retry-After: 1\r\nContent-Type: application/json\r\nContent-Length: "
        + str(len(body)).encode()
        + b"\r\n\r\n"
        + body
    )
