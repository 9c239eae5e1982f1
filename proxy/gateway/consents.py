"""What people said, over HTTP: recording it, showing it, and who must leave a list.

The answer 201 comes after the commit: from that instant no statement shows what was withdrawn.
What these paths show about people is an access like any other and has its records.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

from aiohttp.web import BaseRequest, StreamResponse

from proxy.access_log.record import consent_fields
from proxy.consent.errors import ConsentError, InvalidRequest
from proxy.consent.key import SubjectId
from proxy.consent.ledger import Ledger
from proxy.consent.request import ConsentRequest, parse_request, read_time
from proxy.consent.states import CategoryState, Event, PurposeState, SubjectState
from proxy.consent.withdrawals import Withdrawal
from proxy.errors import Reason, Refused
from proxy.gateway.answers import json_answer
from proxy.gateway.callers import Caller, refusal
from proxy.gateway.problem import Problem, of_refusal
from proxy.gateway.recording import Access
from proxy.gateway.requests import header_once, query_parameters, read_json
from proxy.gateway.services import Parts
from proxy.policy.decide import Guarded, Shown, decide
from proxy.policy.model import Policy, SubjectColumn
from proxy.rewrite.plan import ColumnUse, Kind, Plan, TableUse

EVENT_BYTES_MAX: Final = 64 * 1024

_EVENT_COLUMNS: Final = (
    "event", "subject_id", "purpose", "categories", "state", "at", "until", "source", "notice",
    "evidence", "recorded_by", "recorded_at",
)  # fmt: skip
_WITHDRAWN_COLUMNS: Final = ("subject_id", "purpose", "categories", "state", "at", "recorded_at")


def _reading(columns: Iterable[str]) -> Plan:
    """Reading the ledger, as access records describe a statement."""
    uses = tuple(ColumnUse(name=name, category=None, verdict="shown") for name in columns)
    return Plan(kind=Kind.SELECT, text="", tables=(TableUse(name="consent.event", columns=uses),))


_SHOWING: Final = _reading(_EVENT_COLUMNS)
_LISTING: Final = _reading(_WITHDRAWN_COLUMNS)


# --- recording -------------------------------------------------------------------------------


async def record(request: BaseRequest, caller: Caller, parts: Parts) -> StreamResponse:
    """`POST /v1/consents`: 201 once committed, 200 for a replay under the same key."""
    key = header_once(request, "Idempotency-Key")
    body = await read_json(request, EVENT_BYTES_MAX)
    ledger = _ledger(parts)
    try:
        wanted = parse_request(body, idempotency_key=key, recorded_by=caller.credential.id)
        recorded = await ledger.record(wanted)
    except ConsentError as error:
        raise _problem(error) from None
    if not recorded.is_replay:
        parts.metrics.consents.labels(wanted.state.value).inc()
        await _note(wanted, recorded.event, caller, parts)
    return json_answer(
        {"event": recorded.event, "recorded_at": _instant(recorded.recorded_at)},
        status=200 if recorded.is_replay else 201,
    )


async def _note(wanted: ConsentRequest, event: int, caller: Caller, parts: Parts) -> None:
    # One record for each category named, as a record has room for one.
    for category in wanted.categories or (None,):
        fields = consent_fields(
            event=event,
            state=wanted.state.value,
            purpose=wanted.purpose,
            category=category,
            tool=caller.credential.name,
            credential=caller.credential.id,
            via="http",
            client=caller.client,
        )
        await parts.recorder.consent(fields)


# --- showing ---------------------------------------------------------------------------------


async def show(request: BaseRequest, caller: Caller, parts: Parts) -> StreamResponse:
    """`GET /v1/consents/{subject}`: what is in force for a person, and the events behind it."""
    given = query_parameters(request, ("as_of", "known_at"))
    subject = unquote(request.rel_url.raw_path.rpartition("/")[2])
    ledger = _ledger(parts)
    access = _intend(caller, parts, _SHOWING, None)
    try:
        as_of, known_at = (read_time(name, given.get(name)) for name in ("as_of", "known_at"))
        state = await ledger.show(subject, as_of, known_at)
    except ConsentError as error:
        raise await _failed(access, parts, error) from None
    return await _answer(access, parts, _shown(state), len(state.events))


async def withdrawals(request: BaseRequest, caller: Caller, parts: Parts) -> StreamResponse:
    """`GET /v1/withdrawals?purpose=P&since=T`: who must leave a list that was pulled at T."""
    given = query_parameters(request, ("purpose", "since"))
    if given.keys() != {"purpose", "since"}:
        raise Problem(400, "invalid_request", "`purpose` and `since` are both needed")
    purpose = given["purpose"]
    if purpose not in parts.tokens.policy.purposes:
        raise Problem(422, "unknown_purpose", "no such purpose")
    refused = _objection(caller, parts.tokens.policy, purpose)
    if refused is not None:
        raise await refusal(parts, caller.asker(parts), refused)
    ledger = _ledger(parts)
    access = _intend(caller, parts, _LISTING, purpose)
    try:
        since = read_time("since", given["since"])
        if since is None:
            raise InvalidRequest("`since` is needed")
        found = await ledger.withdrawals(purpose, since)
    except ConsentError as error:
        raise await _failed(access, parts, error) from None
    document = {
        "purpose": purpose,
        "since": _instant(since),
        "withdrawals": [_listed(each) for each in found],
    }
    return await _answer(access, parts, document, len(found))


def _objection(caller: Caller, policy: Policy, purpose: str) -> Refused | None:
    """A tool learns of its own purposes, and of people whose key it can see in the data."""
    if caller.credential.role != "tool":
        return None
    if purpose not in caller.as_tool.purposes:
        return Refused(Reason.PURPOSE_NOT_ALLOWED, "this purpose is not one of the tool's own")
    if not shows_subjects(policy, purpose):
        return Refused(
            Reason.COLUMN_NOT_AVAILABLE,
            "this purpose does not see the key of a person, so it can not be told keys",
        )
    return None


def shows_subjects(policy: Policy, purpose: str) -> bool:
    """Whether some relation shows the subject's key as it is, to statements for the purpose."""
    for name, rule in policy.relations.items():
        subject = rule.subject
        if not isinstance(subject, SubjectColumn):
            continue
        verdict = decide(policy, purpose, name, [subject.column])
        if verdict is None:
            continue
        ((_, column),) = verdict.columns
        if isinstance(column, Shown) or (isinstance(column, Guarded) and column.through is None):
            return True
    return False


def _intend(caller: Caller, parts: Parts, plan: Plan, purpose: str | None) -> Access:
    asker = caller.asker(parts, purpose, "request")
    try:
        return parts.recorder.intend(asker, plan, time.monotonic())
    except Refused as unavailable:
        raise of_refusal(unavailable, None) from None


async def _answer(access: Access, parts: Parts, document: object, rows: int) -> StreamResponse:
    try:
        await parts.recorder.release(access)
    except Refused as unavailable:
        parts.recorder.conclude(access, "error", unavailable.sqlstate)
        raise of_refusal(unavailable, None) from None
    response = json_answer(document, access_id=access.id)
    access.rows, access.bytes = rows, response.content_length or 0
    parts.recorder.conclude(access, "complete")
    return response


async def _failed(access: Access, parts: Parts, error: ConsentError) -> Problem:
    parts.recorder.conclude(access, "error")
    try:
        await parts.recorder.release(access)
    except Refused as unavailable:
        return of_refusal(unavailable, None)
    problem = _problem(error)
    problem.access_id = access.id
    return problem


def _ledger(parts: Parts) -> Ledger:
    ledger = parts.ledger()
    if ledger is None:
        raise Problem(
            503,
            "ledger_unavailable",
            "the ledger can not be used",
            hint="Try again later; the operator's log says why.",
        )
    return ledger


def _problem(error: ConsentError) -> Problem:
    return Problem(error.http_status, error.reason, error.message)


# --- as JSON ---------------------------------------------------------------------------------


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _perhaps(at: datetime | None) -> str | None:
    return None if at is None else _instant(at)


def _subject(subject: SubjectId) -> int | str:
    return subject if isinstance(subject, int) else str(subject)


def _shown(state: SubjectState) -> dict[str, object]:
    return {
        "subject": _subject(state.subject),
        "as_of": _instant(state.as_of),
        "known_at": _instant(state.known_at),
        "purposes": [_purpose(purpose) for purpose in state.purposes],
        "events": [_event(event) for event in state.events],
    }


def _purpose(state: PurposeState) -> dict[str, object]:
    return {
        "purpose": state.purpose,
        "basis": state.basis.value,
        "in_force": state.is_in_force,
        "until": _perhaps(state.until),
        "event": None if state.deciding is None else state.deciding.event,
        "categories": [_category(category) for category in state.categories],
    }


def _category(state: CategoryState) -> dict[str, object]:
    return {
        "category": state.category,
        "in_force": state.is_in_force,
        "until": _perhaps(state.until),
        "event": None if state.deciding is None else state.deciding.event,
    }


def _event(event: Event) -> dict[str, object]:
    return {
        "event": event.event,
        "purpose": event.purpose,
        "all": event.purpose is None,
        "category": list(event.categories),
        "state": event.state.value,
        "at": _instant(event.at),
        "until": _perhaps(event.until),
        "source": event.source,
        "notice": event.notice,
        "evidence": event.evidence,
        "recorded_by": event.recorded_by,
        "recorded_at": _instant(event.recorded_at),
    }


def _listed(withdrawal: Withdrawal) -> dict[str, object]:
    return {
        "subject": _subject(withdrawal.subject),
        "category": list(withdrawal.categories),
        "cause": str(withdrawal.cause),
        "at": _instant(withdrawal.at),
        "recorded_at": _perhaps(withdrawal.recorded_at),
    }
