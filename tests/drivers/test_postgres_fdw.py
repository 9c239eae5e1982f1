"""postgres_fdw: another PostgreSQL that reads through the proxy, with cursors of its own."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import MakeDatabase
from tests.world import World


@pytest.fixture(scope="module")
def elsewhere(make_database: MakeDatabase, world: World) -> Iterator[psycopg.Connection]:
    """A database whose foreign tables are what the mailer sees."""
    host, port = world.address
    script = f"""
    CREATE EXTENSION postgres_fdw;
    CREATE SCHEMA crm;
    CREATE TYPE crm.channel AS ENUM ('email', 'sms', 'phone');
    CREATE SERVER proxy FOREIGN DATA WRAPPER postgres_fdw
        OPTIONS (host '{host}', port '{port}', dbname '{world.database}', sslmode 'disable');
    CREATE USER MAPPING FOR CURRENT_USER SERVER proxy
        OPTIONS (user 'mailer', password '{world.passwords["mailer"]}');
    IMPORT FOREIGN SCHEMA crm FROM SERVER proxy INTO crm;
    IMPORT FOREIGN SCHEMA sales FROM SERVER proxy INTO public OPTIONS (import_default 'false');
    """
    with psycopg.connect(make_database(script=script), autocommit=True) as connection:
        yield connection


def test_the_imported_tables_are_those_that_the_tool_sees(elsewhere: psycopg.Connection) -> None:
    names = elsewhere.execute(
        "SELECT foreign_table_name::text FROM information_schema.foreign_tables ORDER BY 1"
    ).fetchall()
    assert names == [("customers",), ("orders",)]
    with pytest.raises(psycopg.errors.UndefinedColumn):
        elsewhere.execute("SELECT secret FROM crm.customers")


def test_values_are_masked_and_conditions_work_on_masks(elsewhere: psycopg.Connection) -> None:
    text = "SELECT id, email FROM crm.customers WHERE id IN (3, 4) ORDER BY id"
    assert elsewhere.execute(text).fetchall() == [(3, "p***@example.com"), (4, "p4@example.com")]
    probe = "SELECT count(*) FROM crm.customers WHERE email = 'p3@example.com'"
    assert elsewhere.execute(probe).fetchone() == (0,)


@pytest.mark.parametrize("remote", ["false", "true"])
def test_joins_and_aggregates_are_answered_whoever_estimates_them(
    elsewhere: psycopg.Connection, remote: str
) -> None:
    elsewhere.execute("ANALYZE orders")
    elsewhere.execute(f"ALTER FOREIGN TABLE orders OPTIONS (ADD use_remote_estimate '{remote}')")
    joined = elsewhere.execute(
        "SELECT count(*) FROM orders JOIN crm.customers c ON c.id = customer_id WHERE c.id < 3"
    )
    assert joined.fetchone() == (250,)
    assert elsewhere.execute("SELECT count(*) FROM orders WHERE id > 4000").fetchone() == (1000,)
    elsewhere.execute("ALTER FOREIGN TABLE orders OPTIONS (DROP use_remote_estimate)")


def test_a_cursor_pages_through_the_proxys_cursor(elsewhere: psycopg.Connection) -> None:
    with elsewhere.transaction(), elsewhere.cursor(name="pages") as pages:
        pages.execute("SELECT id FROM orders ORDER BY id")
        assert [row[0] for row in pages.fetchmany(3)] == [1, 2, 3]
        assert len(pages.fetchall()) == 4997


def test_writing_is_refused_with_the_proxys_reason(elsewhere: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="only reads"):
        elsewhere.execute("INSERT INTO orders (id, customer_id) VALUES (0, 1)")
