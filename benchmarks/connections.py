"""`python -m benchmarks.connections`: what a connection costs: to make one, and to have one.

*Making*: pgbench makes a connection (SCRAM-SHA-256) for each point query and closes it after; the
targets take turns. *Having*: 500 clients log in and ask nothing; the growth of the target's
memory (PSS of its process tree) by their number, and what stays of it when they have left.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
from rich.console import Console
from rich.table import Table

from benchmarks import hot_path
from benchmarks.kept import keep
from benchmarks.processes import Target
from benchmarks.stand import Stand, stand

CUSTOMERS: Final = 2_000
IDLE: Final = 500
CLIENTS: Final = 4
# Those that have a process for each client, or room for fewer, are no comparison.
_ONE_PROCESS: Final = ("pgbouncer", "proxy (process)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    target: str
    per_s: float | None = None  # made, with a query each
    cpu_us: float | None = None  # of the target's process tree
    p50_us: float | None = None
    idle_bytes: float | None = None  # each, of idle ones
    left_bytes: float | None = None  # of each, when it has left


def run(standing: Stand, *, seconds: float, rounds: int) -> Iterator[Connection]:
    measured = list(
        hot_path.run(
            standing,
            customers=CUSTOMERS,
            seconds=seconds,
            rounds=rounds,
            modes=("simple",),
            clients=(CLIENTS,),
            options=("-C",),
        )
    )
    idle = {
        target.name: asyncio.run(_idle(target))
        for target in standing.targets
        if target.name in _ONE_PROCESS
    }
    for (_, _, target), made in hot_path.medians(measured).items():
        having, left = idle.get(target, (None, None))
        yield Connection(
            target=target,
            per_s=made.queries_per_s,
            cpu_us=made.cpu_us,
            p50_us=made.p50_us,
            idle_bytes=having,
            left_bytes=left,
        )


async def _idle(target: Target) -> tuple[float, float]:
    for client in await _log_in(target, 50):  # what the first ones need stays anyway
        client.terminate()
    await _have_left(target)
    before = target.memory_bytes()
    clients = await _log_in(target, IDLE)
    during = target.memory_bytes()
    for client in clients:
        client.terminate()
    await _have_left(target)
    return (during - before) / IDLE, (target.memory_bytes() - before) / IDLE


async def _have_left(target: Target) -> None:
    """A process of its own closes them: wait until it has as few as before there were any."""
    (process, *_) = target.processes()
    last = process.num_fds() + 1
    while process.num_fds() < last:
        last = process.num_fds()
        await asyncio.sleep(0.5)


async def _log_in(target: Target, count: int) -> list[asyncpg.Connection]:
    clients: list[asyncpg.Connection] = []
    for _ in range(count // 10):
        clients += await asyncio.gather(*(_connect(target) for _ in range(10)))
    return clients


async def _connect(target: Target) -> asyncpg.Connection:
    return await asyncpg.connect(
        host="127.0.0.1",
        port=target.port,
        user=target.user,
        password=target.password,
        database=target.database,
        ssl=False,
        timeout=60,
    )


def table(measured: Sequence[Connection]) -> Table:
    result = Table(title="A connection (medians)")
    for heading in ("target", "made a second", "CPU µs", "p50 µs", "KiB idle", "KiB kept"):
        result.add_column(heading, justify="left" if heading == "target" else "right")
    for each in measured:
        result.add_row(
            each.target,
            _shown(each.per_s),
            _shown(each.cpu_us),
            _shown(each.p50_us),
            _shown(each.idle_bytes, 1024),
            _shown(each.left_bytes, 1024),
        )
    return result


def _shown(figure: float | None, unit: int = 1) -> str:
    if figure is None:
        return ""
    return f"{figure / unit:.1f}" if unit > 1 else f"{figure:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connections")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with stand(customers=CUSTOMERS, durability="process") as standing:
        measured = list(run(standing, seconds=options.seconds, rounds=options.rounds))
    Console().print(table(measured))
    keep("connections", measured, seconds=options.seconds, rounds=options.rounds)


if __name__ == "__main__":
    main()
