from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from proxy.demo.embedded import EmbeddedPostgres
from tests.versions.servers import VERSIONS, Servers

# PostGIS is no part of the servers that npm has.
POSTGIS = Path("/usr/lib/postgresql/15/lib/postgis-3.so")
collect_ignore = [] if POSTGIS.exists() else ["test_postgis.py"]

_looked_at: list[str] = []


@pytest_asyncio.fixture
async def connection(postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection: for a list nothing may depend on rights."""
    connection = await asyncpg.connect(postgres.url())
    yield connection
    await connection.close()


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def of_version(version: str, servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to a server of each version, one after the other."""
    connection = await asyncpg.connect(servers.of(version).url())
    _looked_at.append(str(await connection.fetchval("SHOW server_version")))
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which servers the lists were held against."""
    if _looked_at:
        versions = ", ".join(dict.fromkeys(_looked_at))
        terminalreporter.write_line(f"lists held against PostgreSQL {versions}")
