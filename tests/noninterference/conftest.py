"""Two databases that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from tests.noninterference.databases import Databases
from tests.noninterference.rules import Rules


@pytest.fixture(scope="session")
def rules() -> Rules:
    return Rules()


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Iterator[Databases]:
    with Databases(postgres, "noninterference") as databases:
        yield databases
