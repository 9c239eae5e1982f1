"""A database with nothing but what the examples beside a policy say: tables, rows, consents.

Types come from a catalog, from the policy's `type:`, or from what a rule needs; else text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, assert_never

from proxy.consent.ledger import Ledger
from proxy.consent.request import ConsentRequest, State, read_time
from proxy.consent.sql_text import literal, quoted
from proxy.policy.model import (
    NoSubject,
    Policy,
    RelationName,
    Subject,
    SubjectAll,
    SubjectColumn,
    SubjectVia,
)
from proxy.policy.testfile import (
    Given,
    GivenConsent,
    GivenTable,
    Relative,
    TestFile,
    rule_columns,
)
from proxy.sql.catalog import Catalog

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The instant of the run, to which `{ago: …}` and `{in: …}` are relative."""

    now: datetime

    def at(self, relative: Relative) -> datetime:
        return self.now + timedelta(seconds=relative.seconds)


async def make_tables(
    connection: asyncpg.Connection, policy: Policy, catalog: Catalog | None, file: TestFile
) -> None:
    """Make every relation of the policy, empty; views and others become tables."""
    for schema in policy.schemas:
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    for extension, schema in policy.extensions.items():
        # Not every server has every extension: a test that uses a missing one fails by itself.
        if await connection.fetchval(
            "SELECT true FROM pg_available_extensions WHERE name = $1", extension
        ):
            await connection.execute(
                f"CREATE EXTENSION IF NOT EXISTS {quoted(extension)} SCHEMA {quoted(schema)}"
            )
    keys = dict.fromkeys(_unique_keys(policy))
    for relation in policy.relations:
        columns = _columns(policy, relation, catalog, file.tables)
        listed = ", ".join(f"{quoted(name)} {type_sql}" for name, type_sql in columns.items())
        await connection.execute(f"CREATE TABLE {_name(relation)} ({listed})")
        for key_relation, column in keys:
            if key_relation == relation:
                await connection.execute(
                    f"CREATE UNIQUE INDEX ON {_name(relation)} ({quoted(column)})"
                )


async def insert_rows(
    connection: asyncpg.Connection, tables: Sequence[GivenTable], clock: Clock
) -> None:
    """The given rows; what a row does not name is NULL."""
    for table in tables:
        for row in table.rows:
            columns = ", ".join(quoted(name) for name in row)
            values = ", ".join(_literal(value, clock) for value in row.values())
            what = f"({columns}) VALUES ({values})" if row else "DEFAULT VALUES"
            await connection.execute(f"INSERT INTO {_name(table.relation)} {what}")


async def record_consents(ledger: Ledger, consents: Sequence[GivenConsent], clock: Clock) -> None:
    """The given events, in their order."""
    for event in consents:
        await ledger.record(
            ConsentRequest(
                subject=str(event.subject),
                purpose=event.purpose,
                state=State(event.state),
                categories=() if event.category is None else (event.category,),
                at=_instant("at", event.at, clock),
                until=_instant("until", event.until, clock),
            )
        )


def _instant(key: str, value: str | Relative | None, clock: Clock) -> datetime | None:
    return clock.at(value) if isinstance(value, Relative) else read_time(key, value)


def _name(relation: RelationName) -> str:
    return f"{quoted(relation.schema)}.{quoted(relation.name)}"


def _literal(value: Given, clock: Clock) -> str:
    """The value as a literal without a type: PostgreSQL reads it as the column's."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "'true'" if value else "'false'"
        case Relative():
            # In UTC: a column without a zone takes the wall clock as it is written.
            return literal(clock.at(value).astimezone(UTC).isoformat())
        case int() | Decimal() | str():
            return literal(str(value))
        case _:
            assert_never(value)


# --- columns and their types -----------------------------------------------------------------


def _columns(
    policy: Policy, relation: RelationName, catalog: Catalog | None, tables: Sequence[GivenTable]
) -> dict[str, str]:
    known = catalog.relations.get(relation) if catalog is not None else None
    if known is not None:
        # A type of the database's own does not exist here; its text says the same.
        return {
            column.name: column.type.sql if column.type.schema == "pg_catalog" else "text"
            for column in known.columns
        }
    rule = policy.relations[relation]
    named = [name for table in tables if table.relation == relation for row in table.rows
             for name in row]  # fmt: skip
    listed: Mapping[str, str | None] = {name: c.type for name, c in (rule.columns or {}).items()}
    every = dict.fromkeys((*listed, *sorted(rule_columns(policy, relation)), *named))
    # An open table whose columns nobody knows still has to be one.
    every = every or {"id": None}
    needed = dict(_rule_types(policy, relation))
    return {name: listed.get(name) or needed.get(name, "text") for name in every}


def _rule_types(policy: Policy, relation: RelationName) -> Iterator[tuple[str, str]]:
    """The types that row rules about age need (policy-language, "Rows")."""
    rule = policy.relations[relation]
    for age in (rule.keep, rule.quiet):
        if age is not None:
            yield age.column, "timestamp" if age.zone else "timestamptz"


def _unique_keys(policy: Policy) -> Iterator[tuple[RelationName, str]]:
    if policy.subject_key is not None:
        yield policy.subject_key.relation, policy.subject_key.column
    for rule in policy.relations.values():
        for hop in _hops(rule.subject):
            if isinstance(hop, SubjectVia):
                yield hop.target.relation, hop.target.column


def _hops(subject: Subject) -> tuple[SubjectColumn | SubjectVia, ...]:
    match subject:
        case NoSubject():
            return ()
        case SubjectAll(subjects):
            return subjects
        case SubjectColumn() | SubjectVia():
            return (subject,)
        case _:
            assert_never(subject)
