"""The relations and columns of an access, as a record lists them, and how they are split.

One entry per relation:

    {"table": "crm.customers", "shown": ["id"], "guarded": {"email": "email"},
     "masked": {"phone": "last4"}, "absent": ["note"],
     "categories": {"email": "user.contact.email", "phone": "user.contact.phone_number"}}

`guarded` columns show the value where the purpose is in force for the row's data subject and the
mask elsewhere: whoever asks what could have been read counts them as shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from proxy.access_log.canonical import RECORD_BYTES_MAX, RecordError, encode
from proxy.rewrite.plan import ColumnUse, TableUse

STATEMENT_BYTES_MAX: Final = 8 * 1024
# All fields of an intent but `tables` and `statement`, at their longest.
_OTHER_FIELDS_BYTES: Final = 3584
_PART_BYTES_MAX: Final = RECORD_BYTES_MAX - 1024
# Entries are halved until they are this small, so that one always fits beside a long statement.
_ENTRY_BYTES_MAX: Final = RECORD_BYTES_MAX - _OTHER_FIELDS_BYTES - STATEMENT_BYTES_MAX - 256
# A policy's `constant(…)` may be of any length; the log need only tell which mask it was.
_MASK_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Tables:
    """The encoded entries: what the record itself holds, then what each `access.more` holds."""

    parts: tuple[orjson.Fragment, ...]


def column_key(name: str) -> str:
    r"""A column's name as records write it: ASCII, as keys of records must be.

    Other characters are written as in PostgreSQL's own `U&"…"` notation (`pr\00E9nom`), and a
    backslash is doubled. Two columns never get the same key.
    """
    if name.isascii() and "\\" not in name:
        return name
    return "".join(map(_escape, name))


def _escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isascii():
        return character
    code = ord(character)
    return f"\\{code:04X}" if code <= 0xFFFF else f"\\+{code:06X}"


def table_entry(use: TableUse) -> dict[str, object]:
    shown: list[str] = []
    absent: list[str] = []
    guarded: dict[str, str] = {}
    masked: dict[str, str] = {}
    categories: dict[str, str] = {}
    for column in use.columns:
        key = column_key(column.name)
        match column.verdict:
            case "shown":
                shown.append(key)
            case "guarded":
                guarded[key] = _mask(column)
            case "masked":
                masked[key] = _mask(column)
            case "absent":
                absent.append(key)
            case _:
                raise RecordError("a column has an unknown verdict")
        if column.category is not None:
            categories[key] = column.category
    return {
        "table": use.name,
        "shown": shown,
        "guarded": guarded,
        "masked": masked,
        "absent": absent,
        "categories": categories,
    }


def _mask(column: ColumnUse) -> str:
    return "null" if column.mask is None else column.mask[:_MASK_CHARACTERS_MAX]


def cut_statement(text: str) -> tuple[str, bool]:
    """The statement's beginning that takes at most 8 KiB of a record, and whether it was cut."""
    length = len(text)
    while len(encode(text[:length])) > STATEMENT_BYTES_MAX + 2:  # and its two quotes
        # Each character takes at least one byte, so this never cuts below what would fit by more
        # than the escapes need; it ends, as length falls each time.
        excess = len(encode(text[:length])) - STATEMENT_BYTES_MAX - 2
        length -= max(1, excess // 6)
    return text[:length], length < len(text)


def encode_tables(uses: Sequence[TableUse], statement: str) -> Tables:
    """The entries for these relations, split so that every record stays within its 16 KiB.

    A relation that is too large alone is listed in several entries, each with some of its columns.
    """
    room = RECORD_BYTES_MAX - _OTHER_FIELDS_BYTES - len(encode(statement))
    whole = encode([table_entry(use) for use in uses])
    if len(whole) <= room:
        return Tables((orjson.Fragment(whole),))
    return Tables(tuple(orjson.Fragment(part) for part in _pack(_small_entries(uses), room)))


def _small_entries(uses: Iterable[TableUse]) -> Iterable[bytes]:
    for use in uses:
        entry = encode(table_entry(use))
        if len(entry) <= _ENTRY_BYTES_MAX:
            yield entry
        elif len(use.columns) > 1:
            middle = len(use.columns) // 2
            yield from _small_entries(
                TableUse(name=use.name, columns=half)
                for half in (use.columns[:middle], use.columns[middle:])
            )
        else:
            raise RecordError("the names of one column are larger than a record")


def _pack(entries: Iterable[bytes], room: int) -> Iterable[bytes]:
    part: list[bytes] = []
    size = 2  # the brackets
    for entry in entries:
        if size + len(entry) + 1 > room:
            yield b"[" + b",".join(part) + b"]"
            part, size, room = [], 2, _PART_BYTES_MAX
        part.append(entry)
        size += len(entry) + 1
    yield b"[" + b",".join(part) + b"]"
