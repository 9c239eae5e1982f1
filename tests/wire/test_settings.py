"""Purpose and search path follow PostgreSQL's rules for settings, transactions included."""

from __future__ import annotations

import pytest

from proxy.rewrite.plan import PlanContext
from proxy.session.settings import Context, SessionSettings
from proxy.wire import messages as m
from tests.wire.conftest import Proxy
from tests.wire.raw import Raw, error, kinds, rows


def _shows(text: str, context: PlanContext) -> str:
    return text.replace("PATH", f"'{','.join(context.search_path)}'").replace(
        "PURPOSE", f"'{context.purpose}'"
    )


async def _path(client: Raw) -> tuple[bytes | None, bytes | None]:
    """The path that statements are planned under, and the one that the upstream has."""
    planned = rows(await client.query("SELECT PATH"))[0][0]
    upstream = rows(await client.query("SHOW search_path"))[0][0]
    return planned, upstream


async def test_the_purpose_can_not_change_inside_a_block_or_a_text_of_several(
    proxy: Proxy,
) -> None:
    client = await proxy.login()
    await client.query("BEGIN")
    fields = error(await client.query("SET consent.purpose = 'service'"))
    assert fields["C"] == "25001"
    await client.query("ROLLBACK")
    fields = error(await client.query("SET consent.purpose = 'service'; SELECT 1"))
    assert fields["C"] == "25001"
    assert rows(await client.query("SHOW consent.purpose")) == [[b"newsletter"]]


async def test_a_block_that_was_begun_in_the_same_breath_counts(proxy: Proxy) -> None:
    client = await proxy.login()
    for text in ("BEGIN", "SET consent.purpose = 'service'"):
        client.send(m.parse(b"", text.encode()), m.bind(b"", b""), m.execute(b""))
    client.send(m.SYNC_MESSAGE)
    assert error(await client.until_ready())["C"] == "25001"
    client.send(m.query(b"ROLLBACK"), m.query(b"BEGIN"))
    client.send(m.query(b"SET consent.purpose = 'service'"))
    assert error(await client.until_ready(3))["C"] == "25001"


async def test_a_purpose_that_is_not_the_tools_own_is_refused(proxy: Proxy) -> None:
    client = await proxy.login()
    fields = error(await client.query("SET consent.purpose = 'billing'"))
    assert fields["C"] == "42501"
    assert "purpose_not_allowed" in fields["D"]


async def test_records_say_where_the_purpose_came_from(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SELECT a FROM people")
    await client.query("SET consent.purpose = 'service'")
    await client.query("SELECT a FROM people")
    await client.query("DISCARD ALL")
    await client.query("SELECT a FROM people")
    found = [(i["purpose"], i["purpose_from"]) for i in proxy.log.of("access.intent")]
    assert found == [("newsletter", "default"), ("service", "set"), ("newsletter", "default")]


@pytest.mark.parametrize("reset", ["RESET ALL", "DISCARD ALL", "SELECT 1; RESET ALL"])
@pytest.mark.parametrize("is_extended", [False, True])
async def test_reset_comes_back_to_what_the_session_began_with(
    proxy: Proxy, reset: str, is_extended: bool
) -> None:
    if is_extended and ";" in reset:
        return
    client = await proxy.login(options="-c consent.purpose=service", TimeZone="Asia/Tokyo")
    proxy.planner.rewrite = _shows
    await client.query("SET timezone TO 'UTC'")
    await client.query("SET consent.purpose = 'newsletter'")
    if is_extended:
        client.send(m.parse(b"", reset.encode()), m.bind(b"", b""), m.execute(b""), m.SYNC_MESSAGE)
        seen = [kind for kind, _ in await client.until_ready() if kind != "S"]
        assert "".join(seen) == "12CZ"
    else:
        seen = [kind for kind, _ in await client.query(reset) if kind not in "STD"]
        assert "".join(seen) in ("CZ", "CCZ")
    assert rows(await client.query("SELECT PURPOSE")) == [[b"service"]]
    assert rows(await client.query("SHOW consent.purpose")) == [[b"service"]]
    assert rows(await client.query("SHOW timezone")) == [[b"Asia/Tokyo"]]
    assert rows(await client.query("SHOW search_path")) == [[b"public"]]
    assert rows(await client.query("SHOW default_transaction_read_only")) == [[b"on"]]


async def test_the_path_follows_transactions(proxy: Proxy) -> None:
    client = await proxy.login()
    proxy.planner.rewrite = _shows
    await client.query("BEGIN")
    await client.query("SET search_path TO pg_catalog")
    assert await _path(client) == (b"pg_catalog", b"pg_catalog")
    await client.query("SAVEPOINT x")
    await client.query("SET LOCAL search_path TO public")
    assert await _path(client) == (b"public", b"public")
    await client.query("ROLLBACK TO x")
    assert await _path(client) == (b"pg_catalog", b"pg_catalog")
    await client.query("ROLLBACK")
    assert await _path(client) == (b"public", b"public")
    await client.query("BEGIN")
    await client.query("SET LOCAL search_path TO pg_catalog")
    await client.query("COMMIT")
    assert await _path(client) == (b"public", b"public")
    await client.query("SET search_path TO pg_catalog")
    assert await _path(client) == (b"pg_catalog", b"pg_catalog")
    await client.query("RESET search_path")
    assert await _path(client) == (b"public", b"public")


async def test_a_path_set_in_a_text_that_fails_is_taken_back(proxy: Proxy) -> None:
    client = await proxy.login()
    proxy.planner.rewrite = _shows
    await client.query("SET search_path TO pg_catalog; SELECT 1/0")
    assert await _path(client) == (b"public", b"public")
    client.send(m.parse(b"", b"SET search_path TO pg_catalog"), m.bind(b"", b""), m.execute(b""))
    client.send(m.parse(b"", b"SELECT 1/0"), m.bind(b"", b""), m.execute(b""), m.SYNC_MESSAGE)
    assert kinds(await client.until_ready()).count("E") == 1
    assert await _path(client) == (b"public", b"public")


async def test_a_discard_all_that_fails_with_its_transaction_leaves_the_session(
    proxy: Proxy,
) -> None:
    client = await proxy.login()
    await client.query("SET consent.purpose = 'service'")
    await client.query("BEGIN; SELECT 1/0")
    assert error(await client.query("DISCARD ALL"))["C"] == "25P02"
    assert kinds(await client.query("ROLLBACK")) == "CZ"
    assert rows(await client.query("SHOW consent.purpose")) == [[b"service"]]
    assert "E" not in kinds(await client.query("DISCARD ALL"))
    assert rows(await client.query("SHOW consent.purpose")) == [[b"newsletter"]]


async def test_what_reads_behind_a_reset_in_one_text_is_refused(proxy: Proxy) -> None:
    client = await proxy.login()
    await client.query("SET consent.purpose = 'service'")
    fields = error(await client.query("RESET ALL; SELECT a FROM people"))
    assert fields["C"] == "0A000"
    assert not proxy.log.of("access.intent")


def test_release_and_nested_savepoints_restore_as_postgresql_does() -> None:
    settings = SessionSettings(Context(purpose=None, search_path=("a",)))
    settings.set("search_path", "b")
    settings.savepoint("x")
    settings.set("search_path", "c")
    settings.savepoint("y")
    settings.set("search_path", "d", is_local=True)
    settings.release("y")
    assert settings.current.search_path == ("d",)
    settings.rollback_to("x")
    assert settings.current.search_path == ("b",)
    settings.commit()
    assert settings.current.search_path == ("b",)
    settings.rollback()
    assert settings.current.search_path == ("b",)


def test_savepoints_end_with_their_transaction() -> None:
    settings = SessionSettings(Context(purpose=None, search_path=("a",)))
    settings.savepoint("x")
    settings.commit()
    settings.set("search_path", "b")
    settings.rollback_to("x")
    assert settings.current.search_path == ("b",)
