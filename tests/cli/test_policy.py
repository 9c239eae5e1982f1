"""What a policy says, from the command line; errors come with file, line and exit code 1."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import jsonschema
import pytest

from tests.cli.conftest import DEALERSHIP, Place, run


def test_a_policy_without_errors_is_a_yes() -> None:
    assert "0 errors" in run("policy", "check", str(DEALERSHIP)).stdout


def test_with_a_database_the_policy_is_held_against_it(
    place: Place, execute: Callable[[str], str]
) -> None:
    assert "0 errors" in place.run("policy", "check").stdout
    execute("DROP TABLE web.page_views")
    told = place.invoke("policy", "check", exit_code=1).stdout
    assert "the database has no such table" in told
    assert "tables.yaml:" in told
    place.invoke("policy", "check", "--offline")


def test_every_problem_is_told_with_file_and_line(place: Place) -> None:
    file = place.policy / "tools.yaml"
    file.write_text(file.read_text().replace("[measurement]", "[measuring]"))
    (place.policy / "extra.yaml").write_text("purposes: {bad: {basis: because}}\n")
    told = place.run("policy", "check", exit_code=1).stdout
    assert "tools.yaml:7" in told
    assert "extra.yaml:1" in told
    problems = json.loads(place.invoke("policy", "check", "--json", exit_code=1).stdout)
    assert {problem["severity"] for problem in problems} == {"error"}
    assert all(problem["line"] and problem["key"] for problem in problems)


def test_a_mistake_in_an_example_is_an_error_too(place: Place) -> None:
    (place.policy / "more.test.yaml").write_text("tests: [{name: x, as: nobody, query: select 1}]")
    told = place.invoke("policy", "check", "--offline", exit_code=1).stdout
    assert "more.test.yaml:1" in told


def test_a_folder_that_is_none_is_an_error() -> None:
    run("policy", "check", "/nowhere", exit_code=1)
    run("policy", "matrix", "/nowhere", exit_code=1)


def test_the_schema_accepts_the_dealers_files() -> None:
    schema = json.loads(run("policy", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("format", ["table", "csv", "html", "json"])
def test_the_matrix_is_printed_in_each_format(place: Place, format: str) -> None:  # noqa: A002
    told = place.invoke("policy", "matrix", "--offline", "--format", format).stdout
    assert "email_campaign" in told


def test_the_matrix_can_be_narrowed(place: Place) -> None:
    only = ("--tool", "mailer", "--purpose", "email_campaign", "--table", "crm.customers")
    rows = json.loads(place.invoke("policy", "matrix", *only, "--json").stdout)
    assert {(row["tool"], row["purpose"], row["table"]) for row in rows} == {
        ("mailer", "email_campaign", "crm.customers")
    }
    text = place.invoke("policy", "matrix", *only, "--format", "csv", "--offline").stdout
    assert len(list(csv.DictReader(io.StringIO(text)))) == 8  # the score is absent, and told


def test_without_a_configuration_a_folder_is_needed(place: Place) -> None:
    told = run("policy", "check", exit_code=2)
    assert "consent-proxy.yaml" in told.stderr
