"""What is in force after which events: a table for privacy officers, in Python and in the database.

Each line tells a story of events, oldest recorded first. An event is written as
`state [purpose] [/category…] @day [..until-day]`; days count from 1 January. The purposes are
`service` (contract), `email_campaign` and `personalisation` (consent) and `measurement`
(legitimate interest); `*` is all of them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from proxy.consent.ledger import Ledger
from proxy.consent.names import subject_column
from proxy.consent.request import ConsentRequest, State
from tests.consent.dealership import LIFE_EVENT

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
YES, NO = True, False

STORIES: list[tuple[str, str, bool, list[str]]] = [
    # what it shows, the purpose [and /category] asked for, in force?, the events
    ("nobody agreed", "email_campaign", NO, []),
    ("a contract needs no consent", "service", YES, []),
    ("a legitimate interest holds until objected", "measurement", YES, []),
    ("a grant", "email_campaign", YES, ["given email_campaign @1"]),
    ("a grant for another purpose", "email_campaign", NO, ["given personalisation @1"]),
    ("a grant for all", "email_campaign", YES, ["given * @1"]),
    ("a grant that has run out", "email_campaign", NO, ["given email_campaign @1 ..9"]),
    ("a grant that still runs", "email_campaign", YES, ["given email_campaign @1 ..9999"]),
    ("refused", "email_campaign", NO, ["refused email_campaign @1"]),
    (
        "given, then withdrawn",
        "email_campaign",
        NO,
        ["given email_campaign @1", "withdrawn email_campaign @2"],
    ),
    (
        "withdrawn, then given again",
        "email_campaign",
        YES,
        ["given email_campaign @1", "withdrawn email_campaign @2", "given email_campaign @3"],
    ),
    (
        "a grant dated before the withdrawal, recorded after it, does not undo it",
        "email_campaign",
        NO,
        ["withdrawn email_campaign @5", "given email_campaign @3"],
    ),
    (
        "a withdrawal dated before the grant, recorded after it, does not end it",
        "email_campaign",
        YES,
        ["given email_campaign @5", "withdrawn email_campaign @3"],
    ),
    (
        "at the same instant the one that allows less",
        "email_campaign",
        NO,
        ["withdrawn email_campaign @5", "given email_campaign @5"],
    ),
    (
        "at the same instant the grant that ends earlier",
        "email_campaign",
        NO,
        ["given email_campaign @5", "given email_campaign @5 ..9"],
    ),
    (
        "a later grant replaces an earlier one's end",
        "email_campaign",
        YES,
        ["given email_campaign @5 ..9", "given email_campaign @6"],
    ),
    (
        "a later, shorter grant shortens",
        "email_campaign",
        NO,
        ["given email_campaign @5", "given email_campaign @6 ..9"],
    ),
    (
        "withdrawn for all",
        "email_campaign",
        NO,
        ["given email_campaign @1", "withdrawn * @2"],
    ),
    (
        "withdrawn for another purpose",
        "email_campaign",
        YES,
        ["given email_campaign @1", "withdrawn personalisation @2"],
    ),
    (
        "an objection ends a consent too",
        "email_campaign",
        NO,
        ["given email_campaign @1", "objected email_campaign @2"],
    ),
    ("objected to a legitimate interest", "measurement", NO, ["objected measurement @1"]),
    ("withdrawn is an objection, too", "measurement", NO, ["withdrawn measurement @1"]),
    ("refused is an objection, too", "measurement", NO, ["refused measurement @1"]),
    (
        "an objection taken back",
        "measurement",
        YES,
        ["objected measurement @1", "given measurement @2"],
    ),
    (
        "an objection lifted for a time stands again",
        "measurement",
        NO,
        ["objected measurement @1", "given measurement @2 ..9"],
    ),
    (
        "where no grant was needed, its end is none",
        "measurement",
        YES,
        ["given measurement @2 ..9"],
    ),
    ("a contract does not end by a withdrawal", "service", YES, ["withdrawn service @1"]),
    ("nor by an objection to all", "service", YES, ["objected * @1"]),
    ("but a restriction stops it", "service", NO, ["restricted service @1"]),
    ("a restricted person: nothing", "service", NO, ["restricted * @1"]),
    ("a restricted person: nothing", "measurement", NO, ["restricted * @1"]),
    (
        "a restricted person: nothing",
        "email_campaign",
        NO,
        ["given email_campaign @1", "restricted * @2"],
    ),
    (
        "a withdrawal after it does not lift a restriction",
        "service",
        NO,
        ["restricted * @1", "withdrawn * @2"],
    ),
    ("only a grant lifts it", "service", YES, ["restricted * @1", "given service @2"]),
    # Sensitive categories need a grant that names them.
    ("a sensitive category", f"personalisation/{LIFE_EVENT}", NO, ["given personalisation @1"]),
    (
        "a sensitive category under a legitimate interest",
        f"measurement/{LIFE_EVENT}",
        NO,
        [],
    ),
    (
        "a grant that names it",
        f"personalisation/{LIFE_EVENT}",
        YES,
        [f"given personalisation /{LIFE_EVENT} @1"],
    ),
    (
        "a grant that names a category above it",
        f"personalisation/{LIFE_EVENT}",
        YES,
        ["given personalisation /user.inferred @1"],
    ),
    (
        "a grant that names another category",
        f"personalisation/{LIFE_EVENT}",
        NO,
        ["given personalisation /user.behavior @1"],
    ),
    (
        "a grant that names one of several",
        f"personalisation/{LIFE_EVENT}",
        YES,
        [f"given personalisation /user.behavior /{LIFE_EVENT} @1"],
    ),
    (
        "a grant that names a category grants the purpose",
        "personalisation",
        YES,
        [f"given personalisation /{LIFE_EVENT} @1"],
    ),
    (
        "the purpose withdrawn: the category too",
        f"personalisation/{LIFE_EVENT}",
        NO,
        [f"given personalisation /{LIFE_EVENT} @1", "withdrawn personalisation @2"],
    ),
    (
        "given again without naming it: the category stays ended",
        f"personalisation/{LIFE_EVENT}",
        NO,
        [
            f"given personalisation /{LIFE_EVENT} @1",
            "withdrawn personalisation @2",
            "given personalisation @3",
        ],
    ),
    (
        "the category withdrawn",
        f"personalisation/{LIFE_EVENT}",
        NO,
        [
            f"given personalisation /{LIFE_EVENT} @1",
            f"withdrawn personalisation /{LIFE_EVENT} @2",
        ],
    ),
    (
        "the category withdrawn: the purpose stays",
        "personalisation",
        YES,
        [
            f"given personalisation /{LIFE_EVENT} @1",
            f"withdrawn personalisation /{LIFE_EVENT} @2",
        ],
    ),
    (
        "a category above it withdrawn, for all purposes",
        f"personalisation/{LIFE_EVENT}",
        NO,
        [f"given personalisation /{LIFE_EVENT} @1", "withdrawn * /user.inferred @2"],
    ),
    (
        "objected to a legitimate interest: its category too",
        f"measurement/{LIFE_EVENT}",
        NO,
        [f"given measurement /{LIFE_EVENT} @1", "objected measurement @2"],
    ),
    (
        "restricted: the category too",
        f"measurement/{LIFE_EVENT}",
        NO,
        [f"given measurement /{LIFE_EVENT} @1", "restricted * @2"],
    ),
]


def day(number: str) -> datetime:
    return NEW_YEAR + timedelta(days=int(number) - 1)


def read_event(text: str, subject: int) -> ConsentRequest:
    match = re.fullmatch(r"(\w+) (\S+)((?: /\S+)*) @(\d+)(?: \.\.(\d+))?", text)
    assert match is not None, text
    state, purpose, categories, at, until = match.groups()
    return ConsentRequest(
        subject=subject,
        purpose=None if purpose == "*" else purpose,
        categories=tuple(c.removeprefix("/") for c in categories.split()),
        state=State(state),
        at=day(at),
        until=None if until is None else day(until),
    )


@pytest.fixture(name="now")
def _now() -> datetime:
    return datetime.now(UTC)


async def test_the_ledger_says_of_each_story_what_the_table_says(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    wrong: list[str] = []
    for subject, (title, asked, is_in_force, events) in enumerate(STORIES):
        for event in events:
            await ledger.record(read_event(event, subject))
        purpose, _, category = asked.partition("/")
        column = subject_column(purpose, category or None)
        row = await prepared.fetchval(
            f'SELECT "{column}" > statement_timestamp() FROM consent.subject WHERE subject_id = $1',
            subject,
        )
        if row is None:
            row = await prepared.fetchval(
                "SELECT default_until > now() FROM consent.purpose WHERE column_name = $1", column
            )
        shown = await ledger.show(subject)
        state = next(p for p in shown.purposes if p.purpose == purpose)
        said = state.is_in_force
        if category:
            said = next(c for c in state.categories if c.category == category).is_in_force
        if (row, said) != (is_in_force, is_in_force):
            wrong.append(f"{title}: {asked} after {events}: row {row}, show {said}")
    assert not wrong, "\n".join(wrong)


async def test_as_of_an_earlier_instant_tells_what_was_in_force_then(ledger: Ledger) -> None:
    for event in ("given email_campaign @3 ..20", "withdrawn email_campaign @10"):
        await ledger.record(read_event(event, 1))
    in_force = {
        number: (await ledger.show(1, as_of=day(str(number)))).purposes[0].is_in_force
        for number in (2, 3, 9, 10, 30)
    }
    assert in_force == {2: False, 3: True, 9: True, 10: False, 30: False}


async def test_known_at_an_earlier_instant_leaves_out_what_was_recorded_later(
    ledger: Ledger,
) -> None:
    first = await ledger.record(read_event("given email_campaign @3", 1))
    await ledger.record(read_event("withdrawn email_campaign @5", 1))
    then = await ledger.show(1, as_of=day("6"), known_at=first.recorded_at)
    now = await ledger.show(1, as_of=day("6"))
    assert (then.purposes[0].is_in_force, now.purposes[0].is_in_force) == (True, False)
    assert [event.state for event in then.events] == [State.GIVEN]


async def test_a_withdrawal_dated_in_the_future_counts_at_once(
    ledger: Ledger, now: datetime
) -> None:
    await ledger.record(read_event("given email_campaign @3", 1))
    await ledger.record(
        ConsentRequest(
            subject=1,
            purpose="email_campaign",
            state=State.WITHDRAWN,
            at=now + timedelta(days=1),
        )
    )
    assert not (await ledger.show(1)).purposes[0].is_in_force


async def test_show_names_the_event_that_decides_and_the_end(ledger: Ledger) -> None:
    recorded = await ledger.record(read_event("given email_campaign @3 ..9999", 1))
    state = (await ledger.show(1)).purposes[0]
    assert state.purpose == "email_campaign"
    assert state.until == day("9999")
    assert state.deciding is not None
    assert state.deciding.event == recorded.event
