"""`python -m benchmarks.hot_path`: what a statement costs: the database and the proxies beside it.

pgbench runs the same point query in its three protocol modes against each target in turn, several
rounds, so that each target meets the same mood of the machine. Reported per target and mode:
CPU µs per query of the target's own process tree (for proxies: without the database), p50 and p99
of the latency seen by one client, and queries per second with eight.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.kept import keep
from benchmarks.processes import Target
from benchmarks.stand import Stand, stand
from proxy.demo.embedded import installed_binaries

MODES: Final = ("simple", "extended", "prepared")

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
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "point.sql"
        script.write_text(f"\\set id random(1, {customers})\n{MASKED_QUERY}\n")
        for _ in range(rounds):
            for mode in modes:
                for count in clients:
                    for target in stand.targets:
                        yield _pgbench(target, mode, count, seconds, script, options)


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
    options = parser.parse_args()
    with stand(customers=options.customers, durability=options.durability) as standing:
        rounds = list(
            run(
                standing,
                customers=options.customers,
                seconds=options.seconds,
                rounds=options.rounds,
            )
        )
    Console().print(table(rounds))
    keep(f"hot_path_{options.durability}", rounds, seconds=options.seconds, rounds=options.rounds)


if __name__ == "__main__":
    main()
