"""Recording consent from the command line: exit code 0 means committed and in force."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from tests.cli.conftest import Place


def _in_force(place: Place, subject: str, purpose: str) -> bool:
    shown = json.loads(place.invoke("consent", "show", "--subject", subject, "--json").stdout)
    (found,) = [each for each in shown["purposes"] if each["purpose"] == purpose]
    return bool(found["in_force"])


def test_a_grant_and_its_withdrawal_are_in_force_when_the_command_has_ended(place: Place) -> None:
    assert not _in_force(place, "1", "email_campaign")
    recorded = place.run("consent", "record", "--subject", "1", "--purpose", "email_campaign")
    assert recorded.stdout.startswith("event ")
    assert _in_force(place, "1", "email_campaign")
    place.run("consent", "withdraw", "--subject", "1", "--purpose", "email_campaign")
    assert not _in_force(place, "1", "email_campaign")


def test_a_restriction_of_all_purposes_ends_even_a_contract(place: Place) -> None:
    assert _in_force(place, "2", "service_reminder")
    place.invoke("consent", "restrict", "--subject", "2", "--all")
    assert not _in_force(place, "2", "service_reminder")


def test_an_objection_ends_a_legitimate_interest_and_a_refusal_is_no_grant(place: Place) -> None:
    place.invoke("consent", "object", "--subject", "1", "--purpose", "measurement")
    place.invoke("consent", "refuse", "--subject", "1", "--purpose", "email_campaign")
    assert not _in_force(place, "1", "measurement")
    assert not _in_force(place, "1", "email_campaign")


def test_a_grant_names_its_sensitive_categories(place: Place) -> None:
    own = ("--category", "user.inferred.life_event")
    place.invoke("consent", "record", "--subject", "1", "--purpose", "personalisation", *own)
    text = place.invoke("consent", "show", "--subject", "1").stdout
    assert "user.inferred.life_event" in text
    assert "command line: " in text


def test_what_was_in_force_at_an_instant_can_be_asked_later(place: Place) -> None:
    grant = ("--subject", "1", "--purpose", "email_campaign", "--at", "2026-01-10T00:00:00Z")
    place.invoke("consent", "record", *grant, "--until", "2026-02-10T00:00:00+01:00", "--json")
    before = ("consent", "show", "--subject", "1", "--json", "--as-of")
    for instant, expected in (("2026-01-11T00:00:00Z", True), ("2026-03-01T00:00:00Z", False)):
        shown = json.loads(place.invoke(*before, instant).stdout)
        states = {each["purpose"]: each["in_force"] for each in shown["purposes"]}
        assert states["email_campaign"] is expected
    known = json.loads(
        place.invoke(*before, "2026-01-11T00:00:00Z", "--known-at", "2026-01-12T00:00:00Z").stdout
    )
    assert known["events"] == []


def test_the_same_idempotency_key_records_once(place: Place) -> None:
    command = ("consent", "record", "--subject", "3", "--purpose", "email_campaign", "--json",
               "--idempotency-key", "form-7")  # fmt: skip
    first = json.loads(place.invoke(*command).stdout)
    again = json.loads(place.invoke(*command).stdout)
    assert (again["event"], again["replayed"]) == (first["event"], True)
    other = place.invoke(*command, "--notice", "v2", exit_code=1)
    assert "idempotency_conflict" in other.stderr


def test_what_the_ledger_does_not_take_is_a_no_with_its_reason(place: Place) -> None:
    for arguments, reason in (
        (("--subject", "x", "--purpose", "email_campaign"), "wrong_subject"),
        (("--subject", "1", "--purpose", "spying"), "unknown_purpose"),
        (("--subject", "1", "--purpose", "email_campaign", "--category", "x"), "unknown_category"),
        (("--subject", "1", "--purpose", "email_campaign", "--at", "2099-01-01T00:00:00Z"),
         "not_yet_valid"),
    ):  # fmt: skip
        refused = place.invoke("consent", "record", *arguments, exit_code=1)
        assert reason in refused.stderr
        assert refused.stdout == ""


def test_arguments_that_no_event_can_mean_are_misuse(place: Place) -> None:
    one = ("--subject", "1")
    place.invoke("consent", "withdraw", *one, exit_code=2)
    place.invoke("consent", "withdraw", *one, "--all", "--purpose", "measurement", exit_code=2)
    place.invoke("consent", "record", *one, exit_code=2)
    tomorrow = ("--purpose", "measurement", "--at", "tomorrow")
    assert "ISO 8601" in place.invoke("consent", "withdraw", *one, *tomorrow, exit_code=2).stderr


def test_before_init_the_message_says_so(unprepared: Place) -> None:
    told = unprepared.run("consent", "show", "--subject", "1", exit_code=2)
    assert "`init` must run" in told.stderr


def test_a_file_is_imported_once_and_its_bad_lines_are_told(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "grants.csv"
    file.write_text(
        "subject,purpose,state\n1,email_campaign,given\n2,spying,given\n3,*,withdrawn\n"
    )
    first = place.run("consent", "import", str(file), exit_code=1)
    assert first.stdout == "2 recorded, 0 recorded before, 1 rejected\n"
    assert "line 3: no such purpose (reason: unknown_purpose)" in first.stderr
    again = json.loads(place.invoke("consent", "import", str(file), "--json", exit_code=1).stdout)
    assert (again["recorded"], again["replayed"]) == (0, 2)
    assert [line["line"] for line in again["rejected"]] == [3]
    unknown = tmp_path / "grants.xls"
    unknown.write_text("")
    place.invoke("consent", "import", str(unknown), exit_code=2)
    place.invoke("consent", "import", str(tmp_path / "none.csv"), exit_code=2)


def test_an_export_is_what_an_import_reads(place: Place, tmp_path: Path) -> None:
    place.invoke("consent", "record", "--subject", "1", "--purpose", "email_campaign")
    text = place.invoke("consent", "export").stdout
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["subject"], row["purpose"], row["state"]) == ("1", "email_campaign", "given")
    file = tmp_path / "all.ndjson"
    place.invoke("consent", "export", "--format", "ndjson", "--output", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["subject"] == 1
    place.invoke("consent", "import", str(file))


def test_a_recorded_event_is_in_the_access_log_without_its_person(place: Place) -> None:
    place.invoke("consent", "withdraw", "--subject", "2", "--purpose", "measurement")
    found = place.invoke("log", "search", "--kind", "consent.recorded", "--json").stdout
    record = json.loads(found)
    assert (record["state"], record["purpose"]) == ("withdrawn", "measurement")
    assert "subject" not in record


def test_an_access_log_that_takes_nothing_does_not_undo_a_withdrawal(place: Place) -> None:
    place.access_log.parent.mkdir()
    place.access_log.write_text("not a folder")
    told = place.invoke("consent", "withdraw", "--subject", "2", "--purpose", "measurement")
    assert "the access log has no record of it" in told.stderr
    assert not _in_force(place, "2", "measurement")
