"""What of PostgreSQL's errors and notices a tool may read (G7), and errors of the session's own.

The tables below are the rule; docs/reference/errors.md is made of them. Both doors use them.

An error may speak of the statement, and of values that reached the tool's own expressions: those
are values that the tool may see, as guards stand before them. It may not speak of what else the
server knows (files, locks, other relations), nor of what code of the database's own has met on its
way to a value: a view's expression can fail on a row that the tool may not see, and quote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from proxy.rewrite.plan import Plan
from proxy.rewrite.positions import tool_position
from proxy.wire import messages


class Reach(IntEnum):
    """How far a statement reaches, and so of what its errors may speak."""

    NOTHING = 0  # it reads no relation
    GUARDED = 1  # it reads relations; every value has passed a guard
    DATABASE = 2  # code of the database's own runs, before a guard or beside it


class Words(Enum):
    """How much of an error's text passes."""

    ALL = "message, detail and hint"
    MESSAGE = "message"
    NAME = "the name of its class"


class Part(Enum):
    """Whether a field passes."""

    ALWAYS = "always"
    BY_CLASS = "by its class"
    TRANSLATED = "as a position in the tool's own text, or not at all"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of ErrorResponse and NoticeResponse (manual, "Error and Notice Message Fields")."""

    code: str
    name: str
    part: Part
    why: str


FIELDS: Final = (
    Field("S", "severity", Part.ALWAYS, "a word of a fixed list"),
    Field("V", "severity, not translated", Part.ALWAYS, "a word of a fixed list"),
    Field("C", "SQLSTATE", Part.ALWAYS, "but see statements that run code of the database"),
    Field("M", "message", Part.BY_CLASS, "else the name of its class"),
    Field("D", "detail", Part.BY_CLASS, "it may quote a row, a lock, another session"),
    Field("H", "hint", Part.BY_CLASS, "it goes with the detail"),
    Field("P", "position", Part.TRANSLATED, "the text that PostgreSQL read is not the tool's"),
    Field("p", "internal position", Part.NEVER, "of a text that is not the tool's"),
    Field("q", "internal query", Part.NEVER, "the text of a function of the database"),
    Field("W", "where", Part.NEVER, "calls, and the values that they were made with"),
    Field("s", "schema", Part.NEVER, "may be of a relation that is not there for the tool"),
    Field("t", "table", Part.NEVER, "may be one that is not there for the tool"),
    Field("c", "column", Part.NEVER, "may be one that is not there for the tool"),
    Field("d", "data type", Part.NEVER, "may be of a column that is not there for the tool"),
    Field("n", "constraint", Part.NEVER, "may be of a column that is not there for the tool"),
    Field("F", "file", Part.NEVER, "a place in PostgreSQL's source"),
    Field("L", "line", Part.NEVER, "a place in PostgreSQL's source"),
    Field("R", "routine", Part.NEVER, "a place in PostgreSQL's source"),
)


@dataclass(frozen=True, slots=True)
class Class:
    """A class of SQLSTATEs, or one SQLSTATE that is not as its class (manual, appendix A)."""

    code: str
    name: str
    words: Words  # of statements that read nothing, or guarded relations
    why: str


_ALL, _MESSAGE, _NAME = Words.ALL, Words.MESSAGE, Words.NAME

CLASSES: Final = (
    Class("00", "successful completion", _MESSAGE, "notices about the statement"),
    Class("01", "warning", _MESSAGE, "warnings about the statement"),
    Class("02", "no data", _MESSAGE, "about the statement"),
    Class("03", "SQL statement not yet complete", _MESSAGE, "about the protocol"),
    Class("08", "connection exception", _MESSAGE, "about the connection"),
    Class("09", "triggered action exception", _NAME, "nothing that a reading statement does"),
    Class("0A", "feature not supported", _ALL, "about the statement"),
    Class("0B", "invalid transaction initiation", _MESSAGE, "about the transaction"),
    Class("0F", "locator exception", _NAME, "nothing that a reading statement does"),
    Class("0L", "invalid grantor", _NAME, "nothing that a reading statement does"),
    Class("0P", "invalid role specification", _NAME, "names roles"),
    Class("0Z", "diagnostics exception", _NAME, "raised in functions only"),
    Class("20", "case not found", _NAME, "raised in functions only"),
    Class("21", "cardinality violation", _MESSAGE, "about rows that the tool sees"),
    Class("22", "data exception", _ALL, "about values that the tool sees"),
    Class("23", "integrity constraint violation", _NAME, "names constraints, quotes rows"),
    Class("24", "invalid cursor state", _MESSAGE, "about the tool's cursor"),
    Class("25", "invalid transaction state", _ALL, "about the transaction"),
    Class("26", "invalid SQL statement name", _MESSAGE, "about the tool's prepared statement"),
    Class("27", "triggered data change violation", _NAME, "nothing that a reading statement does"),
    Class("28", "invalid authorization specification", _NAME, "names roles"),
    Class("2B", "dependent privilege descriptors still exist", _NAME, "names objects"),
    Class("2D", "invalid transaction termination", _MESSAGE, "about the transaction"),
    Class("2F", "SQL routine exception", _NAME, "raised in functions only"),
    Class("34", "invalid cursor name", _MESSAGE, "about the tool's cursor"),
    Class("38", "external routine exception", _NAME, "raised in functions only"),
    Class("39", "external routine invocation exception", _NAME, "raised in functions only"),
    Class("3B", "savepoint exception", _MESSAGE, "about the tool's savepoint"),
    Class("3D", "invalid catalog name", _MESSAGE, "about a name that the tool wrote"),
    Class("3F", "invalid schema name", _MESSAGE, "about a name that the tool wrote"),
    Class("40", "transaction rollback", _MESSAGE, "its detail tells of other sessions"),
    Class("42", "syntax error or access rule violation", _ALL, "about the statement"),
    Class("42501", "insufficient privilege", _NAME, "may name what a guard reads"),
    Class("44", "WITH CHECK OPTION violation", _NAME, "nothing that a reading statement does"),
    Class("53", "insufficient resources", _NAME, "files and sizes of the server"),
    Class("54", "program limit exceeded", _MESSAGE, "about sizes that the tool sees"),
    Class("55", "object not in prerequisite state", _NAME, "may name what a guard reads"),
    Class("57", "operator intervention", _MESSAGE, "fixed words: cancelled, too slow, shut down"),
    Class("58", "system error", _NAME, "files of the server"),
    Class("72", "snapshot failure", _MESSAGE, "fixed words"),
    Class("F0", "configuration file error", _NAME, "files of the server"),
    Class("HV", "foreign data wrapper error", _NAME, "another server's own words"),
    Class("P0", "error in a function", _NAME, "a function's own words"),
    Class("XX", "internal error", _NAME, "can quote anything"),
)

_BY_CODE: Final = {each.code: each for each in CLASSES}
_UNKNOWN: Final = _BY_CODE["XX"]
_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")

# What the server itself says of a session, whatever code runs: the code passes, and the class's
# name. Everything else that code of the database's own may have raised is one and the same error.
SERVER_STATES: Final = frozenset({"25P02", "26000", "34000", "40001", "40P01", "57014", "57P01"})
WITHHELD_STATE: Final = "22000"
WITHHELD: Final = "the statement failed on a value"
_WITHHELD_HINT: Final = (
    "What PostgreSQL says of it is withheld: code of the database runs in this statement (a view, "
    "a foreign table, a generated column, row security or a function), and the message could "
    "quote what is not shown."
)


@dataclass(frozen=True, slots=True)
class Place:
    """The text that went upstream, and the statement of the tool's text that it stands for.

    `starts_at`: how many characters of the sent text come before `final`.
    """

    final: str
    text: str
    index: int = 0
    starts_at: int = 0

    def of(self, position: str) -> int | None:
        if not position.isdecimal() or len(position) > 9:
            return None
        return tool_position(int(position) - self.starts_at, self.final, self.text, self.index)


def reach(*plans: Plan | None) -> Reach:
    """How far a statement reaches: the farthest of its plans."""
    known = [plan for plan in plans if plan is not None]
    if any(plan.runs_code for plan in known):
        return Reach.DATABASE
    return Reach.GUARDED if any(plan.tables for plan in known) else Reach.NOTHING


def class_of(sqlstate: str) -> Class:
    return _BY_CODE.get(sqlstate) or _BY_CODE.get(sqlstate[:2], _UNKNOWN)


def shown_error(
    fields: Mapping[str, str],
    how_far: Reach,
    place: Place | None = None,
    *,
    is_analysis: bool = False,
) -> dict[str, str]:
    """The fields of an error that a tool may read. `is_analysis`: it came before anything ran."""
    sqlstate = sqlstate_of(fields)
    severity = fields.get("V", fields.get("S", "ERROR"))
    position = place.of(fields["P"]) if place is not None and "P" in fields else None
    if how_far is Reach.DATABASE and not is_analysis and position is None:
        return _withheld(severity, sqlstate)
    kept = {"S": fields.get("S", severity), "V": severity, "C": sqlstate}
    kept.update(_words(fields, class_of(sqlstate)))
    if position is not None:
        kept["P"] = str(position)
    return kept


def shown_notice(fields: Mapping[str, str], how_far: Reach) -> dict[str, str] | None:
    """The fields of a notice that a tool may read; None: nothing of it."""
    found = class_of(sqlstate_of(fields))
    if how_far is Reach.DATABASE or found.words is Words.NAME:
        return None
    kept = {key: fields[key] for key in "SV" if key in fields}
    return {**kept, "C": sqlstate_of(fields), **_words(fields, found)}


def sqlstate_of(fields: Mapping[str, str]) -> str:
    """The SQLSTATE, or that of an internal error where it is none."""
    sqlstate = fields.get("C", "")
    return sqlstate if _SQLSTATE.fullmatch(sqlstate) else "XX000"


def _words(fields: Mapping[str, str], found: Class) -> dict[str, str]:
    match found.words:
        case Words.ALL:
            return {key: fields[key] for key in "MDH" if key in fields}
        case Words.MESSAGE:
            return {"M": fields.get("M", found.name)}
        case Words.NAME:
            return {"M": found.name}


def _withheld(severity: str, sqlstate: str) -> dict[str, str]:
    if severity != "ERROR" or sqlstate in SERVER_STATES:
        return {"S": severity, "V": severity, "C": sqlstate, "M": class_of(sqlstate).name}
    return {
        "S": severity,
        "V": severity,
        "C": WITHHELD_STATE,
        "M": WITHHELD,
        "H": _WITHHELD_HINT,
    }


# --- the session's own -----------------------------------------------------------------------


def fatal(sqlstate: str, text: str, *, detail: str | None = None, hint: str | None = None) -> bytes:
    return messages.refusal("FATAL", sqlstate, text, detail=detail, hint=hint)


def shutdown() -> bytes:
    return fatal("57P01", "terminating connection due to administrator command")


def idle_too_long() -> bytes:
    return fatal("57P05", "terminating connection due to idle-session timeout")


def upstream_lost() -> bytes:
    return fatal(
        "08006",
        "the connection to the database was lost",
        detail="reason: upstream_unavailable",
        hint="Connect again.",
    )


def internal() -> bytes:
    return fatal("XX000", "the session was ended, because the proxy could not go on safely")


def protocol_violation(text: str) -> bytes:
    return fatal("08P01", text)
