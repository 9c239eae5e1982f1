"""Extensions that a policy switches on, used through the proxy on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.versions.servers import Servers
from tests.world import World

EXTENSIONS = {
    "pg_trgm": "public",
    "unaccent": "public",
    "citext": "public",
    "hstore": "more",
    "ltree": "more",
    "pgcrypto": "more",
    "uuid-ossp": "more",
    "fuzzystrmatch": "more",
    "btree_gist": "more",
}

DATABASE = """
CREATE SCHEMA crm;
CREATE SCHEMA more;
{extensions}
CREATE TABLE crm.customers (
  id bigint PRIMARY KEY, name text, email public.citext, likes more.hstore, place more.ltree,
  logins public.citext[]
);
INSERT INTO crm.customers VALUES
  (1, 'José Pérez', 'Jose@Example.com', 'color=>red, secret=>one', 'es.madrid', '{{Jose,JP}}'),
  (2, 'Jose Perez', 'perez@example.com', 'color=>blue, secret=>two', 'es.sevilla', '{{perez}}'),
  (3, 'Ana Ruiz', 'ANA@example.com', 'color=>red', 'es.madrid.centro', NULL);
CREATE TABLE crm.notes (id bigint PRIMARY KEY, body text);
INSERT INTO crm.notes VALUES (1, 'kept');
"""

POLICY = """
policy: extensions
version: 1
subject: {{key: crm.customers.id}}
categories:
  user.name: {{mask: "null"}}
  user.email: {{mask: "null"}}
  user.likes: {{mask: "null"}}
purposes:
  all: {{basis: contract, reads: [user]}}
  some: {{basis: consent, reads: [user]}}
tables:
  crm.customers:
    subject: id
    columns: {{id: open, name: user.name, email: user.email, likes: user.likes, place: user.likes,
              logins: user.email}}
  crm.notes: open
extensions: {extensions}
functions: {functions}
tools:
  teller: {{purposes: [all]}}
  mailer: {{purposes: [some]}}
"""


def policy_folder(
    folder: Path, extensions: dict[str, str], functions: tuple[str, ...] = ()
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = POLICY.format(extensions=extensions, functions=list(functions))
    (folder / "policy.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module", params=["13", "18"])
def world(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A proxy whose policy switches all of them on; only customer 1 has agreed."""
    server = servers.of(request.param)
    created = "".join(
        f'CREATE EXTENSION "{name}" SCHEMA {schema};' for name, schema in EXTENSIONS.items()
    )
    server.run("CREATE DATABASE extended TEMPLATE template0")
    server.run(DATABASE.format(extensions=created), database="extended")
    folder = tmp_path_factory.mktemp("extended")
    policy = policy_folder(folder / "policy", EXTENSIONS)
    with World(server, "extended", policy, folder / "proxy") as world:
        world.record(1, "some", "given")
        yield world
    server.run("DROP DATABASE extended WITH (FORCE)")


def ask(world: World, sql: str, tool: str = "teller") -> list[tuple[object, ...]]:
    with psycopg.connect(world.dsn(tool), prepare_threshold=None) as connection:
        return connection.execute(sql).fetchall()


def refusal(world: World, sql: str, tool: str = "teller") -> str:
    with (
        psycopg.connect(world.dsn(tool)) as connection,
        pytest.raises(psycopg.Error) as caught,
    ):
        connection.execute(sql)
    assert caught.value.sqlstate in ("42501", "42883", "42704"), caught.value
    return str(caught.value)


USES = [
    "SELECT id FROM customers WHERE name % 'Jose Peres' ORDER BY id",
    "SELECT id, similarity(name, 'Jose') FROM customers ORDER BY name <-> 'Jose', id",
    "SELECT id, word_similarity('ana', name), public.show_trgm(name) FROM customers ORDER BY id",
    "SELECT id, unaccent(name) = unaccent('José Pérez') FROM customers ORDER BY id",
    "SELECT id FROM customers WHERE email = 'jose@example.COM'",
    "SELECT id FROM customers WHERE email LIKE 'ana@%' OR email IN ('PEREZ@example.com')"
    " ORDER BY 1",
    "SELECT max(email), min(email), count(DISTINCT email) FROM customers",
    "SELECT replace(email, 'EXAMPLE', 'x'), regexp_match(email, '^J'), logins FROM customers"
    " ORDER BY email",
    "SELECT email::text, 'A'::citext = 'a', email::citext FROM customers ORDER BY id",
    "SELECT id, likes -> 'color', likes ? 'secret', likes @> 'color=>red' FROM customers"
    " ORDER BY id",
    "SELECT id, akeys(likes), likes::json, (each(likes)).key FROM customers ORDER BY id, 4",
    "SELECT id, hstore('a', name) || likes FROM customers ORDER BY id",
    "SELECT id, place <@ 'es.madrid', nlevel(place), subpath(place, 1), place ~ '*.madrid.*'"
    " FROM customers ORDER BY place",
    "SELECT encode(digest(name, 'sha256'), 'hex'), hmac(name, 'k', 'sha1') FROM customers",
    "SELECT pgp_sym_decrypt(pgp_sym_encrypt(name, 'k'), 'k') FROM customers ORDER BY id",
    "SELECT uuid_generate_v5(uuid_ns_url(), name) FROM customers ORDER BY id",
    "SELECT soundex(name), levenshtein(name, 'Ana'), more.dmetaphone(name) FROM customers",
    "SELECT id <-> 5::bigint FROM customers ORDER BY 1",
    "SELECT id OPERATOR(pg_catalog.%) 2 FROM customers ORDER BY id",
    "SELECT lower(email), upper(name), length(email), email || 'x', md5(email) FROM customers",
    "SELECT coalesce(email, 'nobody'), CASE email WHEN 'ana@EXAMPLE.com' THEN 1 END FROM customers",
    "SELECT a.id, b.id FROM customers a JOIN customers b USING (email) ORDER BY 1, 2",
    "SELECT email, count(*) FROM customers GROUP BY email ORDER BY email",
    "SELECT array_agg(email ORDER BY email), jsonb_agg(likes ORDER BY email) FROM customers",
    "SELECT row_to_json(c) FROM customers c ORDER BY id",
]


@pytest.mark.parametrize("sql", USES)
def test_what_an_extension_computes_is_what_the_database_itself_answers(
    world: World, sql: str
) -> None:
    path = "-csearch_path=crm,public,more"
    with (
        psycopg.connect(world.postgres.url("extended"), options=path) as direct,
        psycopg.connect(world.dsn("teller")) as through,
    ):
        expected, answer = direct.execute(sql), through.execute(sql)
        # Without ORDER BY: the same rows, in whichever order.
        assert sorted(map(repr, answer.fetchall())) == sorted(map(repr, expected.fetchall()))
        assert [(each.name, each.type_code) for each in answer.description or ()] == [
            (each.name, each.type_code) for each in expected.description or ()
        ]


def test_an_extension_sees_masked_values_only(world: World) -> None:
    asked = {
        "SELECT id FROM customers WHERE email = 'JOSE@example.com'": [(1,)],
        "SELECT id FROM customers WHERE email = 'perez@example.com'": [],
        "SELECT id FROM customers WHERE name % 'Ana Ruiz'": [],
        "SELECT id FROM customers WHERE place <@ 'es' ORDER BY id": [(1,)],
        "SELECT DISTINCT likes -> 'secret' FROM customers ORDER BY 1": [("one",), (None,)],
        "SELECT max(email) FROM customers": [("Jose@Example.com",)],
        "SELECT count(*) FROM customers WHERE similarity(name, 'Ana Ruiz') > 0.1": [(0,)],
        "SELECT email FROM customers ORDER BY email NULLS LAST": [
            ("Jose@Example.com",), (None,), (None,)
        ],
    }  # fmt: skip
    assert {sql: ask(world, sql, "mailer") for sql in asked} == asked


def test_a_parameter_may_be_of_an_extensions_type(world: World) -> None:
    with psycopg.connect(world.dsn("mailer")) as connection:
        found = connection.execute(
            "SELECT id FROM customers WHERE email = %s::citext AND likes @> %s::hstore",
            ["JOSE@EXAMPLE.com", "color=>red"],
        )
        assert found.fetchall() == [(1,)]
        assert connection.execute("SELECT pg_typeof(email)::text FROM customers").fetchone() == (
            "citext",
        )


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT set_limit(0.1)", "of the extension pg_trgm: changes a setting of the session"),
        ("SELECT populate_record(NULL::text, likes) FROM customers", "of the extension hstore"),
        ("SELECT uuid_generate_v1()", "tells the network address of the server"),
        ("SELECT more.hstore_version_diag(likes) FROM customers", "of the extension hstore"),
        ("SELECT 'x'::text #= likes FROM customers", "operator does not exist"),
        ("SELECT more.similarity('a', 'b')", "does not exist"),
        ("SELECT 'a' OPERATOR(more.%) 'b'", "operator does not exist"),
        ("SELECT '1'::gtrgm", "type"),
        ("SELECT '1'::more.ghstore", "type"),
    ],
)
def test_what_a_list_leaves_out_is_refused_and_says_why(
    world: World, sql: str, reason: str
) -> None:
    assert reason in refusal(world, sql)


@pytest.fixture
def without(world: World, tmp_path: Path) -> Iterator[World]:
    """The same database behind a policy that switches nothing on."""
    policy = policy_folder(tmp_path / "policy", {})
    text = (policy / "policy.yaml").read_text()
    text = text.replace("email: user.email, likes: user.likes, place: user.likes,", "")
    text = text.replace("logins: user.email", "")
    (policy / "policy.yaml").write_text(text)
    with World(world.postgres, "extended", policy, tmp_path / "proxy") as made:
        yield made


def test_an_extension_that_is_off_is_refused_and_named(without: World) -> None:
    off = "the policy does not switch the extension {} on"
    assert off.format("pg_trgm") in refusal(without, "SELECT similarity('a', 'b')")
    assert off.format("pg_trgm") in refusal(without, "SELECT public.similarity('a', 'b')")
    assert off.format("pgcrypto") in refusal(without, "SELECT more.digest('a', 'md5')")
    assert "does not exist" in refusal(without, "SELECT 'a' OPERATOR(public.%) 'b'")
    assert "type" in refusal(without, "SELECT 'a'::public.citext")
    assert "type" in refusal(without, "SELECT 'a=>1'::more.hstore")
    assert ask(without, "SELECT id % 2 FROM customers ORDER BY id") == [(1,), (0,), (1,)]


def test_a_column_of_an_extension_that_is_off_takes_its_table_out_of_service(
    world: World, tmp_path: Path
) -> None:
    policy = policy_folder(tmp_path / "policy", {"hstore": "more"})
    with World(world.postgres, "extended", policy, tmp_path / "proxy") as made:
        assert ask(made, "SELECT body FROM notes") == [("kept",)]
        with psycopg.connect(made.dsn("teller")) as connection, pytest.raises(psycopg.Error):
            connection.execute("SELECT id FROM customers")
