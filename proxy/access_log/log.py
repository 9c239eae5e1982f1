"""The writing end of an access log: records in, tickets out.

    log = AccessLog.open(folder, "worker-0", "host")
    ticket = log.append("access.intent", intent_fields(asker, plan, access_id=new_id()))
    await ticket.wait()                     # or ticket.add_done_callback(…)
    ...                                     # only now may a byte of the result leave

With durability `host` a thread writes: one write and one fdatasync for all records that wait.
With `process` the loop writes once for all records of an iteration. Whatever fails seals the log
for good: every waiting and every later record fails, until the proxy starts again. Nothing turns
the log off.
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
from proxy.access_log.frames import OUTCOME, Lines
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
    # Nobody waits for an outcome: it shares the write of the next intent, or is written after this.
    # A crash meanwhile leaves an intent without outcome, which reads "released, end unknown".
    outcome_wait_s: float = 0.01


DEFAULT_LIMITS: Final = LogLimits()


class LogFull(LogSealed):
    """Too many records wait for the disk. Unlike its parent it may pass; the answer is the same."""

    def __init__(self) -> None:
        super().__init__("queue_full", f"{QUEUE_RECORDS_MAX} records wait for the disk")


class Ticket:
    """One record on its way to the disk. All of it happens in the event loop's thread."""

    __slots__ = ("_callbacks", "_is_done", "_log", "failed")

    def __init__(self, log: AccessLog) -> None:
        self._log = log
        self._is_done = False
        self._callbacks: list[Callable[[Ticket], object]] | None = None
        self.failed = False
        """The record is not durable and never will be: what waits for it must not happen."""

    @property
    def is_durable(self) -> bool:
        return self._is_done and not self.failed

    def add_done_callback(self, callback: Callable[[Ticket], object]) -> None:
        """Call `callback(ticket)` in the loop once the record is durable or has failed.

        Callbacks run in the order in which records were appended.
        """
        if self._is_done:
            self._log.loop.call_soon(callback, self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    async def wait(self) -> None:
        """Return when the record is durable; raise LogSealed if it never will be."""
        if not self._is_done:
            settled = asyncio.Event()
            self.add_done_callback(lambda _: settled.set())
            await settled.wait()
        if self.failed:
            raise self._log.sealed_error()

    def settle(self, *, failed: bool) -> None:
        """For the log alone: the record is durable, or never will be."""
        self._is_done, self.failed = True, failed
        callbacks, self._callbacks = self._callbacks, None
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
        # Every ticket that is neither durable nor failed, with the time it was appended.
        self._open: deque[tuple[Ticket, float]] = deque()
        self._is_wake_planned = False
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
        if self._sealed is not None or self._is_closing:
            raise self.sealed_error()
        # Outcomes of statements that were let in are not what the bound turns away: there are
        # never more of them than there were intents.
        bound = QUEUE_RECORDS_MAX * 2 if kind == OUTCOME else QUEUE_RECORDS_MAX
        if len(self._open) >= bound:
            raise LogFull
        waiting = Waiting(self._lines.of(kind, fields), self._chain.position)
        ticket = Ticket(self)
        self._open.append((ticket, self.loop.time()))
        if self._writer is None:
            self._group.append(waiting)
        else:
            self._writer.put(waiting)
        self._is_quiet = False
        if self._is_wake_planned:
            return ticket
        if kind != OUTCOME or not self._limits.outcome_wait_s:
            # Not at once: all records of this iteration of the loop share one write.
            self._is_wake_planned = True
            self.loop.call_soon(self._wake)
        elif "outcome" not in self._timers:
            self._later("outcome", self._limits.outcome_wait_s, self._wake_for_outcomes)
        return ticket

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

    def _wake_for_outcomes(self) -> None:
        del self._timers["outcome"]
        if self._open:
            self._wake()

    def _wake(self) -> None:
        self._is_wake_planned = False
        if self._sealed is not None:
            return
        if self._writer is not None:
            self._writer.wake()
            if "stall" not in self._timers:
                self._later("stall", self._limits.stalled_after_s, self._watch)
        elif self._group:
            group, self._group = self._group, []
            self._settle(len(group), self._group_write.write(group))

    def _deliver(self, count: int, sealed: LogSealed | None) -> None:
        self.loop.call_soon_threadsafe(self._settle, count, sealed)

    def _settle(self, count: int, sealed: LogSealed | None) -> None:
        """The next `count` open records are durable, or the log is to be sealed."""
        if self._sealed is not None:
            return  # by a stall: whatever the disk says now is too late
        if sealed is not None:
            self._seal(sealed)
            return
        for _ in range(count):
            ticket, _since = self._open.popleft()
            ticket.settle(failed=False)

    def _seal(self, sealed: LogSealed) -> None:
        """Fail everything that waits and everything that will come: for good."""
        self._sealed = sealed
        if self._writer is not None:
            self._writer.end()
        self._cancel_timers()
        failed = [ticket for ticket, _ in self._open]
        self._open.clear()
        for ticket in failed:
            ticket.settle(failed=True)
        callbacks, self._on_sealed = self._on_sealed, []
        for callback in callbacks:
            self.loop.call_soon(callback)

    # --- timers ------------------------------------------------------------------------------

    def _later(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        self._timers[name] = self.loop.call_later(delay_s, callback)

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _watch(self) -> None:
        """Seal when the record that waits longest has waited too long."""
        del self._timers["stall"]
        if not self._open:
            return
        left_s = self._open[0][1] + self._limits.stalled_after_s - self.loop.time()
        if left_s > 0:
            self._later("stall", left_s, self._watch)
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
