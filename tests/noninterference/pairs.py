"""A pair of databases that differ only in what a tool may not see for one purpose.

The second is made from the first: rows that row rules remove are changed, left out or added;
masked values get another one of the same image; columns that do not exist for the purpose and
whole hidden tables get anything; people's other purposes are decided anew.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.noninterference.images import same_image
from tests.noninterference.rules import Cell, Grant, Ledger, Row, Rows, Rules
from tests.noninterference.tables import PEOPLE, STRANGERS, TABLES, Table

_NEW_IDS: Final = 60  # of rows that only one side has: nothing refers to them
# Order of making: what others look up comes first.
_HOPS: Final = frozenset(["sales.orders", "sales.items"])


@dataclass(frozen=True, slots=True)
class Side:
    rows: Rows
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Pair:
    purpose: str
    left: Side
    right: Side

    @property
    def differences(self) -> int:
        """Rows that the two sides do not share: what there is to find."""
        return sum(
            sum(row not in other.rows[table] for row in own.rows[table])
            for own, other in ((self.left, self.right), (self.right, self.left))
            for table in self.left.rows
        )


def make_pair(rules: Rules, grants: Sequence[Grant], purpose: str, random: Random) -> Pair:
    """`grants`: the ledger's columns. The share of people in force differs from pair to pair."""
    share = random.choice((0.0, 0.3, 0.5, 0.8))
    left = Side(_rows(random), _ledger(grants, share, random))
    right = _Hider(rules, grants, purpose, random).other_side(left)
    return Pair(purpose, left, right)


def _rows(random: Random) -> Rows:
    return {
        table.name: [_row(table, str(number), random) for number in range(1, table.count + 1)]
        for table in TABLES
    }


def _row(table: Table, number: str, random: Random) -> Row:
    return {
        column.name: number if column.name == "id" else column.make(random)
        for column in table.columns
    }


def _ledger(grants: Sequence[Grant], share: float, random: Random) -> Ledger:
    return {
        str(person): {grant: random.random() < share for grant in grants}
        for person in (*PEOPLE, *STRANGERS)
        if random.random() < 0.8
    }


class _Hider:
    """Changes what is hidden, and nothing else."""

    def __init__(self, rules: Rules, grants: Sequence[Grant], purpose: str, random: Random) -> None:
        self._rules = rules
        self._grants = grants
        self._purpose = purpose
        self._random = random

    def other_side(self, side: Side) -> Side:
        self._left = side
        self._rows: Rows = copy.deepcopy(side.rows)
        self._ledger = self._other_ledger(side.ledger)
        for table in TABLES:
            kept = self._rows[table.name]
            changed = [self._other_row(table, row) for row in side.rows[table.name]]
            kept[:] = [row for row in changed if row is not None]
            for number in range(self._random.randint(0, 8)):
                self._add_absent(table, str(_NEW_IDS + number))
        return Side(self._rows, self._ledger)

    # --- people ---

    def _other_ledger(self, ledger: Ledger) -> Ledger:
        people = (*PEOPLE, *STRANGERS)
        made = {str(person): self._other_grants(str(person), ledger) for person in people}
        return {person: grants for person, grants in made.items() if grants is not None}

    def _other_grants(self, person: str, ledger: Ledger) -> dict[Grant, bool] | None:
        """As visible as before for this purpose; anything for the others."""
        own = [grant for grant in self._grants if grant[0] == self._purpose]
        wanted = {grant: self._is_in_force(person, ledger, grant) for grant in own}
        unknown = {grant: self._is_in_force(person, {}, grant) for grant in own}
        if wanted == unknown and self._random.random() < 0.4:
            return None  # nothing is known of the person
        made = {grant: self._random.random() < 0.5 for grant in self._grants}
        made[(self._purpose, None)] = wanted[(self._purpose, None)]
        if wanted[(self._purpose, None)]:
            made.update(wanted)
        return made

    def _is_in_force(self, person: str, ledger: Ledger, grant: Grant) -> bool:
        return self._rules.is_person_in_force(self._purpose, person, ledger, grant[1])

    # --- rows ---

    def _is_absent(self, table: Table, row: Row) -> bool:
        return self._rules.is_absent(self._purpose, table.name, row, self._rows, self._ledger)

    def _other_row(self, table: Table, row: Row) -> Row | None:
        """The row as the other side has it; None: it does not."""
        left = self._left
        if not self._rules.is_absent(self._purpose, table.name, row, left.rows, left.ledger):
            return {
                column.name: self._other_value(table, column.name, row) for column in table.columns
            }
        if self._leads_somewhere(table, row):
            return self._changed(table, row)
        choice = self._random.random()
        if choice < 0.4:
            return None
        return self._changed(table, row) if choice < 0.8 else dict(row)

    def _leads_somewhere(self, table: Table, row: Row) -> bool:
        """Other rows' subjects are found through this row: it stays, and so does its key."""
        return table.name in _HOPS and self._rules.is_in_force(
            self._purpose, table.name, row, self._left.rows, self._left.ledger
        )

    def _changed(self, table: Table, row: Row) -> Row:
        """Every value anew but the keys; the row itself where that would make it visible."""
        for _ in range(5):
            made = {
                column.name: row[column.name] if column.is_key else column.make(self._random)
                for column in table.columns
            }
            if self._is_absent(table, made):
                return made
        return dict(row)

    def _add_absent(self, table: Table, number: str) -> None:
        for _ in range(5):
            row = _row(table, number, self._random)
            if table.name == "crm.people":
                number = str(self._random.choice((*STRANGERS, 95, 96, 97)))
                row["id"] = number
            is_new = all(each["id"] != number for each in self._rows[table.name])
            if is_new and self._is_absent(table, row):
                place = self._random.randint(0, len(self._rows[table.name]))
                self._rows[table.name].insert(place, row)
                return

    # --- values ---

    def _other_value(self, table: Table, name: str, row: Row) -> str | None:
        column, value = table.column(name), row[name]
        if self._random.random() < 0.2:
            return value
        mask = self._mask_in_force(self._rules.cell(self._purpose, table.name, name), table, row)
        return value if mask is None else same_image(mask, value, column, self._random)

    def _mask_in_force(self, cell: Cell, table: Table, row: Row) -> str | None:
        """The mask that the row's cell is shown through; None: it is shown as it is."""
        if cell.kind == "shown":
            return None
        if cell.kind == "absent":
            return "drop"
        left = self._left
        if cell.kind == "guarded" and self._rules.is_in_force(
            self._purpose, table.name, row, left.rows, left.ledger, cell.sensitive
        ):
            return cell.through
        return cell.mask
