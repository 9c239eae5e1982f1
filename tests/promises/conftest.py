"""A proxy in front of the drivers' database: forty people, nobody has agreed yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config import Pooling
from proxy.demo.embedded import EmbeddedPostgres
from tests.conftest import MakeDatabase
from tests.drivers.programs import name_of
from tests.world import World

DRIVERS = Path(__file__).parents[1] / "drivers"


@pytest.fixture(scope="package", params=[True, False], ids=["plain", "in table, pooled"])
def is_plain(request: pytest.FixtureRequest) -> bool:
    """Or guards read consent in the table, and connections are shared: each promise holds too."""
    return bool(request.param)


@pytest.fixture(scope="package")
def promised_database(make_database: MakeDatabase, is_plain: bool) -> str:
    """The name of the database behind the proxy."""
    return name_of(make_database(script=(DRIVERS / "database.sql").read_text()))


@pytest.fixture(scope="package")
def world(
    postgres: EmbeddedPostgres,
    promised_database: str,
    is_plain: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("promises")
    policy = folder / "policy"
    policy.mkdir()
    text = (DRIVERS / "policy" / "policy.yaml").read_text()
    if not is_plain:
        text = text.replace("    subject: id\n", "    subject: id\n    consent: in_table\n")
    (policy / "policy.yaml").write_text(text)
    pooling: Pooling = "session" if is_plain else "transaction"
    with World(postgres, promised_database, policy, folder, pooling=pooling) as made:
        yield made
