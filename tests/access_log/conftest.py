"""An asker, a plan, and logs in a folder of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.access_log.log import AccessLog, Durability, LogLimits
from proxy.access_log.record import Asker
from proxy.rewrite.plan import ColumnUse, Kind, Plan, TableUse

OpenLog = Callable[..., AccessLog]


@pytest.fixture
def asker() -> Asker:
    return Asker(
        tool="mailer",
        credential="mailer-1",
        via="postgres",
        client="10.0.0.7:51344",
        application_name="newsletter",
        purpose="email_campaign",
        purpose_from="default",
        policy="ab" * 32,
    )


@pytest.fixture
def plan() -> Plan:
    columns = (
        ColumnUse(name="id", category=None, verdict="shown"),
        ColumnUse(name="email", category="user.contact.email", verdict="guarded", mask="email"),
        ColumnUse(name="phone", category="user.contact.phone", verdict="masked", mask="last4"),
        ColumnUse(name="note", category="user.content", verdict="absent"),
    )
    return Plan(
        kind=Kind.SELECT,
        text="SELECT … FROM (guard) AS customers",
        tables=(TableUse(name="crm.customers", columns=columns),),
        statement="SELECT email FROM crm.customers WHERE id = ?",
        shape="cd" * 32,
    )


@pytest.fixture
async def open_log(tmp_path: Path) -> AsyncIterator[OpenLog]:
    """`open_log(name="worker-0", durability="host", **limits)`; closed at the end of the test."""
    logs: list[AccessLog] = []

    def open_one(
        name: str = "worker-0",
        durability: Durability = "host",
        *,
        folder: Path = tmp_path,
        **limits: float,
    ) -> AccessLog:
        values: dict[str, float] = {"floor_bytes": 0, **limits}
        log = AccessLog.open(folder, name, durability, limits=LogLimits(**values))  # type: ignore[arg-type]  # sizes are whole numbers
        logs.append(log)
        return log

    yield open_one
    for log in logs:
        await log.close()
