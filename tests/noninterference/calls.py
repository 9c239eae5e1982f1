"""Calls of everything that a tool may call: each function, operator, aggregate and cast of the
lists, as the running server declares it, with arguments of the declared types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from proxy.sql.catalog import Catalog
from proxy.sql.functions import is_function_allowed, is_operator_allowed, is_type_allowed
from tests.noninterference.chance import Chance
from tests.noninterference.forms import AGGREGATES, NAMES, SCALARS, SETS
from tests.noninterference.scope import Scope

Leaf = Callable[[str, Scope], str]  # an expression of a family

# How an argument of a type is made of one of a family: `{}` stands for it. Numbers are kept small,
# so that nothing is repeated or filled up for longer than a statement may take, and above zero: a
# row in which everything fails shows little.
_MADE: Final[Mapping[str, tuple[str, str]]] = {
    "text": ("text", "{}"),
    "bpchar": ("text", "({})::bpchar"),
    "varchar": ("text", "({})::varchar"),
    "name": ("text", "({})::name"),
    '"char"': ("text", '({})::"char"'),
    "bytea": ("text", "convert_to({}, 'UTF8')"),
    "tsvector": ("text", "to_tsvector('simple', {})"),
    "tsquery": ("text", "plainto_tsquery('simple', {})"),
    "bit": ("int", "(({} % 9)::int)::bit(8)"),
    "varbit": ("int", "((({} % 9)::int)::bit(8))::varbit"),
    "int2": ("int", "(abs({} % 9) + 1)::int2"),
    "int4": ("int", "(abs({} % 9) + 1)::int4"),
    "int8": ("int", "(abs({} % 90) + 1)"),
    "numeric": ("num", "(abs({} % 50) + 1)"),
    "float4": ("float", "(abs({}) + 1)::float4"),
    "float8": ("float", "(abs({}) + 1)"),
    "money": ("num", "((abs({} % 50) + 1)::numeric)::money"),
    "bool": ("bool", "({})"),
    "date": ("date", "{}"),
    "timestamp": ("ts", "{}"),
    "timestamptz": ("tstz", "{}"),
    "time": ("ts", "({})::time"),
    "timetz": ("tstz", "({})::timetz"),
    "interval": ("int", "make_interval(days => ({} % 90)::int)"),
    "inet": ("inet", "{}"),
    "cidr": ("inet", "network({})"),
    "macaddr": ("int", "('08:00:2b:01:02:0' || abs({} % 10))::macaddr"),
    "macaddr8": ("int", "('08:00:2b:01:02:03:04:0' || abs({} % 10))::macaddr8"),
    "uuid": ("uuid", "{}"),
    "json": ("text", "to_json({})"),
    "jsonb": ("jsonb", "{}"),
    "jsonpath": ("text", "(CASE WHEN {} > 'b' THEN '$.a' ELSE '$[*]' END)::jsonpath"),
    "text[]": ("texts", "{}"),
    "int4[]": ("int", "ARRAY[1, ({} % 3)::int4]"),
    "point": ("float", "point({}, 1)"),
    "box": ("float", "box(point({}, 1), point(2, 3))"),
    "circle": ("float", "circle(point({}, 1), 2)"),
    "lseg": ("float", "lseg(point({}, 1), point(2, 3))"),
    "line": ("float", "line(point({}, 1), point(-200, 3))"),
    "path": ("float", "path(polygon(box(point({}, 1), point(2, 3))))"),
    "polygon": ("float", "polygon(box(point({}, 1), point(2, 3)))"),
    "int4range": ("int", "int4range(({} % 9)::int4, 9)"),
    "int8range": ("int", "int8range({} % 9, 9)"),
    "numrange": ("num", "numrange({}, 90000)"),
    "daterange": ("date", "daterange({}, '2100-01-01')"),
    "tsrange": ("ts", "tsrange({}, '2100-01-01')"),
    "tstzrange": ("range", "{}"),
    "int4multirange": ("int", "int4multirange(int4range(({} % 9)::int4, 9))"),
    "int8multirange": ("int", "int8multirange(int8range({} % 9, 9))"),
    "nummultirange": ("num", "nummultirange(numrange({}, 90000))"),
    "datemultirange": ("date", "datemultirange(daterange({}, '2100-01-01'))"),
    "tsmultirange": ("ts", "tsmultirange(tsrange({}, '2100-01-01'))"),
    "tstzmultirange": ("range", "tstzmultirange({})"),
    "record": ("text", "(SELECT r FROM (SELECT {}, 1) AS r)"),
    '"any"': ("text", "{}"),
    # Of one call, all of one type.
    "anyelement": ("text", "{}"),
    "anynonarray": ("text", "{}"),
    "anyarray": ("texts", "{}"),
    "anycompatible": ("text", "{}"),
    "anycompatiblenonarray": ("text", "{}"),
    "anycompatiblearray": ("texts", "{}"),
    "anyrange": ("range", "{}"),
    "anymultirange": ("range", "tstzmultirange({})"),
    "anycompatiblerange": ("range", "{}"),
    "anycompatiblemultirange": ("range", "tstzmultirange({})"),
    # Of relations and columns, constants: what a tool's metadata statements ask with.
    "oid": ("", "'crm.people'::regclass::oid"),
    "regclass": ("", "'crm.people'::regclass"),
    "regconfig": ("", "'simple'::regconfig"),
    "regdictionary": ("", "'simple'::regdictionary"),
    "regtype": ("", "'text'::regtype"),
    "regprocedure": ("", "'lower(text)'::regprocedure"),
    "regoper": ("", "'pg_catalog.||/'::regoper"),
    "regoperator": ("", "'+(integer,integer)'::regoperator"),
    "pg_lsn": ("", "'0/16AE7F8'::pg_lsn"),
    "int2vector": ("", "'1 2'::int2vector"),
    "oidvector": ("", "'1 2'::oidvector"),
}
_RANGES: Final = frozenset(
    ["anyrange", "anymultirange", "anycompatiblerange", "anycompatiblemultirange"]
)
_OF_A_RANGE: Final[Mapping[str, tuple[str, str]]] = {
    "anyelement": ("tstz", "{}"),
    "anycompatible": ("tstz", "{}"),
}
# Of the session, not of the data.
_LEFT_OUT: Final = frozenset(
    "pg_backend_pid inet_client_port inet_server_port pg_postmaster_start_time pg_conf_load_time"
    " txid_current_snapshot pg_current_snapshot pg_tablespace_location".split()
)
_NO_TEXT: Final = frozenset(["internal", "trigger", "event_trigger", "void", "language_handler"])


@dataclass(frozen=True, slots=True)
class Call:
    """Something that can be called."""

    kind: str  # function, set, aggregate, window, operator, prefix, cast, form …
    name: str
    arguments: tuple[str, ...]


# Calls as they are written: `{family}` stands for an expression.
_FORMS: Final = (
    *(Call("form", each, ()) for each in SCALARS),
    *(Call("form set", each, ()) for each in SETS),
    *(Call("form aggregate", each, ()) for each in AGGREGATES),
)
_FAMILY: Final = re.compile(r"(?<!\{)\{(\w+)\}")


class Calls:
    """Everything that can be called, by kind and name."""

    def __init__(self, calls: Sequence[Call] = ()) -> None:
        self._by_name: dict[str, dict[str, list[Call]]] = {}
        for call in calls:
            self._by_name.setdefault(call.kind, {}).setdefault(call.name, []).append(call)

    def pick(self, chance: Chance, *kinds: str) -> Call | None:
        """Each name as often as any other, however many types it takes."""
        names = [each for kind in kinds for each in self._by_name.get(kind, {}).items()]
        return chance.pick(chance.pick(names)[1]) if names else None

    def __iter__(self) -> Iterator[Call]:
        for names in self._by_name.values():
            for calls in names.values():
                yield from calls


def called(call: Call, leaf: Leaf, scope: Scope) -> str:
    """The call of a function, set, operator or cast, as a text."""
    if call.kind in ("form", "form set"):
        return _formed(call, leaf, scope)
    given = _arguments(call, leaf, scope)
    joined = ", ".join(given)
    match call.kind:
        case "operator":
            return f"({given[0]} OPERATOR(pg_catalog.{call.name}) {given[1]})::text"
        case "prefix":
            return f"(OPERATOR(pg_catalog.{call.name}) {given[0]})::text"
        case "cast":
            return f"(({given[0]})::{call.name})::text"
        case "set":
            return _gathered(f"{call.name}({joined})")
        case _:
            return f"({call.name}({joined}))::text"


def aggregated(call: Call, leaf: Leaf, scope: Scope, condition: str) -> str:
    """The call of an aggregate over rows in an order that all its arguments decide."""
    if call.kind == "form aggregate":
        return f"({_filled(call.name, leaf, scope)}{condition})::text"
    given = _arguments(call, leaf, scope)
    order = ", ".join(f"({each})::text" for each in given)
    ordered = f" ORDER BY {order}" if order else ""
    return f"({call.name}({', '.join(given) or '*'}{ordered}){condition})::text"


def windowed(call: Call, leaf: Leaf, scope: Scope, over: str) -> str:
    return f"({call.name}({', '.join(_arguments(call, leaf, scope))}) OVER ({over}))::text"


def _arguments(call: Call, leaf: Leaf, scope: Scope) -> list[str]:
    is_of_range = any(each in _RANGES for each in call.arguments)
    made = []
    for each in call.arguments:
        family, form = _MADE[each]
        if is_of_range:
            family, form = _OF_A_RANGE.get(each, (family, form))
        made.append(form.format(leaf(family, scope)) if family else form)
    return made


def _formed(call: Call, leaf: Leaf, scope: Scope) -> str:
    made = _filled(call.name, leaf, scope)
    return f"({made})::text" if call.kind == "form" else _gathered(made)


def _filled(form: str, leaf: Leaf, scope: Scope) -> str:
    one = ""

    def filled(place: re.Match[str]) -> str:
        nonlocal one
        one = one if place[1] == "same" else leaf(place[1], scope)
        return one

    return _FAMILY.sub(filled, form).replace("{{", "{").replace("}}", "}")


def _gathered(rows: str) -> str:
    named = rows if " AS s(" in rows else f"{rows} AS s"
    return f"(SELECT string_agg(s::text, ',' ORDER BY s::text) FROM {named})"


# --- what the server has ------------------------------------------------------------------------

_NAMES: Final = (
    "ARRAY(SELECT format_type(t, NULL) FROM unnest({}) WITH ORDINALITY AS u(t, n) ORDER BY n)"
)
# Ordered-set aggregates are called by forms.
_FUNCTIONS: Final = f"""
SELECT p.proname, p.prokind, p.proretset, format_type(p.prorettype, NULL),
       {_NAMES.format("p.proargtypes")}
  FROM pg_proc AS p LEFT JOIN pg_aggregate AS a ON a.aggfnoid = p.oid
 WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind <> 'p' AND p.provolatile <> 'v'
   AND (p.prorettype <> 'record'::regtype OR p.proallargtypes IS NOT NULL)
   AND COALESCE(a.aggkind, 'n') = 'n'
 ORDER BY p.proname, p.oid
"""
_KINDS: Final[Mapping[str, str]] = {"a": "aggregate", "w": "window"}
# What PostgreSQL's grammar takes for something else, unless it is qualified.
_KEYWORDS: Final = "SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'"
_OPERATORS: Final = f"""
SELECT o.oprname, o.oprleft = 0, {_NAMES.format("ARRAY[o.oprleft, o.oprright]")}
  FROM pg_operator AS o WHERE o.oprnamespace = 'pg_catalog'::regnamespace ORDER BY o.oprname, o.oid
"""
_CASTS: Final = """
SELECT format_type(castsource, NULL), format_type(casttarget, NULL) FROM pg_cast
 WHERE oid < 16384 ORDER BY oid
"""
_SHORT: Final[Mapping[str, str]] = {
    "bigint": "int8",
    "integer": "int4",
    "smallint": "int2",
    "real": "float4",
    "double precision": "float8",
    "boolean": "bool",
    "character": "bpchar",
    "character varying": "varchar",
    "bit varying": "varbit",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
    "time with time zone": "timetz",
}


def read_calls(admin: psycopg.Connection, catalog: Catalog) -> Calls:
    """What the lists allow of what the server has, as far as arguments for it can be made."""
    found = [*_FORMS, *_functions(admin), *_operators(admin), *_casts(admin, catalog)]
    return Calls([call for call in found if all(each in _MADE for each in call.arguments)])


def _short(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(_SHORT.get(name, name) for name in names)


def _functions(admin: psycopg.Connection) -> Sequence[Call]:
    words = {word for (word,) in admin.execute(_KEYWORDS)}
    found = []
    for name, kind, is_set, result, names in admin.execute(_FUNCTIONS):
        own = _short(names)
        if not is_function_allowed("pg_catalog", name, len(own)) or result in _NO_TEXT:
            continue
        if name in _LEFT_OUT or (name in NAMES and kind != "w"):
            continue
        written = f"pg_catalog.{name}" if name in words else name
        found.append(Call(_KINDS.get(kind, "set" if is_set else "function"), written, own))
    return found


def _operators(admin: psycopg.Connection) -> Sequence[Call]:
    found = []
    for name, is_prefix, names in admin.execute(_OPERATORS):
        if not is_operator_allowed("pg_catalog", name):
            continue
        own = _short(names[1:] if is_prefix else names)
        found.append(Call("prefix" if is_prefix else "operator", name, own))
    return found


def _casts(admin: psycopg.Connection, catalog: Catalog) -> Sequence[Call]:
    found = []
    for names in admin.execute(_CASTS):
        source, target = _short(names)
        if is_type_allowed("pg_catalog", target.strip('"'), catalog):
            found.append(Call("cast", target, (source,)))
    return found
