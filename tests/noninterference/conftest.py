"""Two databases, and a proxy in front of each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from tests.noninterference.databases import STATEMENT_S, Databases
from tests.noninterference.rules import POLICY, Rules
from tests.world import World


@pytest.fixture(scope="session")
def rules() -> Rules:
    return Rules()


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Iterator[Databases]:
    with Databases(postgres, "noninterference") as databases:
        yield databases


@pytest.fixture(scope="session")
def worlds(databases: Databases) -> Iterator[tuple[World, World]]:
    folder = Path(tempfile.mkdtemp(prefix="noninterference-"))
    limits = {"statement_s": STATEMENT_S}
    left, right = (
        World(databases.postgres, name, POLICY, folder / name, limits=limits)
        for name in (databases.left, databases.right)
    )
    try:
        with left, right:
            yield left, right
    finally:
        shutil.rmtree(folder, ignore_errors=True)
