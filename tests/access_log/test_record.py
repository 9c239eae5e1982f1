"""Records: their bytes, what may stand in them, and how long ones are continued."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from itertools import pairwise

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from proxy.access_log.canonical import (
    RECORD_BYTES_MAX,
    Chain,
    Position,
    RecordError,
    check_profile,
    encode,
    parse_record,
    record_hash,
)
from proxy.access_log.forms import parts
from proxy.access_log.record import (
    Asker,
    RecordKind,
    application_name,
    consent_fields,
    intent_fields,
    login_fields,
    new_id,
    outcome_fields,
    policy_fields,
    refused_fields,
    rejected_policy_fields,
)
from proxy.access_log.tables import column_key
from proxy.errors import Reason, Refused
from proxy.rewrite.plan import ColumnUse, Kind, Plan, TableUse

KEYS = st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=126), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def chain() -> Chain:
    return Chain("worker-0", "run-1", Position(), lambda: 1_700_000_000_123_456)


def written(kind: str, fields: Mapping[str, object]) -> list[dict[str, object]]:
    """The records that these fields become, read back from their bytes."""
    lines = chain().add(kind, parts(kind, fields)).split(b"\n")
    assert lines.pop() == b""
    records = [parse_record(line) for line in lines]
    return [record for record in records if record is not None]


@given(VALUES)
def test_the_bytes_of_every_value_of_the_profile_are_those_of_rfc_8785(value: object) -> None:
    check_profile(value)
    assert encode(value) == rfc8785.dumps(value)  # type: ignore[arg-type]  # JSON by construction


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_a_record_survives_the_round_trip_byte_for_byte(fields: dict[str, object]) -> None:
    reserved = {"v", "log", "seq", "prev", "at", "boot", "kind"}
    fields = {key: value for key, value in fields.items() if key not in reserved}
    line = chain().add("access.intent", [fields]).rstrip(b"\n")
    record = parse_record(line)
    assert record is not None
    assert {key: record[key] for key in fields} == fields
    assert encode(record) == line


@pytest.mark.parametrize("value", [1.5, 2**53, {"é": 1}, {1: 2}, [float("nan")], b"bytes"])
def test_what_lies_outside_the_profile_is_not_taken_for_part_of_it(value: object) -> None:
    with pytest.raises(RecordError):
        check_profile(value)


HEAD = b'{"at":"","boot":"","kind":"x","log":"","prev":"",'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b"not json",
        HEAD + b'"seq":0,"v":1,"v":1}',
        HEAD + b'"seq":true,"v":1}',
        HEAD + b'"seq":0.0,"v":1}',
        b'{"at": "","boot":"","kind":"x","log":"","prev":"","seq":0,"v":1}',
        b'{"boot":"","at":"","kind":"x","log":"","prev":"","seq":0,"v":1}',
        HEAD + b'"n":99999999999999999999,"seq":0,"v":1}',
        b'{"at":"\\u0041","boot":"","kind":"x","log":"","prev":"","seq":0,"v":1}',
    ],
)
def test_a_line_that_is_not_exactly_a_canonical_record_is_none(line: bytes) -> None:
    assert parse_record(line) is None


def test_each_record_holds_the_number_and_the_hash_of_the_one_before() -> None:
    one = chain()
    lines = b"".join(one.add("log.heartbeat", [{}]) for _ in range(5)).split(b"\n")[:-1]
    records = [orjson.loads(line) for line in lines]
    assert [record["seq"] for record in records] == [0, 1, 2, 3, 4]
    assert records[0]["prev"] == "0" * 64
    assert all(
        after["prev"] == record_hash(line) for line, after in zip(lines, records[1:], strict=False)
    )
    assert records[0]["at"] == "2023-11-14T22:13:20.123456Z"


def test_a_record_that_can_not_be_encoded_leaves_the_chain_where_it_stood() -> None:
    one = chain()
    one.add("log.heartbeat", [{}])
    position = one.position
    with pytest.raises(RecordError):
        one.add("log.heartbeat", [{"x": "y" * RECORD_BYTES_MAX}])
    with pytest.raises(RecordError):
        one.add("log.heartbeat", [{"x": 2**60}])
    with pytest.raises(RecordError):
        one.add("log.heartbeat", [{"x": "\ud800"}])
    assert one.position == position


def test_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert {uuid.UUID(text).version for text in ids} == {7}
    assert {uuid.UUID(text).variant for text in ids} == {uuid.RFC_4122}
    assert len(set(ids)) == len(ids)
    assert all(before[:13] <= after[:13] for before, after in pairwise(ids))


def test_an_intent_tells_what_was_shown_guarded_masked_and_absent(asker: Asker, plan: Plan) -> None:
    access_id = new_id()
    (record,) = written("access.intent", intent_fields(asker, plan, access_id=access_id))
    assert record["id"] == access_id
    assert record["tables"] == [
        {
            "table": "crm.customers",
            "shown": ["id"],
            "guarded": {"email": "email"},
            "masked": {"phone": "last4"},
            "absent": ["note"],
            "categories": {
                "email": "user.contact.email",
                "phone": "user.contact.phone",
                "note": "user.content",
            },
        }
    ]
    asked = ("tool", "credential", "via", "client", "application_name", "purpose", "purpose_from")
    assert [record[name] for name in asked] == [
        "mailer",
        "mailer-1",
        "postgres",
        "10.0.0.7:51344",
        "newsletter",
        "email_campaign",
        "default",
    ]
    assert (record["policy"], record["shape"]) == (asker.policy, plan.shape)
    assert record["statement"] == plan.statement


def test_a_fetch_is_recorded_with_the_relations_of_its_cursor(asker: Asker, plan: Plan) -> None:
    fetch = Plan(kind=Kind.FETCH, text="FETCH c", statement="FETCH i1", name="c")
    fields = intent_fields(asker, fetch, access_id=new_id(), source=plan)
    (record,) = written("access.intent", fields)
    (of_the_cursor,) = written("access.intent", intent_fields(asker, plan, access_id=new_id()))
    assert record["statement"] == "FETCH i1"
    assert record["tables"] == of_the_cursor["tables"]


def test_every_builder_makes_a_record_that_its_kind_may_say(asker: Asker, plan: Plan) -> None:
    refused = Refused(Reason.TABLE_NOT_IN_POLICY, 'there is no relation "a secret of mine"')
    peer = {"via": "http", "client": "local"}
    records = [
        (RecordKind.ACCESS_REFUSED, refused_fields(asker, refused, access_id=new_id())),
        (RecordKind.ACCESS_REFUSED, refused_fields(asker, refused, access_id=new_id(), plan=plan)),
        (
            RecordKind.ACCESS_OUTCOME,
            outcome_fields(
                access_id=new_id(),
                state="error",
                rows=0,
                bytes_sent=0,
                plan_us=1,
                upstream_us=2,
                total_us=3,
                sqlstate="22012",
            ),
        ),
        (
            RecordKind.LOGIN_OK,
            login_fields(access_id=new_id(), tool="mailer", credential="mailer-1", **peer),  # type: ignore[arg-type]
        ),
        (
            RecordKind.LOGIN_FAILED,
            login_fields(access_id=new_id(), reason=Reason.WRONG_CREDENTIAL, **peer),  # type: ignore[arg-type]
        ),
        (
            RecordKind.CONSENT_RECORDED,
            consent_fields(event=7, state="withdrawn", purpose=None, tool="preference_centre"),
        ),
        (RecordKind.POLICY_LOADED, policy_fields(policy="ab" * 32, name="dealership", version=3)),
        (RecordKind.POLICY_REJECTED, rejected_policy_fields(policy="ab" * 32, errors=2)),
        (RecordKind.LOG_HEARTBEAT, {}),
    ]
    for kind, fields in records:
        (record,) = written(kind, fields)
        assert record["kind"] == kind.value
        assert "secret" not in str(record)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("access.intent", {"remark": "free text"}),
        ("access.intent", {"id": "x' OR 1=1"}),
        ("access.intent", {"via": "carrier pigeon"}),
        ("access.intent", {"application_name": "a" * 65}),
        ("access.intent", {"application_name": "naïve"}),
        ("access.intent", {"tool": "line\nbreak"}),
        ("access.intent", {"tables": [{"table": "as it comes"}]}),
        ("access.intent", {"shape": "not a hash"}),
        ("access.intent", {"seq": 3}),
        ("access.refused", {"reason": "because"}),
        ("access.more", {}),
        ("log.gossip", {}),
    ],
)
def test_a_field_or_form_that_is_not_listed_can_not_get_into_the_log(
    asker: Asker, plan: Plan, kind: str, change: dict[str, object]
) -> None:
    fields = {**intent_fields(asker, plan, access_id=new_id()), **change}
    with pytest.raises(RecordError):
        parts(kind, fields)


@pytest.mark.parametrize("name", ["id", "tool", "via", "tables", "shape", "policy"])
def test_a_record_without_what_its_kind_needs_is_not_written(
    asker: Asker, plan: Plan, name: str
) -> None:
    fields = dict(intent_fields(asker, plan, access_id=new_id()))
    del fields[name]
    with pytest.raises(RecordError):
        parts("access.intent", fields)


def test_a_relation_with_an_unknown_verdict_is_not_recorded_as_anything(asker: Asker) -> None:
    column = ColumnUse(name="email", category=None, verdict="perhaps")
    use = TableUse(name="crm.customers", columns=(column,))
    with pytest.raises(RecordError):
        intent_fields(asker, Plan(kind=Kind.SELECT, text="", tables=(use,)), access_id=new_id())


@given(st.text())
def test_an_application_name_is_cut_to_64_printable_ascii_characters(text: str) -> None:
    cut = application_name(text)
    assert len(cut) == min(len(text), 64)
    assert cut.isascii()
    assert cut.isprintable()


@given(st.lists(st.text(min_size=1, max_size=4), unique=True))
def test_column_names_are_written_in_ascii_and_stay_different(names: list[str]) -> None:
    keys = [column_key(name) for name in names]
    assert all(key.isascii() for key in keys)
    assert len(set(keys)) == len(keys)


def test_a_column_name_is_written_as_in_postgresql_unicode_notation() -> None:
    assert column_key("prénom") == r"pr\00E9nom"
    assert column_key("a\\b😀") == r"a\\b\+01F600"


NAMES = st.text(min_size=1, max_size=21)
COLUMNS = st.builds(
    ColumnUse,
    name=NAMES,
    category=st.none() | st.just("user.contact.email"),
    verdict=st.sampled_from(["shown", "guarded", "masked", "absent"]),
    mask=st.none() | st.just("constant('" + "x" * 500 + "')"),
)


def columns_of(entries: Sequence[object]) -> list[tuple[str, str]]:
    found = []
    for entry in entries:
        assert isinstance(entry, dict)
        for verdict in ("shown", "guarded", "masked", "absent"):
            found += [(entry["table"], f"{verdict} {column}") for column in entry[verdict]]
    return sorted(found)


@given(
    st.lists(st.lists(COLUMNS, max_size=20, unique_by=lambda column: column.name), max_size=4),
    st.integers(1, 40),
    st.sampled_from(["SELECT ?", '"' * 8192, "é" * 8192]),
)
def test_no_record_is_longer_than_16_kib_and_no_column_is_lost(
    tables: list[list[ColumnUse]], times: int, statement: str
) -> None:
    asker = Asker(
        tool="t" * 128,
        credential="c" * 128,
        via="postgres",
        client="a" * 128,
        application_name='"' * 64,
        purpose="\U0001f600" * 128,
        purpose_from="default",
        policy="ab" * 32,
    )
    uses = tuple(
        TableUse(
            name=f"crm.table_{number}",
            columns=tuple(
                ColumnUse(
                    name=f"{column.name}{time}",
                    category=column.category,
                    verdict=column.verdict,
                    mask=column.mask,
                )
                for time in range(times)
                for column in columns
            ),
        )
        for number, columns in enumerate(tables)
    )
    plan = Plan(kind=Kind.SELECT, text="", tables=uses, statement=statement, shape="cd" * 32)
    access_id = new_id()
    records = written("access.intent", intent_fields(asker, plan, access_id=access_id))
    assert records[0].get("more", 0) == len(records) - 1
    assert [record["kind"] for record in records[1:]] == ["access.more"] * (len(records) - 1)
    assert {record["id"] for record in records} == {access_id}
    listed = [entry for record in records for entry in list(record["tables"])]  # type: ignore[call-overload]
    expected = [
        (use.name, f"{column.verdict} {column_key(column.name)}")
        for use in uses
        for column in use.columns
    ]
    assert columns_of(listed) == sorted(expected)


def test_a_statement_beyond_8_kib_is_cut_and_the_record_says_so(asker: Asker) -> None:
    plan = Plan(kind=Kind.SELECT, text="", statement="\x01" * 5000, shape="cd" * 32)
    (record,) = written("access.intent", intent_fields(asker, plan, access_id=new_id()))
    statement = str(record["statement"])
    assert record["statement_cut"] is True
    assert 0 < len(statement) < 5000
    assert 8192 - 6 <= len(encode(statement)) - 2 <= 8192
