"""Building and reading the messages of PostgreSQL's protocol 3 that the proxy must understand.

Builders return the whole message with its header. Readers take a whole message and raise
`ClientProtocolError` (frontend messages) or `UpstreamProtocolError` (backend messages) for
what the manual ("Message Formats") does not allow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from proxy.errors import ClientProtocolError, UpstreamProtocolError

# Type bytes of frontend messages …
BIND: Final = ord("B")
CLOSE: Final = ord("C")
COPY_DATA: Final = ord("d")
COPY_DONE: Final = ord("c")
COPY_FAIL: Final = ord("f")
DESCRIBE: Final = ord("D")
EXECUTE: Final = ord("E")
FLUSH: Final = ord("H")
FUNCTION_CALL: Final = ord("F")
PARSE: Final = ord("P")
PASSWORD: Final = ord("p")  # and SASLInitialResponse, SASLResponse
QUERY: Final = ord("Q")
SYNC: Final = ord("S")
TERMINATE: Final = ord("X")

# … and of backend messages.
AUTHENTICATION: Final = ord("R")
BACKEND_KEY: Final = ord("K")
BIND_COMPLETE: Final = ord("2")
CLOSE_COMPLETE: Final = ord("3")
COMMAND_COMPLETE: Final = ord("C")
COPY_BOTH_RESPONSE: Final = ord("W")
COPY_IN_RESPONSE: Final = ord("G")
COPY_OUT_RESPONSE: Final = ord("H")
DATA_ROW: Final = ord("D")
EMPTY_QUERY: Final = ord("I")
ERROR: Final = ord("E")
NEGOTIATE: Final = ord("v")
NO_DATA: Final = ord("n")
NOTICE: Final = ord("N")
NOTIFICATION: Final = ord("A")
PARAMETER_DESCRIPTION: Final = ord("t")
PARAMETER_STATUS: Final = ord("S")
PARSE_COMPLETE: Final = ord("1")
PORTAL_SUSPENDED: Final = ord("s")
READY: Final = ord("Z")
ROW_DESCRIPTION: Final = ord("T")

IDLE: Final = ord("I")
IN_BLOCK: Final = ord("T")
FAILED: Final = ord("E")

_INT16 = struct.Struct("!h")
_INT32 = struct.Struct("!i")
_HEADER = struct.Struct("!Bi")
_FIELD = struct.Struct("!ihihih")


def message(kind: int, body: bytes = b"") -> bytes:
    return _HEADER.pack(kind, len(body) + 4) + body


# --- frontend messages ------------------------------------------------------------------------

SYNC_MESSAGE: Final = message(SYNC)
FLUSH_MESSAGE: Final = message(FLUSH)
TERMINATE_MESSAGE: Final = message(TERMINATE)


def query(text: bytes) -> bytes:
    return b"".join((_HEADER.pack(QUERY, len(text) + 5), text, b"\0"))


def parse(name: bytes, text: bytes, types: Sequence[int] = ()) -> bytes:
    oids = struct.pack(f"!H{len(types)}I", len(types), *types)
    return message(PARSE, name + b"\0" + text + b"\0" + oids)


def bind(
    portal: bytes,
    statement: bytes,
    parameters: Sequence[bytes | None] = (),
    *,
    parameter_formats: Sequence[int] = (),
    result_formats: Sequence[int] = (),
) -> bytes:
    parts = [
        portal + b"\0" + statement + b"\0",
        struct.pack(f"!H{len(parameter_formats)}h", len(parameter_formats), *parameter_formats),
        struct.pack("!H", len(parameters)),
    ]
    parts.extend(
        _INT32.pack(-1) if value is None else _INT32.pack(len(value)) + value
        for value in parameters
    )
    parts.append(struct.pack(f"!H{len(result_formats)}h", len(result_formats), *result_formats))
    return message(BIND, b"".join(parts))


def rebind(whole: bytes, portal: bytes, statement: bytes, other: bytes) -> bytes:
    """A Bind of `portal` and `statement`, of another statement."""
    if other == statement:
        return whole
    rest = whole[5 + len(portal) + 1 + len(statement) :]
    return message(BIND, b"".join((portal, b"\0", other, rest)))


def describe(what: bytes, name: bytes) -> bytes:
    """`what` is b"S" for a prepared statement, b"P" for a portal."""
    return message(DESCRIBE, what + name + b"\0")


def close(what: bytes, name: bytes) -> bytes:
    return message(CLOSE, what + name + b"\0")


def execute(portal: bytes, rows_max: int = 0) -> bytes:
    return message(EXECUTE, portal + b"\0" + _INT32.pack(rows_max))


def read_query(whole: bytes) -> bytes:
    end = len(whole) - 1
    if end < 5 or whole.find(b"\0", 5) != end:
        raise ClientProtocolError("malformed Query message")
    return whole[5:end]


def read_parse(whole: bytes) -> tuple[bytes, bytes, tuple[int, ...]]:
    """Name, text and declared parameter types."""
    name, pos = _cstring(whole, 5)
    text, pos = _cstring(whole, pos)
    if len(whole) < pos + 2:
        raise ClientProtocolError("malformed Parse message")
    count = int.from_bytes(whole[pos : pos + 2], "big")
    if len(whole) != pos + 2 + 4 * count:
        raise ClientProtocolError("malformed Parse message")
    return name, text, struct.unpack_from(f"!{count}I", whole, pos + 2)


def read_bind(whole: bytes) -> tuple[bytes, bytes]:
    """Portal and statement. What follows them is the upstream's to check."""
    portal, pos = _cstring(whole, 5)
    statement, _ = _cstring(whole, pos)
    return portal, statement


def read_target(whole: bytes) -> tuple[int, bytes]:
    """What (`S`tatement or `P`ortal) and name, of Describe and Close."""
    if len(whole) < 7 or whole[5] not in b"SP":
        raise ClientProtocolError("malformed Describe or Close message")
    name, pos = _cstring(whole, 6)
    if pos != len(whole):
        raise ClientProtocolError("malformed Describe or Close message")
    return whole[5], name


def read_execute(whole: bytes) -> tuple[bytes, int]:
    """Portal and row limit (0 or less: all rows)."""
    portal, pos = _cstring(whole, 5)
    if len(whole) != pos + 4:
        raise ClientProtocolError("malformed Execute message")
    return portal, int(_INT32.unpack_from(whole, pos)[0])


def _cstring(data: bytes, pos: int) -> tuple[bytes, int]:
    end = data.find(b"\0", pos)
    if end < 0:
        raise ClientProtocolError("a string in a message is not terminated")
    return data[pos:end], end + 1


# --- backend messages -------------------------------------------------------------------------

AUTHENTICATION_OK: Final = message(AUTHENTICATION, _INT32.pack(0))


PARSE_COMPLETE_MESSAGE: Final = message(PARSE_COMPLETE)


def ready(status: int) -> bytes:
    return message(READY, bytes((status,)))


def parameter_status(name: str, value: str) -> bytes:
    return message(PARAMETER_STATUS, name.encode() + b"\0" + value.encode() + b"\0")


def backend_key(number: int, secret: bytes) -> bytes:
    return message(BACKEND_KEY, struct.pack("!I", number) + secret)


def authentication_sasl(mechanisms: Iterable[str]) -> bytes:
    names = b"".join(name.encode() + b"\0" for name in mechanisms)
    return message(AUTHENTICATION, _INT32.pack(10) + names + b"\0")


def authentication_sasl_continue(data: bytes) -> bytes:
    return message(AUTHENTICATION, _INT32.pack(11) + data)


def authentication_sasl_final(data: bytes) -> bytes:
    return message(AUTHENTICATION, _INT32.pack(12) + data)


def negotiate(minor: int, unknown: Sequence[str]) -> bytes:
    """NegotiateProtocolVersion: the newest minor version spoken here, options not known."""
    names = b"".join(name.encode() + b"\0" for name in unknown)
    return message(NEGOTIATE, struct.pack("!II", 0x30000 | minor, len(unknown)) + names)


def command_complete(tag: str) -> bytes:
    return message(COMMAND_COMPLETE, tag.encode() + b"\0")


def read_tag(whole: bytes) -> str:
    """The command tag of a CommandComplete."""
    if len(whole) < 6 or whole[-1]:
        raise UpstreamProtocolError("malformed CommandComplete message")
    return whole[5:-1].decode("ascii", "replace")


def error(kind: int, fields: Mapping[str, str]) -> bytes:
    """An ErrorResponse (ERROR) or NoticeResponse (NOTICE), fields in the order given."""
    body = b"".join(
        key.encode() + value.replace("\0", "").encode("utf-8", "replace") + b"\0"
        for key, value in fields.items()
    )
    return message(kind, body + b"\0")


def refusal(
    severity: str,
    sqlstate: str,
    text: str,
    *,
    detail: str | None = None,
    hint: str | None = None,
    position: int | None = None,
) -> bytes:
    """An ErrorResponse of our own. `severity` is ERROR or FATAL."""
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": text}
    if detail is not None:
        fields["D"] = detail
    if hint is not None:
        fields["H"] = hint
    if position is not None:
        fields["P"] = str(position)
    return error(ERROR, fields)


def read_fields(whole: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse by their one-letter codes."""
    fields: dict[str, str] = {}
    pos = 5
    while pos < len(whole) and whole[pos]:
        end = whole.find(b"\0", pos + 1)
        if end < 0:
            raise UpstreamProtocolError("malformed error message")
        fields[chr(whole[pos])] = whole[pos + 1 : end].decode("utf-8", "replace")
        pos = end + 1
    return fields


# PostgreSQL reports some fifteen settings of a line each. All that are reported are kept.
PARAMETERS_MAX: Final = 256
_PARAMETER_BYTES_MAX: Final = 16 * 1024


def read_parameter_status(whole: bytes) -> tuple[str, str]:
    parts = whole[5:].split(b"\0") if len(whole) <= _PARAMETER_BYTES_MAX else []
    if len(parts) != 3 or parts[2]:
        raise UpstreamProtocolError("malformed ParameterStatus message")
    return parts[0].decode("utf-8", "replace"), parts[1].decode("utf-8", "replace")


def read_parameter_types(whole: bytes) -> tuple[int, ...]:
    """Type oids of a ParameterDescription."""
    count = int.from_bytes(whole[5:7], "big")
    if len(whole) != 7 + 4 * count:
        raise UpstreamProtocolError("malformed ParameterDescription message")
    return struct.unpack_from(f"!{count}I", whole, 7)


def read_status(whole: bytes) -> int:
    """The transaction status of a ReadyForQuery."""
    if len(whole) != 6 or whole[5] not in (IDLE, IN_BLOCK, FAILED):
        raise UpstreamProtocolError("malformed ReadyForQuery message")
    return whole[5]


def read_columns(whole: bytes) -> list[tuple[str, int, int]]:
    """Name, type oid and type modifier of each column of a RowDescription."""
    columns: list[tuple[str, int, int]] = []
    pos = 7
    for _ in range(int.from_bytes(whole[5:7], "big")):
        end = whole.find(b"\0", pos)
        if end < 0 or len(whole) < end + 1 + _FIELD.size:
            raise UpstreamProtocolError("malformed RowDescription message")
        _, _, oid, _, modifier, _ = _FIELD.unpack_from(whole, end + 1)
        columns.append((whole[pos:end].decode("utf-8", "replace"), oid & 0xFFFFFFFF, modifier))
        pos = end + 1 + _FIELD.size
    return columns


def read_row(data: bytes, pos: int) -> tuple[list[bytes | None], int]:
    """The values of the DataRow that starts at `pos`, and where the next message starts."""
    end = pos + 1 + int.from_bytes(data[pos + 1 : pos + 5], "big")
    values: list[bytes | None] = []
    at = pos + 7
    for _ in range(int.from_bytes(data[pos + 5 : pos + 7], "big")):
        if at + 4 > end:
            break
        length = _INT32.unpack_from(data, at)[0]
        at += 4
        if length < 0:
            values.append(None)
        else:
            values.append(data[at : at + length])
            at += length
    else:
        if at == end:
            return values, end
    raise UpstreamProtocolError("malformed DataRow message")
