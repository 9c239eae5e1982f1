"""Values of a result: from PostgreSQL's text to JSON and to CSV fields.

The upstream session runs with TimeZone UTC, DateStyle ISO and bytea_output hex, so the texts are
known. What JSON's numbers can not carry exactly is a string; every type that is not listed here
is PostgreSQL's own text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from proxy.gateway.array_text import array_json

Encoder = Callable[[bytes], bytes]

# IEEE doubles hold every whole number up to here, and JSON's readers use doubles (RFC 8259, 6).
_EXACT_MAX: Final = 2**53
_SPECIAL: Final = re.compile(rb'[\x00-\x1f"\\]')
_QUOTED_IN_CSV: Final = re.compile(rb'[",\r\n]')


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnType:
    """The type of a column: what it is called, and how its values are read.

    `element` is the oid of an array's elements (a domain's base type), None where it is no array.
    """

    name: str
    oid: int
    element: int | None = None
    delimiter: bytes = b","


@dataclass(frozen=True, slots=True)
class _Form:
    """`show` gives the text that is shown; `is_bare` tells whether that is JSON as it stands."""

    show: Encoder
    is_bare: Callable[[bytes], bool]


def _same(value: bytes) -> bytes:
    return value


def _always(_: bytes) -> bool:
    return True


def _never(_: bytes) -> bool:
    return False


def _show_boolean(value: bytes) -> bytes:
    return b"true" if value == b"t" else b"false"


def _is_exact(value: bytes) -> bool:
    return len(value) < 16 or abs(int(value)) <= _EXACT_MAX


def _is_finite(value: bytes) -> bool:
    return value[-1:] not in (b"N", b"y")  # NaN, Infinity, -Infinity


def _show_instant(value: bytes) -> bytes:
    # infinity and years before Christ have no ISO 8601 form that everybody reads.
    if not value.endswith(b"+00"):
        return value
    return value[:-3].replace(b" ", b"T", 1) + b"Z"


def _show_local_time(value: bytes) -> bytes:
    return value if value.endswith((b"y", b"C")) else value.replace(b" ", b"T", 1)


def _show_bytes(value: bytes) -> bytes:
    return base64.b64encode(bytes.fromhex(value[2:].decode("ascii")))


def _show_json(value: bytes) -> bytes:
    # Line breaks stand only between JSON's tokens, and NDJSON ends a row with one.
    return value.replace(b"\n", b" ").replace(b"\r", b" ")


_TEXT: Final = _Form(_same, _never)
_INTEGER: Final = _Form(_same, _always)
_FLOAT: Final = _Form(_same, _is_finite)
_JSON: Final = _Form(_show_json, _always)

# By type oid (pg_type.dat): they are the same in every version.
_FORMS: Final[Mapping[int, _Form]] = {
    16: _Form(_show_boolean, _always),  # bool
    17: _Form(_show_bytes, _never),  # bytea
    20: _Form(_same, _is_exact),  # int8
    21: _INTEGER,  # int2
    23: _INTEGER,  # int4
    26: _INTEGER,  # oid
    114: _JSON,  # json
    700: _FLOAT,  # float4
    701: _FLOAT,  # float8
    1114: _Form(_show_local_time, _never),  # timestamp
    1184: _Form(_show_instant, _never),  # timestamptz
    3802: _JSON,  # jsonb
}


def quoted(text: bytes) -> bytes:
    """A JSON string of UTF-8 text."""
    if text.isascii() and _SPECIAL.search(text) is None:
        return b'"' + text + b'"'
    # A database in SQL_ASCII may send anything; JSON is UTF-8.
    return orjson.dumps(text.decode("utf-8", "replace"))


def json_encoder(kind: ColumnType) -> Encoder:
    """Makes the JSON of a value that is not NULL."""
    if kind.element is not None:
        delimiter, element = kind.delimiter, _scalar_encoder(kind.element)
        return lambda value: array_json(value, delimiter, element)
    return _scalar_encoder(kind.oid)


def _scalar_encoder(oid: int) -> Encoder:
    form = _FORMS.get(oid, _TEXT)
    show, is_bare = form.show, form.is_bare
    if form is _TEXT:
        return quoted
    if is_bare is _always:
        return show
    if is_bare is _never:
        return lambda value: quoted(show(value))

    def encode(value: bytes) -> bytes:
        shown = show(value)
        return shown if is_bare(shown) else quoted(shown)

    return encode


def csv_encoder(kind: ColumnType) -> Encoder:
    """Makes the CSV field of a value that is not NULL (an empty text is `""`, NULL is nothing)."""
    show = json_encoder(kind) if kind.element is not None else _FORMS.get(kind.oid, _TEXT).show
    return lambda value: csv_field(show(value))


def csv_field(text: bytes) -> bytes:
    """One field as RFC 4180 quotes it."""
    if text and _QUOTED_IN_CSV.search(text) is None:
        return text
    return b'"' + text.replace(b'"', b'""') + b'"'
