"""Order and durability: what a ticket promises, and what it costs."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.access_log.canonical import RecordError
from proxy.access_log.frames import OutcomeFields
from proxy.access_log.log import (
    QUEUE_RECORDS_MAX,
    AccessLog,
    LogFull,
    LogLocked,
    LogSealed,
    Ticket,
)
from proxy.access_log.record import Asker, intent_fields, new_id, outcome_fields
from proxy.access_log.verify import verify
from proxy.errors import ConfigurationError
from proxy.rewrite.plan import Plan
from tests.segments import records_of

OpenLog = Callable[..., AccessLog]


def kinds_of(folder: Path) -> list[object]:
    return [record["kind"] for record in records_of(folder)]


class Syncs:
    """Counts fdatasync, and holds it back while `gate` is closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.gate = threading.Event()
        self.gate.set()
        self.is_held = threading.Event()
        real = os.fdatasync

        def fdatasync(fd: int) -> None:
            self.count += 1
            if not self.gate.is_set():
                self.is_held.set()
            self.gate.wait()
            real(fd)

        monkeypatch.setattr(os, "fdatasync", fdatasync)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    return Syncs(monkeypatch)


def outcome(access_id: str) -> OutcomeFields:
    return outcome_fields(
        access_id=access_id,
        state="complete",
        rows=1,
        bytes_sent=10,
        plan_us=1,
        upstream_us=2,
        total_us=3,
    )


@pytest.mark.parametrize("durability", ["host", "process"])
async def test_a_record_is_in_the_file_when_its_ticket_says_durable(
    open_log: OpenLog, tmp_path: Path, asker: Asker, plan: Plan, durability: str
) -> None:
    log = open_log(durability=durability)
    access_id = new_id()
    ticket = log.append("access.intent", intent_fields(asker, plan, access_id=access_id))
    assert (ticket.is_durable, ticket.failed) == (False, False)
    await ticket.wait()
    assert (ticket.is_durable, ticket.failed) == (True, False)
    assert records_of(tmp_path)[-1]["id"] == access_id


async def test_a_ticket_is_not_durable_before_fdatasync_has_returned(
    open_log: OpenLog, tmp_path: Path, syncs: Syncs
) -> None:
    log = open_log()
    syncs.gate.clear()
    ticket = log.append("log.heartbeat", {})
    await asyncio.to_thread(syncs.is_held.wait)
    assert kinds_of(tmp_path)[-1] == "log.heartbeat"  # written …
    assert not ticket.is_durable  # … which is not enough
    syncs.gate.set()
    await ticket.wait()
    assert ticket.is_durable


async def test_all_records_of_one_iteration_share_one_fdatasync(
    open_log: OpenLog, syncs: Syncs
) -> None:
    log = open_log()
    before = syncs.count
    tickets = [log.append("log.heartbeat", {}) for _ in range(500)]
    await tickets[-1].wait()
    assert all(ticket.is_durable for ticket in tickets)
    assert syncs.count == before + 1


async def test_what_comes_while_the_disk_works_waits_for_one_more_fdatasync(
    open_log: OpenLog, syncs: Syncs
) -> None:
    log = open_log()
    before = syncs.count
    syncs.gate.clear()
    first = log.append("log.heartbeat", {})
    await asyncio.to_thread(syncs.is_held.wait)
    others = []
    for _ in range(200):
        others.append(log.append("log.heartbeat", {}))
        await asyncio.sleep(0)
    assert not first.is_durable
    syncs.gate.set()
    await others[-1].wait()
    assert syncs.count == before + 2


async def test_durability_process_never_syncs_and_writes_once_per_iteration(
    open_log: OpenLog, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(durability="process")
    writes: list[int] = []
    real = os.write

    def write(fd: int, data: bytes) -> int:
        writes.append(len(data))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    tickets = [log.append("log.heartbeat", {}) for _ in range(100)]
    await tickets[-1].wait()
    assert all(ticket.is_durable for ticket in tickets)
    assert len([size for size in writes if size > 1000]) == 1
    assert syncs.count == 0


async def test_callbacks_run_in_the_loop_and_in_the_order_of_the_records(
    open_log: OpenLog,
) -> None:
    log = open_log()
    called: list[int] = []
    threads: set[threading.Thread] = set()
    done = asyncio.Event()

    def note(number: int) -> Callable[[Ticket], None]:
        def callback(ticket: Ticket) -> None:
            assert ticket.is_durable
            called.append(number)
            threads.add(threading.current_thread())
            if number == 299:
                done.set()

        return callback

    for number in range(300):
        log.append("log.heartbeat", {}).add_done_callback(note(number))
        if number % 7 == 0:
            await asyncio.sleep(0)
    await done.wait()
    assert called == list(range(300))
    assert threads == {threading.current_thread()}


async def test_a_callback_of_a_ticket_that_is_already_durable_is_called_soon(
    open_log: OpenLog,
) -> None:
    log = open_log()
    ticket = log.append("log.heartbeat", {})
    await ticket.wait()
    await ticket.wait()
    called = asyncio.Event()
    ticket.add_done_callback(lambda _: called.set())
    assert not called.is_set()
    await called.wait()


async def test_a_callback_that_fails_does_not_keep_the_others_from_being_called(
    open_log: OpenLog,
) -> None:
    log = open_log()
    problems: list[object] = []
    log.loop.set_exception_handler(lambda _, context: problems.append(context["exception"]))
    ticket, other = log.append("log.heartbeat", {}), log.append("log.heartbeat", {})
    ticket.add_done_callback(lambda _: 1 // 0)
    called = asyncio.Event()
    ticket.add_done_callback(lambda _: called.set())
    await other.wait()
    assert called.is_set()
    assert [type(problem) for problem in problems] == [ZeroDivisionError]


async def test_beyond_4096_waiting_records_an_access_is_refused_but_outcomes_are_not(
    open_log: OpenLog, tmp_path: Path, syncs: Syncs, asker: Asker, plan: Plan
) -> None:
    log = open_log()
    syncs.gate.clear()
    ids = [new_id() for _ in range(QUEUE_RECORDS_MAX)]
    for access_id in ids:
        log.append("access.intent", intent_fields(asker, plan, access_id=access_id))
    with pytest.raises(LogFull):
        log.append("access.intent", intent_fields(asker, plan, access_id=new_id()))
    assert log.sealed is None
    tickets = [log.append("access.outcome", outcome(access_id)) for access_id in ids]
    with pytest.raises(LogSealed):
        log.append("access.outcome", outcome(ids[0]))
    syncs.gate.set()
    await tickets[-1].wait()
    await log.append("access.intent", intent_fields(asker, plan, access_id=new_id())).wait()
    assert verify(tmp_path).exit_code == 0


async def test_a_record_that_must_not_be_written_changes_nothing(
    open_log: OpenLog, tmp_path: Path
) -> None:
    log = open_log()
    with pytest.raises(RecordError):
        log.append("log.heartbeat", {"note": "free text"})
    await log.append("log.heartbeat", {}).wait()
    assert kinds_of(tmp_path) == ["log.opened", "log.heartbeat"]
    assert verify(tmp_path).exit_code == 0


async def test_a_second_writer_of_the_same_log_is_turned_away(
    open_log: OpenLog, tmp_path: Path
) -> None:
    log = open_log()
    with pytest.raises(LogLocked):
        open_log()
    other = open_log("worker-1")  # its own log, in the same folder
    await log.append("log.heartbeat", {}).wait()
    await other.append("log.heartbeat", {}).wait()
    await log.close()
    again = open_log()
    await again.append("log.heartbeat", {}).wait()
    assert {report.name for report in verify(tmp_path).logs} == {"worker-0", "worker-1"}


@pytest.mark.parametrize("name", ["", "..", "a/b", "UPPER", ".hidden", "x" * 65])
async def test_a_log_is_only_called_what_a_folder_can_safely_be_called(
    open_log: OpenLog, name: str
) -> None:
    with pytest.raises(ConfigurationError):
        open_log(name)


async def test_numbers_and_hashes_go_on_in_the_next_run_and_it_says_how_the_last_one_ended(
    open_log: OpenLog, tmp_path: Path
) -> None:
    for _ in range(3):
        log = open_log()
        await log.append("log.heartbeat", {}).wait()
        await log.close()
    records = records_of(tmp_path)
    assert [record["seq"] for record in records] == list(range(9))
    opened = [record for record in records if record["kind"] == "log.opened"]
    assert [record["before"] for record in opened] == ["nothing", "closed", "closed"]
    assert len({record["boot"] for record in records}) == 3
    report = verify(tmp_path)
    assert (report.exit_code, report.logs[0].runs) == (0, 3)


async def test_closing_writes_what_waits_and_then_takes_nothing_more(
    open_log: OpenLog, tmp_path: Path
) -> None:
    log = open_log()
    tickets = [log.append("log.heartbeat", {}) for _ in range(10)]
    await log.close()
    await log.close()
    assert all(ticket.is_durable for ticket in tickets)
    assert log.sealed == "closed"
    with pytest.raises(LogSealed, match="closed"):
        log.append("log.heartbeat", {})
    assert kinds_of(tmp_path) == ["log.opened", *["log.heartbeat"] * 10, "log.sealed"]


async def test_segments_are_of_limited_size_and_sort_by_name(
    open_log: OpenLog, tmp_path: Path, asker: Asker, plan: Plan
) -> None:
    for _ in range(3):
        log = open_log(segment_bytes=4096)
        for _ in range(20):
            fields = intent_fields(asker, plan, access_id=new_id())
            await log.append("access.intent", fields).wait()
        await log.close()
    segments = sorted((tmp_path / "worker-0").glob("*.jsonl"))
    assert len(segments) > 6
    assert all(path.stat().st_size <= 4096 for path in segments)
    assert [record["seq"] for record in records_of(tmp_path)] == list(range(66))
    assert verify(tmp_path).exit_code == 0


async def test_files_are_for_their_owner_alone(open_log: OpenLog, tmp_path: Path) -> None:
    open_log(folder=tmp_path / "var" / "access-log")
    folder = tmp_path / "var" / "access-log" / "worker-0"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


async def test_an_idle_log_says_now_and_then_that_it_lives(
    open_log: OpenLog, tmp_path: Path
) -> None:
    open_log(heartbeat_s=0)
    async with asyncio.timeout(30):
        while kinds_of(tmp_path).count("log.heartbeat") < 3:  # noqa: ASYNC110 - the file tells
            await asyncio.sleep(0.01)
    assert kinds_of(tmp_path)[:4] == ["log.opened", *["log.heartbeat"] * 3]
    assert verify(tmp_path).exit_code == 0


async def test_the_log_can_be_verified_while_it_is_being_written(
    open_log: OpenLog, tmp_path: Path, asker: Asker, plan: Plan
) -> None:
    log = open_log(segment_bytes=64 * 1024)
    done = asyncio.Event()

    async def write() -> None:
        while not done.is_set():
            access_id = new_id()
            log.append("access.intent", intent_fields(asker, plan, access_id=access_id))
            await log.append("access.outcome", outcome(access_id)).wait()

    writing = asyncio.create_task(write())
    reports = [await asyncio.to_thread(verify, tmp_path)]
    async with asyncio.timeout(60):
        # Twenty at least, and until it has grown under the reader's eyes.
        while len(reports) < 20 or reports[-1].logs[0].records == reports[0].logs[0].records:
            reports.append(await asyncio.to_thread(verify, tmp_path))
    done.set()
    await writing
    assert {report.exit_code for report in reports} == {0}
