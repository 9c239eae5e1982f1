"""`python -m benchmarks.guard`: fails if the hot path costs more than it may.

The proxy's CPU per query is compared with the database's own for the same queries, measured in the
same run: a ratio that a faster or slower machine does not move. The bands are about twice what was
measured when they were set (docs/benchmarks.md), wide enough for a noisy machine and narrow enough
to notice a plan that is made for each query or a row that Python looks at.
"""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console

from benchmarks import hot_path
from benchmarks.stand import stand

CUSTOMERS: Final = 2_000
SECONDS: Final = 2.0
ROUNDS: Final = 3
CLIENTS: Final = 8
# proxy CPU per query / database CPU per query
BANDS: Final = {"simple": 10.0, "extended": 9.0, "prepared": 11.0}


def main() -> int:
    console = Console()
    with stand(customers=CUSTOMERS, durability="process") as standing:
        rounds = list(
            hot_path.run(
                standing,
                customers=CUSTOMERS,
                seconds=SECONDS,
                rounds=ROUNDS,
                modes=tuple(BANDS),
                clients=(CLIENTS,),
            )
        )
        direct, proxy = standing.direct.name, standing.proxy.name
    found = hot_path.medians(rounds)
    is_within = True
    for mode, band in BANDS.items():
        ours, database = found[mode, CLIENTS, proxy], found[mode, CLIENTS, direct]
        ratio = ours.cpu_us / database.cpu_us
        is_within = is_within and ratio <= band
        console.print(
            f"{mode}: proxy {ours.cpu_us:.0f} µs, database {database.cpu_us:.0f} µs per query: "
            f"{ratio:.1f} times, allowed {band:.0f}"
        )
    console.print("within the bands" if is_within else "[bold]beyond a band[/bold]")
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
