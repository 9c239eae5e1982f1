"""What does a guard cost the database? `python -m benchmarks.guards`

Question: what does a statement cost as the proxy writes it, beside the bare tables, and beside
what people write by hand to the same end: views with security_barrier, row security with EXISTS?

Method: one PostgreSQL, no proxy: the plans' texts are run on a connection of ours, in turn with the
same statement on the bare tables, the views, and as a role under row security. The first column of
a pair is never measured at another time than the second; medians of the rounds are shown. Point
look-ups are prepared statements, as drivers send them, after PostgreSQL has settled for a plan;
for these client and server share one core, since waking another one takes longer than the look-up.
Everything else is sent as text, so that planning is in it.

How to read it: `ledger` is a guard that joins the ledger, `in table` one that reads the people's
consent in their own table (`consent: in_table`), on the same data. Beside them stand the views' and
row security's times for the same answer (where they mask or remove the same; row security can not
mask). A target, where there is one, is followed by what the two guards reach.
"""

from __future__ import annotations

import argparse
import asyncio
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
from benchmarks.kept import keep
from benchmarks.processes import sharing_a_core
from benchmarks.stand import Stand
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.load import load_policy
from proxy.rewrite.plan import PlanContext
from proxy.sql.settings import SettingLimits

POLICY: Final = Path(__file__).parent / "guards_policy"
PEOPLE: Final = 1_000_000
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
    guarded_ms: float  # the ledger is asked
    in_table_ms: float  # people's consent is in their table
    view_ms: float
    row_security_ms: float
    raw_max: float | None = None
    row_security_max: float | None = None

    @property
    def ratios(self) -> tuple[float, float]:
        """To the bare tables': of the guard that asks the ledger, and of consent in the table."""
        return self.guarded_ms / self.raw_ms, self.in_table_ms / self.raw_ms

    @property
    def shares(self) -> tuple[float, float]:
        """The same, of row security's time."""
        own = self.row_security_ms
        return self.guarded_ms / own, self.in_table_ms / own


async def run(stand: Stand, *, rounds: int) -> list[Cost]:
    """The short form, on a database of its own beside the stand's."""
    stand.server.run("CREATE DATABASE guards")
    return await measure(stand.server.url("guards"), SHORT_PEOPLE, rounds)


async def measure(url: str, people: int, rounds: int) -> list[Cost]:
    """Fill the empty database behind `url` and measure."""
    connection = await asyncpg.connect(url)
    try:
        policy = load_policy(POLICY)
        catalogs = await build(connection, policy, people, people * EVENTS_PER_PERSON)
    finally:
        await connection.close()
    limits = StatementLimits(statement_bytes=1 << 20, statement_nesting=100)
    ledger, in_table = (
        Enforcer(policy, catalogs[form], limits, SettingLimits()) for form in ("ledger", "in table")
    )
    return [cost async for cost in _costs(url, ledger, in_table, rounds)]


def _planned(enforcer: Enforcer, query: Query) -> str:
    context = PlanContext(tool="tool", purpose=query.purpose, search_path=enforcer.policy.schemas)
    (plan,) = enforcer.plan(query.sql, context)
    if isinstance(plan, Refused):
        raise SystemExit(f"{query.name}: {plan}")
    return plan.text


async def _costs(
    url: str, ledger: Enforcer, in_table: Enforcer, rounds: int
) -> AsyncIterator[Cost]:
    for query in QUERIES:
        views = "masked_views" if query.purpose == MASKED else "row_views"
        role = "guards_people" if query.purpose == MASKED else "guards_rows"
        contenders = [
            await _contender(url, query, query.sql, {"search_path": "crm,web"}),
            await _contender(url, query, _planned(ledger, query), {"search_path": "crm,web"}),
            await _contender(url, query, _planned(in_table, query), {"search_path": "crm,web"}),
            await _contender(url, query, query.sql, {"search_path": views}),
            await _contender(url, query, query.sql, {"search_path": "crm,web", "role": role}),
        ]
        try:
            look_ups = [each.connection for each in contenders if each.prepared is not None]
            with sharing_a_core(look_ups):
                raw, guarded, in_table_ms, view, row_security = await _medians(contenders, rounds)
        finally:
            for contender in contenders:
                await contender.connection.close()
        yield Cost(
            name=query.name,
            raw_ms=raw,
            guarded_ms=guarded,
            in_table_ms=in_table_ms,
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
    for heading in ("statement", "raw", "ledger", "in table", "view", "row security", "target"):
        result.add_column(heading, justify="left" if heading == "statement" else "right")
    for cost in costs:
        times = (cost.raw_ms, cost.guarded_ms, cost.in_table_ms, cost.view_ms, cost.row_security_ms)
        result.add_row(cost.name, *(f"{each:.2f}" for each in times), _target(cost))
    return result


def _target(cost: Cost) -> str:
    """The target, and what the ledger's form and the table's reach."""
    for target, reached, of in (
        (cost.raw_max, cost.ratios, "raw"),
        (cost.row_security_max, cost.shares, "row security"),
    ):
        if target is not None:
            each = ", ".join(f"{one:.2f} {'yes' if one <= target else 'no'}" for one in reached)
            return f"{target:g} × {of}: {each}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guards")
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="proxy-bench-"))
    try:
        server = EmbeddedPostgres(folder / "postgresql", settings=SETTINGS)
        with server:
            costs = asyncio.run(measure(server.url(), options.people, options.rounds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    Console().print(table(costs, options.people))
    keep("guards", costs, **vars(options), settings=SETTINGS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
