"""What the pool counts for the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily


class PoolCounts:
    """Plain numbers since the start."""

    __slots__ = ("leases", "parses", "pins", "questions", "set_ups", "waits")

    def __init__(self) -> None:
        self.leases = 0
        """Of both kinds of pooling, and of HTTP's door."""
        self.waits = 0
        """Leases that had to wait for a connection."""
        self.set_ups = 0
        """Leases, in transaction pooling, of a connection with settings other than the client's."""
        self.parses = 0
        """Statements that were prepared again, as the connection did not have them."""
        self.questions = 0
        """How often the database was asked what a client has set."""
        self.pins: Counter[str] = Counter()
        """Leases that went on after their transaction, by cause."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For a registry of metrics."""
        for name, text, value in (
            ("leases", "Connections to the database leased", self.leases),
            ("lease_waits", "Leases that had to wait", self.waits),
            ("lease_set_ups", "Leases that began with other settings", self.set_ups),
            ("lease_parses", "Statements prepared again on another connection", self.parses),
            ("lease_questions", "Questions what a client has set", self.questions),
        ):
            yield CounterMetricFamily(f"consent_proxy_{name}", text, value=value)
        pins = CounterMetricFamily(
            "consent_proxy_lease_pins",
            "Leases that went on after their transaction, by cause",
            labels=["cause"],
        )
        for cause in ("cursor", "prepare", "settings"):
            pins.add_metric([cause], self.pins[cause])
        yield pins
