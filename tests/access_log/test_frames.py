"""Records completed from what is known beforehand: byte for byte what encoding them whole gives."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from proxy.access_log.canonical import Chain, Position, RecordError, parse_record
from proxy.access_log.forms import FIELDS, parts
from proxy.access_log.frames import (
    AskerPart,
    IntentFields,
    Lines,
    OutcomeFields,
    PlanPart,
)
from proxy.access_log.log import AccessLog
from proxy.access_log.record import Asker, intent_fields, new_id, outcome_fields, plan_part
from proxy.rewrite.plan import ColumnUse, Kind, Plan, TableUse

OpenLog = Callable[..., AccessLog]

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40).filter(
    str.isprintable
)
COUNTS = st.integers(0, 2**53 - 1)
ASKERS = st.builds(
    Asker,
    tool=NAMES,
    credential=NAMES,
    via=st.sampled_from(["postgres", "http"]),
    client=st.sampled_from(["local", "10.0.0.7:51344"]),
    application_name=st.text(max_size=80),
    purpose=st.none() | NAMES,
    purpose_from=st.none() | st.sampled_from(["default", "set"]),
    policy=st.sampled_from(["", "ab" * 32]),
)
COLUMNS = st.lists(
    st.builds(
        ColumnUse,
        name=NAMES,
        category=st.none() | NAMES,
        verdict=st.sampled_from(["shown", "guarded", "masked", "absent"]),
        mask=st.none() | st.text(max_size=300),
    ),
    max_size=400,
).map(tuple)
PLANS = st.builds(
    Plan,
    kind=st.just(Kind.SELECT),
    text=st.text(max_size=10),
    tables=st.lists(st.builds(TableUse, name=NAMES, columns=COLUMNS), max_size=3).map(tuple),
    statement=st.text(st.characters(exclude_categories=["Cs"]), max_size=9000),
    shape=st.sampled_from(["", "cd" * 32]),
)
PLACES = st.tuples(
    st.sampled_from(["worker-0", "a_b"]), st.sampled_from(["run-1", "100%b%%d", "é"])
)


def chain(place: tuple[str, str]) -> Chain:
    return Chain(*place, Position(7, "ef" * 32), lambda: 1_700_000_000_123_456)


def same(place: tuple[str, str], kind: str, records: list[Mapping[str, object]]) -> None:
    quick, whole = chain(place), chain(place)
    lines = Lines(quick)
    for fields in records:
        line = lines.of(kind, fields)
        assert line == whole.add(kind, parts(kind, dict(fields)))
        assert quick.position == whole.position
        for each in line.splitlines():
            assert parse_record(each) is not None
            assert rfc8785.dumps(orjson.loads(each)) == each


@given(PLACES, ASKERS, PLANS)
def test_an_intent_is_what_encoding_it_whole_gives(
    place: tuple[str, str], asker: Asker, plan: Plan
) -> None:
    same(place, "access.intent", [intent_fields(asker, plan, access_id=new_id()) for _ in range(3)])


@given(
    PLACES,
    st.sampled_from(["complete", "error", "cancelled", "client_gone"]),
    st.lists(COUNTS, min_size=5, max_size=5),
    st.none() | st.sampled_from(["42501", "57014", "XX000"]),
)
def test_an_outcome_is_what_encoding_it_whole_gives(
    place: tuple[str, str], state: str, numbers: list[int], sqlstate: str | None
) -> None:
    sent, plan_us, total_us, upstream_us, rows = numbers
    fields = outcome_fields(
        access_id=new_id(),
        state=state,  # type: ignore[arg-type]  # one of them
        rows=rows,
        bytes_sent=sent,
        plan_us=plan_us,
        upstream_us=upstream_us,
        total_us=total_us,
        sqlstate=sqlstate,
    )
    same(place, "access.outcome", [fields, fields])


@pytest.mark.parametrize(
    "wrong",
    [
        OutcomeFields("no id", "complete", (1, 1, 1, 1, 1), ""),
        OutcomeFields(new_id(), "unheard", (1, 1, 1, 1, 1), ""),
        OutcomeFields(new_id(), "complete", (1, 1, 1, 1, -1), ""),
        OutcomeFields(new_id(), "complete", (2**53, 1, 1, 1, 1), ""),
        OutcomeFields(new_id(), "error", (1, 1, 1, 1, 1), 'a","b":"'),
    ],
)
def test_what_an_outcome_may_not_say_is_not_written(wrong: OutcomeFields) -> None:
    quick = chain(("worker-0", "run-1"))
    with pytest.raises(RecordError):
        Lines(quick).of("access.outcome", wrong)
    with pytest.raises(RecordError):
        parts("access.outcome", dict(wrong))
    assert quick.position.seq == 7


def test_what_an_intent_may_not_say_is_not_written(asker: Asker, plan: Plan) -> None:
    quick = chain(("worker-0", "run-1"))
    asked, planned = asker.part, plan_part(plan)
    for remark in ({"remark": "free text"}, {"via": "carrier pigeon"}, {"seq": 3}, {"shape": ""}):
        wrong = AskerPart({**asked.fields, **remark})
        with pytest.raises(RecordError):
            Lines(quick).of("access.intent", IntentFields(new_id(), wrong, planned))
    for remark in ({"remark": "free text"}, {"shape": "no hash"}, {"seq": 3}, {"tool": "other"}):
        with pytest.raises(RecordError):
            PlanPart({**planned.fields, **remark})
    for name in asked.fields:
        if name in ("tool", "credential", "via", "client", "policy"):
            less = {each: value for each, value in asked.fields.items() if each != name}
            with pytest.raises(RecordError):
                Lines(quick).of("access.intent", IntentFields(new_id(), AskerPart(less), planned))
    Lines(quick).of("access.intent", IntentFields(new_id(), asked, planned))
    for no_id in ('x","y":"', "not an id", "0" * 36, new_id().upper(), new_id()[:-1] + "g"):
        with pytest.raises(RecordError):  # also when its parts are known
            Lines(quick).of("access.intent", IntentFields(no_id, asked, planned))
    assert quick.position.seq == 8


def test_ids_are_of_version_seven_and_sort_by_time() -> None:
    made = [new_id() for _ in range(5000)]
    assert all(map(FIELDS["id"], made))
    assert len(set(made)) == len(made)
    assert {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in made} == {
        (7, uuid.RFC_4122)
    }
    assert [each[:13] for each in made] == sorted(each[:13] for each in made)
    assert {each[19] for each in made} == set("89ab")


def test_a_process_that_was_forked_makes_ids_of_its_own() -> None:
    new_id()
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, "".join(new_id()[14:] for _ in range(20)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    of_child = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert len(of_child) == 20 * 22
    assert not any(new_id()[14:] in of_child for _ in range(20))


def test_the_same_fields_are_encoded_anew_for_another_log(asker: Asker, plan: Plan) -> None:
    fields = intent_fields(asker, plan, access_id=new_id())
    for place in (("worker-0", "run-1"), ("worker-1", "run-2"), ("worker-0", "run-1")):
        same(place, "access.intent", [fields])


async def test_an_outcome_is_written_though_nothing_follows(
    open_log: OpenLog, tmp_path: Path, asker: Asker, plan: Plan
) -> None:
    for durability in ("host", "process"):
        log = open_log(f"log-{durability}", durability)
        access_id = new_id()
        await log.append("access.intent", intent_fields(asker, plan, access_id=access_id)).wait()
        ended = outcome_fields(
            access_id=access_id, state="complete", rows=1, bytes_sent=1,
            plan_us=1, upstream_us=1, total_us=1,
        )  # fmt: skip
        await log.append("access.outcome", ended).wait()
        (segment,) = (tmp_path / f"log-{durability}").glob("*.jsonl")
        assert b'"kind":"access.outcome"' in segment.read_bytes().splitlines()[-1]
