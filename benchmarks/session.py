"""`python -m benchmarks.session`: what our own code costs for a statement whose plan is known.

One session between two ends that are not there: no system call of a socket, no event loop, the
access log as it is (durability `process`, written between the rounds). CPU time, the best of
several rounds: what is left is our code, compiled or not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from benchmarks.access_log import PLAN
from proxy.access_log.log import AccessLog
from proxy.rewrite.lift import split
from proxy.rewrite.plan import Plan, PlanContext
from proxy.session import client
from proxy.session.client import ClientSession, _Phase
from proxy.session.known import Known
from proxy.session.login import LoggedIn
from proxy.session.services import ToolLogin
from proxy.session.settings import Context
from proxy.session.steady import SWITCH
from proxy.upstream.connection import UpstreamConnection
from proxy.wire import messages as m

ROUNDS: Final = 12
STATEMENTS: Final = 300
TEXT: Final = b"SELECT id, full_name, email FROM crm.customers WHERE id = "
_NAME: Final = b"P_0"

# Simple, extended and prepared, as pgbench sends them.
_RUN: Final = m.describe(b"P", b"") + m.execute(b"") + m.SYNC_MESSAGE
REQUESTS: Final = {
    "simple": m.query(TEXT + b"4711"),
    "extended": m.parse(b"", TEXT + b"$1") + m.bind(b"", b"", (b"4711",)) + _RUN,
    "prepared": m.bind(b"", _NAME, (b"4711",)) + _RUN,
}
_ROWS: Final = (
    m.message(m.ROW_DESCRIPTION, b"\0\3" + (b"full_name\0" + bytes(18)) * 3)
    + m.message(m.DATA_ROW, b"\0\3" + b"\0\0\0\4abcd" * 3)
    + m.command_complete("SELECT 1")
    + m.ready(m.IDLE)
)
_PARSED: Final = m.message(m.PARSE_COMPLETE)
_BOUND: Final = m.message(m.BIND_COMPLETE)
REPLIES: Final = {
    "simple": _ROWS,
    "extended": _BOUND + _ROWS,
    "prepared": _BOUND + _ROWS,
}


class Nothing:
    """A transport that takes everything and goes nowhere."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, **_: int) -> None: ...

    def is_closing(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return True

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("127.0.0.1", 51344)


class Recent(Nothing):
    """One that knows what it took last."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: bytes) -> None:
        self.taken = data


class KnownPlans:
    """Knows every text: plans cost what looking them up costs."""

    revision = "1"

    def __init__(self) -> None:
        self._known: dict[tuple[str, PlanContext], tuple[Plan]] = {}

    def plan_now(self, text: str, context: PlanContext) -> tuple[Plan]:
        plans = self._known.get((text, context))
        if plans is None:
            plan = dataclasses.replace(PLAN, text=f"SELECT {'x' * 900}", revision=self.revision)
            plans = self._known[text, context] = (plan,)
        return plans

    def template(self, text: str, context: PlanContext) -> None:  # noqa: ARG002 - one text
        return None


async def measure() -> dict[str, float]:
    """CPU µs per statement, by mode."""
    with tempfile.TemporaryDirectory() as folder:
        log = AccessLog.open(Path(folder), "worker-0", "process")
        to_upstream = Recent()
        session = await _session(log, to_upstream)
        found = {mode: await _cost(session, to_upstream, mode) for mode in REQUESTS}
        await log.close()
    return found


async def _cost(session: ClientSession, to_upstream: Recent, mode: str) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(STATEMENTS):
            session.data_received(REQUESTS[mode])
            # A Parse that stays prepared is not sent again.
            is_parsed = to_upstream.taken[0] == m.PARSE
            session.upstream_received(_PARSED + REPLIES[mode] if is_parsed else REPLIES[mode])
        best = min(best, time.process_time() - began)
        await asyncio.sleep(0.02)  # the records of the round are written
        if session.is_busy or session._phase is not _Phase.OPEN:  # noqa: SLF001 - see _session
            raise SystemExit("a statement was not answered")
    return best / STATEMENTS * 1e6


async def _session(log: AccessLog, to_upstream: Recent) -> ClientSession:
    upstream = UpstreamConnection(cast(Any, None))
    upstream.connection_made(cast(Any, to_upstream))

    def acquire(_: object = None) -> UpstreamConnection:
        return upstream

    def ignore(*_: Any, **__: Any) -> None: ...

    services = SimpleNamespace(
        access_log=log,
        policy_revision=lambda: "ab" * 32,
        limits=SimpleNamespace(snapshot_s=60.0, statement_bytes=1 << 20),
        planner=KnownPlans(),
        epoch=None,
        counts=None,
    )
    pool = SimpleNamespace(
        parameters={},
        pooling="session",
        reuses_statements=True,
        acquire_now=acquire,
        release=ignore,
        give_back=ignore,
    )
    door = SimpleNamespace(
        known=Known(), services=services, pool=pool, logged_in=ignore, opened=ignore, closed=ignore
    )
    session = ClientSession(cast(Any, door))
    session.connection_made(cast(Any, Nothing()))
    login = ToolLogin(
        name="mailer", credential="mailer-1", role="tool", is_disabled=False,
        purposes=("service_reminder",), default="service_reminder",
    )  # fmt: skip
    session._open(  # noqa: SLF001 - the end of a login, which is not what is measured
        b"",
        LoggedIn(
            login=login,
            context=Context(purpose="service_reminder", search_path=("crm",)),
            purpose_from="default",
            settings={},
            application_name="pgbench",
            minor=0,
        ),
    )
    session.data_received(m.parse(_NAME, TEXT + b"$1") + m.SYNC_MESSAGE)
    for _ in range(5):
        await asyncio.sleep(0)  # the upstream is leased
    session.upstream_received(m.command_complete("SELECT 1") + m.ready(m.IDLE))  # its setting up
    session.upstream_received(_PARSED + m.ready(m.IDLE))
    return session


def lifting() -> float:
    """CPU µs of finding the literals of a statement."""
    text = (TEXT + b"4711").decode()
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(STATEMENTS):
            split(text)
        best = min(best, time.process_time() - began)
    return best / STATEMENTS * 1e6


def main() -> None:
    is_compiled = not str(client.__file__).endswith(".py")
    print(f"CPU µs per statement, {'compiled' if is_compiled else 'plain Python'}")
    for SWITCH.is_on, way in ((True, "known as a whole"), (False, "message by message")):
        for mode, cost in asyncio.run(measure()).items():
            print(f"{mode:>10} {cost:6.1f}  {way}")
    print(f"{'literals':>10} {lifting():6.1f}")


if __name__ == "__main__":
    main()
