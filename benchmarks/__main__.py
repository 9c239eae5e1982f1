"""`python -m benchmarks`: what a statement and a guard cost, as tables; results kept as JSON."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import platform
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import guards, hot_path
from benchmarks.stand import stand


def main() -> int:
    options = _options()
    console = Console()
    with stand(customers=options.customers, durability=options.durability) as standing:
        rounds = list(
            hot_path.run(
                standing,
                customers=options.customers,
                seconds=options.seconds,
                rounds=options.rounds,
            )
        )
        costs = asyncio.run(guards.run(standing, rounds=options.rounds * 5))
    _print_hot_path(console, rounds)
    _print_guards(console, costs)
    if options.json:
        Path(options.json).write_text(json.dumps(_document(options, rounds, costs), indent=2))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=2, help="of each run of pgbench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--durability", choices=("host", "process"), default="host")
    parser.add_argument("--json", help="file for the results")
    return parser.parse_args()


def _print_hot_path(console: Console, rounds: list[hot_path.Round]) -> None:
    table = Table(title="One statement (medians)")
    for heading in ("mode", "clients", "target", "CPU µs/query", "p50 µs", "p99 µs", "queries/s"):
        table.add_column(heading, justify="right" if heading not in ("mode", "target") else "left")
    for (mode, clients, target), each in hot_path.medians(rounds).items():
        table.add_row(
            mode,
            str(clients),
            target,
            f"{each.cpu_us:.1f}",
            f"{each.p50_us:.0f}",
            f"{each.p99_us:.0f}",
            f"{each.queries_per_s:.0f}",
        )
    console.print(table)


def _print_guards(console: Console, costs: list[guards.Cost]) -> None:
    table = Table(title="A guard beside the raw table (medians)")
    for heading in ("query", "raw ms", "guarded ms", "ratio"):
        table.add_column(heading, justify="left" if heading == "query" else "right")
    for cost in costs:
        table.add_row(
            cost.name, f"{cost.raw_ms:.2f}", f"{cost.guarded_ms:.2f}", f"{cost.ratio:.2f}"
        )
    console.print(table)


def _document(
    options: argparse.Namespace, rounds: list[hot_path.Round], costs: list[guards.Cost]
) -> dict[str, object]:
    return {
        "machine": platform.platform(),
        "python": platform.python_version(),
        "options": vars(options),
        "hot_path": [dataclasses.asdict(each) for each in rounds],
        "guards": [{**dataclasses.asdict(each), "ratio": each.ratio} for each in costs],
    }


if __name__ == "__main__":
    sys.exit(main())
