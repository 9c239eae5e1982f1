"""The paths: which method, for which roles, answered by what. What is not here is not answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp.web import BaseRequest, StreamResponse

from proxy.gateway import consents, statements, status
from proxy.gateway.answers import json_answer
from proxy.gateway.callers import Caller
from proxy.gateway.openapi import document
from proxy.gateway.problem import Problem
from proxy.gateway.services import Parts
from proxy.secrets import Role

Handler = Callable[[BaseRequest, Caller, Parts], Awaitable[StreamResponse]]
OpenHandler = Callable[[BaseRequest, Parts], StreamResponse]


@dataclass(frozen=True, slots=True)
class Route:
    """A path for whoever has one of the roles."""

    method: str
    path: str
    roles: frozenset[Role]
    handle: Handler


@dataclass(frozen=True, slots=True)
class OpenRoute:
    """A path that needs no token: it tells nothing about anybody."""

    method: str
    path: str
    handle: OpenHandler


async def _metrics(request: BaseRequest, _: Caller, parts: Parts) -> StreamResponse:
    return await status.metrics(parts, request.headers.get("Accept", ""))


ROUTES: Final[tuple[Route | OpenRoute, ...]] = (
    Route("POST", "/v1/query", frozenset({"tool"}), statements.query),
    Route("POST", "/v1/explain", frozenset({"tool"}), statements.explain),
    Route("POST", "/v1/consents", frozenset({"consent"}), consents.record),
    Route("GET", "/v1/consents/{subject}", frozenset({"consent", "review"}), consents.show),
    Route("GET", "/v1/withdrawals", frozenset({"tool", "consent", "review"}), consents.withdrawals),
    Route("GET", "/metrics", frozenset({"metrics"}), _metrics),
    OpenRoute("GET", "/healthz", lambda _request, _parts: status.alive()),
    OpenRoute("GET", "/readyz", lambda _request, parts: status.ready(parts)),
    OpenRoute("GET", "/v1/openapi.json", lambda _request, _parts: json_answer(document())),
)


def find(method: str, raw_path: str) -> Route | OpenRoute:
    """The route of a request. Raises Problem (404, 405)."""
    there = [route for route in ROUTES if _matches(route.path, raw_path)]
    if not there:
        raise Problem(404, "not_found", "there is nothing here", is_last=True)
    wanted = "GET" if method == "HEAD" else method
    for route in there:
        if route.method == wanted:
            return route
    methods = ", ".join(sorted(route.method for route in there))
    raise Problem(
        405,
        "method_not_allowed",
        f"this path is for {methods}",
        headers={"Allow": methods},
        is_last=True,
    )


def _matches(pattern: str, raw_path: str) -> bool:
    """Whether the path, as it was sent, is the pattern's; a parameter is one whole segment."""
    prefix, is_open, _ = pattern.partition("{")
    if not is_open:
        return raw_path == pattern
    rest = raw_path[len(prefix) :]
    return raw_path.startswith(prefix) and bool(rest) and "/" not in rest
