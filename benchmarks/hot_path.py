"""`python -m benchmarks.hot_path`: what a statement costs: the database and the proxies beside it.

pgbench runs the same point query in its three protocol modes against each target in turn, several
rounds, so that each target meets the same mood of the machine. Reported per target and mode:
CPU µs per query of the target's own process tree (for proxies: without the database), p50 and p99
of the latency seen by one client, and queries per second with eight. `guarded` is the database
itself, asked what the proxy asks it: what lies between it and `direct` is the guard's, the rest of
the way to the proxy is the proxy's. With durability `host` the disk's fdatasync is measured, too.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.kept import keep
from benchmarks.planning import enforcer_of
from benchmarks.processes import Target
from benchmarks.stand import PURPOSE, TOOL, Stand, stand
from proxy.demo.embedded import EmbeddedPostgres, installed_binaries
from proxy.errors import Refused
from proxy.rewrite.plan import PlanContext

MODES: Final = ("simple", "extended", "prepared")
_POOLED: Final = {"session": (), "transaction": ("pooled",)}

# crm.customers, both guarded (the e-mail is a CASE over the ledger) and open columns.
MASKED_QUERY: Final = "SELECT id, full_name, email FROM crm.customers WHERE id = :id;"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One run of pgbench against one target."""

    target: str
    mode: str
    clients: int
    queries: int
    queries_per_s: float
    cpu_us: float  # of the target's process tree, per query
    p50_us: float
    p99_us: float


def run(
    stand: Stand,
    *,
    customers: int,
    seconds: float,
    rounds: int,
    modes: Sequence[str] = MODES,
    clients: Sequence[int] = (1, 8),
    options: Sequence[str] = (),
) -> Iterator[Round]:
    """The rounds, in the order in which they were measured. `options` are pgbench's."""
    guarded = dataclasses.replace(stand.direct, name="guarded")
    with tempfile.TemporaryDirectory() as folder:
        script, guarded_script = Path(folder) / "point.sql", Path(folder) / "guarded.sql"
        choice = f"\\set id random(1, {customers})\n"
        script.write_text(f"{choice}{MASKED_QUERY}\n")
        guarded_script.write_text(f"{choice}{_as_guarded(stand.server)}\n")
        for _ in range(rounds):
            for mode in modes:
                for count in clients:
                    yield _pgbench(guarded, mode, count, seconds, guarded_script, options)
                    for target in stand.targets:
                        yield _pgbench(target, mode, count, seconds, script, options)


def _as_guarded(server: EmbeddedPostgres) -> str:
    """The query as the proxy sends it."""
    context = PlanContext(tool=TOOL, purpose=PURPOSE, search_path=("crm",), is_extended=True)
    text = MASKED_QUERY.removesuffix(";").replace(":id", "$1")
    (plan,) = asyncio.run(enforcer_of(server)).plan(text, context)
    if isinstance(plan, Refused):
        raise SystemExit(plan.message)
    return plan.text.replace("$1", ":id") + ";"


def fdatasync_us(folder: Path) -> float:
    """µs of one fdatasync behind a write of two records' size: median of many."""
    times: list[float] = []
    with (folder / "fdatasync").open("wb", buffering=0) as file:
        for _ in range(500):
            file.write(bytes(1500))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def _pgbench(
    target: Target, mode: str, clients: int, seconds: float, script: Path, options: Sequence[str]
) -> Round:
    log = script.parent / "log"
    for old in script.parent.glob("log*"):
        old.unlink()
    command = [
        str(installed_binaries() / "pgbench"), "-n", "-M", mode, "-c", str(clients), "-j", "1",
        "-T", str(math.ceil(seconds)), *options, "-f", str(script), "-l", "--log-prefix", str(log),
        "-h", "127.0.0.1", "-p", str(target.port), "-U", target.user, target.database,
    ]  # fmt: skip
    before = target.cpu_s()
    done = subprocess.run(
        command,
        env={"PGPASSWORD": target.password, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"pgbench against {target.name} failed: {done.stderr[-2000:]}")
    cpu_s = target.cpu_s() - before
    latencies = sorted(
        int(line.split()[2]) for path in script.parent.glob("log*") for line in _lines(path)
    )
    queries = len(latencies)
    return Round(
        target=target.name,
        mode=mode,
        clients=clients,
        queries=queries,
        queries_per_s=queries / math.ceil(seconds),
        cpu_us=cpu_s / queries * 1e6,
        p50_us=latencies[queries // 2],
        p99_us=latencies[queries * 99 // 100],
    )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def medians(rounds: Sequence[Round]) -> dict[tuple[str, int, str], Round]:
    """The median round of each figure, by mode, number of clients and target."""
    found: dict[tuple[str, int, str], list[Round]] = {}
    for each in rounds:
        found.setdefault((each.mode, each.clients, each.target), []).append(each)
    return {
        key: Round(
            target=key[2],
            mode=key[0],
            clients=key[1],
            queries=sum(each.queries for each in group),
            queries_per_s=statistics.median(each.queries_per_s for each in group),
            cpu_us=statistics.median(each.cpu_us for each in group),
            p50_us=statistics.median(each.p50_us for each in group),
            p99_us=statistics.median(each.p99_us for each in group),
        )
        for key, group in found.items()
    }


def table(rounds: Sequence[Round]) -> Table:
    result = Table(title="One statement (medians)")
    for heading in ("mode", "clients", "target", "CPU µs/query", "p50 µs", "p99 µs", "queries/s"):
        result.add_column(heading, justify="left" if heading in ("mode", "target") else "right")
    for (mode, clients, target), each in medians(rounds).items():
        figures = (each.p50_us, each.p99_us, each.queries_per_s)
        shown = (f"{each.cpu_us:.1f}", *(f"{figure:.0f}" for figure in figures))
        result.add_row(mode, str(clients), target, *shown)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_path")
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=2, help="of each run of pgbench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--durability", choices=("host", "process"), default="process")
    parser.add_argument("--pooling", choices=("session", "transaction"), default="session")
    options = parser.parse_args()
    with stand(
        customers=options.customers, durability=options.durability, pooling=options.pooling
    ) as standing:
        rounds = list(
            run(
                standing,
                customers=options.customers,
                seconds=options.seconds,
                rounds=options.rounds,
            )
        )
        disk_us = [fdatasync_us(standing.folder) for _ in range(3)]
    Console().print(table(rounds))
    Console().print(f"one fdatasync of this disk: {statistics.median(disk_us):.0f} µs")
    name = "_".join(("hot_path", options.durability, *_POOLED[options.pooling]))
    keep(
        name,
        rounds,
        seconds=options.seconds,
        rounds=options.rounds,
        fdatasync_us=statistics.median(disk_us),
    )


if __name__ == "__main__":
    main()
