"""Recording what people said, showing it, and who must leave a list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from proxy.access_log.log import AccessLog
from proxy.gateway.consents import shows_subjects
from proxy.policy.load import load_policy
from tests.gateway.conftest import OpenHouse
from tests.gateway.house import POLICY, Answer, House

GIVEN = {"subject": 1, "purpose": "newsletter", "state": "given"}


async def _post(house: House, body: Any, key: str | None = None) -> Answer:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await house.call("POST", "/v1/consents", who="consent", body=body, headers=headers)


async def test_a_recorded_event_is_committed_when_it_is_answered(house: House) -> None:
    answer = await _post(house, GIVEN)
    assert answer.status == 201
    assert set(answer.json) == {"event", "recorded_at"}
    row = await house.admin.fetchrow("SELECT * FROM consent.event")
    assert (row["event"], row["subject_id"], row["state"]) == (answer.json["event"], 1, "given")
    recorded_at = datetime.fromisoformat(answer.json["recorded_at"])
    assert recorded_at == row["recorded_at"]
    assert answer.json["recorded_at"].endswith("Z")


async def test_who_recorded_it_is_the_credential_not_the_body(house: House) -> None:
    await _post(house, GIVEN)
    recorded_by = await house.admin.fetchval("SELECT recorded_by FROM consent.event")
    assert recorded_by.startswith("the-consent:")
    answer = await _post(house, {**GIVEN, "recorded_by": "somebody else"})
    assert (answer.status, answer.error["reason"]) == (422, "invalid_request")


async def test_an_event_has_a_record_without_the_person(house: House) -> None:
    answer = await _post(house, {**GIVEN, "subject": 4242})
    (record,) = house.records("consent.recorded")
    assert record["event"] == answer.json["event"]
    assert (record["state"], record["purpose"], record["via"]) == ("given", "newsletter", "http")
    assert record["credential"].startswith("the-consent:")
    assert "4242" not in str({k: v for k, v in record.items() if k not in ("at", "prev", "client")})


async def test_the_same_key_and_body_is_the_same_event(house: House) -> None:
    first = await _post(house, GIVEN, "key-1")
    again = await _post(house, GIVEN, "key-1")
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    assert await house.admin.fetchval("SELECT count(*) FROM consent.event") == 1
    assert len(house.records("consent.recorded")) == 1


async def test_the_same_key_with_another_body_is_a_conflict(house: House) -> None:
    await _post(house, GIVEN, "key-1")
    answer = await _post(house, {**GIVEN, "state": "withdrawn"}, "key-1")
    assert (answer.status, answer.error["reason"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"purpose": "nothing"}, 422, "unknown_purpose"),
        ({"subject": "not a number"}, 422, "wrong_subject"),
        ({"subject": 1.5}, 422, "invalid_request"),
        ({"subject": True}, 422, "invalid_request"),
        ({"subject": None}, 422, "invalid_request"),
        ({"state": "perhaps"}, 422, "invalid_request"),
        ({"category": "user.nothing"}, 422, "unknown_category"),
        ({"all": True}, 422, "invalid_request"),
        ({"at": "2099-01-01T00:00:00Z"}, 422, "not_yet_valid"),
        ({"at": "yesterday"}, 422, "invalid_request"),
        ({"until": "2000-01-01T00:00:00Z"}, 422, "invalid_request"),
        ({"evidence": "abc"}, 422, "invalid_request"),
        ({"more": 1}, 422, "invalid_request"),
    ],
)
async def test_what_no_event_can_mean_is_refused(
    house: House, change: dict[str, Any], status: int, reason: str
) -> None:
    answer = await _post(house, {**GIVEN, **change})
    assert (answer.status, answer.error["reason"]) == (status, reason)
    assert await house.admin.fetchval("SELECT count(*) FROM consent.event") == 0


async def test_two_idempotency_keys_are_none(house: House) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    url = f"http://127.0.0.1:{house.port}/v1/consents"
    token = ("Authorization", f"Bearer {house.tokens['consent']}")
    async with house.client.post(url, json=GIVEN, headers=[*headers, token]) as response:
        assert response.status == 400


async def test_all_purposes_can_be_withdrawn_at_once(house: House) -> None:
    await house.agree(1)
    assert (await _post(house, {"subject": "1", "all": True, "state": "withdrawn"})).status == 201
    assert await house.value("SELECT count(*) FROM crm.people", who="mailer") == 0


async def test_without_a_ledger_nothing_is_promised(house: House) -> None:
    house.has_ledger[0] = False
    for answer in (
        await _post(house, GIVEN),
        await house.call("GET", "/v1/consents/1", who="review"),
        await _list(house, "newsletter", "2026-01-01T00:00:00Z"),
    ):
        assert (answer.status, answer.error["reason"]) == (503, "ledger_unavailable")


async def test_a_withdrawal_is_taken_while_the_access_log_takes_nothing(
    open_door: OpenHouse,
) -> None:
    logs: list[AccessLog] = []

    def keep(log: AccessLog) -> AccessLog:
        logs.append(log)
        return log

    async with open_door(access_log=keep) as house:
        await house.agree(1)
        await logs[0].close()
        answer = await _post(house, {**GIVEN, "state": "withdrawn"})
        assert answer.status == 201
        answer = await house.call("GET", "/v1/consents/1", who="review")
        assert (answer.status, answer.error["reason"]) == (503, "access_log_unavailable")


# --- showing ---------------------------------------------------------------------------------


async def test_a_persons_consents_are_shown_with_their_events(house: House) -> None:
    until = "2098-01-01T00:00:00Z"
    await _post(house, {**GIVEN, "until": until, "source": "form", "evidence": "ab" * 32})
    answer = await house.call("GET", "/v1/consents/1", who="review")
    assert answer.status == 200
    assert answer.json["subject"] == 1
    newsletter, statistics = answer.json["purposes"]
    (event,) = answer.json["events"]
    assert newsletter == {
        "purpose": "newsletter",
        "basis": "consent",
        "in_force": True,
        "until": until,
        "event": event["event"],
        "categories": [],
    }
    assert (statistics["in_force"], statistics["event"]) == (True, None)
    assert (event["state"], event["source"], event["all"]) == ("given", "form", False)


async def test_consents_can_be_seen_as_they_were(house: House) -> None:
    await house.agree(1)
    before = datetime.now(UTC).isoformat()
    await house.agree(1, "withdrawn")
    for query, in_force in ((f"?as_of={quote(before)}", True), ("", False)):
        answer = await house.call("GET", f"/v1/consents/1{query}", who="consent")
        assert answer.json["purposes"][0]["in_force"] is in_force
    answer = await house.call("GET", f"/v1/consents/1?known_at={quote(before)}", who="consent")
    assert [event["state"] for event in answer.json["events"]] == ["given"]


async def test_reading_consents_is_an_access(house: House) -> None:
    answer = await house.call("GET", "/v1/consents/1", who="review")
    (intent,) = house.records("access.intent")
    assert intent["id"] == answer.headers["Access-Id"] == house.records("access.outcome")[0]["id"]
    assert intent["tool"] == "the-review"
    assert intent["tables"][0]["table"] == "consent.event"


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/v1/consents/abc", 422, "wrong_subject"),
        ("/v1/consents/1?as_of=yesterday", 422, "invalid_request"),
        ("/v1/consents/1?as_of=2026-01-01T00:00:00", 422, "invalid_request"),
        ("/v1/consents/1?at=2026-01-01T00:00:00Z", 400, "invalid_request"),
        ("/v1/consents/1?as_of=2026-01-01T00:00:00Z&as_of=2026-01-01T00:00:00Z", 400,
         "invalid_request"),
        ("/v1/consents/1%2F2", 422, "wrong_subject"),
    ],
)  # fmt: skip
async def test_a_question_about_nobody_is_refused(
    house: House, path: str, status: int, reason: str
) -> None:
    answer = await house.call("GET", path, who="review")
    assert (answer.status, answer.error["reason"]) == (status, reason)


# --- withdrawals -----------------------------------------------------------------------------


async def _list(house: House, purpose: str, since: str, who: str = "mailer") -> Answer:
    path = f"/v1/withdrawals?purpose={purpose}&since={quote(since)}"
    return await house.call("GET", path, who=who)


async def test_a_tool_learns_who_must_leave_its_list(house: House) -> None:
    for subject in (1, 2, 3):
        await house.agree(subject)
    pulled_at = datetime.now(UTC).isoformat()
    await house.agree(2, "withdrawn")
    answer = await _list(house, "newsletter", pulled_at)
    assert answer.status == 200
    (gone,) = answer.json["withdrawals"]
    assert (gone["subject"], gone["cause"], gone["category"]) == (2, "withdrawn", [])
    (intent,) = house.records("access.intent")
    assert (intent["tool"], intent["purpose"]) == ("mailer", "newsletter")
    assert intent["id"] == answer.headers["Access-Id"]
    assert house.records("access.outcome")[0]["rows"] == 1


async def test_who_never_agreed_is_nobody_that_a_tool_learns_of(house: House) -> None:
    """Where only people with a grant are shown, a refusal would tell that a person exists."""
    await house.agree(1)
    await house.agree(1, "refused")
    await house.agree(2, "refused")
    answer = await _list(house, "newsletter", "2020-01-01T00:00:00Z")
    assert [each["subject"] for each in answer.json["withdrawals"]] == [1]


async def test_a_tool_learns_of_its_own_purposes_only(house: House) -> None:
    answer = await _list(house, "newsletter", "2026-01-01T00:00:00Z", who="counter")
    assert (answer.status, answer.error["reason"]) == (403, "purpose_not_allowed")
    for who in ("consent", "review"):
        answer = await _list(house, "newsletter", "2026-01-01T00:00:00Z", who=who)
        assert answer.status == 200


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("", 400, "invalid_request"),
        ("?purpose=newsletter", 400, "invalid_request"),
        ("?since=2026-01-01T00:00:00Z", 400, "invalid_request"),
        ("?purpose=nothing&since=2026-01-01T00:00:00Z", 422, "unknown_purpose"),
        ("?purpose=newsletter&since=now", 422, "invalid_request"),
        ("?purpose=newsletter&since=2026-01-01T00:00:00Z&x=1", 400, "invalid_request"),
    ],
)
async def test_purpose_and_time_of_the_list_are_needed(
    house: House, query: str, status: int, reason: str
) -> None:
    answer = await house.call("GET", f"/v1/withdrawals{query}", who="mailer")
    assert (answer.status, answer.error["reason"]) == (status, reason)


def test_a_tool_that_sees_no_key_of_a_person_is_told_none(tmp_path: Any) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    assert shows_subjects(load_policy(tmp_path), "newsletter")
    hidden = POLICY.replace("id: open, name", "id: user.unique_id, name").replace(
        "user.contact.email: {mask: email}",
        "user.contact.email: {mask: email}\n  user.unique_id: {mask: pseudonym}",
    )
    (tmp_path / "policy.yaml").write_text(hidden)
    policy = load_policy(tmp_path)
    assert not shows_subjects(policy, "newsletter")
    assert not shows_subjects(policy, "statistics")


async def test_a_ledger_that_was_never_made_is_told(house: House) -> None:
    await house.admin.execute("DROP SCHEMA consent CASCADE")
    answer = await _post(house, GIVEN)
    assert (answer.status, answer.error["reason"]) == (503, "ledger_not_prepared")
    with pytest.raises(asyncpg.UndefinedTableError):
        await house.admin.execute("SELECT FROM consent.event")
