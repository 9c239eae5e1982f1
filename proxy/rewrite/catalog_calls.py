"""Calls that ask for a thing of the catalog by its id: confined to what the tool can see.

    pg_get_constraintdef(r.oid, true)   becomes
    pg_catalog.pg_get_constraintdef((SELECT CASE WHEN <t.id is built in or visible> THEN t.id
        WHEN t.id IS NOT NULL THEN 9999 END FROM (SELECT (r.oid)::oid) AS t(id)), true)

The argument stands where no name of ours can be taken for one of the tool's: a sub-query without
FROM, beside which nothing is visible. It is evaluated once. Every part of it stays in the tool's
text, so that guards within are put in as elsewhere; and the final text's tree is compared with the
one that is built here, as with guards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp

from proxy.errors import Reason, Refused
from proxy.rewrite.catalog_rules import is_visible_column, visible_objects
from proxy.rewrite.catalog_sql import (
    ALIAS,
    Node,
    all_of,
    any_of,
    call,
    cast,
    column,
    compare,
    is_built_in,
    is_one_of_names,
    is_one_of_oids,
)
from proxy.rewrite.catalog_visible import VisibleCatalog
from proxy.rewrite.guard import sql_text
from proxy.sql.catalog_functions import CatalogCall, Things, catalog_call_of
from proxy.sql.grammar import Token, Tree, parse_query, scan
from proxy.sql.read import names_of
from proxy.sql.settings import FREE_SETTINGS, SHOWN_SETTINGS, is_show_allowed

# No release of PostgreSQL has an object of this id (access/transam.h: 8000 to 9999 are for work in
# progress), and users' objects have none below 16384.
_NO_OID: Final = "9999"
# A name that no setting has: PostgreSQL answers as for any other that it does not know.
_NO_SETTING: Final = "?"
_ID, _PART = "id", "part"

_PLACEHOLDER: Final = re.compile(r"\$([0-9]+)")
_CLOSING: Final = frozenset(["ASCII_41", "ASCII_93"])  # ) ]
_OPENING: Final = frozenset(["ASCII_40", "ASCII_91"])  # ( [


@dataclass(frozen=True, slots=True)
class ConfinedCall:
    """A call in a statement; `edits` replace parts of the text (start, end, replacement)."""

    holder: Tree
    text: str  # what stands for the call, with $1, $2 … for its arguments
    edits: tuple[tuple[int, int, str], ...]

    def expect(self) -> None:
        """Put it into the tree. Of nested calls, the inner one first."""
        arguments = self.holder["FuncCall"].get("args", [])
        target = parse_query(f"SELECT {self.text}")["SelectStmt"]["targetList"][0]["ResTarget"]
        for place in _placeholders(target):
            argument = arguments[place.pop("ParamRef")["number"] - 1]
            place.update(argument)
        self.holder.clear()
        self.holder.update(target["val"])


def confined_calls(node: Tree, text: str, visible: VisibleCatalog) -> list[ConfinedCall]:
    """The calls of a query that are confined, outer ones before those in their arguments."""
    same = parse_query(text)["SelectStmt"]  # positions in this text: the tree's are of another
    found = list(_found(node, same))
    if not found:
        return []
    tokens = _Tokens(text)
    calls = []
    for holder, how, place in found:
        function = holder["FuncCall"]
        count = len(function["args"])
        name = names_of(function["funcname"])[-1]
        confined = _confined(name, count, how, visible)
        calls.append(ConfinedCall(holder, confined, tokens.edits(place, count, confined)))
    return calls


def _found(node: Any, same: Any) -> Iterator[tuple[Tree, CatalogCall, int]]:
    """Every call in `node`, and where it stands in the text (bytes); `same` is the text's tree."""
    if isinstance(node, list):
        others = same if isinstance(same, list) else []
        for number, one in enumerate(node):
            yield from _found(one, others[number] if number < len(others) else None)
    elif isinstance(node, dict):
        other = same if isinstance(same, dict) else {}
        function = node.get("FuncCall")
        how = None if function is None else _how(function)
        if how is not None:
            if "FuncCall" not in other:
                raise _not_found()
            yield node, how, other["FuncCall"].get("location", 0)
        for key, value in node.items():
            yield from _found(value, other.get(key))


def _how(function: Tree) -> CatalogCall | None:
    arguments = function.get("args", ())
    how = catalog_call_of(names_of(function["funcname"]), len(arguments))
    if how is None or _is_known_setting(how, arguments):
        return None
    if "func_variadic" in function or any("NamedArgExpr" in each for each in arguments):
        raise Refused(Reason.NOT_UNDERSTOOD, "a function of the catalog is called in an odd way")
    return how


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


# --- what stands for a call ------------------------------------------------------------------


def _confined(name: str, count: int, how: CatalogCall, visible: VisibleCatalog) -> str:
    arguments: list[Node] = [
        exp.Parameter(this=exp.Literal.number(number)) for number in range(1, count + 1)
    ]
    if how.things is Things.COLUMNS:
        condition = any_of(is_built_in(column(_ID)), is_visible_column(visible, _ID, _PART))
        return sql_text(_pair(name, arguments, ("regclass", "int4"), condition))
    if how.things is Things.OBJECTS:
        condition = _is_object(visible)
        return sql_text(_pair(name, arguments, ("oid", "name"), condition))
    arguments[how.at] = _argument(arguments[how.at], how.things, visible)
    if name == "obj_description":
        arguments.append(cast(exp.Literal.string("pg_class"), "name"))
    return sql_text(call(name, *arguments))


def _argument(given: Node, things: Things, visible: VisibleCatalog) -> Node:
    """The argument, or an id (a name) that nothing has."""
    if things in (Things.NOTHING, Things.NO_NAME):
        nothing = cast(exp.Null(), "oid" if things is Things.NOTHING else "text")
        return _from_arguments(nothing, [given], (_ID,))
    value = column(_ID)
    if things in (Things.SHOWN_SETTINGS, Things.FREE_SETTINGS):
        names = SHOWN_SETTINGS if things is Things.SHOWN_SETTINGS else FREE_SETTINGS
        given, nothing = cast(given, "text"), cast(exp.Literal.string(_NO_SETTING), "text")
        condition = is_one_of_names(call("lower", value), names)
    else:
        given = cast(cast(given, _WRITTEN_AS.get(things, "oid")), "oid")
        nothing = cast(exp.Literal.string(_NO_OID), "oid")
        condition = _CONDITIONS[things](visible)
    shown = exp.Case(
        ifs=[
            exp.If(this=condition, true=value),
            exp.If(this=exp.Not(this=exp.Is(this=value, expression=exp.Null())), true=nothing),
        ]
    )
    return _from_arguments(shown, [given], (_ID,))


def _pair(name: str, arguments: Sequence[Node], types: tuple[str, str], condition: Node) -> Node:
    first = cast(cast(arguments[0], types[0]), "oid")
    given = [first, cast(arguments[1], types[1])]
    value = call(name, column(_ID), column(_PART))
    return _from_arguments(value, given, (_ID, _PART), condition)


def _from_arguments(
    value: Node, given: Sequence[Node], names: Sequence[str], condition: Node | None = None
) -> Node:
    """(SELECT value FROM (SELECT given …) AS t(names …) WHERE condition)"""
    alias = exp.TableAlias(
        this=exp.to_identifier(ALIAS, quoted=True),
        columns=[exp.to_identifier(name, quoted=True) for name in names],
    )
    inner = exp.Subquery(this=exp.Select(expressions=list(given)), alias=alias)
    select = exp.Select(expressions=[value]).from_(inner, copy=False)
    if condition is not None:
        select = select.where(condition, copy=False)
    return exp.Subquery(this=select)


# Names are given for these, where PostgreSQL's function takes them.
_WRITTEN_AS: Final[Mapping[Things, str]] = {
    Things.RELATIONS: "regclass",
    Things.WHOLE_RELATIONS: "regclass",
    Things.DEFINITIONS: "regclass",
    Things.BELOW_SHOWN: "regclass",
    Things.ABOVE_SHOWN: "regclass",
    Things.TYPES: "regtype",
}


def _one_of(oids: Callable[[VisibleCatalog], Sequence[int]]) -> Callable[[VisibleCatalog], Node]:
    return lambda visible: any_of(
        is_built_in(column(_ID)), is_one_of_oids(column(_ID), oids(visible))
    )


def _relations(visible: VisibleCatalog) -> list[int]:
    return [each.oid for each in visible.relations] + [oid for oid, _ in visible.indexes]


def _is_role(visible: VisibleCatalog) -> Node:
    name = call("quote_ident", cast(exp.CurrentUser(), "text"))
    own = compare(column(_ID), "=", cast(cast(name, "regrole"), "oid"))
    return any_of(_one_of(lambda catalog: catalog.owners)(visible), own)


_CONDITIONS: Final[Mapping[Things, Callable[[VisibleCatalog], Node]]] = {
    Things.RELATIONS: _one_of(_relations),
    Things.WHOLE_RELATIONS: _one_of(
        lambda visible: [each.oid for each in visible.relations if each.is_whole]
    ),
    Things.DEFINITIONS: _one_of(lambda visible: visible.defined),
    Things.BELOW_SHOWN: _one_of(lambda visible: visible.below_shown),
    Things.ABOVE_SHOWN: _one_of(lambda visible: visible.above_shown),
    Things.CONSTRAINTS: _one_of(lambda visible: [each.oid for each in visible.constraints]),
    Things.RULES: _one_of(lambda visible: visible.rules),
    Things.TRIGGERS: _one_of(lambda visible: visible.triggers),
    Things.TYPES: _one_of(lambda visible: visible.types),
    Things.ROLES: _is_role,
    Things.DATABASES: _one_of(lambda visible: (visible.database,)),
    Things.BUILT_IN: _one_of(lambda _: ()),
}


def _is_object(visible: VisibleCatalog) -> Node:
    """Whether (id, catalog's name) is a thing that the tool can see."""
    return any_of(
        is_built_in(column(_ID)),
        *(
            all_of(is_one_of_names(column(_PART), [name]), is_one_of_oids(column(_ID), oids))
            for name, oids in visible_objects(visible).items()
        ),
    )


# --- where it stands -------------------------------------------------------------------------


class _Tokens:
    """The tokens of a text, to find a call's parentheses and commas."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._encoded = text.encode()
        self._tokens: list[Token] = list(scan(text))
        self._numbers = {token.start: number for number, token in enumerate(self._tokens)}

    def edits(self, place: int, count: int, confined: str) -> tuple[tuple[int, int, str], ...]:
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
