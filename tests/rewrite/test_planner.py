"""The reader process: long statements are planned there, and it may die."""

from __future__ import annotations

import os
import signal

import pytest

import proxy.planner
from proxy.errors import Reason, Refused
from proxy.planner import INLINE_BYTES, Planner
from proxy.rewrite.plan import Plan, PlanContext
from tests.rewrite.conftest import Guarded

LONG = "SELECT id FROM customers WHERE id IN (" + ", ".join(map(str, range(1000))) + ")"
CONTEXT = PlanContext(tool="mailer", purpose="email_campaign", search_path=("crm",))


async def test_a_long_statement_is_planned_as_a_short_one_is(guarded: Guarded) -> None:
    planner = Planner(guarded.enforcer)
    assert len(LONG) > INLINE_BYTES
    assert planner.plan_now(LONG, CONTEXT) is None
    assert await planner.plan(LONG, CONTEXT) == guarded.enforcer.plan(LONG, CONTEXT)
    planner.close()


async def test_a_reader_that_dies_is_a_refusal_and_the_next_statement_has_another(
    guarded: Guarded,
) -> None:
    planner = Planner(guarded.enforcer)
    await planner.plan(LONG, CONTEXT)
    process = planner._worker._process
    assert process is not None
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    (refused,) = await planner.plan(LONG + " -- 2", CONTEXT)
    assert isinstance(refused, Refused)
    (plan,) = await planner.plan(LONG + " -- 3", CONTEXT)
    assert isinstance(plan, Plan)
    planner.close()


async def test_a_reader_that_dies_while_it_starts_is_a_refusal(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = Planner(guarded.enforcer)
    monkeypatch.setattr(proxy.planner, "_serve", os._exit)
    (refused,) = await planner.plan(LONG, CONTEXT)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.STATEMENT_TOO_DEEP
    planner.close()


async def test_a_statement_beyond_the_deadline_is_refused(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = Planner(guarded.enforcer)
    monkeypatch.setattr(proxy.planner, "DEADLINE_S", 0.01)
    (refused,) = await planner.plan(LONG, CONTEXT)
    assert isinstance(refused, Refused)
    planner.close()
