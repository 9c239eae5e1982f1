"""The consent epoch, read on a connection of its own: has anything been taken away since?

It moves in the transaction of every event that makes something shorter. Whoever reads it *before*
a snapshot is taken, and finds the same number later, knows that the snapshot still shows only what
people allow (design.md, section 3).
"""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg

from proxy.consent.connect import LOST, connect_arguments
from proxy.errors import Reason, Refused

# 0.1 ms where all is well. Slower than this is no answer: the statement is refused.
READ_TIMEOUT_S: Final = 2.0
_ATTEMPTS: Final = 2  # the second on a fresh connection


class EpochReader:
    """Reads the epoch for every session of a worker over one warm connection.

    Calls that come while a read is on its way share the next one: a read that began before a call
    could be older than the call.
    """

    def __init__(self, url: str, password: str | None) -> None:
        self._url = url
        self._password = password
        self._connection: asyncpg.Connection | None = None
        self._prepared: asyncpg.prepared_stmt.PreparedStatement | None = None
        self._next: asyncio.Task[int] | None = None
        self._turn = asyncio.Lock()

    async def read(self) -> int:
        """The epoch, at some instant between the call and its return.

        Refused(UPSTREAM_UNAVAILABLE) if the database does not answer, even on a new connection.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._read_in_turn())
            self._next.add_done_callback(_mark_retrieved)
        # One caller that is cancelled must not take the answer from the others.
        return await asyncio.shield(self._next)

    async def close(self) -> None:
        """End the connection. A later read would open a new one."""
        async with self._turn:
            await self._drop()

    async def _read_in_turn(self) -> int:
        async with self._turn:
            # From here on the read is under way: who comes now waits for the one after it.
            self._next = None
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    async with asyncio.timeout(READ_TIMEOUT_S):
                        return await self._read()
                except Refused:
                    raise
                except (*LOST, asyncpg.PostgresError) as error:
                    await self._drop()
                    if attempt == _ATTEMPTS:
                        raise Refused(
                            Reason.UPSTREAM_UNAVAILABLE, "the state of consent can not be read"
                        ) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _read(self) -> int:
        prepared = self._prepared
        if prepared is None or self._connection is None or self._connection.is_closed():
            prepared = await self._connect()
        epoch = await prepared.fetchval()
        if not isinstance(epoch, int):
            raise Refused(Reason.UPSTREAM_UNAVAILABLE, "the database is not prepared: no epoch")
        return epoch

    async def _connect(self) -> asyncpg.prepared_stmt.PreparedStatement:
        self._connection = await asyncpg.connect(
            **connect_arguments(self._url, self._password), statement_cache_size=0
        )
        # A standby lags behind: its epoch would call an old snapshot fresh.
        if await self._connection.fetchval("SELECT pg_catalog.pg_is_in_recovery()"):
            await self._drop()
            raise Refused(Reason.UPSTREAM_UNAVAILABLE, "the database is a standby")
        self._prepared = await self._connection.prepare("SELECT epoch FROM consent.epoch")
        return self._prepared

    async def _drop(self) -> None:
        connection, self._connection, self._prepared = self._connection, None, None
        if connection is not None:
            connection.terminate()


def _mark_retrieved(task: asyncio.Task[int]) -> None:
    # Where every caller was cancelled meanwhile, nobody else would look at the task's failure.
    if not task.cancelled():
        task.exception()
