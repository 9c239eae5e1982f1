"""Statements are counted in plain numbers; what is read is what the library itself would count."""

from __future__ import annotations

from prometheus_client import generate_latest

from proxy.counts import DoorCounts
from proxy.telemetry import Metrics

# Some are bounds of buckets; all are whole in binary, so that sums do not depend on their order.
SECONDS = (2**-13, 2**-11, 2**-10, 0.25, 5.0, 299.5, 300.0, 1000.0)


def test_what_is_handed_over_is_what_counting_one_by_one_gives() -> None:
    ours, theirs = Metrics(), Metrics()
    counts = DoorCounts(ours)
    for number, seconds in enumerate(SECONDS):
        purpose = "newsletter" if number % 2 else "service"
        counts.statement("mailer", purpose, "complete", number, 100 * number, seconds)
        theirs.statements.labels("mailer", purpose, "postgres", "complete").inc()
        theirs.rows.labels("mailer", purpose, "postgres").inc(number)
        theirs.bytes.labels("postgres").inc(100 * number)
        theirs.statement_seconds.labels("postgres").observe(seconds)
        if number == 3:
            generate_latest(ours.registry)  # read in between: nothing is counted twice
    assert _values(ours) == _values(theirs)
    assert _values(ours) == _values(theirs)


def _values(metrics: Metrics) -> list[str]:
    page = generate_latest(metrics.registry).decode()
    return sorted(line for line in page.splitlines() if "_created" not in line)
