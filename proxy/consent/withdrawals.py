"""Who must leave a list that a tool pulled: whoever was taken away since, for whatever cause.

It may name people who had not been on the list; it never leaves out one who was and is not in
force any more. Somebody who agreed again meanwhile is not named, nor is, where a grant is needed,
somebody who never gave one: a tool that sees people with a grant only does not know that they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from proxy.consent import store
from proxy.consent.key import SubjectId
from proxy.consent.request import State
from proxy.consent.sql_text import quoted
from proxy.consent.states import Event, PurposeColumn, applies

_AGREED_ONCE: Final = (
    " AND EXISTS (SELECT FROM consent.event AS g WHERE g.subject_id = s.subject_id"
    " AND g.state = 'given' AND (g.purpose IS NULL OR g.purpose = $3))"
)
# So few that the event loop, which answers tools too, is not held for more than a moment.
PEOPLE_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """One person for whom a purpose (or sensitive categories of it) is no longer in force.

    `categories` empty: the whole purpose. `cause` is the last event since, or `expired`; `at` is
    when it counts from.
    """

    subject: SubjectId
    purpose: str
    categories: tuple[str, ...]
    cause: State | Literal["expired"]
    at: datetime
    recorded_at: datetime | None  # None: nobody recorded it, the grant ran out


async def read_withdrawals(
    connection: store.Connection,
    columns: Sequence[PurposeColumn],
    purpose: str,
    since: datetime,
) -> list[Withdrawal]:
    """The people for whom `purpose` ended at or after `since` and is not in force now, by key."""
    mine = [column for column in columns if column.purpose == purpose]
    found: list[Withdrawal] = []
    async with connection.transaction():
        # Events that are being recorded now must be in the answer, or lie after the next `since`.
        await connection.execute("SELECT FROM consent.epoch FOR SHARE")
        now = await store.read_now(connection)
        people = await connection.cursor(_people_sql(mine), since, now, purpose)
        while rows := await people.fetch(PEOPLE_AT_ONCE):
            subjects = [row["subject_id"] for row in rows]
            events = await _events_since(connection, purpose, since, subjects)
            for row in rows:
                withdrawal = _withdrawal(row, mine, events, since, now)
                if withdrawal is not None:
                    found.append(withdrawal)
    return found


async def _events_since(
    connection: store.Connection, purpose: str, since: datetime, subjects: Sequence[object]
) -> dict[SubjectId, list[Event]]:
    rows = await connection.fetch(
        f"SELECT {store.EVENT_COLUMNS} FROM consent.event"
        " WHERE subject_id = ANY ($3) AND recorded_at >= $1"
        " AND (purpose IS NULL OR purpose = $2) ORDER BY event",
        since,
        purpose,
        subjects,
    )
    events: dict[SubjectId, list[Event]] = {}
    for row in rows:
        event = store.event_of(row)
        events.setdefault(event.subject, []).append(event)
    return events


def _people_sql(columns: Sequence[PurposeColumn]) -> str:
    names = [quoted(column.column_name) for column in columns]
    is_open = any(column.category is None and column.is_default_yes for column in columns)
    # Infinities are no instants to Python: what never was or never ends is NULL.
    shown = ", ".join(
        f"CASE WHEN pg_catalog.isfinite({n}) THEN {n} END AS {n}, {n} <= $2 AS over__{i}"
        for i, n in enumerate(names)
    )
    ended = " OR ".join(f"{n} <= $2" for n in names)
    expired = " OR ".join(f"{n} BETWEEN $1 AND $2" for n in names)
    return (
        f"SELECT subject_id, {shown} FROM consent.subject AS s"
        f" WHERE (({expired}) OR (({ended}) AND subject_id IN ("
        "SELECT e.subject_id FROM consent.event AS e"
        " WHERE e.recorded_at >= $1 AND (e.purpose IS NULL OR e.purpose = $3))))"
        f"{'' if is_open else _AGREED_ONCE} ORDER BY subject_id"
    )


def _withdrawal(
    row: store.Row,
    columns: Sequence[PurposeColumn],
    events: dict[SubjectId, list[Event]],
    since: datetime,
    now: datetime,
) -> Withdrawal | None:
    subject = store.subject_of(row)
    ended: list[tuple[PurposeColumn, Event | None, datetime]] = []
    for index, column in enumerate(columns):
        if not row[f"over__{index}"]:
            continue
        until: datetime | None = row[column.column_name]
        last = _last(column, events.get(subject, ()))
        if last is not None:
            is_over_by_itself = until is not None and not last.is_ending
            ended.append((column, last, until if until and is_over_by_itself else last.at))
        elif until is not None and since <= until <= now:
            ended.append((column, None, until))
    if not ended:
        return None
    whole = [entry for entry in ended if entry[0].category is None]
    _, event, at = (whole or ended)[0]
    is_expired = event is None or event.state is State.GIVEN
    return Withdrawal(
        subject=subject,
        purpose=columns[0].purpose,
        categories=() if whole else tuple(sorted(c.category or "" for c, _, _ in ended)),
        cause="expired" if event is None or is_expired else event.state,
        at=at,
        recorded_at=None if event is None else event.recorded_at,
    )


def _last(column: PurposeColumn, events: Sequence[Event]) -> Event | None:
    """The last event recorded about the column; an ending one rather than a grant."""
    applicable = [event for event in events if applies(column, event)]
    ending = [event for event in applicable if event.is_ending]
    candidates = ending or applicable
    return candidates[-1] if candidates else None
