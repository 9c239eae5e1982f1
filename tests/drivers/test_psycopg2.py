"""psycopg2: simple queries only, named cursors through DECLARE, COPY."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extras
import pytest


@pytest.fixture
def connection(mailer: str) -> Iterator[Any]:
    made = psycopg2.connect(mailer)
    yield made
    made.close()


def _fetch(connection: Any, text: str, values: object = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return cursor.fetchall()


def test_rows_and_types_are_those_of_the_database_itself(
    teller: str, drivers_database: str
) -> None:
    direct, through = psycopg2.connect(drivers_database), psycopg2.connect(teller)
    with through.cursor() as cursor:
        cursor.execute("SELECT * FROM crm.customers ORDER BY id")
        names = [column.name for column in cursor.description]
        rows = cursor.fetchall()
        described = [tuple(column)[:6] for column in cursor.description]
    with direct.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(names)} FROM crm.customers ORDER BY id")
        assert rows == cursor.fetchall()
        assert described == [tuple(column)[:6] for column in cursor.description]
    direct.close()
    through.close()


def test_masked_values_keep_their_types(connection: Any) -> None:
    text = "SELECT email, born, income, visits, tags, numbers FROM customers WHERE id = %s"
    assert _fetch(connection, text, (3,)) == [
        ("p***@example.com", dt.date(1953, 1, 1), Decimal("30000.00"), 0, None, [])
    ]
    assert _fetch(connection, text, (4,)) == [
        ("p4@example.com", dt.date(1954, 6, 14), Decimal("30400.50"), 4,
         ["a4", None, 'b,"c'], [4, 8])
    ]  # fmt: skip


def test_a_named_cursor_reads_in_portions(connection: Any) -> None:
    with connection.cursor("portions") as cursor:
        cursor.itersize = 900
        cursor.execute("SELECT id FROM sales.orders ORDER BY id")
        assert [row[0] for row in cursor] == list(range(1, 5001))
    with connection.cursor("hopping", scrollable=True) as cursor:
        cursor.execute("SELECT id FROM sales.orders ORDER BY id")
        assert cursor.fetchmany(2) == [(1,), (2,)]
        cursor.scroll(-1)
        assert cursor.fetchone() == (2,)


def test_copying_out(connection: Any) -> None:
    with connection.cursor() as cursor:
        out = io.StringIO()
        cursor.copy_expert("COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT", out)
        assert out.getvalue().startswith("1\tp***@example.com\n2\tp2@example.com\n")
        out = io.StringIO()
        cursor.copy_expert("COPY sales.orders TO STDOUT WITH (FORMAT csv, HEADER)", out)
        assert out.getvalue().splitlines()[0] == "id,customer_id,total,ordered_at"
        assert cursor.rowcount == 5000


def test_copying_in_is_refused_and_the_connection_lives_on(connection: Any) -> None:
    with connection.cursor() as cursor:
        with pytest.raises(psycopg2.errors.FeatureNotSupported):
            cursor.copy_expert("COPY sales.orders FROM STDIN", io.StringIO("1\t1\t1\t2025-01-01\n"))
        connection.rollback()
        cursor.execute("SELECT 1")


def test_values_are_searched_as_the_tool_sees_them(connection: Any) -> None:
    text = "SELECT id FROM customers WHERE email = %s"
    assert _fetch(connection, text, ("p4@example.com",)) == [(4,)]
    assert _fetch(connection, text, ("p3@example.com",)) == []


def test_a_refusal_says_why_and_the_transaction_has_failed(connection: Any) -> None:
    with connection.cursor() as cursor:
        with pytest.raises(psycopg2.errors.UndefinedTable) as caught:
            cursor.execute("SELECT * FROM sales.internal")
        assert "reason: table_not_in_policy; access: " in (caught.value.diag.message_detail or "")
        with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
            cursor.execute("SELECT 1")
        connection.rollback()
        cursor.execute("SAVEPOINT here")
        with pytest.raises(psycopg2.errors.UndefinedColumn):
            cursor.execute("SELECT secret FROM customers")
        cursor.execute("ROLLBACK TO SAVEPOINT here")
        cursor.execute("SELECT count(*) FROM customers")
        assert cursor.fetchone() == (40,)


def test_isolation_levels_and_autocommit(connection: Any) -> None:
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    assert _fetch(connection, "SELECT count(*) FROM customers") == [(40,)]
    assert _fetch(connection, "SHOW transaction_isolation") == [("repeatable read",)]
    connection.rollback()
    connection.set_session(autocommit=True)
    assert _fetch(connection, "SELECT count(*) FROM customers") == [(40,)]


def test_rows_by_name_and_lists_as_values(connection: Any) -> None:
    with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute(
            "SELECT id, name FROM customers WHERE id = ANY(%s) ORDER BY id", ([2, 4, 5],)
        )
        assert [dict(row) for row in cursor] == [
            {"id": 2, "name": "Person 2"}, {"id": 4, "name": "Person 4"}, {"id": 5, "name": "P."},
        ]  # fmt: skip
