"""How the proxy itself is: alive, ready, and its metrics."""

from __future__ import annotations

from aiohttp.web import Response
from prometheus_client.exposition import choose_encoder

from proxy.gateway.answers import SECURITY_HEADERS, json_answer
from proxy.gateway.metrics import Together, page
from proxy.gateway.services import Parts


def alive() -> Response:
    """Whoever answers this is alive, whatever else is wrong."""
    return json_answer({"alive": True})


def ready(parts: Parts) -> Response:
    """200 while statements are answered, else 503; what is wrong is in `checks`."""
    checks = parts.readiness()
    is_ready = all(is_so for _, is_so, _ in checks)
    document = {
        "ready": is_ready,
        "checks": [{"name": name, "ok": is_so, "detail": detail} for name, is_so, detail in checks],
    }
    return json_answer(document, status=200 if is_ready else 503)


async def metrics(parts: Parts, accept: str) -> Response:
    """The metrics of all workers as Prometheus reads them."""
    own = own_page(parts)
    encode, content_type = choose_encoder(accept)
    body = encode(Together([own, *await parts.other_pages()]))
    response = Response(body=body, headers=SECURITY_HEADERS)
    response.headers["Content-Type"] = content_type
    return response


def own_page(parts: Parts) -> bytes:
    """This worker's metrics, for those of all; gauges as they are now."""
    known, pool = parts.metrics, parts.pool
    known.ready.set(all(is_so for _, is_so, _ in parts.readiness()))
    known.upstream_connections.labels("leased").set(pool.leased)
    known.upstream_connections.labels("idle").set(pool.idle)
    known.upstream_waiting.set(pool.waiting)
    return page(known.registry)
