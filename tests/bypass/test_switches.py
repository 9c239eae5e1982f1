"""Between two messages: consent is withdrawn, the purpose is another, the path is another."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from proxy.access_log.search import Filters, search
from proxy.wire import messages as m
from tests.bypass.attempts import assert_silent
from tests.bypass.client import Client, Closed, Message, error_fields, rows_of
from tests.bypass.worlds import Pair, Side

PERSON = 6
VALUE = b"alias6"


@pytest.fixture
def side(pair: Pair) -> Side:
    return pair.sides[0]


@pytest.fixture
def given(pair: Pair, side: Side) -> Iterator[Side]:
    """A world where person 6 has agreed; whatever the test withdrew is given again. In the other
    too, and as often: a row that moves in one of the two tables alone changes the order of rows.
    """
    yield side
    _withdraw(pair.sides[1])
    for purpose in ("profile", "campaign"):
        pair.record(PERSON, purpose, "given")


def _sqlstate(messages: list[Message]) -> str:
    return (error_fields(messages) or {}).get("C", "")


def _shows(client: Client) -> bool:
    return VALUE in bytes(client.received)


def _withdraw(side: Side) -> None:
    side.world.record(PERSON, "profile", "withdrawn")


def test_the_next_statement_does_not_show_it(given: Side) -> None:
    client = given.connect("profiler")
    client.simple("SELECT alias FROM crm.people")
    assert _shows(client)
    _withdraw(given)
    client.simple("SELECT alias FROM crm.people")
    assert not _shows(client)


def test_a_prepared_statement_does_not_show_it(given: Side) -> None:
    client = given.connect("profiler")
    client.send(m.parse(b"s", b"SELECT alias FROM crm.people"), m.SYNC_MESSAGE)
    run = (m.bind(b"", b"s"), m.execute(b""), m.SYNC_MESSAGE)
    client.send(*run)
    assert _shows(client)
    _withdraw(given)
    client.send(*run)
    assert not _shows(client)


def test_an_sql_prepared_statement_does_not_show_it(given: Side) -> None:
    client = given.connect("profiler")
    client.simple("PREPARE s AS SELECT alias FROM crm.people")
    client.simple("EXECUTE s")
    assert _shows(client)
    _withdraw(given)
    client.simple("EXECUTE s")
    assert not _shows(client)


def test_a_block_of_read_committed_does_not_show_it(given: Side) -> None:
    client = given.connect("profiler")
    client.simple("BEGIN")
    client.simple("SELECT alias FROM crm.people")
    assert _shows(client)
    _withdraw(given)
    client.simple("SELECT alias FROM crm.people")
    assert not _shows(client)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_block_that_keeps_its_snapshot_is_ended(given: Side, level: str) -> None:
    client = given.connect("profiler")
    client.simple(f"BEGIN ISOLATION LEVEL {level}")
    client.simple("SELECT alias FROM crm.people")
    assert _shows(client)
    _withdraw(given)
    assert _sqlstate(client.simple("SELECT alias FROM crm.people")) == "40001"
    assert not _shows(client)


@pytest.mark.parametrize(
    "isolate",
    [
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET LOCAL transaction_isolation = 'repeatable read'",
        "SET transaction_isolation = 'serializable'",
        "SELECT set_config('transaction_isolation', 'repeatable read', true)",
    ],
)
def test_however_the_isolation_is_asked_for(given: Side, isolate: str) -> None:
    client = given.connect("profiler")
    client.simple("BEGIN")
    client.simple(isolate)
    client.simple("SELECT alias FROM crm.people")
    _withdraw(given)
    client.simple("SELECT alias FROM crm.people")
    assert not _shows(client)


@pytest.mark.parametrize(
    "isolate",
    [
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET default_transaction_isolation = 'serializable'",
        "SELECT set_config('default_transaction_isolation', 'repeatable read', false)",
        "SET default_transaction_isolation = 'repeatable read'; SELECT 1",
    ],
)
def test_a_sessions_default_isolation_keeps_nothing_either(given: Side, isolate: str) -> None:
    client = given.connect("profiler")
    client.simple(isolate)
    client.simple("BEGIN")
    client.simple("SELECT alias FROM crm.people")
    _withdraw(given)
    client.simple("SELECT alias FROM crm.people")
    assert not _shows(client)
    client.close()


@pytest.mark.parametrize(
    "begin",
    [
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1", "COMMIT AND CHAIN"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT 1", "ROLLBACK AND CHAIN"),
        ("BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1",),
        ("SET \"Default_Transaction_Isolation\" = 'Repeatable Read'", "BEGIN"),
        ("SELECT set_config($$DEFAULT_TRANSACTION_ISOLATION$$, 'serializable', false)", "BEGIN"),
        ("SET default_transaction_isolation = serializable; BEGIN",),
        ("SET default_transaction_isolation = serializable", "DISCARD PLANS", "BEGIN"),
        (
            "BEGIN",
            "SAVEPOINT a",
            "SET LOCAL transaction_isolation = serializable",
            "ROLLBACK",
            "BEGIN",
        ),
        ("START TRANSACTION READ ONLY, ISOLATION LEVEL REPEATABLE READ, NOT DEFERRABLE",),
    ],
)
def test_no_spelling_of_an_isolation_keeps_what_was_withdrawn(
    given: Side, begin: tuple[str, ...]
) -> None:
    client = given.connect("profiler")
    for statement in begin:
        client.simple(statement)
    client.simple("SELECT alias FROM crm.people")
    assert _shows(client)
    _withdraw(given)
    client.simple("SELECT alias FROM crm.people")
    assert not _shows(client)
    client.close()


def test_a_pipeline_without_a_block_keeps_nothing_either(given: Side) -> None:
    """Its messages are one transaction until Sync."""
    client = given.connect("profiler")
    run = (m.bind(b"", b"s"), m.execute(b""))
    client.socket.sendall(
        b"".join(
            (
                m.parse(b"", b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
                m.bind(b"", b""),
                m.execute(b""),
                m.parse(b"s", b"SELECT alias FROM crm.people"),
                *run,
                m.FLUSH_MESSAGE,
            )
        )
    )
    while VALUE not in bytes(client.received):
        client.next()
    _withdraw(given)
    messages = client.send(*run, m.SYNC_MESSAGE)
    assert not any(VALUE in message.body for message in messages if message.kind == "D")
    client.close()


def test_a_start_up_options_isolation_keeps_nothing_either(given: Side) -> None:
    client = given.connect("profiler", options="-c default_transaction_isolation=serializable")
    client.simple("BEGIN")
    client.simple("SELECT alias FROM crm.people")
    _withdraw(given)
    client.simple("SELECT alias FROM crm.people")
    assert not _shows(client)


def test_a_cursor_is_not_read_on(given: Side) -> None:
    client = given.connect("profiler")
    client.simple("BEGIN")
    client.simple("DECLARE c CURSOR FOR SELECT alias FROM crm.people ORDER BY id")
    client.simple("FETCH 1 FROM c")
    _withdraw(given)
    assert _sqlstate(client.simple("FETCH ALL FROM c")) == "40001"
    assert not _shows(client)


def test_a_cursor_that_outlives_its_transaction_is_not_read_on(given: Side) -> None:
    client = given.connect("profiler")
    client.simple("DECLARE c CURSOR WITH HOLD FOR SELECT alias FROM crm.people ORDER BY id")
    _withdraw(given)
    assert _sqlstate(client.simple("FETCH ALL FROM c")) == "40001"
    assert not _shows(client)


def test_a_cursor_read_as_a_portal_is_not_read_on(given: Side) -> None:
    client = given.connect("profiler")
    client.simple("DECLARE c CURSOR WITH HOLD FOR SELECT alias FROM crm.people ORDER BY id")
    _withdraw(given)
    assert _sqlstate(client.send(m.execute(b"c"), m.SYNC_MESSAGE)) == "40001"
    assert not _shows(client)


def test_a_portal_is_not_read_on(given: Side) -> None:
    client = given.connect("profiler")
    client.simple("BEGIN")
    client.send(
        m.parse(b"", b"SELECT alias FROM crm.people ORDER BY id"),
        m.bind(b"p", b""),
        m.execute(b"p", 1),
        m.SYNC_MESSAGE,
    )
    _withdraw(given)
    assert _sqlstate(client.send(m.execute(b"p"), m.SYNC_MESSAGE)) == "40001"
    assert not _shows(client)


def test_a_portal_that_was_bound_before_is_not_begun(given: Side) -> None:
    client = given.connect("profiler")
    client.simple("BEGIN")
    client.send(
        m.parse(b"", b"SELECT alias FROM crm.people ORDER BY id"), m.bind(b"p", b""), m.SYNC_MESSAGE
    )
    _withdraw(given)
    client.send(m.execute(b"p"), m.SYNC_MESSAGE)
    assert not _shows(client)


def test_an_answer_over_http_does_not_show_it(given: Side) -> None:
    body = {"sql": "SELECT alias FROM crm.people"}
    assert VALUE in given.post("/v1/query", "profiler", body)[1]
    _withdraw(given)
    assert VALUE not in given.post("/v1/query", "profiler", body)[1]


@pytest.mark.parametrize("state", ["refused", "withdrawn"])
def test_whatever_takes_consent_back(given: Side, state: str) -> None:
    client = given.connect("profiler")
    given.world.record(PERSON, "profile", state)
    client.simple("SELECT alias FROM crm.people")
    assert not _shows(client)


# --- purposes --------------------------------------------------------------------------------


def test_a_statement_prepared_for_one_purpose_is_planned_again_for_another(side: Side) -> None:
    client = side.connect("both")
    client.simple("SET consent.purpose = 'profile'")
    client.send(m.parse(b"s", b"SELECT id, phone FROM crm.people"), m.SYNC_MESSAGE)
    run = (m.bind(b"", b"s"), m.execute(b""), m.SYNC_MESSAGE)
    assert len(rows_of(client.send(*run))) == 10
    client.simple("SET consent.purpose = 'campaign'")
    messages = client.send(*run)
    assert len(rows_of(messages)) <= 6
    assert b"600000001" not in bytes(client.received)
    client.close()


def test_an_execute_of_one_purpose_is_planned_again_for_another(side: Side) -> None:
    client = side.connect("both")
    client.simple("SET consent.purpose = 'profile'")
    client.simple("PREPARE s AS SELECT id, phone FROM crm.people")
    assert len(rows_of(client.simple("EXECUTE s"))) == 10
    client.simple("SET consent.purpose = 'campaign'")
    client.simple("EXECUTE s")
    assert b"600000001" not in bytes(client.received)
    client.close()


def test_a_pipeline_that_changes_the_purpose_is_planned_by_the_new_one(side: Side) -> None:
    client = side.connect("both")
    client.simple("SET consent.purpose = 'profile'")
    client.send(
        m.parse(b"s", b"SELECT id, phone FROM crm.people"),
        m.parse(b"", b"SET consent.purpose = 'campaign'"),
        m.bind(b"", b""),
        m.execute(b""),
        m.bind(b"", b"s"),
        m.execute(b""),
        m.SYNC_MESSAGE,
    )
    assert b"600000001" not in bytes(client.received)
    client.close()


def test_a_cursor_of_one_purpose_is_not_read_under_another(side: Side) -> None:
    """The record would say the purpose that is in force, and the rows be the other's."""
    client = side.connect("both")
    client.simple("SET consent.purpose = 'profile'")
    client.simple("DECLARE c CURSOR WITH HOLD FOR SELECT id, phone FROM crm.people ORDER BY id")
    client.simple("SET consent.purpose = 'campaign'")
    client.simple("FETCH ALL FROM c")
    assert b"600000001" not in bytes(client.received)
    client.send(m.execute(b"c"), m.SYNC_MESSAGE)
    assert b"600000001" not in bytes(client.received)
    client.close()


def test_a_portal_of_one_purpose_is_not_run_under_another(side: Side) -> None:
    client = side.connect("both")
    client.simple("SET consent.purpose = 'profile'")
    client.send(
        m.parse(b"s", b"SELECT id, phone FROM crm.people ORDER BY id"),
        m.bind(b"p", b"s"),
        m.parse(b"", b"SET consent.purpose = 'campaign'"),
        m.bind(b"", b""),
        m.execute(b""),
        m.execute(b"p"),
        m.SYNC_MESSAGE,
    )
    assert b"600000001" not in bytes(client.received)
    client.close()


@pytest.mark.parametrize(
    "back", ["RESET consent.purpose", "RESET ALL", "DISCARD ALL", "SET consent.purpose TO DEFAULT"]
)
def test_a_purpose_that_is_reset_is_the_one_of_the_login(side: Side, back: str) -> None:
    client = side.connect("both")
    client.simple("SET consent.purpose = 'profile'")
    client.simple(back)
    assert rows_of(client.simple("SHOW consent.purpose")) == [[b"campaign"]]
    assert len(rows_of(client.simple("SELECT id FROM crm.people"))) == 6
    client.close()


def test_what_follows_a_reset_in_one_text_is_not_planned_by_the_old_purpose(side: Side) -> None:
    client = side.connect("both")
    client.simple("SET consent.purpose = 'profile'")
    messages = client.simple("RESET consent.purpose; SELECT id, phone FROM crm.people")
    assert _sqlstate(messages) != ""
    assert b"600000001" not in bytes(client.received)
    # It failed as one: the purpose is what it was, for PostgreSQL and for the guards.
    assert rows_of(client.simple("SHOW consent.purpose")) == [[b"profile"]]
    assert len(rows_of(client.simple("SELECT id FROM crm.people"))) == 10
    client.close()


def test_a_purpose_set_in_a_failed_pipeline_is_not_kept(side: Side) -> None:
    client = side.connect("both")
    client.send(
        m.parse(b"", b"SET consent.purpose = 'profile'"),
        m.bind(b"", b""),
        m.execute(b""),
        m.parse(b"", b"SELECT 1/0"),
        m.bind(b"", b""),
        m.execute(b""),
        m.SYNC_MESSAGE,
    )
    (purpose,) = rows_of(client.simple("SHOW consent.purpose"))
    rows = rows_of(client.simple("SELECT id FROM crm.people"))
    assert len(rows) == (10 if purpose == [b"profile"] else 6)
    client.close()


def test_the_record_of_a_purpose_that_was_rolled_back_does_not_say_that_it_was_set(
    side: Side,
) -> None:
    client = side.connect("both")
    client.send(
        m.parse(b"", b"SET consent.purpose = 'profile'"),
        m.bind(b"", b""),
        m.execute(b""),
        m.parse(b"", b"SELECT 1/0"),
        m.bind(b"", b""),
        m.execute(b""),
        m.SYNC_MESSAGE,
    )
    client.simple("SELECT id FROM crm.people")
    records = search(side.world.access_log, Filters())
    intent = [each.fields for each in records if each.kind == "access.intent"][-1]
    assert (intent["purpose"], intent["purpose_from"]) == ("campaign", "default")
    client.close()


@pytest.mark.parametrize("path", ["crm,pg_catalog", '"crm",pg_catalog', "ref,crm,pg_catalog"])
def test_no_start_up_packet_puts_a_schema_before_postgresqls_own(side: Side, path: str) -> None:
    """Its operators would be taken, also in functions of PostgreSQL's that are written in SQL."""
    with pytest.raises(Closed):
        side.connect("both", options=f"-c search_path={path}")


def test_the_next_lease_of_a_connection_knows_nothing_of_the_last(side: Side) -> None:
    first = side.connect("both")
    first.simple("SET consent.purpose = 'profile'")
    first.simple("SET search_path = ref")
    first.simple("PREPARE s AS SELECT id, phone FROM crm.people")
    first.simple("DECLARE c CURSOR WITH HOLD FOR SELECT phone FROM crm.people")
    first.close()
    for _ in range(4):
        second = side.connect("both")
        assert rows_of(second.simple("SHOW consent.purpose")) == [[b"campaign"]]
        assert rows_of(second.simple("SHOW search_path")) == [[b"crm, ref"]]
        assert _sqlstate(second.simple("EXECUTE s")) == "26000"
        assert _sqlstate(second.simple("FETCH ALL FROM c")) == "34000"
        second.close()


def test_the_purpose_over_http_is_one_of_the_tools_own(side: Side) -> None:
    sql = "SELECT email FROM crm.people"
    status, body = side.post("/v1/query", "profiler", {"sql": sql, "purpose": "service"})
    assert (status, orjson.loads(body)["error"]["reason"]) == (403, "purpose_not_allowed")
    status, body = side.post("/v1/query", "undecided", {"sql": sql})
    assert (status, orjson.loads(body)["error"]["reason"]) == (403, "purpose_missing")
    assert_silent(side, body, sql)


@pytest.mark.parametrize("credential", ["consent", "review", "metrics"])
def test_no_other_credential_runs_statements(side: Side, credential: str) -> None:
    status, body = side.post("/v1/query", credential, {"sql": "SELECT email FROM crm.people"})
    assert (status, orjson.loads(body)["error"]["reason"]) == (403, "role_not_allowed")


@pytest.mark.parametrize(
    "path", ["/v1/consents", "/v1/explain", "/v1/query?purpose=service", "/v1/query/", "//v1/query"]
)
def test_a_tool_records_no_consent_and_finds_no_second_way(side: Side, path: str) -> None:
    body = {
        "sql": "SELECT secret FROM crm.internal",
        "subject": 7,
        "purpose": "profile",
        "state": "given",
    }
    status, answer = side.post(path, "profiler", body)
    assert status >= 400
    assert_silent(side, answer, path)
