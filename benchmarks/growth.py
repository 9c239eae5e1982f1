"""`python -m benchmarks.growth`: does a statement cost more where there is more of everything?

A policy and its database are made in two sizes that differ in one thing: tables, columns of a
table, purposes, tools, people with consent. The same statements are planned under both in turn
(never the same text twice), and a point query is run in both databases as it is rewritten. The
ratio should be 1; how long loading took is told beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
from rich.console import Console
from rich.table import Table

from benchmarks.kept import keep
from benchmarks.planning import as_in_a_worker
from benchmarks.processes import sharing_a_core
from proxy.consent.schema import READER, WRITER, init
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.rewrite.plan import Plan, PlanContext
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits

BAND: Final = 0.10
_POINT: Final = "SELECT id, name, email AS email_{n} FROM t0 WHERE id = 7"
_JOIN: Final = (
    "SELECT a.name, count(b.id) AS orders_{n}, max(b.email) FROM t0 AS a JOIN t1 AS b ON"
    " b.person_id = a.id WHERE a.email = 'x@example.com' AND b.c3 > 5 GROUP BY a.id, a.name"
    " ORDER BY 2 DESC LIMIT 10"
)
STATEMENTS: Final = (_POINT, _JOIN)
POINT: Final = "SELECT id, name, email FROM t0 WHERE id = $1"
_CHUNK: Final = 20  # statements planned before the other size's turn
_POINTS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    tables: int = 10
    columns: int = 8
    purposes: int = 2
    tools: int = 1
    people: int = 1_000


GROWN: Final[dict[str, Size]] = {
    "tables": Size(tables=1_000),
    "columns": Size(columns=200),
    "purposes": Size(purposes=50),
    "tools": Size(tools=50),
    "people": Size(people=200_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One thing, from little to much of it."""

    thing: str
    little: int
    much: int
    plan_us: tuple[float, float]  # CPU of planning a new statement, medians
    point_us: tuple[float, float]  # the database's answer to a point query, medians
    load_s: tuple[float, float]  # policy, catalog and what is made of both

    @property
    def plan_ratio(self) -> float:
        return self.plan_us[1] / self.plan_us[0]

    @property
    def point_ratio(self) -> float:
        return self.point_us[1] / self.point_us[0]


@dataclass(frozen=True, slots=True)
class Built:
    """A policy in force over a database of one size."""

    enforcer: Enforcer
    context: PlanContext
    url: str
    load_s: float


def measure(things: Sequence[str], rounds: int) -> Iterator[Growth]:
    with tempfile.TemporaryDirectory(prefix="proxy-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", port=0, settings=WITHOUT_DURABILITY)
        with server:
            little = asyncio.run(build(server, Path(folder), "little", Size()))
            for thing in things:
                size = GROWN[thing]
                much = asyncio.run(build(server, Path(folder), f"much_{thing}", size))
                plan = _medians(plan_times((little, much), rounds))
                point = _medians(asyncio.run(_point_times((little, much), rounds)))
                yield Growth(
                    thing=thing,
                    little=getattr(Size(), thing),
                    much=getattr(size, thing),
                    plan_us=plan,
                    point_us=point,
                    load_s=(little.load_s, much.load_s),
                )


def plan_times(pair: tuple[Built, Built], rounds: int) -> Iterator[tuple[float, float]]:
    """CPU µs of planning a new statement, of both in turn."""
    numbers = itertools.count()
    for _ in range(rounds):
        times = []
        for built in pair:
            began = time.process_time()
            for number in itertools.islice(numbers, _CHUNK):
                _plan(built, STATEMENTS[number % len(STATEMENTS)].format(n=number))
            times.append((time.process_time() - began) / _CHUNK * 1e6)
        yield times[0], times[1]


def _medians(times: Iterable[tuple[float, float]]) -> tuple[float, float]:
    little, much = zip(*times, strict=True)
    return statistics.median(little), statistics.median(much)


def _plan(built: Built, text: str) -> Plan:
    (plan,) = built.enforcer.plan(text, built.context)
    if isinstance(plan, Refused):
        raise SystemExit(f"{text}: {plan}")
    return plan


async def _point_times(pair: tuple[Built, Built], rounds: int) -> list[tuple[float, float]]:
    """µs of a point query in the database, of both in turn."""
    connections = [await asyncpg.connect(built.url) for built in pair]
    try:
        prepared = [
            await connection.prepare(_plan(built, POINT).text)
            for connection, built in zip(connections, pair, strict=True)
        ]
        times = []
        with sharing_a_core(connections):
            for _ in range(rounds):
                turn = []
                for statement in prepared:
                    began = time.perf_counter()
                    for number in range(_POINTS):
                        await statement.fetch(number + 1)
                    turn.append((time.perf_counter() - began) / _POINTS * 1e6)
                times.append((turn[0], turn[1]))
        return times
    finally:
        for connection in connections:
            await connection.close()


# --- policies and databases of any size -----------------------------------------------------------


async def build(server: EmbeddedPostgres, folder: Path, name: str, size: Size) -> Built:
    policy_folder = folder / f"policy_{name}"
    policy_folder.mkdir()
    (policy_folder / "policy.yaml").write_text(_policy_text(size), encoding="utf-8")
    server.run(f"CREATE DATABASE {name}")
    connection = await asyncpg.connect(server.url(name))
    try:
        for number in range(size.tables):
            await connection.execute(_table_sql(number, size))
        await init(
            connection, load_policy(policy_folder), passwords={READER: "bench", WRITER: "bench"}
        )
        await connection.execute(
            "INSERT INTO crm.t0 (id, person_id, name, email)"
            " SELECT i, i, 'Name ' || i, i || '@example.com'"
            f" FROM generate_series(1, {size.people}) AS i;"
            " INSERT INTO consent.subject (subject_id) SELECT id FROM crm.t0"
            " ON CONFLICT DO NOTHING; ANALYZE"
        )
    finally:
        await connection.close()
    reader = await asyncpg.connect(server.url(name, READER))
    try:
        began = time.perf_counter()
        policy = load_policy(policy_folder)
        enforcer = Enforcer(
            policy,
            await load_catalog(reader, catalog_schemas(policy)),
            StatementLimits(statement_bytes=1 << 20, statement_nesting=100),
            SettingLimits(),
        )
        load_s = time.perf_counter() - began
    finally:
        await reader.close()
    context = PlanContext(tool="tool0", purpose="purpose0", search_path=policy.schemas)
    return Built(enforcer, context, server.url(name, READER), load_s)


def _table_sql(number: int, size: Size) -> str:
    columns = ", ".join(f"c{column} integer" for column in range(3, size.columns - 1))
    return (
        f"CREATE SCHEMA IF NOT EXISTS crm; CREATE TABLE crm.t{number} (id bigint PRIMARY KEY,"
        f" person_id bigint, name text, email varchar(254), {columns});"
        f" CREATE INDEX ON crm.t{number} (person_id)"
    )


def _policy_text(size: Size) -> str:
    """Column types stand in the database alone; every table holds rows of people."""
    columns = "".join(
        f"      c{column}: {'user.behavior' if column % 2 else 'open'}\n"
        for column in range(3, size.columns - 1)
    )
    tables = "".join(
        f"  crm.t{number}:\n    subject: {'id' if number == 0 else 'person_id'}\n    columns:\n"
        "      id: open\n      person_id: open\n      name: user.name\n"
        f"      email: user.contact.email\n{columns}"
        for number in range(size.tables)
    )
    purposes = "".join(
        f"  purpose{number}: {{basis: consent, reads: [user.name, user.contact.email]}}\n"
        for number in range(size.purposes)
    )
    named = ", ".join(f"purpose{number}" for number in range(size.purposes))
    tools = "".join(f"  tool{number}: {{purposes: [{named}]}}\n" for number in range(size.tools))
    return (
        "policy: growth\nversion: 1\ncategories:\n  user.name: {mask: initial}\n"
        "  user.contact.email: {mask: email}\n  user.behavior: {mask: 'null'}\n"
        f"purposes:\n{purposes}subject: {{key: crm.t0.id, consent: ledger}}\n"
        f"tables:\n{tables}tools:\n{tools}"
    )


# --- alone ----------------------------------------------------------------------------------------


def table(grown: Sequence[Growth]) -> Table:
    result = Table(title=f"From little to much (a ratio should be 1 ± {BAND:.0%})")
    for heading in (
        "of",
        "little",
        "much",
        "planning µs",
        "ratio",
        "point query µs",
        "ratio",
        "load s",
    ):
        result.add_column(heading, justify="left" if heading == "of" else "right")
    for each in grown:
        result.add_row(
            each.thing,
            f"{each.little:,}",
            f"{each.much:,}",
            "{:.0f} → {:.0f}".format(*each.plan_us),
            f"{each.plan_ratio:.2f}",
            "{:.0f} → {:.0f}".format(*each.point_us),
            f"{each.point_ratio:.2f}",
            "{:.2f} → {:.2f}".format(*each.load_s),
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--of", nargs="*", choices=tuple(GROWN), default=tuple(GROWN))
    options = parser.parse_args()
    as_in_a_worker()
    grown = list(measure(options.of, options.rounds))
    Console().print(table(grown))
    keep("growth", grown, rounds=options.rounds)


if __name__ == "__main__":
    main()
