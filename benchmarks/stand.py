"""What the measurements stand on: a database, the proxy and pgbouncer in front of it.

Every target is reached over TCP on loopback with SCRAM, as a tool would reach it, and both
proxies reach the database over TCP too. Each is a process (tree) of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import asyncpg
import psutil

from proxy.consent.schema import READER, WRITER, init
from proxy.demo.database import build_consents, build_database
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.demo.prepare import dealership_policy
from proxy.policy.load import load_policy
from proxy.secrets import Secrets

START_S: Final = 60.0
DATABASE: Final = "crm"
PASSWORD: Final = "bench"
TOOL: Final = "mailer"
PURPOSE: Final = "service_reminder"  # needs no consent: guards mask, and remove no row

Durability = Literal["host", "process"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that answers SQL; `pid` is the process whose tree is the target's own cost."""

    name: str
    port: int
    user: str
    password: str
    database: str
    pid: int

    def cpu_s(self) -> float:
        """CPU seconds of the process and its children so far, user and system."""
        process = psutil.Process(self.pid)
        total = 0.0
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                # Children that ended are in their parent's account: a backend per connection.
                total += times.user + times.system + times.children_user + times.children_system
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    direct: Target
    proxy: Target
    pgbouncer: Target | None
    server: EmbeddedPostgres

    @property
    def targets(self) -> list[Target]:
        return [each for each in (self.direct, self.pgbouncer, self.proxy) if each is not None]


@contextlib.contextmanager
def stand(*, customers: int, durability: Durability) -> Iterator[Stand]:
    folder = Path(tempfile.mkdtemp(prefix="proxy-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        settings = {**WITHOUT_DURABILITY, "jit": "off", "max_connections": "200"}
        server = EmbeddedPostgres(folder / "postgresql", port=0, settings=settings)
        stack.enter_context(server)
        asyncio.run(build_dealership(server, customers))
        direct = Target(
            name="direct",
            port=server.port or 0,
            user=READER,
            password=PASSWORD,
            database=DATABASE,
            pid=server.pid,
        )
        proxy = stack.enter_context(_proxy(folder, server, durability))
        bouncer = None
        if shutil.which("pgbouncer"):
            bouncer = stack.enter_context(_pgbouncer(folder, direct))
        yield Stand(direct=direct, proxy=proxy, pgbouncer=bouncer, server=server)


async def build_dealership(server: EmbeddedPostgres, customers: int) -> None:
    """The dealer's database with its consents, and the proxy's roles."""
    server.run(f"CREATE DATABASE {DATABASE}")
    url = server.url(DATABASE)
    await build_database(url, customers)
    connection = await asyncpg.connect(url)
    try:
        passwords = {READER: PASSWORD, WRITER: PASSWORD}
        await init(connection, load_policy(dealership_policy()), passwords=passwords)
    finally:
        await connection.close()
    await build_consents(url)


@contextlib.contextmanager
def _proxy(folder: Path, server: EmbeddedPostgres, durability: Durability) -> Iterator[Target]:
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    (folder / "consent-proxy.yaml").write_text(
        f"""
listen: {{postgres: 127.0.0.1:0, http: 127.0.0.1:0}}
upstream:
  url: {json.dumps(f"postgresql://{READER}@127.0.0.1:{server.port}/{DATABASE}")}
  password_file: password
  connections: 100
consent:
  url: {json.dumps(f"postgresql://{WRITER}@127.0.0.1:{server.port}/{DATABASE}")}
  password_file: password
policy: {json.dumps(str(dealership_policy()))}
secrets: secrets.yaml
access_log: {{folder: access-log, durability: {durability}}}
"""
    )
    secrets = Secrets.load(folder / "secrets.yaml", create=True)
    secrets.add(TOOL, "tool")
    secrets.set_password(TOOL, PASSWORD)
    ready_file = folder / "ready.json"
    command = [str(Path(sys.executable).parent / "consent-proxy"), "serve"]
    command += ["--config", str(folder / "consent-proxy.yaml"), "--ready-file", str(ready_file)]
    with _running(command) as process:
        _wait(process, ready_file.exists)
        ready = json.loads(ready_file.read_text())
        port = urlsplit(f"//{ready['postgres']}").port or 0
        yield Target(
            name=f"proxy ({durability})",
            port=port,
            user=TOOL,
            password=PASSWORD,
            database=f"{DATABASE}@{PURPOSE}",
            pid=process.pid,
        )


@contextlib.contextmanager
def _pgbouncer(folder: Path, direct: Target) -> Iterator[Target]:
    """pgbouncer in session mode, as the proxy keeps a connection per session."""
    port = _free_port()
    (folder / "users.txt").write_text(f'"{direct.user}" "{direct.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""
[databases]
{DATABASE} = host=127.0.0.1 port={direct.port} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = session
default_pool_size = 100
max_client_conn = 1000
unix_socket_dir =
logfile = {folder}/pgbouncer.log
ignore_startup_parameters = extra_float_digits
"""
    )
    command = ["pgbouncer", "-q", str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # pgbouncer does not run as root
        folder.chmod(0o755)
        for each in folder.glob("*.txt"):
            each.chmod(0o644)
        (folder / "pgbouncer.log").touch()
        shutil.chown(folder / "pgbouncer.log", "nobody")
        command[1:1] = ["-u", "nobody"]
    with _running(command) as process:
        _wait(process, lambda: _answers(port))
        yield Target(
            name="pgbouncer",
            port=port,
            user=direct.user,
            password=direct.password,
            database=DATABASE,
            pid=process.pid,
        )


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=START_S)


def _wait(process: subprocess.Popen[bytes], is_there: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while not is_there():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"{process.args!r} did not start")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
