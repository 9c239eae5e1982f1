"""`/v1/openapi.json` says what the door does: its paths, and the shape of each answer."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from proxy.gateway.openapi import document
from proxy.gateway.routes import ROUTES, Route
from tests.gateway.house import Answer, House

_CHECKER = Draft202012Validator.FORMAT_CHECKER


def _validator(schema: Any) -> Draft202012Validator:
    whole = Resource.from_contents(document(), default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:openapi", whole)
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:openapi#/'))
    return Draft202012Validator(absolute, registry=registry, format_checker=_CHECKER)


def _check(answer: Answer, method: str, path: str) -> None:
    """The answer is one that the document describes."""
    responses = document()["paths"][path][method.lower()]["responses"]
    described = responses[str(answer.status)]
    if "$ref" in described:
        described = document()["components"]["responses"][described["$ref"].rpartition("/")[2]]
    media = answer.headers["Content-Type"].partition(";")[0]
    schema = described["content"][media]["schema"]
    if media == "application/json":
        _validator(schema).validate(answer.json)


def test_every_path_is_described_and_no_other() -> None:
    described = {
        (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method in methods
    }
    assert described == {(route.method, route.path) for route in ROUTES}


def test_paths_that_need_no_token_are_those_that_say_so() -> None:
    for route in ROUTES:
        operation = document()["paths"][route.path][route.method.lower()]
        assert (operation.get("security") != []) is isinstance(route, Route)


def test_every_schema_is_one() -> None:
    for schema in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_the_document_is_served_to_everybody(house: House) -> None:
    answer = await house.call("GET", "/v1/openapi.json", who=None)
    assert answer.status == 200
    assert answer.json == document()


GIVEN = {"subject": 1, "purpose": "newsletter", "state": "given"}
SINCE = "since=2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("method", "template", "path", "who", "body", "status"),
    [
        ("POST", "/v1/query", None, "mailer", {"sql": "SELECT id FROM crm.people"}, 200),
        ("POST", "/v1/query", None, "mailer", {"sql": "SELECT 1", "params": None}, 200),
        ("POST", "/v1/query", None, "mailer", {"sql": "SELECT 1; SELECT 2"}, 400),
        ("POST", "/v1/query", None, "mailer", {"sql": "SELECT 1/0"}, 400),
        ("POST", "/v1/query", None, "mailer", {"sql": "SELECT * FROM crm.x"}, 403),
        ("POST", "/v1/query", None, "nobody", {"sql": "SELECT 1"}, 401),
        ("POST", "/v1/query", None, "consent", {"sql": "SELECT 1"}, 403),
        ("POST", "/v1/query", None, "mailer", {"sql": "x" * 70_000}, 413),
        ("POST", "/v1/explain", None, "mailer", {"sql": "SELECT * FROM crm.people"}, 200),
        ("POST", "/v1/explain", None, "chooser", {"sql": "SELECT * FROM crm.people"}, 403),
        ("POST", "/v1/consents", None, "consent", GIVEN, 201),
        ("POST", "/v1/consents", None, "consent", {**GIVEN, "purpose": "x"}, 422),
        ("GET", "/v1/consents/{subject}", "/v1/consents/1", "review", None, 200),
        ("GET", "/v1/consents/{subject}", "/v1/consents/x", "review", None, 422),
        ("GET", "/v1/withdrawals", f"/v1/withdrawals?purpose=newsletter&{SINCE}", "mailer", None,
         200),
        ("GET", "/v1/withdrawals", f"/v1/withdrawals?purpose=x&{SINCE}", "mailer", None, 422),
        ("GET", "/v1/withdrawals", f"/v1/withdrawals?{SINCE}", "mailer", None, 400),
        ("GET", "/metrics", None, "metrics", None, 200),
        ("GET", "/metrics", None, "mailer", None, 403),
        ("GET", "/healthz", None, None, None, 200),
        ("GET", "/readyz", None, None, None, 200),
    ],
)  # fmt: skip
async def test_an_answer_has_the_shape_that_is_described(
    house: House, method: str, template: str, path: str | None, who: str | None, body: Any,
    status: int,
) -> None:  # fmt: skip
    await house.agree(2)
    await house.agree(2, "withdrawn")
    answer = await house.call(method, path or template, who=who, body=body)
    assert answer.status == status, answer.body
    _check(answer, method, template)


async def test_a_proxy_that_is_not_ready_answers_as_described(house: House) -> None:
    house.checks[:] = [("upstream", False, "silent")]
    _check(await house.call("GET", "/readyz", who=None), "GET", "/readyz")


@pytest.mark.parametrize(
    ("name", "body", "is_right"),
    [
        ("Query", {"sql": "SELECT 1", "params": [1, None], "purpose": "newsletter"}, True),
        ("Query", {"sql": 1}, False),
        ("Query", {"sql": "SELECT 1", "more": 1}, False),
        ("Query", {"params": []}, False),
        ("Query", {"sql": "SELECT 1", "params": {}}, False),
        ("Explain", {"sql": "SELECT 1", "purpose": None}, True),
        ("Explain", {"sql": "SELECT 1", "params": []}, False),
        ("ConsentRequest", {**GIVEN, "category": ["user.contact.email"]}, True),
        ("ConsentRequest", {**GIVEN, "state": "perhaps"}, False),
        ("ConsentRequest", {**GIVEN, "subject": 1.5}, False),
        ("ConsentRequest", {**GIVEN, "evidence": "x"}, False),
        ("ConsentRequest", {**GIVEN, "recorded_by": "x"}, False),
    ],
)
async def test_a_body_is_taken_where_its_schema_says_so(
    house: House, name: str, body: Any, is_right: bool
) -> None:
    schema = {"$ref": f"#/components/schemas/{name}"}
    path, who = {
        "Query": ("/v1/query", "mailer"),
        "Explain": ("/v1/explain", "mailer"),
        "ConsentRequest": ("/v1/consents", "consent"),
    }[name]
    if is_right:
        _validator(schema).validate(body)
    else:
        with pytest.raises(jsonschema.ValidationError):
            _validator(schema).validate(body)
    if name == "Query" and is_right:
        body = {**body, "sql": "SELECT $1::int, $2::int"}
    answer = await house.call("POST", path, who=who, body=body)
    assert (answer.status in (200, 201)) is is_right, answer.body
