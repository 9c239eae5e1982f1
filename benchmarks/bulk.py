"""`python -m benchmarks.bulk`: what many rows cost: SELECT and COPY, megabytes a second and CPU.

The client is a socket that takes what comes and looks at nothing but the end, so that it is not
what is measured. The targets take turns. The statement multiplies the customers, masked columns
among them; the text that leaves the database is the same for each target but for the masks.
The proxy's memory is watched meanwhile (`--rows 5000000` for the figure in docs/benchmarks.md).
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.kept import keep
from benchmarks.processes import Target
from benchmarks.stand import Stand, stand
from proxy.wire import messages as m

CUSTOMERS: Final = 20_000
MIB: Final = 1024 * 1024
_QUERY: Final = (
    "SELECT c.id, c.full_name, c.email, c.created_at, '{filler}' AS filler"
    " FROM crm.customers AS c, generate_series(1, {times}) AS n"
)
_FILLER: Final = "x" * 64
_WATCH_S: Final = 0.05
FORMS: Final = {"SELECT": "{query}", "COPY": "COPY ({query}) TO STDOUT"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One run of one statement against one target."""

    form: str  # of FORMS
    target: str
    rows: int
    megabytes: float
    megabytes_per_s: float
    cpu_s_per_gigabyte: float  # of the target's process tree, for proxies without the database
    growth_mib: float  # of the target's memory, at its most, beyond what it had before


def run(standing: Stand, *, rows: int, rounds: int) -> Iterator[Transfer]:
    query = _QUERY.format(filler=_FILLER, times=max(1, rows // CUSTOMERS))
    for _ in range(rounds):
        for form, text in FORMS.items():
            for target in standing.targets:
                yield _transfer(target, form, text.format(query=query), rows)


def _transfer(target: Target, form: str, text: str, rows: int) -> Transfer:
    with _Client(target) as client:
        client.ask(text.replace("generate_series(1, ", "generate_series(1, 0 * "))  # warm
        with _Watch(target) as watch:
            cpu = target.cpu_s()
            began = time.perf_counter()
            size = client.ask(text)
            seconds = time.perf_counter() - began
            cpu = target.cpu_s() - cpu
    return Transfer(
        form=form,
        target=target.name,
        rows=rows,
        megabytes=size / 1e6,
        megabytes_per_s=size / 1e6 / seconds,
        cpu_s_per_gigabyte=cpu / (size / 1e9),
        growth_mib=watch.growth / MIB,
    )


class _Client:
    """Logs in as a driver does, and then reads the connection as bytes."""

    def __init__(self, target: Target) -> None:
        self._driver = psycopg.connect(
            host="127.0.0.1",
            port=target.port,
            user=target.user,
            password=target.password,
            dbname=target.database,
            sslmode="disable",
        )
        self._socket = socket.socket(fileno=os.dup(self._driver.fileno()))
        self._socket.setblocking(True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._driver.close()

    def ask(self, text: str) -> int:
        """The bytes of the answer."""
        self._socket.sendall(m.query(text.encode()))
        buffer = bytearray(MIB)
        end = m.ready(m.IDLE)
        size, tail = 0, b""
        while not tail.endswith(end):
            length = self._socket.recv_into(buffer)
            if length == 0:
                raise SystemExit("the connection was closed")
            size += length
            tail = (tail + buffer[max(0, length - len(end)) : length])[-len(end) :]
        if size < 1000 and b"ERROR" in buffer[:size]:
            raise SystemExit(bytes(buffer[:size]))
        return size


class _Watch:
    """The growth of a target's memory while something else runs."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._before = target.memory_bytes()
        self.growth = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(_WATCH_S):
            self.growth = max(self.growth, self._target.memory_bytes() - self._before)


def medians(transfers: Sequence[Transfer]) -> Iterator[Transfer]:
    """One for each form and target."""
    for form, target in dict.fromkeys((each.form, each.target) for each in transfers):
        group = [each for each in transfers if (each.form, each.target) == (form, target)]
        yield Transfer(
            form=form,
            target=target,
            rows=group[0].rows,
            megabytes=group[0].megabytes,
            megabytes_per_s=statistics.median(each.megabytes_per_s for each in group),
            cpu_s_per_gigabyte=statistics.median(each.cpu_s_per_gigabyte for each in group),
            growth_mib=max(each.growth_mib for each in group),
        )


def table(transfers: Sequence[Transfer]) -> Table:
    result = Table(title=f"{transfers[0].rows:,} rows, {transfers[0].megabytes:.0f} MB (medians)")
    for heading in ("form", "target", "MB/s", "CPU s/GB", "memory grew by MiB"):
        result.add_column(heading, justify="left" if heading in ("form", "target") else "right")
    for each in medians(transfers):
        figures = (each.megabytes_per_s, each.cpu_s_per_gigabyte, each.growth_mib)
        result.add_row(each.form, each.target, *(f"{figure:.1f}" for figure in figures))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with stand(customers=CUSTOMERS, durability="process") as standing:
        transfers = list(run(standing, rows=options.rows, rounds=options.rounds))
    Console().print(table(transfers))
    keep("bulk", transfers, rounds=options.rounds)


if __name__ == "__main__":
    main()
