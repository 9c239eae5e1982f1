"""Preparing a database: what `init` makes, who may do what with it, and that it can run again."""

from __future__ import annotations

import base64
import hmac
import secrets
import uuid
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from proxy.consent.connect import is_local
from proxy.consent.errors import LedgerNotPrepared, WrongSubject
from proxy.consent.ledger import Ledger, unprepared
from proxy.consent.names import subject_column
from proxy.consent.request import ConsentRequest, State
from proxy.consent.schema import init, init_script, reader_columns
from proxy.consent.sensitive import sensitive_columns
from proxy.demo.embedded import EmbeddedPostgres
from proxy.policy.model import (
    Basis,
    Category,
    Policy,
    Purpose,
    Read,
    RelationName,
    RelationRule,
)
from tests.conftest import MakeDatabase
from tests.consent.dealership import (
    CUSTOMERS,
    DEALERS,
    ITEMS,
    LIFE_EVENT,
    ORDERS,
    TABLES,
    VIEWS,
    as_role,
    make_policy,
)

# What a database has that init can have made or changed: definitions, rights and contents.
STATE = """
SELECT 'column', c.oid::regclass || '.' || a.attname || ' ' || format_type(atttypid, atttypmod)
       || ' ' || attnotnull || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
       || ' ' || coalesce(attacl::text, '') || ' ' || coalesce(relacl::text, '')
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace::regnamespace::text IN ('consent', 'crm', 'web', 'sales', 'ref')
UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'consent'::regnamespace
UNION ALL SELECT 'index', pg_get_indexdef(indexrelid)
  FROM pg_index WHERE indrelid::regclass::text LIKE 'consent.%'
UNION ALL SELECT 'trigger', pg_get_triggerdef(oid) || tgenabled::text
  FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', pg_get_functiondef(oid) || proacl::text
  FROM pg_proc WHERE pronamespace = 'consent'::regnamespace
UNION ALL SELECT 'schema', nspname || ' ' || coalesce(nspacl::text, '') FROM pg_namespace
 WHERE nspname IN ('consent', 'crm', 'web', 'sales', 'ref')
UNION ALL SELECT 'purpose', column_name || purpose || coalesce(category, '') || basis
       || default_until
  FROM consent.purpose
UNION ALL SELECT 'epoch', epoch::text FROM consent.epoch
UNION ALL SELECT 'subject', s::text FROM consent.subject s
ORDER BY 1, 2
"""


async def state_of(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    return [tuple(row) for row in await connection.fetch(STATE)]


async def role(database: str, name: str) -> asyncpg.Connection:
    return await asyncpg.connect(as_role(database, name))


async def test_the_printed_script_run_by_psql_prepares_the_same(
    prepared: asyncpg.Connection,
    policy: Policy,
    postgres: EmbeddedPostgres,
    make_database: MakeDatabase,
) -> None:
    other_url = make_database(script=TABLES)
    name = other_url.split("@/", 1)[1].split("?", 1)[0]
    for _ in range(2):
        postgres.run(init_script(policy, "bigint"), database=name)
        other = await asyncpg.connect(other_url)
        assert await state_of(other) == await state_of(prepared)
        await other.close()
    postgres.run(f'DROP DATABASE "{name}"')


async def test_a_second_run_changes_nothing(
    ledger: Ledger, prepared: asyncpg.Connection, policy: Policy
) -> None:
    await ledger.record(ConsentRequest(subject=1, purpose="email_campaign", state=State.GIVEN))
    before = await state_of(prepared)
    key = await prepared.fetchrow("SELECT * FROM consent.pseudonym_key")
    report = await init(prepared, policy)
    assert (report.added_columns, report.made_roles) == ((), ())
    assert await state_of(prepared) == before
    assert await prepared.fetchrow("SELECT * FROM consent.pseudonym_key") == key


async def test_a_new_purpose_gets_its_column_and_known_people_their_state(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    for subject, state in ((1, State.GIVEN), (2, State.OBJECTED), (3, State.RESTRICTED)):
        await ledger.record(ConsentRequest(subject=subject, purpose=None, state=state))
    new = (
        Purpose(name="sms", basis=Basis.CONSENT),
        Purpose(name="post", basis=Basis.LEGITIMATE_INTEREST),
        Purpose(name="recall", basis=Basis.LEGAL_OBLIGATION),
    )
    epoch = await ledger.epoch()
    report = await init(prepared, make_policy(*new))
    assert [column.column_name for column in report.added_columns] == ["sms", "post", "recall"]
    rows = await prepared.fetch(
        "SELECT sms > now(), post > now(), recall > now(), email_campaign > now()"
        " FROM consent.subject ORDER BY subject_id"
    )
    assert [tuple(row) for row in rows] == [
        # A grant for all does not cover a purpose that nobody knew of; an objection to all does.
        (False, True, True, True),
        (False, False, True, False),
        (False, False, False, False),
    ]
    assert await ledger.epoch() == epoch + 1


async def test_a_category_that_becomes_sensitive_takes_earlier_grants_that_named_it(
    ledger: Ledger, prepared: asyncpg.Connection, policy: Policy
) -> None:
    browsing = "user.behavior.browsing_history"
    await ledger.record(
        ConsentRequest(
            subject=1, purpose="personalisation", state=State.GIVEN, categories=("user.behavior",)
        )
    )
    await ledger.record(ConsentRequest(subject=2, purpose="personalisation", state=State.GIVEN))
    stricter = replace(
        policy,
        categories={**policy.categories, browsing: Category(name=browsing, is_sensitive=True)},
    )
    await init(prepared, stricter)
    column = subject_column("personalisation", browsing)
    rows = await prepared.fetch(
        f'SELECT "{column}" > now() FROM consent.subject ORDER BY subject_id'
    )
    assert [row[0] for row in rows] == [True, False]


async def test_a_basis_that_becomes_consent_ends_what_nobody_granted(
    prepared: asyncpg.Connection, database: str
) -> None:
    loose = make_policy(Purpose(name="offers", basis=Basis.LEGITIMATE_INTEREST))
    strict = make_policy(Purpose(name="offers", basis=Basis.CONSENT))
    await init(prepared, loose)
    ledger = await Ledger.connect(as_role(database, "consent_writer"), None, loose)
    try:
        await ledger.record(ConsentRequest(subject=1, purpose="service", state=State.GIVEN))
        epoch = await ledger.epoch()
        assert await unprepared(prepared, strict) == (
            "purpose offers (its basis was legitimate_interest)",
        )
        with pytest.raises(LedgerNotPrepared):
            await Ledger.connect(as_role(database, "consent_writer"), None, strict)
        await init(prepared, strict)
        assert await unprepared(prepared, strict) == ()
        assert await prepared.fetchval("SELECT offers = '-infinity' FROM consent.subject")
        await ledger.record(ConsentRequest(subject=2, purpose="service", state=State.GIVEN))
        assert await prepared.fetchval("SELECT bool_and(offers = '-infinity') FROM consent.subject")
        assert await ledger.epoch() == epoch + 1
    finally:
        await ledger.close()


async def test_a_purpose_that_left_the_policy_is_still_withdrawn(
    prepared: asyncpg.Connection, database: str, policy: Policy
) -> None:
    await init(prepared, make_policy(Purpose(name="offers", basis=Basis.CONSENT)))
    await init(prepared, policy)
    ledger = await Ledger.connect(as_role(database, "consent_writer"), None, policy)
    try:
        for state in (State.GIVEN, State.WITHDRAWN):
            await ledger.record(ConsentRequest(subject=1, purpose="offers", state=state))
        assert await prepared.fetchval("SELECT offers = '-infinity' FROM consent.subject")
    finally:
        await ledger.close()


@pytest.mark.parametrize("name", ["consent_writer", "consent_reader", "postgres"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE consent.event SET state = 'given'",
        "DELETE FROM consent.event",
        "TRUNCATE consent.event",
    ],
)
async def test_events_can_not_be_changed_by_anybody(
    ledger: Ledger, database: str, name: str, statement: str
) -> None:
    await ledger.record(ConsentRequest(subject=1, purpose="service", state=State.RESTRICTED))
    connection = await role(database, name)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("consent_reader", "SELECT FROM consent.event"),
        ("consent_reader", "SELECT FROM consent.pseudonym_key"),
        ("consent_writer", "SELECT FROM consent.pseudonym_key"),
        ("consent_reader", "INSERT INTO consent.subject (subject_id) VALUES (1)"),
        ("consent_reader", "UPDATE consent.epoch SET epoch = 0"),
        ("consent_reader", "SELECT consent.refresh('{1}')"),
        ("consent_writer", "SELECT consent.pseudonym('a', 'b')"),
        ("consent_writer", "SELECT FROM crm.customers"),
        ("consent_writer", "UPDATE consent.purpose SET basis = 'contract'"),
        ("consent_writer", "DELETE FROM consent.subject"),
        # Not in the policy: a column, and a table.
        ("consent_reader", "SELECT secret_note FROM crm.customers"),
        ("consent_reader", "SELECT ip FROM web.page_views"),
        ("consent_reader", "SELECT FROM crm.salaries"),
        ("consent_reader", "UPDATE crm.customers SET email = ''"),
        # The ledger alone says when something was recorded.
        (
            "consent_writer",
            """INSERT INTO consent.event
                      (subject_id, state, at, recorded_at, idempotency_key, request_hash)
               VALUES (1, 'given', now(), now(), 'k', 'h')""",
        ),
    ],
)
async def test_the_roles_may_do_what_they_need_and_nothing_else(
    prepared: asyncpg.Connection, database: str, name: str, statement: str
) -> None:
    connection = await role(database, name)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id, email, score FROM crm.customers",
        "SELECT url, customer_id, source, viewed_at FROM web.page_views",
        "SELECT id, customer_id, total FROM sales.orders",
        "SELECT sku, order_id FROM sales.order_items",
        "SELECT * FROM ref.dealers",
        "SELECT * FROM consent.subject, consent.purpose, consent.epoch",
        "SELECT consent.pseudonym('a', 'b')",
        "SELECT consent.pseudonym_bigint('a', 1)",
        "SELECT consent.pseudonym_uuid('a', gen_random_uuid())",
    ],
)
async def test_the_reader_reads_what_guards_need(
    prepared: asyncpg.Connection, database: str, statement: str
) -> None:
    connection = await role(database, "consent_reader")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_nobody_else_has_rights_in_the_schema(
    admin: asyncpg.Connection, database: str, policy: Policy
) -> None:
    # A database whose administrator gives everything new to everybody.
    await admin.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    await init(admin, policy)
    stranger = f"stranger_{secrets.token_hex(4)}"
    await admin.execute(f"CREATE ROLE {stranger} LOGIN")
    connection = await role(database, stranger)
    try:
        for statement in (
            "SELECT FROM consent.subject",
            "SELECT consent.pseudonym('a', 'b')",
            "SELECT FROM consent.pseudonym_key",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        # Not even with the schema opened.
        await admin.execute(f"GRANT USAGE ON SCHEMA consent TO {stranger}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT consent.pseudonym('a', 'b')")
        reader = await role(database, "consent_reader")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute("SELECT FROM consent.pseudonym_key")
        await reader.close()
    finally:
        await connection.close()
        await admin.execute(f"DROP OWNED BY {stranger}; DROP ROLE {stranger}")


async def test_made_roles_log_in_with_the_reported_password_and_existing_ones_keep_theirs(
    admin: asyncpg.Connection, policy: Policy, postgres: EmbeddedPostgres, database: str
) -> None:
    suffix = secrets.token_hex(4)
    reader, writer = f"reader_{suffix}", f"writer's_{suffix}"
    report = await init(
        admin, policy, reader=reader, writer=writer, passwords={writer: "correct horse"}
    )
    assert report.made_roles == (reader, writer)
    assert report.passwords[writer] == "correct horse"
    assert "correct horse" not in repr(report)
    for name in (reader, writer):
        connection = await asyncpg.connect(
            postgres.url(report.database, name, tcp=True, password=report.passwords[name])
        )
        await connection.close()
    again = await init(admin, policy, reader=reader, writer=writer, passwords={writer: "other"})
    assert (again.made_roles, again.passwords) == ((), {})
    connection = await asyncpg.connect(
        postgres.url(report.database, reader, tcp=True, password=report.passwords[reader])
    )
    await connection.close()
    for name in (reader, writer):
        await admin.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


async def test_a_pseudonym_is_the_hmac_that_any_library_computes(
    prepared: asyncpg.Connection,
) -> None:
    inner = await prepared.fetchval("SELECT inner_key FROM consent.pseudonym_key")
    key = bytes(byte ^ 0x36 for byte in inner)
    assert len(key) == 64
    assert key[32:] == bytes(32)
    assert len(set(key[:32])) > 16  # 32 random bytes; fewer than 17 values never happens

    def digest(value: object) -> bytes:
        return hmac.digest(key[:32], b"mailer/email_campaign\0" + str(value).encode(), "sha256")

    async def ask(function: str, value: Any) -> Any:
        return await prepared.fetchval(
            f"SELECT consent.{function}($1, $2)", "mailer/email_campaign", value
        )

    for text in ("", "Ana Ruiz", "ñandú 🚗", "x" * 10_000):
        expected = base64.urlsafe_b64encode(digest(text)).decode().rstrip("=")
        assert await ask("pseudonym", text) == expected
        assert len(expected) == 43
    for number in (0, -1, 2**63 - 1, -(2**63)):
        expected_number = int.from_bytes(digest(number)[:8], "big", signed=True)
        assert await ask("pseudonym_bigint", number) == expected_number
    for value in (uuid.UUID(int=0), uuid.uuid4()):
        raw = bytearray(digest(value)[:16])
        raw[6], raw[8] = raw[6] & 0x0F | 0x80, raw[8] & 0x3F | 0x80
        found = uuid.UUID(int=(await ask("pseudonym_uuid", value)).int)
        assert found == uuid.UUID(bytes=bytes(raw))
        assert found.version == 8
    assert await ask("pseudonym", None) is None


async def test_pseudonyms_of_two_contexts_and_two_databases_differ(
    prepared: asyncpg.Connection, policy: Policy, make_database: MakeDatabase
) -> None:
    other = await asyncpg.connect(make_database(script=TABLES))
    try:
        await init(other, policy)
        found = [
            await connection.fetchval("SELECT consent.pseudonym($1, 'ana')", context)
            for connection in (prepared, other)
            for context in ("a", "b")
        ]
    finally:
        await other.close()
    assert len(set(found)) == 4


async def test_a_ledger_with_another_type_of_key_is_not_taken_over(
    prepared: asyncpg.Connection, policy: Policy
) -> None:
    await prepared.execute("ALTER TABLE crm.customers ALTER COLUMN id TYPE integer")
    with pytest.raises(LedgerNotPrepared, match="not of type integer"):
        await init(prepared, policy)


@pytest.mark.parametrize("type_sql", ["numeric", "char(8)", "timestamptz", "bytea"])
async def test_a_key_of_another_type_is_refused(
    admin: asyncpg.Connection, policy: Policy, type_sql: str
) -> None:
    await admin.execute(
        "DROP TABLE crm.customers;"
        f"CREATE TABLE crm.customers (id {type_sql}, email text, score real)"
    )
    with pytest.raises(WrongSubject):
        await init(admin, policy)


async def test_an_administrator_need_not_be_a_superuser(
    admin: asyncpg.Connection, policy: Policy, database: str
) -> None:
    suffix = secrets.token_hex(4)
    names = {"owner": f"owner_{suffix}", "reader": f"reader_{suffix}", "writer": f"writer_{suffix}"}
    owner = names["owner"]
    await admin.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE")
    catalog = await admin.fetchval("SELECT current_database()")
    await admin.execute(f'GRANT CREATE ON DATABASE "{catalog}" TO {owner}')
    for schema in ("crm", "web", "sales", "ref"):
        await admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO {owner} WITH GRANT OPTION")
        await admin.execute(
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {owner} WITH GRANT OPTION"
        )
    connection = await role(database, owner)
    try:
        for made in ((names["reader"], names["writer"]), ()):
            report = await init(connection, policy, reader=names["reader"], writer=names["writer"])
            assert report.made_roles == made
        ledger = await Ledger.connect(as_role(database, names["writer"]), None, policy)
        await ledger.record(ConsentRequest(subject=1, purpose="service", state=State.RESTRICTED))
        await ledger.close()
        reader = await role(database, names["reader"])
        await reader.fetch("SELECT consent.pseudonym('a', email) FROM crm.customers")
        await reader.close()
    finally:
        await connection.close()
        await admin.execute("DROP SCHEMA consent, crm, web, sales, ref CASCADE")
        for name in names.values():
            await admin.execute(f"DROP OWNED BY {name} CASCADE")
            await admin.execute(f"DROP ROLE {name}")


async def test_an_administrator_without_the_rights_is_told_and_nothing_is_made(
    admin: asyncpg.Connection, policy: Policy, database: str
) -> None:
    owner = f"owner_{secrets.token_hex(4)}"
    await admin.execute(f"CREATE ROLE {owner} LOGIN")
    connection = await role(database, owner)
    try:
        with pytest.raises(LedgerNotPrepared):
            await init(connection, policy)
        assert await admin.fetchval("SELECT to_regnamespace('consent') IS NULL")
    finally:
        await connection.close()
        await admin.execute(f"DROP ROLE {owner}")


async def test_what_the_database_lacks_is_named_at_once(
    admin: asyncpg.Connection, policy: Policy
) -> None:
    await admin.execute("ALTER TABLE crm.customers DROP COLUMN score; DROP TABLE ref.dealers")
    with pytest.raises(LedgerNotPrepared, match=r"crm\.customers\.score, ref\.dealers"):
        await init(admin, policy)
    assert await admin.fetchval("SELECT to_regnamespace('consent') IS NULL")


async def test_a_ledger_without_init_says_so(
    prepared: asyncpg.Connection, admin: asyncpg.Connection, database: str, policy: Policy
) -> None:
    await admin.execute("DROP SCHEMA consent CASCADE")
    with pytest.raises(LedgerNotPrepared):
        await Ledger.connect(as_role(database, "consent_writer"), None, policy)


async def test_names_from_the_policy_are_never_sql(
    admin: asyncpg.Connection, policy: Policy
) -> None:
    name = "x'); DROP SCHEMA crm CASCADE; -- $consent$ \" %s {key}"
    await admin.execute('ALTER TABLE ref.dealers RENAME TO "x""; DROP SCHEMA crm CASCADE; --"')
    odd = RelationName("ref", 'x"; DROP SCHEMA crm CASCADE; --')
    relations = {n: rule for n, rule in policy.relations.items() if n != DEALERS}
    hostile = replace(
        make_policy(
            Purpose(name=name, basis=Basis.CONSENT), Purpose(name="ctid", basis=Basis.CONSENT)
        ),
        relations={**relations, odd: RelationRule(name=odd, columns=None)},
    )
    await init(admin, hostile)
    assert await admin.fetchval("SELECT to_regclass('crm.customers') IS NOT NULL")
    assert (
        await admin.fetchval("SELECT count(*) FROM consent.purpose WHERE purpose = $1", name) == 1
    )


def test_sensitive_columns_are_those_that_a_purpose_reads(policy: Policy) -> None:
    assert sensitive_columns(policy) == (
        ("measurement", LIFE_EVENT),
        ("personalisation", LIFE_EVENT),
    )
    reads_all = Purpose(name="all", basis=Basis.CONTRACT, reads=(Read(category="user"),))
    assert ("all", LIFE_EVENT) in sensitive_columns(make_policy(reads_all))


def test_the_reader_is_granted_columns_that_rules_look_at(policy: Policy) -> None:
    assert reader_columns(policy) == {
        CUSTOMERS: ("email", "id", "score"),
        VIEWS: ("customer_id", "source", "url", "viewed_at"),
        ORDERS: ("customer_id", "id", "total"),
        ITEMS: ("order_id", "sku"),
        DEALERS: None,
    }


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("postgresql://r@127.0.0.1:5432/crm", True),
        ("postgresql://r@localhost/crm", True),
        ("postgresql://r@[::1]:5432/crm", True),
        ("postgresql://r@/crm?host=/run/postgresql", True),
        ("postgresql:///crm", True),
        ("postgresql://r@db.example.com/crm", False),
        ("postgresql://r@127.0.0.1,db.example.com/crm", False),
        ("postgresql://r@/crm?host=db.example.com", False),
        ("postgresql://r@127.0.0.1.example.com/crm", False),
    ],
)
def test_only_this_machine_is_local(url: str, local: bool) -> None:
    assert is_local(url) is local


async def test_a_policy_without_a_subject_key_can_have_no_ledger(
    admin: asyncpg.Connection, policy: Policy
) -> None:
    with pytest.raises(LedgerNotPrepared, match="subject"):
        await init(admin, replace(policy, subject_key=None))
