"""A third database, which holds what the tool may see and nothing else: what may it answer?

SQL leaves open which of two values fails first, and which of several conditions is asked first.
An answer is one that SQL leaves open only if this database gives it too, with its rows in some
order and by some plan. Nothing hidden is in it, so no answer that something hidden made is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Self

import psycopg
from psycopg import sql

from proxy.errors import Refused
from tests.noninterference.asking import FIELDS_LEFT, Answer, Line, Outcome, Planning
from tests.noninterference.databases import Databases, options
from tests.noninterference.statements import Statement, Step

# With five rows that fail, each first as often as the others, one is missed once in 700,000 times.
_ATTEMPTS_MAX: Final = 60
_PLANNER: Final = (
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_hashagg",
    "enable_sort",
    "enable_material",
)
_SHOWN: Final = "shown"  # the schema of the rows; those of the policy hold views of it


@dataclass(frozen=True, slots=True)
class _Shown:
    """What both sides show of a relation."""

    name: str  # schema.name
    columns: Sequence[tuple[str, str]]  # name, type with its modifier
    rows: Sequence[tuple[bytes | None, ...]]

    @property
    def own(self) -> sql.Identifier:
        return sql.Identifier(_SHOWN, self.name)


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
        self, statement: Statement, answers: Sequence[Answer], shown: Sequence[_Shown] | None
    ) -> bool:
        """Are all these answers among those that SQL leaves open?"""
        if shown is None:
            return False  # the sides show different rows
        named = [each for each in shown if _names(statement, each.name)]
        self._create(named)
        missing = set(answers)
        for attempt in range(_ATTEMPTS_MAX):
            self._arrange(named, Random(f"{statement.choices}/{attempt}"))
            missing.discard(self._line.ask(statement))
            if not missing:
                return True
        return False

    def shown(self, planning: Planning, lines: Sequence[Line]) -> Sequence[_Shown] | None:
        """Every relation of the policy as both sides show it; None if they do not agree."""
        found = []
        for name in self._databases.relations:
            statement = Statement("simple", (Step(f"TABLE {name}"),), False, frozenset(), ())
            planned = planning.planned(statement)
            if isinstance(planned, Refused):
                continue  # no column of it exists for the purpose
            left, right = (line.ask(planned) for line in lines)
            if left != right or left.error is not None:
                return None
            found.append(self._read(name, left.outcomes[0]))
        return found

    def _read(self, name: str, outcome: Outcome) -> _Shown:
        columns = []
        for column, type_, modifier in outcome.columns:
            ((written,),) = self._admin.execute(
                "SELECT pg_catalog.format_type(%s, %s)", [type_, modifier]
            )
            columns.append((column.decode(), written))
        return _Shown(name, columns, outcome.rows)

    def _create(self, named: Sequence[_Shown]) -> None:
        schemas = sorted({_SHOWN, *self._databases.policy.schemas})
        for schema in schemas:
            identifier = sql.Identifier(schema)
            self._admin.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(identifier))
            self._admin.execute(sql.SQL("CREATE SCHEMA {}").format(identifier))
        for each in named:
            columns = sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_))
                for name, type_ in each.columns
            )
            self._admin.execute(sql.SQL("CREATE TABLE {} ({})").format(each.own, columns))

    def _arrange(self, named: Sequence[_Shown], random: Random) -> None:
        """The rows in another order, and another plan for what asks for them."""
        for each in named:
            rows = random.sample(each.rows, len(each.rows))
            self._admin.execute(sql.SQL("TRUNCATE {}").format(each.own))
            with self._admin.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(each.own)) as copy:
                for row in rows:
                    copy.write_row([None if value is None else value.decode() for value in row])
            # A guard may be fenced, and then no condition of the statement's is asked within it.
            fence = random.choice((sql.SQL(""), sql.SQL(" OFFSET 0")))
            view = sql.Identifier(*each.name.split("."))
            self._admin.execute(
                sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT * FROM {}{}").format(
                    view, each.own, fence
                )
            )
        for name in _PLANNER:
            value = random.choice(("on", "on", "off"))
            self._line.outcomes(Step(f"SET {name} = {value}"), is_ordered=True)


def _names(statement: Statement, relation: str) -> bool:
    own = relation.partition(".")[2]
    return any(own in step.text for step in statement.steps)
