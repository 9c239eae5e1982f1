"""A statement as the access log may hold it: no literal, no name that a tool made up.

Every literal becomes `?`, every identifier that is no name of the policy or of PostgreSQL's
catalog becomes `i1`, `i2` … (the same name the same number). Words of the grammar stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from proxy.sql.grammar import scan

STATEMENT_BYTES_MAX: Final = 8 * 1024  # access-log.md: "at most 8 KiB"
_LITERALS: Final = frozenset(["SCONST", "USCONST", "BCONST", "XCONST", "FCONST", "ICONST"])
_COMMENTS: Final = frozenset(["SQL_COMMENT", "C_COMMENT"])


@dataclass(frozen=True, slots=True)
class Normalised:
    text: str  # at most 8 KiB
    shape: str  # SHA-256, hex, of the whole


def normalise(text: str, known: Container[str]) -> Normalised:
    """`known`: the identifiers that may stay, as PostgreSQL stores them."""
    pieces: list[str] = []
    numbers: dict[str, int] = {}
    at = 0
    for token in scan(text):
        pieces.append(text[at : token.start])
        written = text[token.start : token.end]
        at = token.end
        if token.name in _COMMENTS:
            continue
        if token.name in _LITERALS:
            pieces.append("?")
        elif token.name in ("IDENT", "UIDENT"):
            name = _stored(written)
            if name in known:
                pieces.append(name)
            else:
                pieces.append(f"i{numbers.setdefault(name, len(numbers) + 1)}")
        else:
            pieces.append(written)
    pieces.append(text[at:])
    whole = "".join(pieces)
    cut = whole.encode()[:STATEMENT_BYTES_MAX].decode(errors="ignore")
    return Normalised(cut, hashlib.sha256(whole.encode()).hexdigest())


def _stored(written: str) -> str:
    if written.startswith('"') and written.endswith('"'):
        return written[1:-1].replace('""', '"')
    return written.lower() if written.isascii() else written
