"""`consent-proxy policy test`: examples run as a tool would run them, through a real proxy.

For each file an embedded PostgreSQL gets a database with the given rows and consents; the proxy
starts in front of it, and every query goes over the wire, as its tool and for its purpose.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from proxy.cli.example_database import Clock, insert_rows, make_tables, record_consents
from proxy.cli.example_values import rows_differ, rows_text
from proxy.cli.opening import catalog_of, policy_of, run
from proxy.cli.output import print_json, print_severity
from proxy.config import (
    AccessLogSettings,
    Address,
    Config,
    Database,
    Limits,
    Listen,
)
from proxy.config_url import read_url
from proxy.consent.ledger import Ledger
from proxy.consent.schema import READER, WRITER, init
from proxy.consent.sql_text import quoted
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.errors import ConfigurationError
from proxy.passwords import generate_password
from proxy.policy.model import Policy
from proxy.policy.testfile import Example, TestFile, load_tests
from proxy.secrets import Secrets
from proxy.server import Ready, Server
from proxy.sql.catalog import Catalog
from proxy.telemetry import set_up_logging

# What a query of an example may take: its tables hold a handful of rows.
STATEMENT_TIMEOUT_S: Final = 30.0
_REASON: Final = re.compile(r"\breason: ([a-z_]+)")
# Where PostgreSQL itself says no, and the detail is its own.
_REASON_OF_SQLSTATE: Final[Mapping[str, str]] = {
    "42703": "column_not_available",
    "42601": "syntax",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one example; `problem` is empty where it is as it should be."""

    file: str
    line: int
    name: str
    problem: str

    @property
    def is_passed(self) -> bool:
        return not self.problem


def run_examples(folder: Path, settings: Config | None, *, json: bool) -> bool:
    """Run every example of a policy folder and print what became of them; whether all passed."""
    policy = policy_of(folder)
    files = load_tests(folder, policy)
    if not any(file.tests for file in files):
        raise ConfigurationError(f"there are no examples in {folder}: expected *.test.yaml")
    set_up_logging(level="critical")  # refusals are what examples ask for
    catalog = None if settings is None else run(catalog_of(settings, policy))
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(prefix="policy-test-") as name,
        EmbeddedPostgres(Path(name) / "postgresql", settings=WITHOUT_DURABILITY) as server,
    ):
        for number, file in enumerate(files):
            place = Path(name) / str(number)
            place.mkdir(mode=0o700)
            for outcome in run(_run_file(server, place, folder, policy, catalog, file)):
                outcomes.append(outcome)
                if not json:
                    _print(outcome)
    _sum_up(outcomes, json=json)
    return all(outcome.is_passed for outcome in outcomes)


async def _run_file(
    server: EmbeddedPostgres,
    place: Path,
    folder: Path,
    policy: Policy,
    catalog: Catalog | None,
    file: TestFile,
) -> list[Outcome]:
    database = f"examples_{place.name}"
    server.run(f"CREATE DATABASE {quoted(database)} TEMPLATE template0")
    config = _config(server, database, place, folder)
    await _prepare(server.url(database), config, policy, catalog, file)
    passwords = _make_tools(config.secrets, policy)
    proxy = Server(config)
    ready = await proxy.start()
    try:
        return [await _run_one(ready, config, passwords, file, test) for test in file.tests]
    finally:
        await proxy.stop()


async def _prepare(
    admin_url: str, config: Config, policy: Policy, catalog: Catalog | None, file: TestFile
) -> None:
    """Tables, schema consent, rows and events."""
    clock = Clock(now=datetime.now(UTC))
    admin = await asyncpg.connect(admin_url)
    try:
        await make_tables(admin, policy, catalog, file)
        await init(admin, policy)
        await insert_rows(admin, file.tables, clock)
    except asyncpg.PostgresError as error:
        raise ConfigurationError(f"{file.file}: the given rows can not be made: {error}") from None
    finally:
        await admin.close()
    ledger = await Ledger.connect(config.consent.url, None, policy)
    try:
        await record_consents(ledger, file.consents, clock)
    finally:
        await ledger.close()


def _config(server: EmbeddedPostgres, database: str, place: Path, folder: Path) -> Config:
    def role(name: str) -> Database:
        return read_url(server.url(database, name), None, place)

    return Config(
        file=None,
        folder=place,
        listen=Listen(
            postgres=Address("127.0.0.1", 0),
            http=Address("127.0.0.1", 0),
            tls=None,
            insecure=False,
        ),
        upstream=role(READER),
        upstream_connections=10,
        consent=role(WRITER),
        policy=folder,
        secrets=place / "secrets.yaml",
        access_log=AccessLogSettings(folder=place / "access-log", durability="process"),
        limits=Limits(statement_s=STATEMENT_TIMEOUT_S, drain_s=1.0),
    )


def _make_tools(path: Path, policy: Policy) -> Mapping[str, str]:
    """A credential for every tool of the policy; their passwords."""
    secrets = Secrets.load(path, create=True)
    passwords = {}
    for tool in policy.tools:
        passwords[tool] = generate_password()
        secrets.add(tool, "tool")
        secrets.set_password(tool, passwords[tool])
    return passwords


# --- one example -----------------------------------------------------------------------------


async def _run_one(
    ready: Ready, config: Config, passwords: Mapping[str, str], file: TestFile, test: Example
) -> Outcome:
    clock = Clock(now=datetime.now(UTC))
    problem = ""
    try:
        async with _as_tool(ready, config, test.tool, passwords[test.tool]) as connection:
            if test.purpose is not None:
                await connection.execute(f"SET consent.purpose = '{test.purpose}'")
            rows = await connection.fetch(test.query)
    except asyncpg.PostgresError as error:
        reason = _reason_of(error)
        if test.refused is None:
            problem = f"refused with {reason}: {error}"
        elif reason != test.refused.value:
            problem = f"expected {test.refused}, refused with {reason}: {error}"
    else:
        values = [tuple(row.values()) for row in rows]
        if test.refused is not None:
            problem = f"expected {test.refused}, got {rows_text(values)}"
        elif test.expect is not None and rows_differ(test.expect, values, clock):
            problem = f"expected {rows_text(test.expect)}, got {rows_text(values)}"
    return Outcome(file=file.file, line=test.line, name=test.name, problem=problem)


@contextlib.asynccontextmanager
async def _as_tool(
    ready: Ready, config: Config, tool: str, password: str
) -> AsyncIterator[asyncpg.Connection]:
    host, port = ready.postgres
    connection = await asyncpg.connect(
        host=host,
        port=port,
        user=tool,
        password=password,
        database=config.upstream.database,
        ssl=False,
        statement_cache_size=0,
        command_timeout=STATEMENT_TIMEOUT_S,
    )
    try:
        yield connection
    finally:
        await connection.close()


def _reason_of(error: asyncpg.PostgresError) -> str:
    """The stable key in the error's detail; for PostgreSQL's own errors the one that it means."""
    found = _REASON.search(error.detail or "")
    if found is not None:
        return found[1]
    sqlstate = str(error.sqlstate)
    return _REASON_OF_SQLSTATE.get(sqlstate, f"SQLSTATE {sqlstate}")


# --- printing --------------------------------------------------------------------------------


def _print(outcome: Outcome) -> None:
    if outcome.is_passed:
        print_severity("PASS", outcome.name)
        return
    print_severity("FAIL", f"{outcome.name} ({outcome.file}:{outcome.line})")
    print(f"     {outcome.problem}")


def _sum_up(outcomes: Sequence[Outcome], *, json: bool) -> None:
    passed = sum(outcome.is_passed for outcome in outcomes)
    if not json:
        print(f"{passed} passed, {len(outcomes) - passed} failed")
        return
    print_json(
        [
            {
                "file": outcome.file,
                "line": outcome.line,
                "name": outcome.name,
                "passed": outcome.is_passed,
                "problem": outcome.problem or None,
            }
            for outcome in outcomes
        ]
    )
