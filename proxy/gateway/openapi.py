"""`/v1/openapi.json`: the paths, what they take and what they answer (OpenAPI 3.1).

Written by hand and held against the routes and their answers by tests/gateway/test_openapi.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

Json = dict[str, Any]

_INSTANT: Final[Json] = {"type": "string", "format": "date-time"}
_TEXT: Final[Json] = {"type": "string"}


def _or_null(schema: Mapping[str, Any]) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: Json, *, optional: tuple[str, ...] = ()) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_SUBJECT: Final[Json] = {"type": ["string", "integer"]}

_SCHEMAS: Final[Json] = {
    "Error": _object(
        {
            "error": _object(
                {
                    "sqlstate": {"type": ["string", "null"], "pattern": "^[0-9A-Z]{5}$"},
                    "reason": _TEXT,
                    "message": _TEXT,
                    "hint": {"type": ["string", "null"]},
                    "access_id": {"type": ["string", "null"], "format": "uuid"},
                    "position": {"type": "integer", "minimum": 1},
                },
                optional=("position",),
            )
        }
    ),
    "Query": _object(
        {
            "sql": {**_TEXT, "description": "One SELECT, SHOW or EXPLAIN statement."},
            "params": {
                "type": ["array", "null"],
                "description": "One value for each of $1, $2 …",
            },
            "purpose": {
                "type": ["string", "null"],
                "description": "One of the tool's purposes; absent: its default.",
            },
        },
        optional=("params", "purpose"),
    ),
    "Column": _object({"name": _TEXT, "type": _TEXT}),
    "Result": _object(
        {
            "columns": _list(_ref("Column")),
            "rows": _list({"type": "array"}),
            "access_id": {"type": ["string", "null"], "format": "uuid"},
        }
    ),
    "Explain": _object(
        {"sql": _TEXT, "purpose": {"type": ["string", "null"]}}, optional=("purpose",)
    ),
    "Explained": _object(
        {
            "kind": _TEXT,
            "purpose": {"type": ["string", "null"]},
            "parameters": {"type": "integer"},
            "tables": _list(
                _object(
                    {
                        "name": _TEXT,
                        "columns": _list(
                            _object(
                                {
                                    "name": _TEXT,
                                    "category": {"type": ["string", "null"]},
                                    "verdict": {"enum": ["shown", "masked", "guarded", "absent"]},
                                    "mask": {"type": ["string", "null"]},
                                }
                            )
                        ),
                    }
                )
            ),
        }
    ),
    "ConsentRequest": {
        **_object(
            {
                "subject": _SUBJECT,
                "purpose": _TEXT,
                "all": {"type": "boolean"},
                "category": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
                "state": {"enum": ["given", "refused", "withdrawn", "objected", "restricted"]},
                "at": _INSTANT,
                "until": _INSTANT,
                "source": _TEXT,
                "notice": _TEXT,
                "evidence": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
            },
            optional=(
                "purpose",
                "all",
                "category",
                "at",
                "until",
                "source",
                "notice",
                "evidence",
            ),
        ),
        "description": 'Either `purpose` or `"all": true`.',
    },
    "Recorded": _object({"event": {"type": "integer"}, "recorded_at": _INSTANT}),
    "Consents": _object(
        {
            "subject": _SUBJECT,
            "as_of": _INSTANT,
            "known_at": _INSTANT,
            "purposes": _list(
                _object(
                    {
                        "purpose": _TEXT,
                        "basis": _TEXT,
                        "in_force": {"type": "boolean"},
                        "until": _or_null(_INSTANT),
                        "event": {"type": ["integer", "null"]},
                        "categories": _list(
                            _object(
                                {
                                    "category": _TEXT,
                                    "in_force": {"type": "boolean"},
                                    "until": _or_null(_INSTANT),
                                    "event": {"type": ["integer", "null"]},
                                }
                            )
                        ),
                    }
                )
            ),
            "events": _list(
                _object(
                    {
                        "event": {"type": "integer"},
                        "purpose": {"type": ["string", "null"]},
                        "all": {"type": "boolean"},
                        "category": _list(_TEXT),
                        "state": _TEXT,
                        "at": _INSTANT,
                        "until": _or_null(_INSTANT),
                        "source": {"type": ["string", "null"]},
                        "notice": {"type": ["string", "null"]},
                        "evidence": {"type": ["string", "null"]},
                        "recorded_by": {"type": ["string", "null"]},
                        "recorded_at": _INSTANT,
                    }
                )
            ),
        }
    ),
    "Withdrawals": _object(
        {
            "purpose": _TEXT,
            "since": _INSTANT,
            "withdrawals": _list(
                _object(
                    {
                        "subject": _SUBJECT,
                        "category": _list(_TEXT),
                        "cause": _TEXT,
                        "at": _INSTANT,
                        "recorded_at": _or_null(_INSTANT),
                    }
                )
            ),
        }
    ),
    "Alive": _object({"alive": {"const": True}}),
    "Ready": _object(
        {
            "ready": {"type": "boolean"},
            "checks": _list(_object({"name": _TEXT, "ok": {"type": "boolean"}, "detail": _TEXT})),
        }
    ),
}

_ACCESS_ID: Final[Json] = {
    "Access-Id": {
        "description": "Id of the access record, where the answer has one.",
        "schema": {"type": "string", "format": "uuid"},
    }
}


def _json(name: str) -> Json:
    return {"application/json": {"schema": _ref(name)}}


def _answer(text: str, content: Json) -> Json:
    return {"description": text, "headers": _ACCESS_ID, "content": content}


def _errors(*statuses: int) -> Json:
    return {
        str(status): {"$ref": "#/components/responses/Error"}
        for status in (400, 401, 403, *statuses)
    }


def _body(name: str) -> Json:
    return {"required": True, "content": _json(name)}


def _in_query(name: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": "query", "required": required, "schema": schema}


_STATEMENT_ERRORS: Final = (406, 408, 409, 413, 415, 500, 503, 504)

_PATHS: Final[Json] = {
    "/v1/query": {
        "post": {
            "summary": "Run a statement (role tool)",
            "requestBody": _body("Query"),
            "responses": {
                "200": _answer(
                    "The rows, in the form that Accept asks for.",
                    {
                        **_json("Result"),
                        "application/x-ndjson": {"schema": _TEXT},
                        "text/csv": {"schema": _TEXT},
                    },
                ),
                **_errors(*_STATEMENT_ERRORS, 505),
            },
        }
    },
    "/v1/explain": {
        "post": {
            "summary": "What a statement would see; it is not run (role tool)",
            "requestBody": _body("Explain"),
            "responses": {
                "200": _answer("Relations and columns.", _json("Explained")),
                **_errors(408, 413, 415, 500, 503),
            },
        }
    },
    "/v1/consents": {
        "post": {
            "summary": "Record what a person said (role consent)",
            "parameters": [
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "schema": {"type": "string", "maxLength": 255},
                }
            ],
            "requestBody": _body("ConsentRequest"),
            "responses": {
                "201": _answer("Recorded, committed and in force.", _json("Recorded")),
                "200": _answer("It was recorded before, under this key.", _json("Recorded")),
                **_errors(408, 409, 413, 415, 422, 500, 503),
            },
        }
    },
    "/v1/consents/{subject}": {
        "get": {
            "summary": "What is, or was, in force for a person (roles consent, review)",
            "parameters": [
                {"name": "subject", "in": "path", "required": True, "schema": _TEXT},
                _in_query("as_of", _INSTANT),
                _in_query("known_at", _INSTANT),
            ],
            "responses": {
                "200": _answer("Purposes, and the events behind them.", _json("Consents")),
                **_errors(422, 500, 503),
            },
        }
    },
    "/v1/withdrawals": {
        "get": {
            "summary": "Who must leave a list (role tool for its purposes; consent, review)",
            "parameters": [
                _in_query("purpose", _TEXT, required=True),
                _in_query("since", _INSTANT, required=True),
            ],
            "responses": {
                "200": _answer("People, by key.", _json("Withdrawals")),
                **_errors(422, 500, 503),
            },
        }
    },
    "/metrics": {
        "get": {
            "summary": "Metrics for Prometheus (role metrics)",
            "responses": {
                "200": _answer("Text format.", {"text/plain": {"schema": _TEXT}}),
                **_errors(500),
            },
        }
    },
    "/healthz": {
        "get": {
            "summary": "Alive",
            "security": [],
            "responses": {"200": _answer("Alive.", _json("Alive"))},
        }
    },
    "/readyz": {
        "get": {
            "summary": "Ready to answer statements",
            "security": [],
            "responses": {
                "200": _answer("Ready.", _json("Ready")),
                "503": _answer("Not ready, and why.", _json("Ready")),
            },
        }
    },
    "/v1/openapi.json": {
        "get": {
            "summary": "This document",
            "security": [],
            "responses": {"200": _answer("OpenAPI 3.1.", {"application/json": {"schema": {}}})},
        }
    },
}


@cache
def document() -> Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "consent-proxy",
            "version": "1",
            "description": "Each tool sees what each person agreed to; every access is recorded.",
        },
        "paths": _PATHS,
        "components": {
            "schemas": _SCHEMAS,
            "responses": {"Error": {"description": "Not answered.", "content": _json("Error")}},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }
