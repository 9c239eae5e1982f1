"""Access records of requests: what is durable before which byte leaves.

A refusal and a login are durable before they are answered, an intent before the first byte of a
result. Where the log takes nothing, the answer is `access_log_unavailable`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from proxy.access_log.record import (
    Asker,
    PurposeFrom,
    State,
    intent_fields,
    login_fields,
    new_id,
    outcome_fields,
    refused_fields,
)
from proxy.access_log.segments import LogSealed
from proxy.errors import Reason, Refused
from proxy.rewrite.plan import Plan
from proxy.secrets import Credential
from proxy.session.recorder import log_unavailable
from proxy.session.services import AccessLog, Ticket
from proxy.telemetry import Metrics

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Access:
    """One statement that runs. Without a ticket it reads no relation, and has no record."""

    id: str | None
    ticket: Ticket | None
    tool: str
    purpose: str | None
    started_at: float  # when the request came, by the monotonic clock
    sent_at: float = field(default_factory=time.monotonic)  # when the upstream was asked
    rows: int = 0
    bytes: int = 0
    is_over: bool = False


class Recorder:
    """Writes the records of the HTTP door."""

    def __init__(
        self, access_log: AccessLog, policy_revision: Callable[[], str], metrics: Metrics
    ) -> None:
        self._access_log = access_log
        self._policy_revision = policy_revision
        self._metrics = metrics

    def asker(
        self,
        credential: Credential,
        client: str,
        purpose: str | None = None,
        purpose_from: PurposeFrom | None = None,
    ) -> Asker:
        return Asker(
            tool=credential.name,
            credential=credential.id,
            via="http",
            client=client,
            purpose=purpose,
            purpose_from=None if purpose is None else purpose_from,
            policy=self._policy_revision(),
        )

    # --- statements ---

    def intend(self, asker: Asker, plan: Plan, started_at: float) -> Access:
        """Record that `plan` is about to run. Raises Refused where that can not be recorded."""
        access_id = new_id() if plan.tables else None
        ticket = None
        if access_id is not None:
            ticket = self._append("access.intent", intent_fields(asker, plan, access_id=access_id))
        return Access(
            id=access_id,
            ticket=ticket,
            tool=asker.tool,
            purpose=asker.purpose,
            started_at=started_at,
        )

    async def release(self, access: Access) -> None:
        """Return once a byte of the result may leave. Raises Refused where none ever may."""
        if access.ticket is not None:
            await self._durable(access.ticket)

    def conclude(self, access: Access, state: State, sqlstate: str | None = None) -> None:
        """Record how it ended, once."""
        if access.is_over:
            return
        access.is_over = True
        now = time.monotonic()
        self._count(access, state, now)
        if access.id is None:
            return
        fields = outcome_fields(
            access_id=access.id,
            state=state,
            rows=access.rows,
            bytes_sent=access.bytes,
            plan_us=_microseconds(access.sent_at - access.started_at),
            upstream_us=_microseconds(now - access.sent_at),
            total_us=_microseconds(now - access.started_at),
            sqlstate=sqlstate,
        )
        try:
            self._append("access.outcome", fields)
        except Refused:
            return  # "released, end unknown" is what a missing outcome says

    def _count(self, access: Access, state: State, now: float) -> None:
        metrics, purpose = self._metrics, access.purpose or ""
        metrics.statements.labels(access.tool, purpose, "http", state).inc()
        metrics.rows.labels(access.tool, purpose, "http").inc(access.rows)
        metrics.bytes.labels("http").inc(access.bytes)
        metrics.statement_seconds.labels("http").observe(now - access.started_at)

    async def refuse(self, asker: Asker, refused: Refused, plan: Plan | None = None) -> str:
        """Record a refusal; its access id, once it is durable. Raises Refused if it never is."""
        self._metrics.refusals.labels("http", refused.reason.value).inc()
        access_id = new_id()
        fields = refused_fields(asker, refused, access_id=access_id, plan=plan)
        await self._durable(self._append("access.refused", fields))
        return access_id

    # --- logins and consents ---

    async def login(
        self,
        client: str,
        *,
        tool: str | None,
        credential: str | None,
        reason: Reason | None,
    ) -> None:
        """Record a login (`reason` None) or one that failed. Raises Refused if that can not be."""
        self._metrics.logins.labels("http", "ok" if reason is None else "failed").inc()
        fields = login_fields(
            access_id=new_id(),
            via="http",
            client=client,
            tool=tool,
            credential=credential,
            reason=reason,
        )
        kind = "login.ok" if reason is None else "login.failed"
        await self._durable(self._append(kind, fields))

    async def consent(self, fields: Mapping[str, object]) -> None:
        """Record an event of the ledger, which has it for good whatever happens to this record."""
        try:
            await self._durable(self._append("consent.recorded", fields))
        except Refused:
            _log.error("a consent event is in the ledger but not in the access log")

    # --- the log itself ---

    def _append(self, kind: str, fields: Mapping[str, object]) -> Ticket:
        try:
            return self._access_log.append(kind, fields)
        except LogSealed:
            raise log_unavailable() from None

    async def _durable(self, ticket: Ticket) -> None:
        if not ticket.is_durable:
            settled = asyncio.Event()
            ticket.add_done_callback(lambda _: settled.set())
            with self._metrics.record_seconds.time():
                await settled.wait()
        if ticket.failed:
            raise log_unavailable()


def _microseconds(seconds: float) -> int:
    return max(0, int(seconds * 1_000_000))
