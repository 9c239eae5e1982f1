"""Access records for people and spreadsheets: one line each, and summed up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

import orjson

from proxy.access_log.search import Record
from proxy.cli.output import print_json, print_table

CSV_COLUMNS: Final = (
    "at", "log", "seq", "kind", "id", "tool", "credential", "via", "client", "purpose", "policy",
    "tables", "shown", "masked", "absent", "categories", "reason", "state", "sqlstate", "rows",
    "bytes", "statement", "shape",
)  # fmt: skip
_PLAIN: Final = frozenset(CSV_COLUMNS) - {"tables", "shown", "masked", "absent", "categories"}

# What a line for people starts with, in this order, where a record has it.
_TOLD: Final = ("tool", "purpose", "via", "reason", "state", "sqlstate", "rows", "event", "reader",
                "command", "seal", "before", "id")  # fmt: skip


def json_line(record: Record) -> str:
    """The record as it stands in the log (parts joined), on one line."""
    return orjson.dumps(record.fields, option=orjson.OPT_SORT_KEYS).decode()


def text_line(record: Record) -> str:
    """Time, kind, then what the record says, tables last."""
    told = [f"{name}={record.fields[name]}" for name in _TOLD if name in record.fields]
    tables = [_table_text(entry) for entry in record.tables]
    return "  ".join([record.at, record.kind, *told, *tables])


def _table_text(entry: Mapping[str, object]) -> str:
    words = []
    for group in ("shown", "guarded", "masked", "absent"):
        names = _names(entry.get(group))
        if names:
            words.append(f"{group}: {', '.join(names)}")
    return f"{entry['table']} ({'; '.join(words)})" if words else str(entry["table"])


def _names(group: object) -> list[str]:
    """The columns of a group: a list of names, or a mapping of names to masks."""
    if isinstance(group, dict):
        return [f"{name}={mask}" for name, mask in group.items()]
    return [str(name) for name in group] if isinstance(group, list) else []


def csv_cells(record: Record) -> list[object]:
    """The record's cells, as CSV_COLUMNS names them; `shown` holds the guarded ones too."""
    cells = {name: record.fields.get(name, "") for name in _PLAIN}
    cells["tables"] = " ".join(str(entry["table"]) for entry in record.tables)
    cells["shown"] = _column_list(record, "shown", "guarded")
    cells["masked"] = _column_list(record, "masked")
    cells["absent"] = _column_list(record, "absent")
    categories: set[str] = set()
    for entry in record.tables:
        found = entry.get("categories")
        categories.update(found.values() if isinstance(found, dict) else ())
    cells["categories"] = " ".join(sorted(categories))
    return [cells[name] for name in CSV_COLUMNS]


def _column_list(record: Record, *groups: str) -> str:
    found = [
        f"{entry['table']}.{name.partition('=')[0]}"
        for entry in record.tables
        for group in groups
        for name in _names(entry.get(group))
    ]
    return " ".join(found)


# --- summed up -------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Summary:
    """What one tool read of one table for one purpose.

    `rows` are those of whole statements: one that reads two tables counts for both. Accesses
    without an outcome (still running, or a crash) have added no rows.
    """

    tool: str
    purpose: str
    table: str
    accesses: int = 0
    refused: int = 0
    rows: int = 0
    first: str = ""
    last: str = ""


def sum_up(records: Iterable[Record], table: str | None = None) -> list[Summary]:
    """Summaries by tool, purpose and table (only `table`, where one is given), in that order.

    A refusal that read no table is counted under `(none)`.
    """
    found: dict[tuple[str, str, str], Summary] = {}
    running: dict[str | None, list[Summary]] = {}  # by access, until its outcome
    for record in records:
        match record.kind:
            case "access.intent" | "access.refused":
                summaries = [_summary(found, record, name) for name in _tables(record, table)]
                for summary in summaries:
                    _count(summary, record)
                if record.kind == "access.intent":
                    running[record.access_id] = summaries
            case "access.outcome":
                for summary in running.pop(record.access_id, ()):
                    summary.rows += int(str(record.fields.get("rows", 0)))
            case _:
                pass
    return [found[key] for key in sorted(found)]


def _tables(record: Record, table: str | None) -> list[str]:
    named = dict.fromkeys(str(entry["table"]) for entry in record.tables)
    if table is not None:
        return [table]
    return list(named) or ["(none)"]


def _summary(found: dict[tuple[str, str, str], Summary], record: Record, table: str) -> Summary:
    tool = str(record.fields.get("tool", "(unknown)"))
    purpose = str(record.fields.get("purpose", "(none)"))
    key = (tool, purpose, table)
    return found.setdefault(key, Summary(tool=tool, purpose=purpose, table=table))


def _count(summary: Summary, record: Record) -> None:
    if record.kind == "access.intent":
        summary.accesses += 1
    else:
        summary.refused += 1
    summary.first = summary.first or record.at
    summary.last = record.at


def print_report(summaries: list[Summary], *, json: bool) -> None:
    if json:
        print_json([asdict(summary) for summary in summaries])
        return
    rows = [tuple(str(value) for value in asdict(summary).values()) for summary in summaries]
    columns = ("tool", "purpose", "table", "accesses", "refused", "rows", "first", "last")
    print_table(columns, rows, empty="no access")
