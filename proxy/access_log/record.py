"""What the kinds of record say: their fields, and how plans and refusals become fields.

A record holds no value from a row, no literal from a statement and no free text that a tool
chose, except its application name, cut to 64 printable ASCII characters. Every field is checked
against `forms.FIELDS` before it is written: what is not listed there can not get into the log.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from proxy.access_log.forms import APPLICATION_NAME_MAX
from proxy.access_log.frames import AskerPart, IntentFields, OutcomeFields, PlanPart
from proxy.access_log.tables import cut_statement, encode_tables
from proxy.errors import Reason, Refused
from proxy.rewrite.plan import Plan, TableUse

Via = Literal["postgres", "http"]
State = Literal["complete", "error", "cancelled", "client_gone"]
PurposeFrom = Literal["default", "set", "startup", "database", "request"]
Fields = dict[str, object]

_PLANS_REMEMBERED_MAX: Final = 2048


class RecordKind(StrEnum):
    ACCESS_INTENT = "access.intent"
    ACCESS_OUTCOME = "access.outcome"
    ACCESS_REFUSED = "access.refused"
    ACCESS_MORE = "access.more"
    LOGIN_OK = "login.ok"
    LOGIN_FAILED = "login.failed"
    CONSENT_RECORDED = "consent.recorded"
    POLICY_LOADED = "policy.loaded"
    POLICY_REJECTED = "policy.rejected"
    LOG_OPENED = "log.opened"
    LOG_SEALED = "log.sealed"
    LOG_HEARTBEAT = "log.heartbeat"
    LOG_KEY = "log.key"
    LOG_READ = "log.read"


class _Ids:
    """Makes ids. Random digits are fetched for many at once: a system call costs more than one."""

    _DIGITS: Final = 19  # of an id: 18 as they are, one for two bits
    _BYTES: Final = 1024

    def __init__(self) -> None:
        self._milliseconds = -1
        self._begin = ""
        self.forget()

    def forget(self) -> None:
        """Another process has the same digits: fetch others."""
        self._chance = ""
        self._at = 0

    def next(self) -> str:
        milliseconds = time.time_ns() // 1_000_000
        if milliseconds != self._milliseconds:
            self._milliseconds = milliseconds
            text = f"{milliseconds & 0xFFFF_FFFF_FFFF:012x}"
            self._begin = f"{text[:8]}-{text[8:]}-7"
        at = self._at
        if at + self._DIGITS > len(self._chance):
            self._chance = os.urandom(self._BYTES).hex()
            at = 0
        self._at = at + self._DIGITS
        digits = self._chance[at : at + self._DIGITS]
        variant = "89ab"[int(digits[3], 16) & 3]
        return f"{self._begin}{digits[:3]}-{variant}{digits[4:7]}-{digits[7:]}"


_IDS: Final = _Ids()
os.register_at_fork(after_in_child=_IDS.forget)


def new_id() -> str:
    """A UUIDv7 (RFC 9562, 5.7): sorts by the millisecond in which it was made."""
    return _IDS.next()


def application_name(text: str) -> str:
    """A tool's application name as the log may hold it: 64 characters, printable ASCII."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:APPLICATION_NAME_MAX])


# --- builders --------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Asker:
    """Who asks, from where and for what: the same for every statement until one of them changes.

    `tool` and `credential` are names of ours, never what a stranger typed at a login; `client` is
    an address (`10.0.0.7:51344`, or `local` for a unix socket); `policy` the policy's revision.
    """

    tool: str
    credential: str
    via: Via
    client: str
    application_name: str = ""
    purpose: str | None = None
    purpose_from: PurposeFrom | None = None
    policy: str = ""
    _part: AskerPart | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def part(self) -> AskerPart:
        """What every intent says of the asker; encoded once, so an asker is not changed."""
        part = self._part
        if part is None:
            part = self._part = AskerPart(self.fields())
        return part

    def fields(self) -> Fields:
        fields: Fields = {
            "tool": self.tool,
            "credential": self.credential,
            "via": self.via,
            "client": self.client,
            "policy": self.policy,
        }
        if self.application_name:
            fields["application_name"] = application_name(self.application_name)
        if self.purpose is not None:
            fields["purpose"] = self.purpose
        if self.purpose_from is not None:
            fields["purpose_from"] = self.purpose_from
        return fields


def intent_fields(
    asker: Asker, plan: Plan, *, access_id: str, source: Plan | None = None
) -> IntentFields:
    """`access.intent`: `plan` is about to run.

    `source` is the plan whose relations it reads, where that is another one: the PREPARE of an
    EXECUTE, the DECLARE of a FETCH.
    """
    return IntentFields(access_id, asker.part, plan_part(plan, source))


def outcome_fields(
    *,
    access_id: str,
    state: State,
    rows: int,
    bytes_sent: int,
    plan_us: int,
    upstream_us: int,
    total_us: int,
    sqlstate: str | None = None,
) -> OutcomeFields:
    """`access.outcome`: the statement of the intent with this id has ended."""
    numbers = (bytes_sent, plan_us, total_us, upstream_us, rows)
    return OutcomeFields(access_id, state, numbers, sqlstate or "")


def refused_fields(
    asker: Asker,
    refused: Refused,
    *,
    access_id: str,
    plan: Plan | None = None,
    source: Plan | None = None,
) -> Fields:
    """`access.refused`. `plan`, where the statement was understood before it was refused.

    The refusal's message is not recorded: it may repeat names that the tool chose.
    """
    fields: Fields = {
        "id": access_id,
        **asker.fields(),
        "reason": refused.reason.value,
        "sqlstate": refused.sqlstate,
    }
    if plan is not None:
        fields.update(plan_part(plan, source).fields)
    elif refused.statement:
        fields.update({"statement": refused.statement, "shape": refused.shape})
    return fields


def login_fields(
    *,
    access_id: str,
    via: Via,
    client: str,
    tool: str | None = None,
    credential: str | None = None,
    application_name: str = "",
    reason: Reason | None = None,
) -> Fields:
    """`login.ok` (no reason) and `login.failed`.

    `tool` is None when the name is not one of ours: then it is a stranger's free text.
    """
    fields: Fields = {"id": access_id, "via": via, "client": client}
    if tool is not None:
        fields["tool"] = tool
    if credential is not None:
        fields["credential"] = credential
    if application_name:
        fields["application_name"] = _cut_name(application_name)
    if reason is not None:
        fields["reason"] = reason.value
    return fields


# `login_fields` has a parameter of that name, which hides the function there.
_cut_name = application_name


def consent_fields(
    *,
    event: int,
    state: Literal["given", "refused", "withdrawn", "objected", "restricted"],
    purpose: str | None,
    category: str | None = None,
    tool: str | None = None,
    credential: str | None = None,
    via: Via | None = None,
    client: str | None = None,
) -> Fields:
    """`consent.recorded`: the ledger's event number leads to the person, the log does not.

    `purpose` is None for all purposes; `tool`, `credential`, `via` and `client` are absent for the
    command line.
    """
    fields: Fields = {"event": event, "state": state}
    optional = {
        "purpose": purpose,
        "category": category,
        "tool": tool,
        "credential": credential,
        "via": via,
        "client": client,
    }
    fields.update({name: value for name, value in optional.items() if value is not None})
    return fields


def policy_fields(*, policy: str, name: str, version: int) -> Fields:
    """`policy.loaded`: revision, name and number of the policy now in force."""
    return {"policy": policy, "policy_name": name, "policy_version": version}


def rejected_policy_fields(*, policy: str, errors: int) -> Fields:
    """`policy.rejected`: a policy with so many errors was not taken; `policy` stays in force."""
    return {"policy": policy, "errors": errors}


# Plans are found again and again; what a record says of one is the same each time, and plans that
# differ in literals share it (`rewrite/lift.py`). An entry holds what its key names by id, so that
# the ids can not be given to others while it lives.
_Known = tuple[PlanPart, tuple[TableUse, ...], str]
_ENCODED: Final[dict[tuple[int, int, str], _Known]] = {}


def plan_part(plan: Plan, source: Plan | None = None) -> PlanPart:
    """What records say of a plan (see `intent_fields`); encoded once."""
    tables = (source or plan).tables
    key = (id(tables), id(plan.statement), plan.shape)
    known = _ENCODED.get(key)
    if known is None:
        if len(_ENCODED) >= _PLANS_REMEMBERED_MAX:
            _ENCODED.clear()
        part = PlanPart(MappingProxyType(_encode_plan(plan, tables)))
        known = _ENCODED[key] = (part, tables, plan.statement)
    return known[0]


def _encode_plan(plan: Plan, tables: tuple[TableUse, ...]) -> Fields:
    statement, is_cut = cut_statement(plan.statement)
    fields: Fields = {
        "tables": encode_tables(tables, statement),
        "statement": statement,
        "shape": plan.shape,
    }
    if is_cut:
        fields["statement_cut"] = True
    return fields
