"""Two databases of one PostgreSQL, alike in every table, filled with the two sides of a pair."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from random import Random
from types import TracebackType
from typing import Final, Self

import asyncpg
import psycopg
from psycopg import sql

from proxy.consent.schema import READER, init
from proxy.demo.embedded import EmbeddedPostgres
from proxy.enforce import Enforcer, StatementLimits
from proxy.policy.check import asks_ledger, catalog_schemas
from proxy.policy.load import load_policy
from proxy.policy.model import Policy
from proxy.sql.catalog import Catalog, load_catalog
from proxy.sql.settings import SettingLimits
from tests.noninterference.calls import read_calls
from tests.noninterference.pairs import Pair, Side
from tests.noninterference.rules import POLICY, Grant, Rules
from tests.noninterference.tables import CARDS, SCRIPT, TABLES

STATEMENT_S: Final = 4
_WITHOUT_STATISTICS: Final = """
SET LOCAL allow_system_table_mods = on;
DELETE FROM pg_catalog.pg_statistic WHERE starelid >= 16384
"""
_LIMITS: Final = StatementLimits(statement_bytes=1 << 20, statement_nesting=100)


def options(policy: Policy) -> str:
    """The settings of the proxy's upstream sessions, as a part of a connection URL."""
    settings = {
        "search_path": ",".join(policy.schemas),
        "statement_timeout": f"{STATEMENT_S}s",
        "default_transaction_read_only": "on",
        "TimeZone": "UTC",
    }
    return "%20".join(f"-c%20{name}%3D{value}" for name, value in settings.items())


class Databases:
    """`left` and `right`: copies of one database, so that their object ids are the same too.
    `visible`: for what the tool may see of them, and nothing else.
    """

    def __init__(self, postgres: EmbeddedPostgres, name: str) -> None:
        self.postgres = postgres
        self.left, self.right = f"{name}_left", f"{name}_right"
        self.visible = f"{name}_visible"
        self.policy = load_policy(POLICY)
        self.relations = [each.name for each in (*TABLES, CARDS) if each.name in Rules().tables]

    def __enter__(self) -> Self:
        self.postgres.run(f'CREATE DATABASE "{self.left}" TEMPLATE template0')
        self.postgres.run(SCRIPT, database=self.left)
        self.catalog, self.grants = asyncio.run(self._prepare())
        self.postgres.run("ALTER TABLE consent.subject SET (autovacuum_enabled = off)", self.left)
        self.postgres.run(f'CREATE DATABASE "{self.right}" TEMPLATE "{self.left}"')
        self.postgres.run(f'CREATE DATABASE "{self.visible}" TEMPLATE template0')
        self._admins = [
            psycopg.connect(self.postgres.url(name), autocommit=True)
            for name in (self.left, self.right)
        ]
        self.calls = read_calls(self._admins[0], self.catalog)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for admin in self._admins:
            admin.close()
        for name in (self.left, self.right, self.visible):
            self.postgres.run(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _prepare(self) -> tuple[Catalog, dict[Grant, str]]:
        admin = await asyncpg.connect(self.postgres.url(self.left))
        try:
            await init(admin, self.policy)
            columns = await admin.fetch(
                "SELECT purpose, category, column_name FROM consent.purpose"
            )
            catalog = await load_catalog(admin, catalog_schemas(self.policy))
            assert not asks_ledger(self.policy, catalog)
        finally:
            await admin.close()
        return catalog, {(purpose, category): name for purpose, category, name in columns}

    def enforcer(self) -> Enforcer:
        """A new one: nothing that another had cached is left."""
        return Enforcer(self.policy, self.catalog, _LIMITS, SettingLimits())

    def conninfos(self) -> Sequence[str]:
        """Where the proxy's upstream role reads, on both sides."""
        return [
            f"{self.postgres.url(name, READER)}&options={options(self.policy)}"
            for name in (self.left, self.right)
        ]

    # --- rows ---

    def fill(self, pair: Pair, random: Random, *, analyzed: bool = False) -> None:
        """Put the two sides' rows into the databases; with statistics of them, hidden rows and
        values included, or without.
        """
        for admin, side in zip(self._admins, (pair.left, pair.right), strict=True):
            with admin.transaction():
                self._fill(admin, side, random)
                # Of an earlier pair: a block of statements depends on nothing but its seed.
                admin.execute(_WITHOUT_STATISTICS)
            if analyzed:
                admin.execute("ANALYZE")

    def _fill(self, admin: psycopg.Connection, side: Side, random: Random) -> None:
        names = sql.SQL(", ").join(sql.Identifier(*table.name.split(".")) for table in TABLES)
        admin.execute(sql.SQL("TRUNCATE {}, consent.subject").format(names))
        # The ledger first: tables that repeat it make its rows where there are none.
        grants = list(self.grants)
        names_of_grants = ["subject_id", *(self.grants[grant] for grant in grants)]
        with admin.cursor().copy(_copy("consent.subject", names_of_grants)) as copy:
            for person, own in side.ledger.items():
                copy.write_row([person, *(_until(own[grant], random) for grant in grants)])
        for table in TABLES:
            columns = [column.name for column in table.columns]
            with admin.cursor().copy(_copy(table.name, columns)) as copy:
                for row in side.rows[table.name]:
                    copy.write_row([row[column] for column in columns])


def _copy(relation: str, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(*relation.split(".")), sql.SQL(", ").join(map(sql.Identifier, columns))
    )


def _until(is_in_force: bool, random: Random) -> str:
    """In force until then: which of the instants it is, nobody may tell."""
    now = dt.datetime.now(dt.UTC)
    if is_in_force:
        return random.choice(("infinity", f"{now + dt.timedelta(days=random.randint(1, 90))}"))
    return random.choice(("-infinity", f"{now - dt.timedelta(days=random.randint(1, 90))}"))
