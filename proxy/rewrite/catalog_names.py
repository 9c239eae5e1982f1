"""Ids of things that are named by a value: what the tool can see, or an id that nothing has.

    x::regclass   becomes   (SELECT … FROM (SELECT (x)::text) AS t(part))::regclass

A value that is a number is an id; another is a name, looked up by PostgreSQL and then compared with
what is visible. A schema that a tool can not see is not even asked for: PostgreSQL would tell that
the role may not use it. What is not there is PostgreSQL's error for a name of nothing, which no
hidden thing can have: one in pg_catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from sqlglot import exp

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
    is_oid,
    is_one_of_names,
    is_one_of_oids,
)
from proxy.rewrite.catalog_visible import VisibleCatalog
from proxy.sql.named import Named, Seen

# No release of PostgreSQL has an object of this id (access/transam.h: 8000 to 9999 are for work in
# progress), and users' objects have none below 16384.
NO_OID: Final = "9999"
ID, PART = "id", "part"

_DIGITS: Final = "^[0-9]+$"
# Schemas that are there in every database, beside those with something visible (pg_namespace.dat).
_PG_CATALOG, _PG_TOAST = 11, 99
_LOOK_UPS: Final[Mapping[Named, tuple[str, str]]] = {
    Named.RELATION: ("to_regclass", "regclass"),
    Named.ROLE: ("to_regrole", "regrole"),
    Named.SCHEMA: ("to_regnamespace", "regnamespace"),
    Named.TYPE: ("to_regtype", "regtype"),
}
_LISTED: Final[Mapping[Named, tuple[str, str]]] = {
    Named.CONFIG: ("config", "regconfig"),
    Named.DICTIONARY: ("dictionary", "regdictionary"),
}
# Their names have one part and are no SQL where a function takes them.
_PLAIN: Final = frozenset({Named.SCHEMA, Named.ROLE})


def seen_by(visible: VisibleCatalog, path: Sequence[str]) -> Seen:
    return Seen(
        names=visible.names,
        schemas=frozenset(visible.namespaces),
        roles=visible.roles,
        database=visible.database_name,
        path=path,
    )


def has_text_form(kind: Named) -> bool:
    """Whether a name that is not known yet can be looked up."""
    return kind in _LOOK_UPS or kind in _LISTED or kind is Named.DATABASE


def id_by_number(given: Node, condition: Node) -> Node:
    """The id, where the condition holds of column ID; else one that nothing has."""
    value = column(ID)
    is_given = exp.Not(this=exp.Is(this=value, expression=exp.Null()))
    shown = exp.Case(
        ifs=[exp.If(this=condition, true=value), exp.If(this=is_given, true=_oid(NO_OID))]
    )
    return from_values(shown, [cast(given, "oid")], (ID,))


def id_by_text(
    given: Node, kind: Named, visible: VisibleCatalog, condition: Node, *, is_plain: bool = False
) -> Node:
    """The same of a name, or of digits. `is_plain`: the name is no SQL (has_schema_privilege)."""
    part = column(PART)
    is_number = compare(part, "~", _text(_DIGITS))
    is_given = exp.Not(this=exp.Is(this=part, expression=exp.Null()))
    name = call("quote_ident", part) if is_plain and kind in _PLAIN else part
    inner = exp.Case(
        ifs=[
            exp.If(this=is_number, true=cast(part, "oid")),
            exp.If(this=_may_ask(part, kind, visible), true=_asked(name, kind, visible)),
        ]
    )
    found = [inner, part]
    shown = exp.Case(
        ifs=[
            exp.If(this=condition, true=column(ID)),
            exp.If(this=is_number, true=_oid(NO_OID)),
            exp.If(this=is_given, true=_failing(part, kind)),
        ]
    )
    asked = _from(found, _from([cast(given, "text")], exp.Select(), (PART,)), (ID, PART))
    return exp.Subquery(this=asked.select(shown, copy=False))


def id_or_null(given: Node, kind: Named, visible: VisibleCatalog, condition: Node) -> Node:
    """The id of a thing that is named, or NULL."""
    part = column(PART)
    inner = exp.Case(
        ifs=[exp.If(this=_may_ask(part, kind, visible), true=_asked(part, kind, visible))]
    )
    shown = exp.Case(ifs=[exp.If(this=condition, true=column(ID))])
    asked = _from([inner], _from([cast(given, "text")], exp.Select(), (PART,)), (ID,))
    return exp.Subquery(this=asked.select(shown, copy=False))


def shown_list(given: Node, base: str, condition_of: Callable[[str], Node]) -> Node:
    """An array (or oidvector) of ids where each is visible; else NULL."""
    each = call("unnest", cast(column(ID), "_oid"))
    every = from_values(call("bool_and", condition_of(PART)), [each], (PART,))
    nothing = exp.Coalesce(this=every, expressions=[exp.Boolean(this=True)])
    shown = exp.Case(ifs=[exp.If(this=nothing, true=column(ID))])
    return from_values(shown, [cast(given, base)], (ID,))


def is_shown(kind: Named, visible: VisibleCatalog, name: str = ID) -> Node:
    """Whether the id in the column `name` is of something that the tool can see."""
    value = column(name)
    match kind:
        case Named.RELATION:
            oids = [each.oid for each in visible.relations] + [oid for oid, _ in visible.indexes]
        case Named.TYPE:
            oids = list(visible.types)
        case Named.SCHEMA:
            return is_one_of_oids(value, {*visible.namespaces.values(), _PG_CATALOG, _PG_TOAST})
        case Named.ROLE:
            return any_of(is_built_in(value), _is_own_role(value), _is_owner(value, visible))
        case Named.DATABASE:
            return is_oid(value, visible.database)
        case _:
            oids = []
    return any_of(is_built_in(value), is_one_of_oids(value, oids))


def _is_own_role(value: Node) -> Node:
    name = call("quote_ident", cast(exp.CurrentUser(), "text"))
    return compare(value, "=", cast(cast(name, "regrole"), "oid"))


def _is_owner(value: Node, visible: VisibleCatalog) -> Node:
    return is_one_of_oids(value, visible.owners)


# --- looking up ------------------------------------------------------------------------------


def _may_ask(part: Node, kind: Named, visible: VisibleCatalog) -> Node:
    """Whether PostgreSQL may look for the name: without a schema, or in one that is visible."""
    if kind in _LISTED:
        return is_one_of_names(part, _listed(kind, visible))
    if kind is Named.DATABASE:
        return compare(part, "=", call("current_database"))
    if kind in _PLAIN:
        return exp.Not(this=exp.Is(this=part, expression=exp.Null()))
    return any_of(
        compare(call("strpos", part, _text(".")), "=", _int("0")),
        all_of(_is_end(part, "3"), is_one_of_names(_part(part, "1"), _spelt(visible.namespaces))),
        all_of(
            _is_end(part, "4"),
            is_one_of_names(_part(part, "1"), _spelt([visible.database_name])),
            is_one_of_names(_part(part, "2"), _spelt(visible.namespaces)),
        ),
    )


def _spelt(names: Iterable[str]) -> list[str]:
    return [each for name in names for each in (name, f'"{name}"')]


def _part(name: Node, number: str) -> Node:
    return call("split_part", name, _text("."), _int(number))


def _is_end(name: Node, number: str) -> Node:
    return compare(_part(name, number), "=", _text(""))


def _listed(kind: Named, visible: VisibleCatalog) -> Iterable[str]:
    for schema, name in visible.names.get(_LISTED[kind][0], ()):
        yield name
        yield f"{schema}.{name}"


def _asked(name: Node, kind: Named, visible: VisibleCatalog) -> Node:
    if kind is Named.DATABASE:
        return _oid(str(visible.database))
    if kind in _LISTED:
        return cast(cast(name, _LISTED[kind][1]), "oid")
    return cast(call(_LOOK_UPS[kind][0], name), "oid")


def _failing(part: Node, kind: Named) -> Node:
    """An expression that fails as a name of nothing does; an id of nothing if it does not."""
    if kind is Named.DATABASE:
        return _oid(NO_OID)
    base = (_LOOK_UPS.get(kind) or _LISTED[kind])[1]
    if kind in _PLAIN:
        name = call("quote_ident", compare(_text("?"), "||", part))
    else:
        name = compare(_text("pg_catalog."), "||", call("quote_ident", part))
    found = exp.Is(this=cast(exp.Paren(this=name), base), expression=exp.Null())
    return exp.Case(
        ifs=[exp.If(this=found, true=_oid(NO_OID))],
        default=_oid(NO_OID),
    )


# --- SQL -------------------------------------------------------------------------------------


def from_values(
    value: Node, given: Sequence[Node], names: Sequence[str], condition: Node | None = None
) -> Node:
    """(SELECT value FROM (SELECT given …) AS t(names …) WHERE condition)"""
    select = _from(given, exp.Select(), names).select(value, copy=False)
    if condition is not None:
        select = select.where(condition, copy=False)
    return exp.Subquery(this=select)


def _from(given: Sequence[Node], inner: exp.Select, names: Sequence[str]) -> exp.Select:
    """… FROM (SELECT given … [inner's FROM]) AS t(names …)"""
    alias = exp.TableAlias(
        this=exp.to_identifier(ALIAS, quoted=True),
        columns=[exp.to_identifier(name, quoted=True) for name in names],
    )
    inner.set("expressions", list(given))
    return exp.Select().from_(exp.Subquery(this=inner, alias=alias), copy=False)


def _text(value: str) -> Node:
    return cast(exp.Literal.string(value), "text")


def _int(value: str) -> Node:
    return cast(exp.Literal.string(value), "int4")


def _oid(value: str) -> Node:
    return cast(exp.Literal.string(value), "oid")
