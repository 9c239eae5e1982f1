"""The door over TLS, and under the event loop that the proxy runs with."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import json
import ssl
from pathlib import Path

import aiohttp
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.gateway.conftest import OpenHouse
from tests.gateway.house import House, open_house


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "door")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "door.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "door.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "door.pem", folder / "door.key"


async def _ask(house: House, scheme: str, trusted: ssl.SSLContext | bool) -> dict[str, object]:
    async with house.client.post(
        f"{scheme}://127.0.0.1:{house.port}/v1/query",
        json={"sql": "SELECT id, filler FROM crm.many LIMIT 50000"},
        headers={"Authorization": f"Bearer {house.tokens['counter']}"},
        ssl=trusted,
    ) as response:
        assert response.status == 200
        found: dict[str, object] = json.loads(await response.read())
        return found


async def test_the_door_answers_over_tls(open_door: OpenHouse, tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    async with open_door(ssl_context=server) as house:
        trusted = ssl.create_default_context(cafile=certificate)
        rows = (await _ask(house, "https", trusted))["rows"]
        assert isinstance(rows, list)
        assert len(rows) == 50_000
        with pytest.raises(aiohttp.ClientError):
            await _ask(house, "http", trusted=True)


def test_the_door_answers_under_uvloop(database: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_house(database, tmp_path) as house:
            rows = (await _ask(house, "http", trusted=True))["rows"]
            assert isinstance(rows, list)
            assert len(rows) == 50_000
            _, writer = await asyncio.open_connection("127.0.0.1", house.port)
            body = json.dumps({"sql": "SELECT id, filler FROM crm.many"}).encode()
            writer.write(
                b"POST /v1/query HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                + f"Authorization: Bearer {house.tokens['counter']}\r\n".encode()
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            await house.until(lambda: len(house.records("access.intent")) == 2)
            writer.transport.abort()
            await house.until(lambda: len(house.records("access.outcome")) == 2)
            assert house.records("access.outcome")[1]["state"] == "client_gone"
            assert house.pool.leased == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
