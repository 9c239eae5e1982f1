"""Queries that ask whose a name is: WITH, subqueries, LATERAL, joins, aliases, one few names.

Every table has one row whose values name the table and the column, so that the answer tells what
PostgreSQL took each name for. Names are only selected, never computed with.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

TABLES: Final = ("a", "b", "c")
COLUMNS: Final = ("k", "v", "w")
_NAMES: Final = ("a", "b", "c", "x", "t")
DEPTH_MAX: Final = 3

STRUCTURE: Final = "CREATE SCHEMA p;" + "".join(
    f"CREATE TABLE p.{table} (k integer PRIMARY KEY, v text, w text);"
    f"INSERT INTO p.{table} VALUES (1, '{table}.v', '{table}.w');"
    for table in TABLES
)
POLICY: Final = (
    """
policy: puzzles
version: 1
subject: {key: p.a.k, consent: ledger}
categories: {user.secret: {mask: "null"}}
purposes:
  all: {basis: contract, reads: []}
tables:
"""
    + "".join(
        f"  p.{table}: {{columns: {{k: open, "
        f'v: {{category: user.secret, mask: "constant({table.upper()}.V)"}}, '
        f'w: {{category: user.secret, mask: "constant({table.upper()}.W)"}}}}}}\n'
        for table in TABLES
    )
    + "tools:\n  solver: {purposes: [all]}\n"
)


class Puzzle:
    """Makes one query. `chance` decides everything. Inner queries have the columns of a table."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def query(self, depth: int = 0, ctes: Sequence[str] = ()) -> str:
        chance = self._chance
        clause, ctes = self._with(depth, ctes) if chance.random() < 0.35 else ("", ctes)
        if depth < DEPTH_MAX and chance.random() < 0.12:
            left, right = self._select(depth + 1, ctes), self._select(depth + 1, ctes)
            return f"{clause}{left} UNION ALL {right}"
        return clause + self._select(depth, ctes)

    def _with(self, depth: int, ctes: Sequence[str]) -> tuple[str, Sequence[str]]:
        chance = self._chance
        items: list[str] = []
        seen = list(ctes)
        for name in chance.sample(_NAMES, chance.randint(1, 2)):
            columns = chance.choice(("", "", " (k, w, v)"))
            if chance.random() < 0.3 or depth >= DEPTH_MAX:
                body = f"SELECT 1 AS k, 'cte {name}' AS v, 'cte' AS w"
            else:
                body = self.query(depth + 1, seen)
            kind = chance.choice(("AS", "AS MATERIALIZED", "AS NOT MATERIALIZED"))
            items.append(f"{name}{columns} {kind} ({body})")
            seen.append(name)
        word = "WITH RECURSIVE" if chance.random() < 0.25 else "WITH"
        return f"{word} {', '.join(items)} ", seen

    def _select(self, depth: int, ctes: Sequence[str]) -> str:
        chance = self._chance
        sources, names = self._from(depth, ctes)
        one, other = self._target(depth, names, ctes), self._target(depth, names, ctes)
        targets = f"1 AS k, {one} AS v, {other} AS w"
        if depth == 0 and chance.random() < 0.2:
            targets = chance.choice(("*", f"{names[0]}.*", f"{one}, {names[-1]}.*"))
        where = ""
        if chance.random() < 0.2 and depth < DEPTH_MAX:
            where = f" WHERE EXISTS ({self.query(depth + 1, ctes)})"
        return f"SELECT {targets} FROM {sources}{where}"

    def _target(self, depth: int, names: Sequence[str], ctes: Sequence[str]) -> str:
        chance = self._chance
        column = chance.choice(("v", "w"))
        if depth < DEPTH_MAX and chance.random() < 0.12:
            return f"(SELECT max(q.{column}) FROM ({self.query(depth + 1, ctes)}) q)"
        match chance.randrange(30):
            case 0:
                return column
            case 1:
                return f"p.{chance.choice(TABLES)}.{column}"
            case 2:
                return f"{chance.choice(_NAMES)}.{column}"
            case _:
                return f"{chance.choice(names)}.{column}"

    def _from(self, depth: int, ctes: Sequence[str]) -> tuple[str, list[str]]:
        chance = self._chance
        text, names = self._item(depth, ctes, [])
        for _ in range(chance.choice((0, 0, 1, 1, 2))):
            item, more = self._item(depth, ctes, names)
            names = [*names, *more]
            match chance.randrange(6):
                case 0 | 1:
                    text = f"{text}, {item}"
                case 2:
                    text = f"{text} JOIN {item} ON {names[0]}.k = {more[0]}.k"
                case 3:
                    text = f"{text} LEFT JOIN {item} ON true"
                case 4:
                    alias = self._alias(names)
                    joined = f"{text} JOIN {item} USING (k) AS {alias}"
                    text = joined if "," not in text else f"{text}, {item}"
                case _:
                    text = f"({text} CROSS JOIN {item})" if "," not in text else f"{text}, {item}"
        if chance.random() < 0.1 and "JOIN" in text and "," not in text:
            alias = self._alias(names)
            return f"(SELECT 1 AS k, {names[0]}.v, {names[-1]}.w FROM {text}) AS {alias}", [alias]
        return text, names

    def _alias(self, taken: Sequence[str]) -> str:
        """Mostly a name that is free."""
        free = [name for name in _NAMES if name not in taken]
        return self._chance.choice(free if free and self._chance.random() < 0.9 else _NAMES)

    def _item(
        self, depth: int, ctes: Sequence[str], before: Sequence[str]
    ) -> tuple[str, list[str]]:
        chance = self._chance
        alias = self._alias(before)
        if depth < DEPTH_MAX and chance.random() < 0.3:
            if before and chance.random() < 0.5:
                inner = f"SELECT 1 AS k, {chance.choice(before)}.v AS v, 'lateral' AS w"
                return f"LATERAL ({inner}) {alias}", [alias]
            return f"({self.query(depth + 1, ctes)}) AS {alias}", [alias]
        name = chance.choice((*TABLES, *ctes))
        text = f"p.{name}" if name in TABLES and chance.random() < 0.25 else name
        if name in before or chance.random() < 0.5:
            columns = chance.choice(("", "", " (k, w, v)"))
            return f"{text} AS {alias}{columns}", [alias]
        return text, [name]
