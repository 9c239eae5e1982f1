"""One client's connection: the edge where sockets, timers and waiting are.

It moves bytes between the client, the session's conversation and a leased upstream, and brings
what the conversation needs. What to say is decided in `login`, `requests` and `replies`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
import traceback
from collections.abc import Callable, Coroutine, Generator
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never, cast

import structlog

from proxy.errors import ClientProtocolError, InvariantError, Reason, Refused, UpstreamProtocolError
from proxy.session import errors
from proxy.session.lease import Lease
from proxy.session.login import (
    LoggedIn,
    Login,
    LoginFailed,
    greeting,
    initial_settings,
    initial_sql,
)
from proxy.session.outbox import Outbox, RecordLost
from proxy.session.recorder import Recorder, error_of, log_unavailable, record_login
from proxy.session.replies import Replies, UpstreamEnded
from proxy.session.requests import Requests
from proxy.session.settings import SessionSettings
from proxy.session.snapshot import KEEPING_ISOLATION, TransactionSnapshot
from proxy.session.state import Need, NeedEpoch, NeedPlan, NeedSettled, SessionState
from proxy.session.steady import Steady
from proxy.upstream.carried import DEFAULTS, Settings
from proxy.upstream.connection import HIGH_WATER_BYTES, UpstreamConnection
from proxy.wire import messages
from proxy.wire.framing import FrontendReader
from proxy.wire.startup import (
    STARTUP_BYTES_MAX,
    CancelRequest,
    GssEncRequest,
    SslRequest,
    StartupMessage,
    read_packet,
)

if TYPE_CHECKING:
    from proxy.session.door import PostgresDoor

_log = structlog.get_logger(__name__)

# Who has not proved who they are may hold a connection for so long, and send so much.
LOGIN_TIMEOUT_S: Final = 30.0
LOGIN_MESSAGE_BYTES_MAX: Final = 8 * 1024
# Parameters of one Bind. Larger ones are refused, as they must be held whole.
BIND_BYTES_MAX: Final = 64 * 1024 * 1024
# Describe, Close, Execute: two names. Parse: a name and 65,535 types beside its text.
SMALL_MESSAGE_BYTES_MAX: Final = 64 * 1024
_PARSE_EXTRA_BYTES: Final = 320 * 1024
# A peer that vanished without a word is noticed after some two minutes.
CLOSE_TIMEOUT_S: Final = 5.0


class _Phase(Enum):
    STARTUP = auto()
    SECURING = auto()
    LOGIN = auto()
    OPEN = auto()
    CLOSED = auto()


class ClientSession(asyncio.Protocol):
    """A client from its first byte to its last."""

    def __init__(self, door: PostgresDoor) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._send: Callable[[bytes], None] | None = None  # the transport's, while it is open
        self._phase = _Phase.STARTUP
        self._early = b""
        self._has_asked_ssl = self._has_asked_gss = False
        self._is_secure = False
        self._login: Login | None = None
        self._logged_in: LoggedIn | None = None
        self._reader = FrontendReader({}, LOGIN_MESSAGE_BYTES_MAX)
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []  # of a few; a set takes four times as much
        # The session proper, once it is open.
        self._state: SessionState | None = None
        self._requests: Requests | None = None
        self._replies: Replies | None = None
        self._steady: Steady | None = None
        self._is_pooled = False  # an upstream is leased for a transaction
        self._outbox = Outbox(self._write, self._released, self._record_failed)
        self._upstream: UpstreamConnection | None = None
        self._step: Generator[Need, None, None] | None = None
        self._first: tuple[int, bytes] | None = None  # waits for the lease
        self._awaits_settled = False
        self._is_client_full = False
        self._is_upstream_full = False
        self._is_paused = False  # the client is not read
        self._is_cancel_wanted = False
        self._is_leaving = False  # Terminate was read
        self._ending: bytes | None = None  # to be said once the statement is over
        self.number = 0
        self.secret = b""
        self.active_at = time.monotonic()

    # --- as the loop calls it ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._send = self._transport.write
        if self._timer is None:
            self._timer = self._loop.call_later(LOGIN_TIMEOUT_S, self._login_timed_out)
            self._door.opened(self)

    def data_received(self, data: bytes) -> None:
        self.active_at = time.monotonic()
        try:
            if self._steady is not None and self._steady_request(data, self._steady):
                return
            match self._phase:
                case _Phase.STARTUP:
                    self._early += data
                    self._start_up()
                case _Phase.LOGIN:
                    self._reader.feed(data)
                    self._log_in()
                case _Phase.OPEN:
                    self._reader.feed(data)
                    self._pump()
                case _Phase.SECURING:
                    # Deciphered already: nothing is read in clear any more (_answer_ssl).
                    self._early += data
                    if len(self._early) > STARTUP_BYTES_MAX:
                        self._abort()
                case _Phase.CLOSED:
                    return
        except ClientProtocolError as error:
            self._end(errors.protocol_violation(str(error)))
        except Exception as error:  # noqa: BLE001 - a bug of ours ends this session, no other
            self._fault(error)

    def _steady_request(self, data: bytes, steady: Steady) -> bool:
        """Forward a packet that is known as a whole; False: it goes the general way."""
        if (
            self._phase is not _Phase.OPEN
            or self._step is not None
            or self._task is not None
            or self._is_upstream_full
            or self._is_leaving
            or self._ending is not None
            or not self._reader.is_between_messages
        ):
            return False
        if self._is_pooled:
            if self._upstream is None and not (steady.may_know(data) and self._lease_now()):
                return False
            if self._replies is None or self._replies.has_news:
                return False
        forward = b"" if self._upstream is None else steady.request(data)
        if not forward or self._upstream is None:
            return False
        self._upstream.write(forward)
        return True

    def _steady_reply(self, data: bytes, steady: Steady, state: SessionState) -> bool:
        """Relay what answers such a packet; False: it goes the general way."""
        if not steady.is_running or not steady.reply(data):
            return False
        if steady.is_over:
            if self._is_pooled:
                self._give_back(state)
        elif state.to_upstream:
            self._flush_upstream()
        if self._outbox.held > HIGH_WATER_BYTES:
            self._regulate()
        if self._ending is not None or self._is_leaving:
            self._check_end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._leave()

    def pause_writing(self) -> None:
        self._is_client_full = True
        self._regulate()

    def resume_writing(self) -> None:
        self._is_client_full = False
        self._regulate()

    # --- start-up ---

    def _start_up(self) -> None:
        while self._phase is _Phase.STARTUP:
            found = read_packet(self._early)
            if found is None:
                return
            packet, length = found
            rest = self._early[length:]
            self._early = b""
            match packet:
                case SslRequest():
                    self._answer_ssl(rest)
                case GssEncRequest():
                    if self._has_asked_gss or rest:
                        raise ClientProtocolError("unexpected bytes behind an encryption request")
                    self._has_asked_gss = True
                    self._write(b"N")
                case CancelRequest(number, secret):
                    self._door.cancel(number, secret)
                    self._close()
                case StartupMessage():
                    self._reader.feed(rest)
                    self._greet(packet)
                case _:
                    assert_never(packet)

    def _answer_ssl(self, rest: bytes) -> None:
        # Bytes behind the request were not encrypted, and nobody may take them for what was.
        if self._has_asked_ssl or rest:
            raise ClientProtocolError("unexpected bytes behind an encryption request")
        self._has_asked_ssl = True
        context = self._door.ssl_context
        if context is None:
            self._write(b"N")
            return
        self._phase = _Phase.SECURING
        self._write(b"S")
        if self._transport is not None:
            # What comes next goes to TLS: nothing in clear is read any more (CVE-2021-23214).
            self._transport.pause_reading()
        _ = self._start(self._secure(context))

    async def _secure(self, context: ssl.SSLContext) -> None:
        if self._transport is None:
            return
        try:
            secured = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=LOGIN_TIMEOUT_S,
            )
        except (OSError, TimeoutError):
            secured = None
        if secured is None:
            self._abort()
            self._leave()
            return
        secured.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._transport, self._send = secured, secured.write
        self._is_secure = True
        if self._phase is _Phase.SECURING:
            self._phase = _Phase.STARTUP
            try:
                self._start_up()
            except ClientProtocolError as error:
                self._end(errors.protocol_violation(str(error)))

    # --- login ---

    def _greet(self, packet: StartupMessage) -> None:
        if self._door.refuses_new():
            self._end(self._door.refusal_of_new())
            return
        door = self._door
        if door.requires_tls and not self._is_secure:
            refused = Refused(Reason.ROLE_NOT_ALLOWED, "TLS is required here", sqlstate="28000")
            self._login_failed(LoginFailed(refused, None))
            return
        try:
            self._login = Login(
                packet,
                credentials=door.services.credentials,
                check_setting=door.services.check_setting,
                database=door.database,
                binding=door.certificate_hash if self._is_secure else None,
            )
        except LoginFailed as failed:
            self._login_failed(failed)
            return
        self._phase = _Phase.LOGIN
        self._write(self._login.first())
        self._log_in()

    def _log_in(self) -> None:
        while self._phase is _Phase.LOGIN and self._login is not None:
            found = self._reader.next()
            if found is None:
                return
            kind, message = found
            if kind != messages.PASSWORD or not message:
                raise ClientProtocolError("expected a SASL response")
            try:
                answer, logged_in = self._login.answer(message)
            except LoginFailed as failed:
                self._login_failed(failed)
                return
            if logged_in is None:
                self._write(answer)
            else:
                self._open(answer, logged_in)

    def _login_failed(self, failed: LoginFailed) -> None:
        record_login(
            self._door.services.access_log,
            client=self._address,
            login=failed.login,
            application_name="",
            reason=failed.refused.reason,
            counts=self._door.services.counts,
        )
        self._end(error_of(failed.refused, access_id=None, severity="FATAL"))

    def _login_timed_out(self) -> None:
        if self._phase is not _Phase.OPEN:
            self._abort()
            self._leave()

    def _open(self, proof: bytes, logged_in: LoggedIn) -> None:
        """The client is who it says: tell it the session's parameters, and listen."""
        door, services = self._door, self._door.services
        ticket = record_login(
            services.access_log,
            client=self._address,
            login=logged_in.login,
            application_name=logged_in.application_name,
            reason=None,
            counts=services.counts,
        )
        if ticket is None:
            self._end(error_of(log_unavailable(), access_id=None, severity="FATAL"))
            return
        clock = time.monotonic  # the loop's own may stand still for a millisecond (uvloop)
        recorder = Recorder(
            services.access_log,
            logged_in.login,
            client=self._address,
            application_name=logged_in.application_name,
            policy_revision=services.policy_revision,
            clock=clock,
            purpose=(logged_in.context.purpose, logged_in.purpose_from),
            counts=services.counts,
        )
        isolation = logged_in.settings.get("default_transaction_isolation", "")
        state = SessionState(
            tool=logged_in.login.name,
            settings=SessionSettings(logged_in.context),
            recorder=recorder,
            outbox=self._outbox,
            clock=clock,
            snapshot=TransactionSnapshot(
                services.limits.snapshot_s,
                is_default=isolation.strip().lower() in KEEPING_ISOLATION,
            ),
        )
        state.kept.is_on = door.pool.reuses_statements
        state.told = greeting(logged_in, door.pool.parameters)
        if door.pool.pooling == "transaction":
            self._is_pooled = True
            state.lease = Lease(state, initial_settings(logged_in), door.pool.counts)
        self._logged_in, self._state, self._replies = logged_in, state, Replies(state)
        steady = Steady(state, services.planner, door.known, services.limits.statement_bytes)
        self._steady = steady
        self._requests = Requests(
            state,
            services.planner,
            purposes=logged_in.login.purposes,
            execute_ahead=self._reader.execute_ahead,
            initial_sql=lambda setting: initial_sql(logged_in, setting),
            steady=steady,
        )
        self._reader.relimit(_limits(services.limits.statement_bytes), SMALL_MESSAGE_BYTES_MAX)
        self._phase = _Phase.OPEN
        self._login = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        door.logged_in(self, logged_in.login.name, is_long_key=logged_in.minor >= 2)
        greeted = [proof, messages.AUTHENTICATION_OK]
        greeted += [messages.parameter_status(name, value) for name, value in state.told.items()]
        greeted += [messages.backend_key(self.number, self.secret), messages.ready(messages.IDLE)]
        self._write(b"".join(greeted))
        self._pump()

    # --- the conversation ---

    def _pump(self) -> None:
        """Go on with the client's messages until one must wait, or there is none."""
        state, requests = self._state, self._requests
        if state is None or requests is None:
            return
        self._unfold()
        while self._phase is _Phase.OPEN and self._task is None and not self._is_upstream_full:
            if self._step is None:
                if state.is_full or self._is_leaving or self._is_ready_to_end():
                    break
                found, self._first = self._first or self._reader.next(), None
                if found is None:
                    break
                kind, message = found
                if kind == messages.TERMINATE:
                    self._is_leaving = True
                    break
                if self._upstream is None and not self._lease_now():
                    self._first = found
                    self._wait(self._lease())
                    break
                if not message and kind not in _MAY_BE_TOO_LARGE:
                    raise ClientProtocolError("message is too large")
                self._step = requests.receive(kind, message)
            if self._step is not None and not self._advance(state):
                break
        self._give_back(state)
        self._flush_upstream()
        self._outbox.flush()
        self._check_end()
        self._regulate()

    def _give_back(self, state: SessionState) -> None:
        """In transaction pooling: let others have the connection, where nothing of this client
        lives in it.
        """
        lease, upstream = state.lease, self._upstream
        if (
            lease is None
            or upstream is None
            or not state.is_idle
            or state.to_upstream
            or self._step is not None
            or self._task is not None
            or self._is_upstream_full
            or self._phase is not _Phase.OPEN
        ):
            return
        if lease.pin():
            return
        if lease.is_asking:
            if not self._is_leaving:
                lease.ask()
            return
        lease.end()
        self._upstream = None
        self._is_cancel_wanted = False
        self._door.pool.give_back(upstream)

    def _advance(self, state: SessionState) -> bool:
        """Take the message in hand as far as it goes; False: it waits for something."""
        step = self._step
        if step is None:
            return True
        if self._awaits_settled:
            if not state.is_settled:
                return False
            self._awaits_settled = False
        for need in step:
            if not self._satisfy(need, state):
                return False
        self._step = None
        return True

    def _satisfy(self, need: Need, state: SessionState) -> bool:
        match need:
            case NeedSettled():
                self._awaits_settled = not state.is_settled
                return state.is_settled
            case NeedPlan():
                plans = self._door.services.planner.plan_now(need.text, need.context)
                if plans is not None:
                    need.answer = plans
                    return True
                self._wait(self._plan(need))
            case NeedEpoch():
                self._wait(self._read_epoch(need))
            case _:
                assert_never(need)
        return False

    async def _plan(self, need: NeedPlan) -> None:
        need.answer = await self._door.services.planner.plan(need.text, need.context)

    async def _read_epoch(self, need: NeedEpoch) -> None:
        try:
            need.answer = await self._door.services.epoch.read()
        except Refused as refused:
            need.refused = refused

    @property
    def _wanted(self) -> Settings:
        lease = None if self._state is None else self._state.lease
        return DEFAULTS if lease is None else lease.settings

    def _lease_now(self) -> bool:
        upstream = self._door.pool.acquire_now(self._wanted)
        if upstream is not None:
            self._use(upstream)
        return upstream is not None

    async def _lease(self) -> None:
        try:
            upstream = await self._door.pool.acquire(self._wanted)
        except Refused as refused:
            self._end(error_of(refused, access_id=None, severity="FATAL"))
            return
        if self._phase is not _Phase.OPEN:
            self._door.pool.release(upstream, is_clean=True)
            return
        self._use(upstream)

    def _use(self, upstream: UpstreamConnection) -> None:
        """Speak to this upstream from now on; the first message of the client goes with this."""
        if self._replies is None or self._requests is None:
            raise InvariantError("a session without a conversation")
        upstream.attach(self)
        self._upstream = upstream
        if self._state is not None:
            self._state.kept.begin(upstream.carried)
        self._replies.begin(upstream.parameters)
        lease = None if self._state is None else self._state.lease
        if lease is None:
            self._requests.set_up()
        else:
            self._requests.take_over(lease, upstream.carried)

    def _wait(self, coroutine: Coroutine[None, None, None]) -> None:
        """Bring what is needed, then go on. Until then no message of this client is read."""
        task = self._task = self._start(coroutine)
        # What was forwarded so far runs meanwhile.
        self._flush_upstream()
        task.add_done_callback(self._brought)

    def _brought(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled() or task.exception() is not None:
            return  # _ran sees to it
        try:
            self._pump()
        except ClientProtocolError as error:
            self._end(errors.protocol_violation(str(error)))
        except Exception as error:  # noqa: BLE001 - see data_received
            self._fault(error)

    def _start(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.append(task)
        task.add_done_callback(self._ran)
        return task

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault(error)

    # --- the upstream's side ---

    def upstream_received(self, data: bytes) -> None:
        state, replies = self._state, self._replies
        if state is None or replies is None or self._phase is not _Phase.OPEN:
            return
        try:
            steady = self._steady
            if steady is not None and self._steady_reply(data, steady, state):
                return
            replies.receive(data if steady is None else steady.unread(data))
            if self._is_cancel_wanted:
                self._cancel_wanted(state)
            if self._is_held_back and not state.is_full and self._can_go_on(state):
                self._pump()
            else:
                if state.lease is not None:
                    self._give_back(state)
                    self._flush_upstream()
                self._outbox.flush()
                self._check_end()
                self._regulate()
        except RecordLost:
            self._record_failed()
        except UpstreamEnded as ended:
            self._end(ended.error)
        except UpstreamProtocolError as error:
            _log.error("upstream broke the protocol", problem=str(error))
            self._end(errors.internal())
        except ClientProtocolError as error:
            self._end(errors.protocol_violation(str(error)))
        except Exception as error:  # noqa: BLE001 - see data_received
            self._fault(error)

    @property
    def _is_held_back(self) -> bool:
        """Whether a message of the client waits for replies of the upstream."""
        return self._awaits_settled or (self._step is None and self._reader.buffered > 0)

    def _can_go_on(self, state: SessionState) -> bool:
        return state.is_settled or not self._awaits_settled

    def upstream_lost(self) -> None:
        self._end(errors.upstream_lost())

    def upstream_paused(self) -> None:
        self._is_upstream_full = True
        self._regulate()

    def upstream_resumed(self) -> None:
        self._is_upstream_full = False
        self._brought_room()

    def _brought_room(self) -> None:
        try:
            self._pump()
        except ClientProtocolError as error:
            self._end(errors.protocol_violation(str(error)))
        except Exception as error:  # noqa: BLE001 - see data_received
            self._fault(error)

    # --- bytes ---

    def _write(self, data: bytes) -> None:
        if self._send is not None:
            self._send(data)

    def _flush_upstream(self) -> None:
        state = self._state
        if state is not None and state.to_upstream and self._upstream is not None:
            pending = state.to_upstream
            state.to_upstream = []
            self._upstream.write(pending[0] if len(pending) == 1 else b"".join(pending))

    def _released(self) -> None:
        if self._phase is _Phase.OPEN:
            self._check_end()
            self._regulate()

    def _record_failed(self) -> None:
        """A record is lost: what waits behind it must never leave."""
        self._end(error_of(log_unavailable(), access_id=None, severity="FATAL"))

    def _regulate(self) -> None:
        """Read from neither side what the other can not take: bounded memory, both ways."""
        if self._upstream is not None:
            if self._is_client_full or self._outbox.held > HIGH_WATER_BYTES:
                self._upstream.pause_reading()
            else:
                self._upstream.resume_reading()
        if self._reader.buffered <= HIGH_WATER_BYTES and not self._is_paused:
            return
        transport = self._transport
        if transport is None or transport.is_closing() or self._phase is not _Phase.OPEN:
            return
        is_full = self._is_upstream_full or (self._state is not None and self._state.is_full)
        is_busy = self._step is not None or self._task is not None or is_full
        if is_busy and self._reader.buffered > HIGH_WATER_BYTES:
            if not self._is_paused:
                self._is_paused = True
                transport.pause_reading()
        elif self._is_paused:
            self._is_paused = False
            transport.resume_reading()

    # --- cancelling, timeouts, the end ---

    def cancel_statement(self) -> None:
        """The client asks to cancel what runs; nothing happens where nothing does."""
        self._unfold()
        state, upstream = self._state, self._upstream
        if state is not None and upstream is not None and state.queue:
            if all(each.on_rows is not None for each in state.queue):
                return  # only a question of ours runs
            self._is_cancel_wanted = True
            self._cancel_wanted(state)

    def _cancel_wanted(self, state: SessionState) -> None:
        # Not while something of ours runs, on which the session's safety rests.
        if not state.queue:
            self._is_cancel_wanted = False
        elif not state.queue[0].is_swallowed and self._upstream is not None:
            self._is_cancel_wanted = False
            self._upstream.cancel()

    def _unfold(self) -> None:
        if self._steady is not None:
            self._steady.unfold()

    @property
    def is_busy(self) -> bool:
        state = self._state
        return (
            (self._steady is not None and self._steady.is_running)
            or self._step is not None
            or self._task is not None
            or (state is not None and (bool(state.queue) or self._outbox.held > 0))
        )

    def end_when_idle(self, error: bytes) -> None:
        """Say `error` and close, as soon as no statement of the client is under way."""
        if self._phase is not _Phase.OPEN:
            self._end(error)
            return
        self._ending = error
        self._check_end()

    def end_now(self, error: bytes) -> None:
        self._end(error)

    def _is_ready_to_end(self) -> bool:
        return self._ending is not None and not self.is_busy

    def _check_end(self) -> None:
        if self._phase is not _Phase.OPEN or self._state is None or self.is_busy:
            if self._is_leaving and self._state is not None and self._state.is_segment_open:
                self._close()  # its answers would come with a Sync that will not come
            return
        if self._ending is not None:
            self._end(self._ending)
        elif self._is_leaving:
            self._close()

    def _fault(self, error: BaseException) -> None:
        _log.error(
            "session ended by a fault of ours",
            error=type(error).__name__,
            problem=str(error) if isinstance(error, InvariantError) else "",
            where=_where(error),
        )
        self._end(errors.internal())

    def _end(self, error: bytes) -> None:
        """Tell the client, if that can still be understood, and close."""
        if self._phase is _Phase.CLOSED:
            return
        is_understood = True
        self._conclude_all(error)
        if self._outbox.held:
            # A barrier always stands between messages; nothing behind it may leave.
            self._outbox.flush()
        if not self._outbox.held and self._replies is not None:
            is_understood = self._replies.is_between_messages
        self._outbox.drop()
        if is_understood:
            self._write(error)
        self._close()

    def _conclude_all(self, error: bytes) -> None:
        """Record how statements end that are under way: not by the client's leaving."""
        self._unfold()
        if self._state is not None:
            sqlstate = messages.read_fields(error).get("C")
            for expectation in self._state.queue:
                for run in expectation.runs:
                    self._state.recorder.conclude(run, "error", sqlstate)

    def _close(self) -> None:
        transport = self._transport
        self._leave()
        if transport is not None and not transport.is_closing():
            transport.close()
            # A client that does not take its last bytes must not keep us.
            self._loop.call_later(CLOSE_TIMEOUT_S, transport.abort)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _leave(self) -> None:
        """Give back all that the session holds. Happens once."""
        if self._phase is _Phase.CLOSED:
            return
        self._phase = _Phase.CLOSED
        self._send = None
        if self._timer is not None:
            self._timer.cancel()
        is_at_rest = not self.is_busy
        for task in self._tasks:
            task.cancel()
        if self._step is not None:
            self._step.close()
            self._step = None
        self._outbox.drop()
        self._leave_upstream(is_at_rest=is_at_rest)
        self._door.closed(self)

    def _leave_upstream(self, *, is_at_rest: bool) -> None:
        self._unfold()
        state, upstream = self._state, self._upstream
        self._upstream = None
        if state is None:
            return
        for expectation in state.queue:
            for run in expectation.runs:
                state.recorder.conclude(run, "client_gone")
            if expectation.bound is not None and expectation.bound.previous is not None:
                state.conclude_portal(expectation.bound.previous.value)
        for portal in state.portals.values():
            state.conclude_portal(portal)
        if upstream is None:
            return
        if state.is_idle and is_at_rest:
            self._door.pool.release(upstream, is_clean=True)
            return
        if self._is_only_asking(state) and not upstream.is_lost:
            self._door.pool.release(upstream, is_clean=True, unanswered=1)
            return
        upstream.detach()
        if state.queue and not upstream.is_lost:
            # PostgreSQL notices only when it next writes; a statement may run for minutes.
            self._door.give_up(upstream)
        else:
            self._door.pool.release(upstream, is_clean=False)

    def _is_only_asking(self, state: SessionState) -> bool:
        """Whether all that is unanswered is a question of the lease's."""
        queue, replies = state.queue, self._replies
        return (
            len(queue) == 1
            and queue[0].on_rows is not None
            and not state.to_upstream
            and replies is not None
            and replies.is_between_messages
        )

    @property
    def _address(self) -> str:
        peer = None
        if self._transport is not None:
            with contextlib.suppress(OSError):
                peer = self._transport.get_extra_info("peername")
        return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) >= 2 else "local"


def _where(error: BaseException) -> str:
    """Where it was raised, without the values that a traceback would show."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))


_MAY_BE_TOO_LARGE: Final = frozenset(
    {messages.QUERY, messages.PARSE, messages.BIND, messages.FUNCTION_CALL}
    | {messages.COPY_DATA, messages.COPY_DONE, messages.COPY_FAIL}
)


def _limits(statement_bytes: int) -> dict[int, int]:
    return {
        messages.QUERY: statement_bytes + 1,
        messages.PARSE: statement_bytes + _PARSE_EXTRA_BYTES,
        messages.BIND: BIND_BYTES_MAX,
        # Refused, and ignored: not worth keeping.
        messages.FUNCTION_CALL: 0,
        messages.COPY_DATA: 0,
        messages.COPY_FAIL: 0,
    }
