"""Recording: what a withdrawal, a grant, an objection change, and when."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from proxy.consent.epoch import EpochReader
from proxy.consent.errors import (
    IdempotencyConflict,
    InvalidRequest,
    LedgerUnavailable,
    NotYetValid,
    UnknownCategory,
    UnknownPurpose,
    WrongSubject,
)
from proxy.consent.ledger import Ledger
from proxy.consent.request import ConsentRequest, State

from tests.consent.dealership import as_role

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


async def test_a_grant_is_in_force_when_record_has_answered(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    await ledger.record(
        ConsentRequest(subject=7, purpose="email_campaign", state=State.GIVEN)
    )
    assert await prepared.fetchval(
        "SELECT email_campaign = 'infinity' AND service = 'infinity'"
        " AND personalisation = '-infinity' FROM consent.subject WHERE subject_id = 7"
    )
