"""A proxy whose clients share two connections, transaction by transaction."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from tests.conftest import MakeDatabase
from tests.drivers.conftest import HERE
from tests.drivers.programs import name_of
from tests.world import World


@pytest.fixture(scope="package")
def shared_database(make_database: MakeDatabase) -> str:
    return make_database(script=(HERE / "database.sql").read_text())


@pytest.fixture(scope="package")
def world(
    postgres: EmbeddedPostgres,
    shared_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    made = World(
        postgres,
        name_of(shared_database),
        HERE / "policy",
        tmp_path_factory.mktemp("pooling"),
        limits={"connections": 1100, "upstream_wait_s": 30},
        connections=2,
        pooling="transaction",
    )
    with made as world:
        for person in range(2, 41, 2):
            world.record(person, "email_campaign", "given")
        yield world
