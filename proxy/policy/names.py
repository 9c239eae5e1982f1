"""Names as PostgreSQL reads them, written in a policy: folded, or quoted inside the YAML text."""

from __future__ import annotations

import re
from typing import Final

from proxy.policy.model import ColumnName, RelationName

# NAMEDATALEN - 1. PostgreSQL cuts longer names short without a word; a policy that names
# something else than it says is refused instead.
NAME_BYTES_MAX: Final = 63

# An identifier as in scan.l (ident_start, ident_cont), or a quoted one with "" for a quote.
_PART = re.compile(
    r'(?P<plain>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)|"(?P<quoted>(?:[^"\0]|"")+)"'
)
_NEEDS_NO_QUOTES = re.compile(r"[a-z_][a-z0-9_]*")
# PostgreSQL folds A-Z only; what str.lower() does to other letters would name something else.
_FOLD = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

# Relations of these schemas are shown, guarded, by a list of the proxy's own (or not at all):
# no policy can open them.
_RESERVED_SCHEMAS: Final = frozenset({"information_schema", "consent"})


def parse_name(text: str) -> tuple[str, ...]:
    """The parts of a possibly qualified SQL name, folded. ValueError tells what is wrong."""
    parts: list[str] = []
    position = 0
    while True:
        match = _PART.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is not a name as SQL writes it")
        plain = match["plain"]
        part = match["quoted"].replace('""', '"') if plain is None else plain.translate(_FOLD)
        if len(part.encode()) > NAME_BYTES_MAX:
            raise ValueError(f"{text!r} is longer than PostgreSQL's {NAME_BYTES_MAX} bytes")
        parts.append(part)
        position = match.end()
        if position == len(text):
            return tuple(parts)
        if text[position] != ".":
            raise ValueError(f"{text!r} is not a name as SQL writes it")
        position += 1


def parse_column(text: str) -> str:
    """One unqualified column name."""
    parts = parse_name(text)
    if len(parts) != 1:
        raise ValueError(f"expected the name of a column, found {text!r}")
    return parts[0]


def parse_relation(text: str) -> RelationName:
    """`schema.table`; schemas that no policy can open are refused."""
    parts = parse_name(text)
    if len(parts) != 2:
        raise ValueError(f"expected schema.table, found {text!r}")
    refuse_reserved_schema(parts[0])
    return RelationName(*parts)


def parse_column_of(text: str) -> ColumnName:
    """`schema.table.column`."""
    parts = parse_name(text)
    if len(parts) != 3:
        raise ValueError(f"expected schema.table.column, found {text!r}")
    refuse_reserved_schema(parts[0])
    return ColumnName(RelationName(parts[0], parts[1]), parts[2])


def refuse_reserved_schema(schema: str) -> None:
    """ValueError for a schema of the system's or of the proxy's own."""
    if schema in _RESERVED_SCHEMAS or schema.startswith("pg_"):
        raise ValueError(f"schema {schema} can not be named in a policy")


def quote(name: str) -> str:
    """A folded name as SQL would write it: quoted only where it must be."""
    if _NEEDS_NO_QUOTES.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def relation_text(name: RelationName) -> str:
    """`schema.table`, quoted where needed: two relations never look alike."""
    return f"{quote(name.schema)}.{quote(name.name)}"
