"""What the measurements stand on: a database, the proxy and other proxies in front of it.

Every target is reached over TCP on loopback with SCRAM, as a tool would reach it, and both
proxies reach the database over TCP too. Each is a process (tree) of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import asyncpg

from benchmarks.poolers import installed
from benchmarks.processes import Target, running, wait
from proxy.config import Pooling
from proxy.consent.schema import READER, WRITER, init
from proxy.demo.database import build_consents, build_database
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.demo.prepare import dealership_policy
from proxy.policy.load import load_policy
from proxy.secrets import Secrets

DATABASE: Final = "crm"
PASSWORD: Final = "bench"
TOOL: Final = "mailer"
PURPOSE: Final = "service_reminder"  # needs no consent: guards mask, and remove no row

Durability = Literal["host", "process"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    direct: Target
    proxy: Target
    poolers: tuple[Target, ...]
    server: EmbeddedPostgres
    folder: Path

    @property
    def targets(self) -> list[Target]:
        return [self.direct, *self.poolers, self.proxy]


@contextlib.contextmanager
def stand(
    *,
    customers: int,
    durability: Durability,
    pooling: Pooling = "session",
    with_poolers: bool = True,
    program: Sequence[str] = (),
) -> Iterator[Stand]:
    """`program`: what is run in place of `consent-proxy serve`, with its arguments."""
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
        proxy = stack.enter_context(_proxy(folder, server, durability, pooling, program))
        verifier = server.run(
            f"SELECT rolpassword FROM pg_authid WHERE rolname = '{READER}'"
        ).strip()
        wanted = installed() if with_poolers else ()
        poolers = tuple(stack.enter_context(pooler(folder, direct, verifier)) for pooler in wanted)
        yield Stand(direct=direct, proxy=proxy, poolers=poolers, server=server, folder=folder)


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
def _proxy(
    folder: Path,
    server: EmbeddedPostgres,
    durability: Durability,
    pooling: Pooling,
    program: Sequence[str],
) -> Iterator[Target]:
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    (folder / "consent-proxy.yaml").write_text(
        f"""
listen: {{postgres: 127.0.0.1:0, http: 127.0.0.1:0}}
upstream:
  url: {json.dumps(f"postgresql://{READER}@127.0.0.1:{server.port}/{DATABASE}")}
  password_file: password
  connections: 100
  pooling: {pooling}
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
    command = list(program) or [str(Path(sys.executable).parent / "consent-proxy"), "serve"]
    command += ["--config", str(folder / "consent-proxy.yaml"), "--ready-file", str(ready_file)]
    with running(command) as process:
        wait(process, ready_file.exists)
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
