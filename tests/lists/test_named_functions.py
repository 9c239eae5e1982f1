"""Functions that a policy names: exactly these, and only as long as they are what was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from proxy.demo.embedded import EmbeddedPostgres
from proxy.policy.check import catalog_schemas, check_against
from proxy.policy.load import PolicyErrors, load_policy
from proxy.policy.problem import Problem
from proxy.sql.catalog import catalog_fingerprint, load_catalog
from tests.conftest import MakeDatabase
from tests.drivers.programs import name_of
from tests.lists.test_extensions import policy_folder
from tests.world import World

DATABASE = """
CREATE SCHEMA crm;
CREATE SCHEMA util;
CREATE TABLE crm.customers (id bigint PRIMARY KEY, name text, email text, likes text, place text,
                            logins text);
INSERT INTO crm.customers VALUES (1, 'Ana', 'ana@example.com'), (2, 'Ben', 'ben@example.com');
CREATE TABLE crm.notes (id bigint PRIMARY KEY, body text);
CREATE TABLE util.secrets (value text);
INSERT INTO util.secrets VALUES ('the secret');

CREATE FUNCTION util.label(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1 || ''!''';
CREATE FUNCTION util.label(bigint) RETURNS text SECURITY DEFINER STABLE LANGUAGE sql
  AS 'SELECT value FROM util.secrets';
CREATE FUNCTION util.half(numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT $1 / 2';
CREATE FUNCTION util.grade(bigint, mark text DEFAULT 'x') RETURNS text IMMUTABLE LANGUAGE sql
  AS 'SELECT mark || $1';
CREATE FUNCTION util.grade(text, VARIADIC text[]) RETURNS text STABLE LANGUAGE sql
  AS 'SELECT value FROM util.secrets';
CREATE FUNCTION util.peek() RETURNS text SECURITY DEFINER STABLE LANGUAGE sql
  AS 'SELECT value FROM util.secrets';
CREATE FUNCTION util.changing(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION util.steady(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION util.upper(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT ''planted''';
CREATE PROCEDURE util.act() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE util.joined(text) (SFUNC = textcat, STYPE = text, INITCOND = '');
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA util FROM PUBLIC;
"""

NAMED = (
    "util.label(text)",
    "util.half(numeric)",
    "util.grade(bigint, text)",
    "util.peek()",
    "util.changing(int)",
    "util.steady(int)",
    "util.joined(text)",
)


@pytest.fixture(scope="module")
def named_database(make_database: MakeDatabase) -> str:
    return make_database(script=DATABASE)


@pytest.fixture(scope="module")
def world(
    postgres: EmbeddedPostgres, named_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("named")
    policy = policy_folder(folder / "policy", {}, NAMED)
    with World(postgres, name_of(named_database), policy, folder / "proxy") as world:
        yield world


def ask(world: World, sql: str) -> object:
    with psycopg.connect(world.dsn("teller")) as connection:
        row = connection.execute(sql).fetchone()
    return None if row is None else row[0]


def refusal(world: World, sql: str) -> str:
    with psycopg.connect(world.dsn("teller")) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(sql)
    assert caught.value.sqlstate in ("42501", "42883")
    return str(caught.value)


def test_a_named_function_is_called_by_its_full_name(world: World) -> None:
    # init granted EXECUTE, which nobody else has.
    assert ask(world, "SELECT util.half(id) FROM customers WHERE id = 1") == pytest.approx(0.5)
    assert ask(world, "SELECT util.steady(7)") == 7
    assert ask(world, "SELECT util.joined(name ORDER BY id) FROM customers") == "AnaBen"
    assert "does not exist" in refusal(world, "SELECT half(1)")


def test_an_overload_does_not_slip_in(world: World) -> None:
    for sql in (
        "SELECT util.label(id) FROM customers",
        "SELECT util.label(name) FROM customers",
        "SELECT util.grade(id, name) FROM customers",
        "SELECT util.grade('a', 'b', 'c')",
    ):
        assert "the secret" not in refusal(world, sql)
    assert ask(world, "SELECT util.grade(1)") == "x1"


def test_a_function_that_is_not_what_a_policy_may_name_says_why(world: World) -> None:
    assert "SECURITY DEFINER" in refusal(world, "SELECT util.peek()")
    assert "VOLATILE" in refusal(world, "SELECT util.changing(1)")


def test_a_function_of_another_schema_shadows_nothing_of_postgresql(world: World) -> None:
    assert ask(world, "SELECT upper(name) FROM customers WHERE id = 1") == "ANA"
    assert "does not exist" in refusal(world, "SELECT util.upper('a')")


async def _problems(url: str, tmp_path: Path, *functions: str) -> list[Problem]:
    policy = load_policy(policy_folder(tmp_path / "policy", {"pg_trgm": "util"}, functions))
    connection = await asyncpg.connect(url)
    try:
        catalog = await load_catalog(connection, catalog_schemas(policy))
    finally:
        await connection.close()
    return list(check_against(policy, catalog))


async def test_policy_check_tells_what_is_wrong_with_a_function(
    named_database: str, tmp_path: Path
) -> None:
    found = await _problems(
        named_database, tmp_path, *NAMED, "util.half(text)", "util.nothing()", "util.act()"
    )
    volatile = "it is VOLATILE: declared STABLE or IMMUTABLE, it can change nothing"
    assert {problem.message for problem in found if problem.severity == "error"} == {
        "util.label(text): a call could reach another function instead: util.label(bigint)",
        "util.grade(bigint, text): a call could reach another function instead:"
        " util.grade(text, text[])",
        "util.peek(): it runs with its owner's rights (SECURITY DEFINER)",
        f"util.changing(integer): {volatile}",
        "util.half(text): the database has no such function; it has util.half(numeric)",
        "util.nothing(): the database has no such function",
        "util.act(): it can not be called in a query",
        f"util.act(): {volatile}",
        "pg_trgm: the database has no such extension",
    }
    assert all(problem.line > 0 for problem in found)


async def test_a_change_of_a_definition_changes_the_catalogs_revision(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "CREATE SCHEMA util; CREATE FUNCTION util.f(int) RETURNS int IMMUTABLE LANGUAGE sql"
        " AS 'SELECT $1'"
    )
    seen = set()
    for change in (
        "SELECT 1",
        "CREATE OR REPLACE FUNCTION util.f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 7'",
        "ALTER FUNCTION util.f(int) SECURITY DEFINER",
        "ALTER FUNCTION util.f(int) SET search_path = util",
        "CREATE FUNCTION pg_catalog.lower(int) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
    ):
        await connection.execute(change)
        catalog = await load_catalog(connection, ["util"])
        seen.add((catalog.revision, await catalog_fingerprint(connection, ["util"])))
    await connection.close()
    assert len({revision for revision, _ in seen}) == len({each for _, each in seen}) == 5


@pytest.mark.parametrize(
    "written",
    [
        "crm.f(int) TO PUBLIC; DROP TABLE crm.notes; --)",
        "crm.f(int, )",
        "crm.f(a;b)",
        "crm.f(a--b)",
    ],
)
def test_nothing_but_types_stands_between_a_named_functions_parentheses(
    tmp_path: Path, written: str
) -> None:
    # init grants EXECUTE as the database's administrator.
    with pytest.raises(PolicyErrors, match="expected types between the commas"):
        load_policy(policy_folder(tmp_path, {}, (written,)))


@pytest.mark.parametrize("name", ["dblink", "postgres_fdw", "file_fdw", "adminpack", "tablefunc"])
def test_an_extension_without_a_reviewed_list_can_not_be_switched_on(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(PolicyErrors, match="there is no reviewed list"):
        load_policy(policy_folder(tmp_path, {name: "public"}))
