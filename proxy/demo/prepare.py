"""Everything of the demo but the proxy itself: server, database, policy, secrets, configuration.

`prepare` can run again on the same folder: rows and consents stay, passwords are new.
"""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from proxy.consent.schema import READER, WRITER, init
from proxy.demo.database import (
    CUSTOMERS,
    DATABASE,
    SEED,
    Progress,
    build_consents,
    build_database,
    no_progress,
)
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.errors import ConfigurationError
from proxy.passwords import generate_password
from proxy.policy.load import load_policy
from proxy.policy.model import Policy
from proxy.secrets import Role, Secrets

CONFIG: Final = "consent-proxy.yaml"
POLICY: Final = "policies/dealership"

# Made-up rows need not survive the machine; they should be there quickly. The access log, which
# is what the demo shows, is as durable as anywhere.
SETTINGS: Final[Mapping[str, str]] = {
    **WITHOUT_DURABILITY,
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "256MB",
}

_BUILDING: Final = f"{DATABASE}_building"
# Credentials for the other roles, by the name they get in the secrets file.
_STAFF: Final[tuple[Role, ...]] = ("consent", "review", "metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLogin:
    """How one of the policy's tools comes in."""

    user: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    purposes: tuple[str, ...]
    default: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A prepared demo. `server` runs; who prepared it stops it.

    `admin_url` reaches the customer database past the proxy, as superuser: for comparing.
    `tokens` are those of the roles consent, review and metrics.
    """

    folder: Path
    config: Path
    server: EmbeddedPostgres
    admin_url: str
    tools: Mapping[str, ToolLogin]
    tokens: Mapping[str, str] = field(repr=False)

    def ready_values(self) -> dict[str, object]:
        """What the ready file says beyond the doors' addresses and the access log's places."""
        return {
            "database": DATABASE,
            "upstream": self.admin_url,
            "config": str(self.config),
            "folder": str(self.folder),
            "tools": {
                name: {
                    "user": tool.user,
                    "password": tool.password,
                    "token": tool.token,
                    "purposes": list(tool.purposes),
                    "default": tool.default,
                }
                for name, tool in self.tools.items()
            },
            "tokens": dict(self.tokens),
        }


async def prepare(
    folder: Path,
    *,
    customers: int = CUSTOMERS,
    seed: int = SEED,
    postgres: str = "127.0.0.1:6432",
    http: str = "127.0.0.1:8432",
    progress: Progress = no_progress,
) -> Demo:
    """Make (or find) the demo in `folder` and start its PostgreSQL; see `Demo`.

    `postgres` and `http` are where the proxy will listen. A build that was interrupted is begun
    anew; one that is complete is kept, whatever `customers` and `seed` say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _copy_policy(folder)
    policy = load_policy(folder / POLICY)
    server = EmbeddedPostgres(folder / "postgresql", settings=SETTINGS)
    server.start()
    try:
        await _build(server, policy, customers, seed, progress)
        secrets_file = folder / "secrets.yaml"
        tools, tokens = _make_credentials(secrets_file, policy)
        config = _write_config(folder, server, postgres, http)
        return Demo(
            folder=folder,
            config=config,
            server=server,
            admin_url=server.url(DATABASE),
            tools=tools,
            tokens=tokens,
        )
    except BaseException:
        server.stop()
        raise


def write_password_file(demo: Demo) -> Path:
    """A libpq password file with the tools' passwords, so that no command line shows one."""
    path = demo.folder / "pgpass"
    # Host and port are any: what is pasted may name the door by another name.
    lines = [f"*:*:*:{tool.user}:{tool.password}\n" for tool in demo.tools.values()]
    _write_private(path, "".join(lines))
    return path


def dealership_policy() -> Path:
    """The folder of the dealer's policy: in a checkout beside the package, else where it was
    installed.
    """
    checkout = Path(__file__).resolve().parents[2] / POLICY
    installed = Path(sysconfig.get_path("data")) / "share" / "consent-proxy" / POLICY
    for place in (checkout, installed):
        if place.is_dir():
            return place
    raise ConfigurationError(f"the dealer's policy is missing: expected {checkout} or {installed}")


async def _build(
    server: EmbeddedPostgres, policy: Policy, customers: int, seed: int, progress: Progress
) -> None:
    found = server.run("SELECT datname FROM pg_database").split()
    if DATABASE in found:
        return
    # It gets its name when it is complete: half a database is never taken for a whole one.
    server.run(f"DROP DATABASE IF EXISTS {_BUILDING}; CREATE DATABASE {_BUILDING}")
    url = server.url(_BUILDING)
    await build_database(url, customers, seed, progress)
    connection = await asyncpg.connect(url)
    try:
        await init(connection, policy)
    finally:
        await connection.close()
    await build_consents(url, seed, progress)
    server.run(f"ALTER DATABASE {_BUILDING} RENAME TO {DATABASE}")


def _copy_policy(folder: Path) -> None:
    # A copy to play with: editing it shows how a change is taken up.
    if not (folder / POLICY).exists():
        shutil.copytree(dealership_policy(), folder / POLICY)


def _make_credentials(path: Path, policy: Policy) -> tuple[dict[str, ToolLogin], dict[str, str]]:
    # What was printed at an earlier start is not kept anywhere: credentials begin anew.
    path.unlink(missing_ok=True)
    secrets = Secrets.load(path, create=True)
    tools: dict[str, ToolLogin] = {}
    for name, tool in policy.tools.items():
        secrets.add(name, "tool")
        password = generate_password()
        secrets.set_password(name, password)
        tools[name] = ToolLogin(
            user=name,
            password=password,
            token=secrets.make_token(name),
            purposes=tool.purposes,
            default=tool.default,
        )
    tokens: dict[str, str] = {}
    for role in _STAFF:
        secrets.add(f"demo-{role}", role)
        tokens[role] = secrets.make_token(f"demo-{role}")
    return tools, tokens


def _write_config(folder: Path, server: EmbeddedPostgres, postgres: str, http: str) -> Path:
    path = folder / CONFIG
    text = f"""# Written by `consent-proxy demo`, anew at each start.
listen: {{postgres: {json.dumps(postgres)}, http: {json.dumps(http)}}}
upstream: {{url: {json.dumps(server.url(DATABASE, READER))}, connections: 50}}
consent: {{url: {json.dumps(server.url(DATABASE, WRITER))}}}
policy: {POLICY}
secrets: secrets.yaml
access_log: {{folder: var/access-log, durability: host}}
"""
    _write_private(path, text)
    return path


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
