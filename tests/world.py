"""A proxy in front of a database, for tests: real doors on loopback, real files, real roles.

The proxy runs in an event loop of its own, in a thread: tests may use drivers that block.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import asyncpg
import orjson

from proxy.config import Pooling, load_config
from proxy.consent.ledger import Ledger
from proxy.consent.request import ConsentRequest, parse_request
from proxy.consent.schema import init
from proxy.demo.embedded import EmbeddedPostgres
from proxy.policy.load import load_policy
from proxy.secrets import Secrets
from proxy.server import Ready, Server

_T = TypeVar("_T")

# Which kind of pooling the proxies of a run have, unless a test says so itself.
POOLING: Pooling = "transaction" if os.environ.get("TESTS_POOLING") == "transaction" else "session"

# Limits as small as a test needs them; the rest are the defaults.
CONFIG = """
listen: {{postgres: 127.0.0.1:0, http: 127.0.0.1:0}}
upstream: {{url: "{reader}", connections: {connections}, pooling: {pooling}}}
consent: {{url: "{writer}"}}
policy: {policy}
secrets: secrets.yaml
access_log: {{folder: access-log, durability: {durability}}}
limits: {limits}
"""


@dataclass(slots=True)
class World:
    """`with World(...) as world:` — the proxy answers inside the block."""

    postgres: EmbeddedPostgres
    database: str  # its name
    policy: Path
    folder: Path  # for configuration, secrets and the access log
    limits: Mapping[str, object] = field(default_factory=dict)
    durability: str = "process"
    connections: int = 40
    pooling: Pooling = POOLING
    passwords: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _server: Server | None = None
    _ready: Ready | None = None
    _ledger: Ledger | None = None

    # --- life ---

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self.run(self._prepare())
        except BaseException:
            self.loop.call_soon_threadsafe(self.loop.stop)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run(self._finish())
        self.loop.call_soon_threadsafe(self.loop.stop)
        if self._thread is not None:
            self._thread.join()
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the proxy's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=120)

    async def _prepare(self) -> None:
        policy = load_policy(self.policy)
        admin = await asyncpg.connect(self.postgres.url(self.database))
        await init(admin, policy)
        await admin.close()
        self._write_files(list(policy.tools))
        self._server = Server(load_config(self.folder / "consent-proxy.yaml", {}))
        self._ready = await self._server.start()
        writer = self.postgres.url(self.database, "consent_writer")
        self._ledger = await Ledger.connect(writer, None, policy)

    async def _finish(self) -> None:
        if self._ledger is not None:
            await self._ledger.close()
        if self._server is not None:
            await self._server.stop()

    def _write_files(self, tools: Sequence[str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "consent-proxy.yaml").write_text(
            CONFIG.format(
                reader=self.postgres.url(self.database, "consent_reader"),
                writer=self.postgres.url(self.database, "consent_writer"),
                policy=self.policy,
                durability=self.durability,
                connections=self.connections,
                pooling=self.pooling,
                limits=orjson.dumps({"drain_s": 1, **self.limits}).decode(),
            )
        )
        secrets = Secrets.load(self.folder / "secrets.yaml", create=True)
        for name in tools:
            secrets.add(name, "tool")
            self.passwords[name] = f"password of {name}"
            secrets.set_password(name, self.passwords[name])
            self.tokens[name] = secrets.make_token(name)
        for role in ("consent", "review", "metrics"):
            secrets.add(f"{role}-credential", role)
            self.tokens[role] = secrets.make_token(f"{role}-credential")

    # --- where it answers ---

    @property
    def server(self) -> Server:
        assert self._server is not None
        return self._server

    @property
    def address(self) -> tuple[str, int]:
        assert self._ready is not None
        return self._ready.postgres

    @property
    def http(self) -> str:
        assert self._ready is not None
        return "http://{}:{}".format(*self._ready.http)

    @property
    def access_log(self) -> Path:
        return self.folder / "access-log"

    def dsn(self, tool: str, purpose: str | None = None) -> str:
        """A connection URL of a tool; a purpose is chosen by the database's name."""
        host, port = self.address
        name = self.database if purpose is None else f"{self.database}@{purpose}"
        password = quote(self.passwords[tool], safe="")
        return f"postgresql://{quote(tool)}:{password}@{host}:{port}/{quote(name, safe='')}"

    # --- what people say ---

    def record(self, subject: int | str, purpose: str | None, state: str, **more: object) -> None:
        """Record a consent event through the ledger; `purpose` None means all."""
        body = {"subject": subject, "state": state, **more}
        body.update({"all": True} if purpose is None else {"purpose": purpose})
        self.run(self._record(parse_request(body)))

    async def _record(self, request: ConsentRequest) -> None:
        assert self._ledger is not None
        await self._ledger.record(request)
