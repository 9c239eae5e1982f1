"""`python -m benchmarks.guard`: fails if a statement costs more than it may (part of CI).

Only ratios to something measured in the same round are looked at, and their medians (judge.py):

* the proxy's CPU for a point query to the database's own, in the three protocol modes;
* planning a new statement to reading it with the two readers, which nothing can save;
* planning one with another literal to reading it with PostgreSQL's grammar;
* planning under a policy of many tables to planning under one of few.

The bands are about twice what was measured when they were set, growth's less, the three modes' more
(where six processes waited for each core, 1.0 instead of 0.85, 2.1 instead of 1.6). Without a
compiler a statement takes twice as long, and may. A plan made for each query is far beyond them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from sqlglot.dialects.dialect import Dialect

from benchmarks import growth, hot_path, planning
from benchmarks.judge import Round, judge
from benchmarks.kept import is_compiled
from benchmarks.stand import TOOL, Stand, stand
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.planner import Planner
from proxy.rewrite.plan import PlanContext
from proxy.sql.grammar import parse

ALLOWED: Final = {
    "simple": 4.0,
    "extended": 2.5,
    "prepared": 4.5,
    "planned": 10.0,
    "varied": 1.5,
    "many tables": 1.3,
}
# What runs through compiled modules may take so much more without a compiler.
_UNCOMPILED: Final = 2.0
_OF_COMPILED: Final = (*hot_path.MODES, "varied")
CUSTOMERS: Final = 2_000
SECONDS: Final = 1.0
ROUNDS: Final = 5
CLIENTS: Final = 8
TABLES: Final = 300
_STATEMENTS: Final = 40  # planned in each round


def statements(standing: Stand) -> Iterator[tuple[str, Round]]:
    for _ in range(ROUNDS):
        found = {
            (each.mode, each.target): each.cpu_us
            for each in hot_path.run(
                standing, customers=CUSTOMERS, seconds=SECONDS, rounds=1, clients=(CLIENTS,)
            )
        }
        for mode in hot_path.MODES:
            ours, reference = found[mode, standing.proxy.name], found[mode, standing.direct.name]
            yield mode, Round(ours, reference)


def plans() -> Iterator[tuple[str, Round]]:
    """New statements, and such as differ in a literal."""
    dialect = Dialect.get_or_raise("postgres")
    text = planning.STATEMENTS["join"]
    with planning.dealership_enforcer() as enforcer:
        planner = Planner(enforcer)
        context = PlanContext(
            tool=TOOL, purpose=planning.PURPOSE, search_path=enforcer.policy.schemas
        )
        for turn in range(ROUNDS + 1):
            new = [text.format(name=f"_{turn}_{n}", n=10) for n in range(_STATEMENTS)]
            varied = [text.format(name="", n=turn * 1000 + n) for n in range(_STATEMENTS)]
            grammar = _cpu_us(parse, new)
            readers = grammar + _cpu_us(dialect.parse, new)
            planned = _cpu_us(lambda each: planner.plan_now(each, context), new)
            found = _cpu_us(lambda each: planner.plan_now(each, context), varied)
            if turn > 0:  # the first one makes guards and templates
                yield "planned", Round(planned, readers)
                yield "varied", Round(found, grammar)
        planner.close()


def tables() -> Iterator[tuple[str, Round]]:
    with tempfile.TemporaryDirectory(prefix="proxy-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "pg", port=0, settings=WITHOUT_DURABILITY)
        with server:
            few = asyncio.run(growth.build(server, Path(folder), "few", growth.Size()))
            many = asyncio.run(
                growth.build(server, Path(folder), "many", growth.Size(tables=TABLES))
            )
            for little, much in growth.plan_times((few, many), ROUNDS * 3):
                yield "many tables", Round(much, little)


def _cpu_us(work: Callable[[str], object], texts: list[str]) -> float:
    began = time.process_time()
    for text in texts:
        work(text)
    return (time.process_time() - began) / len(texts) * 1e6


def allowed(*, is_compiled: bool) -> Mapping[str, float]:
    if is_compiled:
        return ALLOWED
    return ALLOWED | {name: ALLOWED[name] * _UNCOMPILED for name in _OF_COMPILED}


def main() -> int:
    measured: dict[str, list[Round]] = defaultdict(list)
    for name, each in (*plans(), *tables()):
        measured[name].append(each)
    with stand(customers=CUSTOMERS, durability="process", with_poolers=False) as standing:
        for name, each in statements(standing):
            measured[name].append(each)
    verdicts = judge(measured, allowed(is_compiled=is_compiled()))
    table = Table(title="Ratios to a reference of the same run (medians)")
    for heading in ("measure", "ratio", "allowed", ""):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for verdict in verdicts:
        shown = "" if verdict.is_within else "[bold]slower[/bold]"
        table.add_row(verdict.measure, f"{verdict.ratio:.2f}", f"{verdict.allowed:g}", shown)
    Console().print(table)
    return 0 if all(verdict.is_within for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
