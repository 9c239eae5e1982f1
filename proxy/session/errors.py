"""What of PostgreSQL's errors and notices a tool may read (G7), and errors of the session's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.wire import messages

# Severity, its untranslated form, SQLSTATE and message: of the tool's own (guarded) values.
_ALWAYS: Final = ("S", "V", "C", "M")
# Names and texts of the rewritten statement, positions in it, and places in PostgreSQL's source.
_NEVER: Final = frozenset("PpqWstcdnFLR")
_WITH_HINT: Final = ("42", "0A", "22")


def clean_error(kind: int, fields: dict[str, str], has_read: bool) -> bytes:  # noqa: FBT001
    """The message without what speaks of our rewriting, or of values behind a guard.

    `has_read`: it belongs to a statement that reads relations. Its detail may quote a row; its
    hint is kept for classes that speak of the statement alone.
    """
    if not has_read:
        kept = {key: value for key, value in fields.items() if key not in _NEVER}
        return messages.error(kind, kept)
    kept = {key: fields[key] for key in _ALWAYS if key in fields}
    if has_shown_hint(fields):
        kept["H"] = fields["H"]
    return messages.error(kind, kept)


def has_shown_hint(fields: Mapping[str, str]) -> bool:
    """Whether an error has a hint that speaks of the statement alone."""
    return "D" not in fields and "H" in fields and fields.get("C", "")[:2] in _WITH_HINT


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
