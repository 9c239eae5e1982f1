"""PostgreSQL's own grammar (libpg_query, bound by postgast): the first reader, and the last.

Trees are JSON values as libpg_query prints them: `{"SelectStmt": {"targetList": […], …}}`. They
are read as plain dicts, because postgast's protobuf classes stop at 100 nested messages, which
is 45 nested operations. Canonical text comes from libpg_query's deparser without ever becoming a
Python tree.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import orjson
import postgast
from postgast import pg_query_pb2
from postgast.errors import check_error
from postgast.native import PgQueryProtobuf, lib

from proxy.errors import Reason, Refused

Tree = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RawStatement:
    """One statement of a query string: its kind, its tree and its own text."""

    kind: str  # the node's name: SelectStmt, CopyStmt, …
    node: Tree  # the node's fields
    text: str

    @cached_property
    def canonical(self) -> str:
        """The statement as PostgreSQL's deparser prints it: no comments, one spelling."""
        return _deparse(_parse_protobuf(_encode(self.text)))


class Token(NamedTuple):
    """A token of PostgreSQL's scanner; offsets are characters."""

    start: int
    end: int
    name: str  # IDENT, SCONST, ICONST, PARAM, SELECT, ASCII_40 …
    is_keyword: bool
    is_reserved: bool


def parse(text: str) -> list[RawStatement]:
    """Read a query string; none, one or several statements.

    Raises Refused(syntax) with PostgreSQL's own message, as PostgreSQL would reject the text, and
    Refused(statement_too_deep) where the tree nests deeper than can be walked.
    """
    if "\0" in text:
        # libpg_query takes a C string: whatever stands behind the NUL would go unread.
        raise Refused(Reason.NOT_UNDERSTOOD, "the statement contains a NUL character")
    encoded = _encode(text)
    statements: list[Tree] = load_tree(_print_json(encoded)).get("stmts", [])
    if len(statements) == 1:
        return [_raw_statement(statements[0], text)]
    result = []
    for statement in statements:
        start = statement.get("stmt_location", 0)
        length = statement.get("stmt_len", 0)
        end = start + length if length else len(encoded)
        result.append(_raw_statement(statement, encoded[start:end].decode()))
    return result


def parse_query(text: str) -> Tree:
    """The tree of exactly one statement, as `{"SelectStmt": {…}}`: for text that we made."""
    return load_tree(print_query(text))


def print_query(text: str) -> bytes:
    """The tree of exactly one statement as libpg_query prints it (JSON): for text that we made."""
    printed = _print_json(_encode(text))
    before = _printed_version() + _ONE_STATEMENT
    # Of several statements, the last one has a place of its own behind its tree.
    if not printed.startswith(before) or not printed.endswith(_END_OF_TREE + _END):
        raise Refused(Reason.READERS_DISAGREE, "the rewritten text is not one statement")
    return printed[len(before) : -len(_END)]


def load_tree(printed: bytes) -> Tree:
    """A tree as libpg_query prints it, read; raises Refused(statement_too_deep)."""
    try:
        tree: Tree = orjson.loads(printed)
    except orjson.JSONDecodeError:
        # orjson reads at most 1,024 levels; a statement that nests deeper is not a person's.
        raise Refused(Reason.STATEMENT_TOO_DEEP, "the statement nests too deeply") from None
    return tree


@functools.cache
def grammar_major() -> int:
    """The PostgreSQL whose grammar this is: 18."""
    version: int = load_tree(_print_json(b""))["version"]
    return version // 10_000


def canonical_inner(text: str, kind: str) -> str:
    """The canonical text of the query inside a COPY, DECLARE, PREPARE or EXPLAIN statement.

    The query's tree is taken out of PostgreSQL's tree; text is never cut.
    """
    message = _parse_protobuf(_encode(text))
    raw = _field(message, _STMTS)
    statement = _field(_field(raw, _STMT), _NODE_FIELDS[kind])
    query = _field(statement, _QUERY_FIELDS[kind])
    return _deparse(_wrap(_STMTS, _wrap(_STMT, query)))


def scan(text: str) -> list[Token]:
    """The tokens of PostgreSQL's scanner, comments included."""
    encoded = _encode(text)
    try:
        tokens = postgast.scan(text).tokens
    except postgast.PgQueryError as error:
        raise _syntax(error) from None
    found = [
        Token(
            token.start,
            token.end,
            _TOKEN_NAMES.get(token.token, ""),  # no statement has one without a name
            token.keyword_kind != pg_query_pb2.NO_KEYWORD,
            token.keyword_kind == pg_query_pb2.RESERVED_KEYWORD,
        )
        for token in tokens
    ]
    if len(text) == len(encoded):
        return found
    # Where each byte offset is in characters: tokens come in order and do not overlap.
    characters, at = 0, 0
    moved = []
    for token in found:
        characters += len(encoded[at : token.start].decode())
        length = len(encoded[token.start : token.end].decode())
        moved.append(token._replace(start=characters, end=characters + length))
        characters, at = characters + length, token.end
    return moved


_TOKEN_NAMES: Final[dict[int, str]] = {number: name for name, number in pg_query_pb2.Token.items()}


# --- libpg_query -----------------------------------------------------------------------------


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Refused(Reason.NOT_UNDERSTOOD, "the statement is not valid UTF-8") from None


def _syntax(error: postgast.PgQueryError) -> Refused:
    return Refused(Reason.SYNTAX, error.message, position=error.cursorpos or None)


_ONE_STATEMENT: Final = b',"stmts":[{"stmt":'
_END_OF_TREE: Final = b"}}"
_END: Final = b"}]}"


def _print_json(encoded: bytes) -> bytes:
    """`{"version":180000,"stmts":[{"stmt":{"SelectStmt":{…}},"stmt_len":9}, …]}`"""
    result = lib.pg_query_parse(encoded)
    try:
        check_error(result)
        printed: bytes = result.parse_tree
    except postgast.PgQueryError as error:
        raise _syntax(error) from None
    finally:
        lib.pg_query_free_parse_result(result)
    return printed


@functools.cache
def _printed_version() -> bytes:
    return _print_json(b"").partition(b",")[0]


def _raw_statement(statement: Tree, text: str) -> RawStatement:
    ((kind, node),) = statement["stmt"].items()
    return RawStatement(kind=kind, node=node, text=text)


def _parse_protobuf(encoded: bytes) -> bytes:
    result = lib.pg_query_parse_protobuf(encoded)
    try:
        check_error(result)
        return ctypes.string_at(result.parse_tree.data, result.parse_tree.len)
    except postgast.PgQueryError as error:
        raise _syntax(error) from None
    finally:
        lib.pg_query_free_protobuf_parse_result(result)


def _deparse(message: bytes) -> str:
    # A pointer into the message itself, which is only read; a buffer would be a type of its own for
    # each new length.
    data = ctypes.cast(ctypes.c_char_p(message), ctypes.c_void_p).value
    result = lib.pg_query_deparse_protobuf(PgQueryProtobuf(len=len(message), data=data))
    try:
        check_error(result)
        text: bytes = result.query
        return text.decode()
    except postgast.PgQueryError:
        raise Refused(Reason.NOT_UNDERSTOOD, "the statement can not be printed back") from None
    finally:
        lib.pg_query_free_deparse_result(result)


# --- protobuf's wire format, as much of it as taking one message out of another needs ---------

_NODE: Final = pg_query_pb2.Node.DESCRIPTOR.fields_by_name
_STMTS: Final = pg_query_pb2.ParseResult.DESCRIPTOR.fields_by_name["stmts"].number
_STMT: Final = pg_query_pb2.RawStmt.DESCRIPTOR.fields_by_name["stmt"].number
_NODE_FIELDS: Final = {
    "CopyStmt": _NODE["copy_stmt"].number,
    "DeclareCursorStmt": _NODE["declare_cursor_stmt"].number,
    "PrepareStmt": _NODE["prepare_stmt"].number,
    "ExplainStmt": _NODE["explain_stmt"].number,
}
_QUERY_FIELDS: Final = {
    "CopyStmt": pg_query_pb2.CopyStmt.DESCRIPTOR.fields_by_name["query"].number,
    "DeclareCursorStmt": pg_query_pb2.DeclareCursorStmt.DESCRIPTOR.fields_by_name["query"].number,
    "PrepareStmt": pg_query_pb2.PrepareStmt.DESCRIPTOR.fields_by_name["query"].number,
    "ExplainStmt": pg_query_pb2.ExplainStmt.DESCRIPTOR.fields_by_name["query"].number,
}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _field(message: bytes, number: int) -> bytes:
    """The first length-delimited field of that number."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        else:
            length, at = _varint(message, at)
            if tag >> 3 == number:
                return message[at : at + length]
            at += length
    raise Refused(Reason.NOT_UNDERSTOOD, "the statement holds no query")


def _wrap(number: int, message: bytes) -> bytes:
    header = bytearray([(number << 3) | _LENGTH])  # field numbers used here are below 16
    length = len(message)
    while length >= 0x80:
        header.append((length & 0x7F) | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header) + message
