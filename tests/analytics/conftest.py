"""The statements are answered once for all tests of this folder."""

from __future__ import annotations

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from tests.analytics.answering import MakeDatabase, Outcome, answer_all


@pytest.fixture(scope="package")
def outcomes(
    postgres: EmbeddedPostgres,
    make_database: MakeDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Outcome]:
    """What became of every statement."""
    return answer_all(postgres, make_database, tmp_path_factory.mktemp("policy"))
