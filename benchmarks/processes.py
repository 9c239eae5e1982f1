"""Processes that are measured: started, waited for, ended; what they cost."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

import asyncpg
import psutil

START_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that answers SQL; `pid` is the process whose tree is the target's own cost."""

    name: str
    port: int
    user: str
    password: str
    database: str
    pid: int

    def processes(self) -> list[psutil.Process]:
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]

    def cpu_s(self) -> float:
        """CPU seconds of the process and its children so far, user and system."""
        total = 0.0
        for each in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                # Children that ended are in their parent's account: a backend per connection.
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def memory_bytes(self) -> int:
        """Of the process tree, each page shared among processes counted by its share (PSS)."""
        total = 0
        for each in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                total += each.memory_full_info().pss
        return total


@contextlib.contextmanager
def running(
    command: list[str], output: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=START_S)


def wait(process: subprocess.Popen[bytes], is_there: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while not is_there():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"{process.args!r} did not start")
        time.sleep(0.05)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def sharing_a_core(connections: Sequence[asyncpg.Connection]) -> Iterator[None]:
    """This process and those of these connections on one core; without any, it is as it was.

    A prepared look-up takes less than to wake another core, which is done or not by chance.
    """
    cores = os.sched_getaffinity(0)
    if connections:
        for process in (0, *(each.get_server_pid() for each in connections)):
            os.sched_setaffinity(process, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
