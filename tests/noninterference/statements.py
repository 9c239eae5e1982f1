"""Whole statements: a query, and the way in which a client sends it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.noninterference.chance import Chance
from tests.noninterference.expressions import Parameters, quoted
from tests.noninterference.queries import Known, Queries, Query

_OIDS: Final[Mapping[str, int]] = {
    "text": 25, "bigint": 20, "numeric": 1700, "float8": 701, "boolean": 16, "date": 1082,
    "timestamp": 1114, "timestamptz": 1184, "inet": 869, "uuid": 2950, "text[]": 1009,
    "jsonb": 3802, "tstzrange": 3910, "bigint[]": 1016, "float8[]": 1022, "date[]": 1182,
    "timestamp[]": 1115, "timestamptz[]": 1185, "uuid[]": 2951,
}  # fmt: skip
_PARAMETER: Final = re.compile(r"\$(\d+)")
_COMPARED: Final = re.compile(r"(?<=[=<>] )'((?:[^']|'')*)'(?!::)")

# What a tool asks the catalog for. The numbers of rows and pages follow hidden rows.
_CATALOG: Final = (
    "SELECT relname, relkind, reltuples, relpages, relallvisible FROM pg_class ORDER BY 1, 2, 3, 4",
    "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
    " ORDER BY 1, 2, 3, 4",
    "SELECT c.relname, a.attname, a.atttypid::regtype::text, a.attnum FROM pg_attribute AS a"
    " JOIN pg_class AS c ON c.oid = a.attrelid WHERE a.attnum > 0 ORDER BY 1, 2, 4",
    "SELECT indexrelid::regclass::text, indisunique FROM pg_index ORDER BY 1, 2",
    "SELECT nspname FROM pg_namespace ORDER BY 1",
    "SELECT * FROM pg_stats",
)
_NOT_ANSWERED: Final = (
    "SELECT * FROM staff.pay WHERE pay = 7",
    "SELECT count(*) FROM consent.subject",
    "SELECT internal FROM crm.people WHERE internal = 'ana'",
    "SELECT p.mood FROM crm.people AS p ORDER BY 1",
    "SELECT referrer, count(*) FROM views GROUP BY 1 ORDER BY 1, 2",
    "SELECT ctid, xmin FROM crm.people",
    "SELECT * FROM sales.events_low",
    "SELECT query_to_xml('SELECT * FROM crm.people', true, true, '')",
    "EXPLAIN SELECT * FROM crm.people WHERE id = 3",
    "EXPLAIN ANALYZE SELECT * FROM crm.people",
)


_COPIES: Final = ("", " WITH (FORMAT csv, HEADER)", " WITH (FORMAT csv)", " WITH (FORMAT binary)")


@dataclass(frozen=True, slots=True)
class Step:
    """One message round of a client. `protocol`: simple, extended, or prepared by name."""

    text: str
    protocol: str = "simple"
    values: tuple[str, ...] = ()
    types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """What a client does to ask one question. `choices` make it again."""

    form: str
    steps: tuple[Step, ...]
    is_ordered: bool
    marks: frozenset[str]
    choices: tuple[int, ...]


def make_statement(chance: Chance, known: Known) -> Statement:
    """One statement by these choices, of what is known."""
    marks: set[str] = set()
    maker = _Maker(chance, known, marks)
    form, forms = maker.form()
    steps, is_ordered = forms()
    return Statement(form, tuple(steps), is_ordered, frozenset(marks), tuple(chance.drawn))


class _Maker:
    def __init__(self, chance: Chance, known: Known, marks: set[str]) -> None:
        self._chance = chance
        self._relations = known.relations
        self._queries = Queries(chance, known, marks)
        self._marks = marks

    def form(self) -> tuple[str, Callable[[], tuple[list[Step], bool]]]:
        forms: tuple[tuple[str, Callable[[], tuple[list[Step], bool]]], ...] = (
            *((("simple", self._simple),) * 8),
            *((("extended", self._extended),) * 5),
            *((("prepared", self._prepared),) * 3),
            *((("sql prepare", self._sql_prepare),) * 2),
            *((("cursor", self._cursor),) * 2),
            *((("copy", self._copy),) * 2),
            ("copy relation", self._copy_relation),
            ("whole relation", self._whole_relation),
            ("several", self._several),
            *((("again", self._again),) * 2),
        )
        if self._chance.maybe(4):
            forms = (
                ("catalog", lambda: self._fixed(_CATALOG)),
                ("not answered", lambda: self._fixed(_NOT_ANSWERED)),
            )
        form = self._chance.pick(forms)
        self._marks.add(form[0])
        return form

    def _query(self, parameters: Parameters | None = None) -> tuple[Query, str, Parameters]:
        """A query, and its text and parameters with those left out that it does not use."""
        self._queries.expressions.parameters = parameters
        query = self._queries.top()
        made = parameters or Parameters(is_declared=False)
        numbers = list(dict.fromkeys(int(match[1]) for match in _PARAMETER.finditer(query.sql)))
        places = {number: place for place, number in enumerate(numbers, 1)}
        text = _PARAMETER.sub(lambda match: f"${places[int(match[1])]}", query.sql)
        used = Parameters(
            made.is_declared,
            [made.values[number - 1] for number in numbers],
            [made.types[number - 1] for number in numbers],
        )
        if numbers:
            self._marks.add("parameters")
        return query, text, used

    # --- forms ---

    def _fixed(self, texts: Sequence[str]) -> tuple[list[Step], bool]:
        protocol = self._chance.pick(("simple", "extended"))
        return [Step(self._chance.pick(texts), protocol)], False

    def _simple(self) -> tuple[list[Step], bool]:
        query, text, _ = self._query()
        return [Step(text)], query.is_ordered

    def _extended(self) -> tuple[list[Step], bool]:
        return self._bound("extended")

    def _prepared(self) -> tuple[list[Step], bool]:
        return self._bound("prepared")

    def _bound(self, protocol: str) -> tuple[list[Step], bool]:
        query, text, used = self._query(Parameters(self._chance.maybe(50)))
        types = tuple(_OIDS[name] for name in used.types) if used.is_declared else ()
        return [Step(text, protocol, tuple(used.values), types)], query.is_ordered

    def _sql_prepare(self) -> tuple[list[Step], bool]:
        query, text, used = self._query(Parameters(is_declared=True))
        types = f"({', '.join(used.types)})" if used.types else ""
        values = f"({', '.join(map(quoted, used.values))})" if used.values else ""
        steps = [
            Step(f"PREPARE p1{types} AS {text}"),
            Step(f"EXECUTE p1{values}"),
            Step("DEALLOCATE p1"),
        ]
        return steps, query.is_ordered

    def _cursor(self) -> tuple[list[Step], bool]:
        query, text, _ = self._query()
        fetches = [Step(f"FETCH {self._chance.count(1, 4)} FROM k1")] if query.is_ordered else []
        if query.is_ordered and self._chance.maybe(40):
            fetches += [Step("MOVE 1 FROM k1"), Step("FETCH BACKWARD 2 FROM k1")]
        scroll = "SCROLL " if len(fetches) > 1 else ""
        steps = [
            Step("BEGIN"),
            Step(f"DECLARE k1 {scroll}CURSOR FOR {text}"),
            *fetches,
            Step("FETCH ALL FROM k1"),
            Step("CLOSE k1"),
            Step("COMMIT"),
        ]
        return steps, query.is_ordered

    def _copy(self) -> tuple[list[Step], bool]:
        query, text, _ = self._query()
        options = self._chance.pick(_COPIES)
        return [Step(f"COPY ({text}) TO STDOUT{options}")], query.is_ordered

    def _copy_relation(self) -> tuple[list[Step], bool]:
        relation = self._chance.pick(self._relations)
        names = ", ".join(column.name for column in relation.columns if self._chance.maybe(50))
        columns = f" ({names})" if names else ""
        return [Step(f"COPY {relation.name}{columns} TO STDOUT")], False

    def _whole_relation(self) -> tuple[list[Step], bool]:
        name = self._chance.pick(self._relations).name
        return [Step(self._chance.pick((f"TABLE {name}", f"SELECT * FROM {name}")))], False

    def _several(self) -> tuple[list[Step], bool]:
        first, text, _ = self._query()
        second, other, _ = self._query()
        return [Step(f"{text}; {other}")], first.is_ordered and second.is_ordered

    def _again(self) -> tuple[list[Step], bool]:
        """The same statement with other values: its plan may be shared."""
        query, text, _ = self._query()
        others = [
            _COMPARED.sub(lambda match: quoted(self._other(match[1])), text)
            for _ in range(self._chance.count(2, 3))
        ]
        return [Step(each) for each in (text, *others)], query.is_ordered

    def _other(self, value: str) -> str:
        """Another value of the column that has this one; the value itself where none has it."""
        value = value.replace("''", "'")
        columns = [
            column.values
            for relation in self._relations
            for column in relation.columns
            if value in column.values
        ]
        return self._chance.pick(self._chance.pick(columns)) if columns else value
