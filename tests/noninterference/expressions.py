"""Expressions of every family, over the columns of a scope; some fail for some values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.noninterference.calls import Call, Calls, called
from tests.noninterference.chance import Chance
from tests.noninterference.scope import Reference, Scope

TYPES: Final[Mapping[str, str]] = {
    "text": "text",
    "int": "bigint",
    "num": "numeric",
    "float": "float8",
    "bool": "boolean",
    "date": "date",
    "ts": "timestamp",
    "tstz": "timestamptz",
    "inet": "inet",
    "uuid": "uuid",
    "texts": "text[]",
    "jsonb": "jsonb",
    "range": "tstzrange",
}
FAMILIES: Final = tuple(TYPES)
# Where no column is near: something of the family.
_PLAIN: Final[Mapping[str, tuple[str, ...]]] = {
    "text": ("ana", "", "7", "a", "Ana Ruiz", "A.", "***"),
    "int": ("1", "0", "7", "3", "-1", "90", "2147483647"),
    "num": ("0", "100", "-0.5", "12.34"),
    "float": ("0", "5", "-2.5"),
    "bool": ("true", "false"),
    "date": ("1990-01-01", "2020-05-04"),
    "ts": ("2026-01-01 00:00:00", "2026-10-10 10:00:00"),
    "tstz": ("2026-01-01 00:00:00+00", "2026-10-10 10:00:00+00"),
    "inet": ("10.0.1.0/24", "10.0.0.1"),
    "uuid": ("00000000-0000-4000-8000-000000000001",),
    "texts": ("{a}", "{}", "{a,b}"),
    "jsonb": ('{"a": 1}', "[1, 2]", "{}"),
    "range": ("[2026-01-01 00:00:00+00,2026-12-01 00:00:00+00)",),
}
# Families whose comparisons PostgreSQL calls leakproof: the proxy may push them into a guard.
_PUSHED: Final = frozenset(["text", "int", "date", "ts", "tstz", "uuid", "float"])
_COMPARISONS: Final = ("=", "<", ">", "<=", ">=", "<>")
Subquery = Callable[[Sequence[str], Scope, int], str]


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@dataclass(slots=True)
class Parameters:
    """$1, $2 …: their values and, where the client declares them, their types."""

    is_declared: bool
    values: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)

    def add(self, value: str, sql_type: str) -> str:
        self.values.append(value)
        self.types.append(sql_type)
        return f"${len(self.values)}"


class Expressions:
    """`subquery(families, scope, depth)` is given by the maker of queries."""

    def __init__(
        self, chance: Chance, marks: set[str], subquery: Subquery, calls: Calls | None = None
    ) -> None:
        self.chance = chance
        self.calls = calls or Calls()
        self.marks = marks
        self.parameters: Parameters | None = None
        self._subquery = subquery

    def make(self, family: str, scope: Scope, depth: int) -> str:
        """An expression of the family; `depth` bounds how far it nests."""
        if family == "text" and self.chance.maybe(8):
            return self.called(scope)
        if depth <= 0 or self.chance.maybe(35):
            return self.leaf(family, scope)
        makers: Mapping[str, Callable[[Scope, int], str]] = {
            "text": self._text,
            "int": self._int,
            "num": self._num,
            "bool": self.condition,
            "date": self._date,
            "tstz": self._tstz,
            "texts": self._texts,
            "jsonb": self._jsonb,
        }
        return makers[family](scope, depth - 1) if family in makers else self._any(family, scope)

    # --- leaves ---

    def column(self, family: str, scope: Scope) -> Reference | None:
        """A column of the family; sometimes one of the query around."""
        if scope.outer is not None and self.chance.maybe(30):
            found = scope.outer.of(family)
            if found:
                self.marks.add("correlated")
                return self.chance.pick(found)
        found = scope.of(family)
        return self.chance.pick(found) if found else None

    def leaf(self, family: str, scope: Scope) -> str:
        reference = None if self.chance.maybe(12) else self.column(family, scope)
        return self.typed(family, None) if reference is None else reference.sql

    def value(self, family: str, near: Reference | None) -> str:
        """A value as text: often one that only the hidden data of one side has."""
        if near is None or not near.values or near.family != family:
            return self.chance.pick(_PLAIN[family])
        value = self.chance.pick(near.values)
        if family != "text" or not self.chance.maybe(30):
            return value
        self.marks.add("a mask's image")
        host = value.rpartition("@")[2]
        return self.chance.pick(
            (
                f"{value[:1]}.",
                f"{value[:1]}***@{host}",
                value[:3],
                f"{'*' * (len(value) - 4)}{value[-4:]}",
            )
        )

    def bare(self, family: str, near: Reference) -> str:
        """A value that takes its type from what it is compared with."""
        value = self.value(family, near)
        if self._takes_parameter():
            assert self.parameters is not None
            return self.parameters.add(value, TYPES[family])
        if family in ("int", "num") and value.isdigit() and self.chance.maybe(50):
            return value
        return quoted(value)

    def typed(self, family: str, near: Reference | None) -> str:
        value = self.value(family, near)
        if self._takes_parameter():
            assert self.parameters is not None
            return f"{self.parameters.add(value, TYPES[family])}::{TYPES[family]}"
        return f"{quoted(value)}::{TYPES[family]}"

    def _takes_parameter(self) -> bool:
        if self.parameters is None or len(self.parameters.values) > 7:
            return False
        return self.chance.maybe(45)

    # --- conditions ---

    def conjunction(self, scope: Scope, depth: int) -> str:
        """Conditions joined by AND: those on one column first, which may be pushed down."""
        if self.chance.maybe(25):
            probe = self._probe(scope)
            if probe:
                return probe
        parts = [self._pushable(scope) for _ in range(self.chance.pick((1, 0, 0, 1, 2)))]
        parts += [self.condition(scope, depth) for _ in range(self.chance.pick((0, 1, 0)))]
        if self.chance.maybe(18):
            if not parts:
                parts.append(self._pushable(scope))
            parts.append(self.trap(scope))
        if not parts:
            return f"({self._pushable(scope)}) IS NOT TRUE"
        if len(parts) > 1 and self.chance.maybe(60):
            parts.reverse()
        return " AND ".join(parts)

    def _probe(self, scope: Scope) -> str:
        """What who looks for a hidden value would ask: is it there? Does anything get here?"""
        differing = [c for c in scope.columns if c.differs and c.family in _PUSHED]
        if not differing:
            return ""
        self.marks.add("probe")
        # The family first: there are many texts, and few dates, of which a range tells more.
        family = self.chance.pick(sorted({column.family for column in differing}))
        reference = self.chance.pick([c for c in differing if c.family == family])
        if reference.family == "text" and self.chance.maybe(15):
            # Fails for a value that begins so, and only for such a one.
            start = self.value("text", reference)[:2].replace("%", "").replace("\\", "")
            return f"{reference.sql} LIKE {quoted(f'{start}%{chr(92)}')}"
        value = self.bare(family, reference)
        operators = ("=", "=", "<=", ">", "<") if family in ("text", "uuid") else ("<=", "<", "=")
        sought = f"{reference.sql} {self.chance.pick(operators)} {value}"
        if self.chance.maybe(65):
            return sought
        return f"{self.trap(scope)} AND {sought}"

    def sought(self, scope: Scope) -> str:
        """A column compared with values: a condition that the proxy may repeat in a guard."""
        families = sorted({column.family for column in scope.columns if column.family in _PUSHED})
        family = self.chance.pick(families)
        reference = self.chance.pick([c for c in scope.columns if c.family == family])
        sql, one = reference.sql, self.bare(family, reference)
        two, typed = self.bare(family, reference), self.typed(family, reference)
        type_ = TYPES[family]
        array = quoted(f'{{"{self.value(family, reference)}"}}')
        if self._takes_parameter():
            assert self.parameters is not None
            array = self.parameters.add(array[1:-1], f"{type_}[]")
        return self.chance.pick(
            (
                f"{sql} = {one}",
                f"{sql} = {one}",
                f"{one} = {sql}",
                f"{sql} = {typed}",
                f"{sql} IN ({one}, {two})",
                f"{sql} = ANY ({array})",
                f"{sql} = ANY (ARRAY[{typed}])",
                f"{sql} >= {one} AND {sql} < {two}",
                f"{sql} BETWEEN {one} AND {two}",
                f"{sql} <= {one}",
                f"({sql} = {one} AND {sql} IS NOT NULL)",
                f"({sql} = {one} OR {sql} = {two})",
                f"{sql} IS NOT DISTINCT FROM {typed}",
            )
        )

    def _pushable(self, scope: Scope) -> str:
        reference = self._any_column(scope)
        if reference is None:
            return "true"
        family, sql = reference.family, reference.sql
        form = self.chance.below(7)
        if family in ("texts", "jsonb", "range") or form <= 2:
            return f"{sql} = {self.bare(family, reference)}"
        if form == 3:
            self.marks.add("in list")
            return f"{sql} IN ({self.bare(family, reference)}, {self.bare(family, reference)})"
        if form == 4:
            self.marks.add("between")
            low, high = sorted((self.value(family, reference), self.value(family, reference)))
            return f"{sql} BETWEEN {quoted(low)} AND {quoted(high)}"
        operator = self.chance.pick(_COMPARISONS)
        if form == 5:
            return f"{self.bare(family, reference)} {operator} {sql}"
        return f"{sql} {operator} {self.bare(family, reference)}"

    def _any_column(self, scope: Scope) -> Reference | None:
        if self.chance.maybe(45):
            differing = [c for c in scope.columns if c.differs and c.family in _PUSHED]
            if differing:
                return self.chance.pick(differing)
        return self.chance.pick(scope.columns) if scope.columns else None

    def trap(self, scope: Scope) -> str:
        """Fails, perhaps where a condition holds: it tells of a row that must not be there."""
        self.marks.add("trap")
        condition, any_column = self._pushable(scope), self._any_column(scope)
        sql = "1" if any_column is None else any_column.sql
        number = self.leaf("int", scope)
        return self.chance.pick(
            (
                # One operator, so that PostgreSQL may ask it before a comparison: it takes
                # conditions in the order of their cost.
                f"({number} * 9223372036854775807) IS NOT NULL",
                f"1 / (({sql} IS NULL)::int * 0) > 0",  # fails for every row that gets here
                f"1 / (CASE WHEN {condition} THEN 0 ELSE 1 END) > 0",
                f"(CASE WHEN {condition} THEN 'x' ELSE '1' END)::int > 0",
                f"1 - ({condition})::int > -1 / (1 - (COALESCE({condition}, false))::int)",
            )
        )

    def condition(self, scope: Scope, depth: int) -> str:
        forms: tuple[Callable[[Scope, int], str], ...] = (
            lambda scope, _: self._pushable(scope),
            self._compared,
            self._is_null,
            self._matched,
            self._combined,
            self._in_subquery,
            self._exists,
            self._any_of,
            self._of_its_type,
            self._of_its_type,
            self._failing_condition,
            self._row_compared,
            self._whole_row_condition,
            self._called_condition,
        )
        return self.chance.pick(forms)(scope, depth)

    # --- whatever may be called ---

    def call(self, *kinds: str) -> Call | None:
        call = self.calls.pick(self.chance, *kinds)
        if call is not None:
            self.marks.add(f"any {call.kind.removeprefix('form ')}")
        return call

    def called(self, scope: Scope) -> str:
        """A text: what some function, operator or cast makes of columns."""
        kinds = self.chance.pick(
            (
                *((("function",),) * 5),
                *((("form",),) * 2),
                *((("operator", "prefix"),) * 2),
                ("cast",),
                ("set", "form set"),
            )
        )
        call = self.call(*kinds)
        return self.leaf("text", scope) if call is None else called(call, self.leaf, scope)

    def _called_condition(self, scope: Scope, depth: int) -> str:
        one = self.called(scope)
        return self.chance.pick(
            (f"{one} IS NOT NULL", f"{one} > '5'", f"{one} = {self.called(scope)}")
        )

    def _compared(self, scope: Scope, depth: int) -> str:
        family = self.chance.pick(("text", "int", "num", "date", "tstz"))
        left, right = self.make(family, scope, depth - 1), self.make(family, scope, depth - 1)
        operator = self.chance.pick(
            (*_COMPARISONS, "IS DISTINCT FROM", "IS NOT DISTINCT FROM", "OPERATOR(pg_catalog.=)")
        )
        return f"({left} {operator} {right})"

    def _is_null(self, scope: Scope, depth: int) -> str:
        reference = self._any_column(scope)
        negated = self.chance.pick(("NOT ", ""))
        return "true" if reference is None else f"{reference.sql} IS {negated}NULL"

    def _matched(self, scope: Scope, depth: int) -> str:
        reference = self.column("text", scope)
        if reference is None:
            return "false"
        value = self.value("text", reference)
        start = value[:2].replace("%", "").replace("\\", "")
        # The last one fails for a value that begins so.
        pattern = self.chance.pick((f"{start}%", f"%{start}_%", "%@%", "_%", f"{start}\\"))
        form = self.chance.pick(("LIKE", "ILIKE", "~", "SIMILAR TO", "NOT LIKE", "^@"))
        self.marks.add("pattern")
        if form == "~" and self.chance.maybe(20):
            # The pattern itself comes from the data, and may be none.
            return f"{reference.sql} ~ {self.leaf('text', scope)}"
        if form == "~":
            pattern = self.chance.pick(("^a", "[0-9]", "^[^@]+@", "\\*", "^$"))
        return f"{reference.sql} {form} {quoted(pattern)}"

    def _combined(self, scope: Scope, depth: int) -> str:
        first = self.condition(scope, depth - 1) if depth > 0 else self._pushable(scope)
        second = self._pushable(scope)
        form = self.chance.pick(("({0} OR {1})", "NOT ({0} AND {1})", "(({0}) IS NOT TRUE OR {1})"))
        return form.format(first, second)

    def _in_subquery(self, scope: Scope, depth: int) -> str:
        if depth <= 0:
            return self._pushable(scope)
        self.marks.add("in sub-query")
        family = self.chance.pick(("int", "text"))
        word = self.chance.pick(("IN", "NOT IN", "= ANY", "<> ALL", "> ALL"))
        return f"{self.leaf(family, scope)} {word} ({self._subquery([family], scope, depth - 1)})"

    def _exists(self, scope: Scope, depth: int) -> str:
        if depth <= 0:
            return self._pushable(scope)
        self.marks.add("exists")
        word = self.chance.pick(("EXISTS", "NOT EXISTS"))
        return f"{word} ({self._subquery(['int'], scope, depth - 1)})"

    def _any_of(self, scope: Scope, depth: int) -> str:
        family = self.chance.pick(("text", "int", "uuid", "date"))
        reference = self.column(family, scope)
        if reference is None:
            return "true"
        values = ", ".join(self.typed(family, reference) for _ in range(self.chance.count(1, 3)))
        self.marks.add("any of an array")
        return f"{reference.sql} = ANY (ARRAY[{values}])"

    def _of_its_type(self, scope: Scope, depth: int) -> str:
        """A condition with an operator that only one type has."""
        text = self.leaf("text", scope)
        texts, json = self.leaf("texts", scope), self.leaf("jsonb", scope)
        address, span = self.leaf("inet", scope), self.leaf("range", scope)
        forms = (
            ("text search", f"to_tsvector('simple', {text}) @@ plainto_tsquery('simple', 'ana')"),
            ("text search", f"to_tsvector('simple', {text}) @@ to_tsquery('simple', 'b:*')"),
            ("text search", f"ts_rank(to_tsvector('simple', {text}), 'ana'::tsquery) > 0"),
            ("array", f"{texts} && ARRAY['a', 'b']"),
            ("array", f"'a' = ANY ({texts})"),
            ("array", f"{texts} @> ARRAY['1']"),
            ("json", f"{json} @> '{{\"a\": 1}}'"),
            ("json", f"jsonb_exists_any_placeholder({json})"),
            ("json", f"{json} @? '$.a ? (@ > 0)'"),
            ("json", f"jsonb_typeof({json}) = 'object'"),
            ("address", f"{address} <<= '10.0.1.0/24'::inet"),
            ("address", f"family({address}) = 4"),
            ("range", f"{span} @> {self.leaf('tstz', scope)}"),
            ("range", f"isempty({span})"),
            ("range", f"{span} && tstzrange('2026-01-01+00', NULL)"),
            (
                "dates",
                f"({self.leaf('date', scope)}, interval '40 days')"
                " OVERLAPS ('2000-01-01'::date, '2020-01-01'::date)",
            ),
        )
        mark, sql = self.chance.pick(forms)
        self.marks.add(mark)
        return sql.replace(f"jsonb_exists_any_placeholder({json})", f"({json} -> 'a') IS NOT NULL")

    def _failing_condition(self, scope: Scope, depth: int) -> str:
        """Fails for some values: a bad cast, a division by zero, a number too large."""
        self.marks.add("may fail")
        text, number = self.leaf("text", scope), self.leaf("int", scope)
        safely = f"CASE WHEN {text} ~ '^[0-9]{{1,6}}$' THEN {text}::int END > 3"
        return self.chance.pick(
            (
                safely,
                safely,
                safely,
                f"10 / ({number} - {self.typed('int', self.column('int', scope))}) >= 0",
                f"{text}::int > 0",
                f"{number}::int2 > 0",
                f"({text})::date IS NOT NULL",
                f"sqrt({number}::float8) >= 0",
                f"ln(({self.leaf('num', scope)})::numeric) > 0",
                f"({text} || '@')::jsonb IS NULL",
            )
        )

    def _row_compared(self, scope: Scope, depth: int) -> str:
        self.marks.add("row comparison")
        left = f"({self.leaf('int', scope)}, {self.leaf('text', scope)})"
        right = f"({self.leaf('int', scope)}, {self.leaf('text', scope)})"
        return f"{left} {self.chance.pick(('=', '<', '<>', 'IS DISTINCT FROM'))} {right}"

    def _whole_row_condition(self, scope: Scope, depth: int) -> str:
        if not scope.rows:
            return self._pushable(scope)
        self.marks.add("whole row")
        row = self.chance.pick(scope.rows)
        needle = quoted(f"%{self.value('text', self.column('text', scope))}%")
        return self.chance.pick(
            (f"{row} IS NOT NULL", f"({row}.*) IS NULL", f"{row}::text LIKE {needle}")
        )

    # --- families ---

    def _any(self, family: str, scope: Scope) -> str:
        first, second = self.leaf(family, scope), self.leaf(family, scope)
        return self.chance.pick(
            (
                f"COALESCE({first}, {second})",
                f"CASE WHEN {self._pushable(scope)} THEN {first} ELSE {second} END",
                f"NULLIF({first}, {second})",
            )
        )

    def _text(self, scope: Scope, depth: int) -> str:
        one = self.make("text", scope, depth)
        choice = self.chance.below(12)
        if choice == 0:
            return self._any("text", scope)
        if choice >= 10:
            return self.called(scope)
        if choice == 1:
            family = self.chance.pick(FAMILIES)
            return f"({self.make(family, scope, depth)})::text"
        if choice == 2 and scope.rows:
            self.marks.add("whole row")
            row = self.chance.pick(scope.rows)
            names = [column.name for column in scope.columns]
            key = quoted(self.chance.pick(names)) if names else "'id'"
            return self.chance.pick(
                (f"(to_jsonb({row}) ->> {key})", f"{row}::text", f"(row_to_json({row}) ->> {key})")
            )
        if choice == 3 and depth > 0:
            self.marks.add("scalar sub-query")
            return (
                f"(SELECT min(s.c1) FROM ({self._subquery(['text'], scope, depth - 1)}) AS s(c1))"
            )
        if choice == 4:
            json = self.make("jsonb", scope, depth)
            self.marks.add("json")
            return self.chance.pick(
                (f"({json} ->> 'a')", f"({json} #>> '{{c,0}}')", f"jsonb_typeof({json})")
            )
        other, number = self.leaf("text", scope), self.chance.count(0, 4)
        self.marks.add("text functions")
        return self.chance.pick(
            (
                f"lower({one})",
                f"upper({one})",
                f"({one} || {other})",
                f"left({one}, {number})",
                f"right({one}, {number})",
                f"substring({one} FROM {number + 1} FOR 2)",
                f"split_part({one}, '@', 2)",
                f"replace({one}, 'a', {other})",
                f"concat_ws('-', {one}, {other})",
                f"md5({one})",
                f"regexp_replace({one}, '[0-9]', '#', 'g')",
                f"reverse({one})",
                f"initcap({one})",
                f"lpad({one}, {number + 3}, '.')",
                f"translate({one}, 'ab', 'ba')",
                f"format('%s/%s', {one}, {other})",
                f"to_char({self.leaf('tstz', scope)}, 'YYYY-MM-DD')",
                f"array_to_string({self.leaf('texts', scope)}, '+')",
                f"encode(sha256(convert_to({one}, 'UTF8')), 'hex')",
                f"host({self.leaf('inet', scope)})",
                f"trim(BOTH 'a' FROM {one})",
                f"quote_nullable({one})",
            )
        )

    def _int(self, scope: Scope, depth: int) -> str:
        one, text = self.make("int", scope, depth), self.leaf("text", scope)
        choice = self.chance.below(8)
        if choice == 0:
            return self._any("int", scope)
        if choice == 1 and depth > 0:
            self.marks.add("scalar sub-query")
            return f"(SELECT count(*) FROM ({self._subquery(['text'], scope, depth - 1)}) AS s)"
        if choice == 2 and depth > 0 and self.chance.maybe(25):
            self.marks.add("scalar sub-query")  # fails where it gives more than one row
            return f"({self._subquery(['int'], scope, depth - 1)})"
        if choice == 3 and self.chance.maybe(40):
            self.marks.add("may fail")
            other = self.leaf("int", scope)
            return self.chance.pick(
                (f"({one} / NULLIF({other}, 0))", f"({one} % {other})", f"({one} / {other})",
                 f"({text})::int", f"({one} * 4611686018427387904)", f"({one})::int2")
            )  # fmt: skip
        return self.chance.pick(
            (
                f"length({text})",
                f"({one} + 1)",
                f"({one} - {self.leaf('int', scope)})",
                f"abs({one})",
                f"strpos({text}, 'a')",
                f"COALESCE(cardinality({self.leaf('texts', scope)}), -1)",
                f"EXTRACT(year FROM {self.leaf('date', scope)})::int",
                f"({self._pushable(scope)})::int",
                f"GREATEST({one}, 3)",
                f"regexp_count({text}, '[a-c]')",
                f"ascii({text})",
                f"({self.leaf('date', scope)} - '2000-01-01'::date)",
                f"jsonb_array_length(jsonb_build_array({text}))",
                f"masklen({self.leaf('inet', scope)})",
            )
        )

    def _num(self, scope: Scope, depth: int) -> str:
        one = self.make("num", scope, depth)
        return self.chance.pick(
            (
                self._any("num", scope),
                f"round({one}, 1)",
                f"({one} + {self.leaf('int', scope)})",
                f"({self.make('int', scope, depth)})::numeric",
                f"({one} * 1.5)",
                f"abs({one})",
                f"trunc({one})",
                f"({one} / NULLIF({self.leaf('num', scope)}, 0))",
                f"width_bucket({one}, -100, 100, 5)::numeric",
            )
        )

    def _date(self, scope: Scope, depth: int) -> str:
        one = self.leaf("date", scope)
        return self.chance.pick(
            (
                self._any("date", scope),
                f"({one} + 1)",
                f"({self.leaf('tstz', scope)})::date",
                f"date_trunc('month', {one})::date",
                f"make_date(2000 + abs({self.leaf('int', scope)} % 20)::int, 1, 1)",
            )
        )

    def _tstz(self, scope: Scope, depth: int) -> str:
        one = self.leaf("tstz", scope)
        return self.chance.pick(
            (
                self._any("tstz", scope),
                f"({one} + interval '1 day')",
                f"date_trunc('day', {one}, 'UTC')",
                f"({self.leaf('ts', scope)} AT TIME ZONE 'UTC')",
                f"lower({self.leaf('range', scope)})",
            )
        )

    def _texts(self, scope: Scope, depth: int) -> str:
        one, text = self.leaf("texts", scope), self.leaf("text", scope)
        self.marks.add("array")
        return self.chance.pick(
            (
                f"({one} || {text})",
                f"string_to_array({text}, '@')",
                f"array_remove({one}, 'a')",
                f"ARRAY[{text}, {self.make('text', scope, depth)}]",
                f"regexp_split_to_array({text}, '')",
                f"({one})[1:2]",
            )
        )

    def _jsonb(self, scope: Scope, depth: int) -> str:
        one, text = self.leaf("jsonb", scope), self.leaf("text", scope)
        self.marks.add("json")
        row = f"to_jsonb({self.chance.pick(scope.rows)})" if scope.rows else one
        return self.chance.pick(
            (
                f"jsonb_build_object('k', {text}, 'n', {self.leaf('int', scope)})",
                row,
                f"({one} || '{{\"z\": 1}}')",
                f"to_jsonb({self.make('text', scope, depth)})",
                f"({one} -> 'a')",
                f"jsonb_build_array({self.leaf('date', scope)}, {self.leaf('num', scope)})",
                f"jsonb_path_query_array({one}, '$.*')",
                f"jsonb_set(jsonb_build_object('a', {text}), '{{a}}', '1')",
            )
        )
