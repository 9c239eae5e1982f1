"""Plans, found or made: the cache over `enforce.py`, and processes for statements that cost much.

What is known to cost little is planned in the event loop (a millisecond or two, once per text);
what is long, or turns out to cost more (`effort.py`), in another process with a deadline and a
memory limit, so that no statement holds up the others and a reader that dies takes nothing with it.
Guards that a statement is the first to need are made in the loop, in as many steps as they take.
A plan whose making fails in any unforeseen way is a refusal: unsure means no.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import resource
import signal
import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final

import structlog

from proxy.effort import UNBOUNDED, Effort, GuardsMade, TooMuchEffort
from proxy.enforce import Enforcer
from proxy.errors import Reason, Refused
from proxy.rehearsal import rehearsed
from proxy.rewrite.lift import LiftedPlans, Template
from proxy.rewrite.plan import Plan, PlanContext
from proxy.turns import Turns

Plans = tuple[Plan | Refused, ...]

# The loop has 5 ms, of which the session and a search for garbage take their part, and the step
# that finds out is done already. Of longer texts it is known without looking at them.
INLINE_EFFORT_US: Final = 2500.0
INLINE_CHARACTERS: Final = 2048
# Texts that were begun in the loop and found to cost too much: they are not begun again.
COSTLY_TEXTS_MAX: Final = 256
# What a reader has on its desk for long, and what for a moment.
LONG_CHARACTERS: Final = 16 * 1024
READERS: Final = 2
# A template is made when the statements that wait have been served; more than these are not wanted.
TEMPLATE_DELAY_S: Final = 0.005
TEMPLATES_WAITING_MAX: Final = 64
# Of the guards in use these are made again for a new policy or catalog, which waits for them: the
# newest, in some tenths of a second.
GUARDS_PREPARED_MAX: Final = 256
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
        self._cache: OrderedDict[tuple[str, PlanContext], Plans] = OrderedDict()
        self._costly: OrderedDict[tuple[str, PlanContext], None] = OrderedDict()
        self._templates: deque[Callable[[], None]] = deque()
        self._begin(enforcer)
        self.hits = 0  # found by their text
        self.lifted = 0  # found by their text without its literals
        self.misses = 0  # made

    def _begin(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer
        self._lifted = LiftedPlans(partial(_make_in_loop, enforcer), self._later)
        self._readers = [Reader(enforcer) for _ in range(READERS)]
        self._turns = Turns(self._readers)

    @property
    def revision(self) -> str:
        """Names the policy and catalog in force; a plan with another one is made again."""
        return self._enforcer.revision

    @property
    def enforcer(self) -> Enforcer:
        return self._enforcer

    def rehearse(self) -> None:
        """Plan statements that nobody asked: what the first one would set up is there before it."""
        for text, context in rehearsed(self._enforcer.policy):
            make_plans(self._enforcer, text, context)

    async def prepare(self, enforcer: Enforcer) -> None:
        """Make the guards that are in use now, one a step, for what `replace` will put in force."""
        for key in self._enforcer.guards.made()[-GUARDS_PREPARED_MAX:]:
            with contextlib.suppress(TooMuchEffort):
                enforcer.guards.make_again(key, Effort(INLINE_EFFORT_US))
            await asyncio.sleep(0)

    def replace(self, enforcer: Enforcer) -> None:
        self.close()
        self._cache.clear()
        self._costly.clear()
        self._begin(enforcer)

    def close(self) -> None:
        self._templates.clear()
        for reader in self._readers:
            reader.close()

    def plan_now(self, text: str, context: PlanContext) -> Plans | None:
        """The plans, if they are known or quickly made; None: ask `plan`."""
        if len(text) > CACHED_TEXT_MAX:
            return None
        key = (text, context)
        plans = self._cache.get(key)
        if plans is not None:
            self.hits += 1
            self._cache.move_to_end(key)
            return plans
        if self._is_left(text, context):
            return None
        try:
            plans, is_found = self._lifted.find(text, context)
            if plans is not None and is_found:
                self.lifted += 1
                return plans
            plans = plans or _make_in_loop(self._enforcer, text, context)
        except GuardsMade:
            return None
        except TooMuchEffort:
            self._costly[key] = None
            if len(self._costly) > COSTLY_TEXTS_MAX:
                self._costly.popitem(last=False)
            return None
        self.misses += 1
        self._keep(text, context, plans)
        return plans

    def template(self, text: str, context: PlanContext) -> Template | None:
        """How the plan of a text is made of its literals, where it is shared by others."""
        return None if len(text) > INLINE_CHARACTERS else self._lifted.template(text, context)

    async def plan(self, text: str, context: PlanContext) -> Plans:
        """The plans, made in another process where that takes long."""
        plans = self.plan_now(text, context)
        while plans is None and not self._is_left(text, context):
            await asyncio.sleep(0)  # guards were made; what is left is for another step
            plans = self.plan_now(text, context)
        if plans is not None:
            return plans
        self.misses += 1
        enforcer = self._enforcer
        async with self._turns.turn(context.tool, is_long=len(text) > LONG_CHARACTERS) as reader:
            plans = await reader.plan(text, context)
        if enforcer is self._enforcer:
            self._keep(text, context, plans)
        return plans

    def _is_left(self, text: str, context: PlanContext) -> bool:
        """Is it for another process?"""
        return len(text) > INLINE_CHARACTERS or (text, context) in self._costly

    def _keep(self, text: str, context: PlanContext, plans: Plans) -> None:
        if len(text) > CACHED_TEXT_MAX:
            return
        self._cache[(text, context)] = plans
        if len(self._cache) > CACHE_ENTRIES_MAX:
            self._cache.popitem(last=False)

    def _later(self, make_template: Callable[[], None]) -> bool:
        """A template is a second plan: not in the same breath, and never two in one."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # nobody who would wait
            make_template()
            return True
        if len(self._templates) >= TEMPLATES_WAITING_MAX:
            return False
        self._templates.append(make_template)
        if len(self._templates) == 1:
            loop.call_later(TEMPLATE_DELAY_S, self._make_template, loop)
        return True

    def _make_template(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._templates:  # none, if the policy was replaced
            self._templates.popleft()()
        if self._templates:
            loop.call_later(TEMPLATE_DELAY_S, self._make_template, loop)


def _make_in_loop(enforcer: Enforcer, text: str, context: PlanContext) -> Plans:
    """Raises TooMuchEffort."""
    return make_plans(enforcer, text, context, Effort(INLINE_EFFORT_US))


def make_plans(
    enforcer: Enforcer, text: str, context: PlanContext, effort: Effort = UNBOUNDED
) -> Plans:
    """The plans of a text; whatever goes wrong unforeseen is a refusal, and is told in our log.

    Raises TooMuchEffort where they cost more than the effort allows.
    """
    try:
        return enforcer.plan(text, context, effort)
    except TooMuchEffort:
        raise
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


class Reader:
    """One process that plans statements, one at a time; it is replaced when it dies."""

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._is_closed = False

    async def plan(self, text: str, context: PlanContext) -> Plans:
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
