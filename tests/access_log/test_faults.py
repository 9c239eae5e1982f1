"""Whatever goes wrong with the disk or the files: nothing more is promised, and nothing retried."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.access_log.log import AccessLog, LogDamaged, LogSealed
from proxy.access_log.verify import verify
from tests.segments import records_of

OpenLog = Callable[..., AccessLog]
PROGRAM = Path(__file__).with_name("writer_program.py")
ROOT = Path(__file__).parents[2]


def segment(folder: Path) -> Path:
    return max((folder / "worker-0").glob("*.jsonl"))


async def append_until_sealed(log: AccessLog, most: int = 100) -> int:
    """Append records one by one; how many became durable before the log was sealed."""
    for number in range(most):
        try:
            await log.append("log.heartbeat", {}).wait()
        except LogSealed:
            return number
    raise AssertionError("the log was never sealed")


async def assert_is_sealed_for_good(log: AccessLog, reason: str) -> None:
    assert log.sealed == reason
    with pytest.raises(LogSealed, match=reason):
        log.append("log.heartbeat", {})
    told = asyncio.Event()
    log.add_on_sealed(told.set)
    await told.wait()


@pytest.mark.parametrize("durability", ["host", "process"])
@pytest.mark.parametrize("n", range(1, 8))
async def test_after_the_nth_write_fails_nothing_is_durable_and_the_file_is_left_alone(
    open_log: OpenLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, n: int
) -> None:
    log = open_log(durability=durability)
    calls = 0
    real = os.write

    def write(fd: int, data: bytes) -> int:
        nonlocal calls
        if b"log.heartbeat" not in data:
            return real(fd, data)  # asyncio's own
        calls += 1
        if calls == n:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    assert await append_until_sealed(log) == n - 1
    await assert_is_sealed_for_good(log, "write_failed")
    await log.close()
    assert calls == n
    assert len(records_of(tmp_path)) == n


@pytest.mark.parametrize("n", range(1, 8))
async def test_after_the_nth_fdatasync_fails_it_is_never_called_again(
    open_log: OpenLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    log = open_log()
    calls = 0

    def fdatasync(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls == n:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    assert await append_until_sealed(log) == n - 1
    await assert_is_sealed_for_good(log, "sync_failed")
    await log.close()
    assert calls == n
    monkeypatch.undo()
    # What the failed group held is in the file, unpromised; the next run goes on behind it.
    again = open_log()
    await again.close()
    opened = [record for record in records_of(tmp_path) if record["kind"] == "log.opened"]
    assert [record["before"] for record in opened] == ["nothing", "interrupted"]
    assert verify(tmp_path).exit_code == 0


async def test_all_that_waits_fails_with_the_group_that_failed(
    open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log()
    held, gate = threading.Event(), threading.Event()

    def fdatasync(fd: int) -> None:
        held.set()
        gate.wait()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    order: list[int] = []
    tickets = [log.append("log.heartbeat", {}) for _ in range(3)]
    await asyncio.to_thread(held.wait)
    tickets += [log.append("log.heartbeat", {}) for _ in range(3)]
    for number, ticket in enumerate(tickets):
        ticket.add_done_callback(lambda ticket, number=number: order.append(number))  # type: ignore[misc]
    gate.set()
    for ticket in tickets:
        with pytest.raises(LogSealed, match="sync_failed: EIO"):
            await ticket.wait()
    assert all(ticket.failed and not ticket.is_durable for ticket in tickets)
    assert order == [0, 1, 2, 3, 4, 5]


async def test_the_writer_stops_by_itself_at_the_first_failure(
    open_log: OpenLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the loop to tell it so: a busy loop would let another group through."""
    log = open_log()
    held, gate = threading.Event(), threading.Event()
    calls = 0

    def fdatasync(fd: int) -> None:
        nonlocal calls
        calls += 1
        held.set()
        gate.wait()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    log.append("log.heartbeat", {})
    await asyncio.to_thread(held.wait)
    log.append("log.heartbeat", {})
    await asyncio.sleep(0)  # the second group is announced, and waits
    gate.set()
    writer = log._writer
    assert writer is not None
    writer.join(30)  # the loop stands still meanwhile
    assert not writer.is_alive()
    assert calls == 1
    assert len(records_of(tmp_path)) == 2


async def test_a_short_write_seals(
    open_log: OpenLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log()
    real = os.write

    def write(fd: int, data: bytes) -> int:
        return real(fd, data[:-7] if b"log.heartbeat" in data else data)

    monkeypatch.setattr(os, "write", write)
    assert await append_until_sealed(log) == 0
    await assert_is_sealed_for_good(log, "short_write")
    await log.close()
    monkeypatch.undo()
    torn = segment(tmp_path).read_bytes().rpartition(b"\n")[2]
    assert verify(tmp_path).logs[0].unfinished_bytes == len(torn) > 0
    again = open_log()
    await again.close()
    assert (tmp_path / "worker-0" / "0000000000000001.torn").read_bytes() == torn
    assert records_of(tmp_path)[1]["torn_bytes"] == len(torn)
    report = verify(tmp_path)
    assert (report.exit_code, report.logs[0].torn_bytes) == (0, len(torn))


@pytest.mark.parametrize("durability", ["host", "process"])
async def test_an_unlinked_log_file_seals_with_the_next_record(
    open_log: OpenLog, tmp_path: Path, durability: str
) -> None:
    log = open_log(durability=durability)
    segment(tmp_path).unlink()
    assert await append_until_sealed(log) == 0
    await assert_is_sealed_for_good(log, "file_replaced")


@pytest.mark.parametrize("durability", ["host", "process"])
async def test_an_unlinked_log_file_seals_an_idle_log(
    open_log: OpenLog, tmp_path: Path, durability: str
) -> None:
    log = open_log(durability=durability, check_s=0.001, heartbeat_s=3600)
    told = asyncio.Event()
    log.add_on_sealed(told.set)
    segment(tmp_path).unlink()
    await told.wait()
    await assert_is_sealed_for_good(log, "file_replaced")


async def test_another_file_in_its_place_seals(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log()
    path = segment(tmp_path)
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    copy.replace(path)
    assert await append_until_sealed(log) == 0
    await assert_is_sealed_for_good(log, "file_replaced")


async def test_a_moved_folder_seals(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log()
    (tmp_path / "worker-0").rename(tmp_path / "away")
    assert await append_until_sealed(log) == 0
    await assert_is_sealed_for_good(log, "file_replaced")


async def test_another_writer_seals(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log()
    with segment(tmp_path).open("ab") as file:
        file.write(b"{}\n")
    assert await append_until_sealed(log) == 0
    await assert_is_sealed_for_good(log, "foreign_writer")


async def test_a_truncated_file_seals(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log()
    await log.append("log.heartbeat", {}).wait()
    os.truncate(segment(tmp_path), 10)
    assert await append_until_sealed(log) == 0
    await assert_is_sealed_for_good(log, "foreign_writer")


async def test_too_little_free_space_seals_with_a_last_record_that_says_so(
    open_log: OpenLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(floor_bytes=1)
    await log.append("log.heartbeat", {}).wait()
    real = os.fstatvfs

    def fstatvfs(fd: int) -> os.statvfs_result:
        found = list(real(fd))
        found[4] = 0  # f_bavail: what is free for us
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "fstatvfs", fstatvfs)
    assert await append_until_sealed(log) == 0
    await assert_is_sealed_for_good(log, "disk_floor")
    await log.close()
    last = records_of(tmp_path)[-1]
    assert (last["kind"], last["seal"]) == ("log.sealed", "disk_floor")
    with pytest.raises(LogSealed, match="disk_floor"):
        open_log(floor_bytes=1)
    monkeypatch.undo()
    await open_log().close()
    assert verify(tmp_path).exit_code == 0
    assert records_of(tmp_path)[3]["before"] == "sealed"


async def test_a_disk_that_hangs_seals_and_what_it_says_later_is_not_believed(
    open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(stalled_after_s=0.02)
    problems: list[object] = []
    log.loop.set_exception_handler(lambda _, context: problems.append(context))
    gate = threading.Event()
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        gate.wait()
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    told = asyncio.Event()
    log.add_on_sealed(told.set)
    ticket = log.append("log.heartbeat", {})
    with pytest.raises(LogSealed, match="stalled"):
        await ticket.wait()
    await told.wait()
    gate.set()
    writer = log._writer
    assert writer is not None
    await asyncio.to_thread(writer.join)
    await asyncio.sleep(0)
    assert ticket.failed
    assert problems == []
    await assert_is_sealed_for_good(log, "stalled")


async def test_an_empty_segment_that_a_crash_left_is_continued(
    open_log: OpenLog, tmp_path: Path
) -> None:
    log = open_log()
    await log.close()
    (tmp_path / "worker-0" / "0000000000000002.jsonl").touch(mode=0o600)
    await open_log().close()
    assert verify(tmp_path).exit_code == 0
    assert [record["seq"] for record in records_of(tmp_path)] == [0, 1, 2, 3]


async def test_blocks_that_never_reached_the_disk_are_cut_off_and_kept(
    open_log: OpenLog, tmp_path: Path
) -> None:
    await open_log().close()
    with segment(tmp_path).open("ab") as file:
        file.write(b"\0" * 5000 + b'"}\n')
    await open_log().close()
    assert (tmp_path / "worker-0" / "0000000000000002.torn").stat().st_size == 5003
    assert verify(tmp_path).exit_code == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.replace(b'"nothing"', b'"nothinh"'),
        lambda content: content + content.splitlines(keepends=True)[-1],
        lambda content: b"\n".join(content.split(b"\n")[1:]),
        lambda content: content + b"{}\n",
    ],
)
async def test_a_log_whose_end_somebody_changed_is_not_continued(
    open_log: OpenLog, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    await open_log().close()
    path = segment(tmp_path)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    assert verify(tmp_path).exit_code == 1
    with pytest.raises(LogDamaged):
        open_log()
    assert path.read_bytes() == damaged


# --- real disks, real signals ----------------------------------------------------------------


def command(folder: Path, *options: object) -> list[str]:
    return [sys.executable, str(PROGRAM), str(folder), *map(str, options)]


def run(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def test_a_process_killed_at_any_moment_loses_no_record_it_promised(tmp_path: Path) -> None:
    chance = random.Random(20261122)
    promised: set[str] = set()
    for _ in range(20):
        with subprocess.Popen(
            command(tmp_path, "--burst", chance.choice([1, 3, 40])),
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 300)):
                promised.add(process.stdout.readline().strip())
            process.kill()
            promised.update(line.strip() for line in process.stdout if line.endswith("\n"))
    written = run(command(tmp_path, "--count", "1"))
    assert written.returncode == 0, written.stderr
    report = verify(tmp_path)
    assert report.exit_code == 0, list(report.lines())
    assert report.logs[0].runs == 21
    recorded = {record.get("id") for record in records_of(tmp_path)}
    assert promised <= recorded
    assert len(promised) > 20


def test_when_the_disk_says_eio_once_it_is_never_asked_again(tmp_path: Path) -> None:
    """The same as with the patched fdatasync above, by the C library's own."""
    words, environment = failing_third_sync(tmp_path, command(tmp_path / "log"))
    done = run(words, **environment)
    *promised, sealed = done.stdout.splitlines()
    assert sealed == "sealed sync_failed", done.stderr
    # The first was for log.opened, the second for the only access that was promised.
    assert len(promised) == 1
    if "FAIL_SYNC" in environment:
        assert done.stderr.splitlines() == ["fdatasync 1", "fdatasync 2", "fdatasync 3"]
    assert verify(tmp_path / "log").exit_code == 0


def failing_third_sync(tmp_path: Path, words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Run with a third fdatasync that fails: by a preloaded library, by strace, or patched."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is not None:
        library = tmp_path / "failing_sync.so"
        source = Path(__file__).with_name("failing_sync.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
        return words, {"LD_PRELOAD": str(library), "FAIL_SYNC": "3"}
    strace = shutil.which("strace")
    if strace is not None:
        injection = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=3"]
        return [strace, "-f", "-qq", "-o", "/dev/null", *injection, *words], {}
    return [*words, "--fail-sync", "3"], {}


def test_a_file_that_may_not_grow_seals_and_the_next_run_goes_on(tmp_path: Path) -> None:
    done = run(command(tmp_path, "--file-bytes", 20_001, "--burst", "3"))
    *promised, sealed = done.stdout.splitlines()
    assert sealed == "sealed short_write", done.stderr
    assert promised
    again = run(command(tmp_path, "--count", "1"))
    assert again.returncode == 0, again.stderr
    report = verify(tmp_path)
    assert (report.exit_code, report.logs[0].runs) == (0, 2)
    assert report.logs[0].torn_bytes > 0
    assert set(promised) <= {record.get("id") for record in records_of(tmp_path)}


def test_a_full_disk_seals_and_the_next_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    ballast = tmp_path / "ballast"
    program = command(tmp_path / "log", "--burst", "3", "--then", ballast)
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    mount = 'mount -t tmpfs -o size=512k none "$0" && '
    if run([*unshare, "sh", "-c", mount + "true", str(tmp_path)]).returncode == 0:
        script = mount + 'head -c 262144 /dev/zero >"$0/ballast" && exec "$@"'
        words = [*unshare, "sh", "-c", script, str(tmp_path), *program]
    else:  # where nothing may be mounted, a limit on the file's size stands in for the disk's
        ballast.touch()
        words = [*program, "--file-bytes", "40001"]
    done = run(words)
    *promised, sealed, verified = done.stdout.splitlines()
    assert sealed in {"sealed write_failed", "sealed short_write"}, done.stderr
    assert promised
    assert verified == "verified 0"
