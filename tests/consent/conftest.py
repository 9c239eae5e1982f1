"""A customer database that `init` prepared for the dealer's policy, and a ledger over it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from proxy.consent.ledger import Ledger
from proxy.consent.schema import init
from proxy.policy.model import Policy
from tests.consent.dealership import TABLES, as_role, make_policy


@pytest.fixture
def policy() -> Policy:
    return make_policy()


@pytest.fixture
async def admin(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser in an empty customer database."""
    connection = await asyncpg.connect(database)
    await connection.execute(TABLES)
    yield connection
    await connection.close()


@pytest.fixture
async def prepared(admin: asyncpg.Connection, policy: Policy) -> asyncpg.Connection:
    """The superuser, after `init`."""
    await init(admin, policy)
    return admin


@pytest.fixture
async def ledger(
    prepared: asyncpg.Connection, database: str, policy: Policy
) -> AsyncIterator[Ledger]:
    ledger = await Ledger.connect(as_role(database, "consent_writer"), None, policy)
    yield ledger
    await ledger.close()
