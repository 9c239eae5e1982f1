"""Prepared statements, portals and cursors: what a name means, and when it is planned again."""

from __future__ import annotations

from proxy.rewrite.plan import PlanContext
from proxy.wire import messages as m
from tests.wire.conftest import Proxy
from tests.wire.raw import error, kinds, rows


def _run(name: bytes, portal: bytes = b"") -> bytes:
    return m.bind(portal, name) + m.execute(portal) + m.SYNC_MESSAGE


def _by_purpose(text: str, context: PlanContext) -> str:
    return text.replace("PURPOSE", f"'{context.purpose}'")


async def test_an_unknown_name_is_refused_though_the_upstream_might_know_it(proxy: Proxy) -> None:
    client = await proxy.login()
    for message, state in (
        (m.bind(b"", b"nosuch"), "26000"),
        (m.describe(b"S", b"nosuch"), "26000"),
        (m.bind(b"", b""), "26000"),
        (m.execute(b"nosuch"), "34000"),
        (m.describe(b"P", b"nosuch"), "34000"),
    ):
        client.send(message, m.SYNC_MESSAGE)
        assert error(await client.until_ready())["C"] == state
    assert error(await client.query("EXECUTE nosuch"))["C"] == "26000"
    assert error(await client.query("FETCH 1 FROM nosuch"))["C"] == "34000"


async def test_a_parse_that_fails_leaves_the_older_statement_of_its_name(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"s", b"SELECT 1"), m.SYNC_MESSAGE)
    await client.until_ready()
    client.send(m.parse(b"s", b"SELECT 2"), m.SYNC_MESSAGE, _run(b"s"))
    seen = await client.until_ready(2)
    assert error(seen)["C"] == "42P05"
    assert rows(seen) == [[b"1"]]


async def test_records_name_what_runs_when_a_parse_of_a_known_name_fails(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"s", b"SELECT a FROM people"), m.SYNC_MESSAGE)
    await client.until_ready()
    # One write: the second Parse fails upstream, so the Bind behind its Sync means the first.
    client.send(m.parse(b"s", b"SELECT 1"), m.SYNC_MESSAGE, _run(b"s"))
    seen = await client.until_ready(2)
    assert len(rows(seen)) == 100
    assert len(proxy.log.of("access.intent")) == 1


async def test_names_that_agree_in_63_bytes_are_one_name(proxy: Proxy) -> None:
    client = await proxy.login()
    long = b"n" * 63
    client.send(m.parse(long + b"1", b"SELECT 1"), m.SYNC_MESSAGE)
    await client.until_ready()
    client.send(_run(long + b"2"))
    assert rows(await client.until_ready()) == [[b"1"]]


async def test_close_forgets_and_an_error_before_it_does_not(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"s", b"SELECT 1"), m.SYNC_MESSAGE)
    client.send(m.parse(b"", b"SELECT nosuch"), m.close(b"S", b"s"), m.SYNC_MESSAGE, _run(b"s"))
    seen = await client.until_ready(3)
    assert rows(seen) == [[b"1"]]
    client.send(m.close(b"S", b"s"), m.SYNC_MESSAGE, _run(b"s"))
    seen = await client.until_ready(2)
    assert error(seen)["C"] == "26000"


async def test_the_unnamed_statement_is_replaced_in_a_pipeline(proxy: Proxy) -> None:
    client = await proxy.login()
    parts = [m.parse(b"", f"SELECT {n}".encode()) + _run(b"") for n in range(5)]
    client.send(*parts)
    assert rows(await client.until_ready(5)) == [[str(n).encode()] for n in range(5)]


async def test_a_failed_parse_of_the_unnamed_statement_loses_the_one_before(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"", b"SELECT 1"), m.SYNC_MESSAGE)
    client.send(m.parse(b"", b"SELECT nosuch"), m.SYNC_MESSAGE, _run(b""))
    seen = await client.until_ready(3)
    assert [m.read_fields(data)["C"] for kind, data in seen if kind == "E"] == ["42703", "26000"]


async def test_sql_and_protocol_share_the_names_of_prepared_statements(proxy: Proxy) -> None:
    proxy.pool.pooling = "session"
    client = await proxy.login()
    await client.query("PREPARE q AS SELECT 7")
    client.send(m.describe(b"S", b"q"), _run(b"q"))
    seen = await client.until_ready()
    assert kinds(seen) == "tT2DCZ"
    client.send(m.parse(b"r", b"SELECT 8"), m.SYNC_MESSAGE)
    await client.until_ready()
    assert rows(await client.query("EXECUTE r")) == [[b"8"]]
    assert kinds(await client.query("DEALLOCATE r")) == "CZ"
    assert error(await client.query("EXECUTE r"))["C"] == "26000"
    await client.query("DEALLOCATE ALL")
    client.send(_run(b"q"))
    assert error(await client.until_ready())["C"] == "26000"


async def test_sql_and_protocol_share_the_names_of_cursors(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("BEGIN")
    await client.query("DECLARE c CURSOR FOR SELECT a FROM people ORDER BY a")
    client.send(m.execute(b"c", 2), m.SYNC_MESSAGE)
    assert kinds(await client.until_ready()) == "DDsZ"
    assert rows(await client.query("FETCH 1 FROM c")) == [[b"3"]]
    assert kinds(await client.query("CLOSE c")) == "CZ"
    assert error(await client.query("FETCH 1 FROM c"))["C"] == "34000"


async def test_names_made_in_a_text_are_known_to_the_rest_of_it(proxy: Proxy) -> None:
    client = await proxy.login()
    seen = await client.query(
        "BEGIN; DECLARE c CURSOR FOR SELECT a FROM people ORDER BY a;"
        "FETCH 2 FROM c; CLOSE c; COMMIT"
    )
    assert rows(seen) == [[b"1"], [b"2"]]
    assert rows(await client.query("PREPARE s AS SELECT 5; EXECUTE s; DEALLOCATE s")) == [[b"5"]]
    assert error(await client.query("EXECUTE s"))["C"] == "26000"


async def test_a_new_policy_is_used_by_the_next_bind_and_the_client_sees_no_difference(
    proxy: Proxy,
) -> None:
    client = await proxy.login()
    client.send(m.parse(b"s", b"SELECT 'REVISION'"), m.SYNC_MESSAGE, _run(b"s"))
    assert rows(await client.until_ready(2)) == [[b"REVISION"]]
    proxy.planner.revision = "r2"
    proxy.planner.rewrite = lambda text, _: text.replace("REVISION", "two")
    client.send(_run(b"s"))
    seen = await client.until_ready()
    assert kinds(seen) == "2DCZ"
    assert rows(seen) == [[b"two"]]


async def test_a_new_policy_is_used_by_execute_of_sql_as_well(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("PREPARE s(int, text) AS SELECT 'REVISION', $1, $2")
    proxy.planner.revision = "r2"
    proxy.planner.rewrite = lambda text, _: text.replace("REVISION", "two")
    seen = await client.query("EXECUTE s(1, 'x')")
    assert kinds(seen) == "TDCZ"
    assert rows(seen) == [[b"two", b"1", b"x"]]


async def test_a_prepared_statement_that_is_refused_now_is_refused_at_bind(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"s", b"SELECT a FROM people"), m.SYNC_MESSAGE)
    await client.until_ready()
    original = proxy.planner._plan
    proxy.planner.revision = "r2"
    proxy.planner._plan = lambda text, context: original("forbidden", context)  # type: ignore[method-assign]
    client.send(_run(b"s"))
    assert error(await client.until_ready())["C"] == "42501"


async def test_a_result_that_looks_different_now_must_be_prepared_again(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"s", b"SELECT 1"), m.SYNC_MESSAGE)
    await client.until_ready()
    proxy.planner.revision, proxy.planner.surface = "r2", "s2"
    client.send(_run(b"s"))
    fields = error(await client.until_ready())
    assert (fields["C"], fields["M"]) == ("0A000", "cached plan must not change result type")


async def test_a_purpose_that_is_set_holds_for_statements_sent_in_the_same_breath(
    proxy: Proxy,
) -> None:
    client = await proxy.login()
    proxy.planner.rewrite = _by_purpose
    client.send(m.parse(b"s", b"SELECT PURPOSE"), m.SYNC_MESSAGE)
    client.send(m.query(b"SELECT PURPOSE"), m.query(b"SET consent.purpose = 'service'"))
    client.send(m.query(b"SELECT PURPOSE"), _run(b"s"), m.query(b"RESET consent.purpose"))
    client.send(m.query(b"SELECT PURPOSE"), _run(b"s"), m.query(b"SHOW consent.purpose"))
    seen = await client.until_ready(9)
    found = [row[0] for row in rows(seen)]
    assert found == [
        b"newsletter",
        b"service",
        b"service",
        b"newsletter",
        b"newsletter",
        b"newsletter",
    ]
    assert kinds(seen).count("E") == 0


async def test_planning_that_takes_long_does_not_change_the_order(proxy: Proxy) -> None:
    client = await proxy.login()
    proxy.planner.is_slow = True
    client.send(*(m.parse(b"", f"SELECT {n}".encode()) + _run(b"") for n in range(5)))
    client.send(m.query(b"SELECT 5"))
    assert rows(await client.until_ready(6)) == [[str(n).encode()] for n in range(6)]


async def test_a_skipped_query_leaves_the_unnamed_statement(proxy: Proxy) -> None:
    client = await proxy.login()
    client.send(m.parse(b"", b"SELECT 'still'"), m.SYNC_MESSAGE)
    client.send(m.bind(b"", b"nothing"), m.query(b"SELECT 1"), m.SYNC_MESSAGE, _run(b""))
    assert kinds(await client.until_ready(2)) == "1ZEZ"
    assert rows(await client.until_ready()) == [[b"still"]]
    assert kinds(await client.query("SELECT 1")) == "TDCZ"
    client.send(_run(b""))
    assert error(await client.until_ready())["C"] == "26000"
