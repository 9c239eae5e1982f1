"""Reading requests: body, JSON, query parameters, and what the client can take.

Whatever is not exactly what a handler expects is a Problem: a request that is understood in part
is not understood.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import orjson
from aiohttp.web import BaseRequest

from proxy.gateway.problem import Problem

# A body that comes more slowly is not meant to come (slow-loris).
BODY_TIMEOUT_S: Final = 10.0
# Parameters and JSON's own characters, beside the statement itself.
BODY_BYTES_MAX: Final = 1 << 20

# Deeper than any parameter or event; orjson itself reads 1,024 levels.
JsonObject = dict[str, object]


def client_address(request: BaseRequest) -> str:
    """The peer as records name it. Headers that claim another one are not believed."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not isinstance(peer, tuple):
        return "local"
    host, port = peer[0], peer[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def read_json(request: BaseRequest, bytes_max: int) -> JsonObject:
    """The body: one JSON object."""
    if request.content_type != "application/json":
        raise Problem(
            415,
            "unsupported_media_type",
            "the body must be JSON",
            hint="Content-Type: application/json",
            is_last=True,
        )
    if "Content-Encoding" in request.headers:
        # A few kilobytes could unpack to gigabytes; statements are short enough as they are.
        raise Problem(
            415, "unsupported_media_type", "compressed bodies are not taken", is_last=True
        )
    body = await _read_body(request, bytes_max)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"the body is not JSON: {error.msg}") from None
    if not isinstance(document, dict):
        raise _invalid("the body must be a JSON object")
    return document


async def _read_body(request: BaseRequest, bytes_max: int) -> bytes:
    too_large = Problem(
        413, "request_too_large", f"the body has more than {bytes_max} bytes", is_last=True
    )
    if (request.content_length or 0) > bytes_max:
        raise too_large
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # that was no answer yet
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > bytes_max:
                    raise too_large
    except TimeoutError:
        raise Problem(
            408, "request_too_slow", "the body did not come in time", is_last=True
        ) from None
    return b"".join(parts)


def known_keys(document: Mapping[str, object], keys: Sequence[str]) -> None:
    unknown = sorted(set(document) - set(keys))
    if unknown:
        known = ", ".join(keys)
        raise _invalid(f"unknown key `{unknown[0][:40]}`; known are {known}")


def text_of(document: Mapping[str, object], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise _invalid(f"`{key}` must be a string")
    if "\0" in value:
        raise _invalid(f"`{key}` must not hold a NUL character")
    return value


def optional_text(document: Mapping[str, object], key: str) -> str | None:
    return None if document.get(key) is None else text_of(document, key)


def query_parameters(request: BaseRequest, names: Sequence[str]) -> dict[str, str]:
    """The query string's parameters: each of `names` at most once, and no other."""
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in names:
            known = ", ".join(names) or "none"
            raise _invalid(f"unknown query parameter `{name[:40]}`; known are {known}")
        if name in found:
            raise _invalid(f"query parameter `{name}` is given twice")
        found[name] = value
    return found


def header_once(request: BaseRequest, name: str) -> str | None:
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise _invalid(f"header {name} is given twice")
    return values[0] if values else None


def accepted(request: BaseRequest, offered: Sequence[str]) -> str:
    """The offered media type that the client likes best; the first where it does not care."""
    ranges = [part.strip() for part in ",".join(request.headers.getall("Accept", [])).split(",")]
    wanted = [_media_range(part) for part in ranges if part]
    if not wanted:
        return offered[0]
    liking = {media: _quality(media, wanted) for media in offered}
    best = max(offered, key=lambda media: liking[media])  # the first of those liked alike
    if liking[best] <= 0:
        raise Problem(
            406, "not_acceptable", f"the answer can be {', '.join(offered)}", is_last=True
        )
    return best


def _media_range(text: str) -> tuple[str, float]:
    media, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                quality = 0.0
    return media, quality


def _quality(media: str, wanted: Sequence[tuple[str, float]]) -> float:
    """The most exact range decides (RFC 9110, 12.5.1)."""
    for pattern in (media, f"{media.partition('/')[0]}/*", "*/*"):
        for name, quality in wanted:
            if name == pattern:
                return quality
    return 0.0


def _invalid(message: str) -> Problem:
    return Problem(400, "invalid_request", message)
