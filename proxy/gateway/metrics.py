"""One page of metrics for all workers: what each of them counts, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
from prometheus_client import Metric
from prometheus_client.registry import Collector

# What is not a sum: all must be ready; one that is sealed is one too many.
_NOT_SUMS: Final[Mapping[str, Callable[[float, float], float]]] = {
    "consent_proxy_ready": min,
    "consent_proxy_access_log_sealed": max,
    "consent_proxy_build_info": max,
}


def page(registry: Collector) -> bytes:
    """What a worker tells another of its own metrics."""
    return orjson.dumps(
        [
            (
                family.name,
                family.documentation,
                family.type,
                [(sample.name, sample.labels, sample.value) for sample in family.samples],
            )
            for family in registry.collect()
        ]
    )


class Together(Collector):
    """The metrics of several pages; each is one worker's."""

    def __init__(self, pages: Sequence[bytes]) -> None:
        self._pages = pages

    def collect(self) -> Iterator[Metric]:
        kinds: dict[str, tuple[str, str]] = {}
        values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
        for each in self._pages:
            for name, documentation, kind, samples in orjson.loads(each):
                kinds.setdefault(name, (documentation, kind))
                _add(values.setdefault(name, {}), name, samples)
        for name, (documentation, kind) in kinds.items():
            family = Metric(name, documentation, kind)
            for (sample, labels), value in values[name].items():
                family.add_sample(sample, dict(labels), value)
            yield family


def _add(
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float],
    family: str,
    samples: Sequence[tuple[str, dict[str, str], Any]],
) -> None:
    for name, labels, value in samples:
        key = (name, tuple(labels.items()))
        if key not in found:
            found[key] = value
        elif name.endswith("_created"):
            found[key] = min(found[key], value)
        else:
            together = _NOT_SUMS.get(family)
            found[key] = found[key] + value if together is None else together(found[key], value)
