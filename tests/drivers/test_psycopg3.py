"""psycopg 3: extended queries, pipelines, statements prepared after five uses, binary."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import LiteralString

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import dict_row
from psycopg.types.enum import EnumInfo

from tests.world import POOLING, World


@pytest.fixture
def connection(mailer: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(mailer, autocommit=True) as made:
        yield made


def _described(cursor: psycopg.Cursor) -> list[tuple[object, ...]]:
    """Name, type, size, precision and scale of each column."""
    return [
        (
            *tuple(column)[:2],
            column.display_size,
            column.internal_size,
            column.precision,
            column.scale,
        )
        for column in cursor.description or ()
    ]


@pytest.mark.parametrize("is_binary", [False, True])
def test_rows_and_types_are_those_of_the_database_itself(
    teller: str, drivers_database: str, is_binary: bool
) -> None:
    with psycopg.connect(drivers_database) as direct, psycopg.connect(teller) as through:
        seen = through.execute("SELECT * FROM crm.customers ORDER BY id", binary=is_binary)
        names = ", ".join(f'"{column.name}"' for column in seen.description or ())
        text = f"SELECT {names} FROM crm.customers ORDER BY id"
        expected = direct.execute(text.encode(), binary=is_binary)
        assert _described(seen) == _described(expected)
        assert seen.fetchall() == expected.fetchall()


@pytest.mark.parametrize("is_binary", [False, True])
def test_masked_values_keep_their_types(connection: psycopg.Connection, is_binary: bool) -> None:
    text = "SELECT email, born, income, visits, tags, numbers FROM customers WHERE id = %s"
    with connection.cursor(binary=is_binary) as cursor:
        assert cursor.execute(text, (3,)).fetchall() == [
            ("p***@example.com", dt.date(1953, 1, 1), Decimal("30000.00"), 0, None, [])
        ]
        assert cursor.execute(text, (4,)).fetchall() == [
            ("p4@example.com", dt.date(1954, 6, 14), Decimal("30400.50"), 4,
             ["a4", None, 'b,"c'], [4, 8])
        ]  # fmt: skip


def test_a_statement_is_prepared_after_five_uses(connection: psycopg.Connection) -> None:
    for number in range(1, 21):
        row = connection.execute("SELECT email FROM customers WHERE id = %s", (number,)).fetchone()
        shown = f"p{number}@example.com" if number % 2 == 0 else "p***@example.com"
        assert row == (shown,)
    assert connection._prepared._names


@pytest.mark.parametrize("is_autocommit", [True, False])
def test_a_statement_that_the_driver_parses_each_time_stays_prepared(
    world: World, mailer: str, *, is_autocommit: bool
) -> None:
    with psycopg.connect(mailer, autocommit=is_autocommit, prepare_threshold=None) as connection:
        for number in range(1, 9):
            query = "SELECT id FROM customers WHERE id = %s"
            assert connection.execute(query, (number,)).fetchone() == (number,)
        if POOLING == "transaction" and is_autocommit:
            return  # between transactions the session has no connection
        kept = [
            list(session._state.kept.carried._statements)
            for session in world.server._door._sessions
            if session._state is not None and session._upstream is not None
        ]
        assert any("customers" in key.text for keys in kept for key in keys)


def test_a_refused_statement_in_a_pipeline_fails_its_block_and_no_other(
    connection: psycopg.Connection,
) -> None:
    with connection.pipeline() as pipeline:
        first = connection.execute("SELECT email FROM customers WHERE id = %s", (2,))
        pipeline.sync()
        skipped: list[psycopg.Cursor] = []

        def ask(text: LiteralString) -> None:
            skipped.append(connection.execute(text))

        # The driver tells of an error as soon as it has come: with this step or with that. What was
        # skipped is told of too, where it is seen later.
        steps: tuple[Callable[[], None], ...] = (
            lambda: ask("SELECT * FROM sales.internal"),
            lambda: ask("SELECT 3"),
            pipeline.sync,
        )
        told: list[Exception] = []
        for step in steps:
            try:
                step()
            except (errors.UndefinedTable, errors.PipelineAborted) as error:
                told.append(error)
        assert isinstance(told[0], errors.UndefinedTable)
        assert "reason: table_not_in_policy" in (told[0].diag.message_detail or "")
        fourth = connection.execute("SELECT email FROM customers WHERE id = %s", (4,))
        pipeline.sync()
        assert first.fetchall() == [("p2@example.com",)]
        assert fourth.fetchall() == [("p4@example.com",)]
        for cursor in skipped:
            with pytest.raises(psycopg.Error):
                cursor.fetchall()
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_pipeline_of_many_statements_answers_in_order(connection: psycopg.Connection) -> None:
    with connection.pipeline():
        cursors = [
            connection.execute("SELECT id, name FROM customers WHERE id = %s", (number,))
            for number in range(1, 41)
        ]
        found = [cursor.fetchone() for cursor in cursors]
    assert found == [(n, f"Person {n}" if n % 2 == 0 else "P.") for n in range(1, 41)]


def test_many_executions_at_once(connection: psycopg.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "SELECT id FROM customers WHERE id = %s", [(n,) for n in range(1, 9)], returning=True
        )
        found = [cursor.fetchone()]
        while cursor.nextset():
            found.append(cursor.fetchone())
    assert found == [(n,) for n in range(1, 9)]


@pytest.mark.parametrize("is_binary", [False, True])
def test_a_server_cursor_reads_in_portions(connection: psycopg.Connection, is_binary: bool) -> None:
    with connection.transaction(), connection.cursor("portions", binary=is_binary) as cursor:
        cursor.itersize = 900
        cursor.execute("SELECT id FROM sales.orders WHERE id > %s ORDER BY id", (10,))
        assert [row[0] for row in cursor] == list(range(11, 5001))


def test_a_held_cursor_outlives_its_transaction(connection: psycopg.Connection) -> None:
    with connection.cursor("held", withhold=True) as cursor:
        with connection.transaction():
            cursor.execute("SELECT id, email FROM customers ORDER BY id")
            assert cursor.fetchone() == (1, "p***@example.com")
        assert cursor.fetchone() == (2, "p2@example.com")


def test_rows_are_streamed(connection: psycopg.Connection) -> None:
    with connection.cursor() as cursor:
        rows = [row[0] for row in cursor.stream("SELECT id FROM sales.orders ORDER BY id")]
    assert rows == list(range(1, 5001))


def test_copying_out_as_text_and_binary(connection: psycopg.Connection) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT") as copy,
    ):
        assert list(copy.rows())[:2] == [("1", "p***@example.com"), ("2", "p2@example.com")]
    text = (
        "COPY (SELECT id, email, born, income FROM customers ORDER BY id) TO STDOUT (FORMAT binary)"
    )
    with connection.cursor() as cursor, cursor.copy(text) as copy:
        copy.set_types(["int8", "varchar", "date", "numeric"])
        rows = list(copy.rows())
    assert rows[2] == (3, "p***@example.com", dt.date(1953, 1, 1), Decimal("30000.00"))
    assert rows[3] == (4, "p4@example.com", dt.date(1954, 6, 14), Decimal("30400.50"))
    assert len(rows) == 40
    with connection.cursor() as cursor, cursor.copy("COPY sales.orders (id) TO STDOUT") as copy:
        assert sum(1 for _ in copy.rows()) == 5000


def test_an_enum_is_found_in_the_catalog(connection: psycopg.Connection) -> None:
    info = EnumInfo.fetch(connection, "crm.channel")
    assert info is not None
    assert list(info.labels) == ["email", "sms", "phone"]


def test_several_statements_in_one_query(connection: psycopg.Connection) -> None:
    cursor = psycopg.ClientCursor(connection)
    cursor.execute("SELECT 1; SELECT email FROM customers WHERE id = %s; SELECT 3", (2,))
    assert cursor.fetchall() == [(1,)]
    assert cursor.nextset()
    assert cursor.fetchall() == [("p2@example.com",)]
    assert cursor.nextset()
    assert cursor.fetchall() == [(3,)]


def test_nested_transactions_and_failures_in_them(connection: psycopg.Connection) -> None:
    with connection.transaction():
        with pytest.raises(errors.UndefinedColumn), connection.transaction():
            connection.execute("SELECT secret FROM customers")
        assert connection.execute("SELECT count(*) FROM customers").fetchone() == (40,)
    with pytest.raises(errors.DivisionByZero), connection.transaction():
        connection.execute("SELECT 1 / 0 FROM customers")
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_rows_by_name_and_values_of_every_kind(connection: psycopg.Connection) -> None:
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            "SELECT %s::int AS a, %s AS b, %s::date AS c, %s::text[] AS d, %s::jsonb AS e",
            (1, "x", dt.date(2025, 1, 1), ["p", None], '{"k": 1}'),
        )
        assert cursor.fetchone() == {
            "a": 1, "b": "x", "c": dt.date(2025, 1, 1), "d": ["p", None], "e": {"k": 1},
        }  # fmt: skip


def test_a_statement_can_be_cancelled(connection: psycopg.Connection) -> None:
    text = "SELECT a.id FROM sales.orders a, sales.orders b, sales.orders c, customers"
    with connection.cursor() as cursor:
        rows = cursor.stream(text)
        assert next(rows)
        connection.cancel_safe()
        with pytest.raises(errors.QueryCanceled):
            for _ in rows:
                pass
    assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_the_asynchronous_connection_works_as_well(mailer: str) -> None:
    async with await psycopg.AsyncConnection.connect(mailer) as connection:
        cursor = await connection.execute("SELECT email FROM customers WHERE id = %s", (2,))
        assert await cursor.fetchall() == [("p2@example.com",)]


def test_explain_takes_the_parameters_of_its_query(mailer: str) -> None:
    text = "EXPLAIN SELECT email FROM customers WHERE id = %s AND name = %s"
    with psycopg.connect(mailer) as connection:
        for prepare in (False, True):
            lines = connection.execute(text, (3, "Person 3"), prepare=prepare).fetchall()
            assert ("crm.customers",) in lines
