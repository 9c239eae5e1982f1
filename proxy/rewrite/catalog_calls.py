"""Calls and casts that ask for a thing of the catalog: confined to what the tool can see.

    pg_get_constraintdef(r.oid, true)   becomes
    pg_catalog.pg_get_constraintdef((SELECT CASE WHEN <t.id is built in or visible> THEN t.id
        WHEN t.id IS NOT NULL THEN 9999 END FROM (SELECT (r.oid)::oid) AS t(id)), true)

The argument stands where no name of ours can be taken for one of the tool's: a sub-query without
FROM, beside which nothing is visible. It is evaluated once. Every part of it stays in the tool's
text, so that guards within are put in as elsewhere; and the final text's tree is compared with the
one that is built here, as with guards. A literal that names something is looked up here and now
(`sql/named.py`), and stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp

from proxy.errors import Reason, Refused
from proxy.rewrite.catalog_names import (
    ID,
    PART,
    from_values,
    has_text_form,
    id_by_number,
    id_by_text,
    id_or_null,
    is_shown,
    seen_by,
    shown_list,
)
from proxy.rewrite.catalog_rules import is_visible_column, visible_objects
from proxy.rewrite.catalog_sql import (
    Node,
    all_of,
    any_of,
    call,
    cast,
    column,
    is_built_in,
    is_oid,
    is_one_of_names,
    is_one_of_oids,
)
from proxy.rewrite.catalog_visible import VisibleCatalog
from proxy.rewrite.guard import sql_text
from proxy.sql.catalog_functions import (
    CatalogCall,
    NamedCall,
    Things,
    catalog_call_of,
    named_call_of,
)
from proxy.sql.conversions import may_convert
from proxy.sql.grammar import Token, Tree, parse_query, scan
from proxy.sql.implied import REG_FUNCTIONS, implied, is_array, type_of_cast
from proxy.sql.named import NUMBER, REG_TYPES, Named, Seen, column_not_there, look_up, split_name
from proxy.sql.read import names_of
from proxy.sql.settings import FREE_SETTINGS, SHOWN_SETTINGS, is_show_allowed

# A name that no setting has: PostgreSQL answers as for any other that it does not know.
_NO_SETTING: Final = "?"
_PUBLIC: Final = "public"  # in the place of a role: everybody
_NUMBERS: Final = frozenset({"oid", "int2", "int4", "int8"})

_PLAIN_LIST: Final = re.compile(r"\s*\{([^\"\\{}]*)\}\s*")
_PLACEHOLDER: Final = re.compile(r"\$([0-9]+)")
_CLOSING: Final = frozenset(["ASCII_41", "ASCII_93"])  # ) ]
_OPENING: Final = frozenset(["ASCII_40", "ASCII_91"])  # ( [

# The types of the columns of the relations that a statement reads, by the columns' names.
Columns = Mapping[str, frozenset[str]]
Edit = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class ConfinedCall:
    """A call (or a value) in a statement; `edits` replace parts of the text."""

    holder: Tree
    text: str  # what stands for it, with $1, $2 … for its arguments, or $1 for the value
    edits: tuple[Edit, ...]
    is_value: bool = False

    def expect(self) -> None:
        """Put it into the tree. Of nested ones, the inner one first."""
        arguments = self._arguments()
        target = parse_query(f"SELECT {self.text}")["SelectStmt"]["targetList"][0]["ResTarget"]
        for place in _placeholders(target):
            argument = arguments[place.pop("ParamRef")["number"] - 1]
            place.update(argument)
        self.holder.clear()
        self.holder.update(target["val"])

    def _arguments(self) -> list[Tree]:
        return [dict(self.holder)] if self.is_value else self.holder["FuncCall"].get("args", [])


def confined_calls(
    node: Tree, text: str, visible: VisibleCatalog, path: Sequence[str], columns: Columns
) -> list[ConfinedCall]:
    """The calls and casts of a query that are confined, outer ones before those within them.

    Raises Refused where a literal names nothing that the tool can see.
    """
    confiner = _Confiner(node, visible, seen_by(visible, path), columns)
    same = parse_query(text)["SelectStmt"]  # positions in this text: the tree's are of another
    found = list(confiner.found(node, same))
    if not found:
        return []
    tokens = _Tokens(text)
    return [
        ConfinedCall(each.holder, each.text, _edits(tokens, each), each.is_value) for each in found
    ]


def in_order(edits: Sequence[Edit]) -> list[Edit]:
    """The edits with those that insert at one place made one, in their order."""
    inserted: dict[int, str] = {}
    for start, end, text in edits:
        if start == end:
            inserted[start] = inserted.get(start, "") + text
    others = [edit for edit in edits if edit[0] != edit[1]]
    return [*others, *((at, at, text) for at, text in inserted.items())]


@dataclass(frozen=True, slots=True)
class _Found:
    """What is confined, and where it stands in the text: its node there."""

    holder: Tree
    text: str
    node: Tree
    cast: Tree | None = None  # for the value of a cast: the cast
    is_value: bool = False


def _edits(tokens: _Tokens, found: _Found) -> tuple[Edit, ...]:
    if not found.is_value:
        function = found.node["FuncCall"]
        count = len(function.get("args", ()))
        return tokens.edits(function.get("location", 0), count, found.text)
    if found.cast is None:
        start, end = tokens.literal(_leftmost(found.node))
    else:
        start, end = tokens.value(found.cast)
    before, after = found.text.split("$1")
    return (start, start, f"{before}("), (end, end, f"){after}")


class _Confiner:
    """Finds what asks for a thing, and says what stands for it."""

    def __init__(self, node: Tree, visible: VisibleCatalog, seen: Seen, columns: Columns) -> None:
        self._visible = visible
        self._seen = seen
        self._columns = columns
        self._implied = {id(each.holder): each.type for each in implied(node, columns)}

    def found(self, node: Any, same: Any) -> Iterator[_Found]:
        """All in `node`; `same` is the text's tree."""
        if isinstance(node, list):
            others = same if isinstance(same, list) else []
            for number, one in enumerate(node):
                yield from self.found(one, others[number] if number < len(others) else None)
        elif isinstance(node, dict):
            other = same if isinstance(same, dict) else {}
            for each in self._of_node(node, other):
                if not each.node:
                    raise _not_found()
                yield each
            for key, value in node.items():
                yield from self.found(value, other.get(key))

    def _of_node(self, node: Tree, same: Tree) -> Iterator[_Found]:
        if "FuncCall" in node:
            text = self._call(node["FuncCall"])
            if text is not None:
                yield _Found(node, text, same if "FuncCall" in same else {})
        elif "TypeCast" in node:
            yield from self._cast(node["TypeCast"], same.get("TypeCast", {}))
        elif id(node) in self._implied:
            base = self._implied[id(node)]
            kind = REG_TYPES[base]
            if not has_text_form(kind):
                raise Refused(
                    Reason.NOT_UNDERSTOOD,
                    "a literal could be the name of something here",
                    hint=f"Write its type: 'NAME'::{base}.",
                )
            # Digits or not is asked when it runs: the plan is shared by other literals (`lift.py`).
            shown = id_by_text(_argument(1), kind, self._visible, is_shown(kind, self._visible))
            yield _Found(node, sql_text(cast(shown, base)), same, is_value=True)

    # --- casts ---

    def _cast(self, node: Tree, same: Tree) -> Iterator[_Found]:
        base = type_of_cast(node)
        if base is None:
            return
        value, other = node["arg"], same.get("arg", {})
        if not is_array(node):
            text = self._value(value, REG_TYPES[base])
            if text is not None:
                yield _Found(value, text, other, same, is_value=True)
        elif "A_ArrayExpr" in value:
            for number, each in enumerate(value["A_ArrayExpr"].get("elements", ())):
                text = self._value(each, REG_TYPES[base])
                if text is not None:
                    others = other.get("A_ArrayExpr", {}).get("elements", ())
                    raise_if = number >= len(others)
                    yield _Found(each, text, {} if raise_if else others[number], is_value=True)
        elif not _is_null(value):
            text = self._list(value, REG_TYPES[base])
            if text is not None:
                yield _Found(value, text, other, same, is_value=True)

    def _value(self, value: Tree, kind: Named) -> str | None:
        """What stands for the value of a cast; None where it may stay as it is."""
        literal = _literal(value)
        if _is_null(value) or (literal is not None and self._is_looked_up(kind, literal, value)):
            return None
        if (
            "TypeCast" in value
            and type_of_cast(value["TypeCast"])
            and not is_array(value["TypeCast"])
        ):
            return None  # one that is confined itself
        if "FuncCall" in value and names_of(value["FuncCall"]["funcname"])[-1] in REG_FUNCTIONS:
            return None
        return _called_as(self._id(value, kind), value)

    def _is_looked_up(self, kind: Named, literal: str, value: Tree) -> bool:
        if NUMBER.fullmatch(literal):
            return False
        try:
            look_up(kind, literal, self._seen)
        except Refused as refused:
            refused.location = value["A_Const"].get("location")
            raise
        return True

    def _list(self, value: Tree, kind: Named) -> str | None:
        literal = _literal(value)
        if literal is not None:
            self._look_up_list(literal, kind, value)
            return None
        shown = shown_list(_argument(1), "_oid", lambda part: is_shown(kind, self._visible, part))
        return _called_as(shown, value)

    def _look_up_list(self, literal: str, kind: Named, value: Tree) -> None:
        """`'{int4,text}'`"""
        found = _PLAIN_LIST.fullmatch(literal)
        names = [each.strip() for each in found[1].split(",")] if found else []
        if found is None or any(NUMBER.fullmatch(each) for each in names):
            raise Refused(
                Reason.NOT_UNDERSTOOD,
                "this array of names as one literal is not supported",
                hint="Write ARRAY['NAME', …] and cast that.",
            )
        for each in names if found[1].strip() else ():
            self._is_looked_up(kind, each, value)

    def _id(self, value: Tree, kind: Named, number: int = 1, *, is_plain: bool = False) -> Node:
        """The id of what argument `number` names, as an expression."""
        given, condition = _argument(number), is_shown(kind, self._visible)
        if has_text_form(kind) and not self._is_number(value):
            return id_by_text(given, kind, self._visible, condition, is_plain=is_plain)
        return id_by_number(given, condition)

    def _is_number(self, value: Tree) -> bool:
        if "ColumnRef" in value:
            name = value["ColumnRef"]["fields"][-1].get("String", {}).get("sval", "")
            types = self._columns.get(name, frozenset())
            return bool(types) and types <= _NUMBERS | REG_TYPES.keys()
        if "TypeCast" in value:
            names = names_of(value["TypeCast"]["typeName"].get("names", [])) or [""]
            return names[-1] in _NUMBERS or type_of_cast(value["TypeCast"]) is not None
        return bool({"ival", "fval"} & value.get("A_Const", {}).keys()) or (
            _literal(value) is not None and NUMBER.fullmatch(_literal(value) or "") is not None
        )

    # --- calls ---

    def _call(self, function: Tree) -> str | None:
        """What stands for a call; None where it may stay as it is."""
        names, arguments = names_of(function["funcname"]), function.get("args", [])
        how = catalog_call_of(names, len(arguments))
        named = named_call_of(names, len(arguments))
        if (how is None and named is None) or (how and _is_known_setting(how, arguments)):
            return None
        if "func_variadic" in function or any("NamedArgExpr" in each for each in arguments):
            raise Refused(
                Reason.NOT_UNDERSTOOD, "a function of the catalog is called in an odd way"
            )
        if how is not None:
            return self._of_id(names[-1], arguments, how)
        assert named is not None  # noqa: S101 - as seen above
        return self._of_name(names[-1], arguments, named)

    def _of_id(self, name: str, given: Sequence[Tree], how: CatalogCall) -> str | None:
        visible = self._visible
        arguments = [_argument(number) for number in range(1, len(given) + 1)]
        if how.things is Things.COLUMNS:
            condition = any_of(is_built_in(column(ID)), is_visible_column(visible, ID, PART))
            return sql_text(_pair(name, arguments, ("oid", "int4"), condition))
        if how.things is Things.OBJECTS:
            return sql_text(_pair(name, arguments, ("oid", "name"), _is_object(visible)))
        kind = _NAMED_BY_TEXT.get(name)
        value = given[how.at]
        literal = _literal(value)
        if kind is not None and literal is not None and not NUMBER.fullmatch(literal):
            self._is_looked_up(kind, literal, value)
        if kind is not None and not self._is_number(value):
            condition = _CONDITIONS[how.things](visible)
            arguments[how.at] = id_by_text(_argument(how.at + 1), kind, visible, condition)
        else:
            arguments[how.at] = _confined(arguments[how.at], how.things, visible)
        if name == "obj_description":
            arguments.append(cast(exp.Literal.string("pg_class"), "name"))
        return sql_text(call(name, *arguments))

    def _of_name(self, name: str, given: Sequence[Tree], named: NamedCall) -> str | None:
        if name == "has_column_privilege":
            return self._column_right(name, given, named)
        arguments = [_argument(number) for number in range(1, len(given) + 1)]
        is_changed = False
        for at, kind in named.arguments.items():
            value = self._named_argument(name, at, kind, given[at], named)
            if value is not None:
                arguments[at] = value
                is_changed = True
        return sql_text(call(name, *arguments)) if is_changed else None

    def _named_argument(
        self, name: str, at: int, kind: Named, value: Tree, named: NamedCall
    ) -> Node | None:
        literal = _literal(value)
        if _is_null(value) or "SQLValueFunction" in value:
            return None  # CURRENT_USER and its like
        if literal is not None:
            return self._named_literal(at, kind, literal, value, named)
        if named.is_quiet:
            return self._quiet(name, at, kind)
        if kind in _BY_REG_TYPE and "ParamRef" not in value and not _may_be_id(value):
            # Of a text there is no such function, and each value of the type has been looked at.
            return None
        if kind not in _BY_NUMBER and not has_text_form(kind):
            raise _literal_wanted(name)
        shown = self._id(value, kind, at + 1, is_plain=True)
        return cast(shown, _BY_REG_TYPE[kind]) if kind in _BY_REG_TYPE else shown

    def _named_literal(
        self, at: int, kind: Named, literal: str, value: Tree, named: NamedCall
    ) -> Node | None:
        if kind is Named.ROLE and literal == _PUBLIC:
            return None
        is_plain = kind in (Named.SCHEMA, Named.ROLE) and not named.is_quiet
        try:
            look_up(kind, f'"{literal}"' if is_plain else literal, self._seen)
        except Refused as refused:
            if named.is_quiet:
                return from_values(cast(exp.Null(), "text"), [_argument(at + 1)], (ID,))
            if named.is_optional:
                return cast(_argument(at + 1), "text")
            if kind in _BY_REG_TYPE:
                refused.location = value["A_Const"].get("location")
            raise
        return None

    def _quiet(self, name: str, at: int, kind: Named) -> Node:
        """to_regclass(x): the name of what x names, where that is visible."""
        if kind not in (Named.RELATION, Named.TYPE, Named.SCHEMA, Named.ROLE) or name.endswith(
            "typemod"
        ):
            raise _literal_wanted(name)
        condition = is_shown(kind, self._visible)
        found = id_or_null(_argument(at + 1), kind, self._visible, condition)
        return cast(cast(found, name.removeprefix("to_")), "text")

    def _column_right(self, name: str, given: Sequence[Tree], named: NamedCall) -> str | None:
        """has_column_privilege([role,] table, column, right)"""
        assert named.column is not None  # noqa: S101 - this function has one
        table, part = given[named.column - 1], given[named.column]
        relation, wanted = _literal(table), _literal(part)
        arguments = [_argument(number) for number in range(1, len(given) + 1)]
        if named.column == 2:
            arguments[0] = (
                self._named_argument(name, 0, Named.ROLE, given[0], named) or (arguments[0])
            )
        if relation is not None and wanted is not None:
            look_up(Named.RELATION, relation, self._seen)
            self._check_column(relation, wanted)
            return sql_text(call(name, *arguments))
        return self._column_right_by_id(name, arguments, named.column, table, part)

    def _column_right_by_id(
        self, name: str, arguments: list[Node], at: int, table: Tree, part: Tree
    ) -> str:
        """Of any relation and column: what is not visible has no rights, not even none: NULL."""
        types = self._columns.get(
            part.get("ColumnRef", {}).get("fields", [{}])[-1].get("String", {}).get("sval", ""),
            frozenset(),
        )
        is_name = types == {"name"} or _literal(part) is not None
        if not is_name and types != {"int2"} and "ival" not in part.get("A_Const", {}):
            raise _literal_wanted(name)
        shown = self._id(table, Named.RELATION, at)
        number = cast(_argument(at + 1), "text" if is_name else "int2")
        names = ("role", ID, PART, "right")[2 - at :]
        value = call(name, *map(column, names))
        condition = (
            _is_named_column(self._visible)
            if is_name
            else any_of(is_built_in(column(ID)), is_visible_column(self._visible, ID, PART))
        )
        given = [*arguments[: at - 1], shown, number, *arguments[at + 1 :]]
        return sql_text(from_values(value, given, names, condition))

    def _check_column(self, relation: str, wanted: str) -> None:
        """Raises Refused unless the relation, which is there, has the column for the tool."""
        *schemas, name = split_name(relation)
        path = schemas[-1:] or list(self._seen.path)
        found = [each for each in self._visible.relations if each.name.name == name]
        for schema in path:
            for each in found:
                if each.name.schema == schema:
                    if wanted not in {shown.name for shown in each.columns} | _SYSTEM_COLUMNS:
                        raise column_not_there(wanted, name)
                    return


_SYSTEM_COLUMNS: Final = frozenset({"tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"})
# Functions that take names of these kinds as values of a type of their own.
_BY_REG_TYPE: Final[Mapping[Named, str]] = {
    Named.CONFIG: "regconfig",
    Named.DICTIONARY: "regdictionary",
}
# What functions take by id as well; names of these are for literals alone.
_BY_NUMBER: Final = frozenset(
    {Named.SIGNATURE, Named.LANGUAGE, Named.TABLESPACE, Named.SERVER, Named.WRAPPER, Named.PARSER}
)
# Functions of a thing's id that take its name too.
_NAMED_BY_TEXT: Final[Mapping[str, Named]] = {
    "pg_basetype": Named.TYPE,
    "pg_get_viewdef": Named.RELATION,
    "pg_index_column_has_property": Named.RELATION,
    "pg_index_has_property": Named.RELATION,
    "pg_partition_ancestors": Named.RELATION,
    "pg_partition_root": Named.RELATION,
    "pg_partition_tree": Named.RELATION,
    "pg_relation_is_publishable": Named.RELATION,
    "pg_relation_is_updatable": Named.RELATION,
}


def _called_as(value: Node, own: Tree) -> str:
    """The text of a value that gives its column the name that its own expression gives."""
    name = column_name(own)
    if name is None:
        # Such a name gives way to the type's, as the expression's own would.
        return sql_text(exp.Case(ifs=[exp.If(this=exp.Boolean(this=True), true=value)]))
    select = value.this
    select.set("expressions", [exp.alias_(each, name, quoted=True) for each in select.expressions])
    return sql_text(value)


def column_name(node: Tree) -> str | None:
    """The name that PostgreSQL gives to an output column, if it does not give way to the name of a
    type that it is cast to (FigureColname, strength 2).
    """
    ((kind, fields),) = node.items()
    match kind:
        case "ColumnRef":
            last: str | None = fields["fields"][-1].get("String", {}).get("sval")
            return last
        case "FuncCall":
            return names_of(fields["funcname"])[-1]
        case "A_Indirection":
            named = [part for part in fields["indirection"] if "String" in part]
            if named:
                return str(named[-1]["String"].get("sval", ""))
            return column_name(fields["arg"])
        case "TypeCast" | "CollateClause":
            return column_name(fields["arg"])
        case "CaseExpr":
            return column_name(fields["defresult"]) if "defresult" in fields else None
        case "SubLink":
            return _column_of_sublink(fields)
        case "A_Expr":
            return "nullif" if fields["kind"] == "AEXPR_NULLIF" else None
        case "MinMaxExpr":
            return "least" if fields["op"] == "IS_LEAST" else "greatest"
        case _:
            return _NAMES_OF_NODES.get(kind)


def _column_of_sublink(fields: Tree) -> str | None:
    if fields["subLinkType"] in ("EXISTS_SUBLINK", "ARRAY_SUBLINK"):
        return "exists" if fields["subLinkType"] == "EXISTS_SUBLINK" else "array"
    if fields["subLinkType"] != "EXPR_SUBLINK":
        return None
    select = fields["subselect"]["SelectStmt"]
    while "larg" in select:
        select = select["larg"]
    targets = select.get("targetList", ())
    if len(targets) != 1:
        return None
    target = targets[0]["ResTarget"]
    return target.get("name") or column_name(target["val"]) or "?column?"


_NAMES_OF_NODES: Final[Mapping[str, str]] = {
    "A_ArrayExpr": "array",
    "CoalesceExpr": "coalesce",
    "GroupingFunc": "grouping",
    "RowExpr": "row",
}


def _argument(number: int) -> Node:
    return exp.Parameter(this=exp.Literal.number(number))


def _literal(value: Tree) -> str | None:
    """The text of a string literal."""
    constant = value.get("A_Const", {}).get("sval")
    return None if constant is None else str(constant.get("sval", ""))


def _is_null(value: Tree) -> bool:
    return bool(value.get("A_Const", {}).get("isnull"))


def _may_be_id(value: Tree) -> bool:
    """Could a number be here, which PostgreSQL takes for a value of a type of names?"""
    if "TypeCast" in value and type_of_cast(value["TypeCast"]) is not None:
        return False
    if "FuncCall" in value and names_of(value["FuncCall"]["funcname"])[-1] in REG_FUNCTIONS:
        return False
    return may_convert(value, lambda _: False)


def _literal_wanted(name: str) -> Refused:
    return Refused(
        Reason.FUNCTION_NOT_ALLOWED,
        f"function {name} is not allowed of a name that is not known yet",
        hint="Write the name as a literal, or give the thing's oid.",
    )


def _is_known_setting(how: CatalogCall, arguments: Sequence[Tree]) -> bool:
    """A setting that is named by a literal: reading the statement has allowed it, or refused."""
    if how.things not in (Things.SHOWN_SETTINGS, Things.FREE_SETTINGS):
        return False
    name = arguments[how.at].get("A_Const", {}).get("sval", {}).get("sval")
    return name is not None and is_show_allowed(name)


def _not_found() -> Refused:
    return Refused(Reason.READERS_DISAGREE, "a call is not found again in the statement")


def _placeholders(tree: Any) -> list[Tree]:
    if isinstance(tree, list):
        return [place for item in tree for place in _placeholders(item)]
    if not isinstance(tree, dict):
        return []
    if "ParamRef" in tree:
        return [tree]
    return [place for item in tree.values() for place in _placeholders(item)]


# --- what stands for an argument -------------------------------------------------------------


def _confined(given: Node, things: Things, visible: VisibleCatalog) -> Node:
    """The argument, or an id (a name) that nothing has."""
    if things in (Things.NOTHING, Things.NO_NAME):
        nothing = cast(exp.Null(), "oid" if things is Things.NOTHING else "text")
        return from_values(nothing, [given], (ID,))
    if things is Things.TYPE_LISTS:
        return shown_list(given, "oidvector", lambda part: is_shown(Named.TYPE, visible, part))
    if things not in (Things.SHOWN_SETTINGS, Things.FREE_SETTINGS):
        return id_by_number(given, _CONDITIONS[things](visible))
    names = SHOWN_SETTINGS if things is Things.SHOWN_SETTINGS else FREE_SETTINGS
    value = column(ID)
    is_given = exp.Not(this=exp.Is(this=value, expression=exp.Null()))
    shown = exp.Case(
        ifs=[
            exp.If(this=is_one_of_names(call("lower", value), names), true=value),
            exp.If(this=is_given, true=cast(exp.Literal.string(_NO_SETTING), "text")),
        ]
    )
    return from_values(shown, [cast(given, "text")], (ID,))


def _pair(name: str, arguments: Sequence[Node], types: tuple[str, str], condition: Node) -> Node:
    given = [cast(value, base) for value, base in zip(arguments, types, strict=True)]
    value = call(name, column(ID), column(PART))
    return from_values(value, given, (ID, PART), condition)


def _one_of(oids: Callable[[VisibleCatalog], Sequence[int]]) -> Callable[[VisibleCatalog], Node]:
    return lambda visible: any_of(
        is_built_in(column(ID)), is_one_of_oids(column(ID), oids(visible))
    )


_CONDITIONS: Final[Mapping[Things, Callable[[VisibleCatalog], Node]]] = {
    Things.RELATIONS: lambda visible: is_shown(Named.RELATION, visible),
    Things.WHOLE_RELATIONS: _one_of(
        lambda visible: [each.oid for each in visible.relations if each.is_whole]
    ),
    Things.DEFINITIONS: _one_of(lambda visible: visible.defined),
    Things.BELOW_SHOWN: _one_of(lambda visible: visible.below_shown),
    Things.ABOVE_SHOWN: _one_of(lambda visible: visible.above_shown),
    Things.CONSTRAINTS: _one_of(lambda visible: [each.oid for each in visible.constraints]),
    Things.RULES: _one_of(lambda visible: visible.rules),
    Things.TRIGGERS: _one_of(lambda visible: visible.triggers),
    Things.TYPES: lambda visible: is_shown(Named.TYPE, visible),
    Things.ROLES: lambda visible: is_shown(Named.ROLE, visible),
    Things.DATABASES: _one_of(lambda visible: (visible.database,)),
    Things.BUILT_IN: _one_of(lambda _: ()),
}


def _is_object(visible: VisibleCatalog) -> Node:
    """Whether (id, catalog's name) is a thing that the tool can see."""
    return any_of(
        is_built_in(column(ID)),
        *(
            all_of(is_one_of_names(column(PART), [name]), is_one_of_oids(column(ID), oids))
            for name, oids in visible_objects(visible).items()
        ),
    )


def _is_named_column(visible: VisibleCatalog) -> Node:
    """Whether (id, column's name) is a column that the tool can see."""
    return any_of(
        is_built_in(column(ID)),
        *(
            all_of(
                is_oid(column(ID), each.oid),
                is_one_of_names(column(PART), [shown.name for shown in each.columns]),
            )
            for each in visible.relations
        ),
    )


# --- where it stands -------------------------------------------------------------------------


def _leftmost(node: Any) -> int:
    """Where a node begins in the text (bytes), but for parentheses around it."""
    found: list[int] = []
    pending = [node]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(each)
        elif isinstance(each, dict):
            pending.extend(each.values())
            if each.get("location", -1) >= 0:
                found.append(each["location"])
    # libpg_query leaves 0 out.
    return min(found, default=0)


class _Tokens:
    """The tokens of a text, to find a call's parentheses and commas."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._encoded = text.encode()
        self._tokens: list[Token] = list(scan(text))
        self._numbers = {token.start: number for number, token in enumerate(self._tokens)}

    def literal(self, place: int) -> tuple[int, int]:
        """Where the literal or parameter at byte `place` begins and ends."""
        token = self._tokens[self._number(place)]
        return token.start, token.end

    def value(self, cast: Tree) -> tuple[int, int]:
        """Where the value of a cast begins and ends."""
        at = self._number(cast.get("location", 0))
        name = self._tokens[at].name
        if name == "CAST":
            return self._tokens[at + 2].start, self._tokens[self._as(at) - 1].end
        if name != "TYPECAST":
            raise _not_found()
        first = self._number(_leftmost(cast["arg"]))
        depth = 0
        for token in self._tokens[first:at]:
            depth += (token.name in _OPENING) - (token.name in _CLOSING)
        first += depth  # closed here and opened before it begins: as many parentheses
        if first < 0 or any(
            each.name != "ASCII_40" for each in self._tokens[first : first - depth]
        ):
            raise _not_found()
        return self._tokens[first].start, self._tokens[at - 1].end

    def _as(self, at: int) -> int:
        """The number of the AS of the CAST at `at`."""
        depth = 0
        for number in range(at + 1, len(self._tokens)):
            name = self._tokens[number].name
            depth += (name in _OPENING) - (name in _CLOSING)
            if depth == 1 and name == "AS":
                return number
        raise _not_found()

    def _number(self, place: int) -> int:
        number = self._numbers.get(len(self._encoded[:place].decode()))
        if number is None:
            raise _not_found()
        return number

    def edits(self, place: int, count: int, confined: str) -> tuple[Edit, ...]:
        """What to put around the arguments of the call that begins at byte `place`."""
        start = len(self._encoded[:place].decode())
        bounds = self._bounds(start)
        pieces = _PLACEHOLDER.split(confined)
        numbers = [int(number) for number in pieces[1::2]]
        if len(bounds) != count + 1 or numbers != list(range(1, count + 1)):
            raise _not_found()
        edits = []
        at = start
        for number, piece in enumerate(pieces[::2]):
            # Each bound is a parenthesis or a comma: (start, end).
            before, after = bounds[number]
            opening = "(" if number < count else ""
            closing = ")" if number > 0 else ""
            edits.append((at if number == 0 else before, after, f"{closing}{piece}{opening}"))
        return tuple(edits)

    def _bounds(self, start: int) -> list[tuple[int, int]]:
        """The opening parenthesis, the commas between the arguments, the closing parenthesis."""
        number = self._numbers.get(start, len(self._tokens))
        while number < len(self._tokens) and self._tokens[number].name != "ASCII_40":
            number += 1
        bounds: list[tuple[int, int]] = []
        depth = 0
        for token in self._tokens[number:]:
            depth += (token.name in _OPENING) - (token.name in _CLOSING)
            is_first = not bounds
            if is_first or depth == 0 or (depth == 1 and token.name == "ASCII_44"):
                bounds.append((token.start, token.end))
            if depth == 0:
                break
        return bounds
