"""The files of one log: a folder of segments, one writer, nothing ever overwritten.

    FOLDER/NAME/0000000000000000.jsonl    records, named by the number of its first one
    FOLDER/NAME/0000000000000417.torn     bytes that a crash left behind record 416
    FOLDER/NAME/lock                      held while the log is written

Everything here blocks. What fails here is never tried again: after a failed fdatasync a second
one reports success and has lost data.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from proxy.access_log.canonical import (
    RECORD_BYTES_MAX,
    Position,
    is_log_name,
    parse_record,
    record_hash,
)
from proxy.errors import ConfigurationError

SEGMENT_BYTES: Final = 64 * 1024 * 1024  # quick to read again at start, few files a day
# Enough for the records that other programs' last moments may still need, and for ours.
FLOOR_BYTES: Final = 64 * 1024 * 1024
_SEGMENT_NAME: Final = re.compile(r"(\d{16})\.jsonl")  # 2^53 has 16 digits


class SealReason(StrEnum):
    """Why a log takes no more records until the proxy starts again."""

    WRITE_FAILED = "write_failed"
    SHORT_WRITE = "short_write"
    SYNC_FAILED = "sync_failed"
    FILE_REPLACED = "file_replaced"  # unlinked, moved, or another file in its place
    FOREIGN_WRITER = "foreign_writer"  # the file is longer or shorter than what was written
    DISK_FLOOR = "disk_floor"
    STALLED = "stalled"
    CLOSED = "closed"


class LogSealed(Exception):  # noqa: N818 - a state of the log, as `Refused` is a verdict
    """The log takes no record: no statement that reads data may be answered."""

    def __init__(self, reason: SealReason | str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = str(reason)
        self.detail = detail


class LogLocked(ConfigurationError):  # noqa: N818 - see LogSealed
    """Another process writes this log."""


class LogDamaged(ConfigurationError):  # noqa: N818 - see LogSealed
    """The end of the log is neither whole nor what a crash leaves: not continued, not repaired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What was found when the log was opened."""

    position: Position
    before: str  # nothing | closed | sealed | interrupted
    torn_bytes: int = 0
    torn_hash: str = ""


def segment_paths(folder: Path) -> list[Path]:
    """The segments of one log, in order."""
    return sorted(path for path in folder.iterdir() if _SEGMENT_NAME.fullmatch(path.name))


def first_seq(segment: Path) -> int:
    """The number of a segment's first record, from its name."""
    return int(segment.name.partition(".")[0])


def log_folders(folder: Path) -> list[Path]:
    """The logs of an access-log folder, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_log_name(path.name))


class Segments:
    """The one writer of a log's files. Used by one thread at a time."""

    def __init__(
        self,
        folder: Path,
        *,
        is_synced: bool,
        floor_bytes: int,
        segment_bytes: int,
        wait_for_lock: bool,
    ) -> None:
        """Lock the log; raises LogLocked, LogDamaged, LogSealed (too little space) or OSError."""
        self._folder = folder
        self._is_synced = is_synced
        self._floor_bytes = floor_bytes
        self._segment_bytes = segment_bytes
        self._fd = -1
        self._size = self._inode = self._device = 0
        self._path = folder
        self._path_text = str(folder)
        self._lock_fd = _lock(folder, wait=wait_for_lock)
        try:
            self.recovery = _recover(folder)
            self.position = self.recovery.position
            self._check_space(self._lock_fd)
            self._start_segment()
        except BaseException:
            self.close()
            raise

    def write(self, lines: bytes, end: Position, *, is_last: bool = False) -> None:
        """Append whole records; `end` is where the chain stands after them.

        The last record of a log may use the space under the floor.

        When it returns they are durable (synced) or at least the kernel's. Raises LogSealed; then
        the log must not be written again: how much of `lines` is in the file is not known.
        """
        if not is_last:
            self._check_space(self._fd)
        if self._size and self._size + len(lines) > self._segment_bytes:
            self._start_segment()
        try:
            written = os.write(self._fd, lines)
        except OSError as error:
            raise LogSealed(SealReason.WRITE_FAILED, _name(error)) from error
        if written != len(lines):
            raise LogSealed(SealReason.SHORT_WRITE, f"{written} of {len(lines)} bytes")
        self._size += written
        if self._is_synced:
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                raise LogSealed(SealReason.SYNC_FAILED, _name(error)) from error
        # After the write, not before: what is then acknowledged was in the file that a reviewer
        # will open, and nobody else had written to it.
        self.check()
        self.position = end

    def check(self) -> None:
        """Raise LogSealed unless the file is the one in the folder and as long as we wrote it."""
        try:
            size = os.lseek(self._fd, 0, os.SEEK_END)
            there = os.stat(self._path_text)  # noqa: PTH116 - for each group; a Path is slower
        except OSError as error:
            raise LogSealed(SealReason.FILE_REPLACED, _name(error)) from error
        if there.st_ino != self._inode or there.st_dev != self._device:
            raise LogSealed(SealReason.FILE_REPLACED, self._path.name)
        if size != self._size:
            raise LogSealed(SealReason.FOREIGN_WRITER, self._path.name)

    def close(self) -> None:
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock_fd = -1

    def _check_space(self, fd: int) -> None:
        try:
            space = os.fstatvfs(fd)
        except OSError as error:
            raise LogSealed(SealReason.WRITE_FAILED, _name(error)) from error
        if space.f_bavail * space.f_frsize < self._floor_bytes:
            raise LogSealed(SealReason.DISK_FLOOR, f"less than {self._floor_bytes} bytes are free")

    def _start_segment(self) -> None:
        """Continue in the newest segment at start; a new one when that is full."""
        is_first = self._fd < 0
        newest = segment_paths(self._folder)[-1:] if is_first else []
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        if newest and newest[0].stat().st_size < self._segment_bytes:
            path = newest[0]
        else:
            path = self._folder / f"{self.position.seq:016d}.jsonl"
            flags |= os.O_CREAT | os.O_EXCL
        try:
            fd = os.open(path, flags, 0o600)
            if flags & os.O_CREAT:
                sync_folder(self._folder)
        except OSError as error:
            raise LogSealed(SealReason.WRITE_FAILED, _name(error)) from error
        if not is_first:
            os.close(self._fd)
        self._fd, self._path, self._path_text = fd, path, str(path)
        found = os.fstat(fd)
        self._size, self._inode, self._device = found.st_size, found.st_ino, found.st_dev


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def create_folder(folder: Path, name: str) -> Path:
    """The folder of one log, made if need be and durable; only its owner may look inside."""
    if not is_log_name(name):
        raise ConfigurationError(f"an access log can not be called {name!r}")
    try:
        for path in (folder, folder / name):
            if not path.is_dir():
                path.mkdir(mode=0o700, parents=path == folder, exist_ok=True)
                sync_folder(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"the access log's folder {folder} can not be made: {_name(error)}"
        ) from error
    return folder / name


def _lock(folder: Path, *, wait: bool) -> int:
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LogSealed(SealReason.WRITE_FAILED, _name(error)) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise LogLocked(
                f"the access log {folder} is being written by another process"
            ) from error
        raise LogSealed(SealReason.WRITE_FAILED, _name(error)) from error
    return fd


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "unknown")


# --- continuing after whatever ended the run before ------------------------------------------


def _recover(folder: Path) -> Recovery:
    """Read the newest segment again, cut off what a crash left, and say where the chain stands."""
    segments = segment_paths(folder)
    if not segments:
        return Recovery(position=Position(), before="nothing")
    newest = segments[-1]
    end, last = _end_of(segments[-2]) if len(segments) > 1 else (Position(), None)
    if first_seq(newest) != end.seq:
        raise LogDamaged(f"{newest}: expected a segment that begins with record {end.seq}")
    content = newest.read_bytes()
    good = 0
    while (newline := content.find(b"\n", good)) >= 0:
        line = content[good:newline]
        record = parse_record(line)
        if record is None or (record["seq"], record["prev"]) != (end.seq, end.prev):
            break
        end, last = Position(end.seq + 1, record_hash(line)), record
        good = newline + 1
    torn = content[good:]
    if torn:
        if not _is_torn(torn):
            raise LogDamaged(
                f"{newest}: record {end.seq} is damaged. Keep the folder for `log verify`, "
                "and start with a new one"
            )
        _set_aside(folder, newest, torn, good, end.seq)
    return Recovery(
        position=end,
        before=_before(last),
        torn_bytes=len(torn),
        torn_hash=record_hash(torn) if torn else "",
    )


def _before(last: dict[str, object] | None) -> str:
    if last is None:
        return "nothing"
    if last["kind"] != "log.sealed":
        return "interrupted"
    return "closed" if last.get("seal") == SealReason.CLOSED else "sealed"


def _end_of(segment: Path) -> tuple[Position, dict[str, object]]:
    """Where the chain stands after a finished segment: its last line tells."""
    with segment.open("rb") as file:
        # Nothing before the last record is needed, and that is at most so long, newlines included.
        file.seek(max(0, segment.stat().st_size - RECORD_BYTES_MAX - 2))
        before, newline, rest = file.read().rpartition(b"\n")
    line = before.rpartition(b"\n")[2]
    record = parse_record(line)
    if record is None or not newline or rest:
        raise LogDamaged(f"{segment}: its last record is damaged")
    return Position(int(str(record["seq"])) + 1, record_hash(line)), record


def _is_torn(rest: bytes) -> bool:
    """Is this what a crash leaves: a line without its end, or blocks that were never written?

    A damaged line that is complete is not: somebody changed it, and cutting it off would hide that.
    """
    first, newline, _ = rest.partition(b"\n")
    return not newline or b"\0" in first


def _set_aside(folder: Path, segment: Path, torn: bytes, good: int, seq: int) -> None:
    """Keep the torn bytes in a file of their own, durably, before they are cut off."""
    for attempt in range(1000):
        path = folder / (f"{seq:016d}.torn" if not attempt else f"{seq:016d}-{attempt}.torn")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            break
        except FileExistsError:
            continue
    else:
        raise LogDamaged(f"{folder}: too many torn files after record {seq}")
    try:
        if os.write(fd, torn) != len(torn):
            raise LogSealed(SealReason.SHORT_WRITE, path.name)
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(folder)
    fd = os.open(segment, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.ftruncate(fd, good)
        os.fsync(fd)
    finally:
        os.close(fd)
