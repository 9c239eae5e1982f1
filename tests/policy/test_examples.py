"""Examples beside a policy (`*.test.yaml`) and the matrix of what every tool sees."""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from proxy.errors import Reason
from proxy.policy.matrix import MatrixRow, matrix, matrix_csv, matrix_html
from proxy.policy.model import Policy, RelationName
from proxy.policy.problem import PolicyErrors
from proxy.policy.testfile import Relative, load_tests, rule_columns
from proxy.sql.catalog import Catalog

DEALERSHIP = Path(__file__).parents[2] / "policies" / "dealership"

EXAMPLES = """
given:
  crm.customers:
    - {id: 1, full_name: Ana Ruiz, created_at: {ago: 2d}, expecting_score: 0.50}
  consent:
    - {subject: 1, purpose: email_campaign, state: given, until: {in: 1h}}
    - {subject: 1, purpose: "*", state: restricted, at: 2026-01-01T00:00:00Z}
tests:
  - name: nobody is left
    as: mailer
    query: select id from crm.customers
    expect: []
  - name: a refusal
    as: mailer
    for: service_reminder
    query: select expecting_score from crm.customers
    refused: column_not_available
"""


def _write(folder: Path, text: str) -> Path:
    (folder / "one.test.yaml").write_text(text, encoding="utf-8")
    return folder


def test_examples_are_read_as_values(dealership: Policy, tmp_path: Path) -> None:
    (file,) = load_tests(_write(tmp_path, EXAMPLES), dealership)
    (table,) = file.tables
    assert table.relation == RelationName("crm", "customers")
    assert table.rows == (
        {
            "id": 1,
            "full_name": "Ana Ruiz",
            "created_at": Relative(-2 * 86_400),
            "expecting_score": Decimal("0.50"),
        },
    )
    given, restricted = file.consents
    assert (given.subject, given.purpose, given.until) == (1, "email_campaign", Relative(3600))
    assert (restricted.purpose, restricted.state, restricted.at) == (
        None,
        "restricted",
        "2026-01-01T00:00:00Z",
    )
    first, second = file.tests
    assert (first.tool, first.purpose, first.expect, first.refused) == ("mailer", None, (), None)
    assert (second.line, second.purpose) == (13, "service_reminder")
    assert (second.expect, second.refused) == (None, Reason.COLUMN_NOT_AVAILABLE)


def test_the_dealerships_examples_are_whole(dealership: Policy) -> None:
    (file,) = load_tests(DEALERSHIP, dealership)
    assert len(file.tests) == 10
    assert {example.tool for example in file.tests} == set(dealership.tools)


MISTAKES = [
    ("as: mailer", "as: mialer", "tests.[1].as", "did you mean mailer"),
    ("for: service_reminder", "for: service", "tests.[2].for", "expected one of"),
    ("expect: []", "", "tests.[1]", "either expect or refused"),
    ("expect: []", "expect: []\n    refused: syntax", "tests.[1]", "either expect or refused"),
    ("refused: column_not_available", "refused: no", "tests.[2].refused", "expected one of"),
    ("expect: []", "expect: [1]", "tests.[1].expect.[1]", "expected a row"),
    ("full_name", "fullname", "given.crm.customers.[1].fullname", "no column fullname"),
    ("crm.customers:\n", "crm.clients:\n", "given.crm.clients", "no such table"),
    ("{ago: 2d}", "{ago: 2}", "given.crm.customers.[1].created_at.ago", "expected a duration"),
    ("{ago: 2d}", "[2]", "given.crm.customers.[1].created_at", "expected a value"),
    ("purpose: email_campaign", "purpose: mail", "given.consent.[1].purpose", "expected one of"),
    ("state: given", "state: yes", "given.consent.[1].state", "expected one of"),
    ("subject: 1, purpose: e", "subject: 1.5, purpose: e", "given.consent.[1].subject", "key"),
    ("tests:\n", "test:\n", "", "tests is missing"),
]


@pytest.mark.parametrize(("old", "new", "key", "message"), MISTAKES)
def test_a_mistake_in_an_example_is_told_with_its_place(
    dealership: Policy, tmp_path: Path, old: str, new: str, key: str, message: str
) -> None:
    assert old in EXAMPLES
    with pytest.raises(PolicyErrors) as caught:
        load_tests(_write(tmp_path, EXAMPLES.replace(old, new)), dealership)
    problems = caught.value.problems
    assert [p for p in problems if p.key == key and message in p.message and p.line > 0], problems


def test_columns_that_only_rules_name_are_known_too(dealership: Policy) -> None:
    assert rule_columns(dealership, RelationName("web", "page_views")) == {
        "customer_id",
        "source",
        "viewed_at",
    }
    assert rule_columns(dealership, RelationName("sales", "orders")) == {"customer_id", "id"}
    assert rule_columns(dealership, RelationName("crm", "customers")) == {"id"}


def _row(policy: Policy, purpose: str, column: str) -> MatrixRow:
    return next(
        row
        for row in matrix(policy)
        if row.purpose == purpose and f"{row.table}.{row.column}" == column
    )


def test_the_matrix_says_what_each_tool_sees_in_each_column(dealership: Policy) -> None:
    rows = list(matrix(dealership))
    listed = sum(len(rule.columns or "*") for rule in dealership.relations.values())
    assert len(rows) == 4 * listed  # mailer has two purposes, site and dashboard one each
    email = _row(dealership, "service_reminder", "crm.customers.email")
    assert (email.sees, email.mask, email.otherwise) == ("value", "", "email")
    birth = _row(dealership, "email_campaign", "crm.customers.birth_date")
    assert (birth.sees, birth.mask, birth.otherwise) == ("mask", "year", "absent")
    score = _row(dealership, "personalisation", "crm.customers.expecting_score")
    assert (score.sees, score.otherwise, score.needs_own_grant) == ("value", "null", True)
    assert _row(dealership, "email_campaign", "crm.customers.expecting_score").sees == "absent"
    assert _row(dealership, "measurement", "crm.customers.full_name").mask == "initial"
    assert _row(dealership, "measurement", "ref.dealers.*").sees == "value"


async def test_with_a_database_the_matrix_tells_of_columns_that_nobody_listed(
    dealership: Policy, catalog_of: Callable[[Policy, str], Awaitable[Catalog]]
) -> None:
    script = "CREATE SCHEMA ref; CREATE TABLE ref.dealers (id int, city text);"
    script += "CREATE SCHEMA sales; CREATE TABLE sales.orders (id bigint, secret text)"
    rows = list(matrix(dealership, await catalog_of(dealership, script)))
    seen = {(row.table, row.column): row.sees for row in rows if row.tool == "site"}
    assert seen["ref.dealers", "city"] == "value"
    assert seen["sales.orders", "secret"] == "absent"


def test_the_matrix_is_csv_and_html_too(dealership: Policy) -> None:
    rows = list(matrix(dealership))
    read = list(csv.DictReader(io.StringIO(matrix_csv(iter(rows)))))
    assert len(read) == len(rows)
    assert read[0]["table"] == "crm.customers"
    page = matrix_html(iter(rows))
    assert page.count("<tr") == len(rows) + 1
    assert "<td>email_campaign</td>" in page


def test_html_shows_names_as_text() -> None:
    row = MatrixRow(
        tool="a",
        purpose="b",
        table="c",
        column='"<script>"',
        category="",
        sees="value",
        mask="",
        otherwise="",
        needs_own_grant=False,
    )
    assert "<script>" not in matrix_html(iter([row]))
