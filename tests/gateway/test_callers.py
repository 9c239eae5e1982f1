"""Tokens and roles: who may come in, and where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.gateway.routes import ROUTES, Route
from tests.gateway.house import House

PATHS = {
    "/v1/query": {"sql": "SELECT 1"},
    "/v1/explain": {"sql": "SELECT 1"},
    "/v1/consents": {"subject": 1, "purpose": "newsletter", "state": "given"},
    "/v1/consents/{subject}": None,
    "/v1/withdrawals": None,
    "/metrics": None,
}
ROLES = {"tool": "mailer", "consent": "consent", "review": "review", "metrics": "metrics"}


def _url(path: str) -> str:
    url = path.replace("{subject}", "1")
    return url + "?purpose=newsletter&since=2026-01-01T00:00:00Z" if "withdraw" in path else url


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_a_credential_can_do_what_its_role_is_for_and_nothing_else(
    house: House, role: str
) -> None:
    for route in ROUTES:
        if not isinstance(route, Route):
            continue
        body = PATHS[route.path]
        answer = await house.call(route.method, _url(route.path), who=ROLES[role], body=body)
        if role in route.roles:
            assert answer.status in (200, 201), (route.path, answer.body)
        else:
            assert (answer.status, answer.error["reason"]) == (403, "role_not_allowed")
            assert answer.error["sqlstate"] == "42501"
            assert house.records("access.refused")[-1]["id"] == answer.error["access_id"]


@pytest.mark.parametrize("token", [None, "", "nonsense", "cp_aaaaaaaaaaaaa_" + "a" * 43])
@pytest.mark.parametrize("path", sorted(PATHS))
async def test_without_a_known_token_there_is_nothing(
    house: House, path: str, token: str | None
) -> None:
    method = "GET" if PATHS[path] is None else "POST"
    answer = await house.call(method, _url(path), who=token, body=PATHS[path])
    assert (answer.status, answer.error["reason"]) == (401, "wrong_credential")
    assert answer.error["sqlstate"] == "28P01"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_other_ways_to_say_who_one_is_are_not_taken(house: House) -> None:
    token = house.tokens["mailer"]
    for headers in (
        {"Authorization": f"Basic {token}"},
        {"Authorization": token},
        {"X-Token": token},
    ):
        answer = await house.call(
            "POST", "/v1/query", who=None, body={"sql": "SELECT 1"}, headers=headers
        )
        assert answer.status == 401


async def test_the_first_request_of_a_connection_is_a_login(house: House) -> None:
    for _ in range(3):
        await house.query("SELECT 1")
    logins = house.records("login.ok")
    assert [login["tool"] for login in logins] == ["mailer"]
    assert logins[0]["via"] == "http"
    assert logins[0]["credential"].startswith("mailer:")


async def test_each_failed_login_is_recorded_without_what_was_tried(house: House) -> None:
    for _ in range(2):
        await house.query("SELECT 1", who="secret-of-somebody")
    failed = house.records("login.failed")
    assert [record["reason"] for record in failed] == ["wrong_credential"] * 2
    assert all("tool" not in record for record in failed)
    assert all("secret-of-somebody" not in str(record) for record in failed)


async def test_a_disabled_tool_is_out_at_once(house: House) -> None:
    assert (await house.query("SELECT 1")).status == 200
    house.secrets.disable("mailer")
    assert (await house.query("SELECT 1")).status == 401


async def test_a_tool_that_the_policy_does_not_name_is_out(house: House) -> None:
    house.secrets.add("stranger", "tool")
    token = house.secrets.make_token("stranger")
    answer = await house.query("SELECT 1", who=token)
    assert answer.status == 401
    assert house.records("login.failed")[-1]["credential"].startswith("stranger:")


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/query/", "/v1/Query", "/v1/consents/", "/v1/consents/1/2", "/metrics/x",
     "//v1/query", "/v1/../metrics", "/v1/query%2f"],
)  # fmt: skip
async def test_paths_that_are_not_there_are_not_there(house: House, path: str) -> None:
    answer = await house.call("GET", path)
    assert (answer.status, answer.error["reason"]) == (404, "not_found")


async def test_a_path_tells_its_methods(house: House) -> None:
    answer = await house.call("GET", "/v1/query")
    assert (answer.status, answer.error["reason"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


async def test_every_answer_says_how_it_may_be_used(house: House) -> None:
    for answer in (
        await house.query("SELECT 1"),
        await house.query("SELEC"),
        await house.query("SELECT 1", who="nobody"),
        await house.call("GET", "/healthz", who=None),
        await house.call("GET", "/metrics", who="metrics"),
        await house.call("GET", "/nowhere"),
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Server"] == "consent-proxy"


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"{", {}, 400, "invalid_request"),
        (b"[]", {}, 400, "invalid_request"),
        (b"", {}, 400, "invalid_request"),
        (b'{"sql": 1}', {}, 400, "invalid_request"),
        (b"{}", {}, 400, "invalid_request"),
        (b'{"sql": "SELECT 1", "more": 1}', {}, 400, "invalid_request"),
        (b'{"sql": "SELECT 1", "purpose": 1}', {}, 400, "invalid_request"),
        (b'{"sql": "SELECT \\u0000"}', {}, 400, "invalid_request"),
        (b'{"sql": "SELECT 1"}', {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (b'{"sql": "SELECT 1"}', {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        (b'{"sql": "SELECT 1"}', {"Content-Type": "multipart/form-data; boundary=x"}, 415,
         "unsupported_media_type"),
        (b'{"sql": "' + b"x" * 3_000_000 + b'"}', {}, 413, "request_too_large"),
    ],
)  # fmt: skip
async def test_a_request_that_is_not_understood_whole_is_refused(
    house: House, body: bytes, headers: dict[str, str], status: int, reason: str
) -> None:
    answer = await house.call("POST", "/v1/query", data=body, headers=headers)
    assert (answer.status, answer.error["reason"]) == (status, reason)


async def test_a_body_in_chunks_has_the_same_limit(house: House) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * 10_000

    url = f"http://127.0.0.1:{house.port}/v1/query"
    headers = {
        "Authorization": f"Bearer {house.tokens['mailer']}",
        "Content-Type": "application/json",
    }
    async with house.client.post(url, data=parts(), headers=headers) as response:
        assert response.status == 413


async def test_a_client_that_asks_before_it_sends_is_told_to_send(house: House) -> None:
    url = f"http://127.0.0.1:{house.port}/v1/query"
    headers = {"Authorization": f"Bearer {house.tokens['mailer']}"}
    async with house.client.post(
        url, json={"sql": "SELECT 1"}, headers=headers, expect100=True
    ) as response:
        assert response.status == 200


async def test_requests_on_one_connection_are_answered_in_order(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(
        b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"
    )
    text = await reader.read()
    assert text.index(b"200 OK") < text.index(b"404 Not Found")
    writer.close()
