"""A run in several processes, each with a PostgreSQL and two proxies of its own."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import proxy.enforce
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.rewrite.pushdown import push_down
from tests.noninterference.asking import Planning
from tests.noninterference.databases import STATEMENT_S, Databases
from tests.noninterference.doors import HttpCaller, open_line
from tests.noninterference.report import Report
from tests.noninterference.rules import POLICY, Rules
from tests.noninterference.trial import (
    ANALYZED,
    PARALLEL,
    PLAIN,
    AskedByDoors,
    AskedByPlans,
    Numbers,
    Trial,
    Ways,
)
from tests.world import World

# The same statements in every run of the tests, unless others are asked for: so it is a change
# that fails a run, and not chance.
SEED: Final = os.environ.get("NONINTERFERENCE_SEED") or "consent"
PAIRS: Final = int(os.environ.get("NONINTERFERENCE_PAIRS", "5000"))
# Out of ten statements six are planned and run without the doors, which is faster.
_BY_POSTGRES, _BY_HTTP = 3, 1
_MODES: Final = (PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, ANALYZED, ANALYZED, PARALLEL)


def run(seed: str, numbers: Numbers, processes: int) -> Report:
    """Ask both sides these statements, part of them in each process; 0: in this one."""
    if not processes:
        return run_part(seed, numbers)
    report = Report()
    parts = [replace(numbers, part=part, parts=processes) for part in range(processes)]
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawning) as pool:
        for part in pool.map(run_part, [seed] * processes, parts):
            report.add(part)
    return report


def run_part(seed: str, numbers: Numbers) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="noninterference-"))
    server = EmbeddedPostgres(folder / "postgres", port=0, settings=WITHOUT_DURABILITY)
    try:
        with server, Databases(server, "noninterference") as databases, _counting() as counter:
            with _proxies(databases, folder) as (left, right):
                trial = _trial(databases, left, right, seed)
                report = trial.run(numbers)
            report.pushed = counter.pushed
            return report
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _proxies(databases: Databases, folder: Path) -> Iterator[tuple[World, World]]:
    limits = {"statement_s": STATEMENT_S}
    left, right = (
        World(databases.postgres, name, POLICY, folder / name, limits=limits)
        for name in (databases.left, databases.right)
    )
    with left, right:
        yield left, right


def _trial(databases: Databases, left: World, right: World, seed: str) -> Trial:
    enforcer = databases.enforcer()

    def ways(tool: str, purpose: str) -> Ways:
        planned = AskedByPlans(databases, Planning(enforcer, tool, purpose))
        lines = AskedByDoors(open_line(left, tool, purpose), open_line(right, tool, purpose))
        calls = AskedByDoors(HttpCaller(left, tool, purpose), HttpCaller(right, tool, purpose))
        by_postgres, by_http = ("by PostgreSQL's protocol", lines), ("by HTTP", calls)
        rest = 10 - 2 * _BY_POSTGRES - _BY_HTTP
        both = (("by plans", planned), by_postgres)
        return [*(both * _BY_POSTGRES), *([("by plans", planned)] * rest), by_http]

    return Trial(databases, Rules(), seed, ways, _MODES)


class _Counter:
    """Counts the guards that a condition was pushed into."""

    def __init__(self) -> None:
        self.pushed = 0

    def push_down(self, *arguments: Any, **options: Any) -> Any:
        made = push_down(*arguments, **options)
        self.pushed += made is not None
        return made


@contextmanager
def _counting() -> Iterator[_Counter]:
    counter = _Counter()
    with patch.object(proxy.enforce, "push_down", counter.push_down):
        yield counter
