"""A client that asks small things without pause: it shows whether somebody holds up the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from proxy.wire import messages as m
from tests.promises.process import Process
from tests.wire.raw import Raw

TEXT: Final = b"SELECT email FROM crm.customers WHERE id = $1"


class Ticker:
    """`count` answers so far; `longest_s` the longest wait for one since `restart`."""

    def __init__(self) -> None:
        self.count = 0
        self.longest_s = 0.0
        self.is_over = False

    def restart(self) -> None:
        self.longest_s = 0.0

    async def run(self, raw: Raw) -> None:
        raw.send(m.parse(b"tick", TEXT, [20]), m.SYNC_MESSAGE)
        _ = await raw.until_ready()
        asked = b"".join((m.bind(b"", b"tick", [b"2"]), m.execute(b""), m.SYNC_MESSAGE))
        while not self.is_over:
            began = time.monotonic()
            raw.send(asked)
            seen = await raw.until_ready()
            assert b"p2@example.com" in seen[1][1]
            self.count += 1
            self.longest_s = max(self.longest_s, time.monotonic() - began)


@asynccontextmanager
async def ticking(process: Process) -> AsyncIterator[Ticker]:
    """A ticker that runs as long as the block; an error of it ends the test."""
    ticker, raw = Ticker(), await process.login()
    task = asyncio.create_task(ticker.run(raw))
    await ticks(ticker, task, 1)
    yield ticker
    await ticks(ticker, task, 1)
    ticker.is_over = True
    await task
    raw.close()


async def ticks(ticker: Ticker, task: asyncio.Task[None] | None, more: int) -> None:
    """Wait until the ticker has been answered `more` times again."""
    wanted = ticker.count + more
    while ticker.count < wanted:
        if task is not None and task.done():
            task.result()
        await asyncio.sleep(0.001)


def memory_bytes(pid: int) -> int:
    """What a process holds in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the process is gone")


def open_files(pid: int) -> int:
    """How many files and sockets a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
