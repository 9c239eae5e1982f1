"""What PostgreSQL's door counts for the metrics. HTTP's door counts its own requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import Counter
from prometheus_client.core import CounterMetricFamily

from proxy.telemetry import Metrics

_DOOR = "postgres"


class DoorCounts:
    """Labels are the policy's names and words of closed lists; each is looked up once."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._bytes = metrics.bytes.labels(_DOOR)
        self._seconds = metrics.statement_seconds.labels(_DOOR)
        self._by_end: dict[tuple[str, str, str], tuple[Counter, Counter]] = {}

    def statement(
        self, tool: str, purpose: str, state: str, *, rows: int, bytes_sent: int, seconds: float
    ) -> None:
        """A statement that read relations has ended."""
        key = (tool, purpose, state)
        counters = self._by_end.get(key)
        if counters is None:
            counters = self._by_end[key] = (
                self._metrics.statements.labels(tool, purpose, _DOOR, state),
                self._metrics.rows.labels(tool, purpose, _DOOR),
            )
        counters[0].inc()
        counters[1].inc(rows)
        self._bytes.inc(bytes_sent)
        self._seconds.observe(seconds)

    def refusal(self, reason: str) -> None:
        self._metrics.refusals.labels(_DOOR, reason).inc()

    def login(self, *, is_ok: bool) -> None:
        self._metrics.logins.labels(_DOOR, "ok" if is_ok else "failed").inc()


class PlanCounts:
    """Plans by where they were found; read where they are asked for.

    `found`: how many were known by their text, by their text without literals, and made.
    """

    def __init__(self, found: Callable[[], tuple[int, int, int]]) -> None:
        self._found = found

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "consent_proxy_plans", "Plans by where they were found", labels=["found"]
        )
        known, lifted, made = self._found()
        family.add_metric(["cache"], known)
        family.add_metric(["lifted"], lifted)
        family.add_metric(["made"], made)
        yield family
