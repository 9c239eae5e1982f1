"""The body of POST /v1/consents: what it may say, and that every mistake is told by its key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.consent.errors import InvalidRequest
from proxy.consent.request import ConsentRequest, State, parse_request

GRANT: dict[str, Any] = {"subject": 7, "purpose": "email_campaign", "state": "given"}


def test_a_full_body_becomes_a_request() -> None:
    request = parse_request(
        {
            **GRANT,
            "category": ["user.b", "user.a"],
            "at": "2026-03-01T12:00:00+01:00",
            "until": "2027-03-01T12:00:00Z",
            "source": "form",
            "notice": "v3",
            "evidence": "AB" * 32,
        },
        idempotency_key="k",
        recorded_by="sync",
    )
    assert request == ConsentRequest(
        subject=7,
        purpose="email_campaign",
        state=State.GIVEN,
        categories=("user.a", "user.b"),
        at=datetime(2026, 3, 1, 11, tzinfo=UTC),
        until=datetime(2027, 3, 1, 12, tzinfo=UTC),
        source="form",
        notice="v3",
        evidence="ab" * 32,
        recorded_by="sync",
        idempotency_key="k",
    )


def test_all_purposes_are_asked_for_by_name() -> None:
    body = {"subject": "K-7", "all": True, "state": "withdrawn"}
    assert parse_request(body).purpose is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"subject": None}, "subject"),
        ({"subject": True}, "subject"),
        ({"subject": 1.5}, "subject"),
        ({"subject": ["7"]}, "subject"),
        ({"purpose": None}, "purpose"),
        ({"purpose": 7}, "purpose"),
        ({"all": True}, "purpose"),
        ({"all": 1, "purpose": None}, "all"),
        ({"all": "yes"}, "all"),
        ({"state": "opted_in"}, "state"),
        ({"state": None}, "state"),
        ({"category": []}, "category"),
        ({"category": {}}, "category"),
        ({"category": [7]}, "category"),
        ({"category": ""}, "category"),
        ({"at": "2026-03-01T12:00:00"}, "at"),
        ({"at": "2026-03-01"}, "at"),
        ({"at": 1772362800}, "at"),
        ({"at": "yesterday"}, "at"),
        ({"at": "9999-12-31T23:59:59.999999Z"}, "at"),
        ({"until": "0001-01-01T00:00:00+14:00"}, "until"),
        ({"source": 7}, "source"),
        ({"source": "x" * 1001}, "source"),
        ({"notice": "a\0b"}, "notice"),
        ({"notice": "\ud800"}, "notice"),
        ({"evidence": "abc"}, "evidence"),
        ({"untill": "2027-03-01T12:00:00Z"}, "untill"),
    ],
)
def test_every_mistake_is_told_by_its_key(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest, match=f"`{told}`"):
        parse_request({**GRANT, **change})


@pytest.mark.parametrize("body", [None, [], "x", 7])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest):
        parse_request(body)


@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "a\nb"])
def test_an_idempotency_key_is_short_printable_ascii(key: str) -> None:
    with pytest.raises(InvalidRequest, match="idempotency"):
        parse_request(GRANT, idempotency_key=key)


def test_requests_that_ask_for_the_same_have_one_hash() -> None:
    first = parse_request({**GRANT, "at": "2026-03-01T12:00:00+01:00", "category": ["b", "a"]})
    second = parse_request({**GRANT, "at": "2026-03-01T11:00:00Z", "category": ["a", "b", "a"]})
    assert first.hash == second.hash
    assert first.hash != parse_request(GRANT).hash
