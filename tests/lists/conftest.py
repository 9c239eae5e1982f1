from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from proxy.demo.embedded import EmbeddedPostgres


@pytest_asyncio.fixture
async def connection(postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection: for a list nothing may depend on rights."""
    connection = await asyncpg.connect(postgres.url())
    yield connection
    await connection.close()
