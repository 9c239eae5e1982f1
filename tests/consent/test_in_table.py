"""Consent inside tables: in step with the ledger after whatever happens, or not trusted."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

import asyncpg
import pytest

from proxy.consent import store
from proxy.consent.errors import LedgerNotPrepared
from proxy.consent.key import SubjectKey
from proxy.consent.ledger import Ledger
from proxy.consent.request import ConsentRequest, State
from proxy.consent.schema import init
from proxy.policy.model import Basis, Policy, RelationName
from proxy.sql.catalog import catalog_fingerprint, load_catalog
from proxy.sql.kept import Kept, kept_of, read_kept
from tests.consent.dealership import CUSTOMERS, LIFE_EVENT, VIEWS, as_role, make_policy

KEY = SubjectKey("bigint")

# Every row of a table that repeats consent, as the table has it and as the ledger says it.
_ROWS = """
SELECT a.relation::regclass::text AS relation, a.attname AS key,
       string_agg(format('t.%I IS DISTINCT FROM CASE WHEN t.%I IS NOT NULL'
                         ' THEN coalesce(s.%I, %L) END', o.attname, a.attname,
                         c.column_name, p.default_until), ' OR ') AS differs
  FROM (SELECT k.relation, a.attname FROM consent.kept k
          JOIN pg_attribute a ON a.attrelid = k.relation AND a.attnum = k.key) AS a
  JOIN consent.kept_column c USING (relation)
  JOIN pg_attribute o ON o.attrelid = c.relation AND o.attnum = c.attnum
  JOIN consent.purpose p USING (column_name)
 GROUP BY a.relation, a.attname
"""


def in_table(policy: Policy, *relations: RelationName) -> Policy:
    changed = {
        name: replace(rule, is_consent_in_table=True) if name in relations else rule
        for name, rule in policy.relations.items()
    }
    return replace(policy, relations=changed)


@pytest.fixture
def policy() -> Policy:
    return in_table(make_policy(), CUSTOMERS, VIEWS)


async def out_of_step(admin: asyncpg.Connection) -> list[asyncpg.Record]:
    """Rows whose copy is not what the ledger says. There is at least one table to look at."""
    found: list[asyncpg.Record] = []
    tables = await admin.fetch(_ROWS)
    assert tables
    for relation, key, differs in tables:
        found += await admin.fetch(
            f'SELECT t.* FROM {relation} t LEFT JOIN consent.subject s ON s.subject_id = t."{key}"'
            f" WHERE {differs}"
        )
    return found


async def kept(connection: asyncpg.Connection, relation: RelationName = CUSTOMERS) -> Kept | None:
    catalog = await load_catalog(connection, ["crm", "web"])
    return catalog.relations[relation].kept


async def copies(admin: asyncpg.Connection, subject: int) -> tuple[bool | None, ...]:
    """Of the customer's row: email_campaign, measurement, personalisation's sensitive category."""
    (sensitive,) = await admin.fetch(
        "SELECT column_name FROM consent.purpose WHERE purpose = 'personalisation'"
        " AND category IS NOT NULL"
    )
    return tuple(
        await admin.fetchrow(
            "SELECT consent_email_campaign > now(), consent_measurement > now(),"
            f' "consent_{sensitive[0]}" > now() FROM crm.customers WHERE id = $1',
            subject,
        )
    )


# --- in step --------------------------------------------------------------------------------------


async def test_rows_that_were_there_before_are_filled(
    admin: asyncpg.Connection, policy: Policy
) -> None:
    await admin.execute(
        "INSERT INTO crm.customers (id) SELECT generate_series(1, 3000);"
        "INSERT INTO web.page_views (id, customer_id) VALUES (1, 1), (2, 1), (3, NULL)"
    )
    await init(admin, policy)
    assert await out_of_step(admin) == []
    assert await copies(admin, 7) == (False, True, False)
    assert await kept(admin) is not None
    assert await kept(admin, VIEWS) is not None


async def test_rows_are_in_step_after_every_kind_of_event(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    await prepared.execute(
        "INSERT INTO crm.customers (id) VALUES (1), (2), (3);"
        "INSERT INTO web.page_views (id, customer_id) VALUES (1, 1), (2, 1), (3, 2), (4, NULL)"
    )

    async def record(subject: int, purpose: str | None, state: State, *categories: str) -> None:
        await ledger.record(
            ConsentRequest(subject=subject, purpose=purpose, state=state, categories=categories)
        )
        assert await out_of_step(prepared) == []

    await record(1, "email_campaign", State.GIVEN)
    assert await copies(prepared, 1) == (True, True, False)
    await record(1, "personalisation", State.GIVEN, LIFE_EVENT)
    assert await copies(prepared, 1) == (True, True, True)
    await record(1, "measurement", State.OBJECTED)
    assert await copies(prepared, 1) == (True, False, True)
    await record(1, None, State.WITHDRAWN)
    assert await copies(prepared, 1) == (False, False, False)
    await record(9, "email_campaign", State.GIVEN)  # of whom there is no row
    await prepared.execute("INSERT INTO crm.customers (id) VALUES (9), (10)")
    assert await copies(prepared, 9) == (True, True, False)
    assert await copies(prepared, 10) == (False, True, False)
    assert await out_of_step(prepared) == []


WRITES = {
    "an insert that says yes": "INSERT INTO crm.customers (id, consent_email_campaign)"
    " VALUES (3, 'infinity')",
    "an update that says yes": "UPDATE crm.customers SET consent_email_campaign = 'infinity'",
    "an update that says nothing": "UPDATE crm.customers SET consent_measurement = NULL",
    "another person's key": "UPDATE crm.customers SET id = 3 WHERE id = 1",
    "no person": "UPDATE web.page_views SET customer_id = NULL",
    "a person after none": "UPDATE web.page_views SET customer_id = 2 WHERE id = 3",
    "an upsert": "INSERT INTO crm.customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE"
    " SET id = 4, consent_email_campaign = 'infinity'",
    "a replica's write": "SET session_replication_role = replica;"
    " INSERT INTO crm.customers (id, consent_email_campaign) VALUES (3, 'infinity')",
    "rows of the ledger that are written by hand": "UPDATE consent.subject"
    " SET email_campaign = CASE subject_id WHEN 1 THEN now() - interval '1 day'"
    " ELSE now() + interval '1 day' END",
    "rows of the ledger that are inserted": "DELETE FROM crm.customers WHERE id = 2;"
    " DELETE FROM web.page_views; DELETE FROM consent.subject WHERE subject_id = 2;"
    " INSERT INTO consent.subject (subject_id, email_campaign) VALUES (2, 'infinity');"
    " INSERT INTO crm.customers (id) VALUES (2)",
    "rows of the ledger that are deleted": "DELETE FROM consent.subject",
    "a ledger that is emptied": "TRUNCATE consent.subject",
    "a table that is emptied": "TRUNCATE crm.customers; INSERT INTO crm.customers VALUES (1)",
}


async def test_rows_are_in_step_after_every_kind_of_write(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    await prepared.execute(
        "INSERT INTO crm.customers (id) VALUES (1), (2);"
        "INSERT INTO web.page_views (id, customer_id) VALUES (1, 1), (2, 2), (3, NULL)"
    )
    await ledger.record(ConsentRequest(subject=1, purpose="email_campaign", state=State.GIVEN))
    await ledger.record(ConsentRequest(subject=2, purpose="measurement", state=State.OBJECTED))
    assert await out_of_step(prepared) == []
    for name, write in WRITES.items():
        await prepared.execute("BEGIN")
        await prepared.execute(write)
        assert await out_of_step(prepared) == [], name
        assert len(await read_kept(prepared)) == 2, name
        await prepared.execute("ROLLBACK")


async def test_rows_that_are_copied_in_are_in_step(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    await ledger.record(ConsentRequest(subject=1, purpose="email_campaign", state=State.GIVEN))
    await prepared.copy_records_to_table(
        "customers",
        schema_name="crm",
        columns=["id", "consent_measurement"],
        records=[(number, None) for number in range(100)],
    )
    assert await out_of_step(prepared) == []
    assert await copies(prepared, 1) == (True, True, False)


async def test_a_role_without_rights_on_the_ledger_inserts_and_can_not_say_yes(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    await prepared.execute(
        "CREATE ROLE in_table_app; GRANT USAGE ON SCHEMA crm TO in_table_app;"
        "GRANT ALL ON crm.customers TO in_table_app; SET ROLE in_table_app;"
        "INSERT INTO crm.customers (id, consent_email_campaign) VALUES (1, 'infinity'); RESET ROLE"
    )
    try:
        assert await copies(prepared, 1) == (False, True, False)
        await ledger.record(ConsentRequest(subject=1, purpose="email_campaign", state=State.GIVEN))
        assert await copies(prepared, 1) == (True, True, False)
    finally:
        await prepared.execute("DROP OWNED BY in_table_app; DROP ROLE in_table_app")


async def test_partitions_are_in_step_and_a_moved_row_too(
    admin: asyncpg.Connection, database: str, policy: Policy
) -> None:
    await admin.execute(
        "DROP TABLE web.page_views;"
        "CREATE TABLE web.page_views (id bigint, customer_id bigint, url text, source text,"
        "  viewed_at timestamptz) PARTITION BY RANGE (id);"
        "CREATE TABLE web.low PARTITION OF web.page_views FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE web.high PARTITION OF web.page_views FOR VALUES FROM (10) TO (20);"
        "INSERT INTO web.page_views SELECT i, i FROM generate_series(0, 19) AS i"
    )
    await init(admin, policy)
    assert await out_of_step(admin) == []
    found = await kept(admin, VIEWS)
    assert found is not None
    assert len(found.members) == 2
    ledger = await Ledger.connect(as_role(database, "consent_writer"), None, policy)
    await ledger.record(ConsentRequest(subject=1, purpose="personalisation", state=State.GIVEN))
    await ledger.close()
    await admin.execute("UPDATE web.page_views SET id = 10 + id, customer_id = 2 WHERE id = 1")
    await admin.execute("INSERT INTO web.low (id, customer_id) VALUES (2, 1)")
    assert await out_of_step(admin) == []


async def test_a_basis_that_becomes_consent_leaves_nobody_in_force(
    prepared: asyncpg.Connection,
) -> None:
    """Also where the ledger had no row of a person, as after a TRUNCATE."""
    loose = in_table(make_policy(basis=Basis.LEGITIMATE_INTEREST), CUSTOMERS)
    await init(prepared, loose)
    await prepared.execute("INSERT INTO crm.customers (id) VALUES (1), (2)")
    await prepared.execute("TRUNCATE consent.subject")
    assert (await copies(prepared, 1))[0] is True
    await init(prepared, in_table(make_policy(), CUSTOMERS))
    assert await out_of_step(prepared) == []
    assert (await copies(prepared, 1))[0] is False


async def test_a_purpose_that_is_added_gets_its_column(
    prepared: asyncpg.Connection, policy: Policy
) -> None:
    await prepared.execute("INSERT INTO crm.customers (id) VALUES (1)")
    extra = replace(policy.purposes["email_campaign"], name="offers")
    await init(prepared, replace(policy, purposes={**policy.purposes, "offers": extra}))
    found = await kept(prepared)
    assert found is not None
    assert found.columns["offers"] == "consent_offers"
    assert await out_of_step(prepared) == []


# --- two at once ----------------------------------------------------------------------------------


class Session:
    """Steps of one connection; a step that waits for a lock does not hold up the others."""

    def __init__(
        self, connection: asyncpg.Connection, steps: Sequence[Callable[[], Awaitable[object]]]
    ) -> None:
        self._connection = connection
        self._pid = connection.get_server_pid()
        self._steps: Iterator[Callable[[], Awaitable[object]]] = iter(steps)
        self._running: asyncio.Task[object] | None = None
        self.error: asyncpg.PostgresError | None = None

    async def go_on(self, observer: asyncpg.Connection) -> None:
        """One step further, until it is done or waits for a lock."""
        if self._running is None and self.error is None:
            step = next(self._steps, None)
            self._running = None if step is None else asyncio.ensure_future(step())
        while self._running is not None:
            await asyncio.wait({self._running}, timeout=0.005)
            if self._running.done():
                self._take()
            elif await observer.fetchval("SELECT pg_blocking_pids($1) <> '{}'", self._pid):
                return

    def _take(self) -> None:
        assert self._running is not None
        failure = self._running.exception()
        self._running = None
        if isinstance(failure, asyncpg.PostgresError):
            self.error = failure
        elif failure is not None:
            raise failure


@pytest.fixture
async def connections(
    prepared: asyncpg.Connection, database: str
) -> AsyncIterator[tuple[asyncpg.Connection, asyncpg.Connection]]:
    """The application's, and the ledger's."""
    application = await asyncpg.connect(database)
    await application.execute("SET deadlock_timeout = '20ms'")  # it finds them, and gives way
    writer = await asyncpg.connect(as_role(database, "consent_writer"))
    yield application, writer
    await application.close()
    await writer.close()


def _recording(writer: asyncpg.Connection, subject: int) -> list[Callable[[], Awaitable[object]]]:
    """What `Ledger.record` does of an objection, a step at a time."""

    async def event() -> None:
        await writer.execute(
            "INSERT INTO consent.event (subject_id, purpose, state, at, idempotency_key,"
            " request_hash) VALUES ($1, 'measurement', 'objected', now(),"
            " gen_random_uuid()::text, '')",
            subject,
        )
        await store.refresh(writer, [subject])

    return [
        lambda: writer.execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
        lambda: store.lock_subjects(writer, KEY, [subject]),
        event,
        lambda: writer.execute("COMMIT"),
    ]


APPLICATION = {
    "a row is inserted": "INSERT INTO crm.customers (id) VALUES (7)",
    "a row gets another person": "UPDATE crm.customers SET id = 7 WHERE id = 1",
    "a row leaves a person": "UPDATE crm.customers SET id = 8 WHERE id = 7",
    "a row is changed otherwise": "UPDATE crm.customers SET email = 'x' WHERE id = 7",
    "a row is put or changed": "INSERT INTO crm.customers (id) VALUES (7)"
    " ON CONFLICT (id) DO UPDATE SET email = 'y'",
    "one of many rows": "INSERT INTO web.page_views (id, customer_id) VALUES (5, 7), (6, 1)",
}
_WITH_ROW = {"a row leaves a person", "a row is changed otherwise", "a row is put or changed"}


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
@pytest.mark.parametrize("name", APPLICATION)
async def test_whoever_comes_first_a_row_and_an_event_meet(
    prepared: asyncpg.Connection,
    connections: tuple[asyncpg.Connection, asyncpg.Connection],
    name: str,
    isolation: str,
) -> None:
    """Every order of the application's steps and the ledger's."""
    application, writer = connections
    outcomes: set[str | None] = set()
    # The first of the ledger's steps only begins: it is never told apart.
    orders = [set(each) for each in itertools.combinations(range(6), 3)]
    for is_known, order in itertools.product((False, True), orders):
        await prepared.execute(
            "DELETE FROM crm.customers; DELETE FROM web.page_views;"
            "ALTER TABLE consent.event DISABLE TRIGGER append_only; DELETE FROM consent.event;"
            "ALTER TABLE consent.event ENABLE ALWAYS TRIGGER append_only;"
            "DELETE FROM consent.subject; INSERT INTO crm.customers (id) VALUES (1)"
        )
        if is_known:
            await prepared.execute("INSERT INTO consent.subject (subject_id) VALUES (7)")
        if name in _WITH_ROW:
            await prepared.execute("INSERT INTO crm.customers (id) VALUES (7)")
        app = Session(
            application,
            [
                # A first statement takes the snapshot.
                lambda: application.execute(f"BEGIN ISOLATION LEVEL {isolation}; SELECT 1"),
                lambda: application.execute(APPLICATION[name]),
                lambda: application.execute("COMMIT"),
            ],
        )
        begin, *steps = _recording(writer, 7)
        await begin()
        recording = Session(writer, steps)
        for turn in range(6):
            await (app if turn in order else recording).go_on(prepared)
        for _ in range(8):
            await app.go_on(prepared)
            if app.error is not None:
                await application.execute("ROLLBACK")
            await recording.go_on(prepared)
        assert recording.error is None
        outcomes.add(app.error and app.error.sqlstate)
        assert await out_of_step(prepared) == []
        (is_objected,) = await prepared.fetchrow(
            "SELECT measurement = '-infinity' FROM consent.subject WHERE subject_id = 7"
        )
        assert is_objected
        with contextlib.suppress(asyncpg.PostgresError):
            await application.execute("ROLLBACK")
    assert None in outcomes
    assert outcomes <= {None, "40001", "40P01"}


async def test_an_event_waits_for_a_row_that_is_being_inserted(
    prepared: asyncpg.Connection,
    connections: tuple[asyncpg.Connection, asyncpg.Connection],
    ledger: Ledger,
) -> None:
    application, _ = connections
    await application.execute("BEGIN; INSERT INTO crm.customers (id) VALUES (7)")
    objecting = asyncio.ensure_future(
        ledger.record(ConsentRequest(subject=7, purpose="measurement", state=State.OBJECTED))
    )
    while not await prepared.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'consent_writer'"
        " AND pg_blocking_pids(pid) <> '{}')"
    ):
        assert not objecting.done()
        await asyncio.sleep(0)
    await application.execute("COMMIT")
    await objecting
    assert await copies(prepared, 7) == (False, False, False)


async def test_rows_and_events_that_come_while_a_table_is_filled_are_in_step(
    ledger: Ledger, prepared: asyncpg.Connection, database: str, policy: Policy
) -> None:
    await prepared.execute(
        "ALTER TABLE crm.customers DISABLE TRIGGER ALL;"
        "INSERT INTO crm.customers (id, email) SELECT i, repeat('x', 900)"
        "  FROM generate_series(1, 6000) AS i;"
    )
    application = await asyncpg.connect(database)
    filling = asyncio.ensure_future(init(prepared, policy))
    recorded = 0
    while not filling.done():
        subject = 1 + recorded * 37 % 6000
        await ledger.record(
            ConsentRequest(subject=subject, purpose="measurement", state=State.OBJECTED)
        )
        await application.execute(
            "UPDATE crm.customers SET email = 'y' WHERE id = $1", 6000 - subject
        )
        await application.execute("INSERT INTO crm.customers (id) VALUES ($1)", 7000 + recorded)
        recorded += 1
    await filling
    await application.close()
    assert recorded
    assert await out_of_step(prepared) == []
    assert await kept(prepared) is not None


async def test_consent_is_not_recorded_from_an_older_snapshot(
    prepared: asyncpg.Connection, connections: tuple[asyncpg.Connection, asyncpg.Connection]
) -> None:
    application, writer = connections
    await prepared.execute("INSERT INTO consent.subject (subject_id) VALUES (7)")
    await writer.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    await application.execute("INSERT INTO crm.customers (id) VALUES (7)")
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="READ COMMITTED"):
        await writer.execute("UPDATE consent.subject SET measurement = '-infinity'")
    await writer.execute("ROLLBACK")


async def test_the_ledger_records_where_the_database_prefers_older_snapshots(
    prepared: asyncpg.Connection, database: str, policy: Policy
) -> None:
    await prepared.execute("INSERT INTO crm.customers (id) VALUES (7)")
    name = await prepared.fetchval("SELECT current_database()")
    await prepared.execute(
        f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'serializable'"
    )
    ledger = await Ledger.connect(as_role(database, "consent_writer"), None, policy)
    await ledger.record(ConsentRequest(subject=7, purpose="measurement", state=State.OBJECTED))
    await ledger.close()
    assert await out_of_step(prepared) == []


async def test_an_event_that_can_not_be_spread_is_not_recorded(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    """A rule of the customer's own keeps rows as they are: nobody is told that all is well."""
    await prepared.execute(
        "INSERT INTO crm.customers (id) VALUES (7);"
        "CREATE RULE still AS ON UPDATE TO crm.customers DO INSTEAD NOTHING"
    )
    with pytest.raises(Exception, match="can not do it now"):
        await ledger.record(ConsentRequest(subject=7, purpose="measurement", state=State.OBJECTED))
    assert await prepared.fetchval("SELECT count(*) FROM consent.event") == 0


# --- trusted or not -------------------------------------------------------------------------------

BROKEN = {
    "its trigger was off": "ALTER TABLE crm.customers DISABLE TRIGGER ALL;"
    " ALTER TABLE crm.customers ENABLE TRIGGER ALL",
    "its trigger was off and is on as it was": "ALTER TABLE crm.customers DISABLE TRIGGER ALL;"
    ' ALTER TABLE crm.customers ENABLE ALWAYS TRIGGER "~consent"',
    "its trigger is gone": 'DROP TRIGGER "~consent" ON crm.customers',
    "its trigger is another": 'DROP TRIGGER "~consent" ON crm.customers;'
    ' CREATE TRIGGER "~consent" BEFORE INSERT OR UPDATE ON crm.customers FOR EACH ROW'
    " WHEN (false) EXECUTE FUNCTION consent.refuse_change();"
    ' ALTER TABLE crm.customers ENABLE ALWAYS TRIGGER "~consent"',
    "another trigger comes later": "CREATE FUNCTION crm.f() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN NEW; END';"
    ' CREATE TRIGGER "~d" BEFORE UPDATE ON crm.customers FOR EACH ROW EXECUTE FUNCTION crm.f()',
    "it is another table": "CREATE TABLE crm.other (LIKE crm.customers INCLUDING ALL);"
    " ALTER TABLE crm.customers RENAME TO older; ALTER TABLE crm.other RENAME TO customers;",
    "it has children": "CREATE TABLE crm.child () INHERITS (crm.customers)",
    "its key was written anew": "ALTER TABLE crm.customers ALTER id TYPE bigint USING id + 1",
    "its key is of another type": "ALTER TABLE crm.customers ALTER id TYPE int",
    "a copy was written anew": "ALTER TABLE crm.customers ALTER consent_email_campaign"
    " TYPE timestamptz USING 'infinity'",
    "the ledger does not spread": "ALTER TABLE consent.subject DISABLE TRIGGER spread_update;",
    "the ledger did not spread": "ALTER TABLE consent.subject DISABLE TRIGGER spread_update;"
    " ALTER TABLE consent.subject ENABLE ALWAYS TRIGGER spread_update",
}


async def test_a_table_is_not_trusted_once_it_could_be_out_of_step(
    prepared: asyncpg.Connection,
) -> None:
    await prepared.execute("ALTER TABLE crm.customers DROP CONSTRAINT customers_pkey")
    before = await prepared.fetchval("SELECT 'crm.customers'::regclass::oid")
    assert before in kept_of(await read_kept(prepared))
    for name, change in BROKEN.items():
        await prepared.execute("BEGIN")
        await prepared.execute(change)
        now = await prepared.fetchval("SELECT 'crm.customers'::regclass::oid")
        assert now not in kept_of(await read_kept(prepared)), name
        await prepared.execute("ROLLBACK")


async def test_the_reader_sees_at_once_that_a_table_is_not_trusted(
    prepared: asyncpg.Connection, database: str
) -> None:
    reader = await asyncpg.connect(as_role(database, "consent_reader"))
    assert await kept(reader) is not None
    before = await catalog_fingerprint(reader, ["crm"])
    await prepared.execute(BROKEN["the ledger did not spread"])
    assert await kept(reader) is None
    assert await catalog_fingerprint(reader, ["crm"]) != before
    await reader.close()


async def test_a_partition_that_is_attached_is_not_trusted_until_init_has_run(
    admin: asyncpg.Connection, policy: Policy
) -> None:
    await admin.execute(
        "DROP TABLE web.page_views;"
        "CREATE TABLE web.page_views (id bigint, customer_id bigint, url text, source text,"
        "  viewed_at timestamptz) PARTITION BY RANGE (id);"
        "CREATE TABLE web.low PARTITION OF web.page_views FOR VALUES FROM (0) TO (10);"
    )
    await init(admin, policy)
    assert await kept(admin, VIEWS) is not None
    await admin.execute(
        "CREATE TABLE web.high (LIKE web.page_views);"
        "INSERT INTO web.high (id, customer_id, consent_measurement) VALUES (11, 1, 'infinity');"
        "INSERT INTO consent.subject (subject_id, measurement) VALUES (1, '-infinity');"
        "ALTER TABLE web.page_views ATTACH PARTITION web.high FOR VALUES FROM (10) TO (20)"
    )
    assert await kept(admin, VIEWS) is None
    await init(admin, policy)
    assert await out_of_step(admin) == []
    found = await kept(admin, VIEWS)
    assert found is not None
    assert len(found.members) == 2


async def test_init_repairs_what_was_written_while_triggers_were_off(
    prepared: asyncpg.Connection, policy: Policy
) -> None:
    await prepared.execute(
        "INSERT INTO crm.customers (id) VALUES (1), (2);"
        "ALTER TABLE crm.customers DISABLE TRIGGER ALL;"
        "UPDATE crm.customers SET consent_email_campaign = 'infinity';"
        "INSERT INTO crm.customers (id, consent_email_campaign) VALUES (3, 'infinity');"
        "ALTER TABLE crm.customers ENABLE TRIGGER ALL"
    )
    assert await kept(prepared) is None
    assert len(await out_of_step(prepared)) == 3
    await init(prepared, policy)
    assert await out_of_step(prepared) == []
    assert await kept(prepared) is not None


async def test_a_column_of_the_customers_own_is_never_taken(
    admin: asyncpg.Connection, policy: Policy
) -> None:
    await admin.execute("ALTER TABLE crm.customers ADD consent_email_campaign timestamptz")
    with pytest.raises(LedgerNotPrepared, match="of its own"):
        await init(admin, policy)


async def test_a_dropped_or_renamed_table_does_not_stop_the_ledger(
    ledger: Ledger, prepared: asyncpg.Connection
) -> None:
    await prepared.execute(
        "INSERT INTO crm.customers (id) VALUES (1); DROP TABLE web.page_views;"
        "ALTER TABLE crm.customers RENAME TO clients"
    )
    await ledger.record(ConsentRequest(subject=1, purpose="email_campaign", state=State.GIVEN))
    assert await prepared.fetchval("SELECT consent_email_campaign > now() FROM crm.clients")


async def test_it_can_be_taken_back(
    ledger: Ledger, prepared: asyncpg.Connection, policy: Policy
) -> None:
    await prepared.execute(
        "INSERT INTO crm.customers (id) VALUES (1);"
        "DELETE FROM consent.kept WHERE relation = 'crm.customers'::regclass;"
        'DROP TRIGGER "~consent" ON crm.customers'
    )
    columns = await prepared.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'crm.customers'::regclass"
        " AND starts_with(attname, 'consent_')"
    )
    assert columns
    for (name,) in columns:
        await prepared.execute(f'ALTER TABLE crm.customers DROP COLUMN "{name}"')
    await ledger.record(ConsentRequest(subject=1, purpose="email_campaign", state=State.GIVEN))
    await prepared.execute("INSERT INTO crm.customers (id) VALUES (2)")
    await init(prepared, in_table(make_policy(), VIEWS))
    assert await kept(prepared) is None
    assert await kept(prepared, VIEWS) is not None
    await init(prepared, policy)
    assert await out_of_step(prepared) == []
    assert await kept(prepared) is not None


async def test_a_generated_key_is_not_trusted(admin: asyncpg.Connection, policy: Policy) -> None:
    await admin.execute(
        "DROP TABLE web.page_views; CREATE TABLE web.page_views (id bigint, url text, source text,"
        " viewed_at timestamptz, customer_id bigint GENERATED ALWAYS AS (id * 2) STORED)"
    )
    await init(admin, policy)
    assert await kept(admin, VIEWS) is None
    assert await kept(admin) is not None
