"""Access records of one session: what is written when, and what becomes a refusal instead."""

from __future__ import annotations

from collections.abc import Callable

from proxy.access_log import log as access_log
from proxy.access_log.frames import IntentFields, OutcomeFields
from proxy.access_log.record import (
    Asker,
    PurposeFrom,
    State,
    login_fields,
    new_id,
    plan_part,
    refused_fields,
)
from proxy.access_log.segments import LogSealed
from proxy.errors import Reason, Refused
from proxy.rewrite.plan import Plan
from proxy.session.expectations import Poison, Run
from proxy.session.services import AccessLog, Counts, Ticket, ToolLogin
from proxy.wire import messages


def log_unavailable() -> Refused:
    return Refused(
        Reason.ACCESS_LOG_UNAVAILABLE,
        "the access log can not be written",
        hint="The operator of the proxy must see to its access log.",
    )


def error_of(refused: Refused, *, access_id: str | None, severity: str = "ERROR") -> bytes:
    """The ErrorResponse of a refusal; `access_id` names its record."""
    detail = f"reason: {refused.reason.value}"
    return messages.refusal(
        severity,
        refused.sqlstate,
        refused.message,
        detail=f"{detail}; access: {access_id}" if access_id else detail,
        hint=refused.hint,
        position=refused.position,
    )


class Recorder:
    """Writes the records of one logged-in session."""

    def __init__(
        self,
        log: AccessLog,
        login: ToolLogin,
        *,
        client: str,
        application_name: str,
        policy_revision: Callable[[], str],
        clock: Callable[[], float],
        purpose: tuple[str | None, PurposeFrom],
        counts: Counts | None = None,
    ) -> None:
        """`purpose`: the one that the session began with, and where it came from."""
        self._log = log
        # The log of every proxy that runs; in tests there may be another.
        self._quick = log if isinstance(log, access_log.AccessLog) else None
        self._counts = counts
        self._login = login
        self._client = client
        self._application_name = application_name
        self._policy_revision = policy_revision
        self._clock = clock
        self._asker: Asker | None = None
        self._initial_purpose, self._initial_from = purpose

    def asker(self, purpose: str | None) -> Asker:
        """Who asks. Made once, and again when purpose or policy have changed."""
        asker = self._asker
        policy = self._policy_revision()
        if asker is None or asker.purpose != purpose or asker.policy != policy:
            asker = self._asker = Asker(
                tool=self._login.name,
                credential=self._login.credential,
                via="postgres",
                client=self._client,
                application_name=self._application_name,
                purpose=purpose,
                purpose_from=self._purpose_from(purpose),
                policy=policy,
            )
        return asker

    def _purpose_from(self, purpose: str | None) -> PurposeFrom | None:
        """From the purpose alone: a SET that was rolled back has chosen nothing."""
        if purpose is None:
            return None
        return self._initial_from if purpose == self._initial_purpose else "set"

    def called_itself(self, application_name: str) -> None:
        """The application name of the session is now another."""
        if application_name != self._application_name:
            self._application_name = application_name
            self._asker = None

    def intend(self, run: Run, purpose: str | None, source: Plan | None) -> Poison | None:
        """Record that `run` is about to start; a poison where that can not be recorded."""
        plan = run.plan
        if plan is None or not (source or plan).tables:
            return None
        run.id, run.purpose = new_id(), purpose or ""
        asker, part = self.asker(purpose).part, plan_part(plan, source)
        try:
            if self._quick is not None:
                run.ticket = self._quick.intend(run.id, asker, part)
            else:
                fields = IntentFields(run.id, asker, part)
                run.ticket = self._log.append("access.intent", fields)
        except LogSealed:
            return Poison(error_of(log_unavailable(), access_id=None), None)
        return None

    def hurry(self) -> None:
        """Let records be durable now, where that needs no waiting."""
        if self._quick is not None:
            self._quick.hurry()

    def conclude(self, run: Run, state: State, sqlstate: str | None = None) -> None:
        """Record how `run` ended, once."""
        if run.is_over:
            return
        run.is_over = True
        if run.ticket is None:
            return
        now = self._clock()
        if self._counts is not None:
            self._counts.statement(
                self._login.name,
                run.purpose,
                state,
                run.rows,
                run.bytes,
                now - run.received_at,
            )
        plan_us = _microseconds(run.forwarded_at - run.received_at)
        upstream_us = _microseconds(now - run.forwarded_at)
        total_us = _microseconds(now - run.received_at)
        try:
            if self._quick is not None:
                self._quick.conclude(
                    run.id,
                    state,
                    sqlstate or "",
                    run.bytes,
                    plan_us,
                    total_us,
                    upstream_us,
                    run.rows,
                )
                return
            numbers = (run.bytes, plan_us, total_us, upstream_us, run.rows)
            fields = OutcomeFields(run.id, state, numbers, sqlstate or "")
            self._log.append("access.outcome", fields)
        except LogSealed:
            return  # "released, end unknown" is what a missing outcome says

    def refuse(
        self,
        refused: Refused,
        purpose: str | None,
        plan: Plan | None = None,
        source: Plan | None = None,
    ) -> Poison:
        """Record a refusal; what takes the statement's place."""
        if self._counts is not None:
            self._counts.refusal(refused.reason.value)
        access_id = new_id()
        fields = refused_fields(
            self.asker(purpose), refused, access_id=access_id, plan=plan, source=source
        )
        try:
            ticket = self._log.append("access.refused", fields)
        except LogSealed:
            return Poison(error_of(log_unavailable(), access_id=None), None)
        return Poison(error_of(refused, access_id=access_id), ticket)


def record_login(
    log: AccessLog,
    *,
    client: str,
    login: ToolLogin | None,
    application_name: str,
    reason: Reason | None,
    counts: Counts | None = None,
) -> Ticket | None:
    """Record a login, or why there was none. None where the log takes nothing."""
    if counts is not None:
        counts.login(is_ok=reason is None)
    fields = login_fields(
        access_id=new_id(),
        via="postgres",
        client=client,
        tool=None if login is None else login.name,
        credential=None if login is None else login.credential,
        application_name=application_name,
        reason=reason,
    )
    try:
        return log.append("login.ok" if reason is None else "login.failed", fields)
    except LogSealed:
        return None


def _microseconds(seconds: float) -> int:
    return max(0, int(seconds * 1_000_000))
