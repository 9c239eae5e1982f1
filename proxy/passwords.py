"""What is kept of a password: a SCRAM-SHA-256 verifier, from which nobody can log in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from dataclasses import dataclass, field
from typing import Final

ITERATIONS: Final = (
    4096  # RFC 7677's minimum and PostgreSQL's own; generated passwords need no more
)
_SALT_BYTES: Final = 16

_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,  # unassigned: not to be stored, RFC 3454, section 7
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScramVerifier:
    """RFC 5802's stored form of a password. `stored_key` and `server_key` are 32 bytes each."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def make_verifier(password: str, *, salt: bytes | None = None) -> ScramVerifier:
    """The verifier of a password, with a salt of its own."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return ScramVerifier(
        salt=salt,
        iterations=ITERATIONS,
        stored_key=hashlib.sha256(client_key).digest(),
        server_key=hmac.digest(salted, b"Server Key", "sha256"),
    )


def generate_password() -> str:
    """192 random bits that survive every shell, URL and connection string unquoted."""
    return base64.b32encode(secrets.token_bytes(24)).decode().rstrip("=").lower()


def prepared(password: str) -> bytes:
    """The password as both sides of SCRAM hash it: SASLprep (RFC 4013), as libpq does it.

    Where SASLprep forbids a password, libpq goes on with the bytes as they are, and so does this:
    otherwise the two would never agree.
    """
    raw = password.encode("utf-8", "surrogateescape")
    if password.isascii():
        return raw
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in password
        if not stringprep.in_table_b1(character)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    if not normal or _is_forbidden(normal):
        return raw
    return normal.encode()


def _is_forbidden(text: str) -> bool:
    if any(is_in(character) for character in text for is_in in _PROHIBITED):
        return True
    # RFC 3454, section 6: right-to-left text stands alone, between right-to-left characters.
    right_to_left = [stringprep.in_table_d1(character) for character in text]
    if not any(right_to_left):
        return False
    mixed = any(stringprep.in_table_d2(character) for character in text)
    return mixed or not right_to_left[0] or not right_to_left[-1]
