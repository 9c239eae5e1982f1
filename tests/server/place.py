"""A prepared database, a folder with all files of a proxy, and the real command in front."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import psycopg

from proxy.access_log.reading import read_log
from proxy.access_log.segments import log_folders

COMMAND = Path(sys.executable).parent / "consent-proxy"
PASSWORD = "correct horse battery staple"
# Far more than anything here takes; a machine that is busy otherwise must not fail a test.
PATIENCE_S = 60.0

SCRIPT = """
CREATE SCHEMA crm;
CREATE TABLE crm.people (
  id bigint PRIMARY KEY, name text NOT NULL, email varchar(254), city text, secret text
);
INSERT INTO crm.people VALUES
  (1, 'Ana Ruiz', 'ana@example.com', 'Madrid', 'hidden'),
  (2, 'Ben Cole', 'ben@example.com', 'Lyon', 'hidden'),
  (3, 'Eva Sanz', 'eva@example.com', 'Porto', 'hidden');
CREATE TABLE crm.cities (city text PRIMARY KEY, country text);
INSERT INTO crm.cities VALUES ('Madrid', 'Spain'), ('Lyon', 'France');
"""

POLICY = """
policy: dealer
version: 1
subject: {key: crm.people.id, consent: ledger}
categories:
  user.name: {mask: initial}
  user.email: {mask: email}
  user.city: {mask: "null"}
purposes:
  newsletter: {basis: consent, reads: [user.name, user.email]}
  service: {basis: contract, reads: [user.name, user.city]}
tables:
  crm.people:
    subject: id
    columns: {id: open, name: user.name, email: user.email, city: user.city}
  crm.cities: {subject: none, columns: {city: open, country: open}}
tools:
  mailer: {purposes: [newsletter, service], default: newsletter}
  desk: {purposes: [service]}
"""

CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("CONSENT_PROXY_", "PG")) and name not in ("COLUMNS", "NO_COLOR")
}
_Answer = TypeVar("_Answer")


def eventually(question: Callable[[], _Answer], what: str) -> _Answer:
    """The first true answer; fails with `what` where none comes."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := question()):
        assert time.monotonic() < deadline, f"never: {what}"
        select.select([], [], [], 0.05)
    return answer


class Postgres(Protocol):
    """A server: the socket trusts everybody."""

    port: int | None

    def url(self, database: str = ..., user: str = ...) -> str: ...
    def run(self, script: str, database: str = ...) -> str: ...


@dataclass(kw_only=True)
class Place:
    """The files of a proxy in `folder`, over `database` of `postgres`."""

    postgres: Postgres
    database: str
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)  # sections that differ

    @property
    def config(self) -> Path:
        return self.folder / "consent-proxy.yaml"

    @property
    def policy(self) -> Path:
        return self.folder / "policy" / "policy.yaml"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets.yaml"

    def url(self, role: str) -> str:
        return self.postgres.url(self.database, role)

    def run_sql(self, script: str) -> str:
        """As superuser, at the database itself."""
        return self.postgres.run(script, self.database)

    def write_config(self, **sections: Any) -> None:
        """consent-proxy.yaml, with these sections in place of the usual ones."""
        values: dict[str, Any] = {
            "listen": {"postgres": "127.0.0.1:0", "http": "127.0.0.1:0"},
            "upstream": {"url": self.url("consent_reader"), "connections": 8},
            "consent": {"url": self.url("consent_writer")},
            "policy": "policy",
            "secrets": "secrets.yaml",
            "access_log": {"folder": "access-log", "durability": "process"},
            "limits": {"drain_s": 10},
        }
        self.settings.update(sections)
        self.config.write_text(json.dumps({**values, **self.settings}))

    def write_policy(self, text: str) -> None:
        """Replace the policy in one step, as a platform does."""
        newer = self.policy.with_name("newer")
        newer.write_text(text)
        newer.replace(self.policy)

    def _environment(self, differing: Mapping[str, str | None]) -> dict[str, str]:
        """Of a command: the test's own variables; None takes one away."""
        values = {**CLEAN, "CONSENT_PROXY_CONFIG": str(self.config), **differing}
        return {name: value for name, value in values.items() if value is not None}

    def command(
        self, *arguments: str, stdin: str = "", exit_code: int = 0, **environment: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Another command over the same files, to its end."""
        result = subprocess.run(
            [COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment(environment),
            cwd=self.folder,
            timeout=PATIENCE_S,
        )
        assert result.returncode == exit_code, (result.returncode, result.stdout, result.stderr)
        return result

    def fails(self, *arguments: str, exit_code: int = 2) -> str:
        """What `serve` says when it can not start: one clear message, no traceback."""
        found = self.command("serve", *arguments, exit_code=exit_code).stderr
        assert "Traceback" not in found, found
        said = [line for line in found.splitlines() if not line.startswith("{")]
        assert len([line for line in said if line.startswith("consent-proxy: ")]) == 1, found
        return "\n".join(said)

    @contextlib.contextmanager
    def serving(self, *arguments: str, **environment: str | None) -> Iterator[Running]:
        """The proxy while it runs; ended with SIGTERM and exit code 0, if not ended before."""
        with self.process("serve", *arguments, **environment) as running:
            running.wait_until_ready()
            yield running
            if running.process.poll() is None:
                assert running.end() == 0, running.told
        assert "Traceback" not in running.told, running.told

    @contextlib.contextmanager
    def process(self, *arguments: str, **environment: str | None) -> Iterator[Running]:
        """The command as a process that is gone when the block is left."""
        ready_file, told = self.folder / "ready.json", self.folder / "told"
        with told.open("w") as output:
            process = subprocess.Popen(
                [COMMAND, *arguments, "--ready-file", str(ready_file)],
                env=self._environment(environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            yield Running(place=self, process=process, ready_file=ready_file)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        """The access log's records of these kinds, log by log."""
        lines = [
            json.loads(line)
            for log in log_folders(self.folder / "access-log")
            for line in read_log(log)
        ]
        return [record for record in lines if record["kind"] in kinds]


@dataclass(kw_only=True)
class Running:
    place: Place
    process: subprocess.Popen[bytes]
    ready_file: Path
    ready: dict[str, Any] = field(default_factory=dict)
    trust: ssl.SSLContext | None = None

    @property
    def told(self) -> str:
        """Everything that it wrote."""
        return (self.place.folder / "told").read_text()

    def wait_until_ready(self) -> None:
        eventually(
            lambda: self.ready_file.exists() or self.process.poll() is not None, "the ready file"
        )
        assert self.process.poll() is None, self.told
        self.ready = json.loads(self.ready_file.read_text())

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    # --- PostgreSQL's door ---

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(f"//{self.ready['postgres']}")
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def url(self, tool: str = "mailer", password: str = PASSWORD, **options: str) -> str:
        host, port = self.address
        query = "&".join(f"{name}={quote(value)}" for name, value in options.items())
        name = quote(self.place.database)
        return f"postgresql://{tool}:{quote(password)}@{host}:{port}/{name}?{query}"

    def connect(self, tool: str = "mailer", **options: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(tool, **options), autocommit=True)

    def ask(self, sql: str, tool: str = "mailer", **options: str) -> list[tuple[Any, ...]]:
        """The rows of one statement on a connection of its own."""
        with self.connect(tool, **options) as connection:
            return connection.execute(sql.encode()).fetchall()

    def state_of(self, sql: str, tool: str = "mailer") -> str:
        """How a statement ends: "" or its SQLSTATE; "lost" where there is no connection."""
        try:
            self.ask(sql, tool)
        except psycopg.Error as error:
            return error.sqlstate or "lost"
        return ""

    # --- HTTP's door ---

    def get(self, path: str, *, token: str = "") -> tuple[int, str]:
        """Status and body; (0, "") where nobody answers."""
        parts = urlsplit(self.ready["http"])
        host, port = parts.hostname or "", parts.port
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=PATIENCE_S, context=self.trust
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (ConnectionError, http.client.BadStatusLine):
            return 0, ""
        finally:
            connection.close()

    def checks(self) -> dict[str, bool]:
        """What /readyz says, check by check."""
        _, body = self.get("/readyz")
        return {each["name"]: each["ok"] for each in json.loads(body)["checks"]} if body else {}

    def metric(self, line: str, token: str) -> float:
        """The value of one sample of /metrics, named as it is printed there; 0 if it is not."""
        status, body = self.get("/metrics", token=token)
        assert status == 200, body
        values = [each.rpartition(" ") for each in body.splitlines()]
        return next((float(value) for name, _, value in values if name == line), 0.0)


class Gate:
    """crm.people is locked: statements that read it wait until the gate is opened."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._connection = psycopg.connect(place.url("postgres"))
        self._connection.execute("LOCK TABLE crm.people IN ACCESS EXCLUSIVE MODE")

    def wait_for_statement(self) -> None:
        """Return when a statement waits: it has begun, and can not end."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            f" WHERE wait_event_type = 'Lock' AND datname = '{self._place.database}'"
        )
        eventually(lambda: self._place.run_sql(waiting).strip() == "1", "a statement that waits")

    def open(self) -> None:
        self._connection.close()
