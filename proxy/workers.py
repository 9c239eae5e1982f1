"""The process around the workers: signals, the ready file, several workers on the same ports."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import structlog

from proxy.config import Address, Config
from proxy.errors import ConfigurationError
from proxy.server import Ready, Server
from proxy.telemetry import set_up_logging

_log = structlog.get_logger(__name__)

# A worker that dies at once would be started again and again: wait this long in between.
RESTART_PAUSE_S: Final = 1.0


def run(config: Config, *, workers: int, ready_file: Path | None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Raises ConfigurationError where it can not."""
    set_up_logging()
    if workers == 1:
        return run_loop(serve_one(config, ready_file=ready_file))
    return _Supervisor(config, workers, ready_file).run()


def run_loop(work: Awaitable[int]) -> int:
    """Run a coroutine on uvloop where it is there."""
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
    is_shared: bool = False,
    ready_file: Path | None = None,
    more: Mapping[str, object] | None = None,
    started: Callable[[Ready], None] | None = None,
) -> int:
    """One worker in this event loop, from start to drained end. `more` goes into the ready file."""
    ended = asyncio.Event()
    server = Server(config, worker=worker, is_shared=is_shared)
    ready = await server.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, ended)
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
    await server.stop()
    _forget(ready_file)
    return 0


def _forget(ready_file: Path | None) -> None:
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)


def _end(ended: asyncio.Event) -> None:
    if ended.is_set():
        os._exit(1)  # asked twice: whoever asks does not want to wait for the drain
    ended.set()


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


# --- several workers -------------------------------------------------------------------------


class _Supervisor:
    """Starts workers on shared ports, starts a dead one again, and ends them together."""

    def __init__(self, config: Config, workers: int, ready_file: Path | None) -> None:
        self._ready_file = ready_file
        # Bound but not listening: they only keep the ports, which may be chosen by the system.
        self._kept, self._config = _keep_ports(config)
        self._workers: dict[int, tuple[BaseProcess, Connection]] = {}
        self._count = workers
        self._is_ending = threading.Event()

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        signal.signal(signal.SIGHUP, lambda *_: self._pass_on(signal.SIGHUP))
        for worker in range(self._count):
            self._start(worker)
        ready: Ready | None = None
        for worker in range(self._count):
            ready = self._first_word(worker)
            if ready is None:
                self._stop()
                self._wait_for_all()
                return 2
        if self._ready_file is not None and ready is not None:
            write_ready_file(self._ready_file, ready_values(self._config, ready))
        self._look_after()
        self._wait_for_all()
        _forget(self._ready_file)
        return 0

    def _start(self, worker: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_work, args=(self._config, worker, theirs), name=f"worker-{worker}"
        )
        process.start()
        theirs.close()
        self._workers[worker] = (process, ours)

    def _first_word(self, worker: int) -> Ready | None:
        """Where the worker answers; None if it could not start (it has said why)."""
        try:
            word = self._workers[worker][1].recv()
        except EOFError:
            return None
        return word if isinstance(word, Ready) else None

    def _look_after(self) -> None:
        while not self._is_ending.is_set():
            sentinels = {process.sentinel: worker for worker, (process, _) in self._workers.items()}
            for sentinel in wait(list(sentinels), timeout=1.0):
                if self._is_ending.wait(RESTART_PAUSE_S):
                    return
                worker = sentinels[sentinel]  # type: ignore[index]  # sentinels are what we gave
                _log.error("a worker ended and is started again", worker=worker)
                self._start(worker)
                self._first_word(worker)

    def _stop(self) -> None:
        is_second = self._is_ending.is_set()
        self._is_ending.set()
        self._pass_on(signal.SIGTERM)
        if is_second:
            os._exit(1)

    def _pass_on(self, number: signal.Signals) -> None:
        for process, _ in self._workers.values():
            if process.pid is not None and process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    def _wait_for_all(self) -> None:
        for process, _ in self._workers.values():
            process.join()
        for kept in self._kept:
            kept.close()


def _keep_ports(config: Config) -> tuple[list[socket.socket], Config]:
    listen = config.listen
    kept = [_bound(listen.postgres), _bound(listen.http)]
    postgres, http = (each.getsockname()[1] for each in kept)
    return kept, dataclasses.replace(
        config,
        listen=dataclasses.replace(
            listen,
            postgres=Address(listen.postgres.host, postgres),
            http=Address(listen.http.host, http),
        ),
    )


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    kept = socket.socket(family, socket.SOCK_STREAM)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        kept.bind((address.host, address.port))
    except OSError as error:
        message = f"{address.host}:{address.port} can not be listened on: {error.strerror}"
        raise ConfigurationError(message) from None
    return kept


def _work(config: Config, worker: int, parent: Connection) -> None:
    set_up_logging()
    structlog.contextvars.bind_contextvars(worker=worker)
    try:
        code = run_loop(serve_one(config, worker=worker, is_shared=True, started=parent.send))
    except ConfigurationError as error:
        sys.stderr.write(f"consent-proxy: {error}\n")
        code = 2
    sys.exit(code)
