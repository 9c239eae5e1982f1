"""What a statement may name at a place: relations, their columns, and values to compare with."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.noninterference.pairs import Pair, Side
from tests.noninterference.rules import Rules
from tests.noninterference.tables import CARDS, TABLES, Value


@dataclass(frozen=True, slots=True)
class Reference:
    """A column as an expression may name it. `values` are of its raw column, from both sides."""

    sql: str
    name: str
    family: str
    values: tuple[str, ...] = ()
    differs: bool = False  # the sides have different values: there is something to ask for


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation of the policy, with the columns that exist for the purpose."""

    name: str  # schema.name
    columns: tuple[Reference, ...]


@dataclass(slots=True)
class Scope:
    """The columns and the aliases (for whole rows) that an expression may use."""

    columns: list[Reference] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    outer: Scope | None = None

    def of(self, family: str) -> list[Reference]:
        return [column for column in self.columns if column.family == family]


def relations(rules: Rules, pair: Pair) -> list[Relation]:
    """Those that the policy names; crm.people first."""
    names = [table.name for table in (*TABLES, CARDS)]
    return [_relation(rules, pair, name) for name in names if name in rules.tables]


def _relation(rules: Rules, pair: Pair, name: str) -> Relation:
    table = next(table for table in (*TABLES, CARDS) if table.name == name)
    columns = []
    for column in table.columns:
        cell = rules.cell(pair.purpose, name, column.name)
        if cell.kind == "absent":
            continue
        is_band = any("age_band" in (mask or "") for mask in (cell.mask, cell.through))
        family = "text" if is_band else column.family
        differing, shared = _values(pair, name, column.name)
        values = (*differing, *shared)
        columns.append(Reference(column.name, column.name, family, values, bool(differing)))
    return Relation(name, tuple(columns))


def _values(pair: Pair, table: str, column: str) -> tuple[list[str], list[str]]:
    """Raw values that one side has and the other has not, and those that both have."""
    rows = "crm.people" if table == CARDS.name else table

    def of(side: Side) -> set[Value]:
        return {row[column] for row in side.rows[rows]}

    left, right = of(pair.left), of(pair.right)
    return sorted(filter(None, left ^ right)), sorted(filter(None, left & right))
