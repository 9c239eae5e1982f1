"""Finding accesses again, and that looking is recorded too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path

import pytest

from proxy.access_log.frames import OutcomeFields
from proxy.access_log.log import AccessLog, LogDamaged, open_segments
from proxy.access_log.reading import last_lines
from proxy.access_log.record import (
    Asker,
    intent_fields,
    new_id,
    outcome_fields,
    refused_fields,
)
from proxy.access_log.search import Filters, Record, record_reading, search, tail
from proxy.access_log.verify import verify
from proxy.errors import ConfigurationError, Reason, Refused
from proxy.rewrite.plan import ColumnUse, Kind, Plan, TableUse
from tests.segments import records_of

OpenLog = Callable[..., AccessLog]
START = datetime(2026, 3, 1, tzinfo=UTC)


def plan_of(table: str, *columns: str, verdict: str = "shown") -> Plan:
    uses = tuple(
        ColumnUse(name=name, category=None, verdict=verdict, mask="null") for name in columns
    )
    table_use = TableUse(name=table, columns=uses)
    return Plan(kind=Kind.SELECT, text="", tables=(table_use,), statement=f"TABLE {table}")


def outcome(access_id: str) -> OutcomeFields:
    return outcome_fields(
        access_id=access_id,
        state="complete",
        rows=1,
        bytes_sent=1,
        plan_us=1,
        upstream_us=1,
        total_us=1,
    )


@pytest.fixture
async def folder(tmp_path: Path, asker: Asker) -> Path:
    """Two logs, one access a minute from 2026-03-01 on, taking turns."""
    minutes = count()

    def clock() -> int:
        return int((START + timedelta(minutes=next(minutes))).timestamp()) * 1_000_000

    logs = [
        AccessLog.open(tmp_path, name, "process", clock=clock) for name in ("worker-0", "worker-1")
    ]
    analyst = replace(asker, tool="analyst", purpose="statistics")
    wide = plan_of("crm.wide", *(f"column_{number}" for number in range(800)), "last_of_all")
    accesses = [
        (asker, plan_of("crm.customers", "id", "email")),
        (analyst, plan_of("crm.orders", "id", "amount")),
        (asker, plan_of("crm.customers", "phone", verdict="masked")),
        (analyst, plan_of("crm.customers", "email", verdict="absent")),
        (asker, wide),
        (analyst, plan_of("crm.kunden", "prénom", verdict="guarded")),
    ]
    for number, (who, plan) in enumerate(accesses):
        access_id = new_id()
        log = logs[number % 2]
        log.append("access.intent", intent_fields(who, plan, access_id=access_id))
        log.append("access.outcome", outcome(access_id))
    refused = Refused(Reason.PURPOSE_MISSING, "…")
    logs[0].append("access.refused", refused_fields(analyst, refused, access_id=new_id()))
    for log in logs:
        await log.close()
    return tmp_path


def tables(records: Iterator[Record]) -> list[object]:
    """The relation of each intent found."""
    return [record.tables[0]["table"] for record in records if record.kind == "access.intent"]


def test_without_filters_everything_comes_in_the_order_of_time(folder: Path) -> None:
    records = list(search(folder, Filters()))
    assert [record.at for record in records] == sorted(record.at for record in records)
    assert {record.log for record in records} == {"worker-0", "worker-1"}
    assert len(records) == 2 + 12 + 1 + 2


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(tool="analyst"), ["crm.orders", "crm.customers", "crm.kunden"]),
        (Filters(purpose="email_campaign"), ["crm.customers", "crm.customers", "crm.wide"]),
        (Filters(table="crm.customers"), ["crm.customers"] * 3),
        (Filters(tool="analyst", table="crm.customers"), ["crm.customers"]),
        (Filters(column="id"), ["crm.customers", "crm.orders"]),
        (Filters(column="email"), ["crm.customers"]),
        (Filters(column="phone"), ["crm.customers"]),
        (Filters(column="last_of_all"), ["crm.wide"]),
        (Filters(column="prénom"), ["crm.kunden"]),
        (Filters(table="crm.orders", column="email"), []),
        (Filters(table="crm.order"), []),
        (Filters(tool="mail"), []),
    ],
)
def test_an_access_is_found_by_tool_purpose_table_and_column(
    folder: Path, filters: Filters, found: list[str]
) -> None:
    assert tables(search(folder, filters)) == found


def test_an_access_is_found_with_its_outcome(folder: Path) -> None:
    intent, ended = search(folder, Filters(table="crm.orders"))
    assert (intent.kind, ended.kind) == ("access.intent", "access.outcome")
    assert intent.access_id == ended.access_id
    assert intent.access_id is not None
    assert list(search(folder, Filters(access_id=intent.access_id))) == [intent, ended]
    assert list(search(folder, Filters(table="crm.orders", kind="access.intent"))) == [intent]


def test_a_refusal_is_found_by_its_reason(folder: Path) -> None:
    (record,) = search(folder, Filters(reason="purpose_missing"))
    assert (record.kind, record.fields["sqlstate"]) == ("access.refused", "42501")


def test_a_span_of_time_begins_with_since_and_ends_before_until(folder: Path) -> None:
    everything = list(search(folder, Filters()))
    for one, other in ((0, 5), (3, 4), (2, 2), (0, len(everything) - 1)):
        since = datetime.fromisoformat(everything[one].at)
        until = datetime.fromisoformat(everything[other].at)
        found = list(search(folder, Filters(since=since, until=until, kind="access.intent")))
        expected = [record for record in everything[one:other] if record.kind == "access.intent"]
        assert found == expected


def test_a_split_record_is_found_whole(folder: Path) -> None:
    (record,) = search(folder, Filters(table="crm.wide", kind="access.intent"))
    shown = [column for entry in record.tables for column in list(entry["shown"])]  # type: ignore[call-overload]
    assert len(shown) == 801


def test_no_more_is_given_than_asked_for(folder: Path) -> None:
    assert len(list(search(folder, Filters(), limit=3))) == 3
    assert list(search(folder, Filters(), limit=0)) == []


def test_a_damaged_record_is_not_passed_over(folder: Path) -> None:
    path = folder / "worker-0" / "0000000000000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"tool":"mailer"', b'"tool": "mailer"', 1))
    with pytest.raises(LogDamaged):
        list(search(folder, Filters()))


def test_tail_gives_the_newest_records_oldest_first(folder: Path) -> None:
    newest = sorted(records_of(folder), key=lambda record: str(record["at"]))
    for number in (1, 4, 10, 1000):
        assert [record.fields for record in tail(folder, count=number)] == newest[-number:]
    assert list(tail(folder, count=0)) == []


def test_tail_follows_new_records_new_segments_and_new_logs(tmp_path: Path) -> None:
    """Each time that tail would wait, something is written instead."""
    segments, chain = open_segments(tmp_path, "worker-0", "process", boot="run")
    steps = iter(range(20))

    def write() -> None:
        step = next(steps)
        if step == 7:
            open_segments(tmp_path, "worker-1", "process", boot="run")[0].close()
        if step == 3:
            segments._start_segment()
        segments.write(chain.add("log.heartbeat", [{}]), chain.position)

    records = islice(tail(tmp_path, count=5, follow=True, wait=write), 14)
    seen = [(record.log, record.seq) for record in records]
    assert len(seen) == len(set(seen))
    assert [seq for log, seq in seen if log == "worker-0"] == list(range(13))
    assert [seq for log, seq in seen if log == "worker-1"] == [0]
    segments.close()


def test_tail_shows_a_record_once_that_is_written_while_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments, chain = open_segments(tmp_path, "worker-0", "process", boot="run")

    def write() -> None:
        segments.write(chain.add("log.heartbeat", [{}]), chain.position)

    def last_lines_of_a_moment_later(log: Path, number: int) -> list[bytes]:
        write()
        return last_lines(log, number)

    monkeypatch.setattr("proxy.access_log.search.last_lines", last_lines_of_a_moment_later)
    records = islice(tail(tmp_path, count=5, follow=True, wait=write), 4)
    assert [record.seq for record in records] == [0, 1, 2, 3]
    segments.close()


async def test_reading_the_log_is_recorded_in_a_log_of_its_own(
    open_log: OpenLog, tmp_path: Path
) -> None:
    open_log()  # a proxy that runs meanwhile
    given = Filters(tool="mailer", since=START)
    record_reading(tmp_path, reader="ana", command="search", filters=given.names())
    record_reading(tmp_path, reader="ana", command="verify")
    read = list(search(tmp_path, Filters(kind="log.read")))
    assert [(record.log, record.fields["command"]) for record in read] == [
        ("reader", "search"),
        ("reader", "verify"),
    ]
    assert read[0].fields["reader"] == "ana"
    assert read[0].fields["filters"] == ["tool", "since"]
    assert b"mailer" not in (tmp_path / "reader" / "0000000000000000.jsonl").read_bytes()
    report = verify(tmp_path)
    assert report.exit_code == 0
    assert [log.runs for log in report.logs if log.name == "reader"] == [2]


def test_a_reading_that_can_not_be_recorded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError):
        record_reading(tmp_path / "file", reader="ana", command="tail")
