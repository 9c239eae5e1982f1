"""A dealer's database that `init` prepared, its configuration on disk, and the command itself."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from proxy.cli.main import app
from proxy.demo.embedded import EmbeddedPostgres
from proxy.demo.tables import TABLES

DEALERSHIP = Path(__file__).parents[2] / "policies" / "dealership"
KEY = "ALTER TABLE crm.customers ADD PRIMARY KEY (id);"
PEOPLE = """
INSERT INTO crm.customers (id, full_name, email, created_at)
VALUES (1, 'Ana Ruiz', 'ana@example.com', now()), (2, 'Ben Cole', 'ben@example.com', now()),
       (3, 'Eva Sanz', 'eva@example.com', now());
"""
_numbers = itertools.count(1)
# What the environment of whoever runs the tests says must not reach the commands.
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("CONSENT_PROXY_", "PG")) and name not in ("COLUMNS", "NO_COLOR")
}


@dataclass(frozen=True)
class Place:
    """A configuration in a folder of its own, over a database of its own."""

    folder: Path
    admin_url: str

    @property
    def config(self) -> Path:
        return self.folder / "consent-proxy.yaml"

    @property
    def policy(self) -> Path:
        return self.folder / "policy"

    @property
    def access_log(self) -> Path:
        return self.folder / "var" / "access-log"

    def run(
        self,
        *arguments: str,
        stdin: str = "",
        exit_code: int | None = 0,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the real command with this configuration; check its exit code."""
        return run(
            *arguments,
            stdin=stdin,
            exit_code=exit_code,
            environment={"CONSENT_PROXY_CONFIG": str(self.config), **(environment or {})},
            cwd=self.folder,
        )

    def invoke(self, *arguments: str, stdin: str = "", exit_code: int | None = 0) -> Result:
        """As `run`, within this process: faster, with the same exit codes."""
        environment = {
            name: None for name in os.environ if name.startswith(("CONSENT_PROXY", "PG"))
        }
        environment["CONSENT_PROXY_CONFIG"] = str(self.config)  # type: ignore[assignment]
        result = CliRunner().invoke(app, list(arguments), input=stdin, env=environment)
        if exit_code is not None:
            assert result.exit_code == exit_code, result.output + repr(result.exception)
        return result


def run(
    *arguments: str,
    stdin: str = "",
    exit_code: int | None = 0,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the real command, without a terminal."""
    result = subprocess.run(
        [sys.executable, "-c", "from proxy.cli.main import main; main()", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={**CLEAN, "PYTHONPATH": str(Path(__file__).parents[2]), **(environment or {})},
        cwd=cwd,
        timeout=120,
    )
    assert "Traceback" not in result.stderr, result.stderr
    if exit_code is not None:
        assert result.returncode == exit_code, result.stdout + result.stderr
    return result


CONFIG = """
listen: {{postgres: 127.0.0.1:0, http: 127.0.0.1:0}}
upstream: {{url: "{upstream}"{upstream_password}}}
consent: {{url: "{consent}"{consent_password}}}
policy: policy
secrets: secrets.yaml
access_log: {{folder: var/access-log, durability: process}}
"""


def write_config(
    folder: Path, admin_url: str, *, reader: str, writer: str, passwords: bool = False
) -> None:
    (folder / "consent-proxy.yaml").write_text(
        CONFIG.format(
            upstream=as_role(admin_url, reader),
            consent=as_role(admin_url, writer),
            upstream_password=", password_file: secret/reader" if passwords else "",
            consent_password=", password_file: secret/writer" if passwords else "",
        )
    )


def as_role(url: str, role: str) -> str:
    """The same database for another role (the socket trusts everybody)."""
    return url.replace("postgres@", f"{role}@", 1)


@pytest.fixture
def unprepared(tmp_path: Path, database: str, postgres: EmbeddedPostgres) -> Place:
    """The dealer's tables and policy, before `init`."""
    name = database.split("@/", 1)[1].split("?", 1)[0]
    postgres.run(TABLES + KEY + PEOPLE, database=name)
    shutil.copytree(DEALERSHIP, tmp_path / "policy")
    write_config(tmp_path, database, reader="consent_reader", writer="consent_writer")
    return Place(tmp_path, database)


@pytest.fixture
def place(unprepared: Place) -> Place:
    """The same after `init`."""
    unprepared.invoke("init", "--admin", unprepared.admin_url)
    return unprepared


@pytest.fixture
def execute(postgres: EmbeddedPostgres, database: str) -> Callable[[str], str]:
    """Run SQL in the test's database as its superuser."""
    name = database.split("@/", 1)[1].split("?", 1)[0]
    return lambda script: postgres.run(script, database=name)


@pytest.fixture
def made_roles(
    database: str, execute: Callable[[str], str], postgres: EmbeddedPostgres
) -> Iterator[tuple[str, str]]:
    """Names of two roles that do not exist; what a test makes of them is gone afterwards."""
    number = next(_numbers)
    roles = (f"reader_{os.getpid()}_{number}", f"writer_{os.getpid()}_{number}")
    yield roles
    for role in roles:
        if execute(f"SELECT FROM pg_roles WHERE rolname = '{role}'"):
            execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
