"""A statement as the access log may hold it: no literal, no name that a tool made up.

Every literal becomes `?`, every identifier that is no name of the policy or of PostgreSQL's
catalog becomes `i1`, `i2` … (the same name the same number). Words of the grammar stay.

Usual text is cut into tokens by one pattern; what the pattern does not know for sure, and all
that it does not know, PostgreSQL's scanner cuts. Both ways give the same (the tests compare them).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from postgast import pg_query_pb2

from proxy.sql.grammar import scan

STATEMENT_BYTES_MAX: Final = 8 * 1024  # access-log.md: "at most 8 KiB"
_LITERALS: Final = frozenset(["SCONST", "USCONST", "BCONST", "XCONST", "FCONST", "ICONST"])
_COMMENTS: Final = frozenset(["SQL_COMMENT", "C_COMMENT"])

# Words first, as most tokens are. None is cut shorter than it stands (possessive quantifiers), and
# none stands at a quote: `E'…'`, `B'…'`, `U&'…'` are for the scanner.
_USUAL: Final = re.compile(
    r"""
    (?P<word>[A-Za-z_][A-Za-z0-9_]*+(?!['"$]))
    | (?P<literal>'[^'\\]*+(?:''[^'\\]*+)*+'(?!\s*['"]) | [0-9]++(?:\.[0-9]++)?+(?![A-Za-z0-9_.]))
    | (?P<quoted>"[^"]++(?:""[^"]*+)*+")
    | \$[0-9]++(?![A-Za-z0-9_$])
    | (?P<unusual>[^\t\n\r -~] | [\\$'"0-9A-Za-z_] | -- | /\* | &(?=['"]) | \.(?=[0-9]))
    """,
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Normalised:
    text: str  # at most 8 KiB
    shape: str  # SHA-256, hex, of the whole


class UnusualError(Exception):
    """The pattern is not sure of a text."""


def normalise(text: str, known: Container[str]) -> Normalised:
    """`known`: the identifiers that may stay, as PostgreSQL stores them."""
    try:
        whole = cut_by_pattern(text, known)
    except UnusualError:
        whole = cut_by_scanner(text, known)
    cut = whole.encode()[:STATEMENT_BYTES_MAX].decode(errors="ignore")
    return Normalised(cut, hashlib.sha256(whole.encode()).hexdigest())


def cut_by_pattern(text: str, known: Container[str]) -> str:
    """Raises UnusualError for a text that the pattern might cut in other places."""
    names = _Names(known)

    def replace(token: re.Match[str]) -> str:
        written = token[0]
        kind = token.lastgroup
        if kind == "word":  # as most are
            lower = written.lower()
            if lower in _KEYWORDS:
                return written
            return lower if lower in known else names.of(lower)
        match kind:
            case "literal":
                return "?"
            case "quoted":
                return names.of(_stored(written))
            case "unusual":
                raise UnusualError
            case _:  # a parameter
                return written

    return _USUAL.sub(replace, text)


def cut_by_scanner(text: str, known: Container[str]) -> str:
    names = _Names(known)
    pieces: list[str] = []
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
            pieces.append(names.of(_stored(written)))
        else:
            pieces.append(written)
    pieces.append(text[at:])
    return "".join(pieces)


class _Names:
    """What stands for each identifier of one statement."""

    __slots__ = ("_known", "_numbers")

    def __init__(self, known: Container[str]) -> None:
        self._known = known
        self._numbers: dict[str, int] = {}

    def of(self, name: str) -> str:
        if name in self._known:
            return name
        return f"i{self._numbers.setdefault(name, len(self._numbers) + 1)}"


def _stored(written: str) -> str:
    if written.startswith('"') and written.endswith('"'):
        return written[1:-1].replace('""', '"')
    return written.lower() if written.isascii() else written


def _keywords() -> frozenset[str]:
    """The grammar's words; each has a token of its name, or of its name and a mark."""
    names = (name.lower() for name in pg_query_pb2.Token.keys())  # noqa: SIM118 - not a mapping
    words = " ".join(re.sub(r"_(p|la)\Z", "", name) for name in names)
    return frozenset(words[t.start : t.end] for t in scan(words) if t.is_keyword)


_KEYWORDS: Final = _keywords()
