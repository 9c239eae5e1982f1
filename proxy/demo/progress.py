"""A progress bar for whoever waits: there after two seconds, gone when the work is done."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from proxy.demo.database import Progress

PATIENCE_S: Final = 2.0


@contextlib.contextmanager
def progress_bar(
    title: str, *, console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """A `Progress` that draws on standard error, if that is a terminal and it takes a while."""
    console = Console(file=sys.stderr) if console is None else console
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    begun = clock()
    task = bar.add_task(title, total=None)
    is_shown = False

    def progress(what: str, done: int, total: int) -> None:
        nonlocal is_shown
        bar.update(task, description=f"{title}: {what}", completed=done, total=total)
        if not is_shown and clock() - begun > PATIENCE_S:
            bar.start()
            is_shown = True

    try:
        yield progress
    finally:
        if is_shown:
            bar.stop()
