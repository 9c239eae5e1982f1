"""What the HTTP door needs from the rest of the proxy, as interfaces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from proxy.consent.ledger import Ledger
from proxy.gateway.column_types import ColumnTypes
from proxy.gateway.recording import Recorder
from proxy.policy.model import Policy
from proxy.secrets import Credential
from proxy.session.services import AccessLog, Planner, ToolLogin
from proxy.telemetry import Metrics
from proxy.upstream.pool import Pool


class Limits(Protocol):
    """See proxy/config.py."""

    @property
    def connections(self) -> int: ...
    @property
    def statement_bytes(self) -> int: ...
    @property
    def idle_s(self) -> float: ...


class Tokens(Protocol):
    """Who may come in by a token, and the policy that says what for."""

    @property
    def policy(self) -> Policy: ...
    def credential_of_token(self, token: str) -> Credential | None: ...
    def tool_of(self, user: str) -> ToolLogin | None: ...


class GatewayServices(Protocol):
    """The part of the proxy's services that both doors share (session/services.py)."""

    @property
    def planner(self) -> Planner: ...
    @property
    def access_log(self) -> AccessLog: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def policy_revision(self) -> Callable[[], str]: ...


Readiness = Callable[[], Sequence[tuple[str, bool, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What handlers work with. `ledger` answers None while the ledger can not be used."""

    planner: Planner
    limits: Limits
    pool: Pool
    tokens: Tokens
    ledger: Callable[[], Ledger | None]
    metrics: Metrics
    readiness: Readiness
    recorder: Recorder
    statement_s: float
    other_pages: Callable[[], Awaitable[list[bytes]]]
    """The metrics of the other workers."""
    column_types: ColumnTypes = field(default_factory=ColumnTypes)
