"""What PostgreSQL converts by itself to a type whose values are names.

    COALESCE(NULL::regclass, 16465)      the number becomes a regclass, and is printed as a name

From numbers there are implicit casts to all such types; from text to regclass, which is used for
the elements of an array. So beside a value of such a type, where expressions become one type,
nothing may stand that could be a number or an array (`implied.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from proxy.sql.catalog import FIRST_NORMAL_OID
from proxy.sql.grammar import Tree

# Functions that return a value of the type that these of their arguments become.
CONVERTING: Final[Mapping[str, tuple[int, ...]]] = {
    "array_append": (0, 1),
    "array_cat": (0, 1),
    "array_prepend": (0, 1),
    "array_remove": (0, 1),
    "array_replace": (0, 1, 2),
    "lag": (0, 2),
    "lead": (0, 2),
}
# No implicit cast leads from these to such a type (pg_cast.dat), or from text beside a single
# value of one: the two have no common type.
NEVER_NAMES: Final = frozenset(
    """
    bool bpchar bytea char date float4 float8 inet interval json jsonb name numeric text time
    timestamp timestamptz timetz uuid varchar xml
    """.split()
)
_TEXT_FUNCTIONS: Final = frozenset(
    """
    array_to_string col_description concat concat_ws current_setting format format_type ltrim
    obj_description pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_userbyid quote_ident
    quote_literal regexp_replace repeat replace rtrim shobj_description split_part string_agg substr
    substring to_char translate
    """.split()
)
_COMPARISONS: Final = frozenset("= <> < > <= >= ~ !~ ~* !~* ~~ !~~ ~~* !~~* @> <@ &&".split())
_NEITHER: Final = frozenset(
    "BoolExpr NullTest BooleanTest SQLValueFunction RowExpr XmlExpr XmlSerialize".split()
)


def may_convert(node: Tree, is_plain: Callable[[str], bool]) -> bool:
    """Could an expression be a number, an object id or an array? `is_plain`: is each column of that
    name of a type that is none of these? A literal without a type is looked at elsewhere.
    """
    ((kind, fields),) = node.items()
    match kind:
        case "A_Const":
            number = fields.get("ival", {}).get("ival", 0)  # those of built-in things are no secret
            return "fval" in fields or not 0 <= number < FIRST_NORMAL_OID
        case "ColumnRef":
            return not is_plain(fields["fields"][-1].get("String", {}).get("sval", ""))
        case "TypeCast":
            named = fields["typeName"]
            return bool(named.get("arrayBounds")) or _own_name(named["names"]) not in NEVER_NAMES
        case "A_Expr":
            return _operator_may(fields, is_plain)
        case "FuncCall":
            return _own_name(fields["funcname"]) not in _TEXT_FUNCTIONS
        case "CaseExpr":
            results = [each["CaseWhen"]["result"] for each in fields["args"]]
            last = [fields["defresult"]] if "defresult" in fields else []
            return any(may_convert(each, is_plain) for each in (*results, *last))
        case "CoalesceExpr" | "MinMaxExpr":
            return any(may_convert(each, is_plain) for each in fields["args"])
        case "SubLink":
            return fields["subLinkType"] in ("EXPR_SUBLINK", "ARRAY_SUBLINK")
        case _:
            return kind not in _NEITHER


def is_oid_type(named: Tree) -> bool:
    return _own_name(named["names"]) == "oid"


def _own_name(parts: list[Tree]) -> str:
    """The name of PostgreSQL's own type or function; empty for another schema's."""
    names = [part["String"].get("sval", "") for part in parts]
    return names[-1] if len(names) == 1 or names[0] == "pg_catalog" else ""


def _operator_may(fields: Tree, is_plain: Callable[[str], bool]) -> bool:
    if fields["kind"] == "AEXPR_NULLIF":
        return may_convert(fields["lexpr"], is_plain)
    name = fields["name"][-1]["String"].get("sval", "")
    if fields["kind"] != "AEXPR_OP" or (name in _COMPARISONS and len(fields["name"]) == 1):
        return False
    if name != "||" or not {"lexpr", "rexpr"} <= fields.keys():
        return True
    sides = [fields["lexpr"], fields["rexpr"]]
    is_literal = ["sval" in side.get("A_Const", {}) for side in sides]
    # 'a' || x is an array if x is one.
    return all(is_literal) or any(may_convert(side, is_plain) for side in sides)
