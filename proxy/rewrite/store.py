"""Guards ready for use, kept per tool, purpose, relation and the columns that are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from sqlglot import exp

from proxy.effort import UNBOUNDED, Effort
from proxy.errors import Reason, Refused
from proxy.policy.decide import Absent, ColumnVerdict, Guarded, Masked, Shown, decide
from proxy.policy.mask_text import mask_text
from proxy.policy.model import Policy, RelationName
from proxy.rewrite.catalog_guards import VisibleCatalog, catalog_guard, visible_catalog
from proxy.rewrite.check import GuardTree
from proxy.rewrite.conditions import is_alone
from proxy.rewrite.guard import (
    Guard,
    build_guard,
    column,
    computed,
    computing_once,
    identifier,
    sql_text,
)
from proxy.rewrite.masks_terms import cast
from proxy.rewrite.plan import ColumnUse
from proxy.sql.catalog import Catalog
from proxy.sql.read import Reading, RelationUse

SYSTEM_SCHEMAS: Final = ("pg_catalog", "information_schema")
TABLE_OID: Final = "tableoid"
_GuardKey = tuple[str, str, RelationName, frozenset[str] | None]
_GUARDS_MAX: Final = 4096  # one per tool, purpose, relation and set of columns; then made anew


@dataclass(frozen=True, slots=True)
class Prepared:
    """A guard ready for use: its text, PostgreSQL's tree of it, and what it shows."""

    name: str
    guard: Guard | None  # None for a relation of PostgreSQL's catalog
    text: str
    tree: GuardTree
    columns: tuple[ColumnUse, ...]
    surface: str


class GuardStore:
    """Makes guards and keeps them; they depend on the policy and the catalog alone."""

    def __init__(
        self, policy: Policy, catalog: Catalog, hidden: frozenset[RelationName] = frozenset()
    ) -> None:
        self._policy = policy
        self._hidden = hidden
        self._catalog = catalog
        self._prepared: dict[_GuardKey, Prepared] = {}
        self._once: dict[tuple[str, frozenset[str]], Prepared] = {}
        self._visible: dict[tuple[str, str], VisibleCatalog] = {}

    def wanted(self, use: RelationUse, reading: Reading) -> frozenset[str] | None:
        """The columns of a relation that the statement may mean by name; None: whole rows."""
        names = self._names(use.relation)
        if use.relation.schema == "pg_catalog" and _asks_table_oid(use, reading):
            names |= {TABLE_OID}
        takes_rows = (
            id(use.select) in reading.starred_selects
            or use.has_column_aliases
            or use.is_hidden  # `j` and `j.*` of `(t JOIN …) AS j` are all columns of t
            or use.alias in reading.starred
            or use.alias in reading.single_names
        )
        if takes_rows:
            return None
        # `row.name` without such a column is a function of the whole row; or the alias is used
        # elsewhere for something else.
        if any(alias == use.alias and name not in names for alias, name in reading.qualified):
            return names if TABLE_OID in names else None
        return names & reading.columns

    def _names(self, relation: RelationName) -> frozenset[str]:
        database = self._catalog.relations.get(relation)
        if database is not None:
            return database.names
        columns = self._catalog.system_relations[relation]
        return frozenset(column.name for column in columns)

    def guard(
        self,
        relation: RelationName,
        tool: str,
        purpose: str,
        wanted: frozenset[str] | None,
        effort: Effort = UNBOUNDED,
    ) -> Prepared:
        """The guard of a relation for a tool and purpose, of the `wanted` columns (None: all).

        Raises Refused(table_not_in_policy) for a relation of PostgreSQL's catalog not shown, and
        TooMuchEffort.
        """
        key = (tool, purpose, relation, wanted)
        prepared = self._prepared.get(key)
        if prepared is None:
            effort.guard(len(self._names(relation) if wanted is None else wanted))
            if relation.schema in SYSTEM_SCHEMAS:
                prepared = self._prepare_system(relation, tool, purpose, wanted)
            else:
                prepared = self._prepare_guard(relation, tool, purpose, wanted)
            if len(self._prepared) >= _GUARDS_MAX:
                self._prepared.clear()
            self._prepared[key] = prepared
            effort.kept(len(prepared.text))
        return prepared

    def computing_once(
        self, prepared: Prepared, use: RelationUse, reading: Reading, effort: Effort = UNBOUNDED
    ) -> Prepared:
        """The guard for this use of it: cells that the statement names more than once are computed
        once, where every row's are needed anyway.

        Beside other items, or below a LIMIT of rows, that would be for rows that are never read.
        """
        guard = prepared.guard
        if guard is None or guard.removes_rows or not is_alone(use):
            return prepared
        names = computed(guard) & reading.repeated
        if not names or ("limitCount" in use.select and "groupClause" not in use.select):
            return prepared
        key = (prepared.text, names)
        once = self._once.get(key)
        if once is None:
            text = sql_text(computing_once(guard, names))
            effort.kept(len(text))
            once = replace(prepared, text=text, tree=GuardTree(text))
            if len(self._once) >= _GUARDS_MAX:
                self._once.clear()
            self._once[key] = once
        return once

    def _prepare_guard(
        self, relation: RelationName, tool: str, purpose: str, wanted: frozenset[str] | None
    ) -> Prepared:
        database = self._catalog.relations[relation]
        verdict = decide(
            self._policy, purpose, relation, [column.name for column in database.columns]
        )
        if verdict is None:
            raise Refused(Reason.TABLE_NOT_IN_POLICY, f'relation "{relation}" is not in the policy')
        guard = build_guard(
            self._policy, self._catalog, verdict, tool=tool, purpose=purpose, wanted=wanted
        )
        text = sql_text(guard.select)
        surface = (
            f"{relation}({','.join(f'{each.name} {each.type.sql}' for each in guard.columns)})"
        )
        return Prepared(str(relation), guard, text, GuardTree(text), _column_uses(guard), surface)

    def _prepare_system(
        self, relation: RelationName, tool: str, purpose: str, wanted: frozenset[str] | None
    ) -> Prepared:
        select = catalog_guard(relation, self.visible_catalog(tool, purpose))
        if select is None:
            raise Refused(
                Reason.TABLE_NOT_IN_POLICY,
                f'relation "{relation}" is not shown',
                hint="It tells of other sessions, statistics or secrets.",
            )
        if wanted is not None:
            select = _only(select, wanted)
        text = sql_text(select)
        return Prepared(str(relation), None, text, GuardTree(text), (), str(relation))

    def visible_catalog(self, tool: str, purpose: str) -> VisibleCatalog:
        """What of PostgreSQL's catalog a tool can see for a purpose."""
        visible = self._visible.get((tool, purpose))
        if visible is None:
            visible = visible_catalog(self._catalog, self.visible_columns(purpose))
            self._visible[(tool, purpose)] = visible
        return visible

    def visible_columns(self, purpose: str) -> Mapping[RelationName, Sequence[str]]:
        """Relations and columns that exist for a purpose; none where none is chosen ("")."""
        if not purpose:
            return {}
        result: dict[RelationName, Sequence[str]] = {}
        for relation in self._policy.relations:
            database = self._catalog.relations.get(relation)
            if database is None or relation in self._hidden:
                continue
            names = [column.name for column in database.columns]
            verdict = decide(self._policy, purpose, relation, names)
            if verdict is not None:
                result[relation] = [
                    name for name, cell in verdict.columns if not isinstance(cell, Absent)
                ]
        return result


def _asks_table_oid(use: RelationUse, reading: Reading) -> bool:
    """The catalog's own tables have a tableoid that tools ask for (pg_dump, DBD::Pg)."""
    is_alone = use.select["fromClause"] == [use.holder]
    return (use.alias, TABLE_OID) in reading.qualified or (
        is_alone and TABLE_OID in reading.single_names
    )


def _only(select: exp.Select, wanted: frozenset[str]) -> exp.Select:
    """A guard of the catalog with the wanted columns only, tableoid among them if it is asked."""
    select = select.copy()
    kept = [each for each in select.expressions if each.alias_or_name in wanted]
    if TABLE_OID in wanted:
        is_read = select.args.get("from_") is not None  # else the guard stands for no rows
        own = column(TABLE_OID, "t") if is_read else cast(exp.Null(), "oid")
        kept.append(exp.Alias(this=own, alias=identifier(TABLE_OID)))
    select.set("expressions", kept or [exp.Alias(this=exp.Null(), alias=identifier("?"))])
    return select


def _column_uses(guard: Guard) -> tuple[ColumnUse, ...]:
    return tuple(_column_use(name, cell) for name, cell in guard.verdict.columns)


def _column_use(name: str, cell: ColumnVerdict) -> ColumnUse:
    match cell:
        case Shown():
            return ColumnUse(name=name, category=None, verdict="shown")
        case Masked(mask=mask, category=category):
            return ColumnUse(name=name, category=category, verdict="masked", mask=mask_text(mask))
        case Guarded(mask=mask, category=category):
            return ColumnUse(name=name, category=category, verdict="guarded", mask=mask_text(mask))
        case Absent(category=category):
            return ColumnUse(name=name, category=category, verdict="absent")
    assert_never(cell)
