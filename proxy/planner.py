"""Plans, found or made: the cache over `enforce.py`, and a worker process for long statements.

A short statement is read in the event loop (a millisecond or two, once per text); a long one in
another process with a deadline and a memory limit, so that no statement holds up the others and a
reader that dies takes nothing with it. A plan whose making fails in any unforeseen way is a
refusal: unsure means no.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import signal
import sys
from collections import OrderedDict
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final

import structlog

from proxy.enforce import Enforcer
from proxy.errors import Reason, Refused
from proxy.rewrite.lift import LiftedPlans, Template
from proxy.rewrite.plan import Plan, PlanContext

Plans = tuple[Plan | Refused, ...]

# Longer texts go to the worker: reading takes some 3 µs per byte, and the loop has 5 ms.
INLINE_BYTES: Final = 1024
CACHE_ENTRIES_MAX: Final = 4096
# A text is its own key: the cache must not keep megabytes of them.
CACHED_TEXT_MAX: Final = 16 * 1024
DEADLINE_S: Final = 20.0
WORKER_BYTES_MAX: Final = 2 * 1024**3
# Python frames for trees as deep as orjson reads (1,024 levels, two or three frames each).
RECURSION_MAX: Final = 6000

_log = structlog.get_logger(__name__)


class Planner:
    """Plans statements for both front doors. `replace` puts a new policy or catalog in force."""

    def __init__(self, enforcer: Enforcer) -> None:
        sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_MAX))
        self._enforcer = enforcer
        self._cache: OrderedDict[tuple[str, PlanContext], Plans] = OrderedDict()
        self._lifted = LiftedPlans(self._make)
        self._worker = Worker(enforcer)
        self.hits = 0  # found by their text
        self.lifted = 0  # found by their text without its literals
        self.misses = 0  # made

    @property
    def revision(self) -> str:
        """Names the policy and catalog in force; a plan with another one is made again."""
        return self._enforcer.revision

    @property
    def enforcer(self) -> Enforcer:
        return self._enforcer

    def replace(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer
        self._cache.clear()
        self._lifted = LiftedPlans(self._make)
        self._worker.close()
        self._worker = Worker(enforcer)

    def close(self) -> None:
        self._worker.close()

    def plan_now(self, text: str, context: PlanContext) -> Plans | None:
        """The plans, if they are known or quickly made; None: ask `plan`."""
        plans = self._cache.get((text, context))
        if plans is not None:
            self.hits += 1
            self._cache.move_to_end((text, context))
            return plans
        if len(text) > INLINE_BYTES:
            return None
        plans, is_found = self._lifted.find(text, context)
        if plans is not None and is_found:
            self.lifted += 1
            return plans
        self.misses += 1
        plans = plans or self._make(text, context)
        self._keep(text, context, plans)
        return plans

    def template(self, text: str, context: PlanContext) -> Template | None:
        """How the plan of a text is made of its literals, where it is shared by others."""
        return self._lifted.template(text, context)

    def _make(self, text: str, context: PlanContext) -> Plans:
        return make_plans(self._enforcer, text, context)

    async def plan(self, text: str, context: PlanContext) -> Plans:
        """The plans, made in the worker process where the text is long."""
        plans = self.plan_now(text, context)
        if plans is not None:
            return plans
        self.misses += 1
        enforcer, worker = self._enforcer, self._worker
        plans = await worker.plan(text, context)
        if enforcer is self._enforcer:
            self._keep(text, context, plans)
        return plans

    def _keep(self, text: str, context: PlanContext, plans: Plans) -> None:
        if len(text) > CACHED_TEXT_MAX:
            return
        self._cache[(text, context)] = plans
        if len(self._cache) > CACHE_ENTRIES_MAX:
            self._cache.popitem(last=False)


def make_plans(enforcer: Enforcer, text: str, context: PlanContext) -> Plans:
    """The plans of a text; whatever goes wrong unforeseen is a refusal, and is told in our log."""
    try:
        return enforcer.plan(text, context)
    except Exception as error:  # noqa: BLE001 - a bug in a reader must not let a statement through
        # Where, not what: a traceback's locals would put the tool's literals into our log.
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        _log.error(
            "a statement could not be planned",
            error=type(error).__name__,
            line=f"{place.tb_frame.f_code.co_name}:{place.tb_lineno}" if place else "",
        )
        return (Refused(Reason.NOT_UNDERSTOOD, "the statement could not be read"),)


class Worker:
    """One process that plans long statements, one at a time; it is replaced when it dies."""

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._is_closed = False

    async def plan(self, text: str, context: PlanContext) -> Plans:
        async with self._turn:
            if self._is_closed:
                return (Refused(Reason.NOT_UNDERSTOOD, "the policy changed; try again"),)
            try:
                return await asyncio.wait_for(self._ask(text, context), DEADLINE_S)
            except (TimeoutError, EOFError, OSError):
                self._end()
                _log.warning("a statement was too much for its reader", bytes=len(text))
                return (
                    Refused(
                        Reason.STATEMENT_TOO_DEEP,
                        "the statement is too large or too deep to be read in time",
                    ),
                )
            except asyncio.CancelledError:
                self._end()  # its answer would be taken for the next statement's
                raise

    def close(self) -> None:
        self._is_closed = True
        self._end()

    async def _ask(self, text: str, context: PlanContext) -> Plans:
        loop = asyncio.get_running_loop()
        # In a thread: the new process takes the catalog from the pipe once it has imported us, and
        # until then whoever writes into it waits (measured: a second).
        connection = self._connection
        if connection is None:
            connection = await loop.run_in_executor(None, self._start)
        await loop.run_in_executor(None, connection.send, (text, context))
        plans: Plans = await loop.run_in_executor(None, connection.recv)
        return plans

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs,), daemon=True, name="statement-reader"
        )
        process.start()
        theirs.close()
        self._process, self._connection = process, ours
        # Not among the process's arguments: whoever writes those waits for ever for a process that
        # dies before it has read them; of a pipe that is ours it is heard.
        ours.send(self._enforcer)
        if self._is_closed:  # while it was started
            self._end()
        return ours

    def _end(self) -> None:
        # Killing the process ends the pipe, and with it a recv() that waits in a thread.
        if self._process is not None:
            self._process.kill()
        self._process = self._connection = None


def _serve(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is for the proxy, which ends this process
    sys.setrecursionlimit(RECURSION_MAX)
    resource.setrlimit(resource.RLIMIT_AS, (WORKER_BYTES_MAX, WORKER_BYTES_MAX))

    enforcer: Enforcer = connection.recv()
    while True:
        try:
            text, context = connection.recv()
            connection.send(make_plans(enforcer, text, context))
        except EOFError:
            return
