"""The application's log and metrics say how the proxy is, never what anybody read."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import generate_latest

from proxy.telemetry import Metrics, known, set_up_logging

SECRET = "ana@example.com"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    set_up_logging(stream=stream)
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


def last(stream: io.StringIO) -> dict[str, object]:
    event: dict[str, object] = json.loads(stream.getvalue().splitlines()[-1])
    return event


def test_an_event_is_one_line_of_json_with_time_and_level(log: io.StringIO) -> None:
    structlog.get_logger().info("listening", postgres="127.0.0.1:6432")
    event = last(log)
    assert event["event"] == "listening"
    assert event["level"] == "info"
    assert str(event["timestamp"]).endswith("Z")


def test_a_field_that_is_not_on_the_list_is_named_but_not_shown(log: io.StringIO) -> None:
    structlog.get_logger().warning("refused", statement=f"SELECT '{SECRET}'", rows=b"Ana")
    assert last(log)["statement"] == "[redacted]"
    assert SECRET not in log.getvalue()
    assert "Ana" not in log.getvalue()


def test_an_exception_is_named_with_its_place_and_without_its_text(log: io.StringIO) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        structlog.get_logger().exception("session ended")
    assert str(last(log)["exception"]).startswith("ValueError at ")
    assert SECRET not in log.getvalue()


def test_libraries_that_log_say_where_and_not_what(log: io.StringIO) -> None:
    logging.getLogger("aiohttp.server").error("bad request %s", SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("asyncio").exception("Task exception: %s", SECRET)
    logging.getLogger("asyncpg").info("connected with %s", SECRET)
    assert SECRET not in log.getvalue()
    assert "aiohttp.server reported a problem" in log.getvalue()
    assert len(log.getvalue().splitlines()) == 2


def test_metrics_carry_the_projects_name_and_no_text_of_a_tool() -> None:
    metrics = Metrics()
    metrics.refusals.labels(door="postgres", reason=known("syntax", {"syntax"})).inc()
    metrics.refusals.labels(door="postgres", reason=known(SECRET, {"syntax"})).inc()
    text = generate_latest(metrics.registry).decode()
    assert 'consent_proxy_refusals_total{door="postgres",reason="other"} 1.0' in text
    assert SECRET not in text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert all(name.startswith("consent_proxy_") for name in names)


def test_two_servers_in_one_process_do_not_share_metrics() -> None:
    first, second = Metrics(), Metrics()
    first.rows.labels(tool="mailer", purpose="p", door="http").inc(5)
    assert "mailer" not in generate_latest(second.registry).decode()
