"""What is taken for a choice that SQL leaves open is never the doing of something hidden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import psycopg
import pytest

import proxy.rewrite.store
from proxy.rewrite.guard import Guard, build_guard
from tests.noninterference.asking import Answer, Outcome, Planning
from tests.noninterference.databases import Databases
from tests.noninterference.pairs import make_pair
from tests.noninterference.rules import Rules
from tests.noninterference.statements import Statement, Step
from tests.noninterference.trial import AskedByPlans, Trial
from tests.noninterference.visible import Visible

_PURPOSE = "campaign"  # of people who did not consent it shows no row


@pytest.fixture
def asked(databases: Databases, rules: Rules) -> Iterator[AskedByPlans]:
    random = Random("visible")
    databases.fill(make_pair(rules, list(databases.grants), _PURPOSE, random), random)
    planning = Planning(databases.enforcer(), rules.tool_of(_PURPOSE), _PURPOSE)
    asked = AskedByPlans(databases, planning)
    yield asked
    asked.close()


@pytest.fixture
def visible(databases: Databases) -> Iterator[Visible]:
    visible = Visible.open(databases)
    yield visible
    visible.close()


def _statement(text: str) -> Statement:
    return Statement("simple", (Step(text),), False, frozenset(), ())


def _failed(message: str) -> Answer:
    fields = (("MESSAGE_PRIMARY", message), ("SEVERITY", "ERROR"), ("SQLSTATE", "22P02"))
    return Answer((Outcome(error=fields),))


def _is_open(visible: Visible, asked: AskedByPlans, text: str, *answers: Answer) -> bool:
    return visible.may_answer(_statement(text), answers, asked.planning, asked.lines)


def _codes(asked: AskedByPlans) -> list[str]:
    """Those that a tool can see, and that are no numbers."""
    (outcome,) = asked.ask(_statement("SELECT DISTINCT code FROM crm.people"))[0].outcomes
    found = [row[0].decode() for row in outcome.rows if row[0] is not None]
    return [code for code in found if not code.isdigit()]


_CAST = "SELECT code::int FROM crm.people"


def test_which_of_two_visible_values_fails_first_is_open(
    visible: Visible, asked: AskedByPlans
) -> None:
    one, other, *_ = _codes(asked)
    failures = [_failed(f'invalid input syntax for type integer: "{c}"') for c in (one, other)]
    assert _is_open(visible, asked, _CAST, *failures)


def test_a_failure_on_a_hidden_value_is_not_open(visible: Visible, asked: AskedByPlans) -> None:
    hidden = _failed('invalid input syntax for type integer: "hidden"')
    own = _failed(f'invalid input syntax for type integer: "{_codes(asked)[0]}"')
    assert not _is_open(visible, asked, _CAST, own, hidden)


def test_a_row_more_is_not_open(visible: Visible, asked: AskedByPlans) -> None:
    text = "SELECT id FROM crm.people"
    answer, _ = asked.ask(_statement(text))
    (outcome,) = answer.outcomes
    more = replace(outcome, rows=(*outcome.rows, (b"96",)), tag=f"SELECT {len(outcome.rows) + 1}")
    assert not _is_open(visible, asked, text, answer, Answer((more,)))


def test_a_failure_of_one_side_by_the_same_plan_is_not_open(
    databases: Databases, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although visible rows would fail so too, if the conditions were asked the other way round."""

    def unfenced(*arguments: Any, **options: Any) -> Guard:
        made = build_guard(*arguments, **options)
        made.select.set("offset", None)
        return made

    monkeypatch.setattr(proxy.rewrite.store, "build_guard", unfenced)
    random = Random("visible")
    pair = make_pair(rules, list(databases.grants), _PURPOSE, random)
    databases.fill(pair, random)
    codes = [{row["code"] for row in side.rows["crm.people"]} for side in (pair.left, pair.right)]
    hidden = min(code for code in codes[0] - codes[1] if code)
    statement = _statement(
        "SELECT id FROM crm.people"
        f" WHERE 1 / ((id IS NULL)::int * 0) > 0 AND code || '' = '{hidden}'"
    )
    planning = Planning(databases.enforcer(), rules.tool_of(_PURPOSE), _PURPOSE)
    asked = AskedByPlans(databases, planning)
    ways = [("by plans", asked)]
    trial = Trial(databases, rules, "", lambda *_: ways)
    try:
        left, right = asked.ask(statement)
        assert left.error is not None
        assert right.error is None
        assert not trial.is_open(statement, (left, right), ways, asked)
    finally:
        asked.close()


def test_a_failure_on_the_row_that_happens_to_come_first_is_open(
    databases: Databases, rules: Rules, asked: AskedByPlans
) -> None:
    listed = replace(_statement("SELECT id FROM crm.people"), is_ordered=True)
    key = (asked.ask(listed)[0].outcomes[0].rows[0][0] or b"").decode()
    with psycopg.connect(databases.postgres.url(databases.right)) as admin:
        admin.execute("UPDATE crm.people SET name = name WHERE id = %s", [key])  # it lies last now
        admin.execute(
            "UPDATE consent.subject SET subject_id = subject_id WHERE subject_id = %s", [key]
        )
    statement = _statement(f"SELECT 1 / (id <> {key})::int FROM crm.people LIMIT 1")
    left, right = asked.ask(statement)
    assert left.error is not None
    assert right.error is None
    assert not asked.has_two_plans(statement)
    ways = [("by plans", asked)]
    trial = Trial(databases, rules, "", lambda *_: ways)
    assert trial.is_open(statement, (left, right), ways, asked)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("SELECT id FROM crm.people", "simple"),
        ("COPY (SELECT id FROM crm.people) TO STDOUT", "copy"),
        ("BEGIN|DECLARE k1 CURSOR FOR SELECT id FROM crm.people|FETCH 1 FROM k1|COMMIT", "cursor"),
        ("PREPARE p1 AS SELECT id FROM crm.people|EXECUTE p1", "sql prepare"),
        ("SELECT ';'; SELECT id FROM crm.people", "several"),
    ],
)
def test_plans_are_compared_for_every_way_of_asking(
    databases: Databases, asked: AskedByPlans, text: str, form: str
) -> None:
    """Where they are the same, and one side alone fails, something hidden has made it fail."""
    steps = tuple(Step(each) for each in text.split("|"))
    statement = Statement(form, steps, False, frozenset(), ())
    assert not asked.has_two_plans(statement)
    with psycopg.connect(databases.postgres.url(databases.left), autocommit=True) as admin:
        admin.execute(
            "INSERT INTO crm.people (id, plan, code)"
            " SELECT n, 'free', n FROM generate_series(1000, 9000) AS n"
        )
        admin.execute("ANALYZE crm.people")
    assert asked.has_two_plans(statement)


def test_sides_that_show_different_rows_are_never_open(
    databases: Databases, visible: Visible, asked: AskedByPlans
) -> None:
    text = "SELECT 1"
    answer, _ = asked.ask(_statement(text))
    assert _is_open(visible, asked, text, answer)
    with psycopg.connect(databases.postgres.url(databases.left)) as admin:
        admin.execute("UPDATE ref.cities SET name = 'another' WHERE id = 1")
    assert not _is_open(visible, asked, text, answer)
