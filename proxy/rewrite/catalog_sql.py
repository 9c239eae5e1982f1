"""Expressions of the catalog's guards, as sqlglot trees: names quoted, operators qualified."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sqlglot import exp

from proxy.policy.model import RelationName
from proxy.sql.catalog import FIRST_NORMAL_OID, Column

ALIAS: Final = "t"

# A column of a relation as one number: attribute numbers are 16 bits wide.
_ATTNUM_RANGE: Final = 65536

# Between the parts of a key; control characters do not occur in names that people give.
_SEPARATOR: Final = "\x1f"

Node = exp.Expr


def column(name: str) -> Node:
    return exp.column(name, table=ALIAS, quoted=True)


def cast(value: Node, base: str, schema: str = "pg_catalog") -> Node:
    """A cast to a type by the name that pg_type has for it (`_oid` is an array of oid)."""
    kind = exp.Dot(
        this=exp.to_identifier(schema, quoted=True), expression=exp.to_identifier(base, quoted=True)
    )
    return exp.Cast(this=value, to=exp.DataType(this=exp.DataType.Type.USERDEFINED, kind=kind))


def of_type(value: Node, shown: Column) -> Node:
    """A constant of a column's own type; system catalogs have no type modifiers."""
    return cast(value, shown.type.base, shown.type.schema)


def null(shown: Column) -> Node:
    return of_type(exp.Null(), shown)


def compare(left: Node, operator: str, right: Node) -> Node:
    # With a search path of the tool's choice, a bare operator could be somebody else's.
    return exp.Operator(
        this=left, operator=exp.Var(this=f"pg_catalog.{operator}"), expression=right
    )


def call(name: str, *arguments: Node) -> Node:
    """A function of pg_catalog."""
    return exp.Dot(
        this=exp.to_identifier("pg_catalog", quoted=True),
        expression=exp.Anonymous(
            this=exp.to_identifier(name, quoted=True), expressions=list(arguments)
        ),
    )


def false() -> Node:
    return exp.Boolean(this=False)


def _joined(connector: Callable[..., Node], terms: Sequence[Node]) -> Node:
    """A balanced tree: a thousand relations must not make one a thousand levels deep."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return connector(
        this=_joined(connector, terms[:half]), expression=_joined(connector, terms[half:])
    )


def any_of(*terms: Node) -> Node:
    """OR, in parentheses; constants FALSE among the terms are left out."""
    kept = [term for term in terms if not _is_false(term)]
    if not kept:
        return false()
    return kept[0] if len(kept) == 1 else exp.Paren(this=_joined(exp.Or, kept))


def all_of(*terms: Node) -> Node:
    """AND, in parentheses; FALSE if one of the terms is the constant."""
    if any(map(_is_false, terms)):
        return false()
    return terms[0] if len(terms) == 1 else exp.Paren(this=_joined(exp.And, list(terms)))


def negated(term: Node) -> Node:
    if isinstance(term, exp.Boolean):
        return exp.Boolean(this=not term.this)
    return exp.Not(this=exp.Paren(this=term))


def _is_false(term: Node) -> bool:
    return isinstance(term, exp.Boolean) and term.this is False


def is_oid(left: Node, oid: int) -> Node:
    return compare(left, "=", cast(exp.Literal.string(str(oid)), "oid"))


def is_built_in(left: Node) -> Node:
    return compare(left, "<", cast(exp.Literal.string(str(FIRST_NORMAL_OID)), "oid"))


def is_one_of_oids(left: Node, oids: Iterable[int]) -> Node:
    return _is_one_of(left, oids, "_oid")


def is_one_of_columns(oid: Node, attnum: Node, pairs: Iterable[tuple[int, int]]) -> Node:
    """Whether (oid, attnum) is one of the pairs."""
    # One array of numbers is hashed by PostgreSQL (14 and later) and read at once by its parser;
    # a list of pairs would be neither.
    number = compare(
        exp.Paren(this=compare(cast(oid, "int8"), "*", cast(_number(_ATTNUM_RANGE), "int8"))),
        "+",
        cast(attnum, "int8"),
    )
    codes = [relation * _ATTNUM_RANGE + number for relation, number in pairs]
    return _is_one_of(exp.Paren(this=number), codes, "_int8")


def is_one_of_names(left: Node, names: Iterable[str]) -> Node:
    """Whether a column of type name, text or one of their domains is one of the names."""
    return _is_one_of_texts(cast(left, "text"), names)


def is_one_of_keys(parts: Sequence[Node], keys: Iterable[tuple[str, ...]]) -> Node:
    """Whether the parts, taken together, are one of the keys.

    A key of which a name contains the separator is never found.
    """
    # One array of texts, whatever the number of keys: both readers and PostgreSQL take a
    # constant at once. A key has no separator but those put here, so that a row whose names
    # have some can not be taken for it.
    joined = cast(parts[0], "text")
    for part in parts[1:]:
        joined = compare(joined, "||", cast(exp.Literal.string(_SEPARATOR), "text"))
        joined = compare(joined, "||", cast(part, "text"))
    clear = (key for key in keys if not any(_SEPARATOR in name for name in key))
    return _is_one_of_texts(exp.Paren(this=joined), (_SEPARATOR.join(key) for key in clear))


def is_one_of_pairs(schema: Node, name: Node, pairs: Iterable[RelationName]) -> Node:
    """Whether (schema, name) is one of the names."""
    return is_one_of_keys((schema, name), ((pair.schema, pair.name) for pair in pairs))


def where(condition: Node, value: Node, otherwise: Node) -> Node:
    """CASE WHEN condition THEN value ELSE otherwise END; both of one type."""
    if isinstance(condition, exp.Boolean):
        return value if condition.this else otherwise
    return exp.Case(ifs=[exp.If(this=condition, true=value)], default=otherwise)


def _is_one_of(left: Node, numbers: Iterable[int], array_type: str) -> Node:
    wanted = sorted(set(numbers))
    if not wanted:
        return false()
    literal = exp.Literal.string("{" + ",".join(map(str, wanted)) + "}")
    return compare(left, "=", exp.Any(this=exp.Paren(this=cast(literal, array_type))))


def _is_one_of_texts(left: Node, texts: Iterable[str]) -> Node:
    wanted = sorted(set(texts))
    if not wanted:
        return false()
    # Within an array's text every element stands in double quotes; in those, only the quote and
    # the backslash have a meaning (manual, 8.15.6).
    quoted = (each.replace("\\", "\\\\").replace('"', '\\"') for each in wanted)
    literal = exp.Literal.string("{" + ",".join(f'"{each}"' for each in quoted) + "}")
    return compare(left, "=", exp.Any(this=exp.Paren(this=cast(literal, "_text"))))


def _number(value: int) -> Node:
    return exp.Literal.number(value)
