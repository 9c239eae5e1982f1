"""Credentials from the command line: secrets are shown once or never, and never in arguments."""

from __future__ import annotations

import json

from proxy.secrets import Secrets
from tests.cli.conftest import Place


def test_a_tool_gets_a_password_from_standard_input_and_a_token_shown_once(place: Place) -> None:
    place.run("tool", "add", "mailer")
    place.run("tool", "password", "mailer", stdin="correct horse battery\n")
    token = place.run("tool", "token", "mailer").stdout.strip()
    secrets = Secrets.load(place.folder / "secrets.yaml")
    verifier = secrets.scram_verifier("mailer")
    assert verifier is not None
    found = secrets.credential_of_token(token)
    assert found is not None
    assert found.name == "mailer"
    listed = place.run("tool", "list")
    assert "mailer" in listed.stdout
    assert token not in listed.stdout
    assert (place.folder / "secrets.yaml").stat().st_mode & 0o777 == 0o600


def test_a_generated_password_is_all_that_is_printed(place: Place) -> None:
    place.invoke("tool", "add", "site")
    first = place.invoke("tool", "password", "site", "--generate").stdout
    second = place.invoke("tool", "password", "site", "--generate").stdout
    assert first != second
    assert len(first.strip()) >= 32


def test_a_disabled_name_can_not_come_in_until_it_is_enabled(place: Place) -> None:
    place.invoke("tool", "add", "reviewer", "--role", "review")
    place.invoke("tool", "token", "reviewer")
    place.invoke("tool", "disable", "reviewer")
    (entry,) = json.loads(place.invoke("tool", "list", "--json").stdout)
    assert (entry["name"], entry["role"], entry["disabled"]) == ("reviewer", "review", True)
    place.invoke("tool", "enable", "reviewer")
    (entry,) = json.loads(place.invoke("tool", "list", "--json").stdout)
    assert entry["disabled"] is False


def test_a_tool_that_the_policy_does_not_name_is_told_of(place: Place) -> None:
    assert "the policy has no tool newcomer" in place.invoke("tool", "add", "newcomer").stderr


def test_mistakes_with_names_are_misuse(place: Place) -> None:
    assert "no secrets file" in place.invoke("tool", "list", exit_code=2).stderr
    place.invoke("tool", "add", "mailer")
    assert "already there" in place.invoke("tool", "add", "mailer", exit_code=2).stderr
    place.invoke("tool", "add", "two words", exit_code=2)
    place.invoke("tool", "add", "other", "--role", "root", exit_code=2)
    place.invoke("tool", "password", "mailer", stdin="\n", exit_code=2)
    for command in ("password", "token", "disable", "enable"):
        place.invoke("tool", command, "nobody", stdin="secret\n", exit_code=2)
