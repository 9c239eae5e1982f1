"""What a request is answered with when it is not answered: one form for every reason.

    {"error": {"sqlstate": …, "reason": …, "message": …, "hint": …, "access_id": …}}

A refusal (`Refused`), an error of the database and a mistake in HTTP look alike to a client; all
five keys are always there, and `position` where it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from proxy.errors import Reason, Refused

DATABASE_ERROR: Final = "database_error"


class Problem(Exception):  # noqa: N818 - what a client is told; not every one is an error of ours
    """The answer to a request that can not be answered otherwise.

    `reason` is the stable key: one of `Reason`, of the ledger's, `database_error`, or HTTP's own
    (`invalid_request`, `not_found`, …), which have no SQLSTATE.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        sqlstate: str | None = None,
        hint: str | None = None,
        access_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        is_last: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.sqlstate = sqlstate
        self.hint = hint
        self.access_id = access_id
        self.position: int | None = None
        """Where in the tool's text, in characters from 1; set where it is known."""
        self.headers = dict(headers or {})
        self.is_last = is_last
        """The connection is closed: what the client sent after it is not to be believed."""

    def body(self) -> dict[str, object]:
        error: dict[str, object] = {
            "sqlstate": self.sqlstate,
            "reason": self.reason,
            "message": self.message,
            "hint": self.hint,
            "access_id": self.access_id,
        }
        if self.position is not None:
            error["position"] = self.position
        return {"error": error}

    def json(self) -> bytes:
        return orjson.dumps(self.body())


def of_refusal(refused: Refused, access_id: str | None) -> Problem:
    problem = Problem(
        refused.http_status,
        refused.reason.value,
        refused.message,
        sqlstate=refused.sqlstate,
        hint=refused.hint,
        access_id=access_id,
    )
    problem.position = refused.position
    return problem


def of_database_error(fields: Mapping[str, str], access_id: str | None) -> Problem:
    """PostgreSQL's own error; `fields` are those that a tool may read (session/errors.py)."""
    sqlstate = fields["C"]
    status, reason = _classify(sqlstate)
    problem = Problem(
        status,
        reason,
        fields.get("M", "the database reported an error"),
        sqlstate=sqlstate,
        hint=fields.get("H"),
        access_id=access_id,
    )
    problem.position = int(fields["P"]) if "P" in fields else None
    return problem


# By SQLSTATE, else by its class; what is in neither is the statement's own mistake.
_SQLSTATES: Final[Mapping[str, tuple[int, str]]] = {
    "42703": (403, Reason.COLUMN_NOT_AVAILABLE.value),
    "42601": (400, Reason.SYNTAX.value),
    "42501": (403, DATABASE_ERROR),
    "57014": (504, Reason.TOO_SLOW.value),
    "40001": (409, DATABASE_ERROR),
    "40P01": (409, DATABASE_ERROR),
}
_CLASSES: Final[Mapping[str, tuple[int, str]]] = {
    "08": (503, Reason.UPSTREAM_UNAVAILABLE.value),
    "53": (503, DATABASE_ERROR),
    "57": (503, Reason.UPSTREAM_UNAVAILABLE.value),
    "58": (500, DATABASE_ERROR),
    "F0": (500, DATABASE_ERROR),
    "XX": (500, DATABASE_ERROR),
}


def _classify(sqlstate: str) -> tuple[int, str]:
    return _SQLSTATES.get(sqlstate) or _CLASSES.get(sqlstate[:2]) or (400, DATABASE_ERROR)
