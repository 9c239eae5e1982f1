"""The reader processes: what costs much is planned there, and they may die."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
from dataclasses import replace
from itertools import pairwise

import pytest

import proxy.planner
import proxy.rehearsal
import proxy.rewrite.store
from proxy.enforce import Enforcer
from proxy.errors import Reason, Refused
from proxy.planner import INLINE_CHARACTERS, Planner, Plans, Reader
from proxy.policy.model import RelationName
from proxy.rewrite.plan import Plan, PlanContext
from tests.rewrite.conftest import Guarded

LONG = "SELECT id FROM customers WHERE id IN (" + ", ".join(map(str, range(1000))) + ")"
# Short, and each more than the event loop may spend on one.
COSTLY = {
    "guards that are long together": "SELECT 1 FROM "
    + ", ".join(f"customers c{i}" for i in range(20))
    + " WHERE "
    + " AND ".join(f"c{i}.email LIKE 'a'" for i in range(20)),
    "conditions on a masked column": "SELECT 1 FROM customers WHERE "
    + " AND ".join(["email = 'a'"] * 40),
    "whole rows": "SELECT * FROM " + ", ".join(f"web.page_views p{i}" for i in range(60)),
    "many tokens": "SELECT 1" + "+1" * 400,
    "many statements": ";".join(["SELECT 1"] * 60),
    "relations of the catalog": "SELECT 1 FROM "
    + ", ".join(f"pg_class a{i}, pg_attribute b{i}, pg_type c{i}" for i in range(17)),
    "inside another statement": "PREPARE p AS SELECT 1" + ", id" * 300 + " FROM customers",
}
CONTEXT = PlanContext(tool="mailer", purpose="email_campaign", search_path=("crm",))


async def test_a_long_statement_is_planned_as_a_short_one_is(guarded: Guarded) -> None:
    planner = Planner(guarded.enforcer)
    assert len(LONG) > INLINE_CHARACTERS
    assert planner.plan_now(LONG, CONTEXT) is None
    assert await planner.plan(LONG, CONTEXT) == guarded.enforcer.plan(LONG, CONTEXT)
    planner.close()


async def test_a_reader_that_dies_is_a_refusal_and_the_next_statement_has_another(
    guarded: Guarded,
) -> None:
    planner = Planner(guarded.enforcer)
    await planner.plan(LONG, CONTEXT)
    process = next(filter(None, (reader._process for reader in planner._readers)))
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


@pytest.mark.parametrize("name", COSTLY)
async def test_what_costs_much_is_not_planned_in_the_loop_however_short(
    guarded: Guarded, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = COSTLY[name]
    assert len(text) <= INLINE_CHARACTERS
    expected = _said(guarded.enforcer.plan(text, CONTEXT))  # which makes its guards
    planner = Planner(guarded.enforcer)
    begun = []
    plan = Enforcer.plan

    def begin(self: Enforcer, *arguments: object) -> Plans:
        begun.append(arguments)
        return plan(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Enforcer, "plan", begin)
    assert planner.plan_now(text, CONTEXT) is None
    plans = await planner.plan(text, CONTEXT)
    assert len(begun) <= 1  # and it is not begun again
    assert _said(plans) == expected
    assert planner.plan_now(text, CONTEXT) == plans
    planner.close()


def _said(plans: Plans) -> list[object]:
    return [plan.reason if isinstance(plan, Refused) else plan for plan in plans]


async def test_an_ordinary_statement_is_planned_in_the_loop_though_its_guards_are_not_made_yet(
    guarded: Guarded,
) -> None:
    enforcer: Enforcer = pickle.loads(pickle.dumps(guarded.enforcer))
    planner = Planner(enforcer)
    text = (
        "SELECT c.id, c.full_name, c.email, v.model, count(*) FROM crm.customers c"
        " JOIN crm.vehicles v ON v.customer_id = c.id WHERE c.email = 'a' GROUP BY 1, 2, 3, 4"
    )
    plans = await planner.plan(text, CONTEXT)
    assert plans == guarded.enforcer.plan(text, CONTEXT)
    assert isinstance(plans[0], Plan)
    assert not any(reader._process for reader in planner._readers)
    planner.close()


async def test_guards_that_a_statement_is_the_first_to_need_are_made_in_several_steps(
    guarded: Guarded,
) -> None:
    enforcer: Enforcer = pickle.loads(pickle.dumps(guarded.enforcer))
    planner = Planner(enforcer)
    relations = ("crm.customers", "crm.vehicles", "crm.service_visits", "sales.orders", "pg_class")
    text = "SELECT 1 FROM " + " NATURAL JOIN ".join(relations)
    made = [0]
    while planner.plan_now(text, CONTEXT) is None:
        made.append(len(enforcer.guards.made()))
    assert made == sorted(set(made))  # each attempt makes one at least
    assert len(made) > 2
    assert planner.plan_now(text, CONTEXT) == guarded.enforcer.plan(text, CONTEXT)
    planner.close()


async def test_after_a_reload_a_statement_finds_the_guards_that_were_in_use(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = Planner(guarded.enforcer)
    texts = (
        "SELECT c.email, o.total FROM customers c JOIN sales.orders o ON o.customer_id = c.id",
        "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = 'customers'::regclass",
    )
    before = [await planner.plan(text, CONTEXT) for text in texts]
    enforcer: Enforcer = pickle.loads(pickle.dumps(guarded.enforcer))
    enforcer.set_up()
    await planner.prepare(enforcer)
    planner.replace(enforcer)
    for made in ("build_guard", "catalog_guard", "visible_catalog"):
        monkeypatch.delattr(proxy.rewrite.store, made)
    assert [planner.plan_now(text, CONTEXT) for text in texts] == before
    planner.close()


async def test_guards_of_what_a_new_policy_does_not_have_are_not_made_again(
    guarded: Guarded,
) -> None:
    planner = Planner(guarded.enforcer)
    await planner.plan("SELECT c.email FROM crm.customers c, sales.orders o", CONTEXT)
    policy = guarded.enforcer.policy
    customers = RelationName("crm", "customers")
    less = replace(policy, relations={customers: policy.relations[customers]})
    state = guarded.enforcer.__getstate__()
    enforcer = Enforcer(less, *state[1:])
    await planner.prepare(enforcer)
    assert {relation for _, _, relation, _ in enforcer.guards.made()} <= {
        customers,
        *enforcer.catalog.system_relations,
    }
    assert customers in {relation for _, _, relation, _ in enforcer.guards.made()}
    renamed = replace(policy, purposes={"other": policy.purposes["email_campaign"]})
    enforcer = Enforcer(renamed, *state[1:])
    await planner.prepare(enforcer)
    assert not enforcer.guards.made()
    planner.close()


def test_what_is_rehearsed_is_planned(guarded: Guarded) -> None:
    rehearsed = list(proxy.rehearsal.rehearsed(guarded.enforcer.policy))
    assert rehearsed
    for text, context in rehearsed:
        (plan,) = guarded.enforcer.plan(text, context)
        assert isinstance(plan, Plan), text


async def test_a_template_is_not_made_before_the_plan_is_used(guarded: Guarded) -> None:
    planner = Planner(guarded.enforcer)
    texts = [f"SELECT id FROM customers WHERE id = {number}" for number in range(4)]
    for text in texts[:3]:
        planner.plan_now(text, CONTEXT)
    assert planner.template(texts[0], CONTEXT) is None
    while planner.template(texts[0], CONTEXT) is None:  # noqa: ASYNC110 - a callback makes it
        await asyncio.sleep(0)
    assert planner.plan_now(texts[3], CONTEXT) == guarded.enforcer.plan(texts[3], CONTEXT)
    assert (planner.lifted, planner.misses) == (1, 3)
    planner.close()


def test_no_template_is_made_of_a_plan_that_takes_long_to_cut(guarded: Guarded) -> None:
    planner = Planner(guarded.enforcer)
    for relations, is_shared in ((2, True), (10, False)):
        items = ", ".join(f"web.page_views p{i}" for i in range(relations))
        texts = [f"SELECT * FROM {items} WHERE p0.id = {number}" for number in range(2)]
        plans = [guarded.enforcer.plan(text, CONTEXT) for text in texts]
        assert [planner.plan_now(text, CONTEXT) for text in texts] == plans
        assert (planner.template(texts[0], CONTEXT) is not None) is is_shared
    planner.close()


async def test_of_many_templates_each_is_made_on_its_own(guarded: Guarded) -> None:
    planner = Planner(guarded.enforcer)
    columns = ("id", "email", "phone", "full_name")
    for column in columns:
        for number in range(2):
            planner.plan_now(f"SELECT {column} FROM customers WHERE id = {number}", CONTEXT)
    counts = [sum(_has_template(planner, column) for column in columns)]
    while counts[-1] < len(columns):
        await asyncio.sleep(0)
        counts.append(sum(_has_template(planner, column) for column in columns))
    assert all(after - before <= 1 for before, after in pairwise(counts))
    planner.close()


def _has_template(planner: Planner, column: str) -> bool:
    text = f"SELECT {column} FROM customers WHERE id = 1"
    return planner.template(text, CONTEXT) is not None


async def test_a_tools_slow_statements_leave_a_reader_for_others(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = Planner(guarded.enforcer)
    is_over = asyncio.Event()
    plan = Reader.plan

    async def slow(self: Reader, text: str, context: PlanContext) -> Plans:
        if context.tool == "mailer":
            await is_over.wait()
        return await plan(self, text, context)

    monkeypatch.setattr(Reader, "plan", slow)
    waiting = [asyncio.create_task(planner.plan(f"{LONG} -- {n}", CONTEXT)) for n in range(6)]
    other = PlanContext(tool="site", purpose="personalisation", search_path=("crm",))
    (answer,) = await planner.plan(LONG, other)
    assert isinstance(answer, Plan)
    assert not any(task.done() for task in waiting)
    is_over.set()
    for task in waiting:
        (answer,) = await task
        assert isinstance(answer, Plan)
    planner.close()
