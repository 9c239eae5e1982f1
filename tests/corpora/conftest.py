"""Every captured statement, answered by a database and through the proxy."""

from __future__ import annotations

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from tests.corpora.replay import HALF, Outcome, replay_all


@pytest.fixture(scope="package")
def outcomes(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What became of every statement of every tool."""
    return replay_all(postgres, tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="package")
def half_hidden(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> list[Outcome]:
    """The same where much is hidden, beside a database from which it was really removed."""
    return replay_all(postgres, tmp_path_factory.mktemp("half"), HALF)
