"""Conditions of a tool on the columns of one FROM item, as far as they are plain.

Plain is a column compared with constants or parameters, as a top-level AND part of the WHERE of the
SELECT whose FROM holds the item, or of the ON of an inner join around it. Such a condition holds
for every row of the item that plays a part in the answer. Where the SELECT is itself a sub-query in
a FROM list, or a WITH query that is named once, conditions on its output columns that are the
item's columns are its conditions too.

Found in PostgreSQL's own tree. What is not certain is not found: then nothing is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlglot import exp

from proxy.rewrite.masks_terms import literal
from proxy.sql.grammar import Tree
from proxy.sql.read import DerivedUse, Reading, RelationUse, names_of

FromItem = RelationUse | DerivedUse

# Object ids of pg_type.dat: fixed for ever.
BOOL, INT8, INT2, INT4, TEXT, BPCHAR, VARCHAR = 16, 20, 21, 23, 25, 1042, 1043
UNKNOWN: Final = 0  # takes the type of what it is compared with
# Types that a cast of a constant may name, and the arrays of them.
_TYPES: Final = {
    "bool": BOOL, "int8": INT8, "int2": INT2, "int4": INT4, "text": TEXT, "bpchar": BPCHAR,
    "varchar": VARCHAR, "float4": 700, "float8": 701, "date": 1082, "timestamp": 1114,
    "timestamptz": 1184, "uuid": 2950,
}  # fmt: skip
ELEMENTS: Final = {
    1000: BOOL, 1016: INT8, 1005: INT2, 1007: INT4, 1009: TEXT, 1014: BPCHAR, 1015: VARCHAR,
    1021: 700, 1022: 701, 1182: 1082, 1115: 1114, 1185: 1184, 2951: 2950,
}  # fmt: skip
_ARRAYS: Final = {element: array for array, element in ELEMENTS.items()}

_TEXTS: Final = frozenset({TEXT, VARCHAR})
# An array's text without these has plain elements only: an empty one would be quoted.
_UNPLAIN: Final = frozenset('*"\\')

_FLIPPED: Final = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_INT8_MAX: Final = 2**63 - 1
_DEPTH_MAX: Final = 8  # sub-queries in sub-queries that conditions are followed through


@dataclass(frozen=True, slots=True)
class Constant:
    """The other side: how it is printed, its type, and all that is decided by of its text: plans
    are shared by statements that differ in literals (`lift.py`).
    """

    expression: exp.Expr
    type_oid: int
    is_plain: bool = False  # a text, known, and plain

    @property
    def is_parameter(self) -> bool:
        return self.expression.find(exp.Parameter) is not None


@dataclass(frozen=True, slots=True)
class Condition:
    """`column operator constant`, true for one of the constants; or `column = ANY (constant)`."""

    column: str
    operator: str
    constants: tuple[Constant, ...]
    is_array: bool = False  # the only constant is an array


def is_plain(text: str) -> bool:
    """No image of a mask: images have stars, or are empty (blanks are, in a char(n)).

    This is all that a decision may hang on of a literal's text; `lift.py` relies on that.
    """
    return text.strip(" ") != "" and "*" not in text


class Conditions:
    """The conditions of one statement, with the types that its parameters are declared to have."""

    def __init__(self, reading: Reading, declared_types: Sequence[int]) -> None:
        self._reading = reading
        self._declared = declared_types

    def of(self, item: FromItem, columns: frozenset[str]) -> Iterator[Condition]:
        """The conditions on those columns of the item. What is found may be repeated."""
        yield from self._of(item, columns, 0)

    def _of(self, item: FromItem, columns: frozenset[str], depth: int) -> Iterator[Condition]:
        if not may_be_followed(item):
            return
        for part in and_parts_around(item):
            yield from self._condition(part, item, columns)
        outer = self._reading.derived.get(id(item.select))
        if outer is None or depth == _DEPTH_MAX or not lets_through(item.select):
            return
        shown = {
            name: column
            for name, column in output_columns(item, columns).items()
            if column is not None
        }
        for condition in self._of(outer, frozenset(shown), depth + 1):
            yield replace(condition, column=shown[condition.column])

    # --- one condition ---

    def _condition(
        self, part: Tree, item: FromItem, columns: frozenset[str]
    ) -> Iterator[Condition]:
        if "BoolExpr" in part and part["BoolExpr"]["boolop"] == "OR_EXPR":
            yield from self._either(part["BoolExpr"]["args"], item, columns)
            return
        node = part.get("A_Expr")
        operator = own_operator(node)
        if node is None or operator is None:
            return
        kind, left, right = node["kind"], node.get("lexpr"), node.get("rexpr")
        if not isinstance(left, dict) or not isinstance(right, dict):
            return
        if kind == "AEXPR_OP" and operator in _FLIPPED:
            for side, sign, other in ((left, operator, right), (right, _FLIPPED[operator], left)):
                yield from self._comparison(own_column(side, item, columns), sign, other)
        elif kind == "AEXPR_IN" and operator == "=":
            yield from self._among(own_column(left, item, columns), right["List"]["items"])
        elif kind == "AEXPR_OP_ANY" and operator == "=":
            yield from self._any(own_column(left, item, columns), right)
        elif kind == "AEXPR_BETWEEN":
            low, high = right["List"]["items"]
            name = own_column(left, item, columns)
            yield from self._comparison(name, ">=", low)
            yield from self._comparison(name, "<=", high)

    def _either(
        self, parts: Sequence[Tree], item: FromItem, columns: frozenset[str]
    ) -> Iterator[Condition]:
        """`c = 'a' OR c = 'b'` is `c IN ('a', 'b')`."""
        constants: list[Constant] = []
        names: set[str] = set()
        for part in parts:
            found = list(self._condition(part, item, columns))
            if len(found) != 1 or found[0].operator != "=" or found[0].is_array:
                return
            names.add(found[0].column)
            constants.extend(found[0].constants)
        if len(names) == 1:
            yield Condition(names.pop(), "=", tuple(constants))

    def _comparison(self, name: str | None, operator: str, other: Tree) -> Iterator[Condition]:
        constant = self._constant(other) if name is not None else None
        if name is not None and constant is not None and constant.type_oid not in ELEMENTS:
            yield Condition(name, operator, (constant,))

    def _among(self, name: str | None, items: Sequence[Tree]) -> Iterator[Condition]:
        if name is None:
            return
        # `= NULL` is never true, and a row has to fulfil one of the others.
        constants = [self._constant(each) for each in items if not _is_null(each)]
        known = tuple(constant for constant in constants if constant is not None)
        if known and len(known) == len(constants):
            yield Condition(name, "=", known)

    def _any(self, name: str | None, array: Tree) -> Iterator[Condition]:
        if name is None:
            return
        if "A_ArrayExpr" in array:
            yield from self._among(name, array["A_ArrayExpr"].get("elements", ()))
            return
        constant = self._constant(array)
        if constant is not None and constant.type_oid in (UNKNOWN, *ELEMENTS):
            value = _text_of(array)
            is_known = value is not None and not _UNPLAIN.intersection(value)
            yield Condition(name, "=", (replace(constant, is_plain=is_known),), is_array=True)

    # --- the other side ---

    def _constant(self, node: Tree) -> Constant | None:
        if "A_Const" in node:
            return _literal(node["A_Const"])
        if "ParamRef" in node:
            return self._parameter(node["ParamRef"], None)
        if "TypeCast" in node:
            return self._cast(node["TypeCast"])
        return None

    def _cast(self, node: Tree) -> Constant | None:
        """A literal of a type, or a parameter that has it by that: nothing is converted."""
        type_ = _named_type(node["typeName"])
        if type_ is None:
            return None
        oid, printed = type_
        to = exp.DataType(this=exp.DType.USERDEFINED, kind=printed)
        argument = node["arg"]
        if "ival" in argument.get("A_Const", {}) and oid in (INT4, INT8):
            number = _literal(argument["A_Const"])
            return (
                None
                if number is None
                else replace(
                    number, type_oid=oid, expression=exp.Cast(this=number.expression, to=to)
                )
            )
        if "sval" in argument.get("A_Const", {}):
            value = argument["A_Const"]["sval"].get("sval", "")
            expression = exp.Cast(this=literal(value), to=to)
            return Constant(expression, _as_compared(oid), oid in _TEXTS and is_plain(value))
        if "ParamRef" in argument:
            parameter = self._parameter(argument["ParamRef"], oid)
            if parameter is not None:
                expression = exp.Cast(this=parameter.expression, to=to)
                return Constant(expression, _as_compared(oid))
        return None

    def _parameter(self, node: Tree, cast_to: int | None) -> Constant | None:
        number = node.get("number", 0)
        declared = self._declared[number - 1] if 0 < number <= len(self._declared) else UNKNOWN
        if declared == UNKNOWN and self._reading.parameters.get(number) != 1:
            return None  # its type may be found at another use, which would come later then
        if cast_to is not None and declared not in (UNKNOWN, cast_to):
            return None
        expression = exp.Parameter(this=exp.Literal.number(number))
        return Constant(expression, _as_compared(declared))


# --- FROM items and their columns -----------------------------------------------------------------


def may_be_followed(item: FromItem) -> bool:
    """Do the conditions around it hold for each of its rows, under the names that it has?"""
    return not (item.is_nullable_side or item.is_hidden or item.has_column_aliases)


def and_parts_around(item: FromItem) -> Iterator[Tree]:
    """The top-level AND parts of the WHERE, and of the inner joins' ON around an item."""
    sources: list[Tree] = [*item.on_conditions]
    if "whereClause" in item.select:
        sources.append(item.select["whereClause"])
    for source in sources:
        yield from _and_parts(source)


def _and_parts(node: Tree) -> Iterator[Tree]:
    if "BoolExpr" in node and node["BoolExpr"]["boolop"] == "AND_EXPR":
        for part in node["BoolExpr"]["args"]:
            yield from _and_parts(part)
    else:
        yield node


def is_alone(item: FromItem) -> bool:
    """An unqualified name is this item's for sure only if nothing else is in the FROM."""
    return bool(item.select.get("fromClause") == [item.holder])


def own_column(node: Tree, item: FromItem, columns: frozenset[str]) -> str | None:
    """The column of the item that a column reference is; None where it is none for sure."""
    reference = node.get("ColumnRef")
    if reference is None or any("String" not in part for part in reference["fields"]):
        return None
    names = names_of(reference["fields"])
    is_own = is_alone(item) if len(names) == 1 else names[:-1] == [item.alias]
    return names[-1] if is_own and names[-1] in columns else None


def own_operator(node: Tree | None) -> str | None:
    """The name of PostgreSQL's own operator in an expression."""
    names = names_of(node.get("name", [])) if node is not None else []
    if not names or (len(names) > 1 and names[0] != "pg_catalog"):
        return None
    return names[-1]


def output_columns(item: FromItem, columns: frozenset[str]) -> dict[str, str | None]:
    """Output columns of the item's SELECT that are the item's own; None: another value."""
    outputs: dict[str, str | None] = {}
    for target in item.select.get("targetList", ()):
        value = target["ResTarget"].get("val", {})
        if _is_star_of(value, item):
            outputs.update({name: name for name in columns})
            continue
        own = own_column(value, item, columns)
        name = target["ResTarget"].get("name") or _last_name(value)
        if name is not None:
            # Of two columns of one name nobody outside can mean one.
            outputs[name] = own if outputs.get(name, own) == own else None
    return outputs


def _is_star_of(value: Tree, item: FromItem) -> bool:
    fields = value.get("ColumnRef", {}).get("fields", ())
    if not fields or "A_Star" not in fields[-1]:
        return False
    return is_alone(item) if len(fields) == 1 else names_of(fields[:-1]) == [item.alias]


def _last_name(value: Tree) -> str | None:
    fields = value.get("ColumnRef", {}).get("fields", ())
    return fields[-1]["String"].get("sval", "") if fields and "String" in fields[-1] else None


# Expressions that give one value for a row of theirs: no aggregate, window, set of rows.
_BY_ROW: Final = frozenset(
    """
    ResTarget ColumnRef A_Star A_Const String Integer Float Boolean BitString List ParamRef A_Expr
    BoolExpr NullTest BooleanTest CaseExpr CaseWhen CoalesceExpr MinMaxExpr TypeCast TypeName
    CollateClause A_ArrayExpr SQLValueFunction
    """.split()
)
_NOT_BY_ROW: Final = (
    "larg", "groupClause", "havingClause", "windowClause", "distinctClause", "limitCount",
    "limitOffset", "valuesLists",
)  # fmt: skip


def lets_through(select: Tree) -> bool:
    """Is a row of the answer made of one row of the FROM list, whatever the other rows are?"""
    if any(clause in select for clause in _NOT_BY_ROW):
        return False
    return _has_only(select.get("targetList", ()), lambda kind: kind in _BY_ROW)


def _has_only(value: Any, is_allowed: Callable[[str], bool]) -> bool:
    if isinstance(value, list | tuple):
        return all(_has_only(each, is_allowed) for each in value)
    if isinstance(value, dict):
        return all(
            (not key[0].isupper() or is_allowed(key)) and _has_only(each, is_allowed)
            for key, each in value.items()
        )
    return True


# --- constants ------------------------------------------------------------------------------------


def _is_null(node: Tree) -> bool:
    return "isnull" in node.get("A_Const", {})


def _literal(constant: Any) -> Constant | None:
    if "sval" in constant:
        value = constant["sval"].get("sval", "")
        return Constant(literal(value), UNKNOWN, is_plain(value))
    if "boolval" in constant:
        value = constant["boolval"].get("boolval", False)
        return Constant(exp.Boolean(this=value), BOOL)
    if "ival" in constant:
        value = constant["ival"].get("ival", 0)
        return Constant(_number(str(abs(value)), is_negative=value < 0), INT4)
    if "fval" in constant:
        written = constant["fval"].get("fval", "")
        digits = written.removeprefix("-")
        if digits.isdigit() and int(digits) <= _INT8_MAX:
            return Constant(_number(digits, is_negative=written != digits), INT8)
    return None


def _text_of(node: Tree) -> str | None:
    """The text of a literal, cast or not."""
    constant = node.get("TypeCast", {}).get("arg", node).get("A_Const", {}).get("sval")
    if constant is None:
        return None
    value: str = constant.get("sval", "")
    return value


def _number(digits: str, *, is_negative: bool) -> exp.Expr:
    number = exp.Literal.number(digits)
    return exp.Neg(this=number) if is_negative else number


def _named_type(node: Tree) -> tuple[int, str] | None:
    """The type that a cast names, and how it is printed; without a modifier, or array of one."""
    names = names_of(node.get("names", []))
    bounds = node.get("arrayBounds", ())
    if "typmods" in node or len(bounds) > 1 or len(names) > 2:
        return None
    if len(names) == 2 and names[0] != "pg_catalog":
        return None
    oid = _TYPES.get(names[-1])
    if oid is None:
        return None
    # Unqualified names that another schema of the path has too are refused when they are read.
    return (
        (_ARRAYS[oid], f"pg_catalog.{names[-1]}[]") if bounds else (oid, f"pg_catalog.{names[-1]}")
    )


def _as_compared(oid: int) -> int:
    """varchar has no operators of its own, it is seen as text."""
    return TEXT if oid == VARCHAR else oid
