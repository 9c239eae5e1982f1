"""The key that identifies a data subject: its type in the database, and values of that type."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Final

from proxy.consent.errors import WrongSubject
from proxy.policy.model import ColumnName

SubjectId = int | str | uuid.UUID

_INTEGER_BITS: Final = {"smallint": 16, "integer": 32, "bigint": 64}
_TEXTS: Final = frozenset({"text", "character varying"})
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
# PostgreSQL takes more spellings of a uuid; two spellings of one person are one too many.
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# A key goes into a B-tree, whose entries end at 2,704 bytes (nbtree, BTMaxItemSize).
TEXT_BYTES_MAX: Final = 1024

SUPPORTED: Final = (*_INTEGER_BITS, *sorted(_TEXTS), "uuid")


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """The type of the policy's `subject: key`, as SQL names it, without a length.

    `collation` is qualified and quoted; None is the type's own.
    """

    type_sql: str
    collation: str | None = None

    def read(self, value: object) -> SubjectId:
        """The value as the key's type; WrongSubject for anything that is not exactly one.

        Decimal text is taken for an integer (a path or a CSV field has no numbers); a number is
        never taken for text, as `7` and `007` could then be one person.
        """
        if self.type_sql in _INTEGER_BITS:
            return self._read_integer(value)
        if self.type_sql == "uuid":
            return self._read_uuid(value)
        return self._read_text(value)

    def _read_integer(self, value: object) -> int:
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        limit = 1 << (_INTEGER_BITS[self.type_sql] - 1)
        if isinstance(value, bool) or not isinstance(value, int) or not -limit <= value < limit:
            raise WrongSubject(f"the subject must be a whole number ({self.type_sql})")
        return value

    def _read_uuid(self, value: object) -> uuid.UUID:
        if isinstance(value, uuid.UUID):
            # asyncpg has a class of its own; two events of one person must compare equal.
            return uuid.UUID(int=value.int)
        if not isinstance(value, str) or not _UUID.fullmatch(value):
            raise WrongSubject("the subject must be a UUID written 8-4-4-4-12")
        return uuid.UUID(value)

    def _read_text(self, value: object) -> str:
        if not isinstance(value, str) or not value:
            raise WrongSubject("the subject must be a non-empty string")
        # PostgreSQL's text holds neither NUL nor half of a surrogate pair.
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise WrongSubject("the subject holds a character that the database has not")
        if len(value.encode()) > TEXT_BYTES_MAX:
            raise WrongSubject(f"the subject must not be longer than {TEXT_BYTES_MAX} bytes")
        return value


def subject_key(column: ColumnName, type_sql: str, collation: str | None = None) -> SubjectKey:
    """The key for a column of this type (`format_type`, with or without a length)."""
    plain = re.sub(r"\([0-9]+\)$", "", type_sql)
    if plain not in SUPPORTED:
        raise WrongSubject(
            f"{column} is of type {type_sql}; the ledger keeps keys of type {', '.join(SUPPORTED)}"
        )
    return SubjectKey(plain, collation if plain in _TEXTS else None)
