"""Import and export: every line once, mistakes told by line, and nothing lost on the way."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import asyncpg
import pytest

from proxy.consent.errors import ImportRefused
from proxy.consent.ledger import Ledger
from proxy.consent.request import ConsentRequest, State
from proxy.consent.schema import init
from proxy.policy.model import Policy
from tests.conftest import MakeDatabase
from tests.consent.dealership import LIFE_EVENT, TABLES, as_role

HEADER = "subject,purpose,category,state,at,until,source,notice,evidence\n"
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def csv_file(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "events.csv"
    path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


async def rows(connection: asyncpg.Connection) -> list[tuple[object, ...]]:
    found = await connection.fetch("SELECT * FROM consent.subject ORDER BY subject_id")
    return [tuple(row) for row in found]


async def test_a_csv_file_is_recorded_line_by_line(
    ledger: Ledger, prepared: asyncpg.Connection, tmp_path: Path
) -> None:
    path = csv_file(
        tmp_path,
        "1,email_campaign,,given,2026-03-01T00:00:00Z,2090-01-01T00:00:00Z,form,v3," + "ab" * 32,
        f"2,personalisation,user.behavior; {LIFE_EVENT},given,2026-03-01T00:00:00Z,,,,",
        '3,*,,withdrawn,,,"a, b",,',
    )
    report = await ledger.import_file(path, recorded_by="admin")
    assert (report.recorded, report.replayed, report.rejected) == (3, 0, [])
    first = (await ledger.show(1)).events[0]
    assert (first.at, first.source, first.notice, first.evidence, first.recorded_by) == (
        MARCH,
        "form",
        "v3",
        "ab" * 32,
        "admin",
    )
    states = {p.purpose: p for p in (await ledger.show(2)).purposes}
    assert states["personalisation"].categories[0].is_in_force
    assert not {p.purpose: p for p in (await ledger.show(3)).purposes}["measurement"].is_in_force


async def test_importing_a_file_again_records_nothing_twice(
    ledger: Ledger, prepared: asyncpg.Connection, tmp_path: Path
) -> None:
    path = csv_file(
        tmp_path,
        "1,email_campaign,,given,2026-03-01T00:00:00Z,,,,",
        "1,email_campaign,,given,2026-03-01T01:00:00+01:00,,,,",  # the same instant
        "2,email_campaign,,given,,,,,",
        "3,*,,withdrawn,,,,,",
    )
    first = await ledger.import_file(path)
    before, epoch = await rows(prepared), await ledger.epoch()
    second = await ledger.import_file(path)
    assert (first.recorded, first.replayed) == (3, 1)
    assert (second.recorded, second.replayed) == (0, 4)
    assert (await rows(prepared), await ledger.epoch()) == (before, epoch)


async def test_an_old_line_without_a_time_still_withdraws_what_was_given_since(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = csv_file(tmp_path, "1,email_campaign,,withdrawn,,,,,")
    await ledger.import_file(path)
    await ledger.record(ConsentRequest(subject=1, purpose="email_campaign", state=State.GIVEN))
    report = await ledger.import_file(path)
    assert report.recorded == 1
    assert not (await ledger.show(1)).purposes[0].is_in_force
    assert (await ledger.import_file(path)).replayed == 1


async def test_rejected_lines_are_told_with_their_number_and_reason(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = csv_file(
        tmp_path,
        "seven,email_campaign,,given,,,,,",
        "1,no_such,,given,,,,,",
        "1,email_campaign,user.nothing,given,,,,,",
        "1,email_campaign,,given,2090-01-01T00:00:00Z,,,,",
        "1,email_campaign,,opted_in,,,,,",
        "1,email_campaign,,given,01.03.2026,,,,",
        "1,email_campaign,,withdrawn,,2090-01-01T00:00:00Z,,,",
        "1,email_campaign,,given",
        "1,,,given,,,,,",
        "2,email_campaign,,given,,,,,",
    )
    report = await ledger.import_file(path)
    assert report.recorded == 1
    assert [(r.line, r.reason) for r in report.rejected] == [
        (2, "wrong_subject"),
        (3, "unknown_purpose"),
        (4, "unknown_category"),
        (5, "not_yet_valid"),
        (6, "invalid_request"),
        (7, "invalid_request"),
        (8, "invalid_request"),
        (9, "invalid_request"),
        (10, "invalid_request"),
    ]


async def test_ndjson_lines_are_recorded_and_broken_ones_told(
    ledger: Ledger, tmp_path: Path
) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text(
        '{"subject": 1, "purpose": "email_campaign", "state": "given"}\n'
        "\n"
        '{"subject": "2", "purpose": "*", "category": ["user.inferred"], "state": "withdrawn"}\n'
        "[1]\n"
        "{\n"
        '{"subject": 1, "subject": 2, "purpose": "*", "state": "given"}\n'
        '{"subject": 1, "purpose": "*", "stat": "given"}\n',
        encoding="utf-8",
    )
    report = await ledger.import_file(path)
    assert report.recorded == 2
    assert [rejected.line for rejected in report.rejected] == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("events.csv", b""),
        ("events.csv", b"subject,purpose\n"),
        ("events.csv", b"subject,purpose,state,stat\n"),
        ("events.csv", b"subject,purpose,state,state\n"),
        ("events.csv", b"subject,purpose,state\n\xff\xfe,a,given\n"),
        ("events.xlsx", b"PK"),
    ],
)
async def test_a_file_that_makes_no_sense_is_refused(
    ledger: Ledger, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImportRefused):
        await ledger.import_file(tmp_path / name)


async def test_many_lines_are_written_in_batches_and_progress_reaches_the_end(
    ledger: Ledger, prepared: asyncpg.Connection, tmp_path: Path
) -> None:
    path = csv_file(
        tmp_path,
        *(
            f"{number % 1500},email_campaign,,{'given' if number % 2 else 'withdrawn'},"
            f"2026-03-01T00:{number // 60 % 60:02}:{number % 60:02}Z,,,,"
            for number in range(5000)
        ),
    )
    seen: list[tuple[int, int]] = []
    report = await ledger.import_file(path, lambda done, total: seen.append((done, total)))
    assert report.recorded + report.replayed == 5000
    assert seen == sorted(seen)
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)
    assert len(seen) > 2


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
async def test_an_export_imported_elsewhere_gives_the_same_states(
    ledger: Ledger,
    prepared: asyncpg.Connection,
    policy: Policy,
    make_database: MakeDatabase,
    tmp_path: Path,
    format_: Literal["csv", "ndjson"],
) -> None:
    for number, state in enumerate([*State, State.GIVEN, State.GIVEN]):
        await ledger.record(
            ConsentRequest(
                subject=number,
                purpose=None if number == 2 else "personalisation",
                state=state,
                categories=(LIFE_EVENT, "user.behavior") if number in (0, 5) else (),
                at=MARCH,
                until=datetime(2090, 1, 1, tzinfo=UTC) if number == 5 else None,
                source='a "quoted", text\nof two lines' if number != 3 else None,
                notice="ñ 🚗",
                evidence="ab" * 32,
            )
        )
    path = tmp_path / f"export.{format_}"
    with path.open("w", encoding="utf-8", newline="") as out:
        assert await ledger.export(format_, out) == 7
    url = make_database(script=TABLES)
    other = await asyncpg.connect(url)
    await init(other, policy)
    elsewhere = await Ledger.connect(as_role(url, "consent_writer"), None, policy)
    try:
        report = await elsewhere.import_file(path)
        assert (report.recorded, report.rejected) == (7, [])
        assert await rows(other) == await rows(prepared)
        again = io.StringIO()
        await elsewhere.export("ndjson", again)
        first = io.StringIO()
        await ledger.export("ndjson", first)
        own = {"recorded_at", "recorded_by"}
        assert [
            {k: v for k, v in json.loads(line).items() if k not in own}
            for line in again.getvalue().splitlines()
        ] == [
            {k: v for k, v in json.loads(line).items() if k not in own}
            for line in first.getvalue().splitlines()
        ]
    finally:
        await elsewhere.close()
        await other.close()
