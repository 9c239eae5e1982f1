"""The ledger: what people said, recorded for good, and what is in force because of it.

Each event, the person's row that the guards read, and the epoch are written in one transaction of
the role consent_writer. When `record` has returned, the transaction is committed.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Self, TextIO, TypeVar

import asyncpg

from proxy.consent import store, transfer
from proxy.consent.connect import LOST, connect_arguments
from proxy.consent.errors import (
    ConsentError,
    IdempotencyConflict,
    LedgerNotPrepared,
    LedgerUnavailable,
    UnknownPurpose,
)
from proxy.consent.key import SubjectKey
from proxy.consent.request import ConsentRequest, State
from proxy.consent.schema import ledger_columns
from proxy.consent.sensitive import known_categories
from proxy.consent.states import SubjectState, subject_state
from proxy.consent.withdrawals import Withdrawal, read_withdrawals
from proxy.policy.model import Policy

# Recording is short; a few connections carry thousands of events a second.
POOL_CONNECTIONS_MAX: Final = 4
# A database that restarts is back within seconds; longer, and the caller should know.
_RETRY_AFTER_S: Final = (0.05, 0.2, 0.8)

_NOT_PREPARED: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
)
_COLLIDED: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event as recorded. `is_replay`: it had been recorded before, under this key."""

    event: int
    recorded_at: datetime
    is_replay: bool


class Ledger:
    """Records events and answers questions about them, over connections of consent_writer.

    Every method raises a ConsentError: LedgerUnavailable where the database does not answer (then
    nothing is promised), LedgerNotPrepared where `init` has not run for this policy.
    """

    def __init__(self, pool: asyncpg.Pool, policy: Policy, key: SubjectKey) -> None:
        self._pool = pool
        self._key = key
        self.use(policy)

    @classmethod
    async def connect(cls, url: str, password: str | None, policy: Policy) -> Self:
        """A ledger over a pool that replaces lost connections by itself."""
        try:
            pool = await asyncpg.create_pool(
                **connect_arguments(url, password), min_size=1, max_size=POOL_CONNECTIONS_MAX
            )
        except LOST as error:
            raise LedgerUnavailable("the database of the ledger does not answer") from error
        except asyncpg.PostgresError as error:
            raise LedgerUnavailable("the database of the ledger refuses us") from error
        ledger = cls(pool, policy, SubjectKey("text"))
        try:
            ledger._key = await ledger._run(store.read_key)
            await ledger.refuse_unprepared()
        except BaseException:
            await ledger.close()
            raise
        return ledger

    def use(self, policy: Policy) -> None:
        """From now on, events may name the categories of this policy."""
        self._policy = policy
        self._categories = known_categories(policy)

    async def refuse_unprepared(self) -> None:
        """LedgerNotPrepared unless `consent.subject` has the policy's columns, on its bases."""
        missing = await self._run(lambda c: unprepared(c, self._policy))
        if missing:
            raise LedgerNotPrepared(f"`init` must run for: {', '.join(missing)}")

    async def close(self) -> None:
        await self._pool.close()

    async def record(self, request: ConsentRequest) -> Recorded:
        """Record one event; when this returns, it is committed and in force (G3 counts from here).

        The same idempotency key with the same request gives the first answer again; with another
        request IdempotencyConflict.
        """
        subject = self._key.read(request.subject)
        own_key = request.idempotency_key
        # A key of our own makes a try after a lost connection find what the first one committed.
        key = f"key:{own_key}" if own_key is not None else f"auto:{uuid.uuid4()}"

        async def work(connection: store.Connection) -> Recorded:
            async with connection.transaction():
                await store.lock_subjects(connection, self._key, [subject])
                if await _is_recorded(connection, key):
                    return await _recorded_under(connection, key, request)
                columns = await store.read_columns(connection)
                now = await store.read_now(connection)
                at = request.check(now, frozenset(c.purpose for c in columns), self._categories)
                if request.state is not State.GIVEN:
                    await store.lock_epoch(connection)
                row = await connection.fetchrow(
                    _INSERT, subject, *_event_values(request, at), key, request.hash
                )
                if row is None:  # another transaction used the key meanwhile, and is committed
                    return await _recorded_under(connection, key, request)
                await store.refresh(connection, [subject])
                return Recorded(event=row["event"], recorded_at=row["recorded_at"], is_replay=False)

        recorded = await self._run(work)
        if own_key is None and recorded.is_replay:
            return Recorded(event=recorded.event, recorded_at=recorded.recorded_at, is_replay=False)
        return recorded

    async def show(
        self,
        subject: int | str,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
    ) -> SubjectState:
        """What is (at `as_of`: was) in force for a person, as known now (or at `known_at`)."""
        subject_id = self._key.read(subject)

        async def work(connection: store.Connection) -> SubjectState:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                columns = await store.read_columns(connection)
                rows = await connection.fetch(
                    f"SELECT {store.EVENT_COLUMNS} FROM consent.event"
                    " WHERE subject_id = $1 ORDER BY event",
                    subject_id,
                )
                now = await store.read_now(connection)
            return subject_state(
                subject_id,
                columns,
                map(store.event_of, rows),
                as_of=as_of or now,
                known_at=known_at or now,
            )

        return await self._run(work)

    async def withdrawals(self, purpose: str, since: datetime) -> list[Withdrawal]:
        """Who must leave a list that was pulled at `since`: see `consent/withdrawals.py`."""

        async def work(connection: store.Connection) -> list[Withdrawal]:
            columns = await store.read_columns(connection)
            if purpose not in {column.purpose for column in columns}:
                raise UnknownPurpose("no such purpose")
            return await read_withdrawals(connection, columns, purpose, since)

        return await self._run(work)

    async def epoch(self) -> int:
        """The epoch as it is now (for sessions there is `EpochReader`, which is faster)."""

        async def work(connection: store.Connection) -> int:
            return int(await connection.fetchval("SELECT epoch FROM consent.epoch"))

        return await self._run(work)

    async def import_file(
        self, path: Path, progress: transfer.Progress | None = None, recorded_by: str | None = None
    ) -> transfer.ImportReport:
        """Record the events of a CSV or NDJSON file: see `consent/transfer.py`."""

        async def write(lines: list[transfer.Line]) -> transfer.BatchReport:
            return await self._run(
                lambda c: transfer.write_batch(c, self._key, self._categories, lines, recorded_by)
            )

        return await transfer.import_file(path, self._key, write, progress)

    async def export(self, format: Literal["csv", "ndjson"], out: TextIO) -> int:  # noqa: A002
        """Write every event, oldest recorded first; returns how many. `import_file` reads it."""
        async with self._pool.acquire() as connection:
            return await transfer.export(connection, format, out)

    async def _run(self, work: Callable[[store.Connection], Awaitable[_T]]) -> _T:
        """Run `work`, again on another connection where one was lost; it must be repeatable."""
        for wait_s in (*_RETRY_AFTER_S, None):
            try:
                async with self._pool.acquire() as connection:
                    try:
                        return await work(connection)
                    except LOST:
                        # The pool makes others in the place of this one and its contemporaries.
                        connection.terminate()
                        await self._pool.expire_connections()
                        raise
            except ConsentError:
                raise
            except TimeoutError as error:
                raise LedgerUnavailable("the database of the ledger is too slow") from error
            except (*LOST, *_COLLIDED) as error:
                if wait_s is None:
                    raise LedgerUnavailable("the database of the ledger does not answer") from error
                await asyncio.sleep(wait_s)
            except _NOT_PREPARED as error:
                raise LedgerNotPrepared(f"`init` must run: {error}") from error
            except asyncpg.PostgresError as error:  # full disk, read-only after a failover, …
                raise LedgerUnavailable("the database of the ledger can not do it now") from error
        raise AssertionError("unreachable: the last attempt returns or raises")


async def unprepared(connection: store.Connection, policy: Policy) -> tuple[str, ...]:
    """What `init` has yet to do for the policy, in words; empty where all is there.

    Either role may ask. A proxy must not serve a policy for which this is not empty: where a basis
    became consent, the rows would still say yes.
    """
    present = {c.column_name: c for c in await store.read_columns(connection)}
    missing = []
    for column in ledger_columns(policy):
        found = present.get(column.column_name)
        words = f"purpose {column.purpose}"
        if column.category is not None:
            words += f", category {column.category}"
        if found is None:
            missing.append(words)
        elif found.basis is not column.basis:
            missing.append(f"{words} (its basis was {found.basis})")
    return tuple(missing)


_INSERT: Final = (
    f"INSERT INTO consent.event ({', '.join(store.INSERT_COLUMNS)})"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    " ON CONFLICT (idempotency_key) DO NOTHING RETURNING event, recorded_at"
)


def _event_values(request: ConsentRequest, at: datetime) -> tuple[object, ...]:
    return (
        request.purpose,
        sorted(set(request.categories)),
        request.state,
        at,
        request.until,
        request.source,
        request.notice,
        request.evidence,
        request.recorded_by,
    )


async def _is_recorded(connection: store.Connection, key: str) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM consent.event WHERE idempotency_key = $1)", key
        )
    )


async def _recorded_under(
    connection: store.Connection, key: str, request: ConsentRequest
) -> Recorded:
    row = await connection.fetchrow(
        "SELECT event, recorded_at, request_hash FROM consent.event WHERE idempotency_key = $1", key
    )
    if row["request_hash"] != request.hash:
        raise IdempotencyConflict("the idempotency key was used for another request")
    return Recorded(event=row["event"], recorded_at=row["recorded_at"], is_replay=True)
