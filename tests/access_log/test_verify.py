"""The verifier: whatever is done to the files is found, and nothing else is."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access_log.canonical import Chain, Position
from proxy.access_log.forms import parts
from proxy.access_log.frames import OutcomeFields
from proxy.access_log.log import AccessLog, open_segments
from proxy.access_log.record import Asker, intent_fields, new_id, outcome_fields
from proxy.access_log.tables import Tables
from proxy.access_log.verify import CHANGED, INTACT, UNVERIFIABLE, WITHOUT_CHECKPOINTS, verify
from proxy.rewrite.plan import ColumnUse, Kind, Plan, TableUse

OpenLog = Callable[..., AccessLog]


def outcome(access_id: str) -> OutcomeFields:
    return outcome_fields(
        access_id=access_id,
        state="complete",
        rows=3,
        bytes_sent=99,
        plan_us=1,
        upstream_us=2,
        total_us=3,
    )


def wide_plan() -> Plan:
    columns = tuple(
        ColumnUse(name=f"column_{number}", category="user.contact", verdict="shown")
        for number in range(700)
    )
    use = TableUse(name="crm.wide", columns=columns)
    return Plan(kind=Kind.SELECT, text="", tables=(use,), statement="TABLE crm.wide")


@pytest.fixture
async def clean(open_log: OpenLog, tmp_path: Path, asker: Asker, plan: Plan) -> Path:
    """A folder with one log of three runs and several segments; all kinds of access in it."""
    folder = tmp_path / "clean"
    for number in range(3):
        log = open_log(folder=folder, segment_bytes=20_000)
        for _ in range(12):
            access_id = new_id()
            one = wide_plan() if number == 1 else plan
            fields = intent_fields(asker, one, access_id=access_id)
            await log.append("access.intent", fields).wait()
            await log.append("access.outcome", outcome(access_id)).wait()
        await log.close()
    return folder


def segments_of(folder: Path) -> list[Path]:
    return sorted((folder / "worker-0").glob("*.jsonl"))


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in segments_of(folder))


def test_a_clean_log_is_intact_and_counted(clean: Path) -> None:
    report = verify(clean)
    (log,) = report.logs
    assert report.exit_code == INTACT
    assert (log.runs, log.intents, log.outcomes, log.ends_unknown, log.ends_open) == (
        3,
        36,
        36,
        0,
        0,
    )
    assert log.records == len(content_of(clean).splitlines())
    assert list(report.lines())[-2:] == ["intact", WITHOUT_CHECKPOINTS]


def test_any_flipped_bit_is_found(clean: Path) -> None:
    """A bit of every kind of place: 500 of them, anywhere but in the very last record."""
    chance = random.Random(7)
    for path in segments_of(clean):
        content = path.read_bytes()
        is_newest = path == segments_of(clean)[-1]
        end = content.rstrip(b"\n").rfind(b"\n") + 1 if is_newest else len(content)
        for _ in range(100):
            place = chance.randrange(end)
            changed = bytearray(content)
            changed[place] ^= 1 << chance.randrange(8)
            path.write_bytes(changed)
            assert verify(clean).exit_code == CHANGED, (path.name, place)
        path.write_bytes(content)
    assert verify(clean).exit_code == INTACT


def changed_lines(lines: list[bytes], chance: random.Random) -> Iterator[tuple[str, list[bytes]]]:
    """What somebody may do to records, the last two left in place so that the end still tells."""
    last = len(lines) - 2
    one, other = sorted(chance.sample(range(last), 2))
    yield "delete", lines[:one] + lines[one + 1 :]
    yield "delete many", lines[:one] + lines[other:]
    yield "repeat", [*lines[: one + 1], *lines[one:]]
    yield "insert", [*lines[:one], lines[other], *lines[one:]]
    yield "empty line", [*lines[:one], b"", *lines[one:]]
    yield (
        "swap",
        [*lines[:one], lines[other], *lines[one + 1 : other], lines[one], *lines[other + 1 :]],
    )
    yield "cut in the middle", [*lines[:one], lines[one][:50], *lines[one + 1 :]]
    yield "space", [*lines[:one], lines[one].replace(b":", b": ", 1), *lines[one + 1 :]]
    record = orjson.loads(lines[one])
    record["at"] = "2020-01-01T00:00:00.000000Z"
    yield (
        "edit",
        [*lines[:one], orjson.dumps(record, option=orjson.OPT_SORT_KEYS), *lines[one + 1 :]],
    )
    yield "newline", [*lines[:one], lines[one] + b"\r", *lines[one + 1 :]]


def test_whatever_is_done_to_records_is_found_and_the_first_bad_one_named(
    clean: Path,
) -> None:
    chance = random.Random(11)
    first, *others = segments_of(clean)
    for path in others:
        with first.open("ab") as file:
            file.write(path.read_bytes())
        path.unlink()
    content = first.read_bytes()
    assert verify(clean).exit_code == INTACT
    lines = content.splitlines()
    for _ in range(40):
        for what, changed in changed_lines(lines, chance):
            first.write_bytes(b"\n".join(changed) + b"\n")
            report = verify(clean)
            assert report.exit_code == CHANGED, what
            bad = report.logs[0].bad
            assert bad is not None
            same = next(i for i, (a, b) in enumerate(zip(lines, changed, strict=False)) if a != b)
            # An edit that is itself canonical shows only in the next record's `prev`.
            assert bad.seq - same in {0, 1}, what
            assert "CHANGED" in list(report.lines())[-2]
    first.write_bytes(content)
    assert verify(clean).exit_code == INTACT


def test_a_missing_added_or_shortened_file_is_found(clean: Path, tmp_path: Path) -> None:
    count = len(segments_of(clean))
    assert count > 4
    for number in range(count - 1):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(clean, copy)
        path = segments_of(copy)[number]
        content = path.read_bytes()
        path.unlink()
        assert verify(copy).exit_code == CHANGED
        path.write_bytes(b"")
        assert verify(copy).exit_code == CHANGED
        path.write_bytes(content[: len(content) // 2])
        assert verify(copy).exit_code == CHANGED
        path.write_bytes(content[: content[:-1].rfind(b"\n") + 1])
        assert verify(copy).exit_code == CHANGED
        path.write_bytes(content + b"{}")
        assert verify(copy).exit_code == CHANGED
        path.write_bytes(content)
        assert verify(copy).exit_code == INTACT
    (clean / "worker-0" / "0000000000000005.jsonl").write_bytes(b"")
    assert verify(clean).exit_code == CHANGED


def test_an_end_that_was_cut_off_can_not_be_seen_and_the_last_line_says_so(
    clean: Path,
) -> None:
    path = segments_of(clean)[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    report = verify(clean)
    assert report.exit_code == INTACT
    assert "can not be seen" in list(report.lines())[-1]


def test_a_line_that_is_still_being_written_is_no_record_and_no_damage(clean: Path) -> None:
    path = segments_of(clean)[-1]
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    report = verify(clean)
    assert report.exit_code == INTACT
    assert report.logs[0].unfinished_bytes > 0


def test_a_log_under_another_name_is_not_that_log(clean: Path) -> None:
    (clean / "worker-0").rename(clean / "worker-1")
    assert verify(clean).exit_code == CHANGED


async def test_bytes_that_were_set_aside_must_still_be_there(
    open_log: OpenLog, tmp_path: Path
) -> None:
    await open_log().close()
    with segments_of(tmp_path)[0].open("ab") as file:
        file.write(b'{"half of a rec')
    await open_log().close()
    assert verify(tmp_path).exit_code == INTACT
    torn = tmp_path / "worker-0" / "0000000000000002.torn"
    torn.write_bytes(b'{"half of a rex')
    assert verify(tmp_path).exit_code == CHANGED
    torn.unlink()
    assert verify(tmp_path).exit_code == CHANGED


def test_where_there_is_no_log_nothing_is_said_to_be_intact(tmp_path: Path) -> None:
    assert verify(tmp_path).exit_code == UNVERIFIABLE
    assert verify(tmp_path / "missing").exit_code == UNVERIFIABLE
    (tmp_path / "worker-0").mkdir()
    assert verify(tmp_path).exit_code == UNVERIFIABLE


async def test_accesses_without_an_end_are_counted_and_those_of_ended_runs_set_apart(
    open_log: OpenLog, tmp_path: Path, asker: Asker, plan: Plan
) -> None:
    for ends in (2, 3):
        log = open_log()
        for number in range(5):
            access_id = new_id()
            log.append("access.intent", intent_fields(asker, plan, access_id=access_id))
            if number < ends:
                log.append("access.outcome", outcome(access_id))
        await log.close()
    (report,) = verify(tmp_path).logs
    assert (report.intents, report.outcomes) == (10, 5)
    assert (report.ends_unknown, report.ends_open) == (3, 2)


# Chains that are in order but say what no proxy of ours says: made with the chain itself.


def write_log(folder: Path, *records: tuple[str, dict[str, object]]) -> None:
    segments, chain = open_segments(folder, "worker-0", "process", boot="run-1")
    for kind, fields in records:
        segments.write(chain.add(kind, [fields]), chain.position)
    segments.close()


@pytest.mark.parametrize(
    ("records", "what"),
    [
        ([("access.outcome", {"id": "a"})], "an outcome without an intent"),
        (
            [("access.intent", {"id": "a"}), *[("access.outcome", {"id": "a"})] * 2],
            "or a second one",
        ),
        ([("access.intent", {"id": "a"})] * 2, "a second intent"),
        ([("access.more", {"id": "a", "part": 1})], "was not to be continued"),
        (
            [("access.intent", {"id": "a", "more": 1}), ("access.outcome", {"id": "a"})],
            "part 1 of 1",
        ),
        (
            [
                ("access.intent", {"id": "a", "more": 2}),
                ("x", {"id": "a", "part": 1}),
            ],
            "part 1 of 2",
        ),
        ([("access.intent", {"id": "a", "more": "many"})], "how many records"),
        ([("access.intent", {"id": ["a"], "more": -1})], "how many records"),
        ([("log.opened", {"torn_bytes": "many"})], "how many bytes"),
    ],
)
def test_records_in_order_that_can_not_follow_each_other_are_found(
    tmp_path: Path, records: list[tuple[str, dict[str, object]]], what: str
) -> None:
    write_log(tmp_path, *records)
    report = verify(tmp_path)
    assert report.exit_code == CHANGED
    assert report.logs[0].bad is not None
    assert what in report.logs[0].bad.what


def test_a_run_that_did_not_open_the_log_is_found(tmp_path: Path) -> None:
    segments, chain = open_segments(tmp_path, "worker-0", "process", boot="run-1")
    other = Chain("worker-0", "run-2", chain.position, lambda: 0)
    segments.write(other.add("log.heartbeat", [{}]), other.position)
    segments.close()
    assert verify(tmp_path).exit_code == CHANGED
    first = Chain("worker-9", "run-1", Position(), lambda: 0)
    (tmp_path / "worker-9").mkdir()
    path = tmp_path / "worker-9" / "0000000000000000.jsonl"
    path.write_bytes(first.add("log.heartbeat", [{}]))
    assert verify(tmp_path).logs[1].bad is not None


def test_a_gap_in_the_numbers_is_found_even_where_the_hashes_fit(tmp_path: Path) -> None:
    segments, chain = open_segments(tmp_path, "worker-0", "process", boot="run-1")
    later = Chain("worker-0", "run-1", Position(7, chain.position.prev), lambda: 0)
    segments.write(later.add("log.heartbeat", [{}]), later.position)
    segments.close()
    (log,) = verify(tmp_path).logs
    assert log.bad is not None
    assert (log.bad.seq, log.bad.what) == (1, "out of order: it is numbered 7")


@given(st.binary(max_size=300), st.integers(0, 3))
def test_no_bytes_make_the_verifier_fail_or_say_yes_to_more_records(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, newlines: int
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    write_log(folder, ("log.heartbeat", {}))
    with segments_of(folder)[0].open("ab") as file:
        file.write(junk + b"\n" * newlines)
    report = verify(folder)
    assert report.logs[0].records == 2
    is_unfinished = not newlines and b"\n" not in junk
    assert report.exit_code == (INTACT if is_unfinished else CHANGED)
    shutil.rmtree(folder)


def test_split_records_are_counted_as_one_access(clean: Path, asker: Asker) -> None:
    fields = intent_fields(asker, wide_plan(), access_id=new_id())
    assert isinstance(fields["tables"], Tables)
    assert len(parts("access.intent", fields)) > 1
    assert b'"kind":"access.more"' in content_of(clean)
    assert verify(clean).logs[0].intents == 36
