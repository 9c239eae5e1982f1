"""What the access log costs: records a second, and how long a group waits for the disk.

    python -m benchmarks.access_log [FOLDER]

Each round, 1, 8 or 64 statements append their intent at once and wait for it; their outcomes go
into the next group. Then the whole log is verified.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from proxy.access_log.log import AccessLog, Durability
from proxy.access_log.record import Asker, intent_fields, new_id, outcome_fields
from proxy.access_log.verify import verify
from proxy.rewrite.plan import ColumnUse, Kind, Plan, TableUse

SECONDS = 2.0
ASKER = Asker(
    tool="mailer",
    credential="mailer-1",
    via="postgres",
    client="127.0.0.1:51344",
    application_name="newsletter",
    purpose="email_campaign",
    purpose_from="default",
    policy="ab" * 32,
)
PLAN = Plan(
    kind=Kind.SELECT,
    text="",
    tables=(
        TableUse(
            name="crm.customers",
            columns=tuple(
                ColumnUse(name=name, category="user.contact", verdict="guarded", mask="redact")
                for name in ("first_name", "last_name", "email", "phone", "street", "city")
            ),
        ),
    ),
    statement="SELECT first_name, last_name, email, phone FROM crm.customers WHERE id = ?",
    shape="cd" * 32,
)


async def measure(folder: Path, durability: Durability, waiting: int) -> None:
    log = AccessLog.open(folder, f"{durability}-{waiting}", durability)
    latencies: list[float] = []
    records = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        started = time.perf_counter()
        ids = [new_id() for _ in range(waiting)]
        tickets = [
            log.append("access.intent", intent_fields(ASKER, PLAN, access_id=access_id))
            for access_id in ids
        ]
        # Groups are durable in order: the last one's is the latency of the whole group.
        await tickets[-1].wait()
        latencies.append(time.perf_counter() - started)
        for access_id in ids:
            outcome = outcome_fields(
                access_id=access_id,
                state="complete",
                rows=1,
                bytes_sent=120,
                plan_us=9,
                upstream_us=210,
                total_us=300,
            )
            log.append("access.outcome", outcome)
        records += 2 * waiting
    seconds = time.perf_counter() - begin
    await log.close()
    cuts = statistics.quantiles(latencies, n=100)
    print(
        f"{durability:8} {waiting:3} waiting: {records / seconds:9,.0f} records/s, "
        f"group p50 {cuts[49] * 1e3:6.3f} ms, p99 {cuts[98] * 1e3:6.3f} ms"
    )


async def main(folder: Path) -> None:
    durabilities: tuple[Durability, ...] = ("host", "process")
    for durability in durabilities:
        for waiting in (1, 8, 64):
            await measure(folder, durability, waiting)
    begin = time.perf_counter()
    report = verify(folder)
    seconds = time.perf_counter() - begin
    records = sum(log.records for log in report.logs)
    print(f"verify: {records:,} records, {records / seconds:,.0f} records/s, {report.exit_code=}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(Path(sys.argv[1])))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            asyncio.run(main(Path(temporary)))
