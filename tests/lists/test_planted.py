"""What somebody plants beside an extension, or beside PostgreSQL's own, is never called for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Refused
from proxy.policy.check import catalog_schemas, check_against
from proxy.policy.load import load_policy
from proxy.policy.model import Policy
from proxy.rewrite.plan import PlanContext
from proxy.sql.catalog import Catalog, load_catalog
from proxy.sql.settings import SettingLimits
from tests.lists.test_extensions import policy_folder
from tests.versions.servers import Servers

DATABASE = """
CREATE ROLE "{role}";
CREATE SCHEMA crm;
CREATE TABLE crm.customers (id bigint PRIMARY KEY, name text, email text, likes text, place text,
                            logins text);
CREATE TABLE crm.notes (id bigint PRIMARY KEY, body text);
CREATE FUNCTION crm.same(varchar, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE EXTENSION pg_trgm SCHEMA public;
CREATE EXTENSION citext SCHEMA public;
"""

EVIL = "LANGUAGE sql STABLE AS 'SELECT 1::real'"

USE = {
    "call": "SELECT similarity(name, 'a') FROM customers",
    "qualified": "SELECT public.similarity(name, 'a') FROM customers",
    "operator": "SELECT id FROM customers WHERE name % 'a'",
    "qualified operator": "SELECT id FROM customers WHERE name OPERATOR(public.%) 'a'",
    "cast": "SELECT email::citext FROM customers",
    "lower": "SELECT lower(name) FROM customers",
    "pg_catalog.lower": "SELECT pg_catalog.lower(name) FROM customers",
    "equals": "SELECT id FROM customers WHERE name = 'a'",
    "pg_catalog.=": "SELECT id FROM customers WHERE name OPERATOR(pg_catalog.=) 'a'",
    "type": "SELECT name::date FROM customers",
}


@pytest_asyncio.fixture
async def connection(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    server = servers.of("18")
    server.run("CREATE DATABASE planted TEMPLATE template0")
    connection = await asyncpg.connect(server.url("planted"))
    await connection.execute(DATABASE.format(role="stranger"))
    yield connection
    await connection.close()
    server.run("DROP DATABASE planted WITH (FORCE); DROP ROLE stranger")


async def _known(
    connection: asyncpg.Connection, tmp_path: Path, extensions: dict[str, str]
) -> tuple[Policy, Catalog]:
    policy = load_policy(policy_folder(tmp_path, extensions))
    return policy, await load_catalog(connection, catalog_schemas(policy))


async def refused(connection: asyncpg.Connection, tmp_path: Path) -> set[str]:
    """Which of the uses are refused as the database is now."""
    policy, catalog = await _known(connection, tmp_path, {"pg_trgm": "public", "citext": "public"})
    limits = StatementLimits(statement_bytes=1 << 20, statement_nesting=100)
    enforcer = Enforcer(policy, catalog, limits, SettingLimits())
    context = PlanContext(tool="teller", purpose="all", search_path=policy.schemas)
    return {
        name for name, sql in USE.items() if isinstance(enforcer.plan(sql, context)[0], Refused)
    }


async def test_nothing_is_refused_as_long_as_nobody_planted_anything(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    assert await refused(connection, tmp_path) == set()


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        (
            f"CREATE FUNCTION public.similarity(varchar, varchar) RETURNS real {EVIL}",
            {"call", "qualified"},
        ),
        (f"CREATE FUNCTION crm.similarity(text, text) RETURNS real {EVIL}", {"call"}),
        (
            f"CREATE FUNCTION public.similarity(text, VARIADIC text[]) RETURNS real {EVIL}",
            {"call", "qualified"},
        ),
        (
            "CREATE OPERATOR public.% (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = crm.same)",
            {"operator", "qualified operator"},
        ),
        (
            "CREATE OPERATOR crm.% (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
            {"operator"},
        ),
        # Membership alone proves nothing where the owner could replace it.
        (
            "ALTER FUNCTION public.similarity(text, text) OWNER TO stranger",
            {"call", "qualified"},
        ),
        (
            "ALTER FUNCTION public.similarity_op(text, text) OWNER TO stranger",
            {"operator", "qualified operator"},
        ),
        (
            "ALTER EXTENSION pg_trgm DROP FUNCTION public.similarity(text, text)",
            {"call", "qualified"},
        ),
        (
            f"CREATE FUNCTION public.similarity(bigint, bigint) RETURNS real {EVIL};"
            "ALTER EXTENSION pg_trgm ADD FUNCTION public.similarity(bigint, bigint)",
            {"call", "qualified"},
        ),
        (
            "CREATE FUNCTION pg_catalog.lower(varchar) RETURNS text LANGUAGE sql"
            " AS 'SELECT 1::text'",
            {"lower", "pg_catalog.lower"},
        ),
        (
            "CREATE OPERATOR pg_catalog.="
            " (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = crm.same)",
            {"equals", "pg_catalog.="},
        ),
        ("ALTER TYPE public.citext OWNER TO stranger", {"cast"}),
        ("CREATE DOMAIN crm.citext AS text", {"cast"}),
        (
            "CREATE FUNCTION crm.counted(public.citext) RETURNS bigint LANGUAGE sql"
            " AS 'SELECT 1::int8';"
            "CREATE CAST (public.citext AS bigint) WITH FUNCTION crm.counted(public.citext)",
            {"cast"},
        ),
        ("ALTER EXTENSION pg_trgm SET SCHEMA crm", {"call", "qualified", "operator",
                                                    "qualified operator"}),
    ],
)  # fmt: skip
async def test_what_is_planted_makes_the_name_refused(
    connection: asyncpg.Connection, tmp_path: Path, planted: str, expected: set[str]
) -> None:
    await connection.execute(planted)
    assert await refused(connection, tmp_path) == expected


async def test_policy_check_tells_of_an_extension_that_is_not_as_the_policy_says(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await connection.execute("CREATE SCHEMA other; ALTER EXTENSION citext SET SCHEMA other")
    extensions = {"pg_trgm": "public", "citext": "public", "hstore": "public"}
    problems = check_against(*await _known(connection, tmp_path, extensions))
    assert {each.message for each in problems if each.severity == "error"} == {
        "citext: it is in schema other, not in public",
        "hstore: the database has no such extension",
    }
