"""Builds the dealer's database and its consent histories, inside PostgreSQL and in batches.

The same seed gives the same rows; only times are relative to the moment of building, so that
"yesterday" stays yesterday.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg

from proxy.demo import fill, tables
from proxy.demo.pools import make_names

DATABASE: Final = "crm"
CUSTOMERS: Final = 20_000
SEED: Final = 1

# Customers per statement: some 200,000 rows, a second of work, and one step of the progress bar.
BATCH: Final = 20_000
# The ledger's function looks through all events for each batch: few, larger ones.
_REFRESH_BATCH: Final = 100_000
_STATEMENT_TIMEOUT_S: Final = 1800  # one index over twelve million rows, on a slow disk

Progress = Callable[[str, int, int], None]  # what is being done, steps done, steps in all


def no_progress(what: str, done: int, total: int) -> None:
    """Nobody is watching."""


async def build_database(
    admin_url: str,
    customers: int = CUSTOMERS,
    seed: int = SEED,
    progress: Progress = no_progress,
) -> None:
    """Make the dealer's schemas, tables and rows in the database of the URL, which has none yet.

    The URL's role may create schemas. About twelve rows per customer.
    """
    connection = await asyncpg.connect(admin_url, command_timeout=_STATEMENT_TIMEOUT_S)
    try:
        await connection.execute(tables.TABLES)
        await _prepare(connection, seed)
        await connection.execute(fill.dealers())
        steps = -(-customers // BATCH) + len(tables.CONSTRAINTS) + 1
        done = await _fill(connection, customers, seed, lambda n: progress("rows", n, steps))
        for statement in tables.CONSTRAINTS:
            await connection.execute(statement)
            done += 1
            progress("keys and indexes", done, steps)
        await connection.execute(tables.COMMENTS)
        # Statistics and visibility: the first plans are as good as later ones.
        await connection.execute("VACUUM ANALYZE")
        progress("statistics", steps, steps)
    finally:
        await connection.close()


async def build_consents(
    admin_url: str, seed: int = SEED, progress: Progress = no_progress
) -> None:
    """Give the customers of the database a history of consent, in the ledger that `init` made.

    Events are loaded in bulk, then the ledger's own function computes what is in force from them.
    The role owns schema `consent`, or is a superuser.
    """
    connection = await asyncpg.connect(admin_url, command_timeout=_STATEMENT_TIMEOUT_S)
    try:
        await _prepare(connection, seed)
        customers = await connection.fetchval("SELECT max(id) FROM crm.customers") or 0
        statement = fill.consent_events()
        batches, people = _batches(customers), _batches(customers, _REFRESH_BATCH)
        steps = len(batches) + len(people)
        for step, (first, last) in enumerate(batches, start=1):
            await connection.execute(statement, first, last)
            progress("consents", step, steps)
        await connection.execute("ANALYZE consent.event")
        for step, (first, last) in enumerate(people, start=len(batches) + 1):
            await _refresh(connection, first, last)
            progress("consents", step, steps)
        # Whoever took a snapshot before this moment has to come again.
        await connection.execute(
            "UPDATE consent.epoch SET epoch = epoch + 1, changed_at = clock_timestamp()"
        )
        await connection.execute("VACUUM ANALYZE consent.event, consent.subject")
    finally:
        await connection.close()


async def _refresh(connection: asyncpg.Connection, first: int, last: int) -> None:
    """Compute what is in force for these customers, as far as anything is recorded of them."""
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO consent.subject (subject_id)"
            " SELECT DISTINCT subject_id FROM consent.event"
            " WHERE subject_id BETWEEN $1 AND $2 ON CONFLICT DO NOTHING",
            first,
            last,
        )
        await connection.execute(
            "SELECT consent.refresh((SELECT array_agg(subject_id) FROM consent.subject"
            " WHERE subject_id BETWEEN $1 AND $2))",
            first,
            last,
        )


async def _prepare(connection: asyncpg.Connection, seed: int) -> None:
    now = await connection.fetchval("SELECT date_trunc('second', now())::text")
    await connection.execute(fill.functions(seed, now))


async def _fill(
    connection: asyncpg.Connection, customers: int, seed: int, report: Callable[[int], None]
) -> int:
    statements = _Statements(connection)
    names = make_names(seed)
    step = 0
    for step, (first, last) in enumerate(_batches(customers), start=1):
        async with connection.transaction():
            await connection.execute(fill.customers(names), first, last)
            await connection.execute(fill.scores(), first, last)
            vehicles = await statements.run("vehicles", fill.vehicles(), first, last)
            await statements.run("visits", fill.service_visits(), *vehicles)
            await statements.run("chats", fill.chat_transcripts(), first, last)
            await statements.run("views", fill.page_views(), first, last)
            orders = await statements.run("orders", fill.orders(), first, last)
            await statements.run("items", fill.order_items(), *orders)
        report(step)
    return step


class _Statements:
    """Runs statements whose rows are numbered on from those of the batch before."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._execute: Callable[..., Awaitable[str]] = connection.execute
        self._taken: dict[str, int] = {}

    async def run(self, table: str, statement: str, first: int, last: int) -> tuple[int, int]:
        """The first and last id that were given."""
        taken = self._taken.get(table, 0)
        tag = await self._execute(statement, first, last, taken)
        self._taken[table] = taken + int(tag.rpartition(" ")[2])
        return taken + 1, self._taken[table]


def _batches(customers: int, size: int = BATCH) -> list[tuple[int, int]]:
    return [(first, min(first + size - 1, customers)) for first in range(1, customers + 1, size)]
