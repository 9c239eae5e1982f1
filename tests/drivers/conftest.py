"""A proxy that real drivers connect to: forty customers, every even one of whom has agreed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from tests.conftest import MakeDatabase
from tests.drivers.programs import name_of
from tests.world import World

HERE = Path(__file__).parent


@pytest.fixture(scope="package")
def drivers_database(make_database: MakeDatabase) -> str:
    """The superuser's URL of the database behind the proxy."""
    return make_database(script=(HERE / "database.sql").read_text())


@pytest.fixture(scope="package")
def world(
    postgres: EmbeddedPostgres,
    drivers_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("drivers")
    made = World(postgres, name_of(drivers_database), HERE / "policy", folder)
    with made as world:
        for person in range(2, 41, 2):
            world.record(person, "email_campaign", "given")
        yield world


@pytest.fixture
def teller(world: World) -> str:
    """The URL of a tool that sees every listed value."""
    return world.dsn("teller")


@pytest.fixture
def mailer(world: World) -> str:
    """The URL of a tool that sees the values of who agreed: customers with an even id."""
    return world.dsn("mailer")
