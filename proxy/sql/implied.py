"""Literals that PostgreSQL would read as names, though no cast says so.

    oid::regclass = 'crm.people'      the literal becomes a regclass, as its neighbour is one

A literal (or a parameter) without a type takes that of what it stands beside: operands, branches of
a CASE, elements, rows of VALUES, arms of a UNION, arguments of a polymorphic function. Here all
those places are walked. Where a neighbour is of a type whose values are names, the literal is
reported; where a neighbour may be of one, and it is not certain which, the statement is refused,
whatever the literal says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.errors import Reason, Refused
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
_CAST: Final = "regclass"
_MAYBE: Final = "?"  # some such type, or none: it is not certain
_BRANCHES: Final[Mapping[str, tuple[str, ...]]] = {
    "CoalesceExpr": ("args",),
    "MinMaxExpr": ("args",),
    "A_ArrayExpr": ("elements",),
    "RowExpr": ("args",),
}


@dataclass(frozen=True, slots=True)
class Implied:
    """A literal or parameter that becomes a value of `type`."""

    holder: Tree
    type: str


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


class _Finder:
    def __init__(self, node: Tree, columns: Mapping[str, frozenset[str]]) -> None:
        found = {name: _of_types(types) for name, types in columns.items()}
        self._columns = {name: kind for name, kind in found.items() if kind}
        # Where a name is also that of a column of another type, it is not certain which is meant.
        self._others = {name for name, kind in found.items() if not kind}
        nodes = list(_everything("SelectStmt", node))
        self.has_names = bool(self._columns) or any(_makes_names(*each) for each in nodes)
        if self.has_names:
            asked = [
                node,
                *(each["subselect"]["SelectStmt"] for kind, each in nodes if kind == "SubLink"),
            ]
            self._add_derived(nodes, {id(part) for each in asked for part in _results(each)})

    # --- which names of columns may be of such a type ---

    def _add_derived(self, nodes: Sequence[tuple[str, Tree]], results: set[int]) -> None:
        """Names that the statement itself gives to such values. `results`: what it returns, and
        what sub-queries in its expressions do; no expression can refer to these by name.
        """
        known = self._columns
        for name in REG_OUTPUTS:
            known.setdefault(name, _MAYBE)
        for kind, node in nodes:
            # Which column stands behind a listed name would have to be counted out.
            alias = node.get("alias")
            names = alias.get("colnames", ()) if isinstance(alias, dict) else ()
            names = (*names, *node.get("aliascolnames", ()))
            for part in names if kind != "RangeFunction" else ():
                known[part["String"].get("sval", "")] = _MAYBE
        outputs = list(_outputs([each for each in nodes if id(each[1]) not in results]))
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
        """Which of REG_TYPES an expression has, `?` where it may have one; empty: it has none."""
        ((name, fields),) = node.items()
        match name:
            case "TypeCast":
                found = type_of_cast(fields) or ""
                return _MAYBE if found and is_array(fields) else found
            case "ColumnRef":
                return self._columns.get(fields["fields"][-1].get("String", {}).get("sval", ""), "")
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
            case "CollateClause":
                return self.kind(fields["arg"])
            case _:
                return ""

    def all_of(self, nodes: Iterable[Tree]) -> str:
        found = {self.kind(each) for each in nodes} - {""}
        return found.pop() if len(found) == 1 else (_MAYBE if found else "")

    def _of_call(self, call: Tree) -> str:
        name = _name(call)
        if name in REG_FUNCTIONS:
            return REG_FUNCTIONS[name]
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
        return found if found == _MAYBE else ""

    # --- where literals stand ---

    def found(self, node: Tree) -> Iterator[Implied]:
        for kind, fields in _everything("SelectStmt", node):
            for group in _groups(kind, fields):
                yield from self._of_group(kind, fields, group)

    def _of_group(self, kind: str, fields: Tree, group: Sequence[Tree]) -> Iterator[Implied]:
        flat = list(_flat(group))
        literals = [each for each in flat if _is_open(each)]
        if not literals:
            return
        neighbour = self.all_of(each for each in flat if not _is_open(each))
        if not neighbour:
            return
        if kind == "A_Expr" and _is_text_concatenation(fields) and neighbour != _MAYBE:
            return  # a name's text and another
        is_each = kind != "FuncCall" and fields.get("kind") not in ("AEXPR_OP_ANY", "AEXPR_OP_ALL")
        if neighbour == _MAYBE or not is_each or len(flat) != len(group):
            raise Refused(
                Reason.NOT_UNDERSTOOD,
                "a literal could be the name of something here",
                hint="Write its type: 'NAME'::regclass, or cast what it stands beside to text.",
            )
        for literal in literals:
            yield Implied(literal, neighbour)


def _of_types(types: frozenset[str]) -> str:
    found = {reg_type([each]) for each in types} - {None}
    if not found:
        return ""
    is_certain = len(types) == 1 and not any(each.startswith("_") for each in types)
    return str(found.pop()) if is_certain else _MAYBE


def _makes_names(kind: str, node: Tree) -> bool:
    if kind == "TypeCast":
        return type_of_cast(node) is not None
    return kind == "FuncCall" and (_name(node) in REG_FUNCTIONS or _name(node) in _WITH_OUTPUTS)


_WITH_OUTPUTS: Final = frozenset({"pg_partition_tree", "ts_debug"})


def _outputs(nodes: Iterable[tuple[str, Tree]]) -> Iterator[tuple[set[str], list[Tree]]]:
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
                yield {f"column{number}"}, list(group)
        elif kind == "RangeFunction":
            calls = [each["List"]["items"][0] for each in node.get("functions", ())]
            alias = node.get("alias", {})
            listed = {part["String"].get("sval", "") for part in alias.get("colnames", ())}
            yield {alias.get("aliasname", ""), *listed, *map(_called, calls)}, calls


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


def _groups(kind: str, fields: Tree) -> Iterator[Sequence[Tree]]:
    """Expressions whose types become one."""
    if kind == "A_Expr":
        yield list(_operands(fields))
    elif kind == "CaseExpr":
        whens = [each["CaseWhen"] for each in fields["args"]]
        yield [*(each["result"] for each in whens), *_list(fields.get("defresult"))]
        if "arg" in fields:
            yield [fields["arg"], *(each["expr"] for each in whens)]
    elif kind in ("CoalesceExpr", "MinMaxExpr"):
        yield fields["args"]
    elif kind == "A_ArrayExpr":
        yield fields.get("elements", ())
    elif kind == "SubLink" and "testexpr" in fields:
        yield [fields["testexpr"], *_targets(fields["subselect"]["SelectStmt"])]
    elif kind == "FuncCall":
        ordered = _sorted_by(fields) if fields.get("agg_within_group") else ()
        if ordered or _name(fields) in POLYMORPHIC:
            yield [*fields.get("args", ()), *ordered]
    elif kind == "SelectStmt":
        if "valuesLists" in fields:
            rows = [each["List"]["items"] for each in fields["valuesLists"]]
            yield from map(list, zip(*rows, strict=False))
        if "larg" in fields:
            yield from _columns_of_arms(fields)


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
