"""Names of things of the catalog, given as text: `'crm.people'::regclass`, `to_regtype('mood')`.

PostgreSQL would look such a name up among all there is, and answer differently for a hidden thing
and for none. So a literal is looked up here, among what the tool can see; what is not there is told
in PostgreSQL's words for what does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proxy.errors import Reason, Refused
from proxy.sql.grammar import Tree, parse


class Named(StrEnum):
    """What a name is of; the values are words of PostgreSQL's errors."""

    RELATION = "relation"
    TYPE = "type"
    FUNCTION = "function"
    SIGNATURE = "function with its arguments' types"
    OPERATOR = "operator"
    OPERATOR_SIGNATURE = "operator with its operands' types"
    COLLATION = "collation"
    CONFIG = "text search configuration"
    DICTIONARY = "text search dictionary"
    PARSER = "text search parser"
    SCHEMA = "schema"
    ROLE = "role"
    DATABASE = "database"
    LANGUAGE = "language"
    TABLESPACE = "tablespace"
    SERVER = "server"
    WRAPPER = "foreign-data wrapper"


# Types whose values are object ids, written as names.
REG_TYPES: Final[Mapping[str, Named]] = {
    "regclass": Named.RELATION,
    "regcollation": Named.COLLATION,
    "regconfig": Named.CONFIG,
    "regdictionary": Named.DICTIONARY,
    "regnamespace": Named.SCHEMA,
    "regoper": Named.OPERATOR,
    "regoperator": Named.OPERATOR_SIGNATURE,
    "regproc": Named.FUNCTION,
    "regprocedure": Named.SIGNATURE,
    "regrole": Named.ROLE,
    "regtype": Named.TYPE,
}
# Their object ids, and those of their arrays (pg_type.dat): a parameter of such a type would be
# looked up by PostgreSQL.
REG_TYPE_OIDS: Final = frozenset(
    {24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191}
    | {1008, 2207, 2208, 2209, 2210, 2211, 3735, 3770, 4090, 4097, 4192}
)
# So would the roles in an aclitem, or an array of them.
ACL_TYPE_OIDS: Final = frozenset({1033, 1034})
_STATES: Final[Mapping[Named, str]] = {
    Named.RELATION: "42P01",
    Named.FUNCTION: "42883",
    Named.SIGNATURE: "42883",
    Named.OPERATOR: "42883",
    Named.OPERATOR_SIGNATURE: "42883",
    Named.SCHEMA: "3F000",
    Named.DATABASE: "3D000",
}
_BUILT_IN: Final[Mapping[Named, str]] = {
    Named.FUNCTION: "function",
    Named.SIGNATURE: "function",
    Named.OPERATOR: "operator",
    Named.OPERATOR_SIGNATURE: "operator",
    Named.COLLATION: "collation",
    Named.CONFIG: "config",
    Named.DICTIONARY: "dictionary",
    Named.PARSER: "parser",
}
_SYSTEM_SCHEMAS: Final = ("pg_catalog", "information_schema", "pg_toast")
_LANGUAGES: Final = frozenset({"internal", "c", "sql", "plpgsql"})
_TABLESPACES: Final = frozenset({"pg_default", "pg_global"})
NUMBER: Final = re.compile(r"[0-9]+")
_PART: Final = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^\s".]+))\s*(\.|\Z)')
_FOLD: Final = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})
_NAME_BYTES_MAX: Final = 63

Names = Mapping[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a tool can name: (schema, name) by kind, and where unqualified names are looked up."""

    names: Names
    schemas: frozenset[str]
    roles: frozenset[str]
    database: str
    path: Sequence[str]

    def has(self, kind: str, parts: Sequence[str]) -> bool:
        """Whether a qualified or unqualified name is of something that can be seen."""
        *schemas, name = parts
        if len(schemas) > 1:
            return len(schemas) == 2 and schemas[0] == self.database and self.has(kind, parts[1:])
        path = self.path if "pg_catalog" in self.path else ("pg_catalog", *self.path)
        known = self.names.get(kind, frozenset())
        return any((schema, name) in known for schema in (schemas or path))


def reg_type(names: Sequence[str]) -> str | None:
    """The type of REG_TYPES that a type's name (perhaps an array's: `_regclass`) is of."""
    if len(names) > 2 or (len(names) == 2 and names[0] != "pg_catalog"):
        return None
    name = names[-1].removeprefix("_").removesuffix("[]")
    return name if name in REG_TYPES else None


def look_up(kind: Named, text: str, seen: Seen) -> None:
    """Raises Refused, as PostgreSQL fails, unless the text names something that can be seen.

    Texts that PostgreSQL reads as numbers are not for this function.
    """
    if text == "-" and kind not in (Named.TYPE, Named.SCHEMA, Named.ROLE):
        return  # no thing at all
    if not _CHECKS[kind](text, seen, kind):
        raise not_there(kind, text)


def not_there(kind: Named, text: str) -> Refused:
    """PostgreSQL's error for a name of nothing."""
    match kind:
        case Named.OPERATOR | Named.OPERATOR_SIGNATURE:
            message = f"operator does not exist: {text}"
        case Named.COLLATION:
            message = f'collation "{text}" for encoding "UTF8" does not exist'
        case Named.SIGNATURE:
            message = f'function "{text}" does not exist'
        case _:
            message = f'{kind} "{text}" does not exist'
    is_type = kind is Named.TYPE
    return Refused(
        Reason.TYPE_NOT_ALLOWED if is_type else Reason.TABLE_NOT_IN_POLICY,
        message,
        hint="For tools there is what they can see, and what is PostgreSQL's own.",
        sqlstate=_STATES.get(kind, "42704"),
    )


def column_not_there(column: str, relation: str) -> Refused:
    message = f'column "{column}" of relation "{relation}" does not exist'
    return Refused(Reason.COLUMN_NOT_AVAILABLE, message, sqlstate="42703")


def split_name(text: str) -> list[str]:
    """A dotted name as PostgreSQL cuts it (SplitIdentifierString); Refused as it fails."""
    parts: list[str] = []
    at, end = 0, "."
    while end == ".":
        found = _PART.match(text, at)
        if found is None:
            raise Refused(Reason.NOT_UNDERSTOOD, "invalid name syntax", sqlstate="42602")
        quoted, plain, end = found[1], found[2], found[3]
        part = quoted.replace('""', '"') if quoted is not None else plain.translate(_FOLD)
        parts.append(part.encode()[:_NAME_BYTES_MAX].decode(errors="ignore"))
        at = found.end()
    return parts


# --- each kind -------------------------------------------------------------------------------


def _is_relation(text: str, seen: Seen, kind: Named) -> bool:
    parts = split_name(text)
    if len(parts) == 3 and parts[0] != seen.database:
        return True  # an error of PostgreSQL's, whatever there is
    return _told_as(parts, kind, is_seen=seen.has("relation", parts))


def _is_thing(text: str, seen: Seen, kind: Named) -> bool:
    parts = split_name(text)
    return _told_as(parts, kind, is_seen=seen.has(_BUILT_IN[kind], parts))


def _told_as(parts: Sequence[str], kind: Named, *, is_seen: bool) -> bool:
    """PostgreSQL prints the name's parts as it has read them."""
    if not is_seen:
        raise not_there(kind, ".".join(parts))
    return True


def _is_schema(text: str, seen: Seen, kind: Named) -> bool:
    part = _one_part(text)
    return _told_as([part], kind, is_seen=part in {*seen.schemas, *_SYSTEM_SCHEMAS})


def _is_role(text: str, seen: Seen, kind: Named) -> bool:
    part = _one_part(text)
    return _told_as([part], kind, is_seen=part in seen.roles)


def _one_part(text: str) -> str:
    parts = split_name(text)
    if len(parts) != 1:
        raise Refused(Reason.NOT_UNDERSTOOD, "invalid name syntax", sqlstate="42602")
    return parts[0]


def _one_of(names: Callable[[Seen], Iterable[str]]) -> Callable[[str, Seen, Named], bool]:
    return lambda text, seen, _: text in names(seen)


def _is_type(text: str, seen: Seen, _: Named) -> bool:
    names = type_names(text)
    if names is None:
        raise Refused(Reason.SYNTAX, f'invalid type name "{text}"')
    if not seen.has("type", names):
        raise not_there(Named.TYPE, ".".join(names))
    return True


def type_names(text: str) -> list[str] | None:
    """The dotted name of a type as SQL writes it, without array bounds; None if it is none."""
    try:
        statements = parse(f"SELECT NULL::{text}")
    except Refused:
        return None
    if len(statements) != 1 or statements[0].kind != "SelectStmt":
        return None
    node = statements[0].node
    targets = node.get("targetList", ())
    if node.keys() - {"targetList", "limitOption", "op"} or len(targets) != 1:
        return None
    target = targets[0]["ResTarget"]
    cast: Tree = target.get("val", {}).get("TypeCast", {})
    if "name" in target or "A_Const" not in cast.get("arg", {}):
        return None
    if cast["typeName"].get("pct_type") or cast["typeName"].get("setof"):
        return None
    return [part["String"].get("sval", "") for part in cast["typeName"]["names"]]


def _is_signature(text: str, seen: Seen, kind: Named) -> bool:
    """`name(type, type)`"""
    name, opening, rest = text.partition("(")
    if not opening or not rest.rstrip().endswith(")") or '"' in rest:
        raise Refused(Reason.NOT_UNDERSTOOD, "expected a left parenthesis", sqlstate="22P02")
    for each in _arguments(rest.rstrip()[:-1]):
        if each != "none" or kind is not Named.OPERATOR_SIGNATURE:
            _is_type(each, seen, Named.TYPE)
    if not seen.has(_BUILT_IN[kind], split_name(name)):
        raise not_there(kind, text)
    return True


def _arguments(text: str) -> list[str]:
    """Parted by commas, but for those in a type's own parentheses."""
    found = [each.strip() for each in re.split(r",(?![^()]*\))", text)]
    return [] if found == [""] else found


_CHECKS: Final[Mapping[Named, Callable[[str, Seen, Named], bool]]] = {
    Named.RELATION: _is_relation,
    Named.TYPE: _is_type,
    Named.FUNCTION: _is_thing,
    Named.SIGNATURE: _is_signature,
    Named.OPERATOR: _is_thing,
    Named.OPERATOR_SIGNATURE: _is_signature,
    Named.COLLATION: _is_thing,
    Named.CONFIG: _is_thing,
    Named.DICTIONARY: _is_thing,
    Named.PARSER: _is_thing,
    Named.SCHEMA: _is_schema,
    Named.ROLE: _is_role,
    Named.DATABASE: _one_of(lambda seen: {seen.database}),
    Named.LANGUAGE: _one_of(lambda _: _LANGUAGES),
    Named.TABLESPACE: _one_of(lambda _: _TABLESPACES),
    Named.SERVER: _one_of(lambda _: ()),
    Named.WRAPPER: _one_of(lambda _: ()),
}
