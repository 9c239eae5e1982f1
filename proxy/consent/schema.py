"""Makes schema `consent` in the customer database, its two roles, and what they may do.

The same statements are run by `init` and printed for a database administrator to read and run.
They are in an order that can be run again: a second run adds what new purposes and sensitive
categories need and changes nothing else. (A purpose whose basis changed is computed anew.)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from proxy.consent import in_table_sql, schema_sql
from proxy.consent.errors import LedgerNotPrepared
from proxy.consent.in_table import (
    copied_columns,
    in_table_rules,
    registrations,
    registry_statements,
    table_statements,
)
from proxy.consent.key import SubjectKey, subject_key
from proxy.consent.names import in_table_column, subject_column
from proxy.consent.sensitive import sensitive_columns
from proxy.consent.sql_text import block, literal, quoted, relation_sql
from proxy.policy.model import (
    Basis,
    ColumnName,
    Policy,
    RelationName,
    RelationRule,
    Subject,
    SubjectAll,
    SubjectColumn,
    SubjectVia,
)
from proxy.sql.kept import read_kept

READER: Final = "consent_reader"
WRITER: Final = "consent_writer"
SERVER_VERSION_MIN: Final = 130000  # gen_random_uuid() without an extension
ATTEMPTS_MAX: Final = 10  # each waits for at least a second (deadlock_timeout)
FILL_TIMEOUT_S: Final = 24 * 3600.0  # some minutes for a hundred million rows, others' work aside
SCRAM_ITERATIONS: Final = 4096  # PostgreSQL's default (scram_iterations)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerColumn:
    """One column of `consent.subject`, as the policy wants it."""

    column_name: str
    purpose: str
    category: str | None
    basis: Basis

    @property
    def is_default_yes(self) -> bool:
        """Whether the purpose is in force for a person of whom nothing is recorded."""
        return self.category is None and self.basis is not Basis.CONSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class InitReport:
    """What a run of `init` did. `passwords` holds those of the roles that it made, by role.

    `in_table`: tables with `consent: in_table`, and whether their rows are in step now.
    """

    database: str
    made_roles: tuple[str, ...]
    added_columns: tuple[LedgerColumn, ...]
    in_table: Mapping[str, bool]
    passwords: Mapping[str, str] = field(repr=False)


def ledger_columns(policy: Policy) -> tuple[LedgerColumn, ...]:
    """The columns of `consent.subject` that the policy needs, purposes first."""
    wanted: list[tuple[str, str | None]] = [(name, None) for name in policy.purposes]
    wanted += sensitive_columns(policy)
    return tuple(
        LedgerColumn(
            column_name=subject_column(purpose, category),
            purpose=purpose,
            category=category,
            basis=policy.purposes[purpose].basis,
        )
        for purpose, category in wanted
    )


def init_statements(
    policy: Policy,
    subject_key_type_sql: str,
    *,
    collation: str | None = None,
    reader: str = READER,
    writer: str = WRITER,
    verifiers: Mapping[str, str] | None = None,
) -> list[str]:
    """The statements that prepare a database, to be run in one transaction, in this order.

    `verifiers`: a SCRAM verifier per role, for roles that do not exist; without one a role is made
    without a password. A password itself is never part of a statement: servers log statements.
    """
    columns = ledger_columns(policy)
    typed = subject_key_type_sql + (f" COLLATE {collation}" if collation else "")
    return [
        *schema_sql.SETTINGS,
        *(_role(role, (verifiers or {}).get(role)) for role in (reader, writer)),
        schema_sql.SCHEMA,
        *(statement.format(key=typed) for statement in schema_sql.TABLES),
        schema_sql.KEY_CHECK.format(key=subject_key_type_sql),
        schema_sql.KEY_MADE,
        *schema_sql.PSEUDONYMS,
        *schema_sql.APPEND_ONLY,
        schema_sql.REFRESH.replace("{key}", subject_key_type_sql),
        *registry_statements(),
        # Who inserts into a table waits for the ledger next: the tables are locked first here too.
        *table_statements(policy, subject_key_type_sql, reader),
        schema_sql.LOCK,
        *(_column(column) for column in columns),
        *([_purposes(columns)] if columns else []),
        *registrations(policy),
        in_table_sql.SPREADING,
        schema_sql.REFRESHED,
        *_ledger_grants(reader, writer),
        *_reader_grants(policy, reader),
    ]


def init_script(
    policy: Policy,
    subject_key_type_sql: str,
    *,
    collation: str | None = None,
    reader: str = READER,
    writer: str = WRITER,
    verifiers: Mapping[str, str] | None = None,
) -> str:
    """The statements of `init_statements` as one script for psql: all happens, or nothing."""
    statements = init_statements(
        policy,
        subject_key_type_sql,
        collation=collation,
        reader=reader,
        writer=writer,
        verifiers=verifiers,
    )
    head = (
        "-- Prepares this database for the consent proxy. Run it as a role that may create\n"
        "-- schemas and roles and may grant SELECT on the tables below; it can be run again.\n"
        "-- Roles are made without passwords where none is given: set them with \\password.\n"
        "\\set ON_ERROR_STOP on\n"
    )
    filling = [in_table_sql.FILL] if any(in_table_rules(policy)) else []
    return head + "\n;\n\n".join(["BEGIN", *statements, "COMMIT", *filling]) + "\n;\n"


async def init(
    admin: asyncpg.Connection,
    policy: Policy,
    *,
    reader: str = READER,
    writer: str = WRITER,
    passwords: Mapping[str, str] | None = None,
) -> InitReport:
    """Prepare the database that `admin` is connected to, in one transaction.

    Roles that exist are taken as they are; one that is made gets its password from `passwords`, or
    a random one, and the report holds it. LedgerNotPrepared says what stands in the way.
    """
    try:
        return await _init(admin, policy, reader, writer, passwords or {})
    except asyncpg.PostgresError as error:
        raise LedgerNotPrepared(f"the database refused: {error}") from error


async def _init(
    admin: asyncpg.Connection,
    policy: Policy,
    reader: str,
    writer: str,
    passwords: Mapping[str, str],
) -> InitReport:
    await _refuse_unfit_server(admin)
    await _refuse_missing(admin, policy)
    key = await read_subject_key(admin, policy)
    made = await _missing_roles(admin, (reader, writer))
    chosen = {role: passwords.get(role) or secrets.token_urlsafe(24) for role in made}
    before = await _known_columns(admin)
    statements = init_statements(
        policy,
        key.type_sql,
        collation=key.collation,
        reader=reader,
        writer=writer,
        verifiers={role: scram_verifier(password) for role, password in chosen.items()},
    )

    async def prepare() -> None:
        async with admin.transaction():
            for statement in statements:
                await admin.execute(statement)

    await _until_it_meets_nobody(prepare)
    in_table: dict[str, bool] = {}
    if any(in_table_rules(policy)):
        await _until_it_meets_nobody(
            lambda: admin.execute(in_table_sql.FILL, timeout=FILL_TIMEOUT_S)
        )
        kept = {row["relation"] for row in await read_kept(admin)}
        for rule, _ in in_table_rules(policy):
            relation = await admin.fetchval(
                "SELECT pg_catalog.to_regclass($1)::oid::int8", relation_sql(rule.name)
            )
            in_table[str(rule.name)] = relation in kept
    columns = ledger_columns(policy)
    return InitReport(
        database=str(await admin.fetchval("SELECT pg_catalog.current_database()")),
        made_roles=made,
        added_columns=tuple(c for c in columns if c.column_name not in before),
        in_table=in_table,
        passwords=chosen,
    )


async def _until_it_meets_nobody(work: Callable[[], Awaitable[object]]) -> None:
    """Rows and events lock a table and the ledger in either order: who changes both may meet one
    of them. Then nothing was done, and it is done again.
    """
    for _ in range(ATTEMPTS_MAX - 1):
        try:
            await work()
        except asyncpg.DeadlockDetectedError:
            continue
        return
    await work()


async def read_subject_key(connection: asyncpg.Connection, policy: Policy) -> SubjectKey:
    """The type of the policy's key column in this database; WrongSubject if it can not be one."""
    column = policy.subject_key
    if column is None:
        raise LedgerNotPrepared("the policy names no `subject: key`")
    found = await connection.fetchrow(
        """SELECT pg_catalog.format_type(a.atttypid, NULL) AS type,
                  CASE WHEN a.attcollation NOT IN (0, t.typcollation) THEN
                    pg_catalog.format('%I.%I', n.nspname, l.collname) END AS collation
             FROM pg_catalog.pg_attribute AS a
             JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
             LEFT JOIN pg_catalog.pg_collation AS l ON l.oid = a.attcollation
             LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace
            WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attname = $2
              AND a.attnum > 0 AND NOT a.attisdropped""",
        relation_sql(column.relation),
        column.column,
    )
    if found is None:
        raise LedgerNotPrepared(f"the key {column} of the policy does not exist in this database")
    return subject_key(column, found["type"], found["collation"])


def reader_columns(
    policy: Policy, *, with_copies: bool = False
) -> dict[RelationName, tuple[str, ...] | None]:
    """What guards read of each relation; None is all of it (the relation is open).

    Copies of consent in tables are there only after `init`, which grants them by itself.
    """
    needed: dict[RelationName, set[str] | None] = {}
    for name, rule in policy.relations.items():
        needed[name] = None if rule.columns is None else {*rule.columns, *_rule_columns(rule)}
    targets = list(_targets(policy))
    if policy.subject_key is not None:
        targets.append(policy.subject_key)
    for target in targets:
        columns = needed.setdefault(target.relation, set())
        if columns is not None:
            columns.add(target.column)
    for rule, _ in in_table_rules(policy) if with_copies else ():
        copies = map(in_table_column, copied_columns(policy, rule))
        needed[rule.name] = {*(needed[rule.name] or ()), *copies}
    return {
        name: None if columns is None else tuple(sorted(columns))
        for name, columns in needed.items()
    }


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores of a password (RFC 5803): it can be sent and logged, and not used."""
    if not (password.isascii() and password.isprintable() and password):
        raise LedgerNotPrepared(
            "a role's password must be printable ASCII"
        )  # else SASLprep decides
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(b).decode() for b in (salt, stored, server))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"


# --- statements ------------------------------------------------------------------------------


def _role(role: str, verifier: str | None) -> str:
    password = f" PASSWORD {literal(verifier)}" if verifier else ""
    return block(
        f"  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {literal(role)}) THEN\n"
        f"    CREATE ROLE {quoted(role)} LOGIN{password};\n"
        "  END IF;"
    )


def _column(column: LedgerColumn) -> str:
    default = "infinity" if column.is_default_yes else "-infinity"
    # ADD COLUMN IF NOT EXISTS would stop every reader for nothing where the column is there.
    return block(
        "  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'consent.subject'::regclass\n"
        f"                    AND attname = {literal(column.column_name)}) THEN\n"
        f"    ALTER TABLE consent.subject ADD COLUMN {quoted(column.column_name)}"
        f" timestamptz NOT NULL DEFAULT '{default}';\n"
        "  END IF;"
    )


def _purposes(columns: tuple[LedgerColumn, ...]) -> str:
    rows = ",\n       ".join(
        f"({literal(c.column_name)}, {literal(c.purpose)},"
        f" {literal(c.category) if c.category is not None else 'NULL'},"
        f" '{c.basis}', '{'infinity' if c.is_default_yes else '-infinity'}')"
        for c in columns
    )
    return (
        "INSERT INTO consent.purpose AS p (column_name, purpose, category, basis, default_until)\n"
        f"VALUES {rows}\n"
        "ON CONFLICT (column_name) DO UPDATE SET basis = excluded.basis,\n"
        "  default_until = excluded.default_until, changed_at = transaction_timestamp()\n"
        "WHERE p.basis <> excluded.basis"
    )


def _ledger_grants(reader: str, writer: str) -> Iterator[str]:
    both = f"{quoted(reader)}, {quoted(writer)}"
    functions = ", ".join(schema_sql.PSEUDONYM_SIGNATURES)
    comment = "-- What the two roles may do in schema consent, and nobody else.\n"
    yield f"{comment}REVOKE ALL ON SCHEMA consent FROM PUBLIC"
    yield "REVOKE ALL ON ALL TABLES IN SCHEMA consent FROM PUBLIC"
    yield "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA consent FROM PUBLIC"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA consent FROM {both}"
    yield f"GRANT USAGE ON SCHEMA consent TO {both}"
    yield f"GRANT SELECT ON consent.subject, consent.purpose, consent.epoch TO {both}"
    yield f"GRANT EXECUTE ON FUNCTION {functions} TO {quoted(reader)}"
    yield f"GRANT SELECT ON consent.kept, consent.kept_column TO {quoted(reader)}"
    yield f"GRANT EXECUTE ON FUNCTION consent.kept_state TO {quoted(reader)}"
    yield f"GRANT SELECT ON consent.event TO {quoted(writer)}"
    yield (
        "GRANT INSERT (subject_id, purpose, categories, state, at, until, source, notice,\n"
        "  evidence, recorded_by, idempotency_key, request_hash)\n"
        f"  ON consent.event TO {quoted(writer)}"
    )
    yield f"GRANT INSERT, UPDATE ON consent.subject TO {quoted(writer)}"
    yield f"GRANT UPDATE (epoch, changed_at) ON consent.epoch TO {quoted(writer)}"
    yield f"GRANT EXECUTE ON FUNCTION consent.refresh TO {quoted(writer)}"


def _reader_grants(policy: Policy, reader: str) -> Iterator[str]:
    comment = "-- What guards read: columns that the policy lists, and those its rules look at.\n"
    needed = reader_columns(policy)
    schemas = [name.schema for name in needed]
    schemas += [*policy.extensions.values(), *(each.schema for each in policy.functions)]
    for schema in dict.fromkeys(schemas):
        yield f"{comment}GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(reader)}"
        comment = ""
    for name, columns in needed.items():
        listed = "" if columns is None else f" ({', '.join(quoted(c) for c in columns)})"
        if columns != ():
            yield f"GRANT SELECT{listed} ON {relation_sql(name)} TO {quoted(reader)}"
    for function in policy.functions:
        # The types were read as names: nothing else stands in them (policy/purposes.py).
        routine = relation_sql(RelationName(function.schema, function.name))
        types = ", ".join(function.arguments)
        yield f"GRANT EXECUTE ON ROUTINE {routine}({types}) TO {quoted(reader)}"


def _rule_columns(rule: RelationRule) -> Iterator[str]:
    for subject in _single_subjects(rule.subject):
        yield subject.column
    for row_rule in (rule.source, rule.keep, rule.quiet):
        if row_rule is not None:
            yield row_rule.column


def _targets(policy: Policy) -> Iterator[ColumnName]:
    for rule in policy.relations.values():
        for subject in _single_subjects(rule.subject):
            if isinstance(subject, SubjectVia):
                yield subject.target


def _single_subjects(subject: Subject) -> Iterator[SubjectColumn | SubjectVia]:
    if isinstance(subject, SubjectAll):
        yield from subject.subjects
    elif isinstance(subject, (SubjectColumn, SubjectVia)):
        yield subject


# --- looking at the database -----------------------------------------------------------------


async def _refuse_unfit_server(admin: asyncpg.Connection) -> None:
    if await admin.fetchval("SELECT pg_catalog.pg_is_in_recovery()"):
        raise LedgerNotPrepared("this is a standby; consent is recorded on the primary")
    version = int(await admin.fetchval("SELECT pg_catalog.current_setting('server_version_num')"))
    if version < SERVER_VERSION_MIN:
        raise LedgerNotPrepared("PostgreSQL 13 or newer is needed")


async def _refuse_missing(admin: asyncpg.Connection, policy: Policy) -> None:
    """One message for all relations and columns of the policy that this database has not."""
    missing: list[str] = []
    for name, columns in reader_columns(policy).items():
        found = await admin.fetch(
            "SELECT attname FROM pg_catalog.pg_attribute WHERE attnum > 0 AND NOT attisdropped"
            " AND attrelid = pg_catalog.to_regclass($1)",
            relation_sql(name),
        )
        present = {row["attname"] for row in found}
        if not present:
            missing.append(str(name))
        else:
            missing += [f"{name}.{column}" for column in columns or () if column not in present]
    if missing:
        raise LedgerNotPrepared(f"not in this database: {', '.join(missing)}")


async def _missing_roles(admin: asyncpg.Connection, roles: tuple[str, ...]) -> tuple[str, ...]:
    found = await admin.fetch("SELECT rolname FROM pg_catalog.pg_roles")
    present = {row["rolname"] for row in found}
    return tuple(role for role in roles if role not in present)


async def _known_columns(admin: asyncpg.Connection) -> frozenset[str]:
    if not await admin.fetchval("SELECT pg_catalog.to_regclass('consent.purpose') IS NOT NULL"):
        return frozenset()
    found = await admin.fetch("SELECT column_name FROM consent.purpose")
    return frozenset(row["column_name"] for row in found)
