"""`python -m benchmarks.holds`: how long the event loop of the proxy is held by one step.

The proxy runs with a probe in its loop: a callback that asks to be called again at once. What lies
between two calls is one step of the loop; its CPU time is what our own code holds up all others,
whoever else has the core. A client sends statements that were made to be slow meanwhile; in the end
a table is added, the catalog is read again, and ordinary statements are asked once more.

A virtual machine charges a thread for time that the host took (an empty loop shows steps of 15 ms
here, a few in a minute). So all is done several times with a new proxy each, and what counts is the
shortest of the longest steps: what our own code takes, it takes each time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
from rich.console import Console
from rich.table import Table

from benchmarks.kept import keep
from benchmarks.planning import STATEMENTS
from benchmarks.stand import DATABASE, Stand, stand
from proxy.config_file import read_config
from proxy.server import CATALOG_WATCH_S
from proxy.workers import run_loop, serve_one

PROBE_FILE: Final = "CONSENT_PROXY_BENCH_PROBE"
# What one statement may cost all others at once.
LIMIT_MS: Final = 5.0
MIB: Final = 1 << 20
ROUNDS: Final = 8
_NOTED_MS: Final = 0.2
_CATALOG: Final = ("pg_class", "pg_attribute", "pg_type", "pg_namespace", "pg_index", "pg_proc")


def _texts() -> Iterator[tuple[str, str]]:
    """{n} is another number each time."""
    for name, text in STATEMENTS.items():
        yield f"ordinary: {name}", text.replace("{name}", "_{n}")
    people = ", ".join(f"crm.customers c{i}" for i in range(50))
    yield "50 × customers, *", f"SELECT {{n}} AS n, * FROM {people} WHERE false"
    catalog = ", ".join(f"{_CATALOG[i % len(_CATALOG)]} c{i}" for i in range(50))
    yield "50 relations of the catalog", f"SELECT {{n}} FROM {catalog} WHERE false"
    # Of these a template is made, which is a second plan.
    shared = ", ".join(f"{_CATALOG[i % len(_CATALOG)]} c{i}" for i in range(30))
    yield "30 of them, a literal that varies", f"SELECT 1 FROM {shared} WHERE c0.oid = {{n}}"
    for count in (12, 50):
        masked = " AND ".join(f"email = 'a{i}@b.c'" for i in range(count))
        yield f"{count} conditions", f"SELECT id FROM crm.customers WHERE {masked} AND id = {{n}}"
    for count in (4, 15):
        joins = "".join(
            f" JOIN crm.customers c{i} ON c{i}.id = c0.id AND c{i}.email = 'x'"
            for i in range(1, count + 1)
        )
        yield f"{count} joins", f"SELECT c0.id FROM crm.customers c0{joins} WHERE c0.id = {{n}}"
    yield "400 times + 1", "SELECT {n}" + " + 1" * 400
    numbers = ", ".join(map(str, range(20_000)))
    few = ", ".join(map(str, range(150)))
    yield "150 elements", f"SELECT id FROM crm.customers WHERE id IN ({few}, {{n}})"
    yield "20,000 elements", f"SELECT id FROM crm.customers WHERE id IN ({numbers}, {{n}})"
    yield "1 MiB", f"SELECT id FROM crm.customers WHERE email = '{{n}}{'x' * (MIB - 100)}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    statements: str
    longest_ms: float  # CPU time of one step of the loop
    above_limit: int  # steps that took longer than LIMIT_MS


Times = list[tuple[str, float, float]]
"""What happened from when to when (`time.monotonic`)."""


async def _ask_all(stand: Stand) -> Times:
    target = stand.proxy
    connection = await asyncpg.connect(
        host="127.0.0.1", port=target.port, user=target.user, password=target.password,
        database=target.database, ssl=False, statement_cache_size=0,
    )  # fmt: skip
    times = await _ask(connection, _texts())
    began = time.monotonic()
    stand.server.run("CREATE TABLE crm.added (id int)", DATABASE)
    await asyncio.sleep(2 * CATALOG_WATCH_S)
    times.append(("the catalog is read again", began, time.monotonic()))
    again = ((f"{name}, then", text) for name, text in _texts() if name.startswith("ordinary"))
    times += await _ask(connection, again)
    await connection.close()
    return times


async def _ask(connection: asyncpg.Connection, texts: Iterable[tuple[str, str]]) -> Times:
    times: Times = []
    for name, text in texts:
        began = 0.0
        # The first makes guards and the reader's process; it is a line of its own.
        for number in range(ROUNDS + 1):
            if number <= 1:
                began = time.monotonic()
            with contextlib.suppress(asyncpg.PostgresError):
                await connection.execute(text.replace("{n}", str(1000 + number)))
            await asyncio.sleep(0.02)  # a template of it is made meanwhile
            if not number:
                times.append((f"{name}: the first", began, time.monotonic()))
        times.append((name, began, time.monotonic()))
    return times


def measure(runs: int) -> list[Held]:
    measured = [_measure() for _ in range(runs)]
    return [
        Held(
            statements=same[0].statements,
            longest_ms=min(each.longest_ms for each in same),
            above_limit=min(each.above_limit for each in same),
        )
        for same in zip(*measured, strict=True)
    ]


def _measure() -> list[Held]:
    with tempfile.TemporaryDirectory(prefix="proxy-bench-") as folder:
        file = Path(folder) / "steps"
        os.environ[PROBE_FILE] = str(file)
        program = (sys.executable, "-m", "benchmarks.holds", "serve")
        with stand(
            customers=2_000, durability="process", with_poolers=False, program=program
        ) as standing:
            times = asyncio.run(_ask_all(standing))
        steps: list[tuple[float, float]] = json.loads(file.read_text())
    found = []
    for name, began, ended in times:
        costs = [cost for at, cost in steps if began <= at <= ended]
        above = sum(cost > LIMIT_MS for cost in costs)
        found.append(Held(statements=name, longest_ms=max(costs, default=0), above_limit=above))
    return found


# --- the proxy with its probe -----------------------------------------------------------------


class _Probe:
    def __init__(self, steps: list[tuple[float, float]]) -> None:
        self.steps = steps
        self._loop = asyncio.get_running_loop()
        self._before = time.thread_time()

    def step(self) -> None:
        now = time.thread_time()
        cost_ms = (now - self._before) * 1000
        self._before = now
        if cost_ms > _NOTED_MS:
            self.steps.append((time.monotonic(), cost_ms))
        self._loop.call_soon(self.step)


async def _serve(config: Path, ready_file: Path, steps: list[tuple[float, float]]) -> int:
    _Probe(steps).step()
    return await serve_one(read_config(config, {}, is_optional=False), ready_file=ready_file)


def serve(arguments: list[str]) -> int:
    _, config, _, ready_file = arguments
    steps: list[tuple[float, float]] = []
    code = run_loop(_serve(Path(config), Path(ready_file), steps))
    Path(os.environ[PROBE_FILE]).write_text(json.dumps(steps))
    return code


def main() -> int:
    if sys.argv[1:2] == ["serve"]:
        return serve(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks.holds")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    held = measure(options.runs)
    table = Table(title=f"CPU ms of one step of the event loop (no step may take {LIMIT_MS:.0f})")
    for heading in ("meanwhile", "longest", "steps above"):
        table.add_column(heading, justify="left" if heading == "meanwhile" else "right")
    for each in held:
        table.add_row(each.statements, f"{each.longest_ms:.1f}", str(each.above_limit))
    Console().print(table)
    keep("holds", held, runs=options.runs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
