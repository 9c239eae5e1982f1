"""What does a guard cost the database? `python -m benchmarks.guards --people 1000000`

Question: what does a statement cost as the proxy writes it, beside the bare tables, and beside
what people write by hand to the same end: views with security_barrier, row security with EXISTS?

Method: one PostgreSQL, no proxy: the plans' texts are run on a connection of ours, in turn with the
same statement on the bare tables, the views, and as a role under row security. The first column of
a pair is never measured at another time than the second; medians of the rounds are shown. Point
look-ups are prepared statements, as drivers send them, after PostgreSQL has settled for a plan;
everything else is sent as text, so that planning is in it.

How to read it: `ratio` is guarded by raw. Beside it stand the views' and row security's times for
the same answer (where they mask or remove the same; row security can not mask). A target, where
there is one, is met if the last column says so.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
from rich.console import Console
from rich.table import Table

from benchmarks.guards_data import build
from benchmarks.stand import Stand
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.rewrite.plan import PlanContext
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits

POLICY: Final = Path(__file__).parent / "guards_policy"
SHORT_PEOPLE: Final = 50_000
EVENTS_PER_PERSON: Final = 5
SETTINGS: Final = {
    **WITHOUT_DURABILITY,
    "jit": "off",
    "shared_buffers": "1GB",
    "work_mem": "64MB",
    "max_wal_size": "8GB",
    "autovacuum": "off",
}
# PostgreSQL makes five plans for given values before it settles for one for all.
_WARM: Final = 8
_LOOK_UPS: Final = 100  # of a prepared statement, in each round
_ROUND_S: Final = 1.0  # fewer of them where they are slow
_ENOUGH_S: Final = 60.0  # of one statement: no more rounds then

MASKED, ROWS = "reminder", "campaign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    name: str
    purpose: str
    sql: str
    argument: object = None  # of a prepared statement
    raw_max: float | None = None  # the target: at most this multiple of the bare tables'
    row_security_max: float | None = None  # … of row security's


_BY_EMAIL: Final = "SELECT id, email FROM people WHERE email = "
_HUNDRED: Final = "SELECT count(*), sum(e.amount) FROM people p JOIN events e ON e.person_id = p.id"
_ALL_JOINED: Final = (
    "SELECT p.country, count(p.email), sum(e.amount) FROM events e JOIN people p"
    " ON p.id = e.person_id GROUP BY p.country"
)
QUERIES: Final = (
    Query(
        name="open columns, all",
        purpose=MASKED,
        sql="SELECT country, count(*), avg(segment) FROM people GROUP BY country",
        raw_max=1.05,
    ),
    Query(
        name="open columns, look-up",
        purpose=MASKED,
        sql="SELECT country FROM people WHERE id = $1",
        argument=4242,
        raw_max=1.05,
    ),
    Query(
        name="open columns, first 100",
        purpose=MASKED,
        sql="SELECT id, country FROM people ORDER BY id LIMIT 100",
    ),
    Query(
        name="masked e-mail, look-up",
        purpose=MASKED,
        sql=f"{_BY_EMAIL}$1",
        argument="p4242@example.com",
        raw_max=2,
    ),
    Query(
        name="masked e-mail, look-up by text",
        purpose=MASKED,
        sql=f"{_BY_EMAIL}'p4242@example.com'",
    ),
    Query(
        name="row rules, e-mail, look-up",
        purpose=ROWS,
        sql=f"{_BY_EMAIL}$1",
        argument="p4242@example.com",
        raw_max=2,
    ),
    Query(
        name="row rules, first 100",
        purpose=ROWS,
        sql="SELECT id, country FROM people ORDER BY id LIMIT 100",
    ),
    Query(
        name="row rules, 100 people joined",
        purpose=ROWS,
        sql=f"{_HUNDRED} WHERE p.id BETWEEN 1 AND 100",
        raw_max=3,
    ),
    Query(
        name="row rules, 100 people, events first",
        purpose=ROWS,
        sql="SELECT count(*), sum(e.amount) FROM events e JOIN people p ON e.person_id = p.id"
        " WHERE p.id BETWEEN 1 AND 100",
        raw_max=3,
    ),
    Query(
        name="row rules, events of one person",
        purpose=ROWS,
        sql="SELECT id, kind, amount FROM events WHERE person_id = $1",
        argument=4242,
    ),
    Query(
        name="row rules, asked per person",
        purpose=ROWS,
        sql="SELECT p.id, (SELECT count(*) FROM events e WHERE e.person_id = p.id) FROM people p"
        " WHERE p.id <= 100",
    ),
    Query(
        name="row rules, people with an event",
        purpose=ROWS,
        sql="SELECT count(*) FROM people p WHERE p.id <= 100 AND EXISTS"
        " (SELECT FROM events e WHERE e.person_id = p.id AND e.kind = 'k1')",
    ),
    Query(
        name="row rules, count of all events",
        purpose=ROWS,
        sql="SELECT count(*), sum(amount) FROM events",
    ),
    Query(
        name="masked column, aggregate",
        purpose=MASKED,
        sql="SELECT country, count(email), max(email) FROM people GROUP BY country",
        row_security_max=0.5,
    ),
    Query(name="masked people, all joined", purpose=MASKED, sql=_ALL_JOINED, row_security_max=0.8),
    Query(name="row rules, all joined", purpose=ROWS, sql=_ALL_JOINED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    name: str
    raw_ms: float
    guarded_ms: float
    view_ms: float
    row_security_ms: float
    raw_max: float | None = None
    row_security_max: float | None = None

    @property
    def ratio(self) -> float:
        return self.guarded_ms / self.raw_ms

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.raw_max is not None:
            return self.ratio <= self.raw_max
        if self.row_security_max is not None:
            return self.guarded_ms <= self.row_security_max * self.row_security_ms
        return None


async def run(stand: Stand, *, rounds: int) -> list[Cost]:
    """The short form, on a database of its own beside the stand's."""
    stand.server.run("CREATE DATABASE guards")
    return await measure(stand.server.url("guards"), SHORT_PEOPLE, rounds)


async def measure(url: str, people: int, rounds: int) -> list[Cost]:
    """Fill the empty database behind `url` and measure."""
    connection = await asyncpg.connect(url)
    try:
        await build(connection, people, people * EVENTS_PER_PERSON)
        policy = load_policy(POLICY)
        enforcer = Enforcer(
            policy,
            await load_catalog(connection, catalog_schemas(policy)),
            StatementLimits(statement_bytes=1 << 20, statement_nesting=100),
            SettingLimits(),
        )
    finally:
        await connection.close()
    return [cost async for cost in _costs(url, enforcer, rounds)]


async def _costs(url: str, enforcer: Enforcer, rounds: int) -> AsyncIterator[Cost]:
    for query in QUERIES:
        context = PlanContext(
            tool="tool", purpose=query.purpose, search_path=enforcer.policy.schemas
        )
        (plan,) = enforcer.plan(query.sql, context)
        if isinstance(plan, Refused):
            raise SystemExit(f"{query.name}: {plan}")
        views = "masked_views" if query.purpose == MASKED else "row_views"
        role = "guards_people" if query.purpose == MASKED else "guards_rows"
        contenders = [
            await _contender(url, query, query.sql, {"search_path": "crm,web"}),
            await _contender(url, query, plan.text, {"search_path": "crm,web"}),
            await _contender(url, query, query.sql, {"search_path": views}),
            await _contender(url, query, query.sql, {"search_path": "crm,web", "role": role}),
        ]
        try:
            raw, guarded, view, row_security = await _medians(contenders, rounds)
        finally:
            for contender in contenders:
                await contender.connection.close()
        yield Cost(
            name=query.name,
            raw_ms=raw,
            guarded_ms=guarded,
            view_ms=view,
            row_security_ms=row_security,
            raw_max=query.raw_max,
            row_security_max=query.row_security_max,
        )


@dataclass(frozen=True, slots=True)
class _Contender:
    connection: asyncpg.Connection
    text: str
    argument: object
    prepared: asyncpg.prepared_stmt.PreparedStatement | None

    async def time_ms(self) -> float:
        begun = time.perf_counter()
        if self.prepared is None:
            await self.connection.execute(self.text)
            return (time.perf_counter() - begun) * 1000
        done, took = 0, 0.0
        while done < _LOOK_UPS and took < _ROUND_S:
            await self.prepared.fetch(self.argument)
            done, took = done + 1, time.perf_counter() - begun
        return took * 1000 / done


async def _contender(url: str, query: Query, text: str, settings: Mapping[str, str]) -> _Contender:
    connection = await asyncpg.connect(url, server_settings=dict(settings))
    if query.argument is None:
        return _Contender(connection, text, None, None)
    prepared = await connection.prepare(text)
    for _ in range(_WARM):
        await prepared.fetch(query.argument)
    return _Contender(connection, text, query.argument, prepared)


async def _medians(contenders: Sequence[_Contender], rounds: int) -> list[float]:
    times: list[list[float]] = [[] for _ in contenders]
    spent = [0.0 for _ in contenders]
    for _ in range(rounds):
        for number, contender in enumerate(contenders):
            if spent[number] > _ENOUGH_S * 1000:
                continue
            took = await contender.time_ms()
            times[number].append(took)
            spent[number] += took
    return [statistics.median(each) for each in times]


# --- alone ----------------------------------------------------------------------------------------


def table(costs: Sequence[Cost], people: int) -> Table:
    result = Table(title=f"Guards, {people:,} people, {people * EVENTS_PER_PERSON:,} events (ms)")
    for heading in ("statement", "raw", "guarded", "ratio", "view", "row security", "target"):
        result.add_column(heading, justify="left" if heading == "statement" else "right")
    for cost in costs:
        result.add_row(
            cost.name,
            f"{cost.raw_ms:.2f}",
            f"{cost.guarded_ms:.2f}",
            f"{cost.ratio:.2f}",
            f"{cost.view_ms:.2f}",
            f"{cost.row_security_ms:.2f}",
            _target(cost),
        )
    return result


def _target(cost: Cost) -> str:
    answer = "yes" if cost.is_met else "no"
    if cost.raw_max is not None:
        return f"{cost.raw_max:g} × raw: {answer}"
    if cost.row_security_max is not None:
        share = cost.guarded_ms / cost.row_security_ms
        return f"{cost.row_security_max:g} × row security ({share:.2f}): {answer}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guards")
    parser.add_argument("--people", type=int, default=SHORT_PEOPLE)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", help="file for the results")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="proxy-bench-"))
    try:
        server = EmbeddedPostgres(folder / "postgresql", settings=SETTINGS)
        with server:
            version = server.run("SHOW server_version").strip()
            costs = asyncio.run(measure(server.url(), options.people, options.rounds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    Console().print(table(costs, options.people))
    if options.json:
        document = {
            "machine": platform.platform(),
            "python": platform.python_version(),
            "postgresql": version,
            "settings": SETTINGS,
            "options": vars(options),
            "guards": [{**dataclasses.asdict(each), "ratio": each.ratio} for each in costs],
        }
        Path(options.json).write_text(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
