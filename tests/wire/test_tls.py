"""TLS at the door, and SCRAM bound to its certificate."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.config import Database
from proxy.session.door import PostgresDoor
from proxy.upstream.pool import Pool
from proxy.wire.scram import certificate_hash
from proxy.wire.startup import SSL_REQUEST
from tests.wire.conftest import Proxy
from tests.wire.raw import Failed, Raw, kinds, rows


@dataclass
class Certificate:
    der: bytes
    context: ssl.SSLContext
    client: ssl.SSLContext
    file: Path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    file, key_file = folder / "cert.pem", folder / "key.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    client = ssl.create_default_context(cafile=str(file))
    client.check_hostname = False
    return Certificate(made.public_bytes(serialization.Encoding.DER), context, client, file)


@pytest.fixture
async def secure(proxy: Proxy, certificate: Certificate) -> AsyncIterator[Proxy]:
    """A second door over the same services, with TLS, and only with it."""
    door = PostgresDoor(
        proxy.door.services,
        proxy.pool,
        database=proxy.database,
        certificate=certificate.der,
        requires_tls=True,
    )
    port = await door.start("127.0.0.1", 0, certificate.context)
    yield Proxy(
        door, proxy.pool, port, proxy.database, proxy.planner, proxy.log, proxy.epoch, proxy.limits
    )
    await door.drain(0)


async def test_scram_is_bound_to_the_certificate_that_the_client_sees(
    secure: Proxy, certificate: Certificate
) -> None:
    client = await Raw.open(secure.port)
    await client.secure(certificate.client)
    binding = certificate_hash(certificate.der)
    await client.log_in({"user": "mailer", "database": secure.database}, binding=binding)
    assert rows(await client.query("SELECT 1")) == [[b"1"]]
    assert len(rows(await client.query("SELECT a, repeat('x', 1000) FROM numbers"))) == 20_000


async def test_another_certificate_in_between_is_noticed(
    secure: Proxy, certificate: Certificate
) -> None:
    client = await Raw.open(secure.port)
    await client.secure(certificate.client)
    with pytest.raises(Failed) as failed:
        await client.log_in({"user": "mailer", "database": secure.database}, binding=b"x" * 32)
    assert failed.value.fields["C"] == "28P01"


async def test_where_tls_is_required_nobody_logs_in_without(secure: Proxy) -> None:
    client = await Raw.open(secure.port)
    with pytest.raises(Failed) as failed:
        await client.log_in({"user": "mailer", "database": secure.database})
    assert failed.value.fields["C"] == "28000"


async def test_bytes_sent_in_clear_behind_the_request_are_not_believed(secure: Proxy) -> None:
    client = await Raw.open(secure.port)
    client.send(SSL_REQUEST + b"x")
    assert b"08P01" in await client.closed()


async def test_drivers_verify_the_certificate_and_bind_to_it(
    secure: Proxy, certificate: Certificate
) -> None:
    url = secure.url(query=f"?sslmode=verify-full&sslrootcert={certificate.file}")
    connection = await psycopg.AsyncConnection.connect(url + "&channel_binding=require")
    cursor = await connection.execute("SELECT a FROM people WHERE a = %s", (7,))
    assert await cursor.fetchall() == [(7,)]
    await connection.close()
    strict = ssl.create_default_context(cafile=str(certificate.file))
    other = await asyncpg.connect(secure.url(), ssl=strict)
    assert await other.fetchval("SELECT a FROM people WHERE a = $1", 7) == 7
    await other.close()


async def test_a_session_over_tls_can_be_cancelled(secure: Proxy, certificate: Certificate) -> None:
    client = await Raw.open(secure.port)
    await client.secure(certificate.client)
    await client.log_in({"user": "mailer", "database": secure.database})
    client.send(b"")
    await client.query("SELECT 1")
    secure.door.cancel(*client.key)
    assert kinds(await client.query("SELECT 1")) == "TDCZ"


async def test_the_upstream_may_ask_for_scram(tcp_upstream: Database) -> None:
    pool = Pool(tcp_upstream, connections=2, wait_s=5, statement_s=60)
    await pool.start()
    assert pool.is_healthy
    assert pool.parameters["server_encoding"] == "UTF8"
    await pool.close()
