"""Where relations stand in the canonical text, read from sqlglot's tree.

sqlglot's identifiers carry character offsets; guards are put exactly there. Which names are
relations follows PostgreSQL's scoping of WITH, written out here: `sqlglot.optimizer.scope` misses
relations (research: it leaked). `read.py` reads the same from PostgreSQL's tree, independently.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Final

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError

from proxy.errors import Reason, Refused
from proxy.sql.plainer import plainer

# sqlglot logs what it falls back on; such statements are refused here, and the log is ours.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

# PostgreSQL folds A–Z only, in every locale of a UTF-8 database, and cuts at 63 bytes
# (scansup.c, NAMEDATALEN); str.lower() would fold 'K' (Kelvin) and 'İ' too.
_ARRAY_CAST: Final = re.compile(r"::[a-z_][a-z0-9_.]{2,}(?=\[\])")
_FOLD: Final = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


# What a tree is mostly made of, and holds no relation.
_LEAVES: Final = frozenset({exp.Identifier, exp.Literal, exp.Star, str, bool, type(None)})

# Both start afresh with each text; to make them takes as long as to read a short one.
_DIALECT: Final = Dialect.get_or_raise("postgres")
_TOKENIZER: Final = _DIALECT.tokenizer()
_PARSER: Final = _DIALECT.parser()


@dataclass(frozen=True, slots=True)
class RelationPlace:
    """A relation in the text: `text[start:end]` is its name, schema included."""

    schema: str | None
    name: str
    start: int
    end: int
    has_alias: bool


@dataclass(frozen=True, slots=True)
class SchemaPlace:
    """The `schema.relation` of a `schema.relation.column`: `text[start:end]`."""

    schema: str
    name: str
    start: int
    end: int


def fold(identifier: exp.Identifier) -> str:
    """An identifier as PostgreSQL stores it."""
    name: str = identifier.this
    if not identifier.args.get("quoted"):
        name = name.translate(_FOLD)
    return name.encode()[:63].decode(errors="ignore")


def _with_known_array_types(text: str) -> str:
    """`::oid[]` as `::int[]`, of the same length: sqlglot reads arrays of types it knows only.

    This text is for finding places; it goes nowhere, and what is found is checked against
    PostgreSQL's reading of the real one.
    """
    return _ARRAY_CAST.sub(lambda match: "::int".ljust(len(match[0])), text)


def read_query(text: str) -> exp.Expr:
    """sqlglot's tree of one query, whose positions are those of the text; refuses what sqlglot
    does not read as a query even where all is left out that has no part in naming relations.
    """
    try:
        return _read(text)
    except Refused:
        return _read(plainer(text))


def _read(text: str) -> exp.Expr:
    try:
        known = _with_known_array_types(text)
        trees = _PARSER.parse(_TOKENIZER.tokenize(known), known)
    except (SqlglotError, RecursionError, TypeError, ValueError) as error:
        raise Refused(
            Reason.NOT_UNDERSTOOD,
            "the statement is valid for PostgreSQL, but the second reader does not read it",
            hint="Write it in a plainer form.",
        ) from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Query | exp.Values):
        raise Refused(Reason.NOT_UNDERSTOOD, "the second reader does not see one query")
    return trees[0]


def places(tree: exp.Expr) -> tuple[list[RelationPlace], list[SchemaPlace]]:
    """Every relation that is no CTE, and every column reference's schema, in textual order."""
    finder = _Finder()
    finder.visit(tree, frozenset())
    finder.relations.sort(key=lambda place: place.start)
    finder.schemas.sort(key=lambda place: place.start)
    return finder.relations, finder.schemas


class _Finder:
    def __init__(self) -> None:
        self.relations: list[RelationPlace] = []
        self.schemas: list[SchemaPlace] = []

    def visit(self, node: exp.Expr, ctes: frozenset[str]) -> None:
        clause = node.args.get("with_")
        if isinstance(clause, exp.With):
            ctes = self._with(clause, ctes)
        if isinstance(node, exp.Table):
            self._table(node, ctes)
        elif isinstance(node, exp.Column) and node.args.get("db"):
            self.schemas.append(_schema_place(node))
        for value in node.args.values():
            kind = type(value)
            if kind is list:
                for child in value:
                    if type(child) not in _LEAVES and isinstance(child, exp.Expr):
                        self.visit(child, ctes)
            elif kind not in _LEAVES and value is not clause and isinstance(value, exp.Expr):
                self.visit(value, ctes)

    def _with(self, clause: exp.With, ctes: frozenset[str]) -> frozenset[str]:
        items = clause.expressions
        if clause.args.get("recursive"):
            ctes = ctes | {fold(item.args["alias"].this) for item in items}
        for item in items:
            self.visit(item, ctes)
            ctes = ctes | {fold(item.args["alias"].this)}
        return ctes

    def _table(self, node: exp.Table, ctes: frozenset[str]) -> None:
        name, schema = node.this, node.args.get("db")
        if not isinstance(name, exp.Identifier):
            return  # a function in FROM; PostgreSQL's reading has checked it
        if schema is None and fold(name) in ctes:
            return
        first = node.args.get("catalog") or schema or name
        alias = node.args.get("alias")
        self.relations.append(
            RelationPlace(
                schema=fold(schema) if schema is not None else None,
                name=fold(name),
                start=_offset(first, "start"),
                end=_offset(name, "end") + 1,
                has_alias=alias is not None and alias.this is not None,
            )
        )


def _schema_place(column: exp.Column) -> SchemaPlace:
    schema, table = column.args["db"], column.args["table"]
    start, end = _offset(schema, "start"), _offset(table, "end") + 1
    return SchemaPlace(fold(schema), fold(table), start, end)


def _offset(identifier: exp.Identifier, which: str) -> int:
    offset = identifier.meta.get(which)
    if not isinstance(offset, int):
        raise Refused(Reason.READERS_DISAGREE, "the second reader lost a position")
    return offset
