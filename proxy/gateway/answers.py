"""Answers that fit into memory, and the headers that every answer has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson
from aiohttp.web import Response

from proxy.gateway.problem import Problem

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Server": "consent-proxy",  # which version is nobody's business
    "X-Content-Type-Options": "nosniff",
    # What a person agreed to may change before a cache forgets.
    "Cache-Control": "no-store",
}


def json_answer(document: object, *, status: int = 200, access_id: str | None = None) -> Response:
    response = Response(
        status=status,
        body=orjson.dumps(document),
        content_type="application/json",
        headers=SECURITY_HEADERS,
    )
    if access_id is not None:
        response.headers["Access-Id"] = access_id
    return response


def problem_answer(problem: Problem) -> Response:
    response = json_answer(problem.body(), status=problem.status, access_id=problem.access_id)
    response.headers.update(problem.headers)
    if problem.is_last:
        response.force_close()
    return response
