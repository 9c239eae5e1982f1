"""PostgreSQL's text of arrays, `{1,NULL,"a b"}`: read into JSON, and written from it.

The rules are the manual's, "Array Input and Output Syntax": an element is quoted where it is
empty, holds a brace, the delimiter, a quote, a backslash or white space, or reads `NULL`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from proxy.errors import UpstreamProtocolError

_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)


@lru_cache(maxsize=8)
def _tokens(delimiter: bytes) -> re.Pattern[bytes]:
    quoted = rb'"((?:[^"\\]|\\.)*)"'
    plain = rb"([^{}\"" + re.escape(delimiter) + rb"]+)"
    return re.compile(quoted + b"|" + plain + rb"|([{}])|" + re.escape(delimiter), re.DOTALL)


def array_json(text: bytes, delimiter: bytes, element: Callable[[bytes], bytes]) -> bytes:
    """The array as JSON. `element` makes JSON of one element's text; NULL is null."""
    if text.startswith(b"["):
        # Bounds other than 1 come before the array ([0:2]={…}); JSON has no place for them.
        text = text[text.index(b"=") + 1 :]
    parts: list[bytes] = []
    at = 0
    for match in _tokens(delimiter).finditer(text):
        if match.start() != at:
            raise UpstreamProtocolError("malformed array")
        at = match.end()
        quoted, plain, brace = match.groups()
        if quoted is not None:
            parts.append(element(_ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted))
        elif plain is not None:
            parts.append(b"null" if plain == b"NULL" else element(plain))
        elif brace is not None:
            parts.append(b"[" if brace == b"{" else b"]")
        else:
            parts.append(b",")
    if at != len(text) or not parts:
        raise UpstreamProtocolError("malformed array")
    return b"".join(parts)


def array_literal(items: Sequence[object], element: Callable[[object], str | None]) -> str:
    """The array literal of a list, of lists within it too. `element` makes an element's text."""
    return "{" + ",".join(_literal(item, element) for item in items) + "}"


def _literal(item: object, element: Callable[[object], str | None]) -> str:
    if isinstance(item, list):
        return array_literal(item, element)
    text = element(item)
    if text is None:
        return "NULL"
    # Quoted always: there is no element for which that would be wrong.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
