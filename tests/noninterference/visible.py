"""A third database, which holds what the tool may see and nothing else: what may it answer?

SQL leaves open which of two values fails first, and which of several conditions is asked first.
An answer is one that SQL leaves open only if this database gives it too, with its rows in some
order and by some plan. Nothing hidden is in it, so no answer that something hidden made is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Self

import psycopg
from psycopg import sql

from proxy.errors import Refused
from tests.noninterference.asking import FIELDS_LEFT, Answer, Line, Outcome, Planning
from tests.noninterference.databases import Databases, options
from tests.noninterference.statements import Statement, Step

# Of fifteen rows that fail, with each of them first as often as the others, one is missed once in
# a million times.
_ATTEMPTS_MAX: Final = 600
# Settings of the planner, and values to choose among: with these, joins in nearly any order, and
# conditions before or after them.
_PLANNER: Final[Mapping[str, Sequence[str]]] = {
    "enable_hashjoin": ("on", "on", "off"),
    "enable_mergejoin": ("on", "on", "off"),
    "enable_nestloop": ("on", "on", "off"),
    "enable_hashagg": ("on", "off"),
    "enable_sort": ("on", "on", "off"),
    "enable_material": ("on", "off"),
    "cpu_operator_cost": ("0.0025", "0", "100"),
    "cpu_tuple_cost": ("0.01", "0", "100"),
    "geqo_threshold": ("12", "2"),
    "geqo_pool_size": ("2",),
    "geqo_generations": ("1",),
    "geqo_seed": ("0", "0.3", "0.7", "0.9"),
}
# How many rows the planner is told a relation has; -1: it guesses.
_SIZES: Final = (-1, 1, 20, 1000, 100_000)
_SHOWN: Final = "shown"  # the schema of the rows; those of the policy hold views of it


_ARRANGED: Final = """
TRUNCATE {own};
INSERT INTO {own} SELECT k.*, row_number() OVER () FROM {kept} AS k ORDER BY {order};
CREATE OR REPLACE VIEW {view} AS SELECT {columns} FROM {own} AS t {rest};
"""
_SIZED: Final = """
UPDATE pg_class SET relpages = CASE WHEN {size} < 0 THEN 0 ELSE 1 END, reltuples = {size}
 WHERE oid = {name}::regclass;
"""
_AS_KEPT: Final = sql.SQL("ctid")
_ANYHOW: Final = sql.SQL("md5(ctid::text || {seed})")
_NUMBER: Final = "number of the row"
# A guard may be fenced: then no condition of the statement's is asked within it. Or some of its
# columns follow another relation: conditions on them are asked when that is joined, perhaps late.
_PEOPLE: Final = f"""
CREATE TABLE {_SHOWN}.people AS SELECT 2 * n AS id FROM generate_series(1, 9) AS n;
ALTER TABLE {_SHOWN}.people ADD PRIMARY KEY (id)
"""
_JOINED: Final = f'LEFT JOIN {_SHOWN}.people AS p ON p.id = t."{_NUMBER}"'
_FOLLOWS: Final = "CASE WHEN p.id IS NULL THEN t.{0} ELSE t.{0} END AS {0}"
_SHAPES: Final = (("t.{0}",), ""), (("t.{0}",), "OFFSET 0"), (("t.{0}", _FOLLOWS), _JOINED)


_Rows = Sequence[tuple[bytes | None, ...]]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What both sides show of a relation."""

    name: str  # schema.name
    columns: Sequence[tuple[str, str]]  # name, type with its modifier
    orders: tuple[_Rows, _Rows]  # the rows as the sides give them where no order is asked for

    @property
    def own(self) -> sql.Identifier:
        return sql.Identifier(_SHOWN, self.name)

    @property
    def kept(self) -> sql.Identifier:
        return sql.Identifier(_SHOWN, f"{self.name} kept")


class Visible:
    """The third database, for one tool and purpose."""

    def __init__(self, databases: Databases, line: Line, admin: psycopg.Connection) -> None:
        self._databases = databases
        self._line = line
        self._admin = admin

    @classmethod
    def open(cls, databases: Databases) -> Self:
        url = databases.postgres.url(databases.visible)
        line = Line.open(f"{url}&options={options(databases.policy)}", FIELDS_LEFT)
        return cls(databases, line, psycopg.connect(url, autocommit=True))

    def close(self) -> None:
        self._line.close()
        self._admin.close()

    def may_answer(
        self,
        statement: Statement,
        answers: Sequence[Answer],
        planning: Planning,
        sides: Sequence[Line],
    ) -> bool:
        """Are all these answers among those that SQL leaves open?"""
        named = self._created(statement, planning, sides)
        if named is None:
            return False  # the sides show different rows
        missing = set(answers)
        for attempt in range(_ATTEMPTS_MAX):
            self._arrange(named, Random(f"{statement.choices}/{attempt}"), _ANYHOW)
            missing.discard(self._line.ask(statement))
            if not missing:
                return True
        return False

    def may_follow_order(
        self,
        statement: Statement,
        answers: tuple[Answer, Answer],
        planning: Planning,
        sides: Sequence[Line],
    ) -> bool:
        """By some plan, is each side's answer that of the rows in the order they have there?"""
        named = self._created(statement, planning, sides)
        if named is None:
            return False
        for attempt in range(_ATTEMPTS_MAX):
            for side, answer in enumerate(answers):
                for each in named:
                    self._keep(each, each.orders[side])
                self._arrange(named, Random(f"{statement.choices}/{attempt}"), _AS_KEPT)
                if self._line.ask(statement) != answer:
                    break
            else:
                return True
        return False

    def _created(
        self, statement: Statement, planning: Planning, sides: Sequence[Line]
    ) -> Sequence[_Shown] | None:
        """What the statement names, as it is here now; None if the sides show different rows."""
        shown = self._shown(planning, sides)
        if shown is None:
            return None
        named = [each for each in shown if _names(statement, each.name)]
        self._create(named)
        return named

    def _shown(self, planning: Planning, sides: Sequence[Line]) -> Sequence[_Shown] | None:
        """Every relation of the policy as both sides show it; None if they do not agree."""
        found = []
        for name in self._databases.relations:
            statement = Statement("simple", (Step(f"TABLE {name}"),), True, frozenset(), ())
            planned = planning.planned(statement)
            if isinstance(planned, Refused):
                continue  # no column of it exists for the purpose
            left, right = (side.ask(planned).outcomes[0] for side in sides)
            if left.error or right.error or Counter(left.rows) != Counter(right.rows):
                return None
            found.append(_Shown(name, self._columns(left), (left.rows, right.rows)))
        return found

    def _columns(self, outcome: Outcome) -> Sequence[tuple[str, str]]:
        columns = []
        for column, type_, modifier in outcome.columns:
            ((written,),) = self._admin.execute(
                "SELECT pg_catalog.format_type(%s, %s)", [type_, modifier]
            )
            columns.append((column.decode(), written))
        return columns

    def _create(self, named: Sequence[_Shown]) -> None:
        schemas = sorted({_SHOWN, *self._databases.policy.schemas})
        for schema in schemas:
            identifier = sql.Identifier(schema)
            self._admin.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(identifier))
            self._admin.execute(sql.SQL("CREATE SCHEMA {}").format(identifier))
        self._admin.execute(_PEOPLE)
        for each in named:
            columns = sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_))
                for name, type_ in each.columns
            )
            self._admin.execute(sql.SQL("CREATE TABLE {} ({})").format(each.kept, columns))
            self._admin.execute(
                sql.SQL("CREATE TABLE {} ({}{}{} bigint)").format(
                    each.own,
                    columns,
                    sql.SQL(", " if each.columns else ""),
                    sql.Identifier(_NUMBER),
                )
            )
            self._keep(each, each.orders[0])

    def _keep(self, each: _Shown, rows: _Rows) -> None:
        self._admin.execute(sql.SQL("TRUNCATE {}").format(each.kept))
        into = sql.SQL("COPY {} FROM STDIN").format(each.kept)
        with self._admin.cursor().copy(into) as copy:
            for row in rows:
                copy.write_row([None if value is None else value.decode() for value in row])

    def _arrange(self, named: Sequence[_Shown], random: Random, order: sql.SQL) -> None:
        """The rows in this order, and another plan for what asks for them."""
        parts = [self._arranged(each, random, order) for each in named]
        parts.append(sql.SQL(_SIZED).format(size=random.choice(_SIZES), name=f"{_SHOWN}.people"))
        self._admin.execute(sql.SQL("").join(parts))
        settings = "; ".join(f"SET {name} = {random.choice(_PLANNER[name])}" for name in _PLANNER)
        self._line.outcomes(Step(settings), is_ordered=True)

    @staticmethod
    def _arranged(each: _Shown, random: Random, order: sql.SQL) -> sql.Composed:
        shapes, rest = random.choice(_SHAPES)
        columns = [
            sql.SQL(random.choice(shapes)).format(sql.Identifier(name)) for name, _ in each.columns
        ]
        return sql.SQL(_ARRANGED + _SIZED).format(
            own=each.own,
            name=each.own.as_string(),
            kept=each.kept,
            order=order.format(seed=str(random.random())),
            size=random.choice(_SIZES),
            view=sql.Identifier(*each.name.split(".")),
            columns=sql.SQL(", ").join(columns),
            rest=sql.SQL(rest),
        )


def _names(statement: Statement, relation: str) -> bool:
    own = relation.partition(".")[2]
    return any(own in step.text for step in statement.steps)
