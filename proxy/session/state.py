"""What a session knows between messages, shared by what reads requests and what reads replies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.errors import Refused
from proxy.rewrite.plan import Plan, PlanContext
from proxy.session.expectations import Expectation, Reply
from proxy.session.kept import Kept
from proxy.session.names import Names
from proxy.session.outbox import Outbox
from proxy.session.portals import Portal, Prepared
from proxy.session.recorder import Recorder
from proxy.session.settings import Context, SessionSettings
from proxy.session.snapshot import TransactionSnapshot
from proxy.wire import messages

if TYPE_CHECKING:
    from proxy.session.lease import Lease

# A Sync is five bytes, what is kept of it some hundred times as much: pipelines have an end.
EXPECTATIONS_MAX: Final = 4096


@dataclass(slots=True)
class NeedSettled:
    """Every forwarded message has been answered."""


@dataclass(slots=True)
class NeedPlan:
    text: str
    context: PlanContext
    answer: tuple[Plan | Refused, ...] = ()


@dataclass(slots=True)
class NeedEpoch:
    """The consent epoch, read after this need arose."""

    answer: int = -1
    refused: Refused | None = None


Need = NeedSettled | NeedPlan | NeedEpoch


class SessionState:
    def __init__(
        self,
        *,
        tool: str,
        settings: SessionSettings,
        recorder: Recorder,
        outbox: Outbox,
        clock: Callable[[], float],
        snapshot: TransactionSnapshot,
    ) -> None:
        self.tool = tool
        self.settings = settings
        self.recorder = recorder
        self.outbox = outbox
        self.clock = clock
        self.snapshot = snapshot
        self.statements: Names[Prepared] = Names()
        self.portals: Names[Portal] = Names()
        self.queue: list[Expectation] = []  # a deque takes 760 bytes, empty
        self.to_upstream: list[bytes] = []
        # Messages between two Syncs are one segment: if one fails, the rest of it is skipped.
        self.segment = 0
        self.is_segment_open = False  # a message of the segment was forwarded, its Sync was not
        self.is_skipping = (
            False  # the upstream skips until the Sync that the client has yet to send
        )
        self.holds = False  # what was forwarded changes what later messages mean
        self.is_in_block = False
        self.status = messages.IDLE
        self.has_failed = False  # something failed since the last ReadyForQuery
        self.told: dict[str, str] = {}  # ParameterStatus as the client knows it
        self.lease: Lease | None = None  # in transaction pooling
        self.kept = Kept(self)

    @property
    def purpose(self) -> str | None:
        return self.settings.current.purpose

    @property
    def context(self) -> Context:
        return self.settings.current

    @property
    def is_full(self) -> bool:
        """So much is unanswered that the client must wait."""
        return len(self.queue) >= EXPECTATIONS_MAX

    @property
    def is_settled(self) -> bool:
        return not self.queue

    @property
    def is_idle(self) -> bool:
        """Settled, outside a transaction, with nothing half said."""
        return (
            not self.queue
            and not self.is_segment_open
            and not self.is_skipping
            and self.status == messages.IDLE
        )

    def conclude_portal(self, portal: Portal | None) -> None:
        """Nothing more can be read of a portal: record what was."""
        run = None if portal is None else portal.run
        # Nothing was, where its Execute was sent and is not answered: its answer will tell.
        if run is not None and run.is_gated:
            self.recorder.conclude(run, "complete")

    def skips(self) -> bool:
        """`is_skipping`, asked again after a need: meanwhile it may have changed."""
        return self.is_skipping

    def settle(self) -> Iterator[Need]:
        """Go on when every forwarded message has been answered."""
        if self.queue:
            if self.is_segment_open:
                # The upstream keeps its answers until Sync, Flush, or a full buffer.
                self.to_upstream.append(messages.FLUSH_MESSAGE)
            yield NeedSettled()

    def settle_meaning(self) -> Iterator[Need]:
        """Go on when it is certain what a statement would mean: purpose, path, and SQL's names."""
        if self.queue and (self.holds or self.settings.is_dirty):
            yield from self.settle()

    def plan_context(self, types: tuple[int, ...] | None) -> PlanContext:
        current = self.settings.current
        return PlanContext(
            tool=self.tool,
            purpose=current.purpose,
            search_path=current.search_path,
            is_extended=types is not None,
            parameter_types=types or (),
        )

    def expect(self, expectation: Expectation) -> None:
        """Expect the answer to what was sent."""
        self.queue.append(expectation)
        if expectation.key is not None:
            self.kept.parses(expectation)

    def forward(self, data: bytes, expectation: Expectation) -> None:
        """Send a message upstream, and expect its answer."""
        self.to_upstream.append(data)
        self.expect(expectation)
        if expectation.reply is Reply.QUERY and self.lease is not None:
            self.lease.carried.unnamed = None  # manual, "Simple Query"
        if expectation.reply in (Reply.SYNC, Reply.QUERY):
            self.segment += 1
            self.is_segment_open = False
        else:
            self.is_segment_open = True
