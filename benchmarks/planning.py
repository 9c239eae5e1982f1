"""`python -m benchmarks.planning`: what it costs to plan a statement, and where that goes.

Three ways to a plan: *new* (a text whose like was never seen, planned in full), *varying* (another
literal in a known statement) and *repeated* (the same text). One process, one thread, no database:
a catalog of the dealer's database is read first. p50 and p99 of the wall clock; for new statements
the share of each stage too, timed while the whole runs, as caches are as full then as they are.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import asyncpg
from rich.console import Console
from rich.table import Table

from benchmarks.kept import keep
from benchmarks.stand import DATABASE, TOOL, build_dealership
from proxy import enforce
from proxy.consent.schema import READER
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.demo.prepare import dealership_policy
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.planner import Planner
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.rewrite.plan import PlanContext
from proxy.sql import grammar
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits
from proxy.workers import GARBAGE_THRESHOLDS

PURPOSE: Final = "service_reminder"
TARGETS_US: Final = {"new": 600.0, "varying": 60.0}

# {name}: what makes a text new. {n}: a literal that varies.
STATEMENTS: Final = {
    "one table": (
        "SELECT city, count(*) AS people{name}, count(email) AS reachable, min(created_at) AS"
        " first_seen, max(created_at) AS last_seen, avg(id) AS average FROM crm.customers WHERE"
        " created_at BETWEEN '2024-01-01' AND '2025-12-31' AND city <> 'Nowhere' AND id > {n}"
        " GROUP BY city HAVING count(*) > 10 ORDER BY city LIMIT 25"
    ),
    "join": (
        "SELECT c.id, c.full_name, c.email, count(o.id) AS orders{name}, max(o.ordered_at) AS"
        " last_order FROM crm.customers AS c JOIN sales.orders AS o ON o.customer_id = c.id WHERE"
        " c.created_at >= '2025-01-01' AND o.status = 'delivered' GROUP BY c.id, c.full_name,"
        " c.email HAVING count(o.id) > {n} ORDER BY last_order DESC LIMIT 100"
    ),
    "WITH": (
        "WITH recent{name} AS (SELECT o.customer_id, max(o.ordered_at) AS last_order FROM"
        " sales.orders o WHERE o.ordered_at > '2025-03-01' GROUP BY o.customer_id) SELECT c.email,"
        " c.city, r.last_order FROM recent{name} r JOIN crm.customers c ON c.id = r.customer_id"
        " WHERE c.city IN ('Lyon', 'Graz', 'Turin') ORDER BY r.last_order DESC LIMIT {n}"
    ),
    "point": "SELECT id, full_name, email AS email{name} FROM crm.customers WHERE id = {n}",
}
WAYS: Final = ("new", "varying", "repeated")

# Stages: where they are called from, and by which name.
_CALLED: Final[dict[str, tuple[ModuleType, str]]] = {
    "PostgreSQL's grammar: the tool's text": (enforce, "parse"),
    "PostgreSQL's grammar: for printing": (grammar, "_parse_protobuf"),
    "PostgreSQL's printing": (grammar, "_deparse"),
    "the tree against the lists": (enforce, "read"),
    "sqlglot": (enforce, "read_query"),
    "places of relations": (enforce, "places"),
    "conditions into guards": (enforce, "push_down"),
    "names into GROUP BY": (enforce, "additions"),
    "guards into the text": (enforce, "splice"),
    "the result read again, compared": (enforce, "check"),
    "what the access log says": (enforce, "normalise"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    statement: str
    way: str  # of WAYS
    characters: int
    p50_us: float
    p99_us: float
    cpu_us: float
    stages_us: dict[str, float]  # medians; of new statements only


def measure(enforcer: Enforcer, rounds: int) -> Iterator[Cost]:
    context = PlanContext(tool=TOOL, purpose=PURPOSE, search_path=enforcer.policy.schemas)
    for name, text in STATEMENTS.items():
        texts = {
            "new": [text.format(name=f"_{n}", n=10) for n in range(rounds)],
            "varying": [text.format(name="", n=n + 10) for n in range(rounds)],
            "repeated": [text.format(name="", n=10)] * rounds,
        }
        for way in WAYS:
            planner = Planner(enforcer)
            for warm in (texts[way] if way != "new" else texts["varying"])[:3]:
                (plan,) = enforcer.plan(warm, context)  # which makes its guards, in one step
                if isinstance(plan, Refused):
                    raise SystemExit(f"{name}: {plan}")
                planner.plan_now(warm, context)
            walls, cpu_us = _time(planner, texts[way], context)
            stages = _stages(enforcer, texts[way], context) if way == "new" else {}
            yield Cost(
                statement=name,
                way=way,
                characters=len(texts[way][0]),
                p50_us=walls[len(walls) // 2],
                p99_us=walls[len(walls) * 99 // 100],
                cpu_us=cpu_us,
                stages_us=stages,
            )
            planner.close()


def _time(
    planner: Planner, texts: Sequence[str], context: PlanContext
) -> tuple[list[float], float]:
    """Wall-clock µs, sorted, and CPU µs each."""
    walls = []
    cpu = time.process_time()
    for text in texts:
        began = time.perf_counter()
        planner.plan_now(text, context)
        walls.append((time.perf_counter() - began) * 1e6)
    return sorted(walls), (time.process_time() - cpu) / len(texts) * 1e6


def _stages(enforcer: Enforcer, texts: Sequence[str], context: PlanContext) -> dict[str, float]:
    times: dict[str, list[float]] = defaultdict(list)
    wholes: list[float] = []
    with contextlib.ExitStack() as stack:
        for stage, (module, name) in _CALLED.items():
            stack.enter_context(_timed(module, name, times[stage]))
        for text in texts:
            for each in times.values():
                each.append(0.0)
            began = time.perf_counter()
            enforcer.plan(text, context)
            wholes.append((time.perf_counter() - began) * 1e6)
    medians = {stage: statistics.median(each) for stage, each in times.items()}
    return {**medians, "rest": statistics.median(wholes) - sum(medians.values())}


@contextlib.contextmanager
def _timed(module: ModuleType, name: str, times: list[float]) -> Iterator[None]:
    """Time what the module calls `name`, all its calls for one statement together."""
    step: Callable[..., Any] = getattr(module, name)

    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return step(*arguments, **named)
        finally:
            times[-1] += (time.perf_counter() - began) * 1e6

    setattr(module, name, timed)
    try:
        yield
    finally:
        setattr(module, name, step)


@contextlib.contextmanager
def dealership_enforcer() -> Iterator[Enforcer]:
    """An enforcer of the dealer's policy and a catalog of the dealer's database."""
    with tempfile.TemporaryDirectory(prefix="proxy-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", port=0, settings=WITHOUT_DURABILITY)
        with server:
            asyncio.run(build_dealership(server, customers=200))
            yield asyncio.run(enforcer_of(server))


async def enforcer_of(server: EmbeddedPostgres) -> Enforcer:
    """The same, of a server that has the dealer's database."""
    policy = load_policy(dealership_policy())
    connection = await asyncpg.connect(server.url(DATABASE, READER))
    try:
        return Enforcer(
            policy,
            await load_catalog(connection, catalog_schemas(policy)),
            StatementLimits(statement_bytes=1 << 20, statement_nesting=100),
            SettingLimits(),
        )
    finally:
        await connection.close()


def as_in_a_worker() -> None:
    """Searches for garbage come as often as in the proxy itself."""
    import gc

    gc.set_threshold(*GARBAGE_THRESHOLDS)


def tables(costs: Sequence[Cost]) -> Iterator[Table]:
    table = Table(title="Planning a statement (µs)")
    for heading in ("statement", "characters", "way", "p50", "p99", "CPU", "target"):
        table.add_column(heading, justify="left" if heading in ("statement", "way") else "right")
    for cost in costs:
        target = TARGETS_US.get(cost.way)
        figures = [f"{each:.0f}" for each in (cost.p50_us, cost.p99_us, cost.cpu_us)]
        shown = "" if target is None else f"{target:.0f}"
        table.add_row(cost.statement, str(cost.characters), cost.way, *figures, shown)
    yield table
    stages = Table(title="Stages of a new statement (median µs)")
    stages.add_column("stage")
    new = [cost for cost in costs if cost.stages_us]
    for cost in new:
        stages.add_column(cost.statement, justify="right")
    for stage in (*_CALLED, "rest"):
        stages.add_row(stage, *(f"{cost.stages_us[stage]:.0f}" for cost in new))
    yield stages


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning")
    parser.add_argument("--rounds", type=int, default=500)
    options = parser.parse_args()
    as_in_a_worker()
    with dealership_enforcer() as enforcer:
        costs = list(measure(enforcer, options.rounds))
    for table in tables(costs):
        Console().print(table)
    keep("planning", costs, rounds=options.rounds)


if __name__ == "__main__":
    main()
