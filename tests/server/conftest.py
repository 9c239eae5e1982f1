"""The proxy as a platform runs it: the real command as a process, in front of PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
import pytest

from proxy.consent.schema import init
from proxy.demo.embedded import EmbeddedPostgres
from proxy.policy.load import load_policy
from proxy.secrets import Role, Secrets
from tests.conftest import MakeDatabase
from tests.server.place import PASSWORD, POLICY, SCRIPT, Place, Postgres

CREDENTIALS: dict[str, Role] = {
    "mailer": "tool",
    "desk": "tool",
    "crm-form": "consent",
    "prometheus": "metrics",
}


def write_files(folder: Path) -> None:
    """The policy and the secrets; everybody's password is PASSWORD, tokens are in `tokens`."""
    (folder / "policy").mkdir()
    (folder / "policy" / "policy.yaml").write_text(POLICY)
    secrets = Secrets.load(folder / "secrets.yaml", create=True)
    for name, role in CREDENTIALS.items():
        secrets.add(name, role)
        if role == "tool":
            secrets.set_password(name, PASSWORD)
        (folder / f"token-of-{name}").write_text(secrets.make_token(name))


def prepare(url: str, folder: Path, passwords: Mapping[str, str] | None = None) -> None:
    """Make tables and schema `consent`."""

    async def work() -> None:
        admin = await asyncpg.connect(url)
        await admin.execute(SCRIPT)
        await init(admin, load_policy(folder / "policy"), passwords=passwords or {})
        await admin.close()

    asyncio.run(work())


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Policy and secrets, made once: hashing passwords takes its time."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres, files: Path) -> str:
    """A prepared database that every test gets a copy of."""
    name = f"server_template_{os.getpid()}"
    postgres.run(f"CREATE DATABASE {name} TEMPLATE template0")
    prepare(postgres.url(name), files)
    return name


@pytest.fixture
def place(
    postgres: EmbeddedPostgres,
    make_database: MakeDatabase,
    template: str,
    files: Path,
    tmp_path: Path,
) -> Iterator[Place]:
    url = make_database(template)
    name = url.split("@/", 1)[1].split("?", 1)[0]
    yield place_in(tmp_path, files, postgres, name)
    postgres.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def place_in(folder: Path, files: Path, server: Postgres, database: str) -> Place:
    """A folder with copies of `files`, and the configuration for a database."""
    (folder / "policy").mkdir(exist_ok=True)
    for name in ("policy/policy.yaml", "secrets.yaml", *(f"token-of-{n}" for n in CREDENTIALS)):
        (folder / name).write_bytes((files / name).read_bytes())
    (folder / "secrets.yaml").chmod(0o600)
    place = Place(postgres=server, database=database, folder=folder)
    place.write_config()
    return place
