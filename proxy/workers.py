"""The process around a worker: signals and the ready file. Several workers: see supervisor.py."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import structlog

from proxy.config import Config
from proxy.post import WorkerPost
from proxy.server import Ready, Server
from proxy.telemetry import set_up_logging

# A search for garbage holds the loop. Where policy and catalog are out of its way (gc.freeze) many
# short ones cost no more than few long ones: 0.4 ms each, not 3 as with (10_000, 20, 50).
GARBAGE_THRESHOLDS: Final = (1_000, 5, 200)
# So long a thread that computes (a policy is read, a catalog) has the loop wait.
SWITCH_S: Final = 0.001

_log = structlog.get_logger(__name__)


def run(config: Config, *, workers: int, ready_file: Path | None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Raises ConfigurationError where it can not."""
    set_up_logging()
    if workers == 1:
        return run_loop(serve_one(config, ready_file=ready_file))
    from proxy.supervisor import Supervisor  # it needs this module

    return Supervisor(config, workers, ready_file).run()


def run_loop(work: Awaitable[int]) -> int:
    """Run a coroutine on uvloop where it is there."""
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_awaited(work))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on every platform; the standard loop does the same, more slowly
        return None
    return uvloop.new_event_loop


async def _awaited(work: Awaitable[int]) -> int:
    return await work


async def serve_one(
    config: Config,
    *,
    worker: int = 0,
    post: WorkerPost | None = None,
    supervisor: Connection | None = None,
    ready_file: Path | None = None,
    more: Mapping[str, object] | None = None,
    started: Callable[[Ready], None] | None = None,
) -> int:
    """One worker in this event loop, from start to drained end. `more` goes into the ready file.

    `supervisor` has nothing to say: where its end is closed, the worker has to end, because it is
    told to, or because nobody looks after it any more.
    """
    ended = asyncio.Event()
    end = _Ending(ended)
    server = Server(config, worker=worker, post=post)
    loop = asyncio.get_running_loop()
    # From now on: a proxy that is told to end while it starts ends in order, with its log closed.
    loop.add_signal_handler(signal.SIGTERM, end.ask)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # changed files are noticed anyway
    if supervisor is None:
        loop.add_signal_handler(signal.SIGINT, end.ask)
    ready = await server.start()
    # Policy and catalog stay: a search through all of them would hold up every statement.
    gc.freeze()
    try:
        if supervisor is not None:
            loop.add_reader(supervisor.fileno(), _closed, loop, supervisor, ended)
        reloads: set[asyncio.Task[None]] = set()

        def reload() -> None:
            task = loop.create_task(server.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        if ready_file is not None:
            write_ready_file(ready_file, {**ready_values(config, ready), **(more or {})})
        _log.info("ready", postgres=_text(ready.postgres), http=f"http://{_text(ready.http)}")
        if started is not None:
            started(ready)
        await ended.wait()
    finally:
        await server.stop()
    forget(ready_file)
    return 0


def forget(ready_file: Path | None) -> None:
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)


def _closed(loop: asyncio.AbstractEventLoop, supervisor: Connection, ended: asyncio.Event) -> None:
    loop.remove_reader(supervisor.fileno())
    ended.set()


class _Ending:
    """Signals that ask for the end. The supervisor's word is none of them: it may arrive before the
    one signal that a whole group was sent, and that would be taken for the second.
    """

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended
        self._is_asked = False

    def ask(self) -> None:
        if self._is_asked:
            os._exit(1)  # asked twice: whoever asks does not want to wait for the drain
        self._is_asked = True
        self._ended.set()


# --- the ready file --------------------------------------------------------------------------


def ready_values(config: Config, ready: Ready) -> dict[str, object]:
    """What the ready file says (design.md, section 5), without secrets."""
    return {
        "postgres": _text(ready.postgres),
        "database": config.upstream.database,
        "http": f"http://{_text(ready.http)}",
        "config": str(config.file) if config.file else None,
        "folder": str(config.folder),
        "access_log": str(config.access_log.folder),
        "access_log_key": None,  # checkpoints are not signed yet
        "pid": os.getpid(),
    }


def write_ready_file(path: Path, values: Mapping[str, object]) -> None:
    """Atomically and for this user only: whoever sees the file sees all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(values, file, indent=2)
            file.write("\n")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
