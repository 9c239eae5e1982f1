"""`POST /v1/query` and `POST /v1/explain`: what a tool asks, planned and answered.

Each request is a session of its own: a connection is leased, given the tool's search path and the
purpose, runs one statement, and goes back to be reset.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp.web import BaseRequest, StreamResponse

from proxy.access_log.record import Asker
from proxy.errors import Reason, Refused, UpstreamProtocolError
from proxy.gateway.answers import json_answer
from proxy.gateway.callers import Caller, no_longer_allowed, refusal
from proxy.gateway.conversation import Conversation
from proxy.gateway.parameters import PARAMETERS_MAX
from proxy.gateway.problem import Problem, of_refusal
from proxy.gateway.requests import (
    BODY_BYTES_MAX,
    JsonObject,
    accepted,
    known_keys,
    optional_text,
    read_json,
    text_of,
)
from proxy.gateway.results import FORMS
from proxy.gateway.services import Parts
from proxy.gateway.streaming import Streaming
from proxy.rewrite.plan import Kind, Plan, PlanContext
from proxy.session.identifiers import quote_identifier, quote_literal
from proxy.upstream.pool import Pool

_ANSWERED: Final = frozenset({Kind.SELECT, Kind.SHOW, Kind.EXPLAIN})
# A policy that changes while a statement waits makes it be planned again, so often.
_PLANNING_ATTEMPTS: Final = 3

# What the texts of values.py are written under; a role's or database's own defaults may differ.
_SETTINGS: Final[Mapping[str, str]] = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A statement as a tool asked it, for the purpose in force."""

    sql: str
    asker: Asker
    context: PlanContext


async def query(request: BaseRequest, caller: Caller, parts: Parts) -> StreamResponse:
    started_at = time.monotonic()
    if request.version < (1, 1):
        # Without chunks, a result that was cut can not be told from a whole one.
        raise Problem(505, "invalid_request", "HTTP/1.1 is needed here", is_last=True)
    media = accepted(request, FORMS)
    document = await read_json(request, BODY_BYTES_MAX + parts.limits.statement_bytes)
    known_keys(document, ("sql", "params", "purpose"))
    values = _values(document)
    asked = await _asked(document, caller, parts)
    plan = await _planned(asked, parts)
    if plan.kind not in _ANSWERED:
        kinds = ", ".join(sorted(_ANSWERED))
        refused = Refused(
            Reason.STATEMENT_KIND,
            f"{plan.kind} is not answered over HTTP",
            hint=f"Statements here are {kinds}; others need the PostgreSQL protocol.",
        )
        raise await refusal(parts, asked.asker, refused, plan)
    if len(values) != plan.parameters:
        raise _wrong_count(plan.parameters, len(values))
    try:
        async with leased(parts.pool) as conversation:
            plan = await _replanned(asked, plan, parts)
            purpose = asked.context.purpose
            is_allowed = partial(caller.is_allowed_still, parts, purpose)
            if not is_allowed():
                raise no_longer_allowed()
            # The policy that the record names is the one that the plan is of.
            asker = caller.asker(parts, purpose, asked.asker.purpose_from)
            access = parts.recorder.intend(asker, plan, started_at)
            streaming = Streaming(request, parts, media, access, is_allowed)
            settings = _settings(asked.context)
            await streaming.run(conversation, settings, plan, values, asked.sql)
    except Refused as refused:
        # Nothing has left: no connection was free, or no record could be written.
        if refused.reason is Reason.ACCESS_LOG_UNAVAILABLE:
            raise of_refusal(refused, None) from None
        raise await refusal(parts, asked.asker, refused, plan) from None
    return await streaming.finish()


async def explain(request: BaseRequest, caller: Caller, parts: Parts) -> StreamResponse:
    """What the proxy would do with a statement; nothing runs, so there is no access."""
    document = await read_json(request, BODY_BYTES_MAX + parts.limits.statement_bytes)
    known_keys(document, ("sql", "purpose"))
    asked = await _asked(document, caller, parts)
    plan = await _planned(asked, parts)
    tables = [
        {
            "name": table.name,
            "columns": [
                {
                    "name": column.name,
                    "category": column.category,
                    "verdict": column.verdict,
                    "mask": column.mask,
                }
                for column in table.columns
            ],
        }
        for table in plan.tables
    ]
    return json_answer(
        {
            "kind": plan.kind.value,
            "purpose": asked.context.purpose,
            "parameters": plan.parameters,
            "tables": tables,
        }
    )


@asynccontextmanager
async def leased(pool: Pool) -> AsyncIterator[Conversation]:
    """A conversation on a leased connection. What still runs at the end is cancelled.

    Raises Refused (too_many_connections, upstream_unavailable).
    """
    connection = await pool.acquire()
    try:
        conversation = Conversation(connection)
    except UpstreamProtocolError:
        pool.release(connection, is_clean=False)
        raise Refused(
            Reason.UPSTREAM_UNAVAILABLE, "the database does not answer", hint="Try again later."
        ) from None
    try:
        yield conversation
    finally:
        is_clean = conversation.is_clean
        conversation.leave()
        pool.release(connection, is_clean=is_clean)


async def _asked(document: JsonObject, caller: Caller, parts: Parts) -> Asked:
    tool = caller.as_tool
    chosen = optional_text(document, "purpose")
    if chosen is not None and chosen not in tool.purposes:
        refused = Refused(Reason.PURPOSE_NOT_ALLOWED, "this purpose is not one of the tool's own")
        raise await refusal(parts, caller.asker(parts), refused)
    purpose = tool.default if chosen is None else chosen
    return Asked(
        sql=text_of(document, "sql"),
        asker=caller.asker(parts, purpose, "default" if chosen is None else "request"),
        context=PlanContext(
            tool=tool.name, purpose=purpose, search_path=tool.search_path, is_extended=True
        ),
    )


async def _planned(asked: Asked, parts: Parts) -> Plan:
    """The plan of the one statement. Raises Problem where it is refused."""
    with parts.metrics.plan_seconds.time():
        plans = await parts.planner.plan(asked.sql, asked.context)
    plan = plans[-1]
    if len(plans) != 1:
        plan = Refused(Reason.SYNTAX, "one statement at a time")
    if isinstance(plan, Plan) and plan.kind is Kind.EMPTY:
        plan = Refused(Reason.SYNTAX, "there is no statement")
    if isinstance(plan, Refused):
        raise await refusal(parts, asked.asker, plan)
    return plan


async def _replanned(asked: Asked, plan: Plan, parts: Parts) -> Plan:
    """The plan under the policy that is in force now, after the wait for a connection."""
    for _ in range(_PLANNING_ATTEMPTS):
        if plan.revision == parts.planner.revision:
            return plan
        renewed = await _planned(asked, parts)
        if renewed.kind is not plan.kind or renewed.parameters != plan.parameters:
            break
        plan = renewed
    raise Refused(Reason.NOT_UNDERSTOOD, "the policy changed; try again")


def _settings(context: PlanContext) -> str:
    values = {
        **_SETTINGS,
        "search_path": ", ".join(map(quote_identifier, context.search_path)),
        "consent.purpose": context.purpose or "",
    }
    calls = (
        f"pg_catalog.set_config({quote_literal(name)}, {quote_literal(value)}, false)"
        for name, value in values.items()
    )
    return "SELECT " + ", ".join(calls)


def _values(document: JsonObject) -> list[object]:
    values = document.get("params")
    if values is None:
        return []
    if not isinstance(values, list) or len(values) > PARAMETERS_MAX:
        raise Problem(400, "invalid_request", "`params` must be an array: one value for each $n")
    return values


def _wrong_count(expected: int, found: int) -> Problem:
    return Problem(
        400,
        "invalid_request",
        f"the statement has {expected} parameters, the request {found}",
        hint="`params` holds one value for each of $1, $2 …",
    )
