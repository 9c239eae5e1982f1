"""One connection to the upstream: opened, authenticated, checked, then a pipe of bytes.

Whoever leases it attaches a listener and speaks the protocol; the connection itself only opens,
resets, cancels and closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from mypy_extensions import mypyc_attr

from proxy.config import Database
from proxy.errors import UpstreamProtocolError
from proxy.upstream.carried import Carried
from proxy.wire import messages
from proxy.wire.framing import BackendReader
from proxy.wire.scram import ScramClient, ScramError, certificate_hash
from proxy.wire.startup import SSL_REQUEST, cancel_request, startup_message

# A client that does not read must stop the upstream, not fill our memory; and the reverse.
HIGH_WATER_BYTES: Final = 256 * 1024
CONNECT_TIMEOUT_S: Final = 10.0
CANCEL_TIMEOUT_S: Final = 10.0
# A busy database may take seconds before it begins a statement, and hears of no cancel until then.
_CANCEL_PAUSES_S: Final[Sequence[float]] = (0.02, 0.1, 0.5, *[1.0] * 10)
_READY: Final = messages.ready(messages.IDLE)[:-1]
# What an upstream may say at once before anybody has leased it: it greets, and answers one row.
_INBOX_BYTES_MAX: Final = 4 * 1024 * 1024


class UpstreamListener(Protocol):
    """Who reads what an upstream sends. Called in the event loop."""

    def upstream_received(self, data: bytes) -> None: ...
    def upstream_lost(self) -> None: ...
    def upstream_paused(self) -> None:
        """What was written has not been taken yet: stop writing."""

    def upstream_resumed(self) -> None: ...


class UpstreamError(UpstreamProtocolError):
    """The upstream answered with an error where none may be. `fields` as it sent them."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(f"{fields.get('C', '?????')}: {fields.get('M', '')}")
        self.fields = fields


@mypyc_attr(allow_interpreted_subclasses=True)  # by tests
class UpstreamConnection(asyncio.Protocol):
    """A connection that is logged in. Make one with `connect`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.parameters: dict[str, str] = {}
        self.carried = Carried(_prefix())
        self.process = 0
        self.secret = b""
        self.is_lost = False
        self._is_paused = False
        self._ended: asyncio.Event | None = None  # of what was given up
        self._transport: asyncio.Transport | None = None
        self._send: Callable[[bytes], None] | None = None  # the transport's, while it is open
        self._listener: UpstreamListener | None = None
        self._cancelling: set[asyncio.Task[None]] = set()

    # --- as the loop calls it ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._send = self._transport.write

    def data_received(self, data: bytes) -> None:
        if self._listener is not None:
            self._listener.upstream_received(data)
        elif self._ended is not None and not data[:-1].endswith(_READY):
            return  # rows of what runs on until it hears that it is cancelled
        else:
            # Between leases an upstream has nothing to say but notices and its own end. Whatever
            # it is, nobody must take it for an answer: the connection is not used again.
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._lose()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.upstream_lost()

    def pause_writing(self) -> None:
        if self._listener is not None:
            self._listener.upstream_paused()

    def resume_writing(self) -> None:
        if self._listener is not None:
            self._listener.upstream_resumed()

    # --- for whoever leases it ---

    def attach(self, listener: UpstreamListener) -> None:
        if self._listener is not None or self.is_lost:
            raise UpstreamProtocolError("connection is in use or lost")
        self._listener = listener

    def detach(self) -> None:
        self._listener = None
        self.resume_reading()

    def was_reset(self) -> None:
        """It is as it was when it was new."""
        self.carried = Carried(_prefix())

    async def secure(self, context: ssl.SSLContext) -> bytes | None:
        """Go on over TLS, chain and name verified; the hash of the upstream's certificate."""
        if self._transport is None:
            raise UpstreamProtocolError("connection is lost")
        secured = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=self.database.host
        )
        if secured is None:
            raise UpstreamProtocolError("the upstream broke off the TLS handshake")
        self.connection_made(secured)
        tls = cast(ssl.SSLObject, secured.get_extra_info("ssl_object"))
        certificate = tls.getpeercert(binary_form=True)
        return certificate_hash(certificate) if certificate else None

    def write(self, data: bytes) -> None:
        if self._send is not None:
            self._send(data)

    def pause_reading(self) -> None:
        transport = self._transport
        if not self._is_paused and transport is not None and not transport.is_closing():
            self._is_paused = True
            transport.pause_reading()

    def resume_reading(self) -> None:
        transport = self._transport
        if self._is_paused and transport is not None and not transport.is_closing():
            self._is_paused = False
            transport.resume_reading()

    def close(self) -> None:
        """Say goodbye and close, once all that was written has left."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(messages.TERMINATE_MESSAGE)
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._lose()

    def _lose(self) -> None:
        self.is_lost = True
        self._send = None
        if self._ended is not None:
            self._ended.set()

    # --- cancelling ---

    @property
    def is_being_cancelled(self) -> bool:
        """A cancel request is on its way: it would hit whatever runs next."""
        return bool(self._cancelling)

    def cancel(self) -> None:
        """Ask the upstream to cancel what runs; see `cancels_taken`."""
        task = asyncio.get_running_loop().create_task(self._cancel())
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def cancels_taken(self) -> None:
        """Return when no cancel request is on its way any more."""
        if self._cancelling:
            await asyncio.wait(self._cancelling)

    async def cancel_for_good(self) -> None:
        """Cancel what runs, or is about to, on a connection that nobody listens to any more."""
        ended = self._ended = asyncio.Event()
        for pause_s in _CANCEL_PAUSES_S:
            self.cancel()
            await self.cancels_taken()
            # A statement that had not begun does not hear of it. That it has ended closes the
            # connection (`data_received`).
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), pause_s)
                return

    async def _cancel(self) -> None:
        database = self.database
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                reader, writer = await _open_streams(database)
                try:
                    writer.write(cancel_request(self.process, self.secret))
                    # Nothing is answered; PostgreSQL closes when it has sent the signal.
                    await reader.read()
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError, UpstreamProtocolError):
            # The request may arrive late and hit another statement: do not use this one again.
            if self._ended is None:
                self.abort()


def _prefix() -> bytes:
    # No tool can name a statement so, by chance or on purpose.
    return b"consent-proxy: " + secrets.token_hex(8).encode() + b" "


async def connect(database: Database, settings: dict[str, str]) -> UpstreamConnection:
    """Open a connection, log in with `settings` as session defaults, check that it is a primary.

    Raises UpstreamProtocolError (what the upstream said is inside), OSError or TimeoutError.
    """
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        connection = UpstreamConnection(database)
        try:
            await _log_in(connection, settings)
            await _check_primary(connection)
        except BaseException:
            connection.abort()
            raise
        return connection


async def _check_primary(connection: UpstreamConnection) -> None:
    rows = await exchange(connection, b"SELECT pg_catalog.pg_is_in_recovery()")
    if rows != [[b"f"]]:
        # Withdrawals reach a standby late: it would show what is not allowed any more.
        raise UpstreamProtocolError("the upstream is a standby")


async def exchange(connection: UpstreamConnection, text: bytes) -> list[list[bytes | None]]:
    """Run one Query whose rows are few; raise UpstreamError where it fails."""
    inbox = _Inbox(connection)
    try:
        connection.write(messages.query(text))
        rows: list[list[bytes | None]] = []
        failed: dict[str, str] | None = None
        while True:
            kind, data = await inbox.next()
            if kind == messages.DATA_ROW:
                rows.append(messages.read_row(data, 0)[0])
            elif kind == messages.ERROR:
                failed = messages.read_fields(data)
            elif kind == messages.READY:
                break
        if failed is not None:
            raise UpstreamError(failed)
        return rows
    finally:
        inbox.leave()


async def _log_in(connection: UpstreamConnection, settings: dict[str, str]) -> None:
    database = connection.database
    binding = await _open(connection)
    inbox = _Inbox(connection)
    try:
        start = {"user": database.user, "database": database.database, **settings}
        connection.write(startup_message(start))
        await _authenticate(connection, inbox, binding)
        while True:
            kind, data = await inbox.next()
            if kind == messages.BACKEND_KEY:
                connection.process = int.from_bytes(data[5:9], "big")
                connection.secret = data[9:]
            elif kind == messages.ERROR:
                raise UpstreamError(messages.read_fields(data))
            elif kind == messages.READY:
                return
    finally:
        inbox.leave()


async def _open(connection: UpstreamConnection) -> bytes | None:
    """Connect, with TLS where the database asks for it; the channel binding of its certificate."""
    database = connection.database
    loop = asyncio.get_running_loop()
    if database.is_unix_socket:
        path = f"{database.host}/.s.PGSQL.{database.port}"
        await loop.create_unix_connection(lambda: connection, path)
        return None
    await loop.create_connection(lambda: connection, database.host, database.port)
    context = database.tls_context()
    if context is None:
        return None
    answer = _Byte(connection)
    connection.write(SSL_REQUEST)
    if await answer.received != b"S":
        # Also when more than one byte came: what was sent before encryption is not to be
        # believed (CVE-2021-23222).
        raise UpstreamProtocolError("the upstream does not offer TLS")
    connection.detach()
    return await connection.secure(context)


async def _authenticate(
    connection: UpstreamConnection, inbox: _Inbox, binding: bytes | None
) -> None:
    scram: ScramClient | None = None
    is_proven = False
    while True:
        kind, data = await inbox.next()
        if kind == messages.ERROR:
            raise UpstreamError(messages.read_fields(data))
        if kind != messages.AUTHENTICATION:
            raise UpstreamProtocolError("unexpected message during authentication")
        request, body = int.from_bytes(data[5:9], "big"), data[9:]
        try:
            if request == 0:
                # An upstream that began SCRAM must also have proved itself.
                if scram is not None and not is_proven:
                    raise UpstreamProtocolError("the upstream did not finish SCRAM")
                return
            if request == 10 and scram is None:
                if connection.database.password is None:
                    raise UpstreamProtocolError("the upstream asks for a password; none is set")
                offered = [name.decode("ascii", "replace") for name in body.split(b"\0") if name]
                scram = ScramClient(offered, connection.database.password, os.urandom(18), binding)
                first = scram.first()
                connection.write(
                    messages.message(
                        messages.PASSWORD,
                        scram.mechanism.encode() + b"\0" + len(first).to_bytes(4, "big") + first,
                    )
                )
            elif request == 11 and scram is not None:
                # PBKDF2 takes milliseconds: not in the loop that relays.
                final = await asyncio.to_thread(scram.final, body)
                connection.write(messages.message(messages.PASSWORD, final))
            elif request == 12 and scram is not None:
                scram.verify(body)
                is_proven = True
            else:
                # Cleartext and MD5 would give the password, or its equal, to whoever listens.
                raise UpstreamProtocolError(
                    "the upstream asks for a way to log in other than SCRAM"
                )
        except ScramError as error:
            raise UpstreamProtocolError(f"logging in at the upstream failed: {error}") from None


class _Inbox:
    """Messages of a connection that nobody leases yet, one at a time."""

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        self._reader = BackendReader()
        self._messages: deque[tuple[int, bytes]] = deque()
        self._held = 0
        self._waiting: asyncio.Future[None] | None = None
        connection.attach(self)

    def leave(self) -> None:
        if not self._connection.is_lost:
            self._connection.detach()

    async def next(self) -> tuple[int, bytes]:
        """The next message; ParameterStatus and notices are dealt with on the way."""
        while True:
            while not self._messages:
                if self._connection.is_lost:
                    raise UpstreamProtocolError("the upstream closed the connection")
                self._waiting = asyncio.get_running_loop().create_future()
                await self._waiting
            kind, data = self._messages.popleft()
            self._held -= len(data)
            if kind == messages.PARAMETER_STATUS:
                name, value = messages.read_parameter_status(data)
                self._connection.parameters[name] = value
                if len(self._connection.parameters) > messages.PARAMETERS_MAX:
                    raise UpstreamProtocolError("more parameters than there can be")
            elif kind not in (messages.NOTICE, messages.NOTIFICATION):
                return kind, data

    def upstream_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while True:
            try:
                found = self._reader.next()
            except UpstreamProtocolError:
                self._connection.abort()
                break
            if found is None:
                break
            kind, part, rows = found
            is_row = kind == messages.DATA_ROW
            self._held += len(part)
            if self._held > _INBOX_BYTES_MAX or (
                is_row and (rows != 1 or not self._reader.is_between_messages)
            ):
                # Our own questions are answered by one short row; this is not one of them.
                self._connection.abort()
                break
            self._messages.append((kind, part))
        self._wake()

    def upstream_lost(self) -> None:
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def upstream_paused(self) -> None:
        pass

    def upstream_resumed(self) -> None:
        pass


class _Byte:
    """The answer to SSLRequest: exactly one byte."""

    def __init__(self, connection: UpstreamConnection) -> None:
        self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        connection.attach(self)

    def upstream_received(self, data: bytes) -> None:
        if not self.received.done():
            self.received.set_result(data)

    def upstream_lost(self) -> None:
        if not self.received.done():
            self.received.set_result(b"")

    def upstream_paused(self) -> None:
        pass

    def upstream_resumed(self) -> None:
        pass


async def _open_streams(database: Database) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if database.is_unix_socket:
        return await asyncio.open_unix_connection(f"{database.host}/.s.PGSQL.{database.port}")
    reader, writer = await asyncio.open_connection(database.host, database.port)
    context = database.tls_context()
    if context is not None:
        writer.write(SSL_REQUEST)
        if await reader.read(1) != b"S":
            raise UpstreamProtocolError("the upstream does not offer TLS")
        await writer.start_tls(context, server_hostname=database.host)
    return reader, writer
