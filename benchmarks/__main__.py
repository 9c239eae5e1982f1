"""`python -m benchmarks` (`make bench`): the short form of every benchmark, in five minutes.

Each can be run alone and longer; then its results are kept (docs/benchmarks.md tells how).
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from rich.console import Console

from benchmarks import bulk, connections, growth, guards, hot_path, planning
from benchmarks.stand import stand


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--durability", choices=("host", "process"), default="process")
    parser.add_argument("--seconds", type=float, default=1, help="of each run of pgbench")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    console = Console()

    planning.as_in_a_worker()
    with planning.dealership_enforcer() as enforcer:
        for each in planning.tables(list(planning.measure(enforcer, 200))):
            console.print(each)
    console.print(growth.table(list(growth.measure(("tables", "columns", "tools"), 10))))
    with stand(customers=bulk.CUSTOMERS, durability=options.durability) as standing:
        rounds = list(
            hot_path.run(
                standing,
                customers=bulk.CUSTOMERS,
                seconds=options.seconds,
                rounds=options.rounds,
            )
        )
        console.print(hot_path.table(rounds))
        made = connections.run(standing, seconds=options.seconds, rounds=options.rounds)
        console.print(connections.table(list(made)))
        console.print(bulk.table(list(bulk.run(standing, rows=200_000, rounds=options.rounds))))
        costs = asyncio.run(guards.run(standing, rounds=options.rounds))
    console.print(guards.table(costs, guards.SHORT_PEOPLE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
