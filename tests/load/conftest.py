"""A proxy in a process of its own, in front of a PostgreSQL that a test may break."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from tests.promises.conftest import DRIVERS
from tests.promises.process import Process
from tests.world import World

DATABASE = "load"


@pytest.fixture(scope="package")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server that no other test uses."""
    folder = Path(tempfile.mkdtemp(prefix="proxy-load-"))
    with EmbeddedPostgres(folder / "postgres", settings=WITHOUT_DURABILITY) as server:
        server.run(f"CREATE DATABASE {DATABASE}")
        server.run((DRIVERS / "database.sql").read_text(), database=DATABASE)
        yield server
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def process(
    own_postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("load")
    with World(own_postgres, DATABASE, DRIVERS / "policy", folder) as world:
        world.record(2, "email_campaign", "given")
    with Process(world) as running:
        yield running
