"""What each kind of record may and must say.

What is not listed here can not get into the log: fields are known by name, and each is of a form
that leaves no room for a value from a row, a literal, or text that a tool chose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.access_log.canonical import RecordError
from proxy.access_log.tables import Tables
from proxy.errors import Reason

# PostgreSQL keeps 63 bytes of an application name; ours is cut to what a reviewer can read.
APPLICATION_NAME_MAX: Final = 64
# Longer than any name of a policy should be, short enough that a record holds several.
_NAME_CHARACTERS_MAX: Final = 128

Check = Callable[[object], bool]


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _NAME_CHARACTERS_MAX and value.isprintable()


def _is_printable_ascii(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= _NAME_CHARACTERS_MAX
        and value.isascii()
        and value.isprintable()
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _matches(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _one_of(*values: str) -> Check:
    allowed = frozenset(values)
    return lambda value: isinstance(value, str) and value in allowed


def _is_timing(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"plan_us", "upstream_us", "total_us"}
        and all(map(_is_count, value.values()))
    )


def _is_subjects(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"count", "manifest"}
        and _is_count(value["count"])
        and _is_hash(value["manifest"])
    )


_is_hash = _matches(r"[0-9a-f]{0,64}")

FIELDS: Final[Mapping[str, Check]] = {
    "id": _matches(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "tool": _is_name,
    "credential": _is_name,
    "via": _one_of("postgres", "http"),
    "client": _is_printable_ascii,
    "application_name": lambda value: (
        _is_printable_ascii(value) and len(str(value)) <= APPLICATION_NAME_MAX
    ),
    "purpose": _is_name,
    "purpose_from": _one_of("default", "set", "startup", "database", "request"),
    "policy": _is_hash,
    "policy_name": _is_name,
    "policy_version": _is_count,
    "errors": _is_count,
    "tables": lambda value: isinstance(value, Tables),
    "statement": lambda value: isinstance(value, str),
    "statement_cut": lambda value: value is True,
    "shape": _is_hash,
    "reason": _one_of(*Reason),
    "sqlstate": _matches(r"[0-9A-Z]{5}"),
    "rows": _is_count,
    "bytes": _is_count,
    "ms": _is_timing,
    "state": _one_of("complete", "error", "cancelled", "client_gone"),
    "subjects": _is_subjects,
    "event": _is_count,
    "category": _is_name,
    # log.opened: how the run before ended, and what was cut off the files.
    "before": _one_of("nothing", "closed", "sealed", "interrupted"),
    "durability": _one_of("host", "process"),
    "torn_bytes": _is_count,
    "torn_hash": _is_hash,
    # log.sealed
    "seal": _matches(r"[a-z_]{1,32}"),
    # log.read: the account that read, and which command with which filters.
    "reader": _is_name,
    "command": _one_of("tail", "search", "verify", "report", "export", "console"),
    "filters": lambda value: (
        isinstance(value, list) and len(value) <= 16 and all(map(_is_name, value))
    ),
}

_ASKER: Final = ("tool", "credential", "via", "client", "application_name", "purpose",
                 "purpose_from", "policy")  # fmt: skip
_STATEMENT: Final = ("tables", "statement", "statement_cut", "shape", "subjects")


@dataclass(frozen=True, slots=True)
class Form:
    required: frozenset[str]
    allowed: frozenset[str]


def _form(required: str, *optional: str) -> Form:
    needed = frozenset(required.split())
    return Form(needed, needed | frozenset(optional))


FORMS: Final[Mapping[str, Form]] = {
    "access.intent": _form(
        "id tool credential via client policy tables shape", *_ASKER, *_STATEMENT
    ),
    "access.outcome": _form("id state rows bytes ms", "sqlstate"),
    "access.refused": _form("id via client reason sqlstate", *_ASKER, *_STATEMENT),
    "login.ok": _form("id tool credential via client", "application_name"),
    "login.failed": _form("id via client reason", "tool", "credential", "application_name"),
    "consent.recorded": _form("event state", "id", "category", *_ASKER),
    "policy.loaded": _form("policy policy_name policy_version"),
    "policy.rejected": _form("policy errors"),
    "log.opened": _form("before durability", "torn_bytes", "torn_hash"),
    "log.sealed": _form("seal"),
    "log.heartbeat": _form(""),
    "log.read": _form("reader command filters"),
}

# The two halves of an intent, beside its id.
INTENT_ASKER: Final = _form("tool credential via client policy", *_ASKER)
INTENT_PLAN: Final = _form("tables shape", *_STATEMENT)

_CONSENT_STATE: Final = _one_of("given", "refused", "withdrawn", "objected", "restricted")


def check_fields(kind: str, fields: Mapping[str, object], form: Form) -> None:
    """Raise RecordError for a field or value that is not listed, and for one that is missing."""
    if not form.required <= fields.keys():
        raise RecordError(f"{kind} needs {', '.join(sorted(form.required.difference(fields)))}")
    for name, value in fields.items():
        check = (
            _CONSENT_STATE if (name, kind) == ("state", "consent.recorded") else FIELDS.get(name)
        )
        if name not in form.allowed or check is None or not check(value):
            raise RecordError(f"{kind} can not say this of {name}")


def parts(kind: str, fields: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    """The fields of the record, and of each `access.more` that continues its tables.

    Raises RecordError for a kind, field or value that is not listed, and for one that is missing.
    """
    form = FORMS.get(kind)
    if form is None:
        raise RecordError(f"there is no record of kind {kind}")
    check_fields(kind, fields, form)
    tables = fields.get("tables")
    if not isinstance(tables, Tables):
        return (fields,)
    first = {**fields, "tables": tables.parts[0]}
    if len(tables.parts) == 1:
        return (first,)
    first["more"] = len(tables.parts) - 1
    return (
        first,
        *(
            {"id": fields["id"], "part": number, "tables": part}
            for number, part in enumerate(tables.parts[1:], start=1)
        ),
    )
