"""The thread that writes groups of records: one write and one fdatasync for all that wait."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from proxy.access_log.canonical import Position
from proxy.access_log.segments import LogSealed, SealReason, Segments


class Waiting:
    """Encoded records that wait for the disk, and where the chain stands after them."""

    __slots__ = ("lines", "prev", "seq")  # no dataclass: see Position

    def __init__(self, lines: bytes, seq: int, prev: str) -> None:
        self.lines: Final = lines
        self.seq: Final = seq
        self.prev: Final = prev


SealLine = Callable[[Position, str], tuple[bytes, Position]]
"""The `log.sealed` record for a place in the chain and a SealReason."""


class GroupWrite:
    """Writes groups to the segments; after the first failure it must not be called again."""

    def __init__(self, segments: Segments, seal_line: SealLine) -> None:
        self._segments = segments
        self._seal_line = seal_line

    def write(self, group: list[Waiting]) -> LogSealed | None:
        """Write all of a group; the failure, if any: then no record of it counts as written."""
        try:
            end = Position(group[-1].seq, group[-1].prev)
            self._segments.write(b"".join([waiting.lines for waiting in group]), end)
        except LogSealed as sealed:
            if sealed.reason == SealReason.DISK_FLOOR:
                self._say_sealed(sealed.reason)
            return sealed
        except Exception as error:  # noqa: BLE001 - whatever it was, the group is not durable
            return LogSealed(SealReason.WRITE_FAILED, type(error).__name__)
        return None

    def check(self) -> LogSealed | None:
        try:
            self._segments.check()
        except LogSealed as sealed:
            return sealed
        return None

    def _say_sealed(self, reason: str) -> None:
        # Only for a seal that came before the file was touched: the space under the floor is
        # kept for this one record. After a failed write the file is left alone.
        lines, end = self._seal_line(self._segments.position, reason)
        try:
            self._segments.write(lines, end, is_last=True)
        except LogSealed:
            return


Deliver = Callable[[int, LogSealed | None], None]
"""How many records are durable, or why no more will be; called in the writer's thread."""


class Writer(threading.Thread):
    """Takes what waits, writes it, says so, and takes what came meanwhile."""

    def __init__(self, group_write: GroupWrite, deliver: Deliver, check_s: float) -> None:
        super().__init__(name="access-log", daemon=True)
        self._group_write = group_write
        self._deliver = deliver
        self._check_s: Final = check_s
        # Appended to by the loop, taken from here: a deque allows that without a lock.
        self._inbox: deque[Waiting] = deque()
        self._wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._is_ended = False

    def put(self, waiting: Waiting) -> None:
        """Add to the next group; it is written after `wake`, or together with one that was."""
        self._inbox.append(waiting)

    def wake(self) -> None:
        self._wakes.put(True)

    def end(self) -> None:
        """Write no further group. One that is being written is finished, or hangs for good."""
        self._is_ended = True
        self._wakes.put(False)

    def run(self) -> None:
        sealed: LogSealed | None = None
        while sealed is None and not self._is_ended:
            count = 0
            try:
                self._wakes.get(timeout=self._check_s)
            except queue.Empty:
                sealed = self._group_write.check()
            else:
                group = self._take()
                if not group:
                    continue
                count = len(group)
                sealed = self._group_write.write(group)
            if count or sealed is not None:
                try:
                    self._deliver(count, sealed)
                except RuntimeError:  # the loop is closed: nobody waits any more
                    return

    def _take(self) -> list[Waiting]:
        group = []
        while self._inbox and not self._is_ended:
            group.append(self._inbox.popleft())
        return group
