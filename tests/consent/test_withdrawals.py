"""Who must leave a list that a tool pulled at an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from proxy.consent.errors import UnknownPurpose
from proxy.consent.ledger import Ledger
from proxy.consent.request import ConsentRequest, State
from tests.consent.dealership import LIFE_EVENT

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


async def say(
    ledger: Ledger,
    subject: int,
    state: State,
    purpose: str | None = "email_campaign",
    *categories: str,
    at: datetime | None = None,
    until: datetime | None = None,
) -> None:
    await ledger.record(
        ConsentRequest(
            subject=subject,
            purpose=purpose,
            state=state,
            categories=categories,
            at=at,
            until=until,
        )
    )


@pytest.fixture(name="since")
async def _since(ledger: Ledger, prepared: asyncpg.Connection) -> datetime:
    """The instant at which the list was pulled: seven people had agreed."""
    for subject in range(1, 8):
        await say(ledger, subject, State.GIVEN)
        await say(ledger, subject, State.GIVEN, "personalisation", LIFE_EVENT)
    found: datetime = await prepared.fetchval("SELECT clock_timestamp()")
    return found


async def test_everybody_who_ended_it_since_is_named_with_the_cause(
    ledger: Ledger, since: datetime
) -> None:
    await say(ledger, 1, State.WITHDRAWN)
    await say(ledger, 2, State.OBJECTED, None)
    await say(ledger, 3, State.WITHDRAWN, "personalisation")
    await say(ledger, 4, State.RESTRICTED, None)
    await say(ledger, 99, State.GIVEN)
    found = await ledger.withdrawals("email_campaign", since)
    assert [(w.subject, w.cause, w.categories) for w in found] == [
        (1, State.WITHDRAWN, ()),
        (2, State.OBJECTED, ()),
        (4, State.RESTRICTED, ()),
    ]


async def test_who_agreed_again_stays(ledger: Ledger, since: datetime) -> None:
    await say(ledger, 1, State.WITHDRAWN)
    await say(ledger, 1, State.GIVEN)
    assert await ledger.withdrawals("email_campaign", since) == []


async def test_who_ended_it_before_the_list_was_pulled_is_not_named(
    ledger: Ledger, since: datetime, prepared: asyncpg.Connection
) -> None:
    await say(ledger, 1, State.WITHDRAWN)
    later = await prepared.fetchval("SELECT clock_timestamp()")
    assert await ledger.withdrawals("email_campaign", later) == []


async def test_a_withdrawal_dated_before_but_recorded_after_is_named(
    ledger: Ledger, since: datetime
) -> None:
    await say(ledger, 50, State.GIVEN, at=MARCH)
    await say(ledger, 50, State.WITHDRAWN, at=MARCH + timedelta(days=1))
    assert [w.subject for w in await ledger.withdrawals("email_campaign", since)] == [50]


async def test_a_grant_that_ran_out_since_is_named(ledger: Ledger, since: datetime) -> None:
    end = MARCH + timedelta(days=30)
    await say(ledger, 60, State.GIVEN, at=MARCH, until=end)
    found = await ledger.withdrawals("email_campaign", MARCH)
    assert [(w.subject, w.cause, w.at) for w in found] == [(60, "expired", end)]


async def test_a_grant_shortened_into_the_past_is_named(ledger: Ledger, since: datetime) -> None:
    await say(ledger, 70, State.GIVEN, at=MARCH)
    await say(
        ledger, 70, State.GIVEN, at=MARCH + timedelta(days=1), until=since - timedelta(days=1)
    )
    assert [w.subject for w in await ledger.withdrawals("email_campaign", since)] == [70]


async def test_a_sensitive_category_that_ended_alone_is_named(
    ledger: Ledger, since: datetime
) -> None:
    await say(ledger, 1, State.WITHDRAWN, "personalisation", "user.inferred")
    # Ended whole, and given again without naming the category.
    await say(ledger, 2, State.WITHDRAWN, "personalisation")
    await say(ledger, 2, State.GIVEN, "personalisation")
    found = await ledger.withdrawals("personalisation", since)
    assert [(w.subject, w.categories) for w in found] == [(1, (LIFE_EVENT,)), (2, (LIFE_EVENT,))]


async def test_a_purpose_that_does_not_exist_is_an_error(ledger: Ledger) -> None:
    with pytest.raises(UnknownPurpose):
        await ledger.withdrawals("no_such", MARCH)
