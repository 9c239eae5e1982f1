"""No error and no notice carries a value that the tool may not see, whatever code raised it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from proxy.session.errors import WITHHELD, WITHHELD_STATE
from proxy.wire import messages as m
from tests.bypass.client import BINARY, Client, Message, error_fields, rows_of, tags_of
from tests.conftest import MakeDatabase
from tests.errors.conftest import FOLDER, post
from tests.world import World

MARK: Final = b"xqzv"
RIGHTS: Final = """
GRANT USAGE ON SCHEMA crm, private TO consent_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA crm, private TO consent_reader;
"""
# Each reads `n` of a relation, in another place of the statement.
FORMS: Final = (
    "SELECT n FROM {}",
    "SELECT id FROM {} WHERE n > 0",
    "SELECT id FROM {} ORDER BY n",
    "SELECT sum(n) FROM {}",
    "SELECT id FROM crm.people WHERE id IN (SELECT n FROM {})",
)
FAILING: Final = (
    "crm.casts crm.divides crm.checks crm.reads_json crm.raises crm.raises_as_told"
    " crm.generated crm.secured"
).split()
CALLS: Final = (
    "SELECT crm.teller(1)",
    "SELECT crm.asked(2)",
    "SELECT crm.teller(id) FROM crm.people",
    "SELECT id FROM crm.people WHERE crm.asked(id) = 1",
)


@pytest.fixture(scope="session")
def world(postgres: EmbeddedPostgres, make_database: MakeDatabase) -> Iterator[World]:
    name = make_database(script=(FOLDER / "hidden.sql").read_text())
    name = name.split("@/", 1)[1].split("?", 1)[0]
    folder = Path(tempfile.mkdtemp(prefix="hidden-"))
    world = World(postgres, database=name, policy=FOLDER / "policy_hidden", folder=folder)
    try:
        with world:
            postgres.run(RIGHTS, database=name)
            for purpose in ("profile", "campaign"):
                world.record(1, purpose, "given")
            yield world
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def connect(world: World, tool: str) -> Client:
    return Client.connect(world.address, tool, world.passwords[tool], database=world.database)


@pytest.fixture
def profiler(world: World) -> Iterator[Client]:
    client = connect(world, "profiler")
    yield client
    client.close()


@pytest.fixture
def mailer(world: World) -> Iterator[Client]:
    client = connect(world, "mailer")
    yield client
    client.close()


# --- ways --------------------------------------------------------------------------------------


def by_copy(client: Client, sql: str) -> list[Message]:
    return client.simple(f"COPY ({sql}) TO STDOUT")


def by_cursor(client: Client, sql: str) -> list[Message]:
    failed = client.simple(f"BEGIN; DECLARE c CURSOR FOR {sql}; FETCH ALL FROM c")
    client.simple("ROLLBACK")
    return failed


def by_held_cursor(client: Client, sql: str) -> list[Message]:
    """It runs when its transaction commits."""
    client.simple("BEGIN")
    client.simple(f"DECLARE c CURSOR WITH HOLD FOR {sql}")
    messages = client.simple("COMMIT")
    client.simple("CLOSE c")
    return messages


def by_held_cursor_alone(client: Client, sql: str) -> list[Message]:
    """It runs when everything of the text has been answered."""
    messages = client.simple(f"DECLARE c CURSOR WITH HOLD FOR {sql}; SELECT 1")
    client.simple("CLOSE c")
    return messages


def by_held_cursor_at_sync(client: Client, sql: str) -> list[Message]:
    messages = client.extended(f"DECLARE c CURSOR WITH HOLD FOR {sql}")
    client.simple("CLOSE c")
    return messages


def by_prepare(client: Client, sql: str) -> list[Message]:
    client.simple(f"PREPARE p AS {sql}")
    failed = client.simple("EXECUTE p")
    client.simple("DEALLOCATE p")
    return failed


def by_parameters(client: Client, sql: str) -> list[Message]:
    return client.extended(f"SELECT * FROM ({sql}) q OFFSET $1", [b"0"], result=BINARY)


def by_portions(client: Client, sql: str) -> list[Message]:
    return client.send(
        m.parse(b"", sql.encode()),
        m.bind(b"", b""),
        m.execute(b"", 1),
        m.execute(b"", 1),
        m.SYNC_MESSAGE,
    )


WAYS: Final[tuple[Callable[[Client, str], list[Message]], ...]] = (
    Client.simple,
    Client.extended,
    by_copy,
    by_cursor,
    by_held_cursor,
    by_held_cursor_alone,
    by_held_cursor_at_sync,
    by_prepare,
    by_parameters,
    by_portions,
)


def raw(messages: list[Message]) -> bytes:
    return b"".join(each.body for each in messages)


# --- code of the database's own ----------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_code_of_the_database_says_is_withheld_and_always_the_same(
    profiler: Client, way: Callable[[Client, str], list[Message]]
) -> None:
    statements = [form.format(each) for each in FAILING for form in FORMS]
    for sql in (*statements, *CALLS):
        messages = way(profiler, sql)
        assert MARK not in raw(messages).lower(), sql
        fields = error_fields(messages)
        assert fields is not None, sql
        assert set(fields) == set("SVCMH"), sql
        assert (fields["C"], fields["M"]) == (WITHHELD_STATE, WITHHELD), sql


def test_over_http_it_is_withheld_as_well(world: World) -> None:
    for sql in (*(FORMS[0].format(each) for each in FAILING), *CALLS):
        status, error = post(world, "profiler", sql)
        assert (status, error["sqlstate"], error["message"]) == (400, WITHHELD_STATE, WITHHELD)
        assert MARK not in repr(error).lower().encode()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_notices_of_code_of_the_database_are_not_passed_on(
    profiler: Client, way: Callable[[Client, str], list[Message]]
) -> None:
    messages = way(profiler, "SELECT sum(n) FROM crm.notices")
    assert error_fields(messages) is None
    assert "N" not in {message.kind for message in messages}
    assert MARK not in raw(messages).lower()


def test_a_mistake_in_a_statement_that_reads_a_view_is_still_told(profiler: Client) -> None:
    fields = error_fields(profiler.simple("SELECT nosuch FROM crm.casts")) or {}
    assert (fields["C"], fields["M"]) == ("42703", 'column "nosuch" does not exist')
    assert fields["P"] == "8"
    fields = error_fields(profiler.simple("SELECT id FROM crm.casts WHERE id = 'abc'")) or {}
    assert fields["M"] == 'invalid input syntax for type integer: "abc"'


def test_what_the_server_says_of_a_session_passes_by_its_code(profiler: Client) -> None:
    profiler.simple("BEGIN")
    profiler.simple("SELECT n FROM crm.casts")
    fields = error_fields(profiler.simple("SELECT n FROM crm.casts")) or {}
    assert fields["C"] == "25P02"
    profiler.simple("ROLLBACK")
    profiler.simple("SET statement_timeout = 1")
    endless = "SELECT sum(a.id) FROM crm.notices a, generate_series(1, 100000000) b"
    fields = error_fields(profiler.simple(endless)) or {}
    assert fields["C"] == "57014"


# --- guarded values ----------------------------------------------------------------------------

OWN_ERRORS: Final = (
    "SELECT note::integer FROM crm.people WHERE id = {}",
    "SELECT to_date(note, 'YYYY-MM-DD') FROM crm.people WHERE id = {}",
    "SELECT note::json FROM crm.people WHERE id = {}",
    "SELECT decode(note, 'hex') FROM crm.people WHERE id = {}",
    "SELECT ('{{' || note)::text[] FROM crm.people WHERE id = {}",
    "SELECT note::uuid, note::inet, note::numeric FROM crm.people WHERE id = {}",
    "SELECT page::interval FROM crm.visits WHERE id = {0}0",
    "SELECT id FROM crm.people WHERE note::date > now() AND id = {}",
    "SELECT set_bit(note::bytea, 1000, 1) FROM crm.people WHERE id = {}",
    "SELECT timezone(note, now()) FROM crm.people WHERE id = {}",
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_errors_on_guarded_values_quote_what_the_tool_may_see(
    profiler: Client, way: Callable[[Client, str], list[Message]]
) -> None:
    quoted = 0
    for sql in OWN_ERRORS:
        quoted += b"shown-" in raw(way(profiler, sql.format(1)))
        messages = way(profiler, sql.format(2))
        assert MARK not in raw(messages).lower(), sql
        fields = error_fields(messages) or {}
        assert not set(fields) & set("pqWstcdnFLR"), sql
    assert quoted >= 5


def test_a_parameter_is_quoted_to_whom_it_belongs(profiler: Client) -> None:
    messages = profiler.extended("SELECT id FROM crm.people WHERE id = $1", [b"abc"])
    fields = error_fields(messages) or {}
    assert (fields["C"], fields["M"]) == ("22P02", 'invalid input syntax for type integer: "abc"')
    assert "W" not in fields


# --- who is there ------------------------------------------------------------------------------


def test_a_person_who_is_hidden_is_answered_as_one_who_is_not_there(mailer: Client) -> None:
    questions = (
        "SELECT * FROM crm.people WHERE id = {}",
        "SELECT 1 / (id - {}) FROM crm.people WHERE id >= {} AND id < {} + 1",
        "SELECT (SELECT id FROM crm.visits WHERE person_id = {})",
        "SELECT count(*), min(name) FROM crm.people WHERE id = {}",
        "SELECT EXISTS (SELECT 1 FROM crm.visits WHERE person_id = {})",
        "SELECT name::integer FROM crm.people WHERE id = {}",
    )
    for question in questions:
        for way in WAYS:
            answers = []
            for person in ("2", "777"):
                messages = way(mailer, question.replace("{}", person))
                answers.append([(each.kind, each.body) for each in messages])
            assert answers[0] == answers[1], question


def test_counts_and_tags_are_of_what_is_there_for_the_tool(mailer: Client) -> None:
    assert tags_of(mailer.simple("SELECT id FROM crm.people")) == ["SELECT 1"]
    assert tags_of(mailer.simple("COPY crm.people TO STDOUT")) == ["COPY 1"]
    mailer.simple("BEGIN; DECLARE c SCROLL CURSOR FOR SELECT id FROM crm.people")
    assert tags_of(mailer.simple("MOVE ALL FROM c")) == ["MOVE 1"]
    assert tags_of(mailer.simple("FETCH BACKWARD ALL FROM c")) == ["FETCH 1"]
    assert rows_of(mailer.simple("FETCH ABSOLUTE 2 FROM c")) == []
    mailer.simple("ROLLBACK")
    messages = mailer.send(
        m.parse(b"", b"SELECT id FROM crm.people"),
        m.bind(b"", b""),
        m.execute(b"", 1),
        m.execute(b"", 1),
        m.SYNC_MESSAGE,
    )
    assert [each.kind for each in messages] == ["1", "2", "D", "s", "C", "Z"]
    assert tags_of(messages) == ["SELECT 0"]


def test_two_people_of_whom_one_is_hidden_are_one_row_of_a_subquery(mailer: Client) -> None:
    # Ben is two people, and neither is there.
    messages = mailer.simple("SELECT (SELECT id FROM crm.people WHERE name = 'Ben')")
    assert rows_of(messages) == [[None]]


def test_a_unique_key_can_not_be_asked(mailer: Client) -> None:
    for sql in (
        "INSERT INTO crm.people (id) VALUES (2)",
        "INSERT INTO crm.people (id) VALUES (2) ON CONFLICT DO NOTHING",
        "UPDATE crm.people SET id = 2",
        "MERGE INTO crm.people p USING crm.visits v ON p.id = v.id WHEN MATCHED THEN DELETE",
    ):
        fields = error_fields(mailer.simple(sql)) or {}
        assert "reason: statement_kind" in fields["D"]


def test_tools_can_not_ask_the_ledger_about_anybody(world: World) -> None:
    import urllib.error
    import urllib.request

    answers = []
    for person in ("2", "777"):
        for path in (f"/v1/consents/{person}", f"/v1/withdrawals?purpose=profile&subject={person}"):
            request = urllib.request.Request(
                world.http + path, headers={"Authorization": f"Bearer {world.tokens['mailer']}"}
            )
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=20)
            answers.append((refused.value.code, path.split("?")[0].rpartition("/")[0]))
    assert answers[:2] == answers[2:]
    assert answers[0][0] == 403
