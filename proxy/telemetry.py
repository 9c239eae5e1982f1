"""The application's log and its metrics: how the proxy itself is doing.

Neither says what anybody read; that is the access log's. So neither ever holds a statement, a
literal, a value of a row, or text that a tool chose: log events take fields of a list, metrics
take labels whose values are the project's own words or the policy's names.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterator, MutableMapping
from typing import Any, Final, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric

# Fields that an event may carry. A field that is not here is dropped, and its name told: the
# mistake shows, the value does not.
FIELDS: Final = frozenset(
    """
    access_id address attempt bytes cause certificate code connections count database door
    drain_s duration_ms epoch error event exception exit_code file folder host host_port http id
    key kind level limit line listen log logger milestone name pid policy port postgres problem
    problems purpose reason revision role rows seconds section server_version signal sqlstate state
    status step timestamp tool tools upstream url_path version via wanted what when worker workers
    """.split()
)

# Field names that a caller might use for text of a tool or a row; named so that a reader of the
# log understands why they are empty.
REDACTED: Final = "[redacted]"


def keep_listed_fields(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop what is not on the list, and every value that is not a plain word of ours."""
    for name in event.keys() - FIELDS:
        event[name] = REDACTED
    for name, value in event.items():
        if isinstance(value, bytes | bytearray | memoryview):
            event[name] = REDACTED
    return event


def name_exceptions_only(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """An exception by its type and place. Its text may quote a statement or a value."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = ""
        if trace is not None:
            module = trace.tb_frame.f_globals.get("__name__", "?")
            place = f" at {module}:{trace.tb_lineno}"
        event["exception"] = f"{type(error).__name__}{place}"
    return event


def set_up_logging(
    *, level: str = "info", stream: TextIO | None = None, is_json: bool | None = None
) -> None:
    """Log to standard error: for people at a terminal, else one JSON object per line."""
    stream = sys.stderr if stream is None else stream
    is_json = not stream.isatty() if is_json is None else is_json
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_exceptions_only,
        keep_listed_fields,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    _route_libraries(number, stream, shared, renderer)


def _route_libraries(
    level: int,
    stream: TextIO,
    shared: list[structlog.typing.Processor],
    renderer: structlog.typing.Processor,
) -> None:
    """Libraries that use `logging` speak through the same door, by type of event only."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_library_event, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Below warning, libraries tell what they do with data (asyncio's debug shows arguments).
    root.setLevel(max(level, logging.WARNING))


def _library_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    record = event.get("_record")
    name = getattr(record, "name", "library")
    # The text of a library's message may hold anything that it was given (aiohttp's error log
    # holds the request line): where it was logged is enough to find it.
    place = f"{getattr(record, 'module', '?')}:{getattr(record, 'lineno', 0)}"
    event["event"] = f"{name} reported a problem at {place}"
    event.pop("positional_args", None)
    return event


_STATEMENT_BUCKETS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
)  # fmt: skip
_STEP_BUCKETS: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1)

OTHER: Final = "other"


class Registry(CollectorRegistry):
    """A registry that asks those who count by themselves to hand over before it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.before_collect: list[Callable[[], None]] = []

    def collect(self) -> Iterator[Metric]:
        for hand_over in self.before_collect:
            hand_over()
        yield from super().collect()


class Metrics:
    """The proxy's metrics in a registry of their own. Names begin with `consent_proxy_`.

    Labels take the words of a closed list or names of the policy, never a tool's text: `known`
    turns everything else into `other`.
    """

    def __init__(self) -> None:
        self.registry = Registry()
        self.statements = self._counter(
            "statements", "Statements by their end", "tool", "purpose", "door", "state"
        )
        self.refusals = self._counter(
            "refusals", "Refused statements and requests", "door", "reason"
        )
        self.rows = self._counter("rows", "Rows that left", "tool", "purpose", "door")
        self.bytes = self._counter("result_bytes", "Bytes of results that left", "door")
        self.logins = self._counter("logins", "Logins by their result", "door", "result")
        self.consents = self._counter("consent_events", "Consent events recorded", "state")
        self.reloads = self._counter("reloads", "Policy and secrets read again", "what", "result")
        self.statement_seconds = self._histogram(
            "statement_seconds", "From a statement's arrival to its end", _STATEMENT_BUCKETS, "door"
        )
        self.statement_buckets: Final = _STATEMENT_BUCKETS
        self.plan_seconds = self._histogram(
            "plan_seconds", "Reading, deciding, rewriting and checking a statement", _STEP_BUCKETS
        )
        self.record_seconds = self._histogram(
            "access_record_durable_seconds", "From handing a record over to its being durable",
            _STEP_BUCKETS,
        )  # fmt: skip
        self.connections = self._gauge("connections", "Clients connected", "door")
        self.upstream_connections = self._gauge(
            "upstream_connections", "Connections to the database", "state"
        )
        self.upstream_waiting = self._gauge("upstream_waiting", "Clients that wait for one")
        self.workers = self._gauge("workers", "Workers of which this page tells")
        self.workers.set(1)
        self.log_sealed = self._gauge(
            "access_log_sealed", "1 when the log is sealed: nothing leaves"
        )
        self.ready = self._gauge("ready", "1 when statements are answered")
        self.build = self._gauge("build_info", "Always 1", "version", "policy")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"consent_proxy_{name}_total", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"consent_proxy_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"consent_proxy_{name}", text, labels, registry=self.registry, buckets=buckets
        )


def known(value: str | None, names: Collection[str]) -> str:
    """A label's value: one of the names, or `other`; so a tool can not write into the metrics."""
    return value if value is not None and value in names else OTHER
