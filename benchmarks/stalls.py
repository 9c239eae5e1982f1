"""`python -m benchmarks.stalls`: how long a client waits while others do their worst.

A quiet client asks a small thing without pause; meanwhile another process sends what is large,
deep or many, or reads nothing. The longest wait is what somebody else's statement costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import asyncpg
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.kept import keep
from benchmarks.processes import Target
from benchmarks.stand import stand

TEXT: Final = "SELECT id, email FROM crm.customers WHERE id = $1"
MIB: Final = 1024 * 1024
ROUNDS: Final = 5
IDLE: Final = 500
QUIET_S: Final = 3.0
# What one client's doing may cost another.
LIMIT_S: Final = 0.050

Connection = Any  # asyncpg has no types


async def _connect(target: Target) -> Connection:
    return await asyncpg.connect(
        host="127.0.0.1",
        port=target.port,
        user=target.user,
        password=target.password,
        database=target.database,
        ssl=False,
        statement_cache_size=0,
    )


# --- what others do --------------------------------------------------------------------------


async def _nothing(_: Target) -> None:
    await asyncio.sleep(QUIET_S)


async def _ask(target: Target, text: str) -> None:
    connection = await _connect(target)
    for number in range(ROUNDS):
        with contextlib.suppress(asyncpg.PostgresError):
            # Never the same text twice: a plan that is known costs nothing.
            await connection.execute(text.replace("{}", str(number)))
    await connection.close()


async def _large(target: Target) -> None:
    await _ask(target, f"SELECT id FROM crm.customers WHERE email = '{{}}{'x' * (MIB - 100)}'")


async def _deep(target: Target) -> None:
    await _ask(target, "SELECT {} + " + "(" * 99 + "1" + ")" * 99)


async def _long_list(target: Target) -> None:
    numbers = ", ".join(str(number) for number in range(20_000))
    await _ask(target, f"SELECT id FROM crm.customers WHERE id IN ({numbers}, {{}})")


async def _short_list(target: Target) -> None:
    """As long as is still read in the event loop itself."""
    numbers = ", ".join(str(number) for number in range(150))
    await _ask(target, f"SELECT id FROM crm.customers WHERE id IN ({numbers}, {{}})")


async def _many_logins(target: Target) -> None:
    for client in await _logged_in(target):
        client.terminate()


async def _logged_in(target: Target) -> list[Connection]:
    clients: list[Connection] = []
    for _ in range(IDLE // 10):
        clients += await asyncio.gather(*(_connect(target) for _ in range(10)))
    return clients


async def _much(target: Target) -> None:
    """Rows in bulk, as fast as this client takes them."""
    await _ask(target, "SELECT repeat('x', 1000) FROM crm.customers, generate_series(0, 4 + {})")


async def _reads_nothing(target: Target) -> None:
    connection = await _connect(target)
    connection._transport.pause_reading()  # noqa: SLF001 - no client does so by its own will
    text = "SELECT repeat('x', 1000) FROM crm.customers, generate_series(1, 100)"
    task = asyncio.create_task(connection.execute(text))
    await asyncio.sleep(QUIET_S)
    connection.terminate()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


WORST: Final[Mapping[str, Callable[[Target], Awaitable[None]]]] = {
    "nobody else": _nothing,
    "a list of 150 elements": _short_list,
    "a list of 20,000 elements": _long_list,
    "a statement of 1 MiB": _large,
    "100 nested parentheses": _deep,
    "500 logins": _many_logins,
    "rows in bulk": _much,
    "a client that reads nothing": _reads_nothing,
}


def _do(name: str, target: Target) -> None:
    async def run() -> None:
        await WORST[name](target)

    asyncio.run(run())


# --- the quiet client ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds that single statements of the quiet client took."""

    name: str
    seconds: list[float]

    @property
    def longest_s(self) -> float:
        return max(self.seconds)

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Longest:
    """What is kept of two runs."""

    meanwhile: str
    statements: int
    median_ms: float
    p99_ms: float
    longest_ms: float
    longest_direct_ms: float | None

    @classmethod
    def of(cls, through: Waits, direct: Waits | None) -> Self:
        ordered = sorted(through.seconds)
        return cls(
            meanwhile=through.name,
            statements=len(ordered),
            median_ms=through.median_s * 1000,
            p99_ms=ordered[len(ordered) * 99 // 100] * 1000,
            longest_ms=through.longest_s * 1000,
            longest_direct_ms=None if direct is None else direct.longest_s * 1000,
        )


async def measure(name: str, target: Target) -> Waits:
    connection = await _connect(target)
    statement = await connection.prepare(TEXT)
    for number in range(200):  # as warm as it gets
        await statement.fetch(number)
    other = multiprocessing.get_context("spawn").Process(target=_do, args=(name, target))
    other.start()
    seconds: list[float] = []
    while other.is_alive():
        began = time.perf_counter()
        await statement.fetch(len(seconds) % 1000)
        seconds.append(time.perf_counter() - began)
    await connection.close()
    return Waits(name, seconds)


async def idle_bytes(target: Target) -> tuple[int, int]:
    """What the idle clients cost the proxy in memory while they are there, and once they left."""
    process = psutil.Process(target.pid)
    files, before = process.num_fds(), process.memory_info().rss
    clients = await _logged_in(target)
    during = process.memory_info().rss
    for client in clients:
        client.terminate()
    while process.num_fds() > files:  # noqa: ASYNC110 - another process closes them
        await asyncio.sleep(0.01)
    return during - before, process.memory_info().rss - before


def main() -> int:
    with stand(customers=20_000, durability="process") as standing:
        during, after = asyncio.run(idle_bytes(standing.proxy))
        measured = [
            (
                asyncio.run(measure(name, standing.proxy)),
                asyncio.run(measure(name, standing.direct)),
            )
            for name in WORST
            # The database itself has room for 200 clients.
            if name != "500 logins"
        ]
        logins = asyncio.run(measure("500 logins", standing.proxy))
    table = Table(title=f"What a quiet client waits (nobody may cost it {LIMIT_S * 1000:.0f} ms)")
    for heading in ("meanwhile", "statements", "median ms", "longest ms", "longest ms, no proxy"):
        table.add_column(heading, justify="left" if heading == "meanwhile" else "right")
    for through, direct in (*measured, (logins, None)):
        table.add_row(
            through.name,
            str(len(through.seconds)),
            f"{through.median_s * 1000:.2f}",
            f"{through.longest_s * 1000:.1f}",
            "" if direct is None else f"{direct.longest_s * 1000:.1f}",
        )
    console = Console()
    console.print(table)
    keep("stalls", [Longest.of(*pair) for pair in (*measured, (logins, None))])
    cost = f"{during / MIB:.1f} MiB; once they have left, {after / MIB:.1f} MiB are kept"
    console.print(f"{IDLE} idle clients cost {cost}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
