"""The PostgreSQL door in front of a real PostgreSQL, with doubles for everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest
import uvloop

from proxy.config import Database, Pooling
from proxy.config_url import read_url
from proxy.demo.embedded import EmbeddedPostgres
from proxy.session.door import PostgresDoor
from proxy.session.services import Services
from proxy.sql.settings import SettingLimits, check_set
from proxy.upstream.pool import Pool
from tests.conftest import MakeDatabase
from tests.wire.doubles import (
    PASSWORD,
    FakeCredentials,
    FakeEpoch,
    FakeLimits,
    FakeLog,
    FakePlanner,
)
from tests.wire.raw import Raw
from tests.world import POOLING

SCRIPT = """
CREATE TABLE people (a integer PRIMARY KEY, b text, c numeric(10,2), d timestamptz);
INSERT INTO people SELECT i, 'name ' || i, i * 1.5, '2026-01-01Z' FROM generate_series(1, 100) i;
CREATE TABLE numbers AS SELECT i AS a FROM generate_series(1, 20000) i;
"""


@pytest.fixture(scope="session", params=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """Every promise holds on both loops: uvloop where it is installed, asyncio elsewhere."""
    return (
        uvloop.EventLoopPolicy() if request.param == "uvloop" else asyncio.DefaultEventLoopPolicy()
    )


@pytest.fixture(scope="session")
def wire_database(make_database: MakeDatabase) -> str:
    return make_database(script=SCRIPT)


@pytest.fixture(scope="session")
def upstream(wire_database: str) -> Database:
    return read_url(wire_database, None, Path("/"))


@dataclass
class Proxy:
    door: PostgresDoor
    pool: Pool
    port: int
    database: str
    planner: FakePlanner
    log: FakeLog
    epoch: FakeEpoch
    limits: FakeLimits

    def url(self, user: str = "mailer", database: str | None = None, query: str = "") -> str:
        name = quote(database or self.database, safe="")
        return f"postgresql://{user}:{quote(PASSWORD)}@127.0.0.1:{self.port}/{name}{query}"

    async def login(self, user: str = "mailer", **settings: str) -> Raw:
        return await Raw.login(self.port, self.database, user, **settings)


@pytest.fixture
async def proxy(upstream: Database) -> AsyncIterator[Proxy]:
    async with running(upstream) as proxy:
        yield proxy


@asynccontextmanager
async def running(
    upstream: Database,
    *,
    pooling: Pooling = POOLING,
    connections: int = 8,
    reuses_statements: bool = True,
) -> AsyncIterator[Proxy]:
    limits, log, planner, epoch = FakeLimits(), FakeLog(), FakePlanner(), FakeEpoch()
    pool = Pool(
        upstream,
        connections=connections,
        wait_s=5,
        statement_s=60,
        pooling=pooling,
        reuses_statements=reuses_statements,
    )
    await pool.start()
    services = Services(
        credentials=FakeCredentials(),
        planner=planner,
        access_log=log,
        epoch=epoch,
        limits=limits,
        policy_revision=lambda: "abcd",
        check_setting=lambda name, value: check_set(name, value, SettingLimits()),
    )
    door = PostgresDoor(services, pool, database=upstream.database)
    port = await door.start("127.0.0.1", 0)
    try:
        yield Proxy(door, pool, port, upstream.database, planner, log, epoch, limits)
    finally:
        await door.drain(0)
        await pool.close()


@pytest.fixture
def tcp_upstream(postgres: EmbeddedPostgres, upstream: Database) -> Database:
    """The same database over TCP with SCRAM."""
    password = postgres.superuser_password
    host, port = "127.0.0.1", postgres.port
    assert port is not None
    return replace(upstream, host=host, port=port, password=password, user="postgres")
