"""What consent-proxy runs with: `load_config` reads consent-proxy.yaml and the environment.

The values are frozen and complete: every default is filled in, every path absolute, every size in
bytes. What can be wrong is found here, all at once, before anything listens.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

CONFIG_VARIABLE: Final = "CONSENT_PROXY_CONFIG"
CONFIG_DEFAULT: Final = "consent-proxy.yaml"

Durability = Literal["host", "process"]
# For what a client leases a connection to the database (docs/decisions/0004).
Pooling = Literal["session", "transaction"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a name or address without brackets, and a port (0 takes a free one)."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A name other than localhost may be anything."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Certificate chain and private key (PEM) that both doors show."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer; ALPN names PostgreSQL's protocol, as its direct TLS start asks."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """The two doors. `tls` is there unless both are on loopback or `insecure` was asked for."""

    postgres: Address
    http: Address
    tls: Tls | None
    insecure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One way to the customer database, as one of its roles.

    `host` is a name or address, or the absolute folder of a unix socket. `url` is what was
    written, without a password; the password is apart, so that no message can show it.
    """

    url: str
    host: str
    port: int
    user: str
    database: str
    password: str | None = field(repr=False)
    root_certificate: Path | None

    @property
    def is_unix_socket(self) -> bool:
        return self.host.startswith("/")

    @property
    def is_local(self) -> bool:
        """Whether bytes stay on this machine; TLS is `verify-full` otherwise, always."""
        return self.is_unix_socket or Address(self.host, self.port).is_loopback

    @property
    def absolute_url(self) -> str:
        """The URL with the way to the root certificates spelt out, relative to no folder."""
        if self.root_certificate is None:
            return self.url
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query)) | {"sslrootcert": str(self.root_certificate)}
        return urlunsplit(parts._replace(query=urlencode(query)))

    def tls_context(self) -> ssl.SSLContext | None:
        """None where bytes stay on this machine; else chain and name are verified."""
        if self.is_local:
            return None
        context = ssl.create_default_context(cafile=self.root_certificate)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLogSettings:
    """Where access records go, and what survives: `host` power loss, `process` the proxy's end."""

    folder: Path
    durability: Durability


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, one statement or one snapshot may take. Times are seconds, sizes bytes."""

    connections: int = 1000  # clients at once; each idle one costs some 20 KiB
    statement_bytes: int = 1 << 20  # above it readers would hold up others, even in a worker
    statement_nesting: int = 100  # both readers recurse
    upstream_wait_s: float = 5.0  # longer than this, a tool does better to come again
    snapshot_s: float = 60.0  # the longest a withdrawn value can be shown by a running statement
    statement_s: float = 300.0
    idle_s: float = 600.0
    drain_s: float = 20.0  # under the 30 s that orchestrators give before they kill


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything of consent-proxy.yaml. Paths are absolute; `folder` is what they were relative to.

    `file` is None where all of it came from the environment.
    """

    file: Path | None
    folder: Path
    listen: Listen
    upstream: Database
    upstream_connections: int
    upstream_pooling: Pooling = "session"
    reuses_statements: bool = True
    consent: Database
    policy: Path
    secrets: Path
    access_log: AccessLogSettings
    limits: Limits


def load_config(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """Read the configuration; `ConfigurationError` names every problem with file, line and key.

    `path` None means `CONSENT_PROXY_CONFIG`, else consent-proxy.yaml here; only that last one may
    be missing, when the environment says everything. A variable `CONSENT_PROXY_<SECTION>_<KEY>`
    wins over the file; its relative paths are relative to the file's folder, too.
    """
    from proxy.config_file import read_config  # pydantic and YAML: only whoever loads pays

    variables = os.environ if environment is None else environment
    named = path or (Path(variables[CONFIG_VARIABLE]) if CONFIG_VARIABLE in variables else None)
    return read_config(named or Path(CONFIG_DEFAULT), variables, is_optional=named is None)
