"""What PostgreSQL's door counts for the metrics. HTTP's door counts its own requests.

Statements are counted in plain numbers, and handed to the metrics when these are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily

from proxy.telemetry import Metrics

_DOOR: Final = "postgres"


class _Ended:
    """Statements of a tool, for a purpose, that ended alike."""

    __slots__ = ("rows", "statements")

    def __init__(self) -> None:
        self.statements = 0
        self.rows = 0


class DoorCounts:
    """Labels are the policy's names and words of closed lists."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # There from the start: what was never counted is 0, not unknown.
        self._total_bytes = metrics.bytes.labels(_DOOR)
        self._total_seconds = metrics.statement_seconds.labels(_DOOR)
        self._bounds: Final[tuple[float, ...]] = tuple(metrics.statement_buckets)
        self._ended: dict[tuple[str, str, str], _Ended] = {}
        self._bytes = 0
        self._seconds = 0.0
        self._by_bound = [0] * (len(self._bounds) + 1)
        metrics.registry.before_collect.append(self.hand_over)

    def statement(
        self, tool: str, purpose: str, state: str, rows: int, bytes_sent: int, seconds: float
    ) -> None:
        """A statement that read relations has ended."""
        key = (tool, purpose, state)
        ended = self._ended.get(key)
        if ended is None:
            ended = self._ended[key] = _Ended()
        ended.statements += 1
        ended.rows += rows
        self._bytes += bytes_sent
        self._seconds += seconds
        at = 0
        for bound in self._bounds:
            if seconds <= bound:
                break
            at += 1
        self._by_bound[at] += 1

    def hand_over(self) -> None:
        """Give the metrics what was counted since this was called last."""
        ended, self._ended = self._ended, {}
        for (tool, purpose, state), each in ended.items():
            self._metrics.statements.labels(tool, purpose, _DOOR, state).inc(each.statements)
            self._metrics.rows.labels(tool, purpose, _DOOR).inc(each.rows)
        self._total_bytes.inc(self._bytes)
        _observe(self._total_seconds, self._by_bound, self._seconds)
        self._bytes, self._seconds = 0, 0.0
        self._by_bound = [0] * (len(self._bounds) + 1)

    def refusal(self, reason: str) -> None:
        self._metrics.refusals.labels(_DOOR, reason).inc()

    def login(self, *, is_ok: bool) -> None:
        self._metrics.logins.labels(_DOOR, "ok" if is_ok else "failed").inc()


def _observe(histogram: Histogram, by_bucket: Sequence[int], total: float) -> None:
    """As so many calls of `observe`, which takes one value at a time, would."""
    for bucket, count in zip(histogram._buckets, by_bucket, strict=True):  # noqa: SLF001
        bucket.inc(count)
    histogram._sum.inc(total)  # noqa: SLF001


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
