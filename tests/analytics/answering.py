"""Answer the statements: directly, under a policy that opens everything, and under the dealer's.

All as the role that the proxy uses upstream, on one connection; what a statement says of the time
is the same, because its answers are given in one transaction.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg
import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from proxy.consent.schema import READER, init
from proxy.demo.database import build_consents, build_database
from proxy.demo.embedded import EmbeddedPostgres
from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.policy.model import Policy
from proxy.rewrite.plan import Kind, PlanContext
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits
from tests.analytics.statements import Statement, load

HERE: Final = Path(__file__).parent
DEALERSHIP: Final = HERE.parents[1] / "policies" / "dealership"
CUSTOMERS: Final = 200
# Every tool of the dealer's policy with each of its purposes.
ASKERS: Final = (
    ("mailer", "email_campaign"),
    ("mailer", "service_reminder"),
    ("site", "personalisation"),
    ("dashboard", "measurement"),
)
_TIMEOUT: Final = "60s"
MakeDatabase = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What PostgreSQL answers: columns as (name, type, modifier), rows as text, or an error."""

    sqlstate: str | None = None
    message: str = ""
    columns: tuple[tuple[bytes, int, int], ...] = ()
    rows: tuple[tuple[bytes | None, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one statement."""

    statement: Statement
    direct: Answer
    opened: Answer | Refused
    masked: dict[tuple[str, str], Answer | Refused]


@dataclass(slots=True)
class House:
    """A database with a ledger, and an enforcer of its policy."""

    enforcer: Enforcer
    url: str
    _connection: psycopg.Connection | None = field(default=None, init=False)

    @property
    def upstream(self) -> PGconn:
        if self._connection is None:
            path = ",".join(self.enforcer.policy.schemas)
            self._connection = psycopg.connect(
                self.url,
                autocommit=True,
                options=f"-c search_path={path} -c statement_timeout={_TIMEOUT} -c TimeZone=UTC",
            )
        return self._connection.pgconn

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def answer(self, text: str, tool: str, purpose: str) -> Answer | Refused:
        """What a tool gets for the statement, inside a savepoint."""
        context = PlanContext(tool=tool, purpose=purpose, search_path=self.enforcer.policy.schemas)
        (plan,) = self.enforcer.plan(text, context)
        if isinstance(plan, Refused):
            return plan
        assert plan.kind is Kind.SELECT, plan.kind
        return self.direct(plan.text)

    def direct(self, text: str) -> Answer:
        """PostgreSQL's own answer, inside a savepoint."""
        self.upstream.exec_(b"SAVEPOINT here")
        answer = _answer(self.upstream.exec_(text.encode()))
        self.upstream.exec_(b"ROLLBACK TO SAVEPOINT here")
        return answer

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.upstream.exec_(b"BEGIN")
        yield
        self.upstream.exec_(b"ROLLBACK")


def _answer(result: PGresult) -> Answer:
    if result.status != ExecStatus.TUPLES_OK:
        return Answer(
            sqlstate=(result.error_field(ord("C")) or b"").decode(),
            message=(result.error_field(ord("M")) or b"").decode(),
        )
    columns = range(result.nfields)
    return Answer(
        columns=tuple(
            (result.fname(each) or b"", result.ftype(each), result.fmod(each)) for each in columns
        ),
        rows=tuple(
            tuple(result.get_value(row, each) for each in columns) for row in range(result.ntuples)
        ),
    )


def answer_all(
    postgres: EmbeddedPostgres, make_database: MakeDatabase, folder: Path
) -> list[Outcome]:
    """What becomes of every statement. `folder` takes the dealer's policy with more tables."""
    for path in (*DEALERSHIP.glob("*.yaml"), *(HERE / "policy" / "more").glob("*.yaml")):
        if not path.name.endswith(".test.yaml"):
            shutil.copy(path, folder)
    url = make_database()
    asyncio.run(_build(url))
    dealer_url = make_database(_name(url))
    opened = asyncio.run(_house(postgres, url, HERE / "policy" / "open", has_consents=False))
    dealer = asyncio.run(_house(postgres, dealer_url, folder, has_consents=True))
    try:
        return [_outcome(each, opened, dealer) for each in load()]
    finally:
        opened.close()
        dealer.close()


def _outcome(statement: Statement, opened: House, dealer: House) -> Outcome:
    with opened.transaction():
        direct = opened.direct(statement.text)
        answer = opened.answer(statement.text, "tool", "everything")
    with dealer.transaction():
        masked = {asker: dealer.answer(statement.text, *asker) for asker in ASKERS}
    return Outcome(statement=statement, direct=direct, opened=answer, masked=masked)


async def _build(url: str) -> None:
    await build_database(url, CUSTOMERS)
    admin = await asyncpg.connect(url)
    await admin.execute((HERE / "database.sql").read_text(encoding="utf-8"))
    await admin.close()


async def _house(
    postgres: EmbeddedPostgres, url: str, policy_folder: Path, *, has_consents: bool
) -> House:
    policy = load_policy(policy_folder)
    admin = await asyncpg.connect(url)
    await init(admin, policy)
    if has_consents:
        await build_consents(url)
    enforcer = await _enforcer(admin, policy)
    await admin.close()
    return House(enforcer, postgres.url(_name(url), READER))


async def _enforcer(admin: asyncpg.Connection, policy: Policy) -> Enforcer:
    return Enforcer(
        policy,
        await load_catalog(admin, catalog_schemas(policy)),
        StatementLimits(statement_bytes=1 << 20, statement_nesting=100),
        SettingLimits(),
    )


def _name(url: str) -> str:
    return url.split("@/", 1)[1].split("?", 1)[0]
