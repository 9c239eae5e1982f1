"""What can go wrong, and how each is told: a refusal, a broken peer, a bug, a user's mistake.

A `Refused` is the policy's (or a reader's) no; it becomes an ErrorResponse or an HTTP error,
and an `access.refused` record. Reasons are stable keys: tools, tests and the access log rely on
them (design.md, section 4, "Refusals").
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a statement, a login or a request was refused. The value is the stable key."""

    TABLE_NOT_IN_POLICY = "table_not_in_policy"
    FUNCTION_NOT_ALLOWED = "function_not_allowed"
    TYPE_NOT_ALLOWED = "type_not_allowed"
    SETTING_NOT_ALLOWED = "setting_not_allowed"
    PURPOSE_NOT_ALLOWED = "purpose_not_allowed"
    PURPOSE_MISSING = "purpose_missing"
    ROLE_NOT_ALLOWED = "role_not_allowed"
    AGGREGATE_ONLY = "aggregate_only"
    COLUMN_NOT_AVAILABLE = "column_not_available"
    SYNTAX = "syntax"
    STATEMENT_KIND = "statement_kind"
    NOT_UNDERSTOOD = "not_understood"
    READERS_DISAGREE = "readers_disagree"
    CONSENT_CHANGED = "consent_changed"
    STATEMENT_TOO_LARGE = "statement_too_large"
    STATEMENT_TOO_DEEP = "statement_too_deep"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_SLOW = "too_slow"
    ACCESS_LOG_UNAVAILABLE = "access_log_unavailable"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    WRONG_CREDENTIAL = "wrong_credential"
    TRANSACTION_STATE = "transaction_state"  # a SET that PostgreSQL's own rules forbid here (25001)


# SQLSTATE and HTTP status of each reason: design.md, section 4. UPSTREAM_UNAVAILABLE and
# TRANSACTION_STATE are ours (08006 connection_failure, 25001 active_sql_transaction).
_CODES: Final[dict[Reason, tuple[str, int]]] = {
    Reason.TABLE_NOT_IN_POLICY: ("42501", 403),
    Reason.FUNCTION_NOT_ALLOWED: ("42501", 403),
    Reason.TYPE_NOT_ALLOWED: ("42501", 403),
    Reason.SETTING_NOT_ALLOWED: ("42501", 403),
    Reason.PURPOSE_NOT_ALLOWED: ("42501", 403),
    Reason.PURPOSE_MISSING: ("42501", 403),
    Reason.ROLE_NOT_ALLOWED: ("42501", 403),
    Reason.AGGREGATE_ONLY: ("42501", 403),
    Reason.COLUMN_NOT_AVAILABLE: ("42703", 403),
    Reason.SYNTAX: ("42601", 400),
    Reason.STATEMENT_KIND: ("0A000", 400),
    Reason.NOT_UNDERSTOOD: ("0A000", 400),
    Reason.READERS_DISAGREE: ("0A000", 400),
    Reason.CONSENT_CHANGED: ("40001", 409),
    Reason.STATEMENT_TOO_LARGE: ("54000", 413),
    Reason.STATEMENT_TOO_DEEP: ("54000", 413),
    Reason.TOO_MANY_CONNECTIONS: ("53300", 503),
    Reason.TOO_SLOW: ("57014", 504),
    Reason.ACCESS_LOG_UNAVAILABLE: ("58030", 503),
    Reason.UPSTREAM_UNAVAILABLE: ("08006", 503),
    Reason.WRONG_CREDENTIAL: ("28P01", 401),
    Reason.TRANSACTION_STATE: ("25001", 400),
}


class Refused(Exception):  # noqa: N818 - the project's word for the verdict "no", not for a fault
    """A statement, login or request that is not answered, and why.

    `message` and `hint` are shown to the tool: they name no value and no person (G7), and
    names only that the tool wrote itself. `sqlstate` defaults to the reason's. `position` is a
    1-based character position in the tool's own text, where that is known.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        hint: str | None = None,
        sqlstate: str | None = None,
        position: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.sqlstate = sqlstate or _CODES[reason][0]
        self.position = position
        # What the access record of the refusal may hold of the statement (sql/normalise.py);
        # empty where the text could not even be scanned.
        self.statement = ""
        self.shape = ""
        # Where the refused node stands in the tool's text, in bytes from 0 (enforce.py makes a
        # position of it).
        self.location: int | None = None

    @property
    def http_status(self) -> int:
        return _CODES[self.reason][1]

    def __reduce__(self) -> tuple[object, ...]:
        # Long statements are read in a worker process: a refusal must survive pickling whole.
        return (
            _rebuild_refused,
            (self.reason, self.message, self.hint, self.sqlstate, self.position),
            {"statement": self.statement, "shape": self.shape, "location": self.location},
        )


def _rebuild_refused(
    reason: Reason, message: str, hint: str | None, sqlstate: str, position: int | None
) -> Refused:
    return Refused(reason, message, hint=hint, sqlstate=sqlstate, position=position)


class ClientProtocolError(Exception):
    """The client broke the protocol. The connection is closed; nothing else is at risk."""


class UpstreamProtocolError(Exception):
    """The upstream broke the protocol or went away. The session ends; nothing more is relayed."""


class InvariantError(Exception):
    """A bug of ours: something that can not be, is. The session ends; nothing more is relayed."""


class ConfigurationError(Exception):
    """A user's mistake in a file, an argument or an environment variable: exit code 2.

    The text says what is wrong, where (file, line, key) and what was expected.
    """
