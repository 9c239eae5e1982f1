"""Small parts of SQL expressions, for the masks: calls, operators, casts and literals as trees.

Whatever is built here means the same under every setting a tool can change: functions, operators,
collations and types are qualified with `pg_catalog`, so that nothing on a tool's search path is
reached, and no literal depends on `standard_conforming_strings`. Every function gives a fresh
tree and copies the trees it is given: a node of sqlglot has one parent only.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from proxy.sql.catalog import FIRST_NORMAL_OID, ColumnType

CATALOG: Final = "pg_catalog"

TEXT_TYPES: Final = frozenset({"text", "varchar", "bpchar", "name"})
INTEGER_TYPES: Final = frozenset({"int2", "int4", "int8"})
FLOAT_TYPES: Final = frozenset({"float4", "float8"})
NUMBER_TYPES: Final = INTEGER_TYPES | FLOAT_TYPES | {"numeric"}
DAY_TYPES: Final = frozenset({"date", "timestamp", "timestamptz"})
ADDRESS_TYPES: Final = frozenset({"inet", "cidr"})

TEXT: Final = ColumnType(
    oid=25, typmod=-1, sql="text", schema=CATALOG, base="text", kind="b", category="S"
)


def built_in(column_type: ColumnType) -> str | None:
    """The name of a built-in base type; None for every other type.

    A domain over a built-in type is another type: its checks could fail for what a mask gives.
    """
    is_built_in = (
        column_type.schema == CATALOG
        and column_type.oid < FIRST_NORMAL_OID
        and column_type.kind == "b"
    )
    return column_type.base if is_built_in else None


def is_array(column_type: ColumnType) -> bool:
    """An array of anything. `int2vector` and `oidvector` have category A too, but are none."""
    return (
        column_type.category == "A" and column_type.kind == "b" and column_type.sql.endswith("[]")
    )


def call(function: str, *arguments: exp.Expr) -> exp.Expr:
    """`pg_catalog.function(arguments)`."""
    return qualified_call(CATALOG, function, *arguments)


def qualified_call(schema: str, function: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Dot(
        this=exp.to_identifier(schema),
        # Anonymous: sqlglot prints a function it knows under the name it likes best.
        expression=exp.Anonymous(this=function, expressions=[a.copy() for a in arguments]),
    )


def operate(left: exp.Expr, operator: str, right: exp.Expr) -> exp.Expr:
    """`left OPERATOR(pg_catalog.operator) right`.

    All operators written this way bind alike, whatever they are: operands get parentheses.
    """
    return exp.Operator(
        this=_operand(left), operator=f"{CATALOG}.{operator}", expression=_operand(right)
    )


def _operand(expression: exp.Expr) -> exp.Expr:
    copy = expression.copy()
    return exp.Paren(this=copy) if isinstance(copy, exp.Operator) else copy


def concat(first: exp.Expr, *others: exp.Expr) -> exp.Expr:
    result = first
    for other in others:
        result = operate(result, "||", other)
    return result


def cast(expression: exp.Expr, base: str) -> exp.Expr:
    """A cast to a type of pg_catalog, written as `text`, `int8`, `text[]`."""
    return _cast(expression, f"{CATALOG}.{base}")


def cast_to(expression: exp.Expr, column_type: ColumnType) -> exp.Expr:
    """A cast to exactly a column's type, modifier included."""
    is_ours = column_type.schema == CATALOG and column_type.oid < FIRST_NORMAL_OID
    if is_ours and column_type.typmod == -1:
        return cast(expression, column_type.base)
    # With a modifier, PostgreSQL's grammar knows the type itself, or the name is qualified.
    return _cast(expression, column_type.sql)


def _cast(expression: exp.Expr, sql: str) -> exp.Expr:
    # A type of sqlglot's own would be printed in its words (`VARCHAR` for `character varying`)
    # and not be understood where PostgreSQL has a type that sqlglot does not know.
    to = exp.DataType(this=exp.DType.USERDEFINED, kind=sql)
    return exp.Cast(this=expression.copy(), to=to)


def in_c_collation(expression: exp.Expr) -> exp.Expr:
    """For searches: not every collation allows them ("nondeterministic collations").

    Only for an argument of a function that does not return text: a collation spreads to the
    result, and a masked column must sort as the column does.
    """
    c = exp.Dot(this=exp.to_identifier(CATALOG), expression=exp.to_identifier("C", quoted=True))
    return exp.Collate(this=expression.copy(), expression=c)


def literal(value: str) -> exp.Expr:
    """A string literal of unknown type, to be cast.

    With a backslash in it, it is written `e'…'`, which says the same under every setting.
    """
    return exp.ByteString(this=value) if "\\" in value else exp.Literal.string(value)


def text(value: str) -> exp.Expr:
    return cast(literal(value), "text")


def number(value: int) -> exp.Expr:
    """An integer literal, 0 … 2^31 - 1: of type int4."""
    return exp.Literal.number(value)


def number_of(base: str, value: int | str) -> exp.Expr:
    """A numeric literal of exactly the type, negative ones too (`-` would be an operator)."""
    return cast(exp.Literal.string(str(value)), base)


def case(*branches: tuple[exp.Expr, exp.Expr], default: exp.Expr | None = None) -> exp.Expr:
    """`CASE WHEN … THEN … ELSE default END`. Without a default: NULL, for NULL conditions too."""
    return exp.Case(
        ifs=[exp.If(this=condition.copy(), true=value.copy()) for condition, value in branches],
        default=None if default is None else default.copy(),
    )


def both(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    return exp.And(this=left.copy(), expression=right.copy())
