"""From a tool's text to a plan: read → resolve → decide → rewrite → check. Start here.

    reading  = read(node, …)                  PostgreSQL's tree: lists, names, what it reads
    where    = places(read_query(text))       sqlglot's tree: where the relations stand
    stands   = guards for what the policy decided
    final    = splice(text, where, stands)
    check(final, expected)                    PostgreSQL's grammar reads the result again

Pure: a plan depends on the text, the context, the policy and the catalog alone. Everything here
refuses what it does not know; nothing here lets a tool see more when it is wrong, because the
last step compares the result with what PostgreSQL's own reading of the tool's text demands.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from proxy.effort import UNBOUNDED, Effort
from proxy.errors import Reason, Refused
from proxy.policy.check import out_of_service
from proxy.policy.model import Policy, RelationName
from proxy.rewrite import explain
from proxy.rewrite.asked import Asked
from proxy.rewrite.catalog_calls import ConfinedCall, confined_calls, in_order
from proxy.rewrite.check import GuardTree, check, expect_guard
from proxy.rewrite.group_keys import Addition, additions, item_offset
from proxy.rewrite.guard import sql_text
from proxy.rewrite.plan import Kind, Plan, PlanContext, TableUse
from proxy.rewrite.pushdown import push_down
from proxy.rewrite.splice import Stand, splice, without_only
from proxy.rewrite.store import SYSTEM_SCHEMAS, GuardStore, Prepared
from proxy.rewrite.whole_rows import RowCast, row_casts, row_ends
from proxy.sql import copying, kinds
from proxy.sql.catalog import Catalog, Column
from proxy.sql.functions import function_names
from proxy.sql.grammar import RawStatement, Tree, canonical_inner, grammar_major, parse, parse_query
from proxy.sql.named import reg_type
from proxy.sql.nesting import check_size
from proxy.sql.normalise import normalise
from proxy.sql.permitted import Permitted
from proxy.sql.plainer import without_comments
from proxy.sql.read import (
    Lists,
    NameResolver,
    Reading,
    RelationUse,
    check_parameter_types,
    check_type,
    read,
)
from proxy.sql.resolve import RelationPlace, SchemaPlace, places, read_query
from proxy.sql.settings import SettingLimits

_CURSOR_OPT_HOLD: Final = 0x0020  # nodes/parsenodes.h
_UNKNOWN_TYPE: Final = -1  # no type's oid; 0 would say that PostgreSQL infers the type


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLimits:
    """Bounds on a statement's text (design.md, section 5, `limits`)."""

    statement_bytes: int
    statement_nesting: int


@dataclass(frozen=True, slots=True)
class _Rewritten:
    """A query with guards in place of its relations."""

    text: str
    tables: tuple[TableUse, ...]
    surface: str
    parameters: int
    runs_code: bool


class Enforcer:
    """Plans statements for one policy and one catalog; safe to send to another process."""

    def __init__(
        self,
        policy: Policy,
        catalog: Catalog,
        limits: StatementLimits,
        setting_limits: SettingLimits,
    ) -> None:
        self.policy = policy
        self.catalog = catalog
        self.revision = f"{policy.revision}+{catalog.revision}"
        self._limits = limits
        self._setting_limits = setting_limits
        # A mask that no longer fits, a unique index that is gone: the relation is not answered.
        self._out_of_service = frozenset(out_of_service(policy, catalog))
        self.guards = GuardStore(policy, catalog, self._out_of_service)
        self._lists = Lists(catalog=catalog, own=Permitted(policy, catalog))
        self._effort = UNBOUNDED  # of the plan that is being made

    def __getstate__(self) -> tuple[Policy, Catalog, StatementLimits, SettingLimits]:
        return (self.policy, self.catalog, self._limits, self._setting_limits)

    def __setstate__(self, state: tuple[Policy, Catalog, StatementLimits, SettingLimits]) -> None:
        self.__init__(*state)  # type: ignore[misc]  # caches are made anew in each process

    def set_up(self) -> None:
        """Make what is made once, before a statement needs it. Takes a while: for a thread, before
        anybody else has this enforcer.
        """
        _ = self._settings, self._naming, self._granting, self._known_names
        self.guards.set_up()

    # --- statements ---

    def plan(
        self, text: str, context: PlanContext, effort: Effort = UNBOUNDED
    ) -> tuple[Plan | Refused, ...]:
        """The plans of a query string's statements, in order. A refusal ends the list: what
        stands behind it is not run, as behind a statement that fails.

        Raises TooMuchEffort where they cost more than `effort` allows.
        """
        self._effort = effort
        return self._plan(text, context)

    def _plan(self, text: str, context: PlanContext) -> tuple[Plan | Refused, ...]:
        self._effort.text(text)
        try:
            check_size(text, self._limits.statement_bytes, self._limits.statement_nesting)
            check_parameter_types(context.parameter_types, self._lists)
            statements = parse(text)
        except Refused as refused:
            return (refused,)
        if not statements:
            return (Plan(kind=Kind.EMPTY, text="", revision=self.revision),)
        if context.is_extended and len(statements) > 1:
            message = "cannot insert multiple commands into a prepared statement"
            return (Refused(Reason.SYNTAX, message),)
        plans: list[Plan | Refused] = []
        for statement in statements:
            self._effort.statement()
            try:
                plan = self._statement(statement, context)
            except Refused as refused:
                plans.append(_positioned(self._describe_refusal(refused, statement), text))
                break
            except RecursionError:
                plans.append(Refused(Reason.STATEMENT_TOO_DEEP, "the statement nests too deeply"))
                break
            plans.append(self._described(plan, statement, context.purpose))
            if plan.setting == "search_path" and plan.value is not None:
                context = replace(context, search_path=tuple(plan.value.split(",")))
        return tuple(plans)

    def _statement(self, statement: RawStatement, context: PlanContext) -> Plan:
        asker = kinds.Asker(policy=self.policy, tool=context.tool, limits=self._setting_limits)
        match statement.kind:
            case "SelectStmt":
                return self._select(statement, context, asker)
            case "CopyStmt":
                return self._copy(statement, context)
            case "DeclareCursorStmt":
                return self._declare(statement, context)
            case "PrepareStmt":
                return self._prepare(statement, context)
            case "ExplainStmt":
                return self._explain(statement, context)
            case "ExecuteStmt":
                return kinds.execute(statement, lambda node: check_type(node, self._lists))
            case "LockStmt":
                return kinds.lock(statement, self._resolver(context))
            case "VariableSetStmt":
                return kinds.set_variable(statement, asker)
            case _:
                return kinds.other(statement, self._settings)

    def _select(self, statement: RawStatement, context: PlanContext, asker: kinds.Asker) -> Plan:
        setting = kinds.set_config(statement, asker)
        if setting is not None:
            return setting
        try:
            query = self._query(statement.node, statement.canonical, context)
        except Refused as refused:
            is_same_grammar = self.catalog.server_version // 10_000 == grammar_major()
            if refused.reason is not Reason.READERS_DISAGREE or not is_same_grammar:
                raise
            query = self._as_written(statement, context)
        return self._with_query(Kind.SELECT, query.text, query)

    def _as_written(self, statement: RawStatement, context: PlanContext) -> _Rewritten:
        """The tool's own text instead of the canonical one, which is another for some statements:
        libpg_query prints `'t'::boolean` as `true`, and leaves words of XML and JSON_TABLE out.

        Only for a server of the grammar's own version: another one may cut the same text into other
        tokens (`1_000` is `1 AS _000` before PostgreSQL 16), which canonical text does not hold.
        """
        text = without_comments(statement.text).strip()
        self._effort.text(text)
        (again,) = parse(text)  # the first attempt has changed the tree
        try:
            return self._query(again.node, text, context)
        except Refused as refused:
            raise _elsewhere(refused) from None

    def _declare(self, statement: RawStatement, context: PlanContext) -> Plan:
        plan = self._enclosed(Kind.DECLARE, statement, context, "")
        return replace(
            plan,
            name=statement.node.get("portalname"),
            is_hold=bool(statement.node.get("options", 0) & _CURSOR_OPT_HOLD),
        )

    def _prepare(self, statement: RawStatement, context: PlanContext) -> Plan:
        for item in statement.node.get("argtypes", ()):
            check_type(item["TypeName"], self._lists)
        # Types by name: their oids are not known here, so that no such parameter is pushed down.
        types = (_UNKNOWN_TYPE,) * len(statement.node.get("argtypes", ()))
        context = replace(context, parameter_types=types)
        plan = self._enclosed(Kind.PREPARE, statement, context, "")
        inner_text = canonical_inner(statement.text, statement.kind)
        (inner,) = self._plan(inner_text, replace(context, is_extended=True))
        if isinstance(inner, Refused):
            raise _elsewhere(inner)
        # PREPARE itself reads nothing: its EXECUTE does, and is recorded with these tables.
        return replace(plan, name=statement.node.get("name"), inner=inner, tables=())

    def _copy(self, statement: RawStatement, context: PlanContext) -> Plan:
        query = copying.as_query(statement)
        try:
            return self._enclosed(Kind.COPY, query, context, ")")
        except Refused as refused:
            raise (refused if query is statement else _elsewhere(refused)) from None

    def _enclosed(
        self, kind: Kind, statement: RawStatement, context: PlanContext, closing: str
    ) -> Plan:
        """A statement that holds a query: the query is rewritten where it stands."""
        ((query_kind, query_node),) = statement.node["query"].items()
        if query_kind != "SelectStmt":
            raise kinds.refuse_kind(query_kind)
        whole = statement.canonical
        inner = canonical_inner(statement.text, statement.kind)
        at = whole.find(inner) if closing else len(whole) - len(inner)
        if at < 0 or whole[at : at + len(inner)] != inner:
            raise Refused(Reason.READERS_DISAGREE, "the query is not found in the statement")
        query = self._query(query_node, inner, context)
        text = f"{whole[:at]}{query.text}{whole[at + len(inner) :]}"
        check(text, {statement.kind: statement.node})
        return self._with_query(kind, text, query)

    def _explain(self, statement: RawStatement, context: PlanContext) -> Plan:
        """EXPLAIN is answered from our own plan: a real one follows hidden values (measured)."""
        ((query_kind, query_node),) = statement.node["query"].items()
        if query_kind != "SelectStmt":
            raise kinds.refuse_kind(query_kind)
        answer = explain.explain_query
        if explain.is_json(statement.node.get("options", ())):
            answer = explain.explain_json
        inner = canonical_inner(statement.text, statement.kind)
        query = self._query(query_node, inner, context)
        text = answer(explain.explain_lines(query.tables, context.purpose))
        return Plan(
            kind=Kind.EXPLAIN,
            text=explain.with_parameters(text, query.parameters),
            tag="EXPLAIN",
            parameters=query.parameters,
            revision=self.revision,
        )

    def _with_query(self, kind: Kind, text: str, query: _Rewritten) -> Plan:
        return Plan(
            kind=kind,
            text=text,
            tables=query.tables,
            surface=query.surface,
            parameters=query.parameters,
            runs_code=query.runs_code,
            revision=self.revision,
        )

    # --- one query: the way of a statement ---

    def _query(self, node: Tree, text: str, context: PlanContext) -> _Rewritten:
        """Read, resolve, decide, rewrite, check. `node` becomes the expected tree."""
        reading = read(node, self._resolver(context), self._lists)
        relations, schemas = places(read_query(text))
        uses = _paired(reading, relations)
        self._effort.relations(len(uses))
        names = _guard_names(reading, schemas)
        purpose = context.purpose or ""  # without one, no relation has been resolved
        wanted = [self.guards.wanted(use, reading) for use in uses]
        prepared = [
            self.guards.guard(use.relation, context.tool, purpose, names, self._effort)
            for use, names in zip(uses, wanted, strict=True)
        ]
        asked = Asked(
            uses=[(use, each.guard) for use, each in zip(uses, prepared, strict=True)],
            reading=reading,
            policy=self.policy,
            catalog=self.catalog,
            purpose=purpose,
            declared_types=context.parameter_types,
        )
        stands = [self._stand(each, use, asked) for each, use in zip(prepared, uses, strict=True)]
        calls = self._confined_calls(node, text, reading, context)
        edits = in_order([edit for call in calls for edit in call.edits])
        edits += [
            without_only(text, each)
            for each, use in zip(relations, uses, strict=True)
            if use.is_only
        ]
        keys, rows = additions(uses, prepared, self.catalog), row_casts(node, uses, prepared)
        edits += _insertions(node, text, keys, rows)
        final = splice(text, relations, [stand for stand, _ in stands], schemas, names, edits)
        for call in reversed(calls):
            call.expect()
        for use, (stand, tree) in zip(uses, stands, strict=True):
            expect_guard(use, tree, is_lateral=stand.is_lateral)
        self._effort.result(final)
        check(final, {"SelectStmt": node})
        return _Rewritten(
            text=final,
            tables=_tables(prepared),
            surface=_surface(prepared),
            parameters=max(reading.parameters, default=0),
            runs_code=reading.calls_database or any(each.runs_code for each in prepared),
        )

    def _confined_calls(
        self, node: Tree, text: str, reading: Reading, context: PlanContext
    ) -> list[ConfinedCall]:
        names_things = any(
            use.relation in self._naming
            or not reading.columns.isdisjoint(self._granting.get(use.relation, ()))
            or (use.relation in self._granting and (reading.starred or reading.starred_selects))
            for use in reading.uses
        )
        if not reading.has_catalog_calls and not names_things:
            return []
        columns = self._columns_by_name(reading)
        visible = self.guards.visible_catalog(context.purpose or "")
        return confined_calls(node, text, visible, context.search_path, columns)

    def _columns_by_name(self, reading: Reading) -> Mapping[str, frozenset[str]]:
        """The types of all columns of the relations that are read, by the columns' names."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for use in reading.uses:
            for column in self._columns_of(use.relation):
                found[column.name].add(column.type.base)
        return {name: frozenset(types) for name, types in found.items()}

    @cached_property
    def _settings(self) -> frozenset[str]:
        return frozenset(
            name for _, name in self.catalog.structure.built_in.get("setting", frozenset())
        )

    @cached_property
    def _naming(self) -> frozenset[RelationName]:
        """Relations with a column whose values are names of things."""
        known = (*self.catalog.relations, *self.catalog.system_relations)
        return frozenset(
            relation
            for relation in known
            if any(reg_type([column.type.base]) for column in self._columns_of(relation))
        )

    @cached_property
    def _granting(self) -> Mapping[RelationName, frozenset[str]]:
        """Relations with columns whose values name roles: lists of rights. Those columns."""
        known = (*self.catalog.relations, *self.catalog.system_relations)
        found = {
            relation: frozenset(
                column.name
                for column in self._columns_of(relation)
                if column.type.base in ("aclitem", "_aclitem")
            )
            for relation in known
        }
        return {relation: names for relation, names in found.items() if names}

    def _columns_of(self, relation: RelationName) -> Sequence[Column]:
        own = self.catalog.relations.get(relation)
        return own.columns if own is not None else self.catalog.system_relations[relation]

    def _stand(self, prepared: Prepared, use: RelationUse, asked: Asked) -> tuple[Stand, GuardTree]:
        guard = prepared.guard
        pushed = None
        if guard is not None:
            self._effort.conditions(asked.reading.comparisons)
            pushed = push_down(guard, use, asked)
        if pushed is None:
            stand = self.guards.computing_once(prepared, use, asked.reading, self._effort)
            return Stand(stand.text, use.alias), stand.tree
        text = sql_text(pushed.query)
        self._effort.repeated(len(text))
        return Stand(text, use.alias, is_lateral=pushed.is_lateral), GuardTree(text)

    def _resolver(self, context: PlanContext) -> NameResolver:
        def resolve(schema: str | None, name: str) -> RelationName:
            if context.purpose is None:
                raise Refused(
                    Reason.PURPOSE_MISSING,
                    "no purpose is chosen, and the tool has several",
                    hint="SET consent.purpose = 'NAME'",
                )
            relation = self._find(schema, name, context.search_path)
            if relation is None:
                shown = f"{schema}.{name}" if schema else name
                # The same, whether there is no such relation or it is not the tool's to see.
                raise Refused(
                    Reason.TABLE_NOT_IN_POLICY,
                    f'relation "{shown}" does not exist',
                    hint="For tools there are the relations that the policy's `tables` list.",
                    sqlstate="42P01",
                )
            if relation in self._out_of_service:
                raise Refused(
                    Reason.TABLE_NOT_IN_POLICY,
                    f'relation "{relation}" is out of service: the policy does not fit it',
                    hint="`consent-proxy policy check` tells what is wrong.",
                )
            return relation

        return resolve

    def _find(self, schema: str | None, name: str, path: Sequence[str]) -> RelationName | None:
        """PostgreSQL's look-up along the search path; pg_catalog first where it is not named."""
        if schema is None:
            searched = path if "pg_catalog" in path else ("pg_catalog", *path)
        else:
            searched = (schema,)
        for each in searched:
            candidate = RelationName(each, name)
            if each in SYSTEM_SCHEMAS:
                if candidate in self.catalog.system_relations:
                    return candidate
            elif candidate in self.catalog.relations:
                # The first match is the one that PostgreSQL would take: if the policy does not
                # name it, a later schema's relation of that name is not meant.
                return candidate if candidate in self.policy.relations else None
        return None

    # --- what the access log may hold ---

    @cached_property
    def _known_names(self) -> frozenset[str]:
        names = set(function_names())
        for relation, rule in self.policy.relations.items():
            names.update((relation.schema, relation.name, *(rule.columns or ())))
            database = self.catalog.relations.get(relation)
            if database is not None and rule.columns is None:
                names.update(column.name for column in database.columns)
        for relation, columns in self.catalog.system_relations.items():
            names.update((relation.schema, relation.name, *(column.name for column in columns)))
        return frozenset(names)

    def _described(self, plan: Plan, statement: RawStatement, purpose: str | None) -> Plan:
        if not plan.tables and plan.kind not in (Kind.PREPARE, Kind.FETCH, Kind.EXECUTE):
            return plan if plan.revision else replace(plan, revision=self.revision)
        described = normalise(statement.canonical, self._known_names)
        return replace(
            plan,
            statement=described.text,
            shape=described.shape,
            revision=self.revision,
            purpose=purpose if plan.tables else None,
        )

    def _describe_refusal(self, refused: Refused, statement: RawStatement) -> Refused:
        described = normalise(statement.text, self._known_names)
        refused.statement, refused.shape = described.text, described.shape
        return refused


def _positioned(refused: Refused, text: str) -> Refused:
    """The refusal, with its position in the tool's text where that is known."""
    if refused.position is None and refused.location is not None and refused.location >= 0:
        before = text.encode()[: refused.location]
        refused.position = len(before.decode(errors="ignore")) + 1
    return refused


def _elsewhere(refused: Refused) -> Refused:
    """The refusal of a text that is not the tool's: its places are not of the tool's text."""
    refused.position = refused.location = None
    return refused


# --- pure helpers ----------------------------------------------------------------------------


def _paired(reading: Reading, relations: Sequence[RelationPlace]) -> list[RelationUse]:
    """PostgreSQL's reading of the relations, in the order of sqlglot's; both must agree."""
    uses = sorted(reading.uses, key=lambda use: use.location)
    if len(uses) != len(relations):
        raise Refused(Reason.READERS_DISAGREE, "the two readers see different relations")
    for use, place in zip(uses, relations, strict=True):
        node = use.holder["RangeVar"]
        if (node.get("schemaname"), node["relname"]) != (place.schema, place.name):
            raise Refused(Reason.READERS_DISAGREE, "the two readers see different relations")
    return uses


def _guard_names(reading: Reading, schemas: Sequence[SchemaPlace]) -> list[str]:
    """What stands for each `schema.relation` of a column reference; both readers must agree."""
    uses = sorted(reading.schema_uses, key=lambda use: use.location)
    if [(use.schema, use.name) for use in uses] != [(each.schema, each.name) for each in schemas]:
        raise Refused(Reason.READERS_DISAGREE, "the two readers see different columns")
    return [use.alias for use in uses]


def _insertions(
    node: Tree, text: str, keys: Sequence[Addition], rows: Sequence[RowCast]
) -> list[tuple[int, int, str]]:
    """Put what a guard makes necessary elsewhere into the tree: names into GROUP BY, casts behind
    whole rows. Returns what to insert into the text, and where.
    """
    if not keys and not rows:
        return []
    same = parse_query(text)["SelectStmt"]  # positions in this text: the tree's are of another
    offsets = [item_offset(key, node, same, text) for key in keys] + row_ends(rows, same, text)
    insertions: list[tuple[int, int, str]] = []
    texts = [key.text for key in keys] + [row.text for row in rows]
    for at, inserted in zip(offsets, texts, strict=True):
        if at is None:
            raise Refused(Reason.READERS_DISAGREE, "a place in the statement is not found again")
        insertions.append((at, at, inserted))
    for key in keys:
        key.expect()
    for row in rows:
        row.expect(node)
    return insertions


def _tables(prepared: Sequence[Prepared]) -> tuple[TableUse, ...]:
    """Each relation once, with the columns that any of its guards is used for."""
    found: dict[str, TableUse] = {}
    for table in [each.table for each in prepared]:
        other = found.get(table.name)
        if other is None or other == table:
            found[table.name] = table
        else:
            columns = {each.name: each for each in (*other.columns, *table.columns)}
            found[table.name] = replace(table, columns=tuple(columns.values()))
    return tuple(found.values())


def _surface(prepared: Sequence[Prepared]) -> str:
    text = "\n".join(sorted({each.surface for each in prepared}))
    return hashlib.sha256(text.encode()).hexdigest()
