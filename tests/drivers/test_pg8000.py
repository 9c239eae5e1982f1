"""pg8000: a pure Python driver; named statements, text format."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import unquote, urlsplit

import pg8000.dbapi
import pg8000.native
import pytest


def _arguments(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "user": parts.username,
        "password": unquote(parts.password or ""),
        "host": parts.hostname,
        "port": parts.port,
        "database": unquote(parts.path[1:]),
    }


@pytest.fixture
def connection(mailer: str) -> Iterator[Any]:
    made = pg8000.native.Connection(**_arguments(mailer))
    yield made
    made.close()


def test_masked_values_keep_their_types(connection: Any) -> None:
    text = (
        "SELECT id, email, born, income, visits, tags, numbers, is_member, attributes"
        " FROM customers WHERE id = :id"
    )
    assert connection.run(text, id=3) == [
        [3, "p***@example.com", dt.date(1953, 1, 1), Decimal("30000.00"), 0, None, [], None, None]
    ]
    assert connection.run(text, id=4) == [
        [4, "p4@example.com", dt.date(1954, 6, 14), Decimal("30400.50"), 4,
         ["a4", None, 'b,"c'], [4, 8], True, {"k": 4}]
    ]  # fmt: skip
    assert [column["name"] for column in connection.columns][:2] == ["id", "email"]


def test_a_prepared_statement_answers_again_and_again(connection: Any) -> None:
    prepared = connection.prepare("SELECT email FROM customers WHERE id = :id")
    for number in range(1, 9):
        shown = f"p{number}@example.com" if number % 2 == 0 else "p***@example.com"
        assert prepared.run(id=number) == [[shown]]
    prepared.close()


def test_transactions_and_failures_in_them(connection: Any) -> None:
    connection.run("START TRANSACTION")
    with pytest.raises(pg8000.native.DatabaseError) as caught:
        connection.run("SELECT * FROM sales.internal")
    fields = caught.value.args[0]
    assert fields["C"] == "42P01"
    assert fields["D"].startswith("reason: table_not_in_policy; access: ")
    with pytest.raises(pg8000.native.DatabaseError) as caught:
        connection.run("SELECT 1")
    assert caught.value.args[0]["C"] == "25P02"
    connection.run("ROLLBACK")
    assert connection.run("SELECT count(*) FROM customers") == [[40]]


def test_copying_out(connection: Any) -> None:
    lines: list[bytes] = []

    class Taker:
        def write(self, data: bytes) -> None:
            lines.append(data)

    connection.run("COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT", stream=Taker())
    assert b"".join(lines).startswith(b"1\tp***@example.com\n2\tp2@example.com\n")


def test_the_database_interface_of_python(mailer: str) -> None:
    connection = pg8000.dbapi.connect(**_arguments(mailer))
    cursor = connection.cursor()
    cursor.execute("SELECT name FROM customers WHERE id IN (%s, %s) ORDER BY id", (1, 2))
    assert list(cursor.fetchall()) == [["P."], ["Person 2"]]
    connection.rollback()
    connection.autocommit = True
    cursor.execute("SELECT 1")
    connection.close()
