"""Doubts about a policy, found without a database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from proxy.policy.lint import lint
from proxy.policy.model import Policy

Load = Callable[..., Policy]

CLEAN = """
policy: small
version: 1
categories:
  user.contact.email: {mask: email}
  user.pets: {}
purposes:
  campaign: {basis: consent, data_use: marketing.communications.email, reads: [user]}
subject: {key: crm.people.id}
tables:
  crm.people: {subject: id, columns: {id: open, email: user.contact.email, dog: user.pets}}
tools:
  mailer: {purposes: [campaign]}
"""


def test_a_policy_without_doubts_has_no_warnings(load: Load) -> None:
    assert lint(load(CLEAN)) == ()


DOUBTS = [
    ("subject: id, ", "", "tables.crm.people", "no subject"),
    ("user.pets: {}", "user.pets: {}\n  system.x: {}", "categories.system.x", "no purpose reads"),
    ("user.pets: {}", "user.pest: {}", "categories.user.pest", "no column has this category"),
    ("user.pets: {}", "user.x: {}", "tables.crm.people.columns.dog", "neither declared"),
    ("reads: [user]", "reads: [user, usr]", "purposes.campaign.reads.usr", "neither declared"),
    ("dog: user.pets", "dog: system", "tables.crm.people.columns.dog", "no purpose reads"),
    ("communications.email", "letters", "purposes.campaign.data_use", "not a data use"),
    (
        "purposes:\n",
        "purposes:\n  idle: {basis: contract, reads: []}\n",
        "purposes.idle",
        "no tool has this purpose",
    ),
    (
        "dog: user.pets",
        "dog: {category: user.pets, mask: day, type: date}",
        "tables.crm.people.columns.dog",
        "leaves a date as it is",
    ),
    (
        "dog: user.pets",
        "dog: {category: user.pets, mask: prefix(3), type: varchar(5)}",
        "tables.crm.people.columns.dog",
        "shows most of a value",
    ),
    (
        "dog: user.pets",
        "dog: {category: user.pets, mask: bucket(1), type: integer}",
        "tables.crm.people.columns.dog",
        "leaves whole numbers",
    ),
    (
        "subject: id, ",
        "subject: id, keep: {column: at, for: 1d}, quiet: {column: at, for: 24h}, ",
        "tables.crm.people.quiet",
        "no row is ever shown",
    ),
    (
        "reads: [user]",
        "reads: [user, user.pets: age_band(1)]",
        "purposes.campaign.reads.user.pets",
        "single a person out",
    ),
]


@pytest.mark.parametrize(("old", "new", "key", "message"), DOUBTS)
def test_a_doubt_is_a_warning_with_its_place(
    load: Load, old: str, new: str, key: str, message: str
) -> None:
    assert old in CLEAN
    warnings = lint(load(CLEAN.replace(old, new)))
    matching = [one for one in warnings if one.key == key and message in one.message]
    assert matching, "\n".join(map(str, warnings))
    assert matching[0].line > 0
    assert all(one.severity == "warning" for one in warnings)


def test_a_table_that_says_it_has_no_subject_is_not_doubted(load: Load) -> None:
    assert lint(load(CLEAN.replace("subject: id, ", "subject: none, "))) == ()


def test_the_dealerships_policy_is_doubted_only_where_it_says_so(dealership: Policy) -> None:
    assert {warning.key for warning in lint(dealership)} == {
        "categories.user.inferred.churn_risk",
        "categories.user.inferred.sentiment",
        "categories.user.content.private",
    }


def test_the_taxonomy_is_loaded_only_for_those_who_ask() -> None:
    code = "import sys, proxy.policy.check, proxy.policy.load; print('fideslang' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
