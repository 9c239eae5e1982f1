"""How the ledger reaches its database: safe transport by default, deadlines on everything."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

CONNECT_TIMEOUT_S: Final = 5.0
# A withdrawal waits for another writer of the same person at most this long.
COMMAND_TIMEOUT_S: Final = 30.0

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

# The connection is gone or could not be made; trying again may help, and changes nothing else.
LOST: Final = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What asyncpg says when a server's farewell arrives between two statements.
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)


def is_local(url: str) -> bool:
    """Whether the URL names this machine: loopback or a unix socket, in all of its hosts."""
    parts = urlsplit(url)
    hosts = parse_qs(parts.query).get("host", [])
    netloc = parts.netloc.rpartition("@")[2]
    hosts += [unquote(host) for host in netloc.split(",") if host and not host.startswith(":")]
    return all(
        host.startswith(("/", "@")) or _without_port(host) in _LOOPBACK
        for listed in hosts
        for host in listed.split(",")
    )


def connect_arguments(url: str, password: str | None) -> Mapping[str, Any]:
    """Arguments for asyncpg: beyond this machine TLS is `verify-full` unless the URL says else."""
    arguments: dict[str, Any] = {
        "dsn": url,
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": COMMAND_TIMEOUT_S,
        "server_settings": {
            "application_name": "consent-proxy ledger",
            # An older snapshot would overlook rows of tables that repeat consent.
            "default_transaction_isolation": "read committed",
        },
    }
    if password is not None:
        arguments["password"] = password
    query = parse_qs(urlsplit(url).query)
    if not is_local(url) and query.get("sslmode", ["verify-full"]) == ["verify-full"]:
        arguments["ssl"] = _verified(query.get("sslrootcert", [None])[0])
    return arguments


def _verified(root_certificate: str | None) -> ssl.SSLContext:
    """TLS that verifies chain and name; against the system's roots where none are given."""
    context = ssl.create_default_context(cafile=root_certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]
