"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both sides (RFC 5802, RFC 7677), without I/O.

PostgreSQL's dialect (manual, "SASL Authentication"): the user name in the client's first message is
ignored, libpq leaves it empty; the start-up message names the user. The server keeps a verifier,
never the password, and needs no PBKDF2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from proxy.passwords import ITERATIONS, ScramVerifier, prepared

MECHANISM: Final = "SCRAM-SHA-256"
MECHANISM_PLUS: Final = "SCRAM-SHA-256-PLUS"

# An upstream that asks for more is wasting our time, not protecting a password.
ITERATIONS_MAX: Final = 10_000_000

_CLIENT_FIRST = re.compile(
    r"(?P<gs2>(?P<flag>n|y|p=[A-Za-z0-9.-]+),(?:a=[^,]*)?,)(?P<bare>n=[^,]*,r=(?P<nonce>[!-+\--~]+))"
)
_CLIENT_FINAL = re.compile(
    r"(?P<without>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)),p=(?P<proof>[A-Za-z0-9+/=]+)"
)
_SERVER_FIRST = re.compile(
    r"r=(?P<nonce>[!-+\--~]+),s=(?P<salt>[A-Za-z0-9+/=]+),i=(?P<iterations>[1-9][0-9]{0,9})"
)
_SERVER_FINAL = re.compile(r"v=(?P<signature>[A-Za-z0-9+/=]+)")


class ScramError(Exception):
    """The other side's message is malformed, or its proof is wrong."""


def fake_verifier(user: str, secret: bytes, iterations: int = ITERATIONS) -> ScramVerifier:
    """For a user that does not exist: the same salt at every attempt, and no proof fits."""
    salt = _hmac(secret, b"salt\0" + user.encode())[:16]
    return ScramVerifier(
        salt=salt,
        iterations=iterations,
        # A SHA-256 preimage of this is not known to anybody.
        stored_key=_hmac(secret, b"stored\0" + user.encode()),
        server_key=_hmac(secret, b"server\0" + user.encode()),
    )


class ScramServer:
    """One authentication of a client.

    `binding` is the hash of our certificate (`certificate_hash`) where -PLUS was offered.
    """

    __slots__ = ("_auth", "_binding", "_gs2", "_is_plus", "_nonce", "_verifier")

    def __init__(
        self, mechanism: str, verifier: ScramVerifier, nonce: bytes, binding: bytes | None
    ) -> None:
        if mechanism != MECHANISM and not (mechanism == MECHANISM_PLUS and binding is not None):
            raise ScramError("authentication mechanism was not offered")
        self._is_plus = mechanism == MECHANISM_PLUS
        self._binding = binding
        self._verifier = verifier
        self._nonce = base64.b64encode(nonce).decode()
        self._gs2 = ""
        self._auth = ""

    def first(self, data: bytes) -> bytes:
        """The answer to the client's first message."""
        match = _CLIENT_FIRST.fullmatch(_text(data))
        if match is None:
            raise ScramError("malformed client-first-message")
        flag = match["flag"]
        if self._is_plus:
            if flag != "p=tls-server-end-point":
                raise ScramError("unsupported channel binding")
        elif flag == "y" and self._binding is not None:
            # "I could, but you did not offer": somebody took -PLUS out of our offer.
            raise ScramError("channel binding was offered: downgrade refused")
        elif flag not in ("n", "y"):
            raise ScramError("channel binding without its mechanism")
        self._gs2 = match["gs2"]
        self._nonce = match["nonce"] + self._nonce
        salt = base64.b64encode(self._verifier.salt).decode()
        answer = f"r={self._nonce},s={salt},i={self._verifier.iterations}"
        self._auth = f"{match['bare']},{answer}"
        return answer.encode()

    def final(self, data: bytes) -> bytes:
        """The server's proof, once the client's is right; else `ScramError`."""
        match = _CLIENT_FINAL.fullmatch(_text(data))
        if match is None:
            raise ScramError("malformed client-final-message")
        expected = self._gs2.encode() + ((self._binding or b"") if self._is_plus else b"")
        proof = _decode(match["proof"])
        auth = f"{self._auth},{match['without']}".encode()
        signature = _hmac(self._verifier.stored_key, auth)
        # No early exit: each check is made whatever the others say.
        is_bound = hmac.compare_digest(_decode(match["binding"]), expected)
        is_ours = hmac.compare_digest(match["nonce"].encode(), self._nonce.encode())
        key = bytes(a ^ b for a, b in zip(proof, signature, strict=False))
        is_proven = hmac.compare_digest(_hash(key), self._verifier.stored_key)
        if not (is_bound and is_ours and is_proven and len(proof) == len(signature)):
            raise ScramError("proof does not fit")
        return b"v=" + base64.b64encode(_hmac(self._verifier.server_key, auth))


class ScramClient:
    """Our own authentication at the upstream. `binding`: hash of its certificate, over TLS."""

    __slots__ = ("_auth", "_binding", "_gs2", "_nonce", "_password", "_server_key", "mechanism")

    def __init__(
        self, offered: list[str], password: str, nonce: bytes, binding: bytes | None
    ) -> None:
        self._binding = b""
        if MECHANISM_PLUS in offered and binding is not None:
            self.mechanism = MECHANISM_PLUS
            self._gs2 = "p=tls-server-end-point,,"
            self._binding = binding
        elif MECHANISM in offered:
            self.mechanism = MECHANISM
            self._gs2 = "n,," if binding is None else "y,,"
        else:
            raise ScramError("upstream offers no SCRAM-SHA-256")
        self._password = password
        self._nonce = base64.b64encode(nonce).decode()
        self._auth = b""
        self._server_key = b""

    def first(self) -> bytes:
        return f"{self._gs2}n=,r={self._nonce}".encode()

    def final(self, data: bytes) -> bytes:
        match = _SERVER_FIRST.fullmatch(_text(data))
        if match is None or not match["nonce"].startswith(self._nonce):
            raise ScramError("malformed server-first-message")
        iterations = int(match["iterations"])
        if iterations > ITERATIONS_MAX or match["nonce"] == self._nonce:
            raise ScramError("unreasonable server-first-message")
        salted = _salted(self._password, _decode(match["salt"]), iterations)
        key = _hmac(salted, b"Client Key")
        binding = base64.b64encode(self._gs2.encode() + self._binding).decode()
        without = f"c={binding},r={match['nonce']}"
        self._auth = f"n=,r={self._nonce},{_text(data)},{without}".encode()
        self._server_key = _hmac(salted, b"Server Key")
        signature = _hmac(_hash(key), self._auth)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return f"{without},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, data: bytes) -> None:
        """Raise unless the upstream has proved that it knows the password too."""
        match = _SERVER_FINAL.fullmatch(_text(data))
        if match is None or not hmac.compare_digest(
            _decode(match["signature"]), _hmac(self._server_key, self._auth)
        ):
            raise ScramError("upstream did not prove that it knows the password")


def certificate_hash(certificate: bytes) -> bytes:
    """`tls-server-end-point` of a DER certificate (RFC 5929): hash of its signature; MD5 and
    SHA-1 are replaced by SHA-256.
    """
    algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    name = (
        "sha256"
        if algorithm is None or isinstance(algorithm, hashes.MD5 | hashes.SHA1)
        else algorithm.name
    )
    return hashlib.new(name, certificate).digest()


def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ScramError("message is not UTF-8") from None


def _decode(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ScramError("malformed base64") from None
