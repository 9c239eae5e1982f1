"""Is this log as it was written? Reads every byte again and believes nothing else.

`verify` needs no network, no key and no running proxy, and is right on a log that is being
written. What it can show without checkpoints: each record is exactly in its canonical form, they
are numbered without a gap, each holds the hash of the one before, and what was released had an
intent before. What it can not show is that the end is still there; its last line says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proxy.access_log.canonical import Position, parse_record, record_hash
from proxy.access_log.reading import read_lines
from proxy.access_log.segments import first_seq, log_folders, segment_paths

INTACT: Final = 0
CHANGED: Final = 1
UNVERIFIABLE: Final = 3

WITHOUT_CHECKPOINTS: Final = (
    "No checkpoint was given: records cut off the end of a log, or a whole log that was removed, "
    "can not be seen; whoever can write to this disk could have written all of it anew."
)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """The first record of a log that is not as it was written."""

    seq: int
    segment: str
    what: str


@dataclass(slots=True, kw_only=True)
class LogReport:
    """What was found in one log."""

    name: str
    records: int = 0
    runs: int = 0
    first_at: str = ""
    last_at: str = ""
    intents: int = 0
    outcomes: int = 0
    refusals: int = 0
    # Intents without an outcome: of runs that ended, and of the newest run (those may go on).
    ends_unknown: int = 0
    ends_open: int = 0
    torn_bytes: int = 0  # cut off after crashes, kept in .torn files
    unfinished_bytes: int = 0  # behind the last newline: a line being written, or a crash
    bad: BadRecord | None = None

    def lines(self) -> Iterator[str]:
        if self.bad is not None:
            yield (
                f"{self.name}: CHANGED at record {self.bad.seq} ({self.bad.segment}): "
                f"{self.bad.what}; {self.records} records before it are in order"
            )
            return
        yield (
            f"{self.name}: {self.records} records in order, {self.first_at} to {self.last_at}, "
            f"{self.runs} runs"
        )
        yield (
            f"  {self.intents} accesses, {self.outcomes} ended, {self.ends_unknown} released with "
            f"end unknown, {self.ends_open} open in the newest run; {self.refusals} refused"
        )
        if self.torn_bytes:
            yield f"  {self.torn_bytes} bytes that crashes left unfinished were set aside"
        if self.unfinished_bytes:
            yield f"  {self.unfinished_bytes} bytes of an unfinished line at the end are no record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `verify` found. Only exit code 0 is a yes."""

    logs: tuple[LogReport, ...] = ()
    problem: str | None = None  # why nothing can be said

    @property
    def exit_code(self) -> int:
        if any(log.bad is not None for log in self.logs):
            return CHANGED
        return UNVERIFIABLE if self.problem is not None else INTACT

    def lines(self) -> Iterator[str]:
        """The report for people, one line each."""
        for log in self.logs:
            yield from log.lines()
        if self.problem is not None:
            yield f"can not be verified: {self.problem}"
        verdicts = {INTACT: "intact", CHANGED: "CHANGED", UNVERIFIABLE: "NOT VERIFIED"}
        yield verdicts[self.exit_code]
        yield WITHOUT_CHECKPOINTS


def verify(folder: Path) -> Report:
    """Verify all logs of an access-log folder."""
    reports: list[LogReport] = []
    try:
        for log in log_folders(folder):
            if segment_paths(log):
                reports.append(_LogVerifier(log).run())  # noqa: PERF401 - keep those before an error
    except OSError as error:
        return Report(logs=tuple(reports), problem=f"{error.filename}: {error.strerror}")
    if not reports:
        return Report(problem=f"there is no access log in {folder}")
    return Report(logs=tuple(reports))


class _Bad(Exception):  # noqa: N818 - carries what is wrong with the record at hand
    pass


@dataclass(slots=True)
class _LogVerifier:
    folder: Path
    report: LogReport = field(init=False)
    end: Position = field(default_factory=Position)
    boot: object = None
    # Ids of intents without an outcome so far: bounded by what runs at once, not by the log.
    open_ids: set[str] = field(default_factory=set)
    # The access.more records that must follow: id, next part, number of parts.
    more: tuple[str, int, int] | None = None

    def __post_init__(self) -> None:
        self.report = LogReport(name=self.folder.name)

    def run(self) -> LogReport:
        segments = segment_paths(self.folder)
        segment = segments[0]
        try:
            for segment in segments:
                self._verify_segment(segment, is_newest=segment is segments[-1])
        except _Bad as bad:
            self.report.bad = BadRecord(self.end.seq, segment.name, str(bad))
        self.report.records = self.end.seq
        self.report.ends_open = len(self.open_ids)
        return self.report

    def _verify_segment(self, segment: Path, *, is_newest: bool) -> None:
        if first_seq(segment) != self.end.seq:
            raise _Bad(f"missing: the next file begins with record {first_seq(segment)}")
        for line in read_lines(segment):
            if line.is_finished:
                self._verify_record(line.content)
            elif is_newest:
                self.report.unfinished_bytes = len(line.content)
            else:
                raise _Bad("the file ends within a record")

    def _verify_record(self, line: bytes) -> None:
        record = parse_record(line)
        if record is None:
            raise _Bad("not a record in canonical form")
        if record["v"] != 1 or record["log"] != self.report.name:
            raise _Bad("of another log, or another version")
        if record["seq"] != self.end.seq:
            raise _Bad(f"out of order: it is numbered {record['seq']}")
        if record["prev"] != self.end.prev:
            raise _Bad("it does not hold the hash of the record before: one of the two was changed")
        kind = str(record["kind"])
        if kind == "log.opened":
            self._begin_run(record)
        elif record["boot"] != self.boot:
            raise _Bad("of a run that did not open the log")
        self._count(kind, record)
        self.end = Position(self.end.seq + 1, record_hash(line))
        if not self.report.first_at:
            self.report.first_at = str(record["at"])
        self.report.last_at = str(record["at"])

    def _begin_run(self, record: dict[str, object]) -> None:
        self.boot = record["boot"]
        self.report.runs += 1
        self.report.ends_unknown += len(self.open_ids)
        self.open_ids.clear()
        self.more = None  # a crash between a record and its continuation: nothing was released
        torn_bytes = record.get("torn_bytes", 0)
        if not isinstance(torn_bytes, int):
            raise _Bad("it does not say how many bytes were set aside")
        if torn_bytes:
            self.report.torn_bytes += torn_bytes
            files = self.folder.glob(f"{self.end.seq:016d}*.torn")
            if record.get("torn_hash") not in {record_hash(path.read_bytes()) for path in files}:
                raise _Bad("the bytes that it says were set aside are gone or changed")

    def _count(self, kind: str, record: dict[str, object]) -> None:
        """Every outcome follows its intent, once; a split record is followed by its parts."""
        access_id = str(record.get("id"))
        if self.more is not None:
            expected, part, count = self.more
            if kind != "access.more" or access_id != expected or record.get("part") != part:
                raise _Bad(f"part {part} of {count} of the access before is missing")
            self.more = None if part == count else (expected, part + 1, count)
        elif kind == "access.more":
            raise _Bad("it continues a record that was not to be continued")
        elif kind == "access.intent":
            if access_id in self.open_ids:
                raise _Bad("a second intent of the same access")
            self.open_ids.add(access_id)
            self.report.intents += 1
        elif kind == "access.outcome":
            if access_id not in self.open_ids:
                raise _Bad("an outcome without an intent, or a second one")
            self.open_ids.remove(access_id)
            self.report.outcomes += 1
        elif kind == "access.refused":
            self.report.refusals += 1
        if "more" in record:
            following = record["more"]
            if not isinstance(following, int) or following < 1:
                raise _Bad("it does not say how many records continue it")
            self.more = (access_id, 1, following)
