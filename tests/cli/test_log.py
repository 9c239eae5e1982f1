"""Reading the access log from the command line; every reading is itself in the log."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.access_log.log import AccessLog, append_once
from proxy.access_log.record import (
    Asker,
    intent_fields,
    new_id,
    outcome_fields,
    refused_fields,
)
from proxy.errors import Reason, Refused
from proxy.rewrite.plan import ColumnUse, Kind, Plan, TableUse
from tests.cli.conftest import CLEAN, Place, run

MAILER = Asker(
    tool="mailer",
    credential="mailer",
    via="postgres",
    client="127.0.0.1:5000",
    purpose="email_campaign",
    purpose_from="default",
    policy="ab" * 32,
)
PLAN = Plan(
    kind=Kind.SELECT,
    text="",
    tables=(
        TableUse(
            name="crm.customers",
            columns=(
                ColumnUse(name="id", category=None, verdict="shown"),
                ColumnUse(
                    name="email", category="user.contact.email", verdict="guarded", mask="email"
                ),
                ColumnUse(
                    name="phone",
                    category="user.contact.phone_number",
                    verdict="masked",
                    mask="pseudonym",
                ),
            ),
        ),
    ),
    statement="select id, email, phone from crm.customers where id = ?",
    shape="cd" * 32,
)


def write_access(folder: Path, rows: int = 7) -> str:
    """One access and its end, in a run of its own."""
    access = new_id()
    intent = intent_fields(MAILER, PLAN, access_id=access)
    outcome = outcome_fields(
        access_id=access, state="complete", rows=rows, bytes_sent=100, plan_us=1, upstream_us=2,
        total_us=3,
    )  # fmt: skip

    async def write() -> None:
        log = AccessLog.open(folder, "worker-0", "process")
        log.append("access.intent", intent)
        log.append("access.outcome", outcome)
        await log.close()

    asyncio.run(write())
    return access


def write_refusal(folder: Path) -> None:
    refused = Refused(Reason.TABLE_NOT_IN_POLICY, "no such table")
    fields = refused_fields(MAILER, refused, access_id=new_id())
    append_once(folder, "worker-0", "access.refused", fields)


@pytest.fixture
def logged(unprepared: Place) -> Place:
    """A log with two accesses and a refusal."""
    write_access(unprepared.access_log, rows=7)
    write_access(unprepared.access_log, rows=5)
    write_refusal(unprepared.access_log)
    return unprepared


def test_a_search_shows_what_matches_with_its_outcome(logged: Place) -> None:
    found = logged.run("log", "search", "--table", "crm.customers", "--json").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in found] == ["access.intent", "access.outcome"] * 2
    text = logged.invoke("log", "search", "--column", "email", "--tool", "mailer").stdout
    assert "guarded: email=email" in text
    refused = logged.invoke("log", "search", "--reason", "table_not_in_policy", "--json").stdout
    assert json.loads(refused)["kind"] == "access.refused"
    assert logged.invoke("log", "search", "--tool", "dashboard").stdout == ""
    assert logged.invoke("log", "search", "--kind", "access.intent", "--until", "1h").stdout == ""
    recent = logged.invoke("log", "search", "--kind", "access.intent", "--since", "1h").stdout
    assert len(recent.splitlines()) == 2
    first = logged.invoke("log", "search", "--kind", "access.intent", "--limit", "1").stdout
    assert len(first.splitlines()) == 1


def test_the_tail_shows_the_newest_records(logged: Place) -> None:
    lines = logged.invoke("log", "tail", "-n", "2", "--json").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["access.refused", "log.sealed"]
    lines = logged.invoke("log", "tail", "-n", "2", "--readings", "--json").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["log.read", "log.sealed"]
    assert "access.refused" in logged.invoke("log", "tail", "-n", "9").stdout


def test_following_shows_what_is_written_meanwhile(logged: Place) -> None:
    command = [sys.executable, "-c", "from proxy.cli.main import main; main()",
               "log", "tail", "-n", "1", "--follow", "--json"]  # fmt: skip
    environment = {**CLEAN, "CONSENT_PROXY_CONFIG": str(logged.config)}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["kind"] == "log.sealed"
        access = write_access(logged.access_log)
        lines = iter(tail.stdout.readline, "")
        assert any(json.loads(line).get("id") == access for line in lines)
        tail.terminate()


def test_every_reading_is_recorded_with_the_names_of_its_filters(logged: Place) -> None:
    logged.invoke("log", "search", "--tool", "mailer", "--since", "1h")
    logged.invoke("log", "report", "--purpose", "email_campaign")
    logged.invoke("log", "export", "--format", "csv")
    logged.invoke("log", "tail")
    logged.invoke("log", "verify")
    lines = logged.invoke("log", "search", "--kind", "log.read", "--json").stdout.splitlines()
    readings = [(each["command"], each["filters"]) for each in map(json.loads, lines)]
    assert readings == [
        ("search", ["tool", "since"]),
        ("report", ["purpose"]),
        ("export", []),
        ("tail", []),
        ("verify", []),
        ("search", ["kind"]),
    ]


def test_a_report_sums_up_by_tool_purpose_and_table(logged: Place) -> None:
    (sum_of_table,) = json.loads(
        logged.invoke("log", "report", "--table", "crm.customers", "--json").stdout
    )
    assert (sum_of_table["accesses"], sum_of_table["rows"]) == (2, 12)
    by_tool = json.loads(logged.invoke("log", "report", "--tool", "mailer", "--json").stdout)
    assert [(each["table"], each["refused"]) for each in by_tool] == [
        ("(none)", 1),
        ("crm.customers", 0),
    ]
    assert "mailer" in logged.invoke("log", "report", "--column", "email").stdout


def test_what_this_version_does_not_report_is_said(logged: Place) -> None:
    told = logged.invoke("log", "report", "--subject", "42", exit_code=2)
    assert "this version" in told.stderr
    told = logged.invoke("log", "export", "--format", "ocsf", exit_code=2)
    assert "this version" in told.stderr
    logged.invoke("log", "report", exit_code=2)


def test_an_export_as_csv_holds_no_formula(logged: Place, tmp_path: Path) -> None:
    evil = intent_fields(
        Asker(tool="=cmd|' /C calc'!A0", credential="+1", via="http", client="127.0.0.1:1"),
        PLAN,
        access_id=new_id(),
    )
    append_once(logged.access_log, "worker-0", "access.intent", evil)
    file = tmp_path / "accesses.csv"
    logged.invoke("log", "export", "--format", "csv", "--output", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert "'=cmd|' /C calc'!A0" in cells
    intent = next(row for row in rows if row["kind"] == "access.intent")
    assert intent["shown"] == "crm.customers.id crm.customers.email"
    assert intent["masked"] == "crm.customers.phone"


def test_an_export_as_json_lines_holds_whole_records(logged: Place) -> None:
    lines = logged.invoke("log", "export", "--tool", "mailer").stdout.splitlines()
    assert {json.loads(line)["kind"] for line in lines} == {
        "access.intent",
        "access.outcome",
        "access.refused",
    }


def test_verifying_says_yes_no_or_that_it_can_not(logged: Place, tmp_path: Path) -> None:
    yes = logged.run("log", "verify", str(logged.access_log))
    assert "intact" in yes.stdout.splitlines()
    (segment,) = (logged.access_log / "worker-0").glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"rows":7', b'"rows":0'))
    no = logged.run("log", "verify", str(logged.access_log), exit_code=1)
    assert "CHANGED at record" in no.stdout
    (tmp_path / "empty").mkdir()
    run("log", "verify", str(tmp_path / "empty"), exit_code=3)
    run("log", "verify", str(tmp_path / "none"), exit_code=3)


def test_verifying_a_folder_writes_nothing_into_it(logged: Place) -> None:
    before = sorted(path for path in logged.access_log.rglob("*"))
    run("log", "verify", str(logged.access_log))
    assert sorted(path for path in logged.access_log.rglob("*")) == before


def test_a_log_that_is_not_there_is_misuse(unprepared: Place) -> None:
    assert "no access log" in unprepared.invoke("log", "tail", exit_code=2).stderr


def test_nothing_is_shown_when_the_reading_can_not_be_recorded(logged: Place) -> None:
    (logged.access_log / "reader").write_text("not a folder")
    told = logged.invoke("log", "search", exit_code=2)
    assert told.stdout == ""


def test_times_without_an_offset_are_misuse(logged: Place) -> None:
    told = logged.invoke("log", "search", "--since", "2026-03-01", exit_code=2)
    assert "offset" in told.stderr


def test_the_csv_of_an_empty_log_is_its_header(logged: Place) -> None:
    text = logged.invoke("log", "export", "--format", "csv", "--tool", "nobody").stdout
    assert next(csv.reader(io.StringIO(text)))[0] == "at"
