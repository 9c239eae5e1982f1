"""What is in force for a person, from the events: a pure function, for any instant.

`consent.refresh` in the database writes `consent.subject` by the same rules, for many people at
once; a property test holds the two together. The rules are design.md, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from proxy.consent.key import SubjectId
from proxy.consent.request import State
from proxy.policy.categories import covers
from proxy.policy.model import Basis

NEVER: Final = datetime.min.replace(tzinfo=UTC)  # PostgreSQL's -infinity
FOREVER: Final = datetime.max.replace(tzinfo=UTC)  # PostgreSQL's infinity


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of `consent.event`."""

    event: int
    subject: SubjectId
    purpose: str | None  # None: all purposes
    categories: tuple[str, ...]
    state: State
    at: datetime
    until: datetime | None
    source: str | None
    notice: str | None
    evidence: str | None
    recorded_by: str | None
    recorded_at: datetime

    @property
    def is_ending(self) -> bool:
        return self.state is not State.GIVEN

    def is_effective(self, instant: datetime) -> bool:
        """Whether the event counts at the instant.

        A withdrawal dated in the future, by a clock that is ahead, counts as soon as it is known.
        """
        if self.is_ending:
            return min(self.at, self.recorded_at) <= instant
        return self.at <= instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PurposeColumn:
    """One line of `consent.purpose`: a column of `consent.subject`."""

    column_name: str
    purpose: str
    category: str | None
    basis: Basis
    is_default_yes: bool
    added_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryState:
    """A sensitive category within a purpose. In force only while the purpose is, too."""

    category: str
    is_in_force: bool
    until: datetime | None  # None: without end, or not in force
    deciding: Event | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurposeState:
    purpose: str
    basis: Basis
    is_in_force: bool
    until: datetime | None  # None: without end, or not in force
    deciding: Event | None
    categories: tuple[CategoryState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectState:
    """What was in force for a person at `as_of`, by what was recorded up to `known_at`."""

    subject: SubjectId
    as_of: datetime
    known_at: datetime
    purposes: tuple[PurposeState, ...]
    events: tuple[Event, ...]  # those known and effective, oldest recorded first


def applies(column: PurposeColumn, event: Event) -> bool:
    """Whether the event says anything about this purpose (and category)."""
    if event.purpose not in (None, column.purpose):
        return False
    category = column.category
    is_named = category is not None and any(covers(c, category) for c in event.categories)
    if event.state is State.GIVEN:
        # Nobody agreed to a purpose that did not exist yet.
        existed = event.purpose is not None or event.recorded_at >= column.added_at
        return existed and (category is None or is_named)
    if event.categories:
        return is_named
    # A contract or a legal duty does not end by a withdrawal, only by a restriction.
    can_end = column.basis in (Basis.CONSENT, Basis.LEGITIMATE_INTEREST)
    return category is not None or can_end or event.state is State.RESTRICTED


def decide_until(column: PurposeColumn, events: Iterable[Event]) -> tuple[datetime, Event | None]:
    """Until when the column is in force (NEVER: it is not), and the event that decides."""
    applicable = [event for event in events if applies(column, event)]
    if not applicable:
        return (FOREVER if column.is_default_yes else NEVER), None
    was_ended = any(event.is_ending for event in applicable)

    def until(event: Event) -> datetime:
        if event.is_ending:
            return NEVER
        # Where no grant was needed, its end is one only if it lifted something.
        if column.is_default_yes and not was_ended:
            return FOREVER
        return event.until or FOREVER

    deciding = min(applicable, key=lambda event: (-_microseconds(event.at), until(event)))
    return until(deciding), deciding


def subject_state(
    subject: SubjectId,
    columns: Sequence[PurposeColumn],
    events: Iterable[Event],
    *,
    as_of: datetime,
    known_at: datetime,
) -> SubjectState:
    """Every purpose's state at `as_of`, as known at `known_at`."""
    known = tuple(e for e in events if e.recorded_at <= known_at and e.is_effective(as_of))
    purposes = []
    for column in columns:
        if column.category is not None:
            continue
        until, deciding = decide_until(column, known)
        is_in_force = until > as_of
        categories = tuple(
            _category_state(sensitive, known, as_of, is_within=is_in_force)
            for sensitive in columns
            if sensitive.purpose == column.purpose and sensitive.category is not None
        )
        purposes.append(
            PurposeState(
                purpose=column.purpose,
                basis=column.basis,
                is_in_force=is_in_force,
                until=_end(until, as_of),
                deciding=deciding,
                categories=categories,
            )
        )
    return SubjectState(
        subject=subject, as_of=as_of, known_at=known_at, purposes=tuple(purposes), events=known
    )


def _category_state(
    column: PurposeColumn, events: Sequence[Event], as_of: datetime, *, is_within: bool
) -> CategoryState:
    until, deciding = decide_until(column, events)
    return CategoryState(
        category=column.category or "",
        is_in_force=is_within and until > as_of,
        until=_end(until, as_of),
        deciding=deciding,
    )


def _end(until: datetime, as_of: datetime) -> datetime | None:
    return None if until == FOREVER or until <= as_of else until


def _microseconds(instant: datetime) -> int:
    # Exact; a float of seconds would make two instants of one microsecond's distance equal.
    since = instant - NEVER
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
