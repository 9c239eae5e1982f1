"""Reads a database URL: one host, one role, no password, nothing that weakens TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from proxy.config import Database

_EXPECTED: Final = "expected postgresql://ROLE@HOST:PORT/DATABASE"
_PARAMETERS: Final = ("host", "port", "sslmode", "sslrootcert")


def read_url(url: str, password: str | None, folder: Path) -> Database:
    """The database a URL names; ValueError says what is wrong, and never repeats the URL.

    `?host=/folder` names a unix socket. `sslrootcert` (relative to `folder`) names whose
    certificates are believed, beyond this machine.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if parts.scheme not in ("postgresql", "postgres") or parts.fragment:
        raise ValueError(_EXPECTED)
    if parts.password is not None:
        raise ValueError("a password does not belong into a URL: use password_file or PGPASSWORD")
    parameters = _parameters(parts.query)
    host = parameters.get("host") or unquote(parts.hostname or "")
    if not host:
        raise ValueError(f"the host is missing: {_EXPECTED}, or ?host=/folder/of/the/socket")
    if "," in host:
        # Consent and data come from one primary; a list could answer from a standby.
        raise ValueError("expected one host: consent and data are read from the same primary")
    if not parts.username:
        raise ValueError(f"the role is missing: {_EXPECTED}")
    database = unquote(parts.path.removeprefix("/"))
    if not database:
        raise ValueError(f"the database is missing: {_EXPECTED}")
    root = parameters.get("sslrootcert")
    found = Database(
        url=url,
        host=host,
        port=_port(port, parameters.get("port")),
        user=unquote(parts.username),
        database=database,
        password=password,
        root_certificate=None if root in (None, "system") else folder / root,
    )
    _check_tls(found, parameters.get("sslmode"))
    return found


def _parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PARAMETERS or name in parameters:
            raise ValueError(f"unknown or repeated parameter; expected {', '.join(_PARAMETERS)}")
        parameters[name] = value
    return parameters


def _port(port: int | None, parameter: str | None) -> int:
    if parameter is None:
        return 5432 if port is None else port
    if not parameter.isascii() or not parameter.isdigit() or not 0 < int(parameter) < 65536:
        raise ValueError("expected a port from 1 to 65535")
    return int(parameter)


def _check_tls(found: Database, mode: str | None) -> None:
    allowed = ("disable", "allow", "prefer") if found.is_local else ("verify-full",)
    if mode is not None and mode not in allowed:
        where = "on this machine" if found.is_local else "beyond this machine"
        raise ValueError(f"{where} sslmode can only be {' or '.join(allowed)}")
    if found.root_certificate is not None and not found.root_certificate.is_file():
        raise ValueError(f"sslrootcert: there is no file {found.root_certificate}")
