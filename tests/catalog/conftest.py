"""A customer database on each version of PostgreSQL that is here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from proxy.demo.embedded import EmbeddedPostgres
from tests.catalog.servers import READER, VERSIONS, VISIBLE, Customer, Server, older_server

_numbers = count(1)


@pytest.fixture(scope="session", params=VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "18":
        embedded: EmbeddedPostgres = request.getfixturevalue("postgres")
        place = f"host={embedded.socket_folder}&port={embedded.socket_port}"
        yield Server(version="18", url=f"postgresql://USER@/DATABASE?{place}")
        return
    with tempfile.TemporaryDirectory(prefix="older-", dir="/tmp") as name:
        yield from older_server(Path(name))


@pytest_asyncio.fixture
async def customer(server: Server) -> AsyncIterator[Customer]:
    """A database with VISIBLE in it."""
    name = f"catalog_{os.getpid()}_{next(_numbers)}"
    boss = await _connect(server.at("postgres"))
    await boss.execute(
        f"DO $$ BEGIN CREATE ROLE {READER} LOGIN; EXCEPTION WHEN duplicate_object THEN END $$"
    )
    await boss.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    admin = await _connect(server.at(name))
    await admin.execute(VISIBLE)
    reader = await _connect(server.at(name, READER))
    there = Customer(admin=admin, reader=reader)
    await there.grant()
    yield there
    await reader.close()
    await admin.close()
    await boss.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await boss.close()


async def _connect(url: str) -> asyncpg.Connection:
    # No statement cache: tests change relations under the connection's feet.
    return await asyncpg.connect(url, statement_cache_size=0)
