"""Pushed is as unpushed: the same rows or the same error, whatever is compared, however written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import proxy.enforce
from proxy.consent.schema import init
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.rewrite.plan import Plan, PlanContext
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits
from tests.conftest import MakeDatabase

# `PUSHED_EXAMPLES=20000` for a night.
EXAMPLES: Final = int(os.environ.get("PUSHED_EXAMPLES", "120"))

# Edges of each type; every one is a row's value and a constant.
VALUES: Final = {
    "int2": ["-32768", "0", "7"],
    "int4": ["-2147483648", "0", "7", "70000"],
    "int8": ["-9223372036854775808", "0", "7", "3000000000"],
    "float4": ["NaN", "-0", "0", "Infinity", "1.5"],
    "float8": ["NaN", "-0", "0", "-Infinity", "1.5"],
    "numeric": ["NaN", "0", "0.00", "1.50", "1.5", "7"],
    "date": ["infinity", "-infinity", "2020-02-29", "0044-03-15 BC"],
    "timestamp": ["infinity", "2020-02-29 12:00", "1999-12-31 23:59:59.999999"],
    "timestamptz": ["-infinity", "2020-02-29 12:00+00", "2020-02-29 00:00+02"],
    "bool": ["true", "false"],
    "uuid": ["00000000-0000-0000-0000-000000000007", "ffffffff-0000-0000-0000-000000000000"],
    "text": ["", " ", "Ana", "ana", "a*", "ana@x.org", "a***@x.org", "***", "****a", "A.", "x.org"],
    "varchar(254)": ["", "ana@x.org", "a***@x.org", "***", "ben@x.org"],
    "varchar(3)": ["", "a@x", "a**", "***", "ab"],
    "char(6)": ["", "ab", "ab    ", "****ab", "a***@x", "ana@x"],
}
COLLATED: Final = {"collated": 'text COLLATE "C"'}
TEXT_MASKS: Final = (
    "email", "last4", "first(2)", "initial", "prefix(2)", "redact", "constant(Ana)", "email_domain",
    "pseudonym",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Col:
    name: str
    type: str
    mask: str | None  # None: open

    @property
    def values(self) -> list[str]:
        return VALUES["text" if "COLLATE" in self.type else self.type]


def _columns() -> list[Col]:
    types = {each.split("(")[0] + each.strip(")")[-1]: each for each in VALUES} | COLLATED
    columns = [Col(f"o_{name}", type_, None) for name, type_ in types.items()]
    columns += [Col(f"n_{name}", type_, "null") for name, type_ in types.items()]
    for number, mask in enumerate(TEXT_MASKS):
        columns += [Col(f"x{number}_{name}", types[name], mask)
                    for name in ("textt", "varchar4", "varchar3", "char6", "collated")
                    if not (mask == "pseudonym" and name in ("varchar3", "char6"))]  # fmt: skip
    return columns


COLUMNS: Final = _columns()
ROWS: Final = 24  # of them every third is nobody's who agreed


def _policy() -> str:
    columns = "\n".join(
        f"      {each.name}: "
        + ("open" if each.mask is None else f'{{category: own.kind, mask: "{each.mask}"}}')
        for each in COLUMNS
    )
    return f"""
policy: pushed
version: 1
purposes:
  masked: {{basis: consent, reads: [own.kind]}}
  rows: {{basis: consent, people: consented, reads: [own.kind]}}
subject: {{key: shop.things.id, consent: ledger}}
tables:
  shop.things:
    subject: id
    columns:
      id: open
{columns}
  shop.visits:
    subject: thing
    columns: {{id: open, thing: open, note: open}}
tools: {{tool: {{purposes: [masked, rows]}}}}
"""


def _database() -> str:
    columns = ", ".join(f"{each.name} {each.type}" for each in COLUMNS)
    rows = []
    for row in range(ROWS):
        cells = [
            "NULL"
            if (row + number) % 7 == 6
            else _quoted(each.values[(row + number) % len(each.values)])
            for number, each in enumerate(COLUMNS)
        ]
        rows.append(f"({row}, {', '.join(cells)})")
    return f"""
CREATE SCHEMA shop;
CREATE TABLE shop.things (id bigint PRIMARY KEY, {columns});
INSERT INTO shop.things VALUES {", ".join(rows)};
CREATE TABLE shop.visits (id bigint PRIMARY KEY, thing bigint, note text);
CREATE INDEX ON shop.visits (thing);
INSERT INTO shop.visits
SELECT i, nullif(i % {ROWS + 2}, 1), 'n' || i FROM generate_series(1, 60) AS i;
"""


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Case:
    """A statement, with the types and values of its parameters."""

    sql: str
    types: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


@st.composite
def _conditions(draw: st.DrawFn, alias: str, case: list[tuple[str, str]]) -> str:
    column = draw(st.sampled_from(COLUMNS))
    name = f"{alias}.{column.name}" if alias else column.name
    plain_type = column.type.split(" COLLATE")[0].split("(")[0].replace("char", "bpchar")
    plain_type = plain_type.replace("varbpchar", "varchar")

    def constant(form: str | None = None) -> str:
        value = _quoted(draw(st.sampled_from(column.values)))
        form = form or draw(st.sampled_from(["literal", "cast", "parameter", "typed", "number"]))
        if form == "cast":
            return f"{value}::{draw(st.sampled_from([plain_type, 'text']))}"
        if form == "number" and plain_type in ("int2", "int4", "int8"):
            return value.strip("'")
        if form in ("parameter", "typed"):
            case.append((plain_type if form == "typed" else "unknown", value))
            return f"${len(case)}"
        return value

    match draw(st.sampled_from(["=", "=", "=", "<", ">=", "in", "any", "between", "or", "not"])):
        case "in":
            return f"{name} IN ({', '.join(constant() for _ in range(draw(st.integers(1, 3))))})"
        case "any":
            items = [constant("literal") for _ in range(draw(st.integers(0, 3)))]
            array = "{" + ",".join('"' + item[1:-1] + '"' for item in items) + "}"
            return f"{name} = ANY ('{array}'{draw(st.sampled_from(['', f'::{plain_type}[]']))})"
        case "between":
            return f"{name} BETWEEN {constant()} AND {constant()}"
        case "or":
            return f"({name} = {constant()} OR {constant()} = {name})"
        case "not":
            return f"NOT {name} = {constant()}"
        case operator:
            return f"{name} {operator} {constant()}"


# {t} stands for a condition on things, {a}: one on `t`'s columns by that name.
FORMS: Final = (
    "SELECT id FROM shop.things WHERE {t}",
    "SELECT id FROM shop.things WHERE {t} AND {t}",
    "SELECT * FROM shop.things AS t WHERE {a} AND id < 20",
    "SELECT s.id FROM (SELECT * FROM shop.things) AS s WHERE {s}",
    "WITH s AS (SELECT t.* FROM shop.things AS t WHERE {a}) SELECT s.id FROM s WHERE {s}",
    "SELECT t.id, v.id FROM shop.things t JOIN shop.visits v ON v.thing = t.id WHERE {a}",
    "SELECT t.id, v.id FROM shop.visits v JOIN shop.things t ON v.thing = t.id AND {a}"
    " WHERE t.id < 9",
    "SELECT t.id, v.id FROM shop.things t, shop.visits v WHERE v.thing = t.id AND t.id = 5 AND {a}",
    "SELECT t.id, v.id FROM shop.things t LEFT JOIN shop.visits v ON v.thing = t.id WHERE {a}",
    "SELECT t.id, v.id FROM shop.visits v LEFT JOIN shop.things t ON v.thing = t.id WHERE {a}",
    "SELECT t.id, v.id FROM shop.visits v FULL JOIN shop.things t ON v.thing = t.id AND {a}",
    "SELECT t.id FROM shop.things t WHERE t.id < 9 AND EXISTS"
    " (SELECT FROM shop.visits v WHERE v.thing = t.id) AND {a}",
    "SELECT t.id FROM shop.things t WHERE t.id > 2 AND t.id NOT IN"
    " (SELECT thing FROM shop.visits v WHERE v.id > 30) AND {a}",
    "SELECT t.id FROM shop.things t WHERE t.id > 2 AND t.id IN (SELECT thing FROM shop.visits)"
    " AND {a}",
    "SELECT t.id FROM shop.things t WHERE t.id > 2"
    " AND t.id IN (SELECT thing FROM shop.visits ORDER BY shop.visits.id LIMIT 7) AND {a}",
    "SELECT t.id FROM shop.things t WHERE t.id > 2"
    " AND t.id IN (SELECT max(thing) FROM shop.visits GROUP BY shop.visits.id % 5) AND {a}",
    "SELECT t.id, (SELECT count(*) FROM shop.visits v WHERE v.thing = t.id) FROM shop.things t"
    " WHERE {a}",
    "SELECT p.id, v.id FROM (SELECT id FROM shop.things t WHERE {a} ORDER BY id LIMIT 5) AS p"
    " JOIN shop.visits v ON v.thing = p.id",
    "SELECT id FROM shop.things WHERE {t} ORDER BY id DESC LIMIT 4",
    "SELECT v.thing, count(*) FROM shop.visits v WHERE v.thing IN (1, 5, 6) GROUP BY 1"
    " HAVING count(*) > 1",
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    sql = draw(st.sampled_from(FORMS))
    parameters: list[tuple[str, str]] = []
    for mark, alias in (("{t}", ""), ("{a}", "t"), ("{s}", "s")):
        while mark in sql:
            sql = sql.replace(mark, draw(_conditions(alias, parameters)), 1)
    types = tuple(type_ for type_, _ in parameters)
    return Case(sql, types, tuple(value for _, value in parameters))


@dataclass(frozen=True, slots=True)
class Bench:
    enforcer: Enforcer
    connection: psycopg.Connection[tuple[object, ...]]
    oids: dict[str, int]

    def plan(self, case: Case, purpose: str) -> Plan:
        context = PlanContext(
            tool="tool",
            purpose=purpose,
            search_path=("shop",),
            is_extended=True,
            parameter_types=tuple(self.oids[name] for name in case.types),
        )
        (plan,) = self.enforcer.plan(case.sql, context)
        assume(not isinstance(plan, Refused))  # the second reader does not read all of them
        assert isinstance(plan, Plan)
        return plan

    def answer(self, plan: Plan, case: Case) -> object:
        types = f" ({', '.join(case.types)})" if case.types else ""
        values = f" ({', '.join(case.values)})" if case.values else ""
        cursor = self.connection.cursor()
        cursor.execute("DEALLOCATE ALL")
        try:
            cursor.execute(f"PREPARE p{types} AS {plan.text}".encode())
            rows = cursor.execute(f"EXECUTE p{values}".encode()).fetchall()
            return sorted(map(repr, rows))
        except psycopg.Error as error:
            return error.sqlstate


@pytest.fixture(scope="module")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pushed")
    (folder / "policy.yaml").write_text(_policy())
    return folder


@pytest.fixture
async def _enforcer(policy_folder: Path, make_database: MakeDatabase) -> tuple[Enforcer, str]:
    policy = load_policy(policy_folder)
    url = make_database(script=_database())
    admin = await asyncpg.connect(url)
    await init(admin, policy)
    await admin.execute(
        "INSERT INTO consent.subject (subject_id, masked, rows)"
        f" SELECT i, u, u FROM generate_series(0, {ROWS}) AS i, LATERAL (SELECT"
        " CASE WHEN i % 3 > 0 THEN 'infinity'::timestamptz ELSE '-infinity' END) AS g(u)"
    )
    catalog = await load_catalog(admin, catalog_schemas(policy))
    await admin.close()
    limits = StatementLimits(statement_bytes=1 << 20, statement_nesting=100)
    return Enforcer(policy, catalog, limits, SettingLimits()), url


@pytest.fixture
def bench(_enforcer: tuple[Enforcer, str]) -> Iterator[Bench]:
    enforcer, url = _enforcer
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        oids = {
            row[0]: row[1] for row in connection.execute("SELECT typname, oid::int FROM pg_type")
        }
        yield Bench(enforcer, connection, {**oids, "unknown": 0})


def test_pushed_is_as_unpushed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = {"pushed": 0, "answered": 0}

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(cases(), st.sampled_from(["masked", "rows"]))
    def check(case: Case, purpose: str) -> None:
        pushed = bench.plan(case, purpose)
        with monkeypatch.context() as patch:
            patch.setattr(proxy.enforce, "push_down", lambda *_: None)
            unpushed = bench.plan(case, purpose)
        answer = bench.answer(unpushed, case)
        assert bench.answer(pushed, case) == answer
        reached["pushed"] += pushed != unpushed
        reached["answered"] += bool(answer) and isinstance(answer, list)

    check()
    assert reached["pushed"] > EXAMPLES // 4
    assert reached["answered"] > EXAMPLES // 8
