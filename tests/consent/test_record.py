"""Recording: committed when it answers, once per key, refused where it means nothing."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.consent import store
from proxy.consent.epoch import EpochReader
from proxy.consent.errors import (
    ConsentError,
    IdempotencyConflict,
    InvalidRequest,
    LedgerUnavailable,
    NotYetValid,
    UnknownCategory,
    UnknownPurpose,
    WrongSubject,
)
from proxy.consent.key import SubjectKey
from proxy.consent.ledger import Ledger
from proxy.consent.request import ConsentRequest, State
from proxy.consent.schema import init
from proxy.consent.states import FOREVER, NEVER, decide_until
from proxy.errors import Reason, Refused
from proxy.policy.model import Policy
from tests.consent.dealership import LIFE_EVENT, as_role

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
SUBJECTS = iter(range(1000, 10**9))


def grant(subject: int | str = 7, **fields: object) -> ConsentRequest:
    values: dict[str, object] = {"purpose": "email_campaign", "state": State.GIVEN, **fields}
    return ConsentRequest(subject=subject, **values)  # type: ignore[arg-type]


async def test_a_grant_is_in_force_when_record_has_answered(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    await ledger.record(grant())
    assert await prepared.fetchval(
        "SELECT email_campaign = 'infinity' AND service = 'infinity'"
        " AND personalisation = '-infinity' FROM consent.subject WHERE subject_id = 7"
    )


async def test_everything_that_was_said_is_kept_with_the_event(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    recorded = await ledger.record(
        grant(
            at=MARCH,
            until=MARCH + timedelta(days=9999),
            categories=("user.contact",),
            source="form",
            notice="v3",
            evidence="ab" * 32,
            recorded_by="crm-sync",
        )
    )
    row = await prepared.fetchrow("SELECT * FROM consent.event")
    event = store.event_of(row)
    assert (event.event, event.recorded_at) == (recorded.event, recorded.recorded_at)
    assert (event.subject, event.purpose, event.state) == (7, "email_campaign", State.GIVEN)
    assert (event.at, event.until) == (MARCH, MARCH + timedelta(days=9999))
    assert (event.source, event.notice, event.evidence) == ("form", "v3", "ab" * 32)
    assert (event.categories, event.recorded_by) == (("user.contact",), "crm-sync")


async def test_the_same_key_and_request_is_recorded_once(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    first = await ledger.record(grant(idempotency_key="a"))
    second = await ledger.record(grant(idempotency_key="a"))
    assert not first.is_replay
    assert second.is_replay
    assert (second.event, second.recorded_at) == (first.event, first.recorded_at)
    assert await prepared.fetchval("SELECT count(*) FROM consent.event") == 1


async def test_the_same_key_with_another_request_is_a_conflict(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    await ledger.record(grant(idempotency_key="a"))
    with pytest.raises(IdempotencyConflict) as raised:
        await ledger.record(grant(subject=8, idempotency_key="a"))
    assert raised.value.http_status == 409
    assert await prepared.fetchval("SELECT count(*) FROM consent.subject") == 1


async def test_two_writers_with_one_key_record_once(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    answers = await asyncio.gather(*(ledger.record(grant(idempotency_key="a")) for _ in range(20)))
    assert len({answer.event for answer in answers}) == 1
    assert sum(not answer.is_replay for answer in answers) == 1


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (grant(purpose="no_such"), UnknownPurpose),
        (grant(categories=("user.nothing",)), UnknownCategory),
        (grant(subject="seven"), WrongSubject),
        (grant(subject=2**63), WrongSubject),
        (grant(subject="07"), WrongSubject),
        (grant(at=datetime(9000, 1, 1, tzinfo=UTC)), NotYetValid),
        (grant(at=MARCH, until=MARCH), InvalidRequest),
        (grant(until=MARCH), InvalidRequest),
        (grant(state=State.WITHDRAWN, until=MARCH, at=MARCH), InvalidRequest),
    ],
)
async def test_what_means_nothing_is_refused_and_leaves_no_trace(
    ledger: Ledger,
    prepared: asyncpg.Connection,
    request_: ConsentRequest,
    error: type[ConsentError],
) -> None:
    with pytest.raises(error):
        await ledger.record(request_)
    assert (
        await prepared.fetchval(
            "SELECT (SELECT count(*) FROM consent.event) + (SELECT count(*) FROM consent.subject)"
        )
        == 0
    )


async def test_text_and_number_of_one_person_are_one_person(ledger: Ledger) -> None:
    await ledger.record(grant(subject="7"))
    assert len((await ledger.show(7)).events) == 1


@pytest.mark.parametrize(
    ("type_sql", "subject", "wrong"),
    [
        ("uuid", "0b8f2f5e-6c1f-4b7e-9c57-1f2d3a4b5c6d", "0b8f2f5e6c1f4b7e9c571f2d3a4b5c6d"),
        ("text", "Ana Ruiz", 7),
        ("varchar(20)", "K-17", ""),
        ("smallint", 7, 32768),
        ("integer", 7, True),
        ('text COLLATE "C"', "K-17", "a\0b"),
    ],
)
async def test_keys_of_every_supported_type_are_recorded_and_shown(
    database: str,
    admin: asyncpg.Connection,
    policy: Policy,
    type_sql: str,
    subject: int | str,
    wrong: object,
) -> None:
    await admin.execute(
        "DROP TABLE crm.customers;"
        f"CREATE TABLE crm.customers (id {type_sql} PRIMARY KEY, email text, score real)"
    )
    await init(admin, policy)
    ledger = await Ledger.connect(as_role(database, "consent_writer"), None, policy)
    try:
        await ledger.record(grant(subject=subject))
        shown = await ledger.show(subject)
        assert shown.purposes[0].is_in_force
        is_uuid = type_sql == "uuid"
        assert shown.events[0].subject == (uuid.UUID(str(subject)) if is_uuid else subject)
        with pytest.raises(WrongSubject):
            await ledger.record(grant(subject=wrong))  # type: ignore[arg-type]
        # The guard's join needs no cast and finds one collation.
        await admin.execute(
            "SELECT FROM crm.customers AS t LEFT JOIN consent.subject AS k"
            " ON k.subject_id OPERATOR(pg_catalog.=) t.id"
        )
    finally:
        await ledger.close()


async def test_concurrent_writers_leave_the_row_that_the_events_demand(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    requests = [
        grant(
            subject=number % 3,
            state=State.GIVEN if number % 2 else State.WITHDRAWN,
            at=MARCH + timedelta(minutes=number * 7919 % 101),
            purpose=("email_campaign", "personalisation", None)[number % 3],
        )
        for number in range(120)
    ]
    await asyncio.gather(*(ledger.record(request) for request in requests))
    for subject in range(3):
        await refuse_difference(prepared, subject)


async def test_a_grant_recorded_while_a_withdrawal_commits_does_not_hide_it(
    ledger: Ledger, prepared: asyncpg.Connection, database: str
) -> None:
    await ledger.record(grant(at=MARCH - timedelta(days=1), state=State.REFUSED))
    other = await asyncpg.connect(as_role(database, "consent_writer"))
    withdrawal = other.transaction()
    await withdrawal.start()
    await store.lock_subjects(other, SubjectKey("bigint"), [7])
    await other.execute(
        "INSERT INTO consent.event (subject_id, purpose, state, at, idempotency_key,"
        " request_hash) VALUES (7, 'email_campaign', 'withdrawn', now(), 'k', 'h')"
    )
    await store.refresh(other, [7])
    grants = asyncio.create_task(ledger.record(grant(at=MARCH)))
    while not await prepared.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'consent_writer'"
        " AND datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0)"
    ):
        assert not grants.done()
    await withdrawal.commit()
    await other.close()
    await grants
    row = await refuse_difference(prepared, 7)
    assert row["email_campaign"] == NEVER


async def test_the_epoch_moves_exactly_when_something_became_shorter(ledger: Ledger) -> None:
    later = datetime(2090, 1, 1, tzinfo=UTC)
    steps: list[tuple[str, ConsentRequest, int]] = [
        ("a grant", grant(at=MARCH), 0),
        ("a longer story, no change", grant(at=MARCH - timedelta(days=2)), 0),
        ("a shorter grant", grant(at=MARCH + timedelta(days=1), until=later), 1),
        ("a grant without end again", grant(at=MARCH + timedelta(days=2)), 0),
        ("a withdrawal before it", grant(at=MARCH, state=State.WITHDRAWN), 0),
        ("a withdrawal", grant(state=State.WITHDRAWN), 1),
        ("a second withdrawal", grant(state=State.WITHDRAWN), 0),
        ("a refusal of what nobody gave", grant(subject=8, state=State.REFUSED), 0),
        ("an objection", grant(purpose="measurement", state=State.OBJECTED), 1),
        ("a restriction of all", grant(purpose=None, state=State.RESTRICTED), 1),
        (
            "a sensitive category",
            grant(subject=9, purpose="personalisation", categories=(LIFE_EVENT,)),
            0,
        ),
        (
            "its withdrawal alone",
            grant(
                subject=9,
                purpose="personalisation",
                categories=("user.inferred",),
                state=State.WITHDRAWN,
            ),
            1,
        ),
    ]
    for title, request, moved in steps:
        before = await ledger.epoch()
        await ledger.record(request)
        assert await ledger.epoch() - before == moved, title


purposes = st.sampled_from([None, "service", "email_campaign", "personalisation", "measurement"])
days = st.integers(min_value=0, max_value=6)
requests = st.builds(
    lambda purpose, state, categories, day, length: grant(
        purpose=purpose,
        state=state,
        categories=tuple(sorted(categories)),
        at=MARCH + timedelta(days=day),
        until=(MARCH + timedelta(days=day + length) if length and state is State.GIVEN else None),
    ),
    purpose=purposes,
    state=st.sampled_from([State.GIVEN, *State]),
    categories=st.sets(st.sampled_from([LIFE_EVENT, "user.inferred", "user.behavior"]), max_size=2),
    day=days,
    length=st.sampled_from([0, 0, 1, 3, 20_000]),
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=st.lists(requests, min_size=1, max_size=7))
async def test_the_row_is_what_a_computation_from_all_events_gives_and_the_epoch_tells_of_losses(
    ledger: Ledger, prepared: asyncpg.Connection, story: list[ConsentRequest]
) -> None:
    subject = next(SUBJECTS)
    for request in story:
        before, epoch = await read_row(prepared, subject), await ledger.epoch()
        await ledger.record(replace(request, subject=subject))
        after = await refuse_difference(prepared, subject)
        is_shorter = any(after[name] < before[name] for name in after)
        assert await ledger.epoch() - epoch == int(is_shorter)


async def read_row(connection: asyncpg.Connection, subject: int) -> dict[str, datetime]:
    """The person's row (or the defaults, where there is none), infinities as Python has them."""
    row = await connection.fetchrow("SELECT * FROM consent.subject WHERE subject_id = $1", subject)
    if row is None:
        columns = await store.read_columns(connection)
        return {c.column_name: FOREVER if c.is_default_yes else NEVER for c in columns}
    return {name: value.replace(tzinfo=UTC) for name, value in row.items() if name != "subject_id"}


async def refuse_difference(connection: asyncpg.Connection, subject: int) -> dict[str, datetime]:
    """The person's row, after comparing it with what the events say, computed from scratch."""
    rows = await connection.fetch("SELECT * FROM consent.event WHERE subject_id = $1", subject)
    events = [store.event_of(row) for row in rows]
    columns = await store.read_columns(connection)
    expected = {column.column_name: decide_until(column, events)[0] for column in columns}
    found = await read_row(connection, subject)
    assert found == expected
    return found


async def test_a_lost_connection_is_replaced_and_the_event_recorded_once(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    await ledger.record(grant())
    await prepared.fetch(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE usename = 'consent_writer' AND datname = current_database()"
    )
    await ledger.record(grant(state=State.WITHDRAWN))
    assert await prepared.fetchval("SELECT count(*) FROM consent.event") == 2


async def test_a_ledger_that_can_not_be_reached_says_so(database: str, policy: Policy) -> None:
    with pytest.raises(LedgerUnavailable):
        await Ledger.connect("postgresql://consent_writer@127.0.0.1:1/crm", None, policy)


async def test_the_epoch_reader_sees_a_withdrawal_that_has_answered(
    ledger: Ledger, database: str
) -> None:
    reader = EpochReader(as_role(database, "consent_reader"), None)
    try:
        await ledger.record(grant())
        before = await reader.read()
        await ledger.record(grant(state=State.WITHDRAWN))
        answers = await asyncio.gather(*(reader.read() for _ in range(50)))
        assert set(answers) == {before + 1}
    finally:
        await reader.close()


async def test_the_epoch_reader_reconnects_by_itself(
    ledger: Ledger, prepared: asyncpg.Connection, database: str
) -> None:
    reader = EpochReader(as_role(database, "consent_reader"), None)
    try:
        before = await reader.read()
        await prepared.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE usename = 'consent_reader' AND datname = current_database()"
        )
        assert await reader.read() == before
    finally:
        await reader.close()


async def test_an_epoch_that_can_not_be_read_is_a_refusal() -> None:
    reader = EpochReader("postgresql://consent_reader@127.0.0.1:1/crm", None)
    with pytest.raises(Refused) as raised:
        await reader.read()
    assert raised.value.reason is Reason.UPSTREAM_UNAVAILABLE


async def test_a_cancelled_caller_does_not_take_the_epoch_from_the_others(
    ledger: Ledger, database: str
) -> None:
    reader = EpochReader(as_role(database, "consent_reader"), None)
    try:
        first, second = asyncio.create_task(reader.read()), asyncio.create_task(reader.read())
        await asyncio.sleep(0)  # both are on their way
        first.cancel()
        assert await second == await ledger.epoch()
    finally:
        await reader.close()
