"""The whole proxy in front of every version of PostgreSQL: both doors, the catalog, withdrawal."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import asyncpg
import psycopg
import pytest

from proxy.demo.embedded import installed_binaries
from tests.versions.servers import VERSIONS, Servers
from tests.world import World

DRIVERS = Path(__file__).parent.parent / "drivers"


@pytest.fixture(scope="module", params=VERSIONS)
def world(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The drivers' database behind a proxy; people with an even id have agreed."""
    server = servers.of(request.param)
    server.run("CREATE DATABASE shop TEMPLATE template0")
    server.run((DRIVERS / "database.sql").read_text(), database="shop")
    folder = tmp_path_factory.mktemp(f"version-{request.param}")
    with World(server, "shop", DRIVERS / "policy", folder) as world:
        for person in range(2, 41, 2):
            world.record(person, "email_campaign", "given")
        yield world
    server.run("DROP DATABASE shop WITH (FORCE)")


PEOPLE = "SELECT id, name, email, born FROM customers WHERE id IN (3, 4) ORDER BY id"
SHOWN = [
    (3, "P.", "p***@example.com", dt.date(1953, 1, 1)),
    (4, "Person 4", "p4@example.com", dt.date(1954, 6, 14)),
]


def test_rows_are_masked_over_the_wire(world: World) -> None:
    with psycopg.connect(world.dsn("mailer")) as connection:
        assert connection.execute(PEOPLE).fetchall() == SHOWN
        found = connection.execute(
            "SELECT count(*) FROM customers WHERE email = %s", ["p3@example.com"]
        )
        assert found.fetchone() == (0,)


async def test_rows_are_masked_over_http(world: World) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{world.http}/v1/query",
            json={"sql": PEOPLE},
            headers={"Authorization": f"Bearer {world.tokens['mailer']}"},
        ) as response,
    ):
        assert response.status == 200
        rows = (await response.json())["rows"]
    assert rows == [[*row[:3], str(row[3])] for row in SHOWN]


async def test_a_withdrawal_holds_for_a_prepared_statement(world: World) -> None:
    connection = await asyncpg.connect(world.dsn("mailer"), statement_cache_size=10)
    statement = await connection.prepare("SELECT name FROM customers WHERE id = $1")
    assert await statement.fetchval(10) == "Person 10"
    world.record(10, "email_campaign", "withdrawn")
    assert await statement.fetchval(10) == "P."
    world.record(10, "email_campaign", "given")
    await connection.close()


@pytest.mark.parametrize("command", [r"\d", r"\d customers", r"\d+ orders", r"\dn", r"\dT", r"\df"])
def test_describing_shows_what_the_tool_may_see(world: World, command: str) -> None:
    done = subprocess.run(
        [installed_binaries() / "psql", "--no-psqlrc", world.dsn("mailer"), "--command", command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    assert not {"secret", "guess", "internal", "consent"} & set(
        done.stdout.replace("|", " ").split()
    )


AGGREGATE = """
SELECT channel, count(*), sum(balance), avg(ratio), array_agg(id ORDER BY id DESC),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY income),
       max(jsonb_build_object('v', visits)::text)
  FROM customers c LEFT JOIN orders o USING (id) GROUP BY GROUPING SETS ((channel), ()) ORDER BY 1
"""


@pytest.mark.parametrize(
    "sql",
    [
        AGGREGATE,
        "SELECT id, row_number() OVER (ORDER BY born, id), lag(visits) OVER w FROM customers"
        " WINDOW w AS (ORDER BY id) ORDER BY id",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5)"
        " SELECT i, c.name FROM n JOIN customers c ON c.id = i ORDER BY i",
        "SELECT seen_at::date, date_trunc('month', seen_at, 'UTC'), extract(epoch FROM waits),"
        " to_char(local_at, 'YYYY') FROM customers ORDER BY id",
        "SELECT id, tags[1:2], attributes->>'k', address << '10.0.0.0/8', upper(name) || code"
        " FROM customers WHERE name ~* '^p' AND id BETWEEN 2 AND 30 ORDER BY id",
    ],
)
def test_what_everybody_may_see_is_what_the_database_itself_answers(world: World, sql: str) -> None:
    with (
        psycopg.connect(world.postgres.url("shop"), options="-csearch_path=crm,sales") as direct,
        psycopg.connect(world.dsn("teller")) as through,
    ):
        expected = direct.execute(sql)
        answer = through.execute(sql)
        assert answer.fetchall() == expected.fetchall()
        assert [c.type_code for c in answer.description or ()] == [
            c.type_code for c in expected.description or ()
        ]


def test_a_cursor_and_a_copy_are_guarded(world: World) -> None:
    with psycopg.connect(world.dsn("mailer")) as connection:
        connection.execute(f"DECLARE people CURSOR FOR {PEOPLE}")
        assert connection.execute("FETCH ALL FROM people").fetchall() == SHOWN
        with connection.cursor().copy(
            "COPY (SELECT name FROM customers WHERE id IN (3, 4) ORDER BY id) TO STDOUT"
        ) as copy:
            assert b"".join(copy) == b"P.\nPerson 4\n"


@pytest.mark.parametrize(
    "path", ["crm, pg_catalog", "crm, sales, pg_catalog", "pg_catalog, pg_catalog"]
)
def test_nothing_stands_before_pg_catalog_in_the_path(world: World, path: str) -> None:
    # In PostgreSQL 13, bit_length() and other functions of its own find their operators in it.
    with psycopg.connect(world.dsn("mailer")) as connection:
        for sql in (
            f"SET search_path = {path}",
            f"SELECT set_config('search_path', '{path}', false)",
        ):
            with pytest.raises(psycopg.Error, match="in the first place only"):
                connection.execute(sql)
            connection.rollback()
        connection.execute("SET search_path = pg_catalog, crm")
        connection.execute("SELECT id FROM customers LIMIT 1")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM internal",
        "SELECT query_to_xml('select 1', true, true, '')",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT * FROM pg_stats",
        "SELECT pg_advisory_lock(1)",
        "SELECT lo_import('/etc/passwd')",
        "DELETE FROM customers",
    ],
)
def test_what_is_refused_is_refused_everywhere(world: World, sql: str) -> None:
    with psycopg.connect(world.dsn("mailer")) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(sql)
    assert caught.value.sqlstate in ("42501", "42P01", "0A000")
