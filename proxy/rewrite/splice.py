"""Guards put into the canonical text at the places that sqlglot found; all else stays as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.errors import Reason, Refused
from proxy.sql.resolve import RelationPlace, SchemaPlace

_ONLY: Final = re.compile(r"\bONLY\s+\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stand:
    """What stands in for one relation: the guard's text (without parentheses) and its alias."""

    text: str
    alias: str
    is_lateral: bool = False


def quoted(name: str) -> str:
    """An identifier, quoted as PostgreSQL's quote_ident would when it must."""
    return '"' + name.replace('"', '""') + '"'


def without_only(text: str, place: RelationPlace) -> tuple[int, int, str]:
    """The edit that leaves out the ONLY before a relation."""
    before = _ONLY.search(text[: place.start])
    if before is None:
        raise Refused(Reason.READERS_DISAGREE, "ONLY is not found before its relation")
    return before.start(), place.start, ""


def splice(
    text: str,
    relations: Sequence[RelationPlace],
    stands: Sequence[Stand],
    schemas: Sequence[SchemaPlace],
    names: Sequence[str],
    others: Sequence[tuple[int, int, str]] = (),
) -> str:
    """The text with each relation replaced by its stand and each column's `schema.relation` by the
    guard's name (both in the same order), and with the other edits: start, end, replacement.
    """
    edits = list(others)
    for column, name in zip(schemas, names, strict=True):
        edits.append((column.start, column.end, quoted(name)))
    for place, stand in zip(relations, stands, strict=True):
        lateral = "LATERAL " if stand.is_lateral else ""
        alias = "" if place.has_alias else f" AS {quoted(stand.alias)}"
        edits.append((place.start, place.end, f"{lateral}({stand.text}){alias}"))
    edits.sort()
    pieces: list[str] = []
    at = 0
    for start, end, replacement in edits:
        if start < at or end < start or end > len(text):
            raise Refused(Reason.READERS_DISAGREE, "the second reader's positions overlap")
        pieces.append(text[at:start])
        pieces.append(replacement)
        at = end
    pieces.append(text[at:])
    return "".join(pieces)
