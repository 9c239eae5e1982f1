"""What somebody asks to be recorded: read from JSON, checked, and comparable for replays."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from proxy.consent.errors import InvalidRequest, NotYetValid, UnknownCategory, UnknownPurpose

# Free text of whoever records: a form's name, a notice's version. Long enough for a URL.
TEXT_CHARACTERS_MAX: Final = 1000
IDEMPOTENCY_KEY_CHARACTERS_MAX: Final = 255
CATEGORIES_MAX: Final = 100

_EVIDENCE = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = frozenset(
    {
        "subject",
        "purpose",
        "all",
        "category",
        "state",
        "until",
        "at",
        "source",
        "notice",
        "evidence",
    }
)


class State(StrEnum):
    """What a person said. Only `given` allows; the others end."""

    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    OBJECTED = "objected"
    RESTRICTED = "restricted"  # GDPR Art. 18


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRequest:
    """One event to record. `purpose` None means all purposes, `at` None means now.

    `categories` on a grant: the sensitive categories it names; on anything else: only these end.
    Times carry a time zone. `evidence` is a SHA-256, 64 lower-case hexadecimal digits.
    """

    subject: int | str
    purpose: str | None
    state: State
    categories: tuple[str, ...] = ()
    at: datetime | None = None
    until: datetime | None = None
    source: str | None = None
    notice: str | None = None
    evidence: str | None = None
    recorded_by: str | None = None
    idempotency_key: str | None = None

    @property
    def hash(self) -> str:
        """Equal for requests that ask for the same, whoever sent them (SHA-256, hex)."""
        fields = [
            str(self.subject),
            self.purpose,
            sorted(set(self.categories)),
            self.state,
            self.at and self.at.astimezone(UTC).isoformat(),
            self.until and self.until.astimezone(UTC).isoformat(),
            self.source,
            self.notice,
            self.evidence,
        ]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()

    def check(
        self, now: datetime, purposes: frozenset[str], categories: frozenset[str]
    ) -> datetime:
        """The instant from which the event counts; raises a ConsentError if it can not be one."""
        if self.purpose is not None and self.purpose not in purposes:
            raise UnknownPurpose("no such purpose")
        if not categories.issuperset(self.categories):
            raise UnknownCategory("no such category in the policy")
        at = now if self.at is None else self.at
        if self.state is State.GIVEN and at > now:
            raise NotYetValid("a grant can not be dated in the future")
        if self.until is not None and self.state is not State.GIVEN:
            raise InvalidRequest("only a grant has an `until`")
        if self.until is not None and self.until <= at:
            raise InvalidRequest("`until` must be later than `at`")
        return at


def parse_request(
    body: object, *, idempotency_key: str | None = None, recorded_by: str | None = None
) -> ConsentRequest:
    """The parsed body of `POST /v1/consents` as a request; InvalidRequest names the key.

    `category` is one category or a list of them. Either `purpose` or `"all": true` is given.
    """
    if not isinstance(body, Mapping):
        raise InvalidRequest("the body must be a JSON object")
    unknown = sorted(str(key) for key in body if key not in _KEYS)
    if unknown:
        known = ", ".join(sorted(_KEYS))
        raise InvalidRequest(f"unknown key `{unknown[0][:40]}`; known are {known}")
    if idempotency_key is not None and not (
        0 < len(idempotency_key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX
        and idempotency_key.isascii()
        and idempotency_key.isprintable()
    ):
        raise InvalidRequest("an idempotency key is 1 to 255 printable ASCII characters")
    return ConsentRequest(
        subject=_subject(body.get("subject")),
        purpose=_purpose(body),
        categories=read_categories(body.get("category")),
        state=read_state(body.get("state")),
        at=read_time("at", body.get("at")),
        until=read_time("until", body.get("until")),
        source=read_text("source", body.get("source")),
        notice=read_text("notice", body.get("notice")),
        evidence=read_evidence(body.get("evidence")),
        recorded_by=recorded_by,
        idempotency_key=idempotency_key,
    )


def read_state(value: object) -> State:
    if isinstance(value, str) and value in set(State):
        return State(value)
    raise InvalidRequest(f"`state` must be one of {', '.join(State)}")


def read_time(key: str, value: object) -> datetime | None:
    """An ISO 8601 instant with its offset; a time without one could be anybody's."""
    if value is None:
        return None
    expected = f"`{key}` must be an ISO 8601 time with an offset: 2026-03-01T12:00:00Z"
    if not isinstance(value, str):
        raise InvalidRequest(expected)
    try:
        read = datetime.fromisoformat(value)
        if read.tzinfo is None:
            raise InvalidRequest(expected)
        utc = read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(expected) from None
    # The ends of Python's calendar stand for infinity on the way to PostgreSQL.
    if not 1900 <= utc.year < 9999:
        raise InvalidRequest(f"`{key}` must lie between the years 1900 and 9998")
    return utc


def read_text(key: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or "\0" in value or not _is_unicode(value):
        raise InvalidRequest(f"`{key}` must be text")
    if len(value) > TEXT_CHARACTERS_MAX:
        raise InvalidRequest(f"`{key}` must not be longer than {TEXT_CHARACTERS_MAX} characters")
    return value


def read_evidence(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _EVIDENCE.fullmatch(value.lower()):
        raise InvalidRequest("`evidence` must be a SHA-256 in 64 hexadecimal digits")
    return value.lower()


def read_categories(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)) or len(listed) > CATEGORIES_MAX or not listed:
        raise InvalidRequest("`category` must be a category or a list of categories")
    for category in listed:
        if not isinstance(category, str) or not category:
            raise InvalidRequest("`category` must be a category or a list of categories")
    return tuple(sorted(set(listed)))


def _subject(value: object) -> int | str:
    # JSON's true is Python's 1: it must not become person number 1.
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InvalidRequest("`subject` must be a string or a whole number")
    return value


def _purpose(body: Mapping[object, object]) -> str | None:
    purpose, is_all = body.get("purpose"), body.get("all")
    if is_all is not None and not isinstance(is_all, bool):
        raise InvalidRequest("`all` must be true or false")
    if purpose is None and is_all is True:
        return None
    if not isinstance(purpose, str) or is_all is True:
        raise InvalidRequest('give either `purpose` or `"all": true`')
    return purpose


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
