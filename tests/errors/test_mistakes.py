"""A tool is told of its mistakes what PostgreSQL itself tells, and where in its own text they are.

All is open here, so that the two differ in nothing but the proxy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from tests.bypass.client import Client, Message, error_fields
from tests.drivers.programs import needs, run
from tests.errors.conftest import Beside
from tests.errors.mistakes import CORPUS

Way = Callable[[Client, str], list[Message]]
WAYS: Final[tuple[Way, ...]] = (Client.simple, Client.extended)
TOLD: Final = "VCMP"


def told(messages: list[Message]) -> dict[str, str]:
    fields = error_fields(messages)
    assert fields is not None, "the mistake was answered"
    return {key: fields[key] for key in TOLD if key in fields}


@pytest.mark.parametrize("sql", CORPUS)
def test_a_mistake_is_told_as_postgresql_tells_it(beside: Beside, sql: str) -> None:
    for way in WAYS:
        assert told(way(beside.proxied, sql)) == told(way(beside.direct, sql))


def test_a_name_that_its_alias_hides_is_missing(beside: Beside) -> None:
    # To PostgreSQL, what stands behind the alias is a guard: it can not say more than this.
    fields = told(beside.proxied.simple("SELECT customers.id FROM customers c"))
    assert (fields["C"], fields["P"]) == ("42P01", "8")
    assert fields["M"] == 'missing FROM-clause entry for table "customers"'


def test_over_http_an_error_has_its_position_too(beside: Beside) -> None:
    status, error = beside.post("SELECT 'größer', nosuch FROM customers")
    assert (status, error["sqlstate"], error["position"]) == (403, "42703", 18)
    status, error = beside.post("SELECT * FROM nosuch")
    assert (error["reason"], error["position"]) == ("table_not_in_policy", 15)
    status, error = beside.post("SELECT id FORM customers")
    assert (error["reason"], error["position"]) == ("syntax", 16)


def test_a_position_in_a_long_text_is_left_out(beside: Beside) -> None:
    # Reading it again would hold up the others.
    sql = f"SELECT nosuch, '{'x' * 20_000}' FROM customers"
    fields = told(beside.proxied.simple(sql))
    assert fields["C"] == "42703"
    assert "P" not in fields


def test_psql_draws_its_caret_under_the_mistake(beside: Beside) -> None:
    sql = "SELECT 'größer' AS größe,\n       nosuch /* here */ FROM customers -- and there"
    port = beside.direct.socket.getpeername()[1]
    password = beside.world.postgres.superuser_password
    name = beside.world.database
    ours = run([needs("psql"), "-X", beside.world.dsn("analyst"), "-c", sql])
    theirs = run(
        [needs("psql"), "-X", f"postgresql://postgres@127.0.0.1:{port}/{name}", "-c", sql],
        extra={"PGPASSWORD": password, "PGOPTIONS": "-c search_path=crm"},
    )
    assert ours.stderr == theirs.stderr
    assert ours.stderr.splitlines()[-1].strip() == "^"
