"""Looking things up in the access log, straight from its files.

Reading the log is an access too: whoever shows a result to a person calls `record_reading` first.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Final

from proxy.access_log.canonical import encode, instant, parse_record
from proxy.access_log.log import append_once
from proxy.access_log.reading import Follower, last_lines, read_log
from proxy.access_log.segments import LogDamaged, log_folders
from proxy.access_log.tables import column_key

READER_LOG: Final = "reader"


@dataclass(frozen=True, slots=True)
class Record:
    """One record, its `access.more` parts joined to it (their tables in `tables`)."""

    fields: dict[str, object]

    @property
    def kind(self) -> str:
        return str(self.fields["kind"])

    @property
    def log(self) -> str:
        return str(self.fields["log"])

    @property
    def seq(self) -> int:
        return int(str(self.fields["seq"]))

    @property
    def at(self) -> str:
        return str(self.fields["at"])

    @property
    def access_id(self) -> str | None:
        value = self.fields.get("id")
        return None if value is None else str(value)

    @property
    def tables(self) -> list[dict[str, object]]:
        value = self.fields.get("tables")
        return value if isinstance(value, list) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What to look for; all that is given must hold.

    `table` is `schema.name`; `column` is a column of it, or of any relation: records in which it
    was shown, guarded or masked (not those in which it was absent). `since` is included, `until`
    is not; both carry a time zone.
    """

    tool: str | None = None
    purpose: str | None = None
    table: str | None = None
    column: str | None = None
    reason: str | None = None
    kind: str | None = None
    access_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def names(self) -> list[str]:
        """Which filters are given, without their values: what `log.read` records."""
        return [item.name for item in fields(self) if getattr(self, item.name) is not None]


def search(folder: Path, filters: Filters, *, limit: int | None = None) -> Iterator[Record]:
    """The records that match, by time over all logs; outcomes of matching intents follow them."""
    logs = [_search_log(log, filters) for log in log_folders(folder)]
    for number, record in enumerate(heapq.merge(*logs, key=lambda record: record.at)):
        if limit is not None and number >= limit:
            return
        yield record


def tail(
    folder: Path,
    *,
    count: int = 10,
    follow: bool = False,
    has_readings: bool = True,
    wait: Callable[[], object] = lambda: time.sleep(0.25),
) -> Iterator[Record]:
    """The newest records over all logs, oldest first; with `follow` then those to come, for ever.

    Without `has_readings`, those of the log `reader` are left out: who tails would see himself.
    `wait` is called between looks at the files. Parts of split records come as they are.
    """
    follower = Follower(folder, from_end=True) if follow else None
    last = [
        [_parse(line) for line in last_lines(log, max(count, 1))]
        for log in log_folders(folder)
        if has_readings or log.name != READER_LOG
    ]
    newest = sorted((record for records in last for record in records), key=lambda each: each.at)
    yield from newest[len(newest) - min(count, len(newest)) :]
    # What was written while we looked for the newest is in both.
    shown = {records[-1].log: records[-1].seq for records in last if records}
    while follower is not None:
        for line in follower.read():
            record = _parse(line)
            is_wanted = has_readings or record.log != READER_LOG
            if is_wanted and record.seq > shown.get(record.log, -1):
                yield record
        wait()


def record_reading(folder: Path, *, reader: str, command: str, filters: Sequence[str] = ()) -> None:
    """Record durably, in the log `reader`, that somebody reads this access log. Blocks.

    `reader` is an account's name, `command` one of tail, search, verify, report, export, console;
    `filters` are the names of the filters, not what was looked for. Raises LogSealed or
    ConfigurationError when it can not be recorded: then nothing should be shown.
    """
    fields = {"reader": reader, "command": command, "filters": list(filters)}
    append_once(folder, READER_LOG, "log.read", fields)


def _parse(line: bytes) -> Record:
    record = parse_record(line)
    if record is None:
        # Not skipped: a record that can not be read could be the one that is sought.
        raise LogDamaged("the access log holds a damaged record: see `log verify`")
    return Record(record)


def _search_log(log: Path, filters: Filters) -> Iterator[Record]:
    needles = _needles(filters)
    since = "" if filters.since is None else instant(filters.since)
    until = "~" if filters.until is None else instant(filters.until)
    accesses: set[object] = set()  # matching intents whose outcome may follow
    for record in _joined(read_log(log), needles):
        if _matches(record, filters) and since <= record.at < until:
            if record.kind == "access.intent":
                accesses.add(record.access_id)
            yield record
        elif record.kind == "access.outcome" and record.access_id in accesses:
            accesses.discard(record.access_id)
            if filters.kind is None:
                yield record


_IS_OUTCOME: Final = b'"kind":"access.outcome"'
_IS_SPLIT: Final = b'"more":'
_IS_PART: Final = b'"kind":"access.more"'


def _joined(lines: Iterator[bytes], needles: Sequence[bytes]) -> Iterator[Record]:
    """The records that may match, each with its parts."""
    whole: Record | None = None
    for line in lines:
        is_part = _IS_PART in line
        if whole is not None and not is_part:
            yield whole
            whole = None
        if is_part:
            if whole is not None:
                whole.tables.extend(_parse(line).tables)
        elif _IS_SPLIT in line:
            whole = _parse(line)
        elif _IS_OUTCOME in line or all(needle in line for needle in needles):
            # The bytes are canonical, so what is sought stands in them in just one way; most
            # lines are told apart without being parsed.
            yield _parse(line)
    if whole is not None:
        yield whole


def _needles(filters: Filters) -> list[bytes]:
    sought = {
        "tool": filters.tool,
        "purpose": filters.purpose,
        "reason": filters.reason,
        "kind": filters.kind,
        "id": filters.access_id,
        "table": filters.table,
    }
    needles = [
        b'"%b":%b' % (name.encode(), encode(value))
        for name, value in sought.items()
        if value is not None
    ]
    if filters.column is not None:
        needles.append(encode(column_key(filters.column)))
    return needles


def _matches(record: Record, filters: Filters) -> bool:
    sought = {
        "tool": filters.tool,
        "purpose": filters.purpose,
        "reason": filters.reason,
        "kind": filters.kind,
        "id": filters.access_id,
    }
    if any(record.fields.get(name) != value for name, value in sought.items() if value is not None):
        return False
    if filters.table is None and filters.column is None:
        return True
    key = None if filters.column is None else column_key(filters.column)
    return any(
        (filters.table is None or entry["table"] == filters.table)
        and (key is None or _has_column(entry, key))
        for entry in record.tables
    )


def _has_column(entry: dict[str, object], key: str) -> bool:
    groups = (entry["shown"], entry["guarded"], entry["masked"])
    return any(isinstance(group, list | dict) and key in group for group in groups)
