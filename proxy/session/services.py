"""What a client's session needs from the rest of the proxy, as interfaces.

The doors are given these at construction; tests give doubles that can be made to fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from proxy.errors import Refused
from proxy.passwords import ScramVerifier
from proxy.rewrite.lift import Template
from proxy.rewrite.plan import Plan, PlanContext


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLogin:
    """One name that may come in. `credential` is how access records name it."""

    name: str
    credential: str
    role: str
    is_disabled: bool
    purposes: tuple[str, ...]
    default: str | None
    search_path: tuple[str, ...] = ()  # schemas, folded; the policy's, in the order of the file


class Credentials(Protocol):
    def scram_verifier(self, user: str) -> ScramVerifier | None: ...
    def tool_of(self, user: str) -> ToolLogin | None: ...


class Planner(Protocol):
    @property
    def revision(self) -> str:
        """Policy and catalog now in force; a plan of another revision is made again."""

    def plan_now(self, text: str, context: PlanContext) -> tuple[Plan | Refused, ...] | None:
        """The plans of a text, or None where making them would hold up the loop."""

    async def plan(self, text: str, context: PlanContext) -> tuple[Plan | Refused, ...]: ...

    def template(self, text: str, context: PlanContext) -> Template | None:
        """How the plan of a text is made of its literals, where it is shared by others."""


class Ticket(Protocol):
    @property
    def is_durable(self) -> bool: ...
    @property
    def failed(self) -> bool: ...
    def add_done_callback(self, callback: Callable[..., object]) -> None: ...


class AccessLog(Protocol):
    """Raises `LogSealed` where no record can be taken."""

    def append(self, kind: str, fields: Mapping[str, object]) -> Ticket: ...


class Counts(Protocol):
    """For metrics."""

    def statement(
        self, tool: str, purpose: str, state: str, rows: int, bytes_sent: int, seconds: float
    ) -> None: ...
    def refusal(self, reason: str) -> None: ...
    def login(self, *, is_ok: bool) -> None: ...


class Epoch(Protocol):
    """The consent epoch, read on a connection of its own. Raises `Refused`."""

    async def read(self) -> int: ...


class Limits(Protocol):
    """See proxy/config.py."""

    @property
    def connections(self) -> int: ...
    @property
    def statement_bytes(self) -> int: ...
    @property
    def snapshot_s(self) -> float: ...
    @property
    def idle_s(self) -> float: ...
    @property
    def drain_s(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    credentials: Credentials
    planner: Planner
    access_log: AccessLog
    epoch: Epoch
    limits: Limits
    policy_revision: Callable[[], str]
    """The policy's own revision, for access records."""
    check_setting: Callable[[str, str], str]
    """The value to use where a client asks for a setting at start-up; raises `Refused`."""
    counts: Counts | None = None
