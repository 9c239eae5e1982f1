"""A proxy in front of the drivers' database: forty people, nobody has agreed yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from tests.conftest import MakeDatabase
from tests.drivers.programs import name_of
from tests.world import World

DRIVERS = Path(__file__).parents[1] / "drivers"


@pytest.fixture(scope="package")
def promised_database(make_database: MakeDatabase) -> str:
    """The name of the database behind the proxy."""
    return name_of(make_database(script=(DRIVERS / "database.sql").read_text()))


@pytest.fixture(scope="package")
def world(
    postgres: EmbeddedPostgres, promised_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("promises")
    with World(postgres, promised_database, DRIVERS / "policy", folder) as made:
        yield made
