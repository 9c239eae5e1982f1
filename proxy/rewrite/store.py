"""Guards ready for use, kept per tool, purpose, relation and the columns that are wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from proxy.effort import UNBOUNDED, Effort
from proxy.errors import Reason, Refused
from proxy.policy.decide import Absent, ColumnVerdict, Guarded, Masked, Shown, decide
from proxy.policy.mask_text import mask_text
from proxy.policy.model import Policy, RelationName
from proxy.rewrite.catalog_guards import (
    TABLE_OID,
    VisibleCatalog,
    catalog_guard,
    visible_catalog,
)
from proxy.rewrite.check import GuardTree
from proxy.rewrite.code import runs_code
from proxy.rewrite.conditions import is_alone
from proxy.rewrite.guard import Guard, build_guard, computed, computing_once, sql_text
from proxy.rewrite.plan import ColumnUse, TableUse
from proxy.sql.catalog import Catalog
from proxy.sql.read import Reading, RelationUse

SYSTEM_SCHEMAS: Final = ("pg_catalog", "information_schema")
# Tool ("" for a relation of the catalog: it is the same for all), purpose, relation, columns.
GuardKey = tuple[str, str, RelationName, frozenset[str] | None]
_GUARDS_MAX: Final = 4096  # then they are made anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A guard ready for use: its text, PostgreSQL's tree of it, and what it shows."""

    guard: Guard | None  # None for a relation of PostgreSQL's catalog
    text: str
    tree: GuardTree
    table: TableUse
    surface: str
    runs_code: bool = False


class GuardStore:
    """Makes guards and keeps them; they depend on the policy and the catalog alone."""

    def __init__(
        self, policy: Policy, catalog: Catalog, hidden: frozenset[RelationName] = frozenset()
    ) -> None:
        self._policy = policy
        self._hidden = hidden
        self._catalog = catalog
        self._prepared: dict[GuardKey, Prepared] = {}
        self._once: dict[tuple[str, frozenset[str]], Prepared] = {}
        self._visible: dict[str, VisibleCatalog] = {}  # by purpose

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
        is_system = relation.schema in SYSTEM_SCHEMAS
        key = ("" if is_system else tool, purpose, relation, wanted)
        prepared = self._prepared.get(key)
        if prepared is None:
            prepare = self._prepare_system if is_system else self._prepare_guard
            prepared = prepare(key, effort)
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
            once = replace(prepared, text=text, tree=GuardTree(text))
            if len(self._once) >= _GUARDS_MAX:
                self._once.clear()
            self._once[key] = once
            effort.kept(len(text))
        return once

    def set_up(self) -> None:
        """Make what all guards of the catalog are made of."""
        for purpose in {each for tool in self._policy.tools.values() for each in tool.purposes}:
            self.visible_catalog(purpose)

    def made(self) -> list[GuardKey]:
        return list(self._prepared)

    def make_again(self, key: GuardKey, effort: Effort) -> None:
        """Make a guard that another store has, unless it has nothing to stand for here.

        Raises TooMuchEffort.
        """
        tool, purpose, relation, wanted = key
        is_known = relation in self._catalog.system_relations or (
            relation in self._policy.relations
            and relation in self._catalog.relations
            and relation not in self._hidden
        )
        if not is_known or purpose not in self._policy.purposes:
            return
        if wanted is not None:
            wanted &= self._names(relation) | {TABLE_OID}
        with contextlib.suppress(Refused):
            self.guard(relation, tool, purpose, wanted, effort)

    def _prepare_guard(self, key: GuardKey, effort: Effort) -> Prepared:
        tool, purpose, relation, wanted = key
        database = self._catalog.relations[relation]
        verdict = decide(
            self._policy, purpose, relation, [column.name for column in database.columns]
        )
        if verdict is None:
            raise Refused(Reason.TABLE_NOT_IN_POLICY, f'relation "{relation}" is not in the policy')
        cells = [cell for name, cell in verdict.columns if wanted is None or name in wanted]
        masked = sum(isinstance(cell, Masked | Guarded) for cell in cells)
        effort.guard(len(cells), masked)
        guard = build_guard(
            self._policy, self._catalog, verdict, tool=tool, purpose=purpose, wanted=wanted
        )
        text = sql_text(guard.select)
        surface = (
            f"{relation}({','.join(f'{each.name} {each.type.sql}' for each in guard.columns)})"
        )
        return Prepared(
            guard=guard,
            text=text,
            tree=GuardTree(text),
            table=_table_use(guard, wanted),
            surface=surface,
            runs_code=runs_code(self._policy, self._catalog, relation, wanted),
        )

    def _prepare_system(self, key: GuardKey, effort: Effort) -> Prepared:
        _, purpose, relation, wanted = key
        visible = self.visible_catalog(purpose)
        columns = len(self._names(relation) if wanted is None else wanted)
        effort.catalog_guard(columns, len(visible.relations))
        select = catalog_guard(relation, visible, wanted)
        if select is None:
            raise Refused(
                Reason.TABLE_NOT_IN_POLICY,
                f'relation "{relation}" is not shown',
                hint="It tells of other sessions, statistics or secrets.",
            )
        text = sql_text(select)
        table = TableUse(name=str(relation), columns=())
        return Prepared(
            guard=None, text=text, tree=GuardTree(text), table=table, surface=str(relation)
        )

    def visible_catalog(self, purpose: str) -> VisibleCatalog:
        """What of PostgreSQL's catalog can be seen for a purpose."""
        visible = self._visible.get(purpose)
        if visible is None:
            visible = visible_catalog(self._catalog, self.visible_columns(purpose))
            self._visible[purpose] = visible
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


def _table_use(guard: Guard, wanted: frozenset[str] | None) -> TableUse:
    """The columns whose name the statement mentions, or all where it may take whole rows: a
    superset of what it reads, never fewer (access-log.md, `tables`).
    """
    columns = guard.verdict.columns
    used = [_column_use(name, cell) for name, cell in columns if wanted is None or name in wanted]
    return TableUse(name=str(guard.relation.name), columns=tuple(used))


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
