"""How answers are printed: tables for people, JSON for programs, progress where it takes long.

rich looks at NO_COLOR, TERM and whether the output is a terminal; a table that goes elsewhere has
no colours and is as wide as its content.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from rich.table import Table

# What ends within this time needs no bar.
PROGRESS_AFTER_S: Final = 2.0
# Wide enough for any table of ours: what is not a terminal is read by another program, or later.
_WIDE: Final = 500

Progress = Callable[[int, int], None]  # done, of how much


def print_json(value: object) -> None:
    """One JSON value, indented, with every character as it is."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str = "") -> None:
    """A table on standard output; `empty` where there is no row. Cells are text, not markup."""
    from rich.console import Console
    from rich.text import Text

    told = [[Text(cell) for cell in row] for row in rows]
    if not told:
        if empty:
            print(empty)
        return
    table = _table(columns)
    for row in told:
        table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    console.print(table)


def _table(columns: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_severity(severity: str, message: str) -> None:
    """A line that starts with a coloured word, where colours are."""
    from rich.console import Console
    from rich.text import Text

    colours = {"error": "bold red", "warning": "yellow", "ok": "green", "PASS": "green"}
    colours |= {"FAIL": "bold red"}
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(severity, style=colours.get(severity, "")), Text(message))


@contextlib.contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A bar on standard error, once the work has taken two seconds and if somebody looks."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    bar = Bar(console=Console(stderr=True), transient=True)
    task = bar.add_task(label, total=None)
    started = time.monotonic()

    def show(done: int, total: int) -> None:
        if not bar.live.is_started and time.monotonic() - started > PROGRESS_AFTER_S:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()


@contextlib.contextmanager
def waiting(label: str) -> Iterator[None]:
    """A turning wheel where nobody knows how much is left; shown as a bar would be."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    status = Console(stderr=True).status(label)
    timer = threading.Timer(PROGRESS_AFTER_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it may be starting the wheel at this moment
        status.stop()


@contextlib.contextmanager
def destination(path: Path | None) -> Iterator[TextIO]:
    """Where an export goes: standard output, or a file that only its owner can read.

    A file takes its name when it is complete: an export that fails leaves none.
    """
    if path is None:
        yield sys.stdout
        return
    unfinished = path.with_name(f".{path.name}.unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            os.fchmod(file.fileno(), 0o600)
            yield file
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def csv_line(cells: Sequence[object]) -> str:
    """One line of CSV in which no spreadsheet finds a formula.

    A cell that begins like one gets an apostrophe before it (OWASP, CSV Injection).
    """
    out = io.StringIO()
    csv.writer(out).writerow([_harmless(str(cell)) for cell in cells])
    return out.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


def time_text(instant: datetime | None) -> str | None:
    """ISO 8601 in UTC, or None."""
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
