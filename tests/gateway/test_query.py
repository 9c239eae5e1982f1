"""`POST /v1/query`: what a tool asks, and what it gets."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.config import Limits
from tests.gateway.conftest import OpenHouse
from tests.gateway.house import House


async def test_a_result_has_columns_rows_and_the_id_of_its_record(house: House) -> None:
    await house.agree(1)
    answer = await house.query("SELECT id, email FROM crm.people ORDER BY id")
    assert answer.status == 200
    assert answer.json == {
        "columns": [{"name": "id", "type": "bigint"}, {"name": "email", "type": "text"}],
        "rows": [[1, "ana@example.com"]],
        "access_id": answer.headers["Access-Id"],
    }
    (intent,) = house.records("access.intent")
    (outcome,) = house.records("access.outcome")
    assert intent["id"] == outcome["id"] == answer.headers["Access-Id"]
    assert (intent["tool"], intent["via"], intent["purpose"]) == ("mailer", "http", "newsletter")
    assert intent["purpose_from"] == "default"
    assert (outcome["state"], outcome["rows"]) == ("complete", 1)
    assert outcome["bytes"] == len(answer.body)


async def test_a_withdrawal_hides_the_person_from_the_next_request(house: House) -> None:
    await house.agree(1)
    assert await house.value("SELECT count(*) FROM crm.people", who="mailer") == 1
    await house.agree(1, "withdrawn")
    assert await house.value("SELECT count(*) FROM crm.people", who="mailer") == 0


async def test_the_purpose_of_the_request_decides_what_is_seen(house: House) -> None:
    answer = await house.query("SELECT email FROM crm.people WHERE id = 2", purpose="statistics")
    assert answer.json["rows"] == [["b***@example.com"]]
    (intent,) = house.records("access.intent")
    assert (intent["purpose"], intent["purpose_from"]) == ("statistics", "request")


async def test_a_purpose_that_is_not_the_tools_own_is_refused(house: House) -> None:
    answer = await house.query("SELECT 1", who="counter", purpose="newsletter")
    assert (answer.status, answer.error["reason"]) == (403, "purpose_not_allowed")
    assert answer.error["sqlstate"] == "42501"
    (refused,) = house.records("access.refused")
    assert refused["id"] == answer.error["access_id"] == answer.headers["Access-Id"]


async def test_a_tool_with_several_purposes_and_no_default_must_choose(house: House) -> None:
    answer = await house.query("SELECT id FROM crm.people", who="chooser")
    assert (answer.status, answer.error["reason"]) == (403, "purpose_missing")
    answer = await house.query("SELECT 1 FROM crm.people", who="chooser", purpose="statistics")
    assert answer.status == 200


async def test_show_answers_the_purpose_in_force(house: House) -> None:
    assert await house.value("SHOW consent.purpose") == "statistics"
    answer = await house.query("SHOW consent.purpose", purpose="statistics")
    assert answer.json["rows"] == [["statistics"]]
    assert answer.json["access_id"] is None
    assert "Access-Id" not in answer.headers


async def test_names_are_found_along_the_policys_schemas(house: House) -> None:
    assert await house.value("SELECT count(*) FROM people") == 3


async def test_parameters_stay_parameters(house: House) -> None:
    text = "x'; DROP TABLE crm.people; --"
    assert await house.value("SELECT $1::text", text) == text
    sql = "SELECT count(*) FROM crm.people WHERE name = $1"
    assert await house.value(sql, "Ana' OR 'a'='a") == 0
    assert await house.value(sql, "Ana") == 1


@pytest.mark.parametrize(
    ("sql", "value", "expected"),
    [
        ("SELECT $1::int + 1", 41, 42),
        ("SELECT $1::int + 1", "41", 42),
        ("SELECT $1::float8", 0.5, 0.5),
        ("SELECT $1::numeric + 0.01", "10.10", "10.11"),
        ("SELECT NOT $1::bool", True, False),
        ("SELECT $1::text IS NULL", None, True),
        ("SELECT $1::int[]", [1, None, 3], [1, None, 3]),
        ("SELECT $1::int[]", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ("SELECT $1::int[]", [], []),
        (
            "SELECT $1::text[]",
            ['a"b', "c\\d", "NULL", "", "{,}"],
            ['a"b', "c\\d", "NULL", "", "{,}"],
        ),
        ("SELECT $1::bool[]", [True, False], [True, False]),
        ("SELECT $1::jsonb", {"a": [1, None]}, {"a": [1, None]}),
        ("SELECT $1::jsonb", [1, {"b": 2}], [1, {"b": 2}]),
        ("SELECT $1::jsonb", '"a string is JSON text"', "a string is JSON text"),
        ("SELECT $1::timestamptz", "2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00Z"),
        ("SELECT 1 = ANY ($1::int[])", [1, 2], True),
    ],
)
async def test_parameters_are_values_of_json(
    house: House, sql: str, value: object, expected: object
) -> None:
    assert await house.value(sql, value) == expected


@pytest.mark.parametrize("params", [[], [1], [1, 2, 3], {"a": 1}, "1"])
async def test_there_is_one_value_for_each_parameter(house: House, params: object) -> None:
    body = {"sql": "SELECT $1::int + $2::int", "params": params}
    answer = await house.call("POST", "/v1/query", body=body)
    assert (answer.status, answer.error["reason"]) == (400, "invalid_request")
    assert house.records("access.intent") == []


async def test_an_object_is_no_value_but_of_json(house: House) -> None:
    answer = await house.query("SELECT id FROM crm.people WHERE id = $1", {"a": 1})
    assert (answer.status, answer.error["reason"]) == (400, "invalid_request")
    assert answer.error["access_id"] == house.records("access.outcome")[0]["id"]


async def test_a_parameter_holds_no_nul(house: House) -> None:
    answer = await house.query("SELECT $1::text", "a\0b")
    assert (answer.status, answer.error["reason"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("sql", "status", "sqlstate", "reason"),
    [
        ("SELECT 1; SELECT 2", 400, "42601", "syntax"),
        ("SELEC 1", 400, "42601", "syntax"),
        ("", 400, "42601", "syntax"),
        ("-- nothing", 400, "42601", "syntax"),
        ("DELETE FROM crm.people", 400, "0A000", "statement_kind"),
        ("BEGIN", 400, "0A000", "statement_kind"),
        ("SET DateStyle = 'ISO'", 400, "0A000", "statement_kind"),
        ("COPY crm.people TO STDOUT", 400, "0A000", "statement_kind"),
        ("PREPARE p AS SELECT 1", 400, "0A000", "statement_kind"),
        ("SELECT * FROM crm.secrets", 403, "42P01", "table_not_in_policy"),
        ("SELECT * FROM consent.event", 403, "42P01", "table_not_in_policy"),
        ("SELECT pg_read_file('/etc/passwd')", 403, "42501", "function_not_allowed"),
        ("SELECT mood FROM crm.people", 403, "42703", "column_not_available"),
        ("SELECT nothing FROM crm.people", 403, "42703", "column_not_available"),
        ("SHOW data_directory", 403, "42501", "setting_not_allowed"),
        ("SELECT 1/0", 400, "22012", "database_error"),
        ("SELECT 'x'::int", 400, "22P02", "database_error"),
        ("SELECT id/0 FROM crm.people", 400, "22012", "database_error"),
    ],
)
async def test_what_is_not_answered_says_why(
    house: House, sql: str, status: int, sqlstate: str, reason: str
) -> None:
    answer = await house.query(sql, who="counter")
    error = answer.error
    assert (answer.status, error["sqlstate"], error["reason"]) == (status, sqlstate, reason)
    assert error["message"]
    if reason != "database_error":
        assert error["access_id"] == answer.headers["Access-Id"]


async def test_a_refusal_is_recorded_before_it_is_told(house: House) -> None:
    answer = await house.query("SELECT * FROM crm.secrets")
    (refused,) = house.records("access.refused")
    assert refused["id"] == answer.error["access_id"]
    assert refused["reason"] == "table_not_in_policy"


async def test_an_error_of_the_database_is_an_outcome(house: House) -> None:
    answer = await house.query("SELECT 1/(id - id) FROM crm.people", who="counter")
    (outcome,) = house.records("access.outcome")
    assert (outcome["state"], outcome["sqlstate"]) == ("error", "22012")
    assert answer.error["access_id"] == outcome["id"]


async def test_the_connection_is_used_again_after_an_error(house: House) -> None:
    for _ in range(20):
        assert (await house.query("SELECT 1/0")).status == 400
        assert (await house.query("SELECT 1")).status == 200
    assert house.pool.leased == 0
    count = (
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'consent_reader'"
        " AND datname = current_database()"
    )
    assert await house.admin.fetchval(count) <= 3


async def test_nothing_of_one_request_reaches_the_next(open_door: OpenHouse) -> None:
    async with open_door(connections=1) as house:
        assert (await house.query("SHOW consent.purpose")).json["rows"] == [["newsletter"]]
        answer = await house.query("SHOW consent.purpose", who="chooser", purpose="statistics")
        assert answer.json["rows"] == [["statistics"]]
        assert await house.value("SELECT count(*) FROM pg_catalog.pg_class") > 0


async def test_a_statement_that_is_too_large_is_refused(open_door: OpenHouse) -> None:
    async with open_door(limits=Limits(statement_bytes=1000)) as house:
        answer = await house.query("SELECT " + "1+" * 600 + "1")
        assert (answer.status, answer.error["reason"]) == (413, "statement_too_large")


async def test_a_statement_that_takes_too_long_is_ended_by_the_database(
    open_door: OpenHouse,
) -> None:
    async with open_door(limits=Limits(statement_s=0.2)) as house:
        sql = "SELECT count(*) FROM crm.many a, crm.many b WHERE a.filler < b.filler"
        answer = await house.query(sql)
        assert (answer.status, answer.error["reason"]) == (504, "too_slow")
        assert answer.error["sqlstate"] == "57014"


async def test_a_result_that_takes_too_long_is_ended_by_the_proxy(open_door: OpenHouse) -> None:
    async with open_door(statement_s=0.2) as house:
        sql = "SELECT count(*) FROM crm.many a, crm.many b WHERE a.filler < b.filler"
        answer = await house.query(sql)
        assert (answer.status, answer.error["reason"]) == (504, "too_slow")
        await house.until(lambda: _is_idle(house))
        (outcome,) = house.records("access.outcome")
        assert (outcome["state"], outcome["sqlstate"]) == ("error", "57014")


async def _is_idle(house: House) -> bool:
    return await house.running() == 0


async def test_beyond_the_last_connection_one_waits_and_is_told(open_door: OpenHouse) -> None:
    async with open_door(connections=1, wait_s=0.05) as house:
        held = await house.pool.acquire()
        answer = await house.query("SELECT id FROM crm.people")
        house.pool.release(held, is_clean=True)
        assert (answer.status, answer.error["reason"]) == (503, "too_many_connections")
        assert house.records("access.refused")[0]["reason"] == "too_many_connections"


async def test_a_lost_upstream_is_a_clean_error_and_recovers(house: House) -> None:
    sql = "SELECT count(*) FROM crm.many a, crm.many b WHERE a.filler < b.filler"
    asking = asyncio.create_task(house.query(sql, who="counter"))

    async def is_running() -> bool:
        return await house.running() == 1

    await house.until(is_running)
    await house.terminate()
    answer = await asking
    assert (answer.status, answer.error["reason"]) == (503, "upstream_unavailable")
    (outcome,) = house.records("access.outcome")
    assert outcome["state"] == "error"
    assert (await house.query("SELECT 1")).status == 200
    assert house.pool.leased == 0


async def test_a_new_policy_is_in_force_for_a_request_that_waits_for_a_connection(
    open_door: OpenHouse,
) -> None:
    async with open_door(connections=1) as house:
        held = await house.pool.acquire()
        waiting = asyncio.create_task(house.query("SELECT id FROM crm.people", who="counter"))
        await house.until(lambda: house.pool.waiting)
        revisions = []
        plan = house.planner.plan

        async def noted(text, context):  # type: ignore[no-untyped-def]
            revisions.append(text)
            return await plan(text, context)

        house.planner.plan = noted  # type: ignore[method-assign]
        renewed = house.enforcer()
        renewed.revision = "another"
        house.planner.replace(renewed)
        house.pool.release(held, is_clean=True)
        assert (await waiting).status == 200
        assert revisions == ["SELECT id FROM crm.people"]


async def test_explain_is_answered_from_the_proxys_own_plan(house: House) -> None:
    answer = await house.query("EXPLAIN SELECT email FROM crm.people")
    assert answer.status == 200
    assert any("crm.people" in row[0] for row in answer.json["rows"])
    assert answer.json["access_id"] is None


async def test_the_explain_path_names_every_column_and_runs_nothing(house: House) -> None:
    body = {"sql": "SELECT id, email FROM crm.people", "purpose": "statistics"}
    answer = await house.call("POST", "/v1/explain", body=body)
    assert answer.status == 200
    (table,) = answer.json["tables"]
    assert table["name"] == "crm.people"
    verdicts = {column["name"]: column["verdict"] for column in table["columns"]}
    assert verdicts == {"id": "shown", "email": "masked"}
    assert answer.json["purpose"] == "statistics"
    assert house.records("access.intent") == []
    refused = await house.call("POST", "/v1/explain", body={"sql": "DROP TABLE crm.people"})
    assert (refused.status, refused.error["reason"]) == (400, "statement_kind")


async def test_a_statements_values_are_nowhere_in_the_records(house: House) -> None:
    await house.query("SELECT 'Zanzibar' FROM crm.people WHERE name = $1", "Ouagadougou")
    await house.query("SELECT 'Zanzibar' FROM crm.nowhere")
    text = json.dumps(house.records())
    assert "Zanzibar" not in text
    assert "Ouagadougou" not in text
