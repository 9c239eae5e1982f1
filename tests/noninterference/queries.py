"""Queries: joins of every kind, groups, windows, set operations, WITH, laterals, and their order.

Where SQL leaves a choice of rows open, nothing is promised; so a query that cuts rows off, or an
aggregate that depends on their order, orders them by everything it shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tests.noninterference.calls import Calls, aggregated, windowed
from tests.noninterference.chance import Chance
from tests.noninterference.expressions import FAMILIES, Expressions, quoted
from tests.noninterference.scope import Reference, Relation, Scope
from tests.noninterference.sketches import SKETCHES

_OUTPUT: Final = ("text", "int", "text", "num", "date", "tstz", "bool", "int", "text", *FAMILIES)


@dataclass(frozen=True, slots=True)
class Query:
    """A query; its columns are `c1`, `c2` … unless it is a bare `SELECT *` of one relation."""

    sql: str
    columns: tuple[Reference, ...]
    is_ordered: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What statements are made of."""

    relations: Sequence[Relation]
    calls: Calls


@dataclass(frozen=True, slots=True)
class _Item:
    """An item of a FROM list."""

    sql: str
    columns: tuple[Reference, ...]
    rows: tuple[str, ...]
    has_star: bool = True  # `*` gives exactly these columns, in this order


class Queries:
    """Makes queries over the relations that a policy names."""

    def __init__(self, chance: Chance, known: Known, marks: set[str]) -> None:
        self.chance = chance
        self.marks = marks
        self.expressions = Expressions(chance, marks, self._subquery, known.calls)
        self._relations = known.relations
        self._ctes: dict[str, tuple[Reference, ...]] = {}
        self._aliases = 0

    # --- whole queries ---

    def top(self) -> Query:
        """A whole statement's query."""
        self._ctes = {}
        if self.chance.maybe(14):
            return self._look_up()
        if self.chance.maybe(8):
            return self._sketched()
        clause = self._with() if self.chance.maybe(18) else ""
        query = self.query(2, Scope())
        return replace(query, sql=clause + query.sql)

    def query(self, depth: int, outer: Scope, families: Sequence[str] | None = None) -> Query:
        if depth > 0 and self.chance.maybe(12):
            body = self._set_operation(depth - 1, outer, families)
        else:
            body = self._select(depth, outer, families)
        if body.is_ordered:
            return body
        if not self.chance.maybe(55):
            return body
        places = [f"{n}{self._direction()}" for n in range(1, len(body.columns) + 1)]
        return Query(f"{body.sql} ORDER BY {', '.join(places)}{self._limit()}", body.columns, True)

    def _sketched(self) -> Query:
        self.marks.add("sketch")
        sketch = self.chance.pick(SKETCHES)
        named = re.search(r"FROM (\S+) AS p", sketch)
        name = "{relation}" if named is None else named[1]
        relation = self._relations[0]
        if name == "{relation}":
            relation = self.chance.pick(self._relations)
        elif name != "{people}":
            relation = next(each for each in self._relations if each.name == name)
        item = self._derived("", "p", relation.columns)
        scope = Scope([*item.columns], [*item.rows])
        keys = [c for c in item.columns if c.family == "int" and c.name.endswith("id")]

        def filled(place: re.Match[str]) -> str:
            match place[1]:
                case "relation":
                    return relation.name
                case "people":
                    return self._relations[0].name
                case "where":
                    return self.expressions.conjunction(scope, 0)
                case "having":
                    return "10 / (count(*) - 2) > -20"
                case "column":
                    return self.chance.pick(item.columns).name
                case "key":
                    return self.chance.pick(keys).name
                case family:
                    return self.expressions.make(family, scope, 1)

        return Query(re.sub(r"\{(\w+)\}", filled, sketch), (), " ORDER BY p.id" in sketch)

    # --- look-ups: what reaches an index only where the proxy repeats it in a guard ---

    def _look_up(self) -> Query:
        """A few rows, or people, by a value; and what belongs to them."""
        self.marks.add("look-up")
        first = self.chance.pick(self._relations)
        item = self._derived(f"{first.name} AS a", "a", first.columns)
        forms = (self._looked_up, self._looked_up, self._joined, self._counted, self._first_ones)
        return self.chance.pick(forms)(item)

    def _where(self, scope: Scope, *, always: bool = True) -> str:
        """One condition on a column or more, in any order; perhaps none."""
        parts = [self.expressions.sought(scope)] if always or self.chance.maybe(50) else []
        if self.chance.maybe(30):
            parts.append(self.expressions.sought(scope))
        if self.chance.maybe(25):
            parts.append(self.expressions.trap(scope))
        if self.chance.maybe(40):
            parts.reverse()
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def _looked_up(self, item: _Item) -> Query:
        where = self._where(Scope([*item.columns], [*item.rows]))
        form = self.chance.below(5)
        if form <= 1:
            columns = tuple(replace(c, sql=c.name) for c in item.columns)
            return Query(f"SELECT * FROM {item.sql}{where}", columns, False)
        shown = ", ".join(f"{c.sql} AS {c.name}" for c in item.columns[: 2 + form])
        if form == 2:
            sql = f"WITH w AS (SELECT * FROM {item.sql}) SELECT a.* FROM w AS a{where}"
        elif form == 3:
            sql = f"SELECT {shown} FROM (SELECT * FROM {item.sql} WHERE a.id < 12) AS a{where}"
        else:
            sql = f"SELECT count(*) AS c1 FROM {item.sql}{where}"
        return Query(sql, (), False)

    def _joined(self, item: _Item) -> Query:
        """From few rows into a relation of many."""
        self.marks.add("join by key")
        other = self.chance.pick(self._relations)
        beside = self._derived(f"{other.name} AS b", "b", other.columns)
        keys = [self._key(item), self._key(beside)]
        if self.chance.maybe(50):
            keys.reverse()
        where = self._where(Scope([*item.columns, *beside.columns]), always=False)
        kind = self.chance.pick(("JOIN", "JOIN", "LEFT JOIN", ","))
        on = f" {kind} {beside.sql} ON {keys[0]} = {keys[1]}{where}"
        if kind == ",":
            both = f"{keys[0]} = {keys[1]}"
            where = f"{where} AND {both}" if where else f" WHERE {both}"
            on = f", {beside.sql}{where}"
        return Query(f"SELECT a.*, b.* FROM {item.sql}{on}", (), False)

    def _counted(self, item: _Item) -> Query:
        """What belongs to each row, asked row by row."""
        self.marks.add("correlated look-up")
        other = self.chance.pick(self._relations)
        beside = self._derived(f"{other.name} AS b", "b", other.columns)
        on = f"{self._key(beside)} = {self._key(item)}"
        inner = f"FROM {beside.sql} WHERE {on}"
        if self.chance.maybe(40):
            inner += f" AND {self.expressions.sought(Scope([*beside.columns]))}"
        where = self._where(Scope([*item.columns]), always=False)
        shown = self.chance.pick(
            (
                f"(SELECT count(*) {inner})",
                f"EXISTS (SELECT 1 {inner})",
                f"ARRAY(SELECT b.id {inner} ORDER BY b.id)",
                f"{self._key(item)} IN (SELECT {self._key(beside)} {inner})",
            )
        )
        return Query(f"SELECT a.id AS c1, {shown} AS c2 FROM {item.sql}{where}", (), False)

    def _first_ones(self, item: _Item) -> Query:
        self.marks.add("first by key")
        where = self._where(Scope([*item.columns]), always=False)
        direction = self.chance.pick(("", " DESC", " NULLS FIRST"))
        order = f"ORDER BY {self._key(item)}{direction}, a.id"
        sql = f"SELECT a.* FROM {item.sql}{where} {order} LIMIT {self.chance.count(1, 6)}"
        return Query(sql, (), True)

    def _key(self, item: _Item) -> str:
        keys = [c for c in item.columns if c.family == "int" and c.name.endswith("id")]
        return self.chance.pick(keys).sql

    def _direction(self) -> str:
        return self.chance.pick(("", " DESC", " NULLS FIRST"))

    def _limit(self) -> str:
        if not self.chance.maybe(40):
            return ""
        self.marks.add("limit")
        count, skipped = self.chance.count(1, 5), self.chance.count(0, 2)
        return self.chance.pick(
            (
                f" LIMIT {count}",
                f" LIMIT {count} OFFSET {skipped}",
                f" OFFSET {skipped}",
                f" FETCH FIRST {count} ROWS WITH TIES",
            )
        )

    def _subquery(self, families: Sequence[str], scope: Scope, depth: int) -> str:
        """A query of these families that may refer to the scope around it."""
        self.marks.add("sub-query")
        return self.query(depth, scope, families).sql

    def _set_operation(self, depth: int, outer: Scope, families: Sequence[str] | None) -> Query:
        families = families or [self.chance.pick(_OUTPUT) for _ in range(self.chance.count(1, 3))]
        operator = self.chance.pick(
            ("UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL")
        )
        self.marks.add(operator.split()[0].lower())
        first = self._select(depth, outer, families)
        second = self.query(depth, outer, families)
        return Query(f"({first.sql}) {operator} ({second.sql})", first.columns, False)

    def _with(self) -> str:
        parts = []
        is_recursive = self.chance.maybe(35)
        for number in range(self.chance.count(1, 2)):
            name = f"w{number}"
            if is_recursive and number == 0:
                parts.append(self._recursive(name))
                continue
            query = self.query(1, Scope())
            how = self.chance.pick(("", "MATERIALIZED ", "NOT MATERIALIZED "))
            self._ctes[name] = query.columns
            parts.append(f"{name} AS {how}({query.sql})")
        self.marks.add("recursive" if is_recursive else "with")
        return f"WITH {'RECURSIVE ' if is_recursive else ''}{', '.join(parts)} "

    def _recursive(self, name: str) -> str:
        own = Reference("r.v", "v", "text")
        start = self._from(1, Scope())
        first = f"({self.expressions.leaf('text', start[1])})::text"
        where = self.expressions.conjunction(start[1], 1)
        step = self._from(1, Scope())
        scope = Scope([own, *step[1].columns], step[1].rows)
        following = f"({self.expressions.make('text', scope, 1)})::text"
        condition = self.expressions.conjunction(scope, 0)
        self._ctes[name] = (Reference("n", "n", "int"), Reference("v", "v", "text"))
        return (
            f"{name}(n, v) AS (SELECT 1, {first} FROM {start[0]} WHERE {where} UNION"
            f" SELECT r.n + 1, {following} FROM {name} AS r, {step[0]}"
            f" WHERE r.n < 3 AND {condition})"
        )

    # --- one SELECT ---

    def _select(self, depth: int, outer: Scope, families: Sequence[str] | None) -> Query:
        from_, scope, items = self._from(depth, outer)
        scope.outer = outer if outer.columns else None
        where = ""
        if self.chance.maybe(75):
            where = f" WHERE {self.expressions.conjunction(scope, depth)}"
        tail = f" FROM {from_}{where}"
        if families is None and self.chance.maybe(14):
            starred = self._starred(items, tail)
            if starred is not None:
                return starred
        makers: tuple[Callable[[Scope, int, Sequence[str] | None, str], Query], ...] = (
            self._plain,
            self._plain,
            self._plain,
            self._grouped,
            self._grouped,
            self._windowed,
            self._distinct_on,
        )
        return self.chance.pick(makers)(scope, depth, families, tail)

    def _starred(self, items: Sequence[_Item], tail: str) -> Query | None:
        """`SELECT *`, whose columns keep their own names."""
        if len(items) != 1 or not items[0].has_star:
            return None
        columns = items[0].columns
        names = [column.name for column in columns]
        if len(set(names)) != len(names):
            return None
        self.marks.add("star")
        return Query(f"SELECT *{tail}", columns, False)

    def _outputs(
        self, families: Sequence[str] | None, make: Callable[[str], str]
    ) -> tuple[str, tuple[Reference, ...]]:
        if families is None:
            families = [self.chance.pick(_OUTPUT) for _ in range(self.chance.count(1, 4))]
        shown, columns = [], []
        for number, family in enumerate(families, 1):
            shown.append(f"{make(family)} AS c{number}")
            columns.append(Reference(f"c{number}", f"c{number}", family))
        return ", ".join(shown), tuple(columns)

    def _plain(self, scope: Scope, depth: int, families: Sequence[str] | None, tail: str) -> Query:
        shown, columns = self._outputs(
            families, lambda family: self.expressions.make(family, scope, depth)
        )
        distinct = ""
        if self.chance.maybe(12):
            self.marks.add("distinct")
            distinct = "DISTINCT "
        return Query(f"SELECT {distinct}{shown}{tail}", columns, False)

    def _distinct_on(
        self, scope: Scope, depth: int, families: Sequence[str] | None, tail: str
    ) -> Query:
        self.marks.add("distinct on")
        shown, columns = self._outputs(
            families, lambda family: self.expressions.leaf(family, scope)
        )
        keys = self.chance.count(1, len(columns))
        named = ", ".join(f"q.c{n}" for n in range(1, keys + 1))
        order = ", ".join(f"{n}" for n in range(1, len(columns) + 1))
        sql = f"SELECT DISTINCT ON ({named}) * FROM (SELECT {shown}{tail}) AS q ORDER BY {order}"
        return Query(sql, columns, True)

    def _windowed(
        self, scope: Scope, depth: int, families: Sequence[str] | None, tail: str
    ) -> Query:
        self.marks.add("window")
        part = (
            f"PARTITION BY {self.expressions.leaf('text', scope)} " if self.chance.maybe(50) else ""
        )

        def make(family: str) -> str:
            one = self.expressions.make(family, scope, depth - 1)
            over = f"OVER ({part}ORDER BY {one})"
            # Which of two equal rows comes first is open: whole rows decide.
            total = ", ".join([one, *(f"{row}::text" for row in scope.rows)])
            if family == "int" and self.chance.maybe(60):
                other = self.expressions.leaf(self.chance.pick(FAMILIES), scope)
                condition = self.expressions.conjunction(scope, 0)
                return self.chance.pick(
                    (
                        f"rank() OVER ({part}ORDER BY {other})",
                        f"dense_rank() OVER ({part}ORDER BY {other} DESC)",
                        f"count(*) OVER ({part})",
                        f"count(*) FILTER (WHERE {condition}) OVER ({part})",
                        f"(sum({one}) OVER ({part}))::bigint",
                        f"max({one}) OVER ({part}ORDER BY {one} RANGE BETWEEN UNBOUNDED PRECEDING"
                        " AND CURRENT ROW EXCLUDE TIES)",
                    )
                )
            call = self.expressions.call("window") if family == "text" else None
            if call is not None and self.chance.maybe(50):
                return windowed(call, self.expressions.leaf, scope, f"{part}ORDER BY {total}")
            return self.chance.pick(
                (
                    f"first_value({one}) {over}",
                    f"lag({one}) OVER ({part}ORDER BY {total})",
                    f"last_value({one}) {over}",
                    one,
                )
            )

        shown, columns = self._outputs(families, make)
        return Query(f"SELECT {shown}{tail}", columns, False)

    # --- groups ---

    def _grouped(
        self, scope: Scope, depth: int, families: Sequence[str] | None, tail: str
    ) -> Query:
        self.marks.add("group")
        keys = [
            (family, self.expressions.make(family, scope, depth - 1))
            for family in [self.chance.pick(_OUTPUT) for _ in range(self.chance.count(0, 2))]
        ]
        # A key is repeated as it is written; a parameter in it would be two to PostgreSQL.
        keys = [(family, sql) for family, sql in keys if "$" not in sql and sql.strip("'")]

        def make(family: str) -> str:
            own = [sql for of, sql in keys if of == family]
            if own and self.chance.maybe(70):
                return self.chance.pick(own)
            return self._aggregate(family, scope, depth)

        shown, columns = self._outputs(families, make)
        clause = self._group_by([f"({sql})" for _, sql in keys])
        having = ""
        if self.chance.maybe(25):
            self.marks.add("having")
            having = f" HAVING {self.chance.pick(self._having(scope))}"
        return Query(f"SELECT {shown}{tail}{clause}{having}", columns, False)

    def _having(self, scope: Scope) -> tuple[str, ...]:
        text = self.expressions.leaf("text", scope)
        value = self.expressions.value("text", self.expressions.column("text", scope))
        return (
            "count(*) > 1",
            f"max({text}) > {quoted(value)}",
            f"bool_or({self.expressions.conjunction(scope, 0)})",
            "10 / (count(*) - 2) > -20",
        )

    def _group_by(self, keys: Sequence[str]) -> str:
        if not keys:
            return ""
        joined = ", ".join(keys)
        form = self.chance.pick(("", "", "", "ROLLUP ", "CUBE ", "GROUPING SETS "))
        if not form:
            return f" GROUP BY {joined}"
        self.marks.add("grouping sets")
        if form == "GROUPING SETS ":
            return f" GROUP BY GROUPING SETS (({joined}), {keys[0]}, ())"
        return f" GROUP BY {form}({joined})"

    def _aggregate(self, family: str, scope: Scope, depth: int) -> str:
        one = self.expressions.make(family, scope, depth - 1)
        condition = ""
        if self.chance.maybe(20):
            self.marks.add("filter")
            condition = f" FILTER (WHERE {self.expressions.conjunction(scope, 0)})"
        if family == "int":
            other = self.expressions.leaf(self.chance.pick(FAMILIES), scope)
            forms: tuple[str, ...] = (
                f"count(*){condition}",
                f"count({other}){condition}",
                f"count(DISTINCT {other}){condition}",
                f"(sum({one}){condition})::bigint",
                f"rank(3) WITHIN GROUP (ORDER BY {one}){condition}",
                f"min({one}){condition}",
            )
        elif family == "text":
            forms = (
                f"max({one}){condition}",
                f"string_agg({one}, ',' ORDER BY {one}){condition}",
                f"percentile_disc(0.5) WITHIN GROUP (ORDER BY {one}){condition}",
                f"string_agg(DISTINCT {one}, ',' ORDER BY {one}){condition}",
            )
            call = self.expressions.call(self.chance.pick(("aggregate", "form aggregate")))
            if call is not None and self.chance.maybe(50):
                return aggregated(call, self.expressions.leaf, scope, condition)
        elif family == "bool":
            forms = (f"bool_or({one}){condition}", f"bool_and({one}){condition}")
        elif family == "num":
            forms = (
                f"sum({one}){condition}",
                f"avg({one}){condition}",
                f"stddev({one}){condition}",
            )
        elif family == "texts":
            text = self.expressions.leaf("text", scope)
            forms = (f"array_agg({text} ORDER BY {text}){condition}",)
        elif family == "jsonb":
            key = f"COALESCE({self.expressions.leaf('text', scope)}, '-')"
            forms = (
                f"jsonb_agg({one} ORDER BY {one}){condition}",
                f"jsonb_object_agg({key}, 1){condition}",
            )
        elif family in ("uuid", "range"):
            forms = (f"(array_agg({one} ORDER BY {one}){condition})[1]",)
        else:
            forms = (
                f"min({one}){condition}",
                f"percentile_disc(0.3) WITHIN GROUP (ORDER BY {one}){condition}",
            )
        if "WITHIN GROUP" in forms[-1]:
            self.marks.add("ordered-set aggregate")
        return self.chance.pick(forms)

    # --- FROM ---

    def _from(self, depth: int, outer: Scope) -> tuple[str, Scope, list[_Item]]:
        items = [self._item(depth, outer)]
        for _ in range(
            self.chance.pick((0, 0, 1, 1, 2)) if depth > 0 else self.chance.pick((0, 0, 1))
        ):
            if self.chance.maybe(15):
                items.append(self._beside(items, depth, outer))
            else:
                items[-1] = self._join(items[-1], self._item(depth - 1, outer), outer)
        scope = Scope(
            [column for item in items for column in item.columns],
            [row for item in items for row in item.rows],
        )
        if len(items) == 1 and len(items[0].rows) == 1 and self.chance.maybe(60):
            scope.columns = [
                replace(column, sql=column.name) if column.name.isidentifier() else column
                for column in scope.columns
            ]
            self.marks.add("unqualified")
        return ", ".join(item.sql for item in items), scope, items

    def _alias(self) -> str:
        self._aliases += 1
        return f"a{self._aliases}"

    def _item(self, depth: int, outer: Scope) -> _Item:
        if self._ctes and self.chance.maybe(40):
            return self._cte()
        if depth > 0 and self.chance.maybe(16):
            self.marks.add("derived table")
            alias = self._alias()
            query = self.query(depth - 1, Scope())
            return self._derived(f"({query.sql}) AS {alias}", alias, query.columns)
        return self._relation()

    def _derived(self, sql: str, alias: str, columns: Sequence[Reference]) -> _Item:
        own = tuple(replace(c, sql=f"{alias}.{c.name}") for c in columns)
        return _Item(sql, own, (alias,))

    def _cte(self) -> _Item:
        name = self.chance.pick(sorted(self._ctes))
        alias = self._alias()
        return self._derived(f"{name} AS {alias}", alias, self._ctes[name])

    def _relation(self) -> _Item:
        # People are asked for most: they have every mask.
        relation = self._relations[0]
        if self.chance.maybe(60):
            relation = self.chance.pick(self._relations)
        self.marks.add(relation.name)
        name = relation.name
        if self.chance.maybe(20):
            name = name.partition(".")[2]
            self.marks.add("search path")
        form = self.chance.below(12)
        if form == 11:
            return self._renamed(name, relation)
        alias = self._alias()
        return self._derived(f"{name} AS {alias}", alias, relation.columns)

    def _renamed(self, name: str, relation: Relation) -> _Item:
        """`relation AS alias(names for the first columns)`."""
        self.marks.add("alias with columns")
        alias = self._alias()
        count = self.chance.count(1, min(4, len(relation.columns)))
        names = [f"k{number}" for number in range(1, count + 1)]
        columns = [
            replace(column, name=names[at]) if at < count else column
            for at, column in enumerate(relation.columns)
        ]
        return self._derived(f"{name} AS {alias}({', '.join(names)})", alias, columns)

    def _beside(self, items: Sequence[_Item], depth: int, outer: Scope) -> _Item:
        """An item behind a comma: another relation, a function, or LATERAL."""
        around = Scope([column for item in items for column in item.columns])
        form = self.chance.below(5)
        alias = self._alias()
        if form == 0:
            return self._item(depth - 1, outer)
        if form == 1:
            self.marks.add("lateral")
            query = self.query(max(depth - 1, 0), around)
            return self._derived(f"LATERAL ({query.sql}) AS {alias}", alias, query.columns)
        if form == 2:
            self.marks.add("function in from")
            rows = [row for item in items for row in item.rows]
            if rows:
                pair = (Reference("key", "key", "text"), Reference("value", "value", "text"))
                sql = f"LATERAL jsonb_each_text(to_jsonb({self.chance.pick(rows)})) AS {alias}"
                return self._derived(sql, alias, pair)
        if form == 3:
            self.marks.add("function in from")
            value = self.expressions.leaf("texts", around)
            column = (Reference("tag", "tag", "text"), Reference("place", "place", "int"))
            sql = f"LATERAL unnest({value}) WITH ORDINALITY AS {alias}(tag, place)"
            return self._derived(sql, alias, column)
        self.marks.add("values")
        first = self.expressions.value("text", around.of("text")[0] if around.of("text") else None)
        columns = (Reference("n", "n", "int"), Reference("v", "v", "text"))
        sql = f"(VALUES (1, {quoted(first)}), (7, 'Ben')) AS {alias}(n, v)"
        return self._derived(sql, alias, columns)

    # --- joins ---

    def _join(self, left: _Item, right: _Item, outer: Scope) -> _Item:
        kind = self.chance.pick(
            ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "JOIN", "LEFT JOIN")
        )
        rows = (*left.rows, *right.rows)
        columns = (*left.columns, *right.columns)
        self.marks.add(kind.lower())
        if kind == "CROSS JOIN":
            has_star = left.has_star and right.has_star
            return _Item(f"{left.sql} CROSS JOIN {right.sql}", columns, rows, has_star=has_star)
        shared = self._shared(left, right)
        if shared and self.chance.maybe(20):
            self.marks.add("using")
            sql = f"{left.sql} {kind} {right.sql} USING ({self.chance.pick(shared)})"
            return _Item(sql, columns, rows, has_star=False)
        if shared and self._may_be_natural(left, right) and self.chance.maybe(30):
            self.marks.add("natural")
            return _Item(f"{left.sql} NATURAL {kind} {right.sql}", columns, rows, has_star=False)
        condition = self._on(left, right, kind)
        sql, has_star = (
            f"{left.sql} {kind} {right.sql} ON {condition}",
            left.has_star and right.has_star,
        )
        joined = _Item(sql, columns, rows, has_star=has_star)
        return self._parenthesised(joined) if self.chance.maybe(28) else joined

    def _parenthesised(self, item: _Item) -> _Item:
        """`(a JOIN b)`, perhaps with an alias that hides both, perhaps with names for columns."""
        form = self.chance.below(3)
        self.marks.add("parenthesised join")
        if form == 0 or not item.has_star:
            return replace(item, sql=f"({item.sql})")
        alias = self._alias()
        if form == 1:
            self.marks.add("join with an alias")
            names = [column.name for column in item.columns]
            single = [c for c in item.columns if names.count(c.name) == 1]
            own = tuple(replace(c, sql=f"{alias}.{c.name}") for c in single)
            return _Item(f"({item.sql}) AS {alias}", own, (alias,), has_star=False)
        self.marks.add("join with column aliases")
        named = [replace(c, name=f"j{n}") for n, c in enumerate(item.columns, 1)]
        names = [column.name for column in named]
        return self._derived(f"({item.sql}) AS {alias}({', '.join(names)})", alias, named)

    @staticmethod
    def _shared(left: _Item, right: _Item) -> list[str]:
        """Names that each side has exactly once, of one family."""

        def once(item: _Item) -> Mapping[str, str]:
            names = [column.name for column in item.columns]
            return {c.name: c.family for c in item.columns if names.count(c.name) == 1}

        one, other = once(left), once(right)
        return sorted(name for name, family in one.items() if other.get(name) == family)

    @staticmethod
    def _may_be_natural(left: _Item, right: _Item) -> bool:
        """Every shared name is of one family and on each side once."""
        names = [{c.name for c in item.columns} for item in (left, right)]
        return len(names[0] & names[1]) == len(Queries._shared(left, right))

    def _on(self, left: _Item, right: _Item, kind: str) -> str:
        family = self.chance.pick(("int", "int", "int", "text", "date"))
        mine = [column for column in left.columns if column.family == family]
        theirs = [column for column in right.columns if column.family == family]
        scope = Scope([*left.columns, *right.columns])
        parts = []
        if mine and theirs:
            parts.append(f"{self.chance.pick(mine).sql} = {self.chance.pick(theirs).sql}")
        # A full join needs a condition that can be merged or hashed.
        if kind != "FULL JOIN" and (not parts or self.chance.maybe(30)):
            parts.append(self.expressions.conjunction(scope, 0))
        return " AND ".join(parts) or "true"
