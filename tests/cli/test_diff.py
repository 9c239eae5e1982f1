"""What another policy changes: for which tool and column, and for how many people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Place, run


@pytest.fixture
def newer(place: Place, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place.policy, tmp_path / "newer"))


def _edit(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def _changes(place: Place, newer: Path, *options: str) -> dict[str, Any]:
    told = place.invoke("policy", "diff", str(place.policy), str(newer), "--json", *options).stdout
    found: dict[str, Any] = json.loads(told)
    return found


def test_two_policies_that_say_the_same_differ_in_nothing(place: Place, newer: Path) -> None:
    told = run("policy", "diff", str(place.policy), str(newer)).stdout
    assert told == "The two policies show the same to everybody.\n"


def test_what_a_tool_sees_before_and_after_is_told(place: Place, newer: Path) -> None:
    _edit(
        newer, "purposes.yaml", "user.demographic.date_of_birth: year", "user.contact.phone_number"
    )
    changes = {
        (each["purpose"], each["column"]): (each["before"], each["after"])
        for each in _changes(place, newer, "--offline")["columns"]
    }
    # The year of birth is what a campaign sees either way: through the mask, or as the mask.
    assert changes == {
        ("email_campaign", "crm.customers.phone"): (
            "mask pseudonym, else absent",
            "value, else absent",
        )
    }


def test_people_who_gain_and_lose_are_counted_by_what_is_in_force(
    place: Place, newer: Path
) -> None:
    place.invoke("consent", "record", "--subject", "1", "--purpose", "email_campaign")
    place.invoke("consent", "object", "--subject", "3", "--purpose", "measurement")
    _edit(
        newer, "purposes.yaml", "user.demographic.date_of_birth: year", "user.contact.phone_number"
    )
    _edit(newer, "purposes.yaml", "      - user.location.postal_code\n", "")
    counted = {
        (each["purpose"], each["column"]): (each["gain"], each["lose"])
        for each in _changes(place, newer)["columns"]
    }
    assert counted["email_campaign", "crm.customers.phone"] == (1, 0)  # one agreed
    assert counted["measurement", "crm.customers.postal_code"] == (0, 2)  # one of three objected
    text = place.invoke("policy", "diff", str(place.policy), str(newer)).stdout
    assert "people who gain" in text


def test_a_basis_that_changes_can_not_be_counted_before_init(place: Place, newer: Path) -> None:
    _edit(newer, "purposes.yaml", "basis: legitimate_interest", "basis: consent")
    _edit(newer, "purposes.yaml", "      - user.location.postal_code\n", "")
    found = _changes(place, newer)
    assert {"what": "purpose measurement: basis", "before": "legitimate_interest",
            "after": "consent"} in found["rules"]  # fmt: skip
    text = place.invoke("policy", "diff", str(newer), str(place.policy)).stdout
    assert "purpose measurement: basis" in text


def test_rules_about_rows_and_tools_are_told_too(place: Place, newer: Path) -> None:
    _edit(
        newer,
        "tables.yaml",
        "keep: {column: viewed_at, for: 90d}",
        "keep: {column: viewed_at, for: 30d}",
    )
    _edit(newer, "tools.yaml", "[personalisation]}", "[personalisation, measurement]}")
    rules = {each["what"]: each["after"] for each in _changes(place, newer, "--offline")["rules"]}
    assert rules == {
        "table web.page_views: keep": "30d by viewed_at",
        "tool site: purposes": "personalisation, measurement",
        "tool site: default": "",  # with two purposes it has to choose
    }
    text = run("policy", "diff", str(place.policy), str(newer)).stdout
    assert "give --config" in text


def test_a_broken_policy_is_told_with_its_place(place: Place, newer: Path) -> None:
    (newer / "tools.yaml").write_text("tools: 7\n")
    told = place.run("policy", "diff", str(place.policy), str(newer), exit_code=1)
    assert "tools.yaml:1" in told.stderr
