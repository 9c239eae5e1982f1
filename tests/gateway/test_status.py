"""Health, readiness, metrics, and an access log that takes nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.access_log.log import AccessLog
from proxy.session.services import AccessLog as Log
from proxy.session.services import Ticket
from tests.gateway.conftest import OpenHouse
from tests.gateway.house import House


async def test_whoever_answers_is_alive(house: House) -> None:
    house.checks[:] = [("upstream", False, "silent")]
    answer = await house.call("GET", "/healthz", who=None)
    assert (answer.status, answer.json) == (200, {"alive": True})
    assert (await house.call("HEAD", "/healthz", who=None)).body == b""


async def test_readiness_names_every_reason(house: House) -> None:
    answer = await house.call("GET", "/readyz", who=None)
    assert (answer.status, answer.json["ready"]) == (200, True)
    house.checks[:] = [("access_log", False, "no_space"), ("policy", True, "loaded")]
    answer = await house.call("GET", "/readyz", who=None)
    assert answer.status == 503
    assert answer.json == {
        "ready": False,
        "checks": [
            {"name": "access_log", "ok": False, "detail": "no_space"},
            {"name": "policy", "ok": True, "detail": "loaded"},
        ],
    }


async def test_metrics_count_what_was_answered(house: House) -> None:
    await house.agree(1)
    await house.query("SELECT id FROM crm.people")
    await house.query("SELECT id FROM crm.nothing")
    await house.query("SELECT 1", who="nobody")
    answer = await house.call("GET", "/metrics", who="metrics")
    assert answer.status == 200
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    key = ("complete", "http", "mailer", "newsletter")
    assert samples["consent_proxy_statements_total", *key] == 1
    assert samples["consent_proxy_rows_total", "http", "mailer", "newsletter"] == 1
    assert samples["consent_proxy_refusals_total", "http", "table_not_in_policy"] == 1
    assert samples["consent_proxy_logins_total", "failed", "http"] == 1
    assert samples["consent_proxy_consent_events_total", "given"] == 1
    assert samples["consent_proxy_ready",] == 1
    assert samples["consent_proxy_connections", "http"] >= 1


class _Failing:
    """An access log that stops taking records of some kinds, or fails them after a while."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log
        self.is_raising = False
        self.fails: set[str] = set()

    def append(self, kind: str, fields: Mapping[str, object]) -> Ticket:
        if self.is_raising:
            raise self._log.sealed_error()
        ticket = self._log.append(kind, fields)
        return _FailedTicket(ticket) if kind in self.fails else ticket


class _FailedTicket:
    is_durable = False
    failed = True

    def __init__(self, ticket: Ticket) -> None:
        self.add_done_callback = ticket.add_done_callback


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
async def test_no_row_leaves_without_a_durable_record(open_door: OpenHouse, accept: str) -> None:
    logs: list[_Failing] = []

    def fail(log: AccessLog) -> Log:
        logs.append(_Failing(log))
        return logs[0]

    async with open_door(access_log=fail) as house:
        assert (await house.query("SELECT name FROM crm.people", who="counter")).status == 200
        sql = "SELECT name FROM crm.people"
        logs[0].fails = {"access.intent"}
        for statement in (sql, "SELECT filler FROM crm.many", "SELECT 1/(id-id) FROM crm.people"):
            answer = await house.query(statement, who="counter", accept=accept)
            assert (answer.status, answer.error["reason"]) == (503, "access_log_unavailable")
            assert answer.error["sqlstate"] == "58030"
            assert b"Ana" not in answer.body
        logs[0].fails = {"access.refused"}
        answer = await house.query("SELECT * FROM crm.nothing", who="counter", accept=accept)
        assert answer.error["reason"] == "access_log_unavailable"
        logs[0].is_raising = True
        answer = await house.query(sql, who="counter", accept=accept)
        assert (answer.status, answer.error["reason"]) == (503, "access_log_unavailable")
        # Another connection has to log in first, which can not be recorded either.
        answer = await house.query(sql, who="mailer", accept=accept)
        assert answer.error["reason"] == "access_log_unavailable"
        assert (await house.call("GET", "/metrics", who="metrics")).status == 200
        assert house.pool.leased == 0


async def test_the_intent_is_on_disk_when_the_first_byte_arrives(house: House) -> None:
    async with house.client.post(
        f"http://127.0.0.1:{house.port}/v1/query",
        json={"sql": "SELECT id, filler FROM crm.many"},
        headers={"Authorization": f"Bearer {house.tokens['counter']}"},
    ) as response:
        (intent,) = house.records("access.intent")
        assert intent["id"] == response.headers["Access-Id"]
        assert house.records("access.outcome") == []


async def test_a_bug_of_ours_shows_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def explode(*_: object) -> None:
        raise KeyError("a secret value")

    monkeypatch.setattr("proxy.gateway.streaming.form_of", explode)
    answer = await house.query("SELECT id FROM crm.people", who="counter")
    assert (answer.status, answer.error["reason"]) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert house.records("access.outcome")[0]["sqlstate"] == "XX000"
    assert house.pool.leased == 0
