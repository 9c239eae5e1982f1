"""Node.js: `pg` and postgres.js."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.programs import needs, run

FOLDER = Path(__file__).parent / "node"


def _drive(driver: str, url: str) -> dict[str, Any]:
    """Run node/DRIVER.js against `url`; it prints what it got as one JSON object."""
    node = needs("node")
    needs(FOLDER / "node_modules")
    done = run([node, "--no-deprecation", str(FOLDER / f"{driver}.js"), url])
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module", params=["pg", "postgres"])
def answers(request: pytest.FixtureRequest, world: Any) -> dict[str, Any]:
    return _drive(request.param, world.dsn("mailer"))


def test_masked_values_keep_their_types(answers: dict[str, Any]) -> None:
    assert answers["rows"] == [
        {"id": "3", "email": "p***@example.com", "income": "30000.00", "visits": 0,
         "is_member": None, "tags": None, "numbers": [], "attributes": None, "seen_at": None},
        {"id": "4", "email": "p4@example.com", "income": "30400.50", "visits": 4,
         "is_member": True, "tags": ["a4"], "numbers": [4, 8],
         "attributes": {"k": 4}, "seen_at": "2025-01-01T16:00:00.123Z"},
    ]  # fmt: skip


def test_a_prepared_statement_answers_again_and_again(answers: dict[str, Any]) -> None:
    assert answers["prepared"] == ["p***@example.com", "p2@example.com"] * 3


def test_a_portal_is_read_in_portions(answers: dict[str, Any]) -> None:
    assert answers["portions"] == {"rows": 5000, "largest": 700}


def test_a_transaction_fails_and_is_rolled_back(answers: dict[str, Any]) -> None:
    assert answers["failed"] == ["42P01", "25P02", 40]


def test_several_statements_in_one_text(answers: dict[str, Any]) -> None:
    assert answers["several"] == [1, 40]


def test_a_refusal_says_why(answers: dict[str, Any]) -> None:
    assert answers["refused"]["code"] == "42P01"
    assert answers["refused"]["detail"].startswith("reason: table_not_in_policy; access: ")


def test_many_statements_at_once_are_answered_each(answers: dict[str, Any]) -> None:
    assert answers["many"] == [f"Person {n}" if n % 2 == 0 else "P." for n in range(1, 41)]


def test_the_end_of_the_connection_is_clean(answers: dict[str, Any]) -> None:
    assert answers["ended"] is True
