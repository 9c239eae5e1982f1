"""TLS at both doors, and TLS to the database, with certificates of an authority of our own."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import trustme

from tests.server.place import Place, Running

PEOPLE = "SELECT id FROM crm.people ORDER BY id"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secured(place: Place, authority: trustme.CA) -> Place:
    """Both doors with a certificate for localhost and 127.0.0.1; its root is in root.pem."""
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(place.folder / "tls.key")
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(place.folder / "tls.pem", append=number > 0)
    authority.cert_pem.write_to_path(place.folder / "root.pem")
    place.write_config(
        listen={
            "postgres": "127.0.0.1:0",
            "http": "127.0.0.1:0",
            "tls": {"certificate": "tls.pem", "key": "tls.key"},
        }
    )
    return place


def verified(place: Place) -> dict[str, str]:
    """libpq's strictest options."""
    root = str(place.folder / "root.pem")
    return {"sslmode": "verify-full", "sslrootcert": root, "channel_binding": "require"}


def trusted(running: Running) -> Running:
    running.trust = ssl.create_default_context(cafile=str(running.place.folder / "root.pem"))
    running.ready["http"] = running.ready["http"].replace("http://", "https://")
    return running


def test_clients_verify_the_certificate_and_bind_their_login_to_it(secured: Place) -> None:
    with secured.serving() as running:
        assert running.ask(PEOPLE, **verified(secured)) == [(1,), (2,), (3,)]
        answer = subprocess.run(
            ["psql", "--no-psqlrc", "-Atc", PEOPLE, running.url(**verified(secured))],
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.split() == ["1", "2", "3"]
        status, body = trusted(running).get("/readyz")
        assert (status, '"ready":true' in body.replace(" ", "")) == (200, True)


def test_with_workers_every_one_shows_the_certificate(secured: Place) -> None:
    with secured.serving("--workers", "2") as running:
        for _ in range(8):
            assert running.ask(PEOPLE, **verified(secured)) == [(1,), (2,), (3,)]


def test_nobody_comes_in_without_tls(secured: Place) -> None:
    with secured.serving() as running:
        with pytest.raises(psycopg.OperationalError, match="TLS"):
            running.connect(sslmode="disable")
        assert running.get("/readyz") == (0, "")


def test_a_client_that_trusts_another_authority_leaves(secured: Place) -> None:
    trustme.CA().cert_pem.write_to_path(secured.folder / "root.pem")
    with secured.serving() as running:
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            running.connect(**verified(secured))
        with pytest.raises(ssl.SSLCertVerificationError):
            trusted(running).get("/readyz")


def test_a_key_of_another_certificate_is_noticed_before_anybody_is_served(secured: Place) -> None:
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(secured.folder / "tls.key")
    assert "are no pair" in secured.fails()


def test_the_health_program_asks_a_door_with_tls(secured: Place) -> None:
    with secured.serving() as running:
        port = running.ready["http"].rsplit(":", 1)[1]
        result = subprocess.run(
            [sys.executable, "-m", "proxy.health", "/readyz"],
            env={
                "CONSENT_PROXY_CONFIG": str(secured.config),
                "CONSENT_PROXY_LISTEN_HTTP": f"127.0.0.1:{port}",
            },
            cwd=Path(__file__).parents[2],
            check=False,
        )
        assert result.returncode == 0
