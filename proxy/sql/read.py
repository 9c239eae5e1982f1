"""What a query holds, read from PostgreSQL's tree: relations, columns, functions, types.

One walk over the tree of a SELECT (or VALUES, TABLE, set operation) does three things:
* it refuses every node, function, operator, type and clause that is not on a list;
* it resolves which names are relations, by PostgreSQL's scoping of WITH;
* it collects what rewriting and the access record need.

It is the second, independent reading: the positions come from sqlglot (`resolve.py`), and the
two must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.errors import Reason, Refused
from proxy.policy.model import RelationName
from proxy.sql.catalog import FIRST_NORMAL_OID, Catalog
from proxy.sql.catalog_functions import catalog_call_of, is_catalog_call, named_call_of
from proxy.sql.functions import (
    ARGUMENT_CHECKED,
    is_function_allowed,
    is_type_allowed,
)
from proxy.sql.grammar import Tree
from proxy.sql.implied import ACL_FUNCTIONS, REG_FUNCTIONS
from proxy.sql.missing import (
    function_refusal,
    operator_refusal,
    permission_refusal,
    type_refusal,
)
from proxy.sql.named import ACL_TYPE_OIDS, REG_TYPE_OIDS, Named, not_there, reg_type
from proxy.sql.permitted import Permitted
from proxy.sql.settings import FREE_SETTINGS, is_show_allowed

# Nodes of PostgreSQL's raw parse tree (nodes/parsenodes.h) that only compute on their inputs.
# What is absent is refused: data changes, locks, samples, cursors' positions, new nodes.
ALLOWED_NODES: Final = frozenset(
    """
    SelectStmt ResTarget ColumnRef A_Star A_Const String Integer Float Boolean BitString List
    ParamRef A_Expr BoolExpr NullTest BooleanTest SubLink CaseExpr CaseWhen CoalesceExpr
    MinMaxExpr FuncCall NamedArgExpr TypeCast TypeName CollateClause A_ArrayExpr A_Indirection
    A_Indices RowExpr SQLValueFunction SortBy WindowDef GroupingSet GroupingFunc RangeSubselect
    RangeFunction JoinExpr CommonTableExpr ColumnDef RangeVar
    JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor JsonObjectAgg
    JsonArrayAgg JsonKeyValue JsonValueExpr JsonFuncExpr JsonIsPredicate JsonTable
    JsonTableColumn JsonTablePathSpec JsonParseExpr JsonScalarExpr JsonSerializeExpr
    JsonArgument JsonFormat JsonBehavior JsonOutput JsonReturning JsonAggConstructor
    XmlExpr XmlSerialize RangeTableFunc RangeTableFuncCol
    """.split()
)

_JSON_CONSTRUCTORS: Final = frozenset(
    "json json_scalar json_serialize json_object json_array json_objectagg json_arrayagg json_query"
    " json_value json_exists json_table".split()
)
_JSON_GRAMMAR: Final = 170000  # server_version_num of the first that has all of them

# Allowed nodes that hold values only, no other node.
_LEAVES: Final = frozenset("A_Const A_Star String Integer Float Boolean BitString".split())

# Of every server.
_COLLATIONS: Final = frozenset({("pg_catalog", name) for name in ("default", "C", "POSIX")})

# PostgreSQL cuts longer names (NAMEDATALEN).
NAME_BYTES_MAX: Final = 63

_WITH_FORMS: Final = frozenset({"aliascolnames", "search_clause", "cycle_clause"})

# Asked of a relation name as the tool wrote it: which relation is it? Refuses, never None.
NameResolver = Callable[[str | None, str], RelationName]


@dataclass(slots=True, eq=False)
class RelationUse:
    """One place where a statement names a relation.

    `holder` is the tree's wrapper `{"RangeVar": {…}}`: replacing its content replaces the use.
    """

    relation: RelationName
    holder: Tree
    alias: str
    has_alias: bool
    has_column_aliases: bool
    location: int
    is_only: bool  # of something without children: no other rows than without ONLY
    select: Tree  # the SELECT whose FROM holds it
    is_nullable_side: bool
    is_hidden: bool  # inside a join with an alias of its own: its name is not visible in WHERE
    on_conditions: tuple[Tree, ...]  # ON of the inner joins around it, up to the FROM list


@dataclass(slots=True, eq=False)
class DerivedUse:
    """A sub-query of a FROM list, or the one place where a WITH query is named."""

    holder: Tree
    alias: str
    has_column_aliases: bool
    select: Tree  # the SELECT whose FROM holds it
    is_nullable_side: bool
    is_hidden: bool
    on_conditions: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class SchemaUse:
    """A column reference that names its relation's schema; `alias` is the guard's name."""

    schema: str
    name: str
    alias: str
    location: int


@dataclass(slots=True)
class Reading:
    """What one walk collected."""

    uses: list[RelationUse] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)  # last part of every column reference
    repeated: set[str] = field(default_factory=set)  # … of more than one
    single_names: set[str] = field(default_factory=set)  # references of one part: maybe whole rows
    qualified: set[tuple[str, str]] = field(default_factory=set)  # `t.c`: (t, c)
    starred: set[str] = field(default_factory=set)  # `t.*`: t
    # SELECTs (by id of their node) with `*` or a NATURAL JOIN: they take all columns of their FROM.
    starred_selects: set[int] = field(default_factory=set)
    schema_uses: list[SchemaUse] = field(default_factory=list)  # `s.t.c` and `s.t.*`, as they stand
    parameters: dict[int, int] = field(default_factory=dict)  # $n → how often
    # By id of a SELECT's node: where its rows are a FROM item; which kind of SubLink it is.
    derived: dict[int, DerivedUse] = field(default_factory=dict)
    sublinks: dict[int, str] = field(default_factory=dict)
    item_names: list[str] = field(default_factory=list)  # of all FROM lists
    comparisons: int = 0  # operators with a left and a right side, comparing or not
    has_catalog_calls: bool = False  # calls that `catalog_calls.py` confines
    calls_database: bool = False  # a function that the policy names, not one of PostgreSQL's

    def note_column(self, name: str) -> None:
        if name in self.columns:
            self.repeated.add(name)
        self.columns.add(name)


@dataclass(frozen=True, slots=True)
class _Item:
    """A name that a FROM list makes visible; `use` only for a relation without an alias."""

    name: str
    use: RelationUse | None

    @property
    def relation(self) -> RelationName | None:
        return self.use.relation if self.use is not None else None


@dataclass(frozen=True, slots=True)
class _SchemaReference:
    """`schema.relation.column`, where it stands and whose it is."""

    node: Tree
    use: RelationUse | None  # None: PostgreSQL will say that it is nobody's
    is_captured: bool  # the short name would mean another FROM item


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """The joins around a FROM item."""

    is_nullable: bool = False
    is_hidden: bool = False
    conditions: tuple[Tree, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What beyond the built-in lists a statement may name."""

    catalog: Catalog
    own: Permitted


def read(node: Tree, resolve: NameResolver, lists: Lists) -> Reading:
    """Walk a SelectStmt's fields; raises Refused. The tree is not changed, except that
    `schema.relation.column` becomes the guard's name and the column.
    """
    walker = _Walker(resolve, lists)
    walker.select(node, frozenset(), ())
    walker.finish()
    return walker.reading


def check_type(node: Tree, lists: Lists, *, is_cast: bool = False) -> None:
    """Check a TypeName. Raises Refused(type_not_allowed).

    A type whose values are names of things is for casts in a query only, where what they name is
    looked at: not for PREPARE, EXECUTE, columns of a function.
    """
    names = names_of(node.get("names", []))
    schema = names[0] if len(names) == 2 else None
    if names and not is_cast and reg_type(names) is not None:
        raise Refused(
            Reason.TYPE_NOT_ALLOWED,
            f"type {'.'.join(names)} is not allowed here",
            hint="Use text, and cast it where it is used.",
        )
    if (
        len(names) in (1, 2)
        and not node.get("pct_type")
        and (
            is_type_allowed(schema, names[-1], lists.catalog)
            or lists.own.allows_type(schema, names[-1])
        )
    ):
        return
    raise type_refusal(names)


def check_parameter_types(types: Sequence[int], lists: Lists) -> None:
    """Check the types that Parse declares: to read a parameter is a cast, and a domain's CHECK
    calls functions. Raises Refused(type_not_allowed).
    """
    for oid in types:
        is_built_in = oid < FIRST_NORMAL_OID and oid not in REG_TYPE_OIDS | ACL_TYPE_OIDS
        is_known = is_built_in or oid in lists.own.types
        if not is_known and not _is_enum(oid, lists.catalog):
            raise Refused(
                Reason.TYPE_NOT_ALLOWED,
                "a parameter's type is not allowed here",
                hint="Declare one of PostgreSQL's own types, or an enum of the policy's schemas.",
            )


def _is_enum(oid: int, catalog: Catalog) -> bool:
    """An enum of the policy's schemas, or an array of one."""
    enums = {
        each.oid: each.related
        for each in catalog.structure.types
        if each.kind == "e" and f"{each.schema}.{each.name}" in catalog.enums
    }
    return oid in enums or any(oid in related for related in enums.values())


def names_of(parts: list[Tree]) -> list[str]:
    """The strings of a dotted name."""
    return [part["String"].get("sval", "") for part in parts]


def _names_free_setting(name: str, node: Tree) -> bool:
    """A call of current_setting or set_config, whose first argument may be any but a literal that
    is not on the lists.
    """
    arguments = node.get("args", ())
    if (name, len(arguments)) not in ARGUMENT_CHECKED:
        return False
    constant = arguments[0].get("A_Const", {}).get("sval")
    if constant is None:
        return True  # SQLAlchemy asks with a parameter: `catalog_calls.py` confines its value
    setting = constant.get("sval", "").lower()
    return setting in FREE_SETTINGS if name == "set_config" else is_show_allowed(setting)


def _is_star(target: Tree) -> bool:
    """A bare `*`, which PostgreSQL takes in a target list only."""
    fields = target["ResTarget"].get("val", {}).get("ColumnRef", {}).get("fields", ())
    return len(fields) == 1 and "A_Star" in fields[0]


def _placed(refused: Refused, node: Tree) -> Refused:
    """The refusal, as one of this node, unless it is of a node inside it."""
    if refused.location is None:
        refused.location = node.get("location")
    return refused


def _derived(holder: Tree, alias: Tree, select: Tree, around: _Around) -> DerivedUse:
    return DerivedUse(
        holder=holder,
        alias=alias["aliasname"],
        has_column_aliases="colnames" in alias,
        select=select,
        is_nullable_side=around.is_nullable,
        is_hidden=around.is_hidden,
        on_conditions=around.conditions,
    )


def _is_closed(item: Tree) -> bool:
    """A sub-query of a FROM list that does not see the list's other names."""
    return "RangeSubselect" in item and not item["RangeSubselect"].get("lateral")


class _Walker:
    def __init__(self, resolve: NameResolver, lists: Lists) -> None:
        self.reading = Reading()
        self._resolve = resolve
        self._lists = lists
        self._function_items: set[str] = set()
        self._has_unnamed_function = False
        self._sets: Tree | None = None  # a call of set_config
        self._cast_types: set[int] = set()  # by id: a TypeCast's own type
        self._item_names: set[str] = set()
        self._with_queries: dict[str, list[Tree]] = {}
        self._with_uses: dict[str, list[DerivedUse]] = {}
        self._renamed: dict[int, RelationUse] = {}  # by id: a short name of theirs is ambiguous
        self._schema_references: list[_SchemaReference] = []
        self._checks: Mapping[str, Callable[[Tree], None]] = {
            "FuncCall": self._function,
            "A_Expr": self._expression,
            "SubLink": self._sublink,
            "CaseExpr": self._case,
            "SortBy": lambda node: self._operator(node.get("useOp", [])),
            "TypeName": self._type,
            "TypeCast": self._cast,
            "A_Indirection": self._indirection,
            "CollateClause": self._collation,
            "ParamRef": self._parameter,
        }

    # --- generic part ---

    def walk(self, value: Any, ctes: frozenset[str], scopes: tuple[list[_Item], ...]) -> None:
        """Of JSON: dicts and lists are of these very types."""
        if type(value) is list:
            for item in value:
                self.walk(item, ctes, scopes)
        elif type(value) is dict:
            for key, item in value.items():
                if key[0] <= "Z":  # a node's name; fields begin with small letters
                    if key not in _LEAVES:
                        self._node(key, item, ctes, scopes)
                elif key == "typeName":
                    self._type(item)
                    self.walk(item, ctes, scopes)
                elif type(item) is dict or type(item) is list:
                    self.walk(item, ctes, scopes)

    def _node(
        self, kind: str, node: Tree, ctes: frozenset[str], scopes: tuple[list[_Item], ...]
    ) -> None:
        if kind not in ALLOWED_NODES:
            raise Refused(
                Reason.NOT_UNDERSTOOD,
                f"this form of statement is not supported: {kind}",
                hint="Write it in another way; only reading is supported.",
            )
        try:
            if kind == "ColumnRef":
                self._column(node, scopes)
            elif kind == "SelectStmt":
                self.select(node, ctes, scopes)
            elif kind == "RangeVar":
                raise Refused(Reason.NOT_UNDERSTOOD, "a relation is named in an unexpected place")  # noqa: TRY301 - it is placed below
            else:
                check = self._checks.get(kind)
                if check is not None:
                    check(node)
                elif kind.startswith("Json"):
                    self._json()
                self.walk(node, ctes, scopes)
        except Refused as refused:
            raise _placed(refused, node) from None

    def _json(self) -> None:
        """To a server whose grammar is older, JSON_VALUE(…) and its like are functions by name."""
        catalog = self._lists.catalog
        names = catalog.shadowed_functions & _JSON_CONSTRUCTORS
        if names and catalog.server_version < _JSON_GRAMMAR:
            raise Refused(
                Reason.FUNCTION_NOT_ALLOWED,
                f"function {min(names)} of the database could be called instead of PostgreSQL's",
            )

    # --- queries and their scopes ---

    def select(self, node: Tree, ctes: frozenset[str], scopes: tuple[list[_Item], ...]) -> None:
        if "intoClause" in node:
            raise Refused(
                Reason.STATEMENT_KIND, "SELECT INTO creates a table; only reading is supported"
            )
        if "lockingClause" in node:
            raise Refused(
                Reason.STATEMENT_KIND,
                "row locks (FOR UPDATE, FOR SHARE) are not supported",
                hint="Leave the locking clause out: the proxy only reads.",
            )
        ctes = self._with(node.get("withClause"), ctes, scopes)
        if "larg" in node:
            self.select(node["larg"], ctes, scopes)
            self.select(node["rarg"], ctes, scopes)
        if any(_is_star(target) for target in node.get("targetList", ())):
            self.reading.starred_selects.add(id(node))
        here: list[_Item] = []
        inner = (*scopes, here)
        pending: list[Any] = []
        for item in node.get("fromClause", ()):
            self._from(item, node, here, pending, ctes, _Around())
        self._rename_namesakes(here)
        # The items' own expressions are read when all names of the FROM list are known: a
        # LATERAL item may refer to any of them, a sub-query that is not LATERAL to none.
        for value in pending:
            self.walk(value, ctes, scopes if _is_closed(value) else inner)
        for key, value in node.items():
            if key not in ("withClause", "larg", "rarg", "fromClause"):
                self.walk(value, ctes, inner)

    def _with(
        self, clause: Tree | None, ctes: frozenset[str], scopes: tuple[list[_Item], ...]
    ) -> frozenset[str]:
        """PostgreSQL's scoping of WITH (parse_cte.c): an item sees the ones before it; under
        RECURSIVE each sees all. Returns the names that the query itself sees.
        """
        if clause is None:
            return ctes
        items = [item["CommonTableExpr"] for item in clause.get("ctes", ())]
        if clause.get("recursive"):
            ctes = ctes | {item["ctename"] for item in items}
        for item in items:
            self._with_queries.setdefault(item["ctename"], []).append(item)
            self.walk(item["ctequery"], ctes, scopes)
            self.walk(
                {key: value for key, value in item.items() if key not in ("ctequery", "ctename")},
                ctes,
                scopes,
            )
            ctes = ctes | {item["ctename"]}
        return ctes

    def _from(
        self,
        holder: Tree,
        select: Tree,
        here: list[_Item],
        pending: list[Any],
        ctes: frozenset[str],
        around: _Around,
    ) -> None:
        ((kind, node),) = holder.items()
        if kind == "RangeVar":
            self._relation(holder, node, select, here, ctes, around)
        elif kind == "JoinExpr":
            self._join(node, select, here, pending, ctes, around)
        elif kind in ("RangeSubselect", "RangeFunction", "RangeTableFunc", "JsonTable"):
            alias = node.get("alias")
            if alias:
                here.append(_Item(alias["aliasname"], None))
            if kind == "RangeFunction":
                self._note_function(node)
            elif kind == "RangeSubselect" and alias:
                query = node["subquery"]["SelectStmt"]
                self.reading.derived[id(query)] = _derived(holder, alias, select, around)
            pending.append(holder)
        elif kind == "RangeTableSample":
            raise Refused(Reason.STATEMENT_KIND, "TABLESAMPLE is not supported")
        else:
            raise Refused(Reason.NOT_UNDERSTOOD, f"this form of FROM item is not supported: {kind}")

    def _note_function(self, node: Tree) -> None:
        """Remember by which name a function of the FROM list can be a value of its own."""
        if "alias" in node:
            self._function_items.add(node["alias"]["aliasname"])
            return
        for item in node.get("functions", ()):
            call = item["List"]["items"][0].get("FuncCall")
            if call is None:
                self._has_unnamed_function = True  # CURRENT_USER, CAST …: named by PostgreSQL
            else:
                self._function_items.add(names_of(call["funcname"])[-1])

    def _join(
        self,
        node: Tree,
        select: Tree,
        here: list[_Item],
        pending: list[Any],
        ctes: frozenset[str],
        around: _Around,
    ) -> None:
        kind = node.get("jointype", "JOIN_INNER")
        quals = node.get("quals")
        conditions = around.conditions
        if kind == "JOIN_INNER" and quals is not None:
            conditions = (*conditions, quals)
        for side, nullable_under in (
            ("larg", ("JOIN_RIGHT", "JOIN_FULL")),
            ("rarg", ("JOIN_LEFT", "JOIN_FULL")),
        ):
            inside = _Around(
                is_nullable=around.is_nullable or kind in nullable_under,
                is_hidden=around.is_hidden or "alias" in node,
                conditions=conditions,
            )
            self._from(node[side], select, here, pending, ctes, inside)
        aliases = [node[name] for name in ("alias", "join_using_alias") if name in node]
        here.extend(_Item(alias["aliasname"], None) for alias in aliases)
        if node.get("isNatural"):
            self.reading.starred_selects.add(id(select))
        if node.get("isNatural") or node.get("usingClause"):
            self._implied("=")
        for column in node.get("usingClause", ()):
            self.reading.note_column(column["String"].get("sval", ""))
        if quals is not None:
            pending.append(quals)

    def _relation(
        self,
        holder: Tree,
        node: Tree,
        select: Tree,
        here: list[_Item],
        ctes: frozenset[str],
        around: _Around,
    ) -> None:
        schema, name, alias = node.get("schemaname"), node.get("relname", ""), node.get("alias")
        shown = alias["aliasname"] if alias else name
        if schema is None and name in ctes:
            here.append(_Item(shown, None))
            derived = _derived(holder, alias or {"aliasname": name}, select, around)
            self._with_uses.setdefault(name, []).append(derived)
            return
        if node.get("catalogname", self._lists.catalog.database) != self._lists.catalog.database:
            raise Refused(Reason.NOT_UNDERSTOOD, "another database can not be read from here")
        try:
            relation = self._resolve(schema, name)
        except Refused as refused:
            raise _placed(refused, node) from None
        if not node.get("inh"):
            self._check_only(relation)
        use = RelationUse(
            relation=relation,
            holder=holder,
            alias=shown,
            has_alias=alias is not None,
            has_column_aliases=bool(alias and alias.get("colnames")),
            location=node.get("location", 0),
            is_only=not node.get("inh"),
            select=select,
            is_nullable_side=around.is_nullable,
            is_hidden=around.is_hidden,
            on_conditions=around.conditions,
        )
        here.append(_Item(shown, None if alias else use))
        self.reading.uses.append(use)

    def _check_only(self, relation: RelationName) -> None:
        """ONLY tells which rows are in a child. Without children it says nothing (pg_dump)."""
        found = self._lists.catalog.relations.get(relation)
        if found is None or found.has_children or found.kind == "p":
            raise Refused(Reason.STATEMENT_KIND, "ONLY is not supported", hint="Leave ONLY out.")

    # --- names ---

    def _column(self, node: Tree, scopes: tuple[list[_Item], ...]) -> None:
        fields = node["fields"]
        for part in fields:
            if "String" not in part and "A_Star" not in part:
                raise Refused(Reason.NOT_UNDERSTOOD, "a column reference is not understood")
        if len(fields) > 3:
            raise Refused(
                Reason.NOT_UNDERSTOOD,
                "names with a database (database.schema.table.column) are not supported",
            )
        last = fields[-1]
        if "A_Star" not in last:
            name = last["String"].get("sval", "")
            self.reading.note_column(name)
            if len(fields) == 1:
                self.reading.single_names.add(name)
        if len(fields) > 1 and "String" in last:
            is_row = not self._may_be_scalar(fields[-2]["String"].get("sval", ""))
            self._no_dotted_function(last["String"].get("sval", ""), is_row=is_row)
        if len(fields) == 3:
            self._schema_reference(node, scopes)
        elif len(fields) == 2:
            self._note_qualified(fields)

    def _note_qualified(self, fields: list[Tree]) -> None:
        """`t.c` or `t.*`"""
        item = fields[0]["String"].get("sval", "")
        if "A_Star" in fields[1]:
            self.reading.starred.add(item)
        else:
            self.reading.qualified.add((item, fields[1]["String"].get("sval", "")))

    def _may_be_scalar(self, item: str) -> bool:
        """A FROM item that is a function of a scalar type: its name alone is such a value."""
        return self._has_unnamed_function or item in self._function_items

    def _no_dotted_function(self, name: str, *, is_row: bool) -> None:
        # `x.name` calls function name(x) where x has no field of that name, without a FuncCall in
        # the tree: `('select …'::text).ts_stat` runs a query.
        catalog = self._lists.catalog
        if name not in (catalog.row_functions if is_row else catalog.dotted_functions):
            return
        # What is confined to what the tool can see is so only where it is called as a function.
        own = self._lists.own
        is_confined = is_catalog_call(name, 1) or named_call_of([name], 1) is not None
        is_built_in = is_function_allowed(None, name, 1) and not is_confined and name != "regclass"
        is_allowed = own.allows_call(None, name, 1) or (
            is_built_in and not own.shadows_function(None, name, 1)
        )
        if not is_allowed:
            raise Refused(
                Reason.FUNCTION_NOT_ALLOWED,
                f"function {name} is not allowed, nor behind a dot",
                hint="Where a column is meant, write it behind its table's name.",
            )

    def _rename_namesakes(self, here: list[_Item]) -> None:
        """Relations of one name from two schemas may stand side by side; guards may not."""
        self._item_names.update(item.name for item in here)
        self.reading.item_names.extend(item.name for item in here)
        uses = [item.use for item in here if item.use is not None]
        for use in uses:
            if any(use.alias == o.alias and use.relation != o.relation for o in uses):
                self._renamed[id(use)] = use

    def _schema_reference(self, node: Tree, scopes: tuple[list[_Item], ...]) -> None:
        """Find whose column `schema.relation.column` is: PostgreSQL takes the innermost FROM item
        that is this very relation and has no alias. Another item of that name in between would
        capture the short name.
        """
        schema, name = names_of(node["fields"][:2])
        wanted = self._resolve(schema, name)
        is_captured = False
        for items in reversed(scopes):
            use = next((item.use for item in items if item.relation == wanted), None)
            if use is not None:
                self._schema_references.append(_SchemaReference(node, use, is_captured))
                return
            is_captured = is_captured or any(item.name == name for item in items)
        if is_captured:
            raise self._ambiguous()
        self._schema_references.append(_SchemaReference(node, None, is_captured=False))

    def _no_store(self) -> None:
        """A setting outlives the statement: what it was given from a row, or because of one, could
        be shown after a withdrawal, and without a record. The catalog's relations hold no such.
        """
        if self._sets is not None and any(
            use.relation.schema not in ("pg_catalog", "information_schema")
            for use in self.reading.uses
        ):
            raise function_refusal(["set_config"], self._sets)

    def finish(self) -> None:
        """Give guards a name of their own where the relation's is ambiguous, then put the guards'
        names into the references.
        """
        self._no_store()
        for reference in self._schema_references:
            if reference.use is not None and reference.is_captured:
                self._renamed[id(reference.use)] = reference.use
        short = {item for item, _ in self.reading.qualified}
        short |= self.reading.starred | self.reading.single_names
        for use in self._renamed.values():
            alias = str(use.relation)
            # The relation's name alone is an error of its own, or means an item further out.
            is_long = len(alias.encode()) > NAME_BYTES_MAX
            if use.alias in short or alias in self._item_names | short or is_long:
                raise self._ambiguous()
            use.alias = alias
        for reference in self._schema_references:
            self._put_guard_name(reference)
        for name, uses in self._with_uses.items():
            items = self._with_queries[name]
            # One query, named once, without names or rows of its own making.
            if len(items) == len(uses) == 1 and not items[0].keys() & _WITH_FORMS:
                self.reading.derived[id(items[0]["ctequery"]["SelectStmt"])] = uses[0]

    def _put_guard_name(self, reference: _SchemaReference) -> None:
        fields = reference.node["fields"]
        schema, name = names_of(fields[:2])
        alias = reference.use.alias if reference.use is not None else name
        fields[:2] = [{"String": {"sval": alias}}]
        self._note_qualified(fields)
        location = reference.node.get("location", 0)
        self.reading.schema_uses.append(SchemaUse(schema, name, alias, location))

    @staticmethod
    def _ambiguous() -> Refused:
        return Refused(
            Reason.NOT_UNDERSTOOD,
            "a relation's name is ambiguous behind the guard",
            hint="Give the table an alias and use it.",
        )

    def _function(self, node: Tree) -> None:
        names = names_of(node["funcname"])
        schema = names[0] if len(names) == 2 else None
        name = names[-1]
        count = len(node.get("args", ()))
        if names == ["unnest"]:
            count = min(count, 1)  # of several arrays it is several calls (parse_clause.c)
        if (
            catalog_call_of(names, count) is not None
            or named_call_of(names, count) is not None
            or name in REG_FUNCTIONS
            or name in ACL_FUNCTIONS
        ):
            self.reading.has_catalog_calls = True
        if len(names) <= 2:
            own = self._lists.own
            if not own.shadows_function(schema, name, count) and (
                is_function_allowed(schema, name, count)
                or (schema in (None, "pg_catalog") and self._is_confined(name, count, node))
            ):
                return
            if own.allows_call(schema, name, count):
                self.reading.calls_database |= own.calls_named(schema, name, count)
                return
            if reason := own.why_not(schema, name, count):
                raise permission_refusal(names, reason)
        raise function_refusal(names, node)

    def _is_confined(self, name: str, count: int, node: Tree) -> bool:
        if (name, count) in ARGUMENT_CHECKED:
            if name == "set_config":
                self._sets = self._sets or node
            return _names_free_setting(name, node)
        return is_catalog_call(name, count)

    def _expression(self, node: Tree) -> None:
        self.reading.comparisons += 1
        if "BETWEEN" in node["kind"]:
            self._implied("<=", ">=", "<", ">")
        else:
            self._operator(node.get("name", []))

    def _sublink(self, node: Tree) -> None:
        self.reading.sublinks[id(node["subselect"]["SelectStmt"])] = node["subLinkType"]
        if node["subLinkType"] == "ANY_SUBLINK":
            self._implied("=")
        self._operator(node.get("operName", []))

    def _case(self, node: Tree) -> None:
        if "arg" in node:
            self._implied("=")

    def _indirection(self, node: Tree) -> None:
        for part in node.get("indirection", ()):
            if "String" in part:
                self._no_dotted_function(part["String"].get("sval", ""), is_row=False)

    def _parameter(self, node: Tree) -> None:
        number = node.get("number", 0)
        self.reading.parameters[number] = self.reading.parameters.get(number, 0) + 1

    def _implied(self, *operators: str) -> None:
        """Operators that a clause stands for; PostgreSQL looks them up unqualified."""
        for operator in operators:
            self._operator([{"String": {"sval": operator}}])

    def _operator(self, parts: list[Tree]) -> None:
        if not parts:
            return
        names = names_of(parts)
        schema = names[0] if len(names) == 2 else None
        if len(names) > 2 or not self._lists.own.allows_operator(schema, names[-1]):
            raise operator_refusal(names)

    def _cast(self, node: Tree) -> None:
        self._cast_types.add(id(node["typeName"]))
        if reg_type(names_of(node["typeName"].get("names", [])) or [""]) is not None:
            self.reading.has_catalog_calls = True

    def _type(self, node: Tree) -> None:
        try:
            check_type(node, self._lists, is_cast=id(node) in self._cast_types)
        except Refused as refused:
            raise _placed(refused, node) from None

    def _collation(self, node: Tree) -> None:
        names = names_of(node.get("collname", []))
        known = self._lists.catalog.structure.built_in.get("collation", _COLLATIONS)
        if len(names) == 2 and names[0] == "pg_catalog":
            return
        if len(names) > 1 or ("pg_catalog", names[0]) not in known:
            refused = not_there(Named.COLLATION, ".".join(names))
            refused.location = node.get("location")
            raise refused
