"""An HTTP door in front of a database of a test's own, in the test's event loop.

Real PostgreSQL, real files, real connections; the policy and the data are small enough to read.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from yarl import URL

from proxy.access_log.log import AccessLog, LogLimits
from proxy.config import Limits
from proxy.config_url import read_url
from proxy.consent.ledger import Ledger
from proxy.consent.schema import init
from proxy.enforce import Enforcer, StatementLimits
from proxy.gateway.gateway import Gateway
from proxy.gateway.protocol import Deadlines
from proxy.planner import Planner
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.policy.model import Policy
from proxy.secrets import Credential, Secrets
from proxy.session.services import AccessLog as Log
from proxy.session.services import ToolLogin
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits
from proxy.telemetry import Metrics
from proxy.upstream.pool import Pool
from tests.segments import records_of

POLICY = """
policy: house
version: 1
subject: {key: crm.people.id, consent: ledger}
categories:
  user.contact.email: {mask: email}
  user.inferred.mood: {mask: drop}
purposes:
  newsletter: {basis: consent, people: consented, reads: [user.contact.email]}
  statistics: {basis: legitimate_interest, reads: []}
tables:
  crm.people:
    subject: id
    columns: {id: open, name: open, email: user.contact.email, mood: user.inferred.mood}
  crm.things: open
  crm.many: open
tools:
  mailer: {purposes: [newsletter, statistics], default: newsletter}
  chooser: {purposes: [newsletter, statistics]}
  counter: {purposes: [statistics]}
"""

SCRIPT = """
CREATE SCHEMA crm;
CREATE TYPE crm.colour AS ENUM ('red', 'green');
CREATE TABLE crm.people (id bigint PRIMARY KEY, name text, email text, mood text);
INSERT INTO crm.people VALUES
  (1, 'Ana', 'ana@example.com', 'glad'), (2, 'Bo', 'bo@example.com', 'sad'),
  (3, 'Cy', 'cy@example.com', 'glad');
CREATE TABLE crm.things (
  id int, small int2, big int8, exact numeric(12,2), near float8, less float4, yes bool,
  words text, short varchar(20), day date, at timestamptz, local timestamp, raw bytea,
  free json, tree jsonb, numbers int8[], texts text[], instants timestamptz[], nested int[],
  colour crm.colour, span interval, place point, boxes box[]
);
CREATE TABLE crm.many AS
  SELECT i AS id, repeat('x', 100) AS filler FROM generate_series(1, 200000) AS i;
"""


# What the proxy asks for itself, a moment long, is none of them.
_RUNNING = """
 FROM pg_stat_activity WHERE usename = 'consent_reader' AND state = 'active'
  AND datname = current_database() AND backend_type = 'client backend' AND query LIKE '%"many"%'
"""


@dataclass(slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        found = self.json["error"]
        assert set(found) - {"position"} == {"sqlstate", "reason", "message", "hint", "access_id"}
        return dict(found)


@dataclass(slots=True)
class Tokens:
    secrets: Secrets
    policy: Policy

    def credential_of_token(self, token: str) -> Credential | None:
        return self.secrets.credential_of_token(token)

    def tool_of(self, user: str) -> ToolLogin | None:
        credential = self.secrets.credential(user)
        tool = self.policy.tools.get(user)
        if credential is None or tool is None:
            return None
        return ToolLogin(
            name=user,
            credential=credential.id,
            role=credential.role,
            is_disabled=credential.is_disabled,
            purposes=tool.purposes,
            default=tool.default,
            search_path=self.policy.schemas,
        )


@dataclass(slots=True)
class Shared:
    """The services that both doors share."""

    planner: Planner
    access_log: Log
    limits: Limits
    policy_revision: Callable[[], str]


@dataclass(slots=True)
class House:
    """`async with open_house(…) as house` — the door answers inside the block."""

    gateway: Gateway
    port: int
    pool: Pool
    planner: Planner
    access_log: AccessLog
    ledger: Ledger
    folder: Path
    admin: asyncpg.Connection
    metrics: Metrics
    policy: Policy
    enforcer: Callable[[], Enforcer]
    tokens: dict[str, str]
    secrets: Secrets
    client: aiohttp.ClientSession
    checks: list[tuple[str, bool, str]]
    has_ledger: list[bool] = field(default_factory=lambda: [True])

    async def call(
        self,
        method: str,
        path: str,
        *,
        who: str | None = "mailer",
        body: object = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if who is not None:
            sent["Authorization"] = f"Bearer {self.tokens.get(who, who)}"
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        # As it is: how a path is written is part of what is tested.
        url = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)
        async with self.client.request(method, url, data=data, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def query(
        self,
        sql: str,
        *params: object,
        who: str = "mailer",
        accept: str | None = None,
        **more: object,
    ) -> Answer:
        body = {"sql": sql, **more}
        if params:
            body["params"] = list(params)
        headers = {} if accept is None else {"Accept": accept}
        return await self.call("POST", "/v1/query", who=who, body=body, headers=headers)

    async def value(self, sql: str, *params: object, who: str = "counter") -> Any:
        """The only value of a result, as JSON has it."""
        answer = await self.query(sql, *params, who=who)
        assert answer.status == 200, answer.body
        ((value,),) = answer.json["rows"]
        return value

    async def agree(
        self, subject: int, state: str = "given", purpose: str = "newsletter"
    ) -> Answer:
        body = {"subject": subject, "purpose": purpose, "state": state}
        answer = await self.call("POST", "/v1/consents", who="consent", body=body)
        assert answer.status == 201, answer.body
        return answer

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        """The access records on disk, in order."""
        records = records_of(self.folder / "log")
        return [record for record in records if not kinds or record["kind"] in kinds]

    async def running(self) -> int:
        """How many statements of tools about `crm.many` run in the database now."""
        return int(await self.admin.fetchval(f"SELECT count(*) {_RUNNING}"))

    async def terminate(self) -> None:
        """End the database's processes that run them."""
        await self.admin.execute(f"SELECT pg_terminate_backend(pid) {_RUNNING}")

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for a state of the outside world; the test's own timeout ends a vain wait."""
        async with asyncio.timeout(30):
            while True:
                found = condition()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return
                await asyncio.sleep(0.01)


@asynccontextmanager
async def open_house(
    url: str,
    folder: Path,
    *,
    limits: Limits | None = None,
    deadlines: Deadlines | None = None,
    connections: int = 5,
    wait_s: float = 5.0,
    statement_s: float = 300.0,
    access_log: Callable[[AccessLog], Log] = lambda log: log,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[House]:
    (folder / "policy").mkdir()
    (folder / "policy" / "policy.yaml").write_text(POLICY)
    policy = load_policy(folder / "policy")
    admin = await asyncpg.connect(url)
    await admin.execute(SCRIPT)
    await init(admin, policy)
    catalog = await load_catalog(admin, catalog_schemas(policy))
    limits = limits or Limits(statement_bytes=64 * 1024, statement_s=120)

    def enforcer() -> Enforcer:
        return Enforcer(
            policy,
            catalog,
            StatementLimits(
                statement_bytes=limits.statement_bytes,
                statement_nesting=limits.statement_nesting,
            ),
            SettingLimits(),
        )

    planner = Planner(enforcer())
    reader = url.replace("postgres@", "consent_reader@", 1)
    pool = Pool(
        read_url(reader, None, folder),
        connections=connections,
        wait_s=wait_s,
        statement_s=limits.statement_s,
    )
    await pool.start()
    limits_of_log = LogLimits(floor_bytes=0, linger_s=0)  # tests look at once
    log = AccessLog.open(folder / "log", "worker-0", "process", limits=limits_of_log)
    ledger = await Ledger.connect(url.replace("postgres@", "consent_writer@", 1), None, policy)
    secrets, tokens = _secrets(folder, policy)
    checks = [("access_log", True, "open"), ("policy", True, "loaded")]
    has_ledger = [True]
    metrics = Metrics()
    gateway = Gateway(
        Shared(planner, access_log(log), limits, lambda: policy.revision),
        pool,
        tokens=Tokens(secrets, policy),
        ledger=lambda: ledger if has_ledger[0] else None,
        metrics=metrics,
        readiness=lambda: checks,
        statement_s=statement_s,
        deadlines=deadlines,
    )
    port = await gateway.start("127.0.0.1", 0, ssl_context)
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as client:
            yield House(
                gateway=gateway,
                port=port,
                pool=pool,
                planner=planner,
                access_log=log,
                ledger=ledger,
                folder=folder,
                admin=admin,
                metrics=metrics,
                policy=policy,
                enforcer=enforcer,
                tokens=tokens,
                secrets=secrets,
                client=client,
                checks=checks,
                has_ledger=has_ledger,
            )
    finally:
        await gateway.drain(1)
        await gateway.close()
        await pool.close()
        await ledger.close()
        planner.close()
        await log.close()
        await admin.close()


def _secrets(folder: Path, policy: Policy) -> tuple[Secrets, dict[str, str]]:
    secrets = Secrets.load(folder / "secrets.yaml", create=True)
    tokens = {}
    for name in policy.tools:
        secrets.add(name, "tool")
        tokens[name] = secrets.make_token(name)
    for role in ("consent", "review", "metrics"):
        secrets.add(f"the-{role}", role)
        tokens[role] = secrets.make_token(f"the-{role}")
    return secrets, tokens
