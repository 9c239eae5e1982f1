"""SQLAlchemy reads the catalog, and pandas reads tables through it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

DRIVERS = ("psycopg2", "psycopg", "pg8000")


def _engine(url: str, driver: str) -> sa.Engine:
    return sa.create_engine(sa.make_url(url).set(drivername=f"postgresql+{driver}"))


@pytest.fixture(params=DRIVERS)
def engine(request: pytest.FixtureRequest, mailer: str) -> Iterator[sa.Engine]:
    made = _engine(mailer, request.param)
    yield made
    made.dispose()


@pytest.fixture
def pandas_engine(mailer: str) -> Iterator[sa.Engine]:
    made = _engine(mailer, "psycopg2")
    yield made
    made.dispose()


def test_the_schemas_and_tables_are_those_of_the_policy(engine: sa.Engine) -> None:
    inspector = sa.inspect(engine)
    assert {"crm", "sales"} <= set(inspector.get_schema_names())
    assert "consent" not in inspector.get_schema_names()
    assert inspector.get_table_names("crm") == ["customers"]
    assert inspector.get_table_names("sales") == ["orders"]
    assert inspector.default_schema_name == "crm"


def test_keys_indexes_and_references_are_found(engine: sa.Engine) -> None:
    inspector = sa.inspect(engine)
    assert inspector.get_pk_constraint("customers")["constrained_columns"] == ["id"]
    (reference,) = inspector.get_foreign_keys("orders", "sales")
    assert (reference["referred_table"], reference["referred_columns"]) == ("customers", ["id"])
    (index,) = inspector.get_indexes("orders", "sales")
    assert (index["name"], index["column_names"]) == ("orders_customer_id", ["customer_id"])
    assert inspector.get_table_comment("customers") == {"text": "One row per person"}


def test_a_table_is_reflected_with_the_columns_that_the_tool_has(engine: sa.Engine) -> None:
    customers = sa.Table("customers", sa.MetaData(), schema="crm", autoload_with=engine)
    assert "secret" not in customers.columns
    assert "guess" not in customers.columns  # dropped for this purpose
    types = {column.name: column.type for column in customers.columns}
    assert isinstance(types["income"], sa.Numeric)
    assert (types["income"].precision, types["income"].scale) == (12, 2)
    assert isinstance(types["email"], sa.String)
    assert types["email"].length == 254
    assert isinstance(types["channel"], postgresql.ENUM)
    assert types["channel"].enums == ["email", "sms", "phone"]
    with engine.connect() as connection:
        rows = connection.execute(
            sa.select(customers.c.email, customers.c.born)
            .where(customers.c.id.in_([3, 4]))
            .order_by(customers.c.id)
        ).all()
    assert [tuple(row) for row in rows] == [
        ("p***@example.com", dt.date(1953, 1, 1)),
        ("p4@example.com", dt.date(1954, 6, 14)),
    ]


def test_everything_is_reflected_in_one_go(engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    metadata.reflect(engine, schema="sales", views=True)
    # PostgreSQL names a referenced table without its schema where the search path finds it.
    assert set(metadata.tables) == {"sales.orders", "customers"}


def test_a_join_and_a_group_by(engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    metadata.reflect(engine, schema="sales")
    customers, orders = metadata.tables["customers"], metadata.tables["sales.orders"]
    with engine.connect() as connection:
        found = connection.execute(
            sa.select(customers.c.id, sa.func.count(orders.c.id))
            .join(orders, orders.c.customer_id == customers.c.id)
            .group_by(customers.c.id)
            .order_by(customers.c.id)
            .limit(2)
        ).all()
    assert [tuple(row) for row in found] == [(1, 125), (2, 125)]


def test_rows_are_streamed_by_a_server_cursor(engine: sa.Engine) -> None:
    with engine.connect().execution_options(stream_results=True, yield_per=900) as connection:
        rows = connection.execute(sa.text("SELECT id FROM sales.orders ORDER BY id"))
        assert [row.id for row in rows] == list(range(1, 5001))


def test_a_reflected_database_is_the_same_as_without_the_proxy_where_all_is_open(
    teller: str, drivers_database: str
) -> None:
    """Columns, keys, indexes and comments of the tables of the policy."""
    direct = _engine(f"{drivers_database}&options=-csearch_path%3Dcrm,sales", "psycopg2")
    through = _engine(teller, "psycopg2")
    expected, seen = sa.inspect(direct), sa.inspect(through)
    assert str(seen.get_columns("orders", "sales")) == str(expected.get_columns("orders", "sales"))
    assert seen.get_indexes("orders", "sales") == expected.get_indexes("orders", "sales")
    for inspect in ("get_pk_constraint", "get_unique_constraints", "get_table_comment"):
        answered = getattr(seen, inspect)("customers", "crm")
        assert answered == getattr(expected, inspect)("customers", "crm")
    direct.dispose()
    through.dispose()


def test_pandas_reads_a_query(pandas_engine: sa.Engine) -> None:
    frame = pd.read_sql(
        "SELECT id, email, income, visits, seen_at FROM customers ORDER BY id", pandas_engine
    )
    assert list(frame.columns) == ["id", "email", "income", "visits", "seen_at"]
    assert frame["id"].dtype == "int64"
    assert frame["visits"].tolist()[:4] == [0, 2, 0, 4]
    assert frame["email"].tolist()[:2] == ["p***@example.com", "p2@example.com"]
    assert str(frame["seen_at"].dtype).startswith("datetime64")
    assert frame["seen_at"].isna().tolist()[:2] == [True, False]


def test_pandas_reads_a_table(pandas_engine: sa.Engine) -> None:
    frame = pd.read_sql_table("customers", pandas_engine, schema="crm", index_col="id")
    assert len(frame) == 40
    assert "secret" not in frame.columns
    assert float(frame.loc[4, "income"]) == float(Decimal("30400.50"))


def test_pandas_reads_in_chunks(pandas_engine: sa.Engine) -> None:
    with pandas_engine.connect().execution_options(stream_results=True) as connection:
        sizes = [
            len(chunk)
            for chunk in pd.read_sql("SELECT * FROM sales.orders", connection, chunksize=2000)
        ]
    assert sizes == [2000, 2000, 1000]
