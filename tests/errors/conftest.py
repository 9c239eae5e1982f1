"""A proxy that hides nothing, beside the database itself."""

from __future__ import annotations

import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from proxy.demo.embedded import EmbeddedPostgres
from tests.bypass.client import Client
from tests.conftest import MakeDatabase
from tests.errors.mistakes import STRUCTURE
from tests.world import World

FOLDER = Path(__file__).parent
RIGHTS = """
GRANT USAGE ON SCHEMA crm TO consent_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA crm TO consent_reader;
"""


def post(world: World, tool: str, sql: str) -> tuple[int, dict[str, object]]:
    """Status and error of a statement that fails over HTTP."""
    request = urllib.request.Request(
        f"{world.http}/v1/query",
        data=orjson.dumps({"sql": sql}),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {world.tokens[tool]}",
        },
    )
    with pytest.raises(urllib.error.HTTPError) as failed:
        urllib.request.urlopen(request, timeout=20)
    error: dict[str, object] = orjson.loads(failed.value.read())["error"]
    return failed.value.code, error


@dataclass(slots=True)
class Beside:
    """One client of the proxy and one of the database, asked the same."""

    world: World
    proxied: Client
    direct: Client

    def post(self, sql: str) -> tuple[int, dict[str, object]]:
        """Status and error of what the proxy's other door answers."""
        return post(self.world, "analyst", sql)


@pytest.fixture(scope="session")
def beside(postgres: EmbeddedPostgres, make_database: MakeDatabase) -> Iterator[Beside]:
    name = make_database(script=STRUCTURE).split("@/", 1)[1].split("?", 1)[0]
    folder = Path(tempfile.mkdtemp(prefix="errors-"))
    world = World(postgres, database=name, policy=FOLDER / "policy_open", folder=folder)
    port = postgres.port
    assert port is not None
    password = postgres.superuser_password
    try:
        with world:
            postgres.run(RIGHTS, database=name)
            proxied = Client.connect(
                world.address, "analyst", world.passwords["analyst"], database=name
            )
            direct = Client.connect(
                ("127.0.0.1", port),
                "postgres",
                password,
                database=name,
                options="-c search_path=crm",
            )
            yield Beside(world, proxied, direct)
            proxied.close()
            direct.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
