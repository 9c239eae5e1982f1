"""Several workers on the same ports: started, looked after, and ended together.

The supervisor answers no client. It keeps the ports, starts a worker again that ended, and is the
one process that a platform sends signals to. Each worker holds a pipe to it: what a worker says
there is where it answers, or why it could not start; the pipe's end tells a worker to drain. So a
worker ends as well when the supervisor was killed, and a signal that a platform sends to every
process of a group is the first one for each of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import structlog

from proxy.config import Address, Config
from proxy.errors import ConfigurationError
from proxy.post import WorkerPost
from proxy.server import Ready
from proxy.telemetry import set_up_logging
from proxy.workers import forget, ready_values, run_loop, serve_one, write_ready_file

_log = structlog.get_logger(__name__)

# A worker that dies at once would be started again and again: wait this long in between.
RESTART_PAUSE_S: Final = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """Why a worker could not start, as the command line tells it."""

    message: str
    exit_code: int


@dataclasses.dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    is_ready: bool = False


class Supervisor:
    """`run` returns when the last worker has ended: the exit code."""

    def __init__(self, config: Config, workers: int, ready_file: Path | None) -> None:
        self._ready_file = ready_file
        # Bound but not listening: they only keep the ports, which may be chosen by the system.
        self._kept, self._config = _keep_ports(config)
        self._posts = WorkerPost.for_workers(workers)
        self._workers: dict[int, _Worker] = {}
        self._restarts: dict[int, float] = {}  # worker, and when it is started again
        self._has_started = False
        self._is_ending = False
        self._exit_code = 0

    def run(self) -> int:
        try:
            with _signals() as arrived:
                for worker in range(len(self._posts)):
                    self._start(worker)
                while self._workers or self._restarts:
                    self._look_after(arrived)
        except BaseException:
            # Python waits for its children when it ends: they have to be told.
            self._end()
            raise
        for kept in self._kept:
            kept.close()
        forget(self._ready_file)
        return self._exit_code

    def _look_after(self, arrived: socket.socket) -> None:
        """Wait until something happens, and deal with it."""
        pipes = {each.pipe: number for number, each in self._workers.items()}
        ends = {each.process.sentinel: number for number, each in self._workers.items()}
        found = wait([arrived, *pipes, *ends], timeout=self._pause_s())
        if arrived in found:
            self._obey(arrived.recv(64))
        for pipe in pipes.keys() & set(found):
            self._hear(pipes[pipe])
        for end in ends.keys() & set(found):
            self._bury(ends[end])
        self._start_again()

    def _start(self, worker: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work,
            args=(self._config, worker, self._posts[worker], theirs),
            name=f"worker-{worker}",
        )
        process.start()
        theirs.close()
        self._workers[worker] = _Worker(process, ours)

    # --- what workers do ---

    def _hear(self, worker: int) -> None:
        """Take what a worker says, if it is not closing the pipe."""
        known = self._workers[worker]
        try:
            word = known.pipe.recv() if not known.pipe.closed and known.pipe.poll() else None
        except (EOFError, OSError):
            return
        match word:
            case Ready():
                known.is_ready = True
                self._note_ready(word)
            case Failed(message=message, exit_code=exit_code) if not self._has_started:
                # All fail for the same reason: it is told once.
                if not self._is_ending:
                    sys.stderr.write(f"consent-proxy: {message}\n")
                    self._exit_code = exit_code
                self._end()
            case Failed(message=message):
                _log.error("a worker can not start", worker=worker, problem=message)
            case _:
                pass

    def _note_ready(self, ready: Ready) -> None:
        everybody = len(self._workers) == len(self._posts)
        if self._has_started or not (everybody and all(w.is_ready for w in self._workers.values())):
            return
        self._has_started = True
        if self._ready_file is not None and not self._is_ending:
            write_ready_file(self._ready_file, ready_values(self._config, ready))

    def _bury(self, worker: int) -> None:
        """A worker has ended: start it again, unless all shall end."""
        self._hear(worker)  # its last word
        known = self._workers.pop(worker)
        known.process.join()
        known.pipe.close()
        if self._is_ending:
            self._exit_code = self._exit_code or (1 if known.process.exitcode else 0)
        elif not self._has_started:
            sys.stderr.write("consent-proxy: a worker ended while it started\n")
            self._exit_code = 2
            self._end()
        else:
            _log.error("a worker ended and is started again", worker=worker)
            self._restarts[worker] = time.monotonic() + RESTART_PAUSE_S

    def _start_again(self) -> None:
        now = time.monotonic()
        for worker in [worker for worker, at in self._restarts.items() if at <= now]:
            del self._restarts[worker]
            self._start(worker)

    def _pause_s(self) -> float | None:
        if not self._restarts:
            return None
        return max(0.0, min(self._restarts.values()) - time.monotonic())

    # --- what the platform says ---

    def _obey(self, signals: bytes) -> None:
        for number in signals:
            if number == signal.SIGHUP:
                self._reload()
            elif self._is_ending:
                # Asked twice: whoever asks does not want to wait for the drain.
                for known in self._workers.values():
                    known.process.kill()
                forget(self._ready_file)
                os._exit(1)
            else:
                self._end()

    def _reload(self) -> None:
        for known in self._workers.values():
            # One that is still starting would die of it, and reads the newest files anyway.
            if known.is_ready and known.process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(known.process.pid, signal.SIGHUP)

    def _end(self) -> None:
        self._is_ending = True
        self._restarts.clear()
        for known in self._workers.values():
            # Only the direction to the worker: its last word may still come.
            with (
                contextlib.suppress(OSError),
                socket.socket(fileno=os.dup(known.pipe.fileno())) as s,
            ):
                s.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that gets one byte per signal: signals are events among others, not interrupts."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = {
        number: signal.signal(number, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield ours
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        ours.close()
        theirs.close()


# --- ports -----------------------------------------------------------------------------------


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
    try:
        # Another proxy of the same user would share the port with ours, and both take clients of
        # the other: it must be nobody's.
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((address.host, address.port))
            port = alone.getsockname()[1]
        kept = socket.socket(family, socket.SOCK_STREAM)
        # REUSEADDR: what is left of the connections of a proxy before is nobody's, for a minute.
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            kept.setsockopt(socket.SOL_SOCKET, option, 1)
        kept.bind((address.host, port))
    except OSError as error:
        message = f"{address} can not be listened on: {error.strerror}"
        raise ConfigurationError(message) from None
    return kept


# --- in the worker's process -----------------------------------------------------------------


def _work(config: Config, worker: int, post: WorkerPost, supervisor: Connection) -> None:
    # Ctrl-C reaches every process at the terminal: the supervisor's word is what counts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_up_logging()
    structlog.contextvars.bind_contextvars(worker=worker)

    def started(ready: Ready) -> None:
        with contextlib.suppress(OSError):  # told to end meanwhile
            supervisor.send(ready)

    try:
        code = run_loop(
            serve_one(config, worker=worker, post=post, supervisor=supervisor, started=started)
        )
    except Exception as error:
        from proxy.cli.failures import failure_of

        failure = failure_of(error)
        if failure is None:
            raise
        with contextlib.suppress(OSError):
            supervisor.send(Failed(failure.message, failure.exit_code))
        code = failure.exit_code
    sys.exit(code)
