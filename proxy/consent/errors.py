"""What can be wrong with an event, and with the ledger itself. Each has a stable key and a status.

The messages go to whoever records consent (not to tools); they may name what that caller wrote.
"""

from __future__ import annotations

from typing import ClassVar


class ConsentError(Exception):
    """An event or a question that the ledger does not take, and why.

    `reason` is the stable key, `http_status` what `POST /v1/consents` answers with.
    """

    reason: ClassVar[str] = "invalid_request"
    http_status: ClassVar[int] = 422

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(ConsentError):  # noqa: N818 - named for its reason
    """The request says something that no event can mean."""


class UnknownPurpose(ConsentError):  # noqa: N818 - named for its reason
    reason = "unknown_purpose"


class UnknownCategory(ConsentError):  # noqa: N818 - named for its reason
    reason = "unknown_category"


class WrongSubject(ConsentError):  # noqa: N818 - named for its reason
    """The subject is not a value of the key column's type."""

    reason = "wrong_subject"


class NotYetValid(ConsentError):  # noqa: N818 - named for its reason
    """A grant that is dated in the future."""

    reason = "not_yet_valid"


class IdempotencyConflict(ConsentError):  # noqa: N818 - named for its reason
    """The idempotency key was used before, for another request."""

    reason = "idempotency_conflict"
    http_status = 409


class LedgerNotPrepared(ConsentError):  # noqa: N818 - named for its reason
    """Schema `consent` is missing, or is not what the policy needs: `init` must run."""

    reason = "ledger_not_prepared"
    http_status = 503


class LedgerUnavailable(ConsentError):  # noqa: N818 - named for its reason
    """The database of the ledger does not answer. Nothing was promised; the caller tries again."""

    reason = "ledger_unavailable"
    http_status = 503


class ImportRefused(ConsentError):  # noqa: N818 - named for its reason
    """The file as a whole can not be read (a missing column, an unknown format)."""

    reason = "import_refused"
