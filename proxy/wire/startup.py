"""The first packets of a connection, which have no type byte (manual, "Start-up").

A client may ask for encryption first (SSLRequest, GSSENCRequest, in any order), may send only a
CancelRequest, or a StartupMessage. Everything here is read before anybody is authenticated:
small limits, nothing guessed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.errors import ClientProtocolError

# PostgreSQL's own limit (MAX_STARTUP_PACKET_LENGTH).
STARTUP_BYTES_MAX: Final = 10_000

CANCEL_CODE: Final = 80877102
SSL_CODE: Final = 80877103
GSSENC_CODE: Final = 80877104
PROTOCOL_3: Final = 0x30000
MINOR_MAX: Final = 2  # 3.2: longer cancel keys. 3.1 was never used (manual, "Protocol Versions")

# A key of 256 bytes is the longest that 3.2 allows.
CANCEL_KEY_BYTES_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class SslRequest:
    pass


@dataclass(frozen=True, slots=True)
class GssEncRequest:
    pass


@dataclass(frozen=True, slots=True)
class CancelRequest:
    number: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """`minor` as asked for; `unknown` names the `_pq_.` options, none of which is spoken here."""

    minor: int
    parameters: Mapping[str, str]
    unknown: tuple[str, ...]


Packet = SslRequest | GssEncRequest | CancelRequest | StartupMessage


def read_packet(data: bytes) -> tuple[Packet, int] | None:
    """The packet at the start of `data` and its length, or None while it is incomplete."""
    if len(data) < 4:
        # A TLS ClientHello without SSLRequest starts with 0x16: as a length that is far too long.
        return None
    length = int.from_bytes(data[:4], "big")
    if length < 8 or length > STARTUP_BYTES_MAX:
        raise ClientProtocolError("invalid length of startup packet")
    if len(data) < length:
        return None
    code = int.from_bytes(data[4:8], "big")
    body = data[8:length]
    if code in (SSL_CODE, GSSENC_CODE):
        if body:
            raise ClientProtocolError("malformed encryption request")
        return (SslRequest() if code == SSL_CODE else GssEncRequest()), length
    if code == CANCEL_CODE:
        if not 4 < len(body) <= 4 + CANCEL_KEY_BYTES_MAX:
            raise ClientProtocolError("malformed cancel request")
        return CancelRequest(int.from_bytes(body[:4], "big"), body[4:]), length
    if code >> 16 != PROTOCOL_3 >> 16:
        raise ClientProtocolError("unsupported frontend protocol")
    return _read_startup(code & 0xFFFF, body), length


def _read_startup(minor: int, body: bytes) -> StartupMessage:
    if not body.endswith(b"\0"):
        raise ClientProtocolError("invalid startup packet layout")
    try:
        parts = body.decode("utf-8").split("\0")
    except UnicodeDecodeError:
        raise ClientProtocolError("startup packet is not UTF-8") from None
    # name, value, name, value …, and an empty name as terminator; split adds one empty part.
    if len(parts) < 2 or parts[-1] or parts[-2] or len(parts) % 2 or "" in parts[:-2:2]:
        raise ClientProtocolError("invalid startup packet layout")
    names, values = parts[:-2:2], parts[1:-2:2]
    if len(set(names)) != len(names):
        # Readers that take the first and readers that take the last would disagree.
        raise ClientProtocolError("a startup parameter is given twice")
    pairs = dict(zip(names, values, strict=True))
    unknown = tuple(name for name in names if name.startswith("_pq_."))
    parameters = {name: value for name, value in pairs.items() if not name.startswith("_pq_.")}
    return StartupMessage(minor, parameters, unknown)


def read_options(options: str) -> list[tuple[str, str]] | None:
    """The settings of the `options` parameter, or None where it holds anything else.

    `-c name=value`, `-cname=value` and `--name=value`; a backslash escapes a space (libpq
    manual, "options").
    """
    words = _split_options(options)
    if words is None:
        return None
    settings: list[tuple[str, str]] = []
    rest = iter(words)
    for word in rest:
        if word == "-c":
            assignment = next(rest, "")
        elif word.startswith(("-c", "--")):
            assignment = word[2:]
        else:
            return None
        name, equals, value = assignment.partition("=")
        if not name or not equals:
            return None
        # PostgreSQL reads a dash in a name as an underscore (ParseLongOption).
        settings.append((name.replace("-", "_").lower(), value))
    return settings


def _split_options(options: str) -> list[str] | None:
    words: list[str] = []
    word: list[str] = []
    is_in_word = is_escaped = False
    for character in options:
        if is_escaped:
            word.append(character)
            is_escaped = False
        elif character == "\\":
            is_escaped = is_in_word = True
        elif character in " \t\n\r\v\f":
            if is_in_word:
                words.append("".join(word))
                word = []
                is_in_word = False
        else:
            word.append(character)
            is_in_word = True
    if is_escaped:
        return None
    if is_in_word:
        words.append("".join(word))
    return words


SSL_REQUEST: Final = struct.pack("!II", 8, SSL_CODE)


def cancel_request(number: int, secret: bytes) -> bytes:
    return struct.pack("!III", 12 + len(secret), CANCEL_CODE, number) + secret


def startup_message(parameters: Mapping[str, str] | Sequence[tuple[str, str]]) -> bytes:
    pairs = parameters.items() if isinstance(parameters, Mapping) else parameters
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in pairs) + b"\0"
    return struct.pack("!II", 8 + len(body), PROTOCOL_3) + body
