"""The writing end of an access log: records in, tickets out.

    log = AccessLog.open(folder, "worker-0", "host")
    ticket = log.append("access.intent", intent_fields(asker, plan, access_id=new_id()))
    await ticket.wait()                     # or ticket.add_done_callback(…)
    ...                                     # only now may a byte of the result leave

With durability `host` a thread writes: one write and one fdatasync for all records that wait.
With `process` the loop writes, once for all records that wait, as soon as somebody waits for one
of them. Whatever fails seals the log for good: every waiting and every later record fails, until
the proxy starts again. Nothing turns the log off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from proxy.access_log.canonical import Chain, Clock, utc_microseconds
from proxy.access_log.forms import parts
from proxy.access_log.frames import OUTCOME, AskerPart, Lines, PlanPart
from proxy.access_log.record import new_id
from proxy.access_log.segments import (
    FLOOR_BYTES,
    SEGMENT_BYTES,
    LogDamaged,
    LogLocked,
    LogSealed,
    SealReason,
    Segments,
    create_folder,
)
from proxy.access_log.writer import GroupWrite, Waiting, Writer

__all__ = [
    "AccessLog",
    "Durability",
    "LogDamaged",
    "LogFull",
    "LogLimits",
    "LogLocked",
    "LogSealed",
    "SealReason",
    "Ticket",
    "append_once",
]

Durability = Literal["host", "process"]

# More than a healthy disk ever has waiting: beyond it a refusal now is better than an answer late.
QUEUE_RECORDS_MAX: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """Sizes and times of a log; the defaults are meant for every real one."""

    floor_bytes: int = FLOOR_BYTES
    segment_bytes: int = SEGMENT_BYTES
    # A disk that takes longer than this for one group is taken for lost.
    stalled_after_s: float = 5.0
    # The silence of a living log is never longer than this.
    heartbeat_s: float = 60.0
    # How soon an idle log notices that its file was taken away.
    check_s: float = 1.0
    # What nobody waits for shares the write of what somebody does, or is written after this. A
    # crash meanwhile leaves an intent without outcome, which reads "released, end unknown".
    linger_s: float = 0.01


DEFAULT_LIMITS: Final = LogLimits()


class LogFull(LogSealed):
    """Too many records wait for the disk. Unlike its parent it may pass; the answer is the same."""

    def __init__(self) -> None:
        super().__init__("queue_full", f"{QUEUE_RECORDS_MAX} records wait for the disk")


class Ticket:
    """One record on its way to the disk. All of it happens in the event loop's thread."""

    __slots__ = ("_log", "callbacks", "number")

    def __init__(self, log: AccessLog, number: int) -> None:
        self._log = log
        self.number: Final = number
        """How many records of this run came before it, and itself."""
        self.callbacks: list[Callable[[Ticket], object]] | None = None

    @property
    def is_durable(self) -> bool:
        return self.number <= self._log.durable

    @property
    def failed(self) -> bool:
        """The record is not durable and never will be: what waits for it must not happen."""
        return self._log.has_failed and self.number > self._log.durable

    def add_done_callback(self, callback: Callable[[Ticket], object]) -> None:
        """Call `callback(ticket)` in the loop once the record is durable or has failed.

        Callbacks run in the order in which records were appended.
        """
        if self.is_durable or self.failed:
            self._log.loop.call_soon(callback, self)
        elif self.callbacks is None:
            self.callbacks = [callback]
            self._log.watch(self)
        else:
            self.callbacks.append(callback)

    async def wait(self) -> None:
        """Return when the record is durable; raise LogSealed if it never will be."""
        if not (self.is_durable or self.failed):
            settled = asyncio.Event()
            self.add_done_callback(lambda _: settled.set())
            await settled.wait()
        if self.failed:
            raise self._log.sealed_error()

    def tell(self) -> None:
        """For the log alone: the record is durable, or never will be."""
        callbacks, self.callbacks = self.callbacks, None
        for callback in callbacks or ():
            try:
                callback(self)
            except Exception as error:  # noqa: BLE001 - one reader's bug must not stop the others
                self._log.loop.call_exception_handler(
                    {"message": "a callback of an access record failed", "exception": error}
                )


class AccessLog:
    """One log, open for writing. Use it from the event loop's thread only."""

    def __init__(
        self,
        segments: Segments,
        chain: Chain,
        loop: asyncio.AbstractEventLoop,
        limits: LogLimits,
        *,
        is_synced: bool,
    ) -> None:
        self.loop = loop
        self._segments = segments
        self._chain = chain
        self._limits = limits
        self._sealed: LogSealed | None = None
        self._is_closing = False
        self._on_sealed: list[Callable[[], object]] = []
        # Records of this run, in their order: the first so many are durable, of so many.
        self.durable = 0
        self._appended = 0
        self.has_failed = False
        """What is not durable now never will be."""
        # Tickets that somebody waits for, in the order of their records.
        self._watched: deque[Ticket] = deque()
        # What the thread was told of and has not done: the last record's number, and since when.
        self._told: deque[tuple[int, float]] = deque()
        self._is_wake_planned = False
        self._is_lingering = False  # records wait for others to share their write
        self._is_quiet = True  # nothing was appended since the last heartbeat
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._lines = Lines(chain)
        self._group_write = GroupWrite(segments, chain.seal_line)
        self._group: list[Waiting] = []  # durability `process`: the records of this iteration
        self._writer: Writer | None = None
        if is_synced:
            self._writer = Writer(self._group_write, self._deliver, limits.check_s)
            self._writer.start()
        else:
            self._later("check", limits.check_s, self._check)
        self._later("heartbeat", limits.heartbeat_s, self._beat)

    @classmethod
    def open(
        cls,
        folder: Path,
        name: str,
        durability: Durability,
        *,
        boot: str | None = None,
        clock: Clock = utc_microseconds,
        loop: asyncio.AbstractEventLoop | None = None,
        limits: LogLimits = DEFAULT_LIMITS,
    ) -> Self:
        """Open or continue the log `name`; its `log.opened` record is durable when this returns.

        Blocks while the newest segment is read. Raises ConfigurationError (LogLocked, LogDamaged,
        a folder that can not be made) or LogSealed: then the proxy must not start.
        """
        loop = loop or asyncio.get_running_loop()
        segments, chain = open_segments(
            folder, name, durability, boot=boot or new_id(), clock=clock, limits=limits
        )
        return cls(segments, chain, loop, limits, is_synced=durability == "host")

    @property
    def sealed(self) -> str | None:
        """Why the log takes no more records (a SealReason); None while it does."""
        if self._sealed is not None:
            return self._sealed.reason
        return SealReason.CLOSED.value if self._is_closing else None

    def sealed_error(self) -> LogSealed:
        """The exception of a sealed log: a new one each time, so that tracebacks do not pile up."""
        sealed = self._sealed or LogSealed(SealReason.CLOSED)
        return LogSealed(sealed.reason, sealed.detail)

    def add_on_sealed(self, callback: Callable[[], object]) -> None:
        """Call `callback()` in the loop when the log is sealed by a failure, not when closed."""
        if self._sealed is None:
            self._on_sealed.append(callback)
        else:
            self.loop.call_soon(callback)

    def append(self, kind: str, fields: Mapping[str, object]) -> Ticket:
        """Hand a record to the log; the ticket tells when it is durable.

        Raises LogSealed (LogFull when too many wait), or RecordError for a record that must not
        be written; then nothing was appended.
        """
        is_outcome = kind == OUTCOME
        self._admit(is_outcome=is_outcome)
        return self._take(self._lines.of(kind, fields), is_outcome=is_outcome)

    def intend(self, access_id: str, asker: AskerPart, plan: PlanPart) -> Ticket:
        """Append an `access.intent`; as `append` does."""
        self._admit(is_outcome=False)
        return self._take(self._lines.intent(access_id, asker, plan), is_outcome=False)

    def conclude(
        self,
        access_id: str,
        state: str,
        sqlstate: str,
        sent: int,
        plan_us: int,
        total_us: int,
        upstream_us: int,
        rows: int,
    ) -> None:
        """Append an `access.outcome`; as `append` does."""
        self._admit(is_outcome=True)
        line = self._lines.outcome(
            access_id, state, sqlstate, sent, plan_us, total_us, upstream_us, rows
        )
        self._take(line, is_outcome=True)

    def _admit(self, *, is_outcome: bool) -> None:
        if self._sealed is not None or self._is_closing:
            raise self.sealed_error()
        # Outcomes of statements that were let in are not what the bound turns away: there are
        # never more of them than there were intents.
        bound = QUEUE_RECORDS_MAX * 2 if is_outcome else QUEUE_RECORDS_MAX
        if self._appended - self.durable >= bound:
            raise LogFull

    def _take(self, lines: bytes, *, is_outcome: bool) -> Ticket:
        waiting = Waiting(lines, self._chain.seq, self._chain.prev)
        self._appended += 1
        ticket = Ticket(self, self._appended)
        self._is_quiet = False
        if self._writer is None:
            self._group.append(waiting)
        else:
            self._writer.put(waiting)
        if self._is_wake_planned:
            return ticket
        # Nobody waits for an outcome. With `process` nobody waits for an intent either, until
        # there is a result: whoever has one asks for the write then (`hurry`, `watch`).
        if is_outcome or self._writer is None:
            if not self._is_lingering and self._limits.linger_s:
                self._is_lingering = True
                self._later("linger", self._limits.linger_s, self._wake_lingering)
                return ticket
            if self._is_lingering:
                return ticket
        self._plan_wake()
        return ticket

    def hurry(self) -> None:
        """Make durable now what can be without waiting: with `process`, all of it."""
        if self._writer is None and self._sealed is None:
            self._write_group()

    def watch(self, ticket: Ticket) -> None:
        """For tickets alone: somebody waits for this one."""
        watched = self._watched
        if watched and watched[-1].number > ticket.number:
            number = ticket.number
            at = sum(1 for other in watched if other.number < number)
            watched.insert(at, ticket)
        else:
            watched.append(ticket)
        if self._writer is None:
            self._plan_wake()

    async def close(self) -> None:
        """Write what waits, end with a `log.sealed` record, and let go of the files."""
        if self._is_closing:
            return
        if self._sealed is None:
            ticket = self.append("log.sealed", {"seal": SealReason.CLOSED.value})
            self._is_closing = True
            settled = asyncio.Event()
            ticket.add_done_callback(lambda _: settled.set())
            await settled.wait()
        self._is_closing = True
        self._cancel_timers()
        if self._writer is not None:
            self._writer.end()
            if self.sealed == SealReason.STALLED:
                return  # the thread hangs in the kernel; it keeps the files, and so the lock
            await self.loop.run_in_executor(None, self._writer.join)
        self._segments.close()

    # --- groups ------------------------------------------------------------------------------

    def _plan_wake(self) -> None:
        # Not at once: all records of this iteration of the loop share one write.
        if not self._is_wake_planned:
            self._is_wake_planned = True
            self.loop.call_soon(self._wake)

    def _wake_lingering(self) -> None:
        del self._timers["linger"]
        self._is_lingering = False
        if self.durable < self._appended:
            self._wake()

    def _wake(self) -> None:
        self._is_wake_planned = False
        if self._sealed is not None:
            return
        if self._writer is None:
            self._write_group()
            return
        self._writer.wake()
        self._told.append((self._appended, self.loop.time()))
        if "stall" not in self._timers:
            self._later("stall", self._limits.stalled_after_s, self._watch_disk)

    def _write_group(self) -> None:
        if self._group:
            group, self._group = self._group, []
            self._settle(len(group), self._group_write.write(group))

    def _deliver(self, count: int, sealed: LogSealed | None) -> None:
        self.loop.call_soon_threadsafe(self._settle, count, sealed)

    def _settle(self, count: int, sealed: LogSealed | None) -> None:
        """The next `count` records are durable, or the log is to be sealed."""
        if self._sealed is not None:
            return  # by a stall: whatever the disk says now is too late
        if sealed is not None:
            self._seal(sealed)
            return
        self.durable += count
        while self._told and self._told[0][0] <= self.durable:
            self._told.popleft()
        watched = self._watched
        while watched and watched[0].number <= self.durable:
            watched.popleft().tell()

    def _seal(self, sealed: LogSealed) -> None:
        """Fail everything that waits and everything that will come: for good."""
        self._sealed = sealed
        self.has_failed = True
        if self._writer is not None:
            self._writer.end()
        self._cancel_timers()
        # Whoever asked for this write is in the midst of something.
        self.loop.call_soon(self._tell_failed)

    def _tell_failed(self) -> None:
        while self._watched:
            self._watched.popleft().tell()
        callbacks, self._on_sealed = self._on_sealed, []
        for callback in callbacks:
            self.loop.call_soon(callback)

    # --- timers ------------------------------------------------------------------------------

    def _later(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        self._timers[name] = self.loop.call_later(delay_s, callback)

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _watch_disk(self) -> None:
        """Seal when the group that waits longest has waited too long."""
        del self._timers["stall"]
        if not self._told:
            return
        left_s = self._told[0][1] + self._limits.stalled_after_s - self.loop.time()
        if left_s > 0:
            self._later("stall", left_s, self._watch_disk)
        else:
            self._seal(LogSealed(SealReason.STALLED, f"{self._limits.stalled_after_s} s"))

    def _beat(self) -> None:
        if self._is_quiet and not self._is_closing:
            self.append("log.heartbeat", {})
        self._is_quiet = True
        self._later("heartbeat", self._limits.heartbeat_s, self._beat)

    def _check(self) -> None:
        sealed = self._group_write.check()
        if sealed is not None:
            self._seal(sealed)
        else:
            self._later("check", self._limits.check_s, self._check)


def open_segments(
    folder: Path,
    name: str,
    durability: Durability,
    *,
    boot: str,
    clock: Clock = utc_microseconds,
    limits: LogLimits = DEFAULT_LIMITS,
    wait_for_lock: bool = False,
) -> tuple[Segments, Chain]:
    """Lock and recover a log and write its `log.opened` record. Blocks; see `AccessLog.open`."""
    segments = Segments(
        create_folder(folder, name),
        is_synced=durability == "host",
        floor_bytes=limits.floor_bytes,
        segment_bytes=limits.segment_bytes,
        wait_for_lock=wait_for_lock,
    )
    try:
        found = segments.recovery
        chain = Chain(name, boot, found.position, clock)
        fields: dict[str, object] = {"before": found.before, "durability": durability}
        if found.torn_bytes:
            fields |= {"torn_bytes": found.torn_bytes, "torn_hash": found.torn_hash}
        segments.write(chain.add("log.opened", parts("log.opened", fields)), chain.position)
    except BaseException:
        segments.close()
        raise
    return segments, chain


def append_once(folder: Path, name: str, kind: str, fields: Mapping[str, object]) -> None:
    """Open a log, append one durable record and close it again: for commands. Blocks.

    `name` is a log that no worker writes; commands that come together wait for each other. Raises
    LogSealed, ConfigurationError or RecordError when the record is not durable.
    """
    segments, chain = open_segments(folder, name, "host", boot=new_id(), wait_for_lock=True)
    try:
        lines = chain.add(kind, parts(kind, fields))
        closed = chain.add("log.sealed", parts("log.sealed", {"seal": SealReason.CLOSED.value}))
        segments.write(lines + closed, chain.position)
    finally:
        segments.close()
