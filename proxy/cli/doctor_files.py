"""What lies on this machine: secrets, password files, certificates, the access log's disk."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from proxy.access_log.segments import FLOOR_BYTES
from proxy.cli.findings import Finding, error, listed, ok, warning
from proxy.cli.opening import password_paths
from proxy.config import Config, Tls
from proxy.errors import ConfigurationError
from proxy.policy.model import Policy
from proxy.secrets import Secrets

# A busy proxy writes some 1 KiB per access: a gibibyte is a million of them.
SPACE_WARNING_BYTES: Final = 1 << 30
CERTIFICATE_WARNING: Final = timedelta(days=21)  # time for somebody to come back from holiday


def findings(config: Config, policy: Policy | None) -> list[Finding]:
    return [
        *_secrets(config, policy),
        *_password_files(config),
        *_tls(config),
        *_log(config.access_log.folder),
    ]


def _secrets(config: Config, policy: Policy | None) -> Iterator[Finding]:
    try:
        entries = dict(Secrets.load(config.secrets).listing())
    except ConfigurationError as failure:
        yield error("secrets", str(failure), "Nobody can come in.", "See `consent-proxy tool`.")
        return
    bare = [
        name for name, entry in entries.items() if entry.verifier is None and entry.token is None
    ]
    if bare:
        do = "`consent-proxy tool password NAME` or `consent-proxy tool token NAME`."
        yield warning("secrets", f"no password and no token: {listed(bare)}",
                      "They can not come in.", do)  # fmt: skip
    known = () if policy is None else tuple(policy.tools)
    without = [name for name in known if name not in entries]
    if without:
        yield warning(
            "secrets",
            f"tools of the policy without a credential: {listed(without)}",
            "They can not come in.",
            "`consent-proxy tool add NAME`.",
        )
    strangers = [n for n, entry in entries.items() if entry.role == "tool" and n not in known]
    if strangers and policy is not None:
        yield warning(
            "secrets",
            f"tools that the policy does not name: {listed(strangers)}",
            "They are refused.",
            "Name them in the policy, or `consent-proxy tool disable NAME`.",
        )
    if not bare and not without and not strangers:
        yield ok("secrets", f"{len(entries)} names")


def _password_files(config: Config) -> Iterator[Finding]:
    for section, path in password_paths(config.file).items():
        if path.exists() and path.stat().st_mode & 0o077:
            yield error(
                "secrets",
                f"{path} can be read by others",
                f"Whoever reads it is the role of {section}, past the proxy.",
                f"chmod 600 {path}, and change the role's password.",
            )


def _tls(config: Config) -> Iterator[Finding]:
    listen = config.listen
    outside = [str(each) for each in (listen.postgres, listen.http) if not each.is_loopback]
    if listen.tls is None:
        if outside:
            yield warning(
                "tls",
                f"{listed(outside)} answers without TLS (`insecure: true`)",
                "Whoever is on the way reads every row and every token.",
                "Give listen.tls a certificate and a key.",
            )
        else:
            yield ok("tls", "not needed: both doors are on loopback")
        return
    yield from _certificate(listen.tls)


def _certificate(tls: Tls) -> Iterator[Finding]:
    from cryptography import x509

    try:
        tls.server_context()
        certificate = x509.load_pem_x509_certificate(tls.certificate.read_bytes())
    except (ssl.SSLError, OSError, ValueError) as failure:
        yield error(
            "tls",
            f"{tls.certificate} and {tls.key} can not be used: {failure}",
            "The proxy does not start.",
            "Give it a chain and its key, both PEM.",
        )
        return
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    ends = certificate.not_valid_after_utc.date().isoformat()
    do = "Renew it; a restart takes the new one."
    if left < timedelta(0):
        yield error("tls", f"the certificate ended on {ends}", "Clients refuse it.", do)
    elif left < CERTIFICATE_WARNING:
        yield warning("tls", f"the certificate ends on {ends}", "Clients will refuse it.", do)
    else:
        yield ok("tls", f"the certificate is good until {ends}")
    if tls.key.stat().st_mode & 0o077:
        yield error(
            "tls",
            f"{tls.key} can be read by others",
            "Whoever reads it can pretend to be the proxy.",
            f"chmod 600 {tls.key}, and make a new key.",
        )


def _log(folder: Path) -> Iterator[Finding]:
    place = folder
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield error(
            "access log",
            f"{folder} can not be written to",
            "Without a record nothing leaves: the proxy does not start.",
            "Give the proxy's account a folder of its own.",
        )
        return
    free = shutil.disk_usage(place).free
    told = f"{free / (1 << 30):.1f} GiB free for {folder}"
    do = "Move old segments away after verifying them, or give it a larger disk."
    if free < FLOOR_BYTES:
        yield error("access log", told, "The log seals itself: nothing leaves.", do)
    elif free < SPACE_WARNING_BYTES:
        yield warning("access log", told, "When it is full, nothing leaves.", do)
    else:
        yield ok("access log", told)
    if place == folder and folder.stat().st_mode & 0o077:
        yield warning(
            "access log",
            f"{folder} can be entered by others",
            "It tells who read about whom.",
            f"chmod 700 {folder}",
        )
