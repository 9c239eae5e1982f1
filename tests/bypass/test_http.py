"""The HTTP door: the same guards behind other forms, and nothing else behind its paths."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import orjson
import pytest

from tests.bypass.attempts import ACCESS, Anything, Attempt, assert_silent, try_in_both
from tests.bypass.client import rows_of
from tests.bypass.worlds import Pair, Side

_JSON = {"Content-Type": "application/json"}


def _ask(
    side: Side,
    method: str,
    path: str,
    credential: str | None,
    body: bytes | None = None,
    **more: str,
) -> tuple[int, bytes]:
    """Any request; headers by name with underscores."""
    address = urlsplit(side.world.http)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    headers = {**_JSON, **{name.replace("_", "-"): value for name, value in more.items()}}
    if credential is not None:
        headers["Authorization"] = f"Bearer {side.world.tokens[credential]}"
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def _both(pair: Pair, body: object, tool: str = "profiler", **headers: str) -> int:
    answers = []
    for side in pair.sides:
        status, raw = _ask(side, "POST", "/v1/query", tool, orjson.dumps(body), **headers)
        assert_silent(side, raw, repr(body))
        answers.append((status, sorted(ACCESS.sub(b"access", raw).splitlines())))
    assert answers[0] == answers[1]
    return answers[0][0]


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv", "*/*"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM crm.people ORDER BY id",
        "SELECT p, to_jsonb(p), p::text FROM crm.people p ORDER BY id",
        "SELECT * FROM crm.visits ORDER BY id",
        "SELECT id, 1 / (id - 7) FROM crm.people ORDER BY id",
        "SELECT alias::int FROM crm.people WHERE id > 6",
    ],
)
def test_every_form_of_an_answer_is_guarded(pair: Pair, sql: str, accept: str) -> None:
    _both(pair, {"sql": sql}, Accept=accept)


@pytest.mark.parametrize(
    "sql",
    [
        "SET search_path = private",
        "SET search_path = ref",
        "BEGIN",
        "COMMIT",
        "DECLARE c CURSOR WITH HOLD FOR SELECT email FROM crm.people",
        "FETCH ALL FROM c",
        "PREPARE x AS SELECT email FROM crm.people",
        "EXECUTE x",
        "DISCARD ALL",
        "DEALLOCATE ALL",
        "COPY crm.people TO STDOUT",
        "SET consent.purpose = 'campaign'",
        "SELECT set_config('search_path', 'ref', false)",
        "SELECT set_config('standard_conforming_strings', 'off', false)",
        "SELECT set_config('TimeZone', 'Asia/Tokyo', false)",
        "RESET ALL",
    ],
)
def test_a_request_leaves_nothing_to_the_next(pair: Pair, sql: str) -> None:
    try_in_both(pair, Attempt(sql, sql, Anything(), ways=("http",)))
    for side in pair.sides:
        status, raw = side.post(
            "/v1/query",
            "both",
            {"sql": "SELECT current_setting('search_path'), current_setting('TimeZone')"},
        )
        assert (status, orjson.loads(raw)["rows"]) == (200, [['"crm", "ref"', "UTC"]])
        client = side.connect("both")
        assert rows_of(client.simple("SHOW search_path")) == [[b"crm, ref"]]
        client.close()


@pytest.mark.parametrize(
    "parameter",
    [
        "Szqxjkvpw-alias7",
        "",
        None,
        True,
        7,
        7.5,
        ["Szqxjkvpw-alias7"],
        {"a": "Szqxjkvpw"},
        "\u0000",
        "7::regclass",
        [[1], [2]],
    ],
    ids=repr,
)
def test_parameters_stay_parameters(pair: Pair, parameter: object) -> None:
    _both(pair, {"sql": "SELECT id FROM crm.people WHERE alias = $1", "params": [parameter]})
    if "Szqxjkvpw" not in repr(parameter):  # PostgreSQL would repeat what is no number
        _both(pair, {"sql": "SELECT id FROM crm.people WHERE id = $1", "params": [parameter]})
    in_array = {"sql": "SELECT count(*) FROM crm.people WHERE alias = ANY($1)"}
    if parameter != "Szqxjkvpw-alias7":
        _both(pair, {**in_array, "params": [parameter]})


@pytest.mark.parametrize(
    "body",
    [
        {"sql": "SELECT email FROM crm.people", "purpose": "service"},
        {"sql": "SELECT email FROM crm.people", "purpose": ["profile"]},
        {"sql": "SELECT email FROM crm.people", "purpose": ""},
        {"sql": "SELECT email FROM crm.people", "tool": "desk"},
        {"sql": ["SELECT 1"]},
        {"query": "SELECT 1"},
        {"sql": "SELECT 1", "params": "x"},
        {"sql": "SELECT 1; SELECT email FROM crm.people"},
        {"sql": "SELECT 1", "search_path": "private"},
        [],
        "SELECT 1",
        None,
    ],
    ids=repr,
)
def test_a_body_says_nothing_but_statement_parameters_and_purpose(pair: Pair, body: object) -> None:
    assert _both(pair, body) >= 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/query?sql=SELECT+email+FROM+crm.people"),
        ("PUT", "/v1/query"),
        ("POST", "/v1/query/../consents"),
        ("POST", "/v1/consents"),
        ("GET", "/v1/consents/7"),
        ("GET", "/v1/consents/9"),
        ("GET", "/v1/withdrawals?purpose=service&since=2020-01-01T00:00:00Z"),
        ("GET", "/v1/withdrawals?purpose=campaign&since=2020-01-01T00:00:00Z"),
        ("GET", "/v1/withdrawals?since=2020-01-01T00:00:00Z"),
        ("GET", "/metrics"),
        ("GET", "/console"),
        ("GET", "/../secrets.yaml"),
        ("GET", "/v1/%2e%2e/secrets.yaml"),
        ("TRACE", "/v1/query"),
        ("DELETE", "/v1/consents/7"),
    ],
)
def test_a_tools_credential_does_nothing_but_run_its_statements(
    pair: Pair, method: str, path: str
) -> None:
    body = orjson.dumps({"subject": 7, "purpose": "profile", "state": "given"})
    for side in pair.sides:
        status, raw = _ask(side, method, path, "profiler", body)
        assert status >= 400, raw
        assert_silent(side, raw, path)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic cHJvZmlsZXI6eA=="},
        {"Authorization": "Bearer profiler"},
        {"X_Forwarded_User": "profiler"},
        {"Cookie": "token=profiler"},
    ],
    ids=repr,
)
def test_nobody_asks_without_a_token(pair: Pair, headers: dict[str, str]) -> None:
    body = orjson.dumps({"sql": "SELECT email FROM crm.people"})
    for side in pair.sides:
        status, raw = _ask(side, "POST", "/v1/query", None, body, **headers)
        assert status == 401
        assert b"rows" not in raw


def test_explaining_tells_no_value_and_runs_nothing(pair: Pair) -> None:
    answers = []
    for side in pair.sides:
        for sql in (
            "SELECT alias FROM crm.people WHERE alias = 'x'",
            "SELECT 1 / amount FROM crm.visits",
        ):
            status, raw = side.post("/v1/explain", "profiler", {"sql": sql})
            assert status == 200
            assert_silent(side, raw, sql)
            answers.append((sql, status))
    assert answers[:2] == answers[2:]
