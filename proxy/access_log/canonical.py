"""The bytes of a record, and the chain that ties each record to the one before it.

A record is one line of canonical JSON. Within the profile below orjson's output with sorted keys
is byte for byte RFC 8785 (tested), so any language can check a log: ASCII keys, no floats,
integers of at most 53 bits, valid UTF-8.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import orjson

from proxy.errors import InvariantError

VERSION: Final = 1
# A C2SP tlog-tiles entry is at most 65,535 bytes; a quarter of it keeps any line readable.
RECORD_BYTES_MAX: Final = 16 * 1024
# `prev` of the first record: there is none before it.
NO_RECORD: Final = "0" * 64

Clock = Callable[[], int]
"""UTC microseconds since 1970."""

_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_DIGITS: Final = [f"{number:03d}" for number in range(1000)]
_LOG_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class RecordError(InvariantError):
    """A record that must not be written as it is: a mistake of the code that made it."""


def encode(value: object) -> bytes:
    """The canonical bytes of a JSON value of the profile; raises RecordError outside of it.

    Floats and non-ASCII keys are the caller's to keep out (`check_profile`); orjson itself
    refuses larger integers, keys that are not strings and text that is not Unicode.
    """
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        # The message may quote what could not be encoded: it does not travel further.
        raise RecordError("a field can not be written as canonical JSON") from error


def check_profile(value: object) -> None:
    """Raise RecordError where a JSON value lies outside the profile."""
    match value:
        case None | bool() | str():
            return
        case int() if -(2**53) < value < 2**53:
            return
        case dict():
            for key, item in value.items():
                if not (isinstance(key, str) and key.isascii()):
                    raise RecordError("a key is not ASCII text")
                check_profile(item)
        case list() | tuple():
            for item in value:
                check_profile(item)
        case _:
            raise RecordError("a value is neither text, whole number, truth value, list nor object")


_ENVELOPE: Final = frozenset(("v", "log", "seq", "prev", "at", "boot", "kind"))


def parse_record(line: bytes) -> dict[str, object] | None:
    """The record on a line, or None where the line is not byte for byte a canonical record."""
    if len(line) > RECORD_BYTES_MAX:
        return None
    try:
        record = orjson.loads(line)
        # orjson takes the last of two equal keys, and makes floats of huge integers: only the
        # bytes made again show that nothing else was there.
        if not isinstance(record, dict) or encode(record) != line:
            return None
    except (orjson.JSONDecodeError, RecordError):
        return None
    if not record.keys() >= _ENVELOPE or float in set(map(type, record.values())):
        return None
    return record if type(record["seq"]) is int else None  # `true` equals 1


# Copied for each record: OpenSSL takes as long to look SHA-256 up by name as to hash a record.
_SHA256: Final = hashlib.sha256()


def record_hash(line: bytes) -> str:
    """SHA-256, hex, of a record's bytes without the newline: what the next record's `prev` says."""
    digest = _SHA256.copy()
    digest.update(line)
    return digest.hexdigest()


def is_log_name(name: str) -> bool:
    """May a log be called this? It is a folder's name and stands in every record."""
    return _LOG_NAME.fullmatch(name) is not None


class Position:
    """Where a chain stands: the next record's number, and the hash of the record before it."""

    # No dataclass: mypyc leaves the making of those to the interpreter, and one is made per record.
    __slots__ = ("prev", "seq")

    def __init__(self, seq: int = 0, prev: str = NO_RECORD) -> None:
        self.seq: Final = seq
        self.prev: Final = prev

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Position) and (self.seq, self.prev) == (other.seq, other.prev)

    def __hash__(self) -> int:
        return hash((self.seq, self.prev))

    def __repr__(self) -> str:
        return f"Position({self.seq}, {self.prev!r})"


class Chain:
    """Gives records their number, their time and the hash of the record before."""

    def __init__(self, log: str, boot: str, position: Position, clock: Clock) -> None:
        self.seq = position.seq
        self.prev = position.prev
        self._log = log
        self._boot = boot
        self._clock = clock
        self._second = -1
        self._second_text = ""

    @property
    def position(self) -> Position:
        """Where the chain stands now."""
        return Position(self.seq, self.prev)

    @property
    def place(self) -> tuple[str, str]:
        """The names of the log and of the run, as every record of it has them."""
        return self._log, self._boot

    def next(self) -> tuple[str, int, str]:
        """Time, number and the hash of the record before, for a line that `take` is given next."""
        return self._now(), self.seq, self.prev

    def take(self, line: bytes) -> bytes:
        """A record that was encoded elsewhere, with what `next` gave; its line."""
        if len(line) > RECORD_BYTES_MAX:
            raise RecordError(f"a record is larger than {RECORD_BYTES_MAX} bytes")
        self.seq += 1
        self.prev = record_hash(line)
        return line + b"\n"

    def add(self, kind: str, parts: Sequence[Mapping[str, object]]) -> bytes:
        """The lines, newlines included, of one record and its `access.more` parts.

        All or nothing: after a RecordError the chain stands where it stood.
        """
        seq, prev = self.seq, self.prev
        at = self._now()
        lines = []
        for number, fields in enumerate(parts):
            line = encode(
                {
                    **fields,
                    "v": VERSION,
                    "log": self._log,
                    "seq": seq,
                    "prev": prev,
                    "at": at,
                    "boot": self._boot,
                    "kind": kind if number == 0 else "access.more",
                }
            )
            if len(line) > RECORD_BYTES_MAX:
                raise RecordError(
                    f"a record of kind {kind} is larger than {RECORD_BYTES_MAX} bytes"
                )
            lines.append(line)
            seq, prev = seq + 1, record_hash(line)
        lines.append(b"")
        self.seq, self.prev = seq, prev
        return b"\n".join(lines)

    def seal_line(self, position: Position, reason: str) -> tuple[bytes, Position]:
        """The `log.sealed` record at another place of the chain: after the last one written.

        For the writer, when what was added since will never be written.
        """
        chain = Chain(self._log, self._boot, position, self._clock)
        return chain.add("log.sealed", ({"seal": reason},)), chain.position

    def _now(self) -> str:
        now = self._clock()
        second = now // 1_000_000
        if second != self._second:
            self._second = second
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            self._second_text = text
        rest = now - second * 1_000_000
        return self._second_text + _DIGITS[rest // 1000] + _DIGITS[rest % 1000] + "Z"


def utc_microseconds() -> int:
    return time.time_ns() // 1000


def instant(moment: datetime) -> str:
    """An aware datetime as records write `at`; such texts sort by time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
