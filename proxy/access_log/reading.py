"""Reading the files of a log that may be written meanwhile: whole lines, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.access_log.segments import log_folders, segment_paths

_BLOCK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its newline; not finished: what stands behind the last newline."""

    content: bytes
    is_finished: bool = True


def read_lines(segment: Path, start: int = 0) -> Iterator[Line]:
    """The lines from byte `start` to the end the file has now; what is added later is left out."""
    with segment.open("rb", buffering=0) as file:
        left = file.seek(0, 2) - start
        file.seek(start)
        rest = b""
        while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
            left -= len(block)
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            for line in lines:
                yield Line(line)
        if rest:
            yield Line(rest, is_finished=False)


def read_log(log: Path) -> Iterator[bytes]:
    """All finished lines of one log, in order, as far as it is written now."""
    for segment in segment_paths(log):
        for line in read_lines(segment):
            if line.is_finished:
                yield line.content


def last_lines(log: Path, count: int) -> list[bytes]:
    """The last `count` finished lines of one log, oldest first."""
    found: list[bytes] = []
    for segment in reversed(segment_paths(log)):
        if len(found) >= count:
            break
        found[:0] = _last_lines_of(segment, count - len(found))
    return found


def _last_lines_of(segment: Path, count: int) -> list[bytes]:
    with segment.open("rb", buffering=0) as file:
        start = file.seek(0, 2)
        tail = b""
        # One more newline than lines: the one before the first of them.
        while start > 0 and tail.count(b"\n") <= count:
            size = min(start, _BLOCK_BYTES)
            start -= size
            file.seek(start)
            tail = file.read(size) + tail
    lines = tail.split(b"\n")[:-1]  # what follows the last newline is unfinished, or nothing
    return lines[len(lines) - min(count, len(lines)) :]


class Follower:
    """Gives the finished lines that were added to all logs of a folder since it was asked last."""

    def __init__(self, folder: Path, *, from_end: bool) -> None:
        self._folder = folder
        self._places: dict[Path, tuple[Path, int]] = {}
        if from_end:
            for log in log_folders(folder):
                if segments := segment_paths(log):
                    newest = segments[-1]
                    self._places[log] = (newest, _end_of_lines(newest))

    def read(self) -> Iterator[bytes]:
        for log in log_folders(self._folder):
            segments = segment_paths(log)
            place, offset = self._places.get(log, (segments[0] if segments else None, 0))
            if place is None:
                continue
            for segment in segments:
                if segment < place:
                    continue
                if segment != place:
                    place, offset = segment, 0
                for line in read_lines(segment, offset):
                    if line.is_finished:
                        offset += len(line.content) + 1
                        yield line.content
            self._places[log] = (place, offset)


def _end_of_lines(segment: Path) -> int:
    """The offset behind a segment's last newline."""
    return sum(len(line.content) + 1 for line in read_lines(segment) if line.is_finished)
