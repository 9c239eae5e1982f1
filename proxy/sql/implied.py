"""Literals that PostgreSQL would read as names, though no cast says so.

    oid::regclass = 'crm.people'      the literal becomes a regclass, as its neighbour is one

A literal (or a parameter) without a type takes that of what it stands beside: operands, branches of
a CASE, elements, rows of VALUES, arms of a UNION, arguments of a polymorphic function. Here all
those places are walked. Where a neighbour is of a type whose values are names, the literal is
reported; where a neighbour may be of one, and it is not certain which, the statement is refused,
whatever the literal says. It is refused, too, where something beside such a value is converted to
its type by PostgreSQL itself (`conversions.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.errors import Reason, Refused
from proxy.sql.conversions import CONVERTING, NEVER_NAMES, is_oid_type, may_convert
from proxy.sql.grammar import Tree
from proxy.sql.named import reg_type

# Whose result is of such a type ...
REG_FUNCTIONS: Final[Mapping[str, str]] = {
    "get_current_ts_config": "regconfig",
    "pg_basetype": "regtype",
    "pg_partition_ancestors": "regclass",
    "pg_partition_root": "regclass",
    "pg_typeof": "regtype",
    "regclass": "regclass",
    **{
        f"to_{name}": name
        for name in (
            *("regclass", "regcollation", "regnamespace", "regoper", "regoperator"),
            *("regproc", "regprocedure", "regrole", "regtype"),
        )
    },
}
# ... or which has columns of such types.
REG_OUTPUTS: Final = frozenset({"dictionaries", "dictionary", "parentrelid", "relid"})
# The same is true of an aclitem, in which roles are named: what gives such values, and takes them.
_ACL: Final = "aclitem"
ACL_FUNCTIONS: Final = frozenset({"acldefault", "aclexplode"})
# Columns of functions that are numbers or arrays (those of the lists in pg_proc.dat), and of WITH
# ORDINALITY.
_OTHER_OUTPUTS: Final = frozenset(
    """
    grantee grantor last_value level lexemes n ordinality positions tokid weights x
    """.split()
)
# Whose arguments take each other's types; most return one of them.
POLYMORPHIC: Final = frozenset(
    """
    any_value array_agg array_append array_cat array_fill array_position array_positions
    array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort
    first_value lag last_value lead lower max min mode multirange nth_value
    percentile_disc range_agg range_intersect_agg range_merge trim_array unnest upper
    width_bucket
    """.split()
)
_MAYBE: Final = "?"  # some such type, or none: it is not certain
_ARRAY: Final = "[]"  # behind a type: an array of it


@dataclass(frozen=True, slots=True)
class Implied:
    """A literal or parameter that becomes a value of `type`."""

    holder: Tree
    type: str


@dataclass(frozen=True, slots=True)
class _Group:
    """Expressions whose types become one. `is_value`: a value of that type comes out."""

    parts: Sequence[Tree]
    is_value: bool = True


def implied(node: Tree, columns: Mapping[str, frozenset[str]]) -> list[Implied]:
    """The literals of a SELECT's fields that become names. `columns`: the types of the columns of
    the relations that it reads, by their name, as in pg_type. Raises Refused.
    """
    finder = _Finder(node, columns)
    return list(finder.found(node)) if finder.has_names else []


def children(value: Any) -> Iterator[tuple[str, Tree]]:
    """The nodes right below a value: (name, fields)."""
    if isinstance(value, list):
        for each in value:
            yield from children(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key[0] <= "Z":  # a node's name; fields begin with small letters
                yield key, each
            else:
                yield from children(each)


def _everything(kind: str, node: Tree) -> Iterator[tuple[str, Tree]]:
    pending = [(kind, node)]
    while pending:
        kind, node = pending.pop()
        yield kind, node
        pending.extend(children(node))


def _name(call: Tree) -> str:
    return str(call["funcname"][-1]["String"].get("sval", ""))


def type_of_cast(cast: Tree) -> str | None:
    """The type of REG_TYPES that a TypeCast makes, or an array of."""
    names = [part["String"].get("sval", "") for part in cast["typeName"].get("names", ())]
    return reg_type(names) if names else None


def is_array(cast: Tree) -> bool:
    names = cast["typeName"]["names"]
    is_named_so = names[-1]["String"].get("sval", "").startswith("_")
    return bool(cast["typeName"].get("arrayBounds")) or is_named_so


def _is_open(node: Tree) -> bool:
    """A literal or a parameter: its type is its neighbours'."""
    return "ParamRef" in node or "sval" in node.get("A_Const", {})


def _is_empty(node: Tree) -> bool:
    """An array of nothing."""
    return bool(node.get("A_Const", {}).get("sval", {}).get("sval", "") == "{}")


def _is_null(node: Tree) -> bool:
    return bool(node.get("A_Const", {}).get("isnull"))


class _Finder:
    def __init__(self, node: Tree, columns: Mapping[str, frozenset[str]]) -> None:
        found = {name: _of_types(types) for name, types in columns.items()}
        self._columns = {name: kind for name, kind in found.items() if kind}
        # Where a name is also that of a column of another type, it is not certain which is meant.
        self._others = {name for name, kind in found.items() if not kind}
        nodes = list(_everything("SelectStmt", node))
        self.has_names = bool(self._columns) or any(_makes_names(*each) for each in nodes)
        self._plain = self._oids = frozenset[str]()
        if self.has_names:
            asked = [
                node,
                *(each["subselect"]["SelectStmt"] for kind, each in nodes if kind == "SubLink"),
            ]
            # What the statement returns, and what sub-queries in its expressions do: no expression
            # can refer to these by name.
            results = {id(part) for each in asked for part in _results(each)}
            nodes = [each for each in nodes if id(each[1]) not in results]
            self._add_derived(nodes)
            given = {name for each in nodes for name in _given(*each)}
            # Names that only columns have which become no names; and those of oids.
            plain = {name for name, types in columns.items() if types <= NEVER_NAMES}
            self._plain = frozenset(plain - given)
            oids = {name for name, types in columns.items() if types == {"oid"}}
            self._oids = frozenset(oids - given)

    # --- which names of columns may be of such a type ---

    def _add_derived(self, nodes: Sequence[tuple[str, Tree]]) -> None:
        """Names that the statement itself gives to such values."""
        known = self._columns
        if any(kind == "FuncCall" and _name(node) in _WITH_OUTPUTS for kind, node in nodes):
            known.update(dict.fromkeys(REG_OUTPUTS, _MAYBE))
        outputs = list(_outputs(nodes))
        for kind, node in nodes:
            named = _counted(kind, node)
            if named is None:  # which columns these are is not known
                known.update(dict.fromkeys(_listed(kind, node), _MAYBE))
            else:
                outputs += named
        self._add_outputs(outputs)
        while others := {
            name
            for names, values in outputs
            if not (self.all_of(values) or all(map(_is_null, values)))
            for name in names
            if known.get(name, _MAYBE) != _MAYBE
        }:
            # A name that something else has too.
            known.update(dict.fromkeys(others, _MAYBE))
            self._add_outputs(outputs)

    def _add_outputs(self, outputs: Sequence[_Output]) -> None:
        known = self._columns
        is_more = True
        while is_more:
            is_more = False
            for names_given, values in outputs:
                found = self.all_of(values)
                for name in names_given if found else ():
                    is_certain = (
                        len(names_given) == 1
                        and known.get(name, found) == found
                        and name not in self._others
                    )
                    wanted = found if is_certain else _MAYBE
                    if known.get(name) != wanted:
                        known[name] = wanted
                        is_more = True

    # --- of which type an expression is ---

    def kind(self, node: Tree) -> str:
        """Which of REG_TYPES an expression has, or an array of which; `?` where it may have one;
        empty: it has none.
        """
        ((name, fields),) = node.items()
        match name:
            case "TypeCast":
                found = type_of_cast(fields) or ""
                return f"{found}{_ARRAY}" if found and is_array(fields) else found
            case "ColumnRef":
                return self._of_reference(fields["fields"][-1])
            case "FuncCall":
                return self._of_call(fields)
            case "CaseExpr":
                branches = [each["CaseWhen"]["result"] for each in fields["args"]]
                return self.all_of([*branches, *_list(fields.get("defresult"))])
            case "CoalesceExpr" | "MinMaxExpr":
                return self.all_of(fields["args"])
            case "A_ArrayExpr":
                return _MAYBE if self.all_of(fields.get("elements", ())) else ""
            case "RowExpr":
                return _MAYBE if self.all_of(fields.get("args", ())) else ""
            case "A_Indirection":
                return _MAYBE if self._of_parts(fields) else ""
            case "SubLink":
                return self._of_sublink(fields)
            case "A_Expr":
                return self._of_operator(fields)
            case "CollateClause" | "NamedArgExpr":
                return self.kind(fields["arg"])
            case _:
                return ""

    def _of_reference(self, last: Tree) -> str:
        if "A_Star" in last:
            return _MAYBE if self._columns else ""
        return self._columns.get(last["String"].get("sval", ""), "")

    def all_of(self, nodes: Iterable[Tree]) -> str:
        found = {self.kind(each) for each in nodes} - {""}
        return found.pop() if len(found) == 1 else (_MAYBE if found else "")

    def _of_call(self, call: Tree) -> str:
        name = _name(call)
        if name in REG_FUNCTIONS:
            return REG_FUNCTIONS[name]
        if name == "acldefault":
            return f"{_ACL}{_ARRAY}"
        parts = (*call.get("args", ()), *_sorted_by(call))
        return _MAYBE if name in POLYMORPHIC and self.all_of(parts) else ""

    def _of_parts(self, fields: Tree) -> str:
        named = {
            self._columns.get(part["String"].get("sval", ""), "")
            for part in fields.get("indirection", ())
            if "String" in part
        }
        return self.kind(fields["arg"]) or ("".join(named) and _MAYBE)

    def _of_sublink(self, fields: Tree) -> str:
        if fields["subLinkType"] not in ("EXPR_SUBLINK", "ARRAY_SUBLINK"):
            return ""
        found = self.all_of(_targets(fields["subselect"]["SelectStmt"]))
        return _MAYBE if found and fields["subLinkType"] == "ARRAY_SUBLINK" else found

    def _of_operator(self, fields: Tree) -> str:
        """`||` of arrays is an array; NULLIF is its first operand; other operators compare."""
        if fields["kind"] == "AEXPR_NULLIF":
            return self.kind(fields["lexpr"])
        is_concatenation = fields["name"][-1]["String"].get("sval") == "||"
        found = self.all_of(_operands(fields)) if is_concatenation else ""
        return _MAYBE if _is_open_kind(found) else ""

    # --- where literals stand ---

    def found(self, node: Tree) -> Iterator[Implied]:
        for kind, fields in _everything("SelectStmt", node):
            for group in _groups(kind, fields):
                if group.is_value and not self._is_of_oids(kind, group.parts):
                    self._check_conversions(group.parts)
                yield from self._of_group(kind, fields, group.parts)
            if kind == "JoinExpr":
                self._check_merged(fields)

    def _is_of_oids(self, kind: str, parts: Sequence[Tree]) -> bool:
        """Is the first of the values an oid? Then all become oids: a type that is preferred gives
        way to none (parse_coerce.c, select_common_type).
        """
        if kind in ("FuncCall", "A_Expr") or any(map(_has_star, parts)):
            return False  # behind a star stand other columns
        first = next((each for each in parts if not (_is_open(each) or _is_null(each))), {})
        if "TypeCast" in first:
            named = first["TypeCast"]["typeName"]
            return is_oid_type(named) and not named.get("arrayBounds")
        fields = first.get("ColumnRef", {}).get("fields", [{}])
        return fields[-1].get("String", {}).get("sval", "") in self._oids

    def _check_conversions(self, parts: Sequence[Tree]) -> None:
        """Of a type whose values are names all have to be for sure, or they can not become such."""
        closed = [each for each in parts if not _is_open(each) and "RowExpr" not in each]
        found = [self.kind(each) for each in closed]
        if not any(found):
            return
        if found.count(_MAYBE) == len([each for each in found if each]) == 1:
            found.remove(_MAYBE)  # nothing of its kind is beside it
        if _MAYBE in found or any(
            not self.kind(each) and may_convert(each, self._plain.__contains__) for each in closed
        ):
            raise _converted()

    def _check_merged(self, join: Tree) -> None:
        """A column that USING merges is of one type, too."""
        names = {part["String"].get("sval", "") for part in join.get("usingClause", ())}
        if join.get("isNatural"):
            names = set(self._columns)
        if any(self._columns.get(name) == _MAYBE for name in names):
            raise _converted()

    def _of_group(self, kind: str, fields: Tree, group: Sequence[Tree]) -> Iterator[Implied]:
        flat = list(_flat(group))
        # In a comparison other literals share the plan of this one.
        literals = [
            each for each in flat if _is_open(each) and (kind == "A_Expr" or not _is_empty(each))
        ]
        if not literals:
            return
        neighbour = self.all_of(each for each in flat if not _is_open(each))
        if not neighbour:
            return
        is_open = _is_open_kind(neighbour)
        if kind == "A_Expr" and _is_text_concatenation(fields) and not is_open:
            return  # a name's text and another
        is_each = kind != "FuncCall" and fields.get("kind") not in ("AEXPR_OP_ANY", "AEXPR_OP_ALL")
        if is_open or not is_each or len(flat) != len(group):
            raise Refused(
                Reason.NOT_UNDERSTOOD,
                "a literal could be the name of something here",
                hint="Write its type: 'NAME'::regclass, or cast what it stands beside to text.",
            )
        for literal in literals:
            yield Implied(literal, neighbour)


def _is_open_kind(kind: str) -> bool:
    """Is it not for sure a single value of such a type?"""
    return kind == _MAYBE or kind.endswith(_ARRAY)


def _of_types(types: frozenset[str]) -> str:
    if types == {f"_{_ACL}"}:
        return f"{_ACL}{_ARRAY}"
    if types & {_ACL, f"_{_ACL}"}:
        return _MAYBE
    found = {reg_type([each]) for each in types} - {None}
    if not found:
        return ""
    is_certain = len(types) == 1 and not any(each.startswith("_") for each in types)
    return str(found.pop()) if is_certain else _MAYBE


def _makes_names(kind: str, node: Tree) -> bool:
    if kind == "TypeCast":
        return type_of_cast(node) is not None
    return kind == "FuncCall" and _name(node) in _MAKING_NAMES


_WITH_OUTPUTS: Final = frozenset({"pg_partition_tree", "ts_debug"})
_MAKING_NAMES: Final = _WITH_OUTPUTS | REG_FUNCTIONS.keys() | ACL_FUNCTIONS
_ACL_VALUE: Final[Tree] = {"FuncCall": {"funcname": [{"String": {"sval": "acldefault"}}]}}


def _converted() -> Refused:
    return Refused(
        Reason.NOT_UNDERSTOOD,
        "a value could become the name of something here",
        hint="Cast what it stands beside to text, or to oid.",
    )


def _given(kind: str, node: Tree) -> Iterator[str]:
    """Names that a statement itself gives to columns, whatever they are."""
    yield from _listed(kind, node)
    match kind:
        case "ResTarget" if "name" in node:
            yield str(node["name"])
        case "ResTarget" if "val" in node and "ColumnRef" not in node["val"]:
            yield from _made_up(node["val"])
        case "RangeFunction" | "RangeTableFuncCol" | "ColumnDef" | "JsonTableColumn":
            for names, _ in _outputs([(kind, node)]):
                yield from names
        case "SelectStmt" if "valuesLists" in node:
            count = len(node["valuesLists"][0]["List"]["items"])
            yield from (f"column{number}" for number in range(1, count + 1))
        case _:
            pass


def _listed(kind: str, node: Tree) -> list[str]:
    """Names for columns in an alias, or behind a WITH query's name."""
    alias = node.get("alias")
    names = alias.get("colnames", ()) if isinstance(alias, dict) else ()
    if kind == "RangeFunction":
        return []  # those are what its calls return
    return [part["String"].get("sval", "") for part in (*names, *node.get("aliascolnames", ()))]


def _counted(kind: str, node: Tree) -> list[_Output] | None:
    """The listed names with the expressions that each stands for; None if these are not known."""
    names = _listed(kind, node)
    query = node.get({"RangeSubselect": "subquery", "CommonTableExpr": "ctequery"}.get(kind, ""))
    if not names or query is None:
        return None if names else []
    arms = list(_arms(query["SelectStmt"]))
    if any(_has_star(each) for arm in arms for each in arm):
        return None
    return [
        ({name}, list(group)) for name, group in zip(names, zip(*arms, strict=False), strict=False)
    ]


_Output = tuple[set[str], list[Tree]]


def _outputs(nodes: Iterable[tuple[str, Tree]]) -> Iterator[_Output]:
    """Names of columns, and the expressions that they stand for."""
    for kind, node in nodes:
        if kind == "ResTarget" and "val" in node:
            names = {node["name"]} if "name" in node else set(_made_up(node["val"]))
            yield names, [node["val"]]
        elif kind == "SelectStmt" and "larg" in node:
            # Named as the first arm's columns are.
            named = _names_of_arms(node)
            groups = list(_columns_of_arms(node))
            if len(named) != len(groups):  # a star: any of them may have any name
                named = [set().union(*named)] * len(groups)
            yield from zip(named, map(list, groups), strict=True)
        elif kind == "SelectStmt" and "valuesLists" in node:
            for number, group in enumerate(_groups(kind, node), 1):
                yield {f"column{number}"}, list(group.parts)
        elif kind == "RangeFunction":
            calls = [each["List"]["items"][0] for each in node.get("functions", ())]
            alias = node.get("alias", {})
            listed = {part["String"].get("sval", "") for part in alias.get("colnames", ())}
            yield {alias.get("aliasname", ""), *listed, *map(_called, calls)}, calls
            for name in _OTHER_OUTPUTS:
                yield {name}, [_OF_ANY_TYPE]
        elif kind in ("RangeTableFuncCol", "ColumnDef", "JsonTableColumn"):
            yield {str(node.get("colname", node.get("name", "")))}, [_OF_ANY_TYPE]


# A value of no type of names, as far as is known.
_OF_ANY_TYPE: Final[Tree] = {"SetToDefault": {}}


def _results(select: Tree) -> Iterator[Tree]:
    """What a query returns, and the set operations of which that is."""
    yield select
    for arm in ("larg", "rarg"):
        if arm in select:
            yield from _results(select[arm])
    for each in select.get("targetList", ()):
        yield each["ResTarget"]


def _names_of_arms(select: Tree) -> list[set[str]]:
    """The names of the first arm's columns, as far as they can be known."""
    if "larg" in select:
        return _names_of_arms(select["larg"])
    if "valuesLists" in select:
        count = len(select["valuesLists"][0]["List"]["items"])
        return [{f"column{number}"} for number in range(1, count + 1)]
    targets = [each["ResTarget"] for each in select.get("targetList", ())]
    return [
        {target["name"]} if "name" in target else set(_made_up(target["val"])) for target in targets
    ]


def _called(node: Tree) -> str:
    return _name(node["FuncCall"]) if "FuncCall" in node else ""


def _made_up(value: Tree) -> Iterator[str]:
    """The names that PostgreSQL may give to an output column without one."""
    for kind, node in _everything(*next(iter(value.items()))):
        match kind:
            case "FuncCall":
                yield _name(node)
            case "TypeCast":
                yield str(node["typeName"]["names"][-1]["String"].get("sval", ""))
            case "ColumnRef":
                yield str(node["fields"][-1].get("String", {}).get("sval", ""))
            case "ResTarget" if "name" in node:
                yield str(node["name"])
            case _:
                pass
    yield from ("case", "coalesce", "array", "greatest", "least", "nullif", "row")


def _groups(kind: str, fields: Tree) -> Iterator[_Group]:
    if kind == "A_Expr":
        is_concatenation = fields["name"][-1]["String"].get("sval") == "||"
        yield _Group(list(_operands(fields)), is_value=is_concatenation)
    elif kind == "CaseExpr":
        whens = [each["CaseWhen"] for each in fields["args"]]
        # ELSE is the first to decide on the type.
        yield _Group([*_list(fields.get("defresult")), *(each["result"] for each in whens)])
        if "arg" in fields:
            yield _Group([fields["arg"], *(each["expr"] for each in whens)], is_value=False)
    elif kind in ("CoalesceExpr", "MinMaxExpr"):
        yield _Group(fields["args"])
    elif kind == "A_ArrayExpr":
        yield _Group(fields.get("elements", ()))
    elif kind == "SubLink" and "testexpr" in fields:
        parts = [fields["testexpr"], *_targets(fields["subselect"]["SelectStmt"])]
        yield _Group(parts, is_value=False)
    elif kind == "FuncCall":
        yield from _groups_of_call(fields)
    elif kind == "CommonTableExpr" and "cycle_clause" in fields:
        yield _Group(
            [fields["cycle_clause"][f"cycle_mark_{part}"] for part in ("value", "default")]
        )
    elif kind == "SelectStmt":
        if "valuesLists" in fields:
            rows = [each["List"]["items"] for each in fields["valuesLists"]]
            yield from (_Group(column) for column in zip(*rows, strict=False))
        if "larg" in fields:
            yield from map(_Group, _columns_of_arms(fields))


def _groups_of_call(call: Tree) -> Iterator[_Group]:
    name, arguments = _name(call), call.get("args", ())
    ordered = _sorted_by(call) if call.get("agg_within_group") else ()
    if ordered or name in POLYMORPHIC:
        yield _Group([*arguments, *ordered], is_value=False)
    if name == "aclexplode":
        yield _Group([*arguments, _ACL_VALUE], is_value=False)
    if name in CONVERTING:
        yield _Group([arguments[at] for at in CONVERTING[name] if at < len(arguments)])


def _columns_of_arms(fields: Tree) -> Iterator[Sequence[Tree]]:
    arms = list(_arms(fields))
    if any(_has_star(each) for arm in arms for each in arm):
        yield [each for arm in arms for each in arm]
    else:
        yield from map(list, zip(*arms, strict=False))


def _arms(select: Tree) -> Iterator[list[Tree]]:
    if "larg" in select:
        yield from _arms(select["larg"])
        yield from _arms(select["rarg"])
    elif "valuesLists" in select:
        for row in select["valuesLists"]:
            yield row["List"]["items"]
    else:
        yield [each["ResTarget"]["val"] for each in select.get("targetList", ())]


def _targets(select: Tree) -> list[Tree]:
    return [each for arm in _arms(select) for each in arm]


def _has_star(value: Tree) -> bool:
    return any("A_Star" in part for part in value.get("ColumnRef", {}).get("fields", ()))


def _operands(fields: Tree) -> Iterator[Tree]:
    for side in ("lexpr", "rexpr"):
        yield from _list(fields.get(side))


def _sorted_by(call: Tree) -> list[Tree]:
    return [each["SortBy"]["node"] for each in call.get("agg_order", ())]


def _list(value: Any) -> list[Tree]:
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if "List" in value:
        return list(value["List"].get("items", ()))
    return [value]


def _flat(group: Iterable[Tree]) -> Iterator[Tree]:
    """With the parts of rows, which are compared one by one, and of arrays behind = ANY."""
    for each in group:
        if "RowExpr" in each:
            yield from _flat(each["RowExpr"].get("args", ()))
        else:
            yield each


def _is_text_concatenation(fields: Tree) -> bool:
    return bool(fields["name"][-1]["String"].get("sval") == "||")
