"""Examples beside a policy, run through a real proxy in front of a real PostgreSQL."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.example_database import Clock
from proxy.cli.example_values import rows_differ, rows_text
from proxy.policy.testfile import Given, Relative
from tests.cli.conftest import DEALERSHIP, Place, run

EXAMPLES = """
given:
  crm.customers:
    - {id: 1, full_name: Ana Ruiz, email: ana@example.com, birth_date: 1984-05-17}
    - {id: 2, full_name: Ben Cole, email: ben@example.com}
  web.page_views:
    - {id: 1, customer_id: 1, url: /vans, source: dealer_site, viewed_at: {ago: 2d}}
  consent:
    - {subject: 1, purpose: email_campaign, state: given, until: {in: 1h}}
    - {subject: 2, purpose: "*", state: restricted}
tests:
  - name: who agreed is there
    as: mailer
    query: select id, email, birth_date from crm.customers
    expect: [[1, ana@example.com, 1984-01-01]]
  - name: the score does not exist
    as: mailer
    query: select expecting_score from crm.customers
    refused: column_not_available
  - name: a restricted person is masked even under a contract
    as: mailer
    for: service_reminder
    query: select full_name, email from crm.customers order by id
    expect: [[Ana Ruiz, ana@example.com], [B., b***@example.com]]
  - name: nobody may write
    as: dashboard
    query: delete from crm.customers
    refused: statement_kind
  - name: what is not SQL is a mistake
    as: dashboard
    query: selekt 1
    refused: syntax
"""
WRONG = """
tests:
  - name: another row
    as: mailer
    query: select 1
    expect: [[2]]
  - name: an answer instead of a refusal
    as: mailer
    query: select 1
    refused: table_not_in_policy
  - name: a refusal instead of an answer
    as: mailer
    query: select * from nowhere.at_all
    expect: []
  - name: another reason
    as: mailer
    query: select * from nowhere.at_all
    refused: syntax
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The dealer's policy without its examples."""
    copy = Path(shutil.copytree(DEALERSHIP, tmp_path / "with-examples"))
    (copy / "dealership.test.yaml").unlink()
    return copy


def test_examples_that_hold_pass_without_any_database_configured(folder: Path) -> None:
    (folder / "one.test.yaml").write_text(EXAMPLES)
    told = run("policy", "test", str(folder)).stdout
    assert told.count("PASS") == 5
    assert told.endswith("5 passed, 0 failed\n")


def test_the_dealers_own_examples_hold() -> None:
    run("policy", "test", str(DEALERSHIP))


def test_types_come_from_the_configured_database(place: Place, folder: Path) -> None:
    (folder / "one.test.yaml").write_text(
        "given: {crm.customers: [{id: 7, full_name: Ana}]}\n"
        "tests: [{name: types, as: dashboard, query: 'select pg_typeof(id)::text from"
        " crm.customers', expect: [[bigint]]}]\n"
    )
    place.run("policy", "test", str(folder))
    run("policy", "test", str(folder), exit_code=1)  # without one, the key is text


def test_examples_that_do_not_hold_fail_each_with_what_happened(folder: Path) -> None:
    (folder / "one.test.yaml").write_text(EXAMPLES)
    (folder / "wrong.test.yaml").write_text(WRONG)
    told = run("policy", "test", str(folder), exit_code=1).stdout
    assert told.endswith("5 passed, 4 failed\n")
    assert "wrong.test.yaml:3" in told
    assert "expected [[2]], got [[1]]" in told
    assert "expected table_not_in_policy, got [[1]]" in told
    assert "refused with table_not_in_policy" in told
    assert "expected syntax, refused with table_not_in_policy" in told
    (folder / "one.test.yaml").unlink()
    outcomes = json.loads(run("policy", "test", str(folder), "--json", exit_code=1).stdout)
    assert [outcome["passed"] for outcome in outcomes] == [False] * 4


def test_rows_that_can_not_be_made_are_told_and_not_a_traceback(folder: Path) -> None:
    (folder / "one.test.yaml").write_text(
        "given: {crm.customers: [{id: 1, birth_date: yesterday-ish}]}\n"
        "tests: [{name: x, as: mailer, query: select 1, expect: [[1]]}]\n"
    )
    told = run("policy", "test", str(folder), exit_code=2)
    assert "the given rows can not be made" in told.stderr


def test_without_examples_nothing_was_tested(folder: Path) -> None:
    assert "no examples" in run("policy", "test", str(folder), exit_code=2).stderr
    (folder / "one.test.yaml").write_text("tests: [{name: x}]")
    assert "one.test.yaml:1" in run("policy", "test", str(folder), exit_code=1).stderr


CLOCK = Clock(now=datetime(2026, 3, 1, 12, tzinfo=UTC))
SAME: list[tuple[Given, Any]] = [
    (None, None),
    (True, True),
    (1, 1),
    (1, "1"),
    (Decimal("0.10"), 0.1),
    (Decimal("18000.00"), Decimal(18000)),
    ("1984-05-17", date(1984, 5, 17)),
    ("2026-03-01T13:00:00+01:00", CLOCK.now),
    ("2026-03-01T12:00:00", CLOCK.now),
    (Relative(-86400), datetime(2026, 2, 28, 12, tzinfo=UTC)),
    (Relative(-86400), date(2026, 2, 28)),
    ('{"b": 1, "a": 2}', '{"a": 2, "b": 1}'),
    ("\\x00ff", b"\x00\xff"),
    ("true", True),
]
DIFFERENT: list[tuple[Given, Any]] = [
    (None, 0),
    (0, None),
    ("null", None),
    (True, 1),
    (1, True),
    (1, "one"),
    ("a", "b"),
    ("1984-05-17", date(1984, 1, 1)),
    (Relative(-86400), CLOCK.now),
    (Relative(0), "now"),
    ("2026-03-01T12:00:01", CLOCK.now),
    ("yesterday", CLOCK.now),
    ('{"a": 1}', '{"a": 2}'),
]


@pytest.mark.parametrize(("wanted", "value"), SAME)
def test_a_value_is_compared_by_its_meaning(wanted: Given, value: object) -> None:
    assert not rows_differ([[wanted]], [[value]], CLOCK)


@pytest.mark.parametrize(("wanted", "value"), DIFFERENT)
def test_another_value_is_another_one(wanted: Given, value: object) -> None:
    assert rows_differ([[wanted]], [[value]], CLOCK)


def test_rows_more_or_less_differ_and_are_told_as_an_example_writes_them() -> None:
    assert rows_differ([], [[1]], CLOCK)
    assert rows_differ([[1, 2]], [[1]], CLOCK)
    assert (
        rows_text([[None, True, Relative(-60), [1, "a"]]]) == "[[null, true, {ago: 60s}, [1, a]]]"
    )
