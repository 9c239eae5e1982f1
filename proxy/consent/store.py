"""The ledger's SQL, as the role consent_writer runs it, and rows as values."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

import asyncpg

from proxy.consent.key import SubjectId, SubjectKey
from proxy.consent.request import State
from proxy.consent.states import Event, PurposeColumn
from proxy.policy.model import Basis

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

Row: TypeAlias = asyncpg.Record

EVENT_COLUMNS: Final = (
    "event, subject_id, purpose, categories, state, at, until, source, notice, evidence,"
    " recorded_by, recorded_at"
)
INSERT_COLUMNS: Final = (
    "subject_id",
    "purpose",
    "categories",
    "state",
    "at",
    "until",
    "source",
    "notice",
    "evidence",
    "recorded_by",
    "idempotency_key",
    "request_hash",
)


async def lock_subjects(
    connection: Connection, key: SubjectKey, subjects: Sequence[SubjectId]
) -> None:
    """Hold the people's rows until the transaction ends; make those that are missing.

    Locks are taken in the order of keys, so that two writers wait in one direction only.
    """
    await connection.execute(
        "INSERT INTO consent.subject (subject_id)"
        f" SELECT k FROM pg_catalog.unnest($1::{key.type_sql}[]) AS k ORDER BY k"
        " ON CONFLICT DO NOTHING",
        subjects,
    )
    await connection.execute(
        "SELECT FROM consent.subject WHERE subject_id = ANY ($1) ORDER BY subject_id FOR UPDATE",
        subjects,
    )


async def lock_epoch(connection: Connection) -> None:
    """Taken after the people's rows and before an ending event is written.

    So these events are recorded in the order in which they become visible, and whoever asks for
    withdrawals since an instant misses none.
    """
    await connection.execute("SELECT FROM consent.epoch FOR UPDATE")


async def refresh(connection: Connection, subjects: Sequence[SubjectId]) -> None:
    """Write the people's rows anew; move the epoch if that took anything from anybody."""
    if await connection.fetchval("SELECT consent.refresh($1)", subjects):
        await connection.execute(
            "UPDATE consent.epoch SET epoch = epoch + 1, changed_at = pg_catalog.clock_timestamp()"
        )


async def read_now(connection: Connection) -> datetime:
    """The database's clock: the one that guards compare with."""
    now: datetime = await connection.fetchval("SELECT pg_catalog.clock_timestamp()")
    return now


async def read_columns(connection: Connection) -> tuple[PurposeColumn, ...]:
    """What `consent.purpose` lists; read anew each time, as `init` may run at any moment."""
    found = await connection.fetch(
        "SELECT column_name, purpose, category, basis, added_at,"
        " default_until = 'infinity' AS is_default_yes"
        " FROM consent.purpose ORDER BY purpose, category NULLS FIRST"
    )
    return tuple(
        PurposeColumn(
            column_name=row["column_name"],
            purpose=row["purpose"],
            category=row["category"],
            basis=Basis(row["basis"]),
            is_default_yes=row["is_default_yes"],
            added_at=row["added_at"],
        )
        for row in found
    )


async def read_key(connection: Connection) -> SubjectKey:
    """The type of `consent.subject`'s key."""
    type_sql = await connection.fetchval(
        "SELECT pg_catalog.format_type(atttypid, NULL) FROM pg_catalog.pg_attribute"
        " WHERE attrelid = 'consent.subject'::pg_catalog.regclass AND attname = 'subject_id'"
    )
    return SubjectKey(str(type_sql))


def subject_of(row: asyncpg.Record) -> SubjectId:
    """The row's `subject_id`; asyncpg has a uuid class of its own, we have one for one thing."""
    subject: SubjectId = row["subject_id"]
    return uuid.UUID(int=subject.int) if isinstance(subject, uuid.UUID) else subject


def event_of(row: asyncpg.Record) -> Event:
    """A row of `EVENT_COLUMNS` as a value."""
    return Event(
        event=row["event"],
        subject=subject_of(row),
        purpose=row["purpose"],
        categories=tuple(row["categories"]),
        state=State(row["state"]),
        at=row["at"],
        until=row["until"],
        source=row["source"],
        notice=row["notice"],
        evidence=row["evidence"],
        recorded_by=row["recorded_by"],
        recorded_at=row["recorded_at"],
    )
