"""What a tool is told of a function, operator or type that is not there for it: PostgreSQL's words.

Not there for a tool is whatever is neither PostgreSQL's own nor on the policy's lists; whether the
database has one of that name makes no difference to what is said. Only of extensions, and of
functions that the policy names, the reason is told (`permission_refusal`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

from proxy.errors import Reason, Refused
from proxy.sql.grammar import Tree

_FUNCTION_KINDS: Final = frozenset({"function", "aggregate", "window"})
# As format_type prints what the grammar calls otherwise.
_PRINTED: Final[Mapping[str, str]] = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "bpchar": "character",
    "varchar": "character varying",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
}
_INT8_MAX: Final = 2**63 - 1


@functools.cache
def _known() -> Mapping[str, frozenset[str]]:
    """The names of everything in pg_catalog of any version, by kind (lists/classes.txt)."""
    found: dict[str, set[str]] = {"function": set(), "operator": set(), "type": set()}
    text = (files("proxy.sql.lists") / "classes.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        _, kind, name, *_ = f"{line} - -".split()
        if kind in _FUNCTION_KINDS:
            found["function"].add(name)
        elif kind in found:
            found[kind].add(name)
    return {kind: frozenset(names) for kind, names in found.items()}


def _is_postgresqls(kind: str, names: Sequence[str]) -> bool:
    return (len(names) == 1 or names[0] in ("pg_catalog", "information_schema")) and (
        names[-1] in _known()[kind]
    )


def function_refusal(names: Sequence[str], call: Tree) -> Refused:
    """The refusal of a call: of a function that is not allowed, or not there."""
    shown = ".".join(names)
    if _is_postgresqls("function", names):
        return Refused(
            Reason.FUNCTION_NOT_ALLOWED,
            f"function {shown} is not allowed",
            hint="PostgreSQL's own functions that only compute on their arguments are; "
            "write pg_catalog.NAME where the database has one of the same name. "
            "The policy can name more under `functions`.",
        )
    types = [_type_of(argument) for argument in call.get("args", ())]
    signature = f"({', '.join(each for each in types if each)})" if all(types) else ""
    return Refused(
        Reason.FUNCTION_NOT_ALLOWED,
        f"function {shown}{signature} does not exist",
        hint="For tools there are PostgreSQL's own functions and those that the policy names "
        "under `functions`.",
        sqlstate="42883",
    )


def permission_refusal(names: Sequence[str], reason: str) -> Refused:
    """The refusal of a call of the database's own function, with what its policy would need."""
    return Refused(
        Reason.FUNCTION_NOT_ALLOWED,
        f"function {'.'.join(names)} is not allowed: {reason}",
        hint="The policy names functions under `functions`, and extensions under `extensions`.",
    )


def operator_refusal(names: Sequence[str]) -> Refused:
    shown = ".".join(names)
    if _is_postgresqls("operator", names):
        return Refused(
            Reason.FUNCTION_NOT_ALLOWED,
            f"operator {shown} is not allowed",
            hint="PostgreSQL's own operators are; write OPERATOR(pg_catalog.=) where the "
            "database has one of the same name.",
        )
    return Refused(
        Reason.FUNCTION_NOT_ALLOWED,
        f"operator does not exist: {shown}",
        hint="For tools there are PostgreSQL's own operators.",
        sqlstate="42883",
    )


def type_refusal(names: Sequence[str]) -> Refused:
    hint = "Cast to one of PostgreSQL's own types, or to an enum of the policy's schemas."
    if _is_postgresqls("type", names):
        message = f"type {'.'.join(names)} is not allowed here"
        return Refused(Reason.TYPE_NOT_ALLOWED, message, hint=hint)
    message = f'type "{".".join(names)}" does not exist'
    return Refused(Reason.TYPE_NOT_ALLOWED, message, hint=hint, sqlstate="42704")


def _type_of(argument: Tree) -> str | None:
    """The type of a literal, as PostgreSQL names it in an error; None where only it knows."""
    ((kind, node),) = argument.items()
    if kind == "TypeCast":
        names = [part["String"].get("sval", "") for part in node["typeName"].get("names", ())]
        if len(names) > 2 or node["typeName"].get("arrayBounds"):
            return None
        name = names[-1]
        return _PRINTED.get(name, name) if _is_postgresqls("type", names) else None
    if kind != "A_Const":
        return None
    if "ival" in node:
        return "integer"
    if "fval" in node:
        text = node["fval"].get("fval", "")
        return "bigint" if text.isdecimal() and int(text[:20]) <= _INT8_MAX else "numeric"
    if "boolval" in node:
        return "boolean"
    return None if "bsval" in node else "unknown"
