"""Events from and to files: CSV with a header line, or NDJSON.

Importing the same line twice records it once: a line's content is its idempotency key. So that an
old file can not hide a new withdrawal, a line without `at` that ends something counts as new
as soon as the person was granted something since.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from proxy.consent import store
from proxy.consent.errors import ConsentError, ImportRefused, InvalidRequest
from proxy.consent.key import SubjectId, SubjectKey
from proxy.consent.request import (
    ConsentRequest,
    State,
    read_categories,
    read_evidence,
    read_state,
    read_text,
    read_time,
)

COLUMNS: Final = (
    "subject",
    "purpose",
    "category",
    "state",
    "at",
    "until",
    "source",
    "notice",
    "evidence",
)
# What an export has besides: for people to read, of no effect when it is imported.
EXPORTED_ONLY: Final = ("recorded_by", "recorded_at")
REQUIRED: Final = ("subject", "purpose", "state")
ALL: Final = "*"

# Enough lines to make round trips cheap, few enough to hold people's rows only for a moment.
BATCH_LINES: Final = 2_000
LINE_CHARACTERS_MAX: Final = 65_536
_EXPORT_ROWS: Final = 2_000

Progress = Callable[[int, int], None]  # bytes read, bytes in all


@dataclass(frozen=True, slots=True)
class Line:
    """One line that reads as an event; whether the ledger takes it, only the batch knows."""

    number: int
    subject: SubjectId
    request: ConsentRequest


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that was not recorded: its number in the file (the header is line 1), and why."""

    line: int
    reason: str  # stable key
    message: str


@dataclass(frozen=True, slots=True)
class BatchReport:
    recorded: int
    replayed: int
    rejected: tuple[Rejected, ...]


@dataclass(slots=True)
class ImportReport:
    """What became of a file's lines."""

    recorded: int = 0
    replayed: int = 0  # recorded by an earlier import, or twice in the file
    rejected: list[Rejected] = field(default_factory=list)


async def import_file(
    path: Path,
    key: SubjectKey,
    write: Callable[[list[Line]], Awaitable[BatchReport]],
    progress: Progress | None,
) -> ImportReport:
    """Record every line of a file, in batches that each are committed or not at all.

    ImportRefused where the file as a whole makes no sense; a line that makes none is in the report.
    """
    report = ImportReport()
    total = path.stat().st_size  # noqa: ASYNC240 - a look at a local file, once
    batch: list[Line] = []

    async def flush(position: int) -> None:
        if batch:
            written = await write(batch)
            batch.clear()
            report.recorded += written.recorded
            report.replayed += written.replayed
            report.rejected += written.rejected
        if progress is not None:
            progress(min(position, total), total)

    with path.open("rb") as raw:
        try:
            for number, fields in _fields(path, raw):
                try:
                    batch.append(_line(number, fields, key))
                except ConsentError as error:
                    report.rejected.append(Rejected(number, error.reason, error.message))
                if len(batch) >= BATCH_LINES:
                    await flush(raw.tell())
        except UnicodeDecodeError as error:
            raise ImportRefused("the file is not UTF-8") from error
        await flush(total)
    report.rejected.sort(key=lambda rejected: rejected.line)
    return report


async def write_batch(
    connection: store.Connection,
    key: SubjectKey,
    categories: frozenset[str],
    lines: Sequence[Line],
    recorded_by: str | None,
) -> BatchReport:
    """Record the lines in one transaction; repeating it records nothing twice."""
    subjects = sorted({line.subject for line in lines})
    async with connection.transaction():
        await store.lock_subjects(connection, key, subjects)
        keys = await _idempotency_keys(connection, lines)
        found = await connection.fetch(
            "SELECT idempotency_key FROM consent.event WHERE idempotency_key = ANY ($1)", keys
        )
        seen = {row["idempotency_key"] for row in found}
        columns = await store.read_columns(connection)
        purposes = frozenset(column.purpose for column in columns)
        if any(line.request.state is not State.GIVEN for line in lines):
            await store.lock_epoch(connection)
        now = await store.read_now(connection)
        rows: list[tuple[object, ...]] = []
        rejected: list[Rejected] = []
        replayed = 0
        for line, line_key in zip(lines, keys, strict=True):
            if line_key in seen:
                replayed += 1
                continue
            try:
                at = line.request.check(now, purposes, categories)
            except ConsentError as error:
                rejected.append(Rejected(line.number, error.reason, error.message))
                continue
            seen.add(line_key)
            rows.append(_row(line, line_key, at, recorded_by))
        if rows:
            await connection.copy_records_to_table(
                "event", schema_name="consent", columns=store.INSERT_COLUMNS, records=rows
            )
            await store.refresh(connection, subjects)
    return BatchReport(len(rows), replayed, tuple(rejected))


async def export(
    connection: store.Connection,
    format: Literal["csv", "ndjson"],  # noqa: A002 - the command line's own word
    out: TextIO,
) -> int:
    """Write every event in the order of recording; returns how many."""
    writer = csv.writer(out, lineterminator="\n") if format == "csv" else None
    header = [*COLUMNS, *EXPORTED_ONLY]
    if writer is not None:
        writer.writerow(header)
    count = 0
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        cursor = connection.cursor(
            f"SELECT {store.EVENT_COLUMNS} FROM consent.event ORDER BY event",
            prefetch=_EXPORT_ROWS,
        )
        async for row in cursor:
            values = _exported(row)
            if writer is not None:
                writer.writerow([_csv_field(values[name]) for name in header])
            else:
                present = {name: value for name, value in values.items() if value is not None}
                out.write(json.dumps(present, ensure_ascii=False) + "\n")
            count += 1
    return count


# --- lines -----------------------------------------------------------------------------------


def _fields(path: Path, raw: Iterable[bytes]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Each line's number and its fields, or what is wrong with it in words."""
    lines = _decoded(raw)
    match path.suffix.lower():
        case ".csv":
            yield from _csv_fields(lines)
        case ".ndjson" | ".jsonl":
            yield from _ndjson_fields(lines)
        case _:
            raise ImportRefused("the file's name must end in .csv, .ndjson or .jsonl")


def _decoded(raw: Iterable[bytes]) -> Iterator[str]:
    # By hand: a text layer would read ahead, and progress could not be told.
    for index, line in enumerate(raw):
        yield line.decode("utf-8-sig" if index == 0 else "utf-8")


def _csv_fields(lines: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    reader = csv.reader(lines, strict=True)
    csv.field_size_limit(LINE_CHARACTERS_MAX)
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        raise ImportRefused("the file is empty: a CSV file starts with a header line") from None
    except csv.Error as error:
        raise ImportRefused(f"the header line is no CSV: {error}") from error
    _refuse_header(header)
    while True:
        number = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"the line is no CSV: {error}"
            continue
        if not values:
            continue
        if len(values) != len(header):
            yield number, f"{len(values)} fields, where the header has {len(header)}"
            continue
        yield number, {n: v for n, v in zip(header, values, strict=True) if v != ""}


def _refuse_header(header: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    unknown = [name for name in header if name not in (*COLUMNS, *EXPORTED_ONLY)]
    if missing:
        raise ImportRefused(f"the header has no column {', '.join(missing)}")
    if unknown:
        raise ImportRefused(
            f"unknown column {', '.join(map(repr, unknown))}; known are {', '.join(COLUMNS)}"
        )
    if len(set(header)) != len(header):
        raise ImportRefused("the header has a column twice")


def _ndjson_fields(lines: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if len(line) > LINE_CHARACTERS_MAX:
            yield number, "the line is too long"
            continue
        try:
            fields = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError):
            yield number, "the line is no JSON object"
            continue
        if not isinstance(fields, dict):
            yield number, "the line is no JSON object"
            continue
        unknown = [name for name in fields if name not in (*COLUMNS, *EXPORTED_ONLY)]
        if unknown:
            yield number, f"unknown key {unknown[0][:40]!r}"
            continue
        yield number, fields


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key twice")  # which of the two is meant, nobody knows
    return fields


def _line(number: int, fields: Mapping[str, Any] | str, key: SubjectKey) -> Line:
    if isinstance(fields, str):
        raise InvalidRequest(fields)
    purpose = fields.get("purpose")
    if not isinstance(purpose, str) or not purpose:
        raise InvalidRequest("`purpose` must be a purpose, or * for all")
    category = fields.get("category")
    if isinstance(category, str):
        category = [name.strip() for name in category.split(";")]
    subject = key.read(fields.get("subject"))
    request = ConsentRequest(
        subject=subject if isinstance(subject, (int, str)) else str(subject),
        purpose=None if purpose == ALL else purpose,
        categories=read_categories(category),
        state=read_state(fields.get("state")),
        at=read_time("at", fields.get("at")),
        until=read_time("until", fields.get("until")),
        source=read_text("source", fields.get("source")),
        notice=read_text("notice", fields.get("notice")),
        evidence=read_evidence(fields.get("evidence")),
    )
    return Line(number, subject, request)


async def _idempotency_keys(connection: store.Connection, lines: Sequence[Line]) -> list[str]:
    """Each line's key: its content; and the person's last grant, where that may have changed it."""
    undated = {line.subject for line in lines if _ends_undated(line)}
    last_grants: dict[SubjectId, int] = {}
    if undated:
        rows = await connection.fetch(
            "SELECT subject_id, pg_catalog.max(event) AS event FROM consent.event"
            " WHERE subject_id = ANY ($1) AND state = 'given' GROUP BY subject_id",
            list(undated),
        )
        last_grants = {store.subject_of(row): row["event"] for row in rows}
    return [
        f"line:{line.request.hash}:{last_grants.get(line.subject, 0)}"
        if _ends_undated(line)
        else f"line:{line.request.hash}"
        for line in lines
    ]


def _ends_undated(line: Line) -> bool:
    return line.request.at is None and line.request.state is not State.GIVEN


def _row(line: Line, key: str, at: datetime, recorded_by: str | None) -> tuple[object, ...]:
    request = replace(line.request, recorded_by=recorded_by)
    return (
        line.subject,
        request.purpose,
        request.categories,
        str(request.state),
        at,
        request.until,
        request.source,
        request.notice,
        request.evidence,
        request.recorded_by,
        key,
        request.hash,
    )


def _exported(row: store.Row) -> dict[str, Any]:
    event = store.event_of(row)
    subject = event.subject
    return {
        "subject": subject if isinstance(subject, (int, str)) else str(subject),
        "purpose": ALL if event.purpose is None else event.purpose,
        "category": list(event.categories) or None,
        "state": str(event.state),
        "at": _time(event.at),
        "until": event.until and _time(event.until),
        "source": event.source,
        "notice": event.notice,
        "evidence": event.evidence,
        "recorded_by": event.recorded_by,
        "recorded_at": _time(event.recorded_at),
    }


def _csv_field(value: object) -> object:
    return ";".join(value) if isinstance(value, list) else value


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
