"""What a worker holds does not grow with what has come and gone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from proxy.rewrite.plan import PlanContext
from proxy.server import REPLACED_KEPT_MAX
from tests.conftest import MakeDatabase
from tests.drivers.programs import name_of
from tests.world import World

DRIVERS = Path(__file__).parents[1] / "drivers"


@pytest.fixture
def world(
    postgres: EmbeddedPostgres, make_database: MakeDatabase, tmp_path: Path
) -> Iterator[World]:
    database = name_of(make_database(script=(DRIVERS / "database.sql").read_text()))
    with World(postgres, database, DRIVERS / "policy", tmp_path) as made:
        yield made


def test_policies_and_catalogs_that_went_are_let_go(world: World) -> None:
    server = world.server
    enforcer = server._planner.enforcer
    context = PlanContext(tool="mailer", purpose="email_campaign", search_path=("crm",))

    async def replaced(times: int) -> int:
        for _ in range(times):
            made = server._enforcer(enforcer.policy, enforcer.catalog)
            made.plan("SELECT c.*, o.* FROM crm.customers c, sales.orders o, pg_class", context)
            server._replace(made)
        return gc.get_freeze_count()

    try:
        world.run(replaced(REPLACED_KEPT_MAX))
        begun = world.run(replaced(REPLACED_KEPT_MAX))
        before = world.run(replaced(REPLACED_KEPT_MAX - 1))
        after = world.run(replaced(1))
    finally:
        gc.unfreeze()
    assert before - begun > 1000  # each leaves something that points at itself …
    assert after - begun < (before - begun) / 10  # … until it is looked for
