"""A process that writes an access log, for tests that kill it or break the disk under it.

    python writer_program.py FOLDER [--burst N] [--count N] [--file-bytes N] [--fail-sync N]
                             [--then REMOVE]

Prints the id of each access whose intent is durable; `sealed REASON` when the log is sealed, after
having made sure that nothing can be appended any more. With --then it removes a file, opens the
log again, appends one record, verifies, and prints `verified EXITCODE`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import itertools
import os
import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from proxy.access_log.log import AccessLog, LogLimits, LogSealed
from proxy.access_log.record import Asker, intent_fields, new_id, outcome_fields
from proxy.access_log.verify import verify
from proxy.rewrite.plan import ColumnUse, Kind, Plan, TableUse

LIMITS = LogLimits(floor_bytes=0, segment_bytes=256 * 1024)
ASKER = Asker(tool="mailer", credential="c", via="http", client="local", policy="ab" * 32)


def plan_of(columns: int) -> Plan:
    """With many columns a record is continued in others: kills fall between those too."""
    uses = tuple(
        ColumnUse(name=f"column_{number}", category="user.contact", verdict="shown")
        for number in range(columns)
    )
    return Plan(
        kind=Kind.SELECT,
        text="",
        tables=(TableUse(name="crm.customers", columns=uses),),
        statement="SELECT",
        shape="cd" * 32,
    )


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def write(folder: Path, burst: int, count: int) -> None:
    log = AccessLog.open(folder, "worker-0", "host", limits=LIMITS)
    small, large = plan_of(3), plan_of(800)
    chance = random.Random(burst)
    try:
        for _ in range(count):
            plans = [small if chance.random() < 0.9 else large for _ in range(burst)]
            ids = [new_id() for _ in plans]
            tickets = [
                log.append("access.intent", intent_fields(ASKER, plan, access_id=access_id))
                for access_id, plan in zip(ids, plans, strict=True)
            ]
            for access_id, ticket in zip(ids, tickets, strict=True):
                await ticket.wait()
                say(access_id)
            for access_id in ids:
                outcome = outcome_fields(
                    access_id=access_id,
                    state="complete",
                    rows=1,
                    bytes_sent=1,
                    plan_us=1,
                    upstream_us=1,
                    total_us=1,
                )
                log.append("access.outcome", outcome)
    except LogSealed as sealed:
        with contextlib.suppress(LogSealed):
            log.append("log.heartbeat", {})
            say("a sealed log took a record")
        say("sealed", sealed.reason)
    await log.close()


async def write_again(folder: Path) -> None:
    log = AccessLog.open(folder, "worker-0", "host", limits=LIMITS)
    await log.append("log.heartbeat", {}).wait()
    await log.close()
    say("verified", verify(folder).exit_code)


def failing_sync(n: int) -> Callable[[int], None]:
    """Stands in for fdatasync: the n-th call fails with EIO, the others succeed."""
    calls = itertools.count(1)

    def fdatasync(fd: int) -> None:
        if next(calls) == n:
            raise OSError(errno.EIO, "Input/output error")
        os.fsync(fd)

    return fdatasync


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--burst", type=int, default=1)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--file-bytes", type=int)
    parser.add_argument("--fail-sync", type=int)
    parser.add_argument("--then", type=Path)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_bytes or soft, hard))
    if options.fail_sync is not None:
        os.fdatasync = failing_sync(options.fail_sync)  # type: ignore[assignment]  # on purpose
    asyncio.run(write(options.folder, options.burst, options.count))
    if options.then is not None:
        options.then.unlink()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        asyncio.run(write_again(options.folder))


if __name__ == "__main__":
    main()
