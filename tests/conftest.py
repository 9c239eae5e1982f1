"""Fixtures that every folder of tests shares: one PostgreSQL per run, one database per test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

import build_core
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from tests.versions.servers import Servers

MakeDatabase = Callable[..., str]
_numbers = itertools.count(1)


# No test hangs on how quick the machine is.
hypothesis.settings.register_profile(
    "project", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("project")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test a compiled module that is not what its source says.

    Each run has a folder of its own: a server's user must be able to reach it, and pytest closes
    the folder that its runs share to everybody else whenever one begins.
    """
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="proxy-pytest-")
        config.option.basetemp = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    if stale := build_core.stale_modules():
        pytest.exit(f"run `make compile`: changed since compiled: {', '.join(stale)}", 2)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL for the whole run: unix socket (trust) and 127.0.0.1 (SCRAM).

    `postgres.url()` is the superuser's URL over the socket, `postgres.url(tcp=True)` over TCP.
    """
    folder = Path(tempfile.mkdtemp(prefix="proxy-tests-"))
    # Statistics that come by themselves, in one of two databases first, change the order of rows.
    settings = {**WITHOUT_DURABILITY, "autovacuum": "off"}
    server = EmbeddedPostgres(folder / "postgres", port=0, settings=settings)
    try:
        with server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL 13 to 18, each started when a test first asks for it."""
    folder = Path(tempfile.mkdtemp(prefix="proxy-servers-"))
    try:
        with Servers(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def make_database(postgres: EmbeddedPostgres) -> MakeDatabase:
    """Make a fresh database, `make_database(template="template0", script="")`; returns its URL.

    Nobody may be connected to the template meanwhile (PostgreSQL's rule).
    """

    def make(template: str = "template0", script: str = "") -> str:
        name = f"t_{os.getpid()}_{next(_numbers)}"
        postgres.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        if script:
            postgres.run(script, database=name)
        return postgres.url(name)

    return make


@pytest.fixture
def database(postgres: EmbeddedPostgres, make_database: MakeDatabase) -> Iterator[str]:
    """The superuser's URL of an empty database that only this test has."""
    url = make_database()
    yield url
    name = url.split("@/", 1)[1].split("?", 1)[0]
    postgres.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
