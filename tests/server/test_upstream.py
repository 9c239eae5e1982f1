"""The database behind: away and back, a standby, an older version, with TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import trustme

from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from tests.catalog.servers import OLDER_BINARIES
from tests.server.conftest import place_in, prepare
from tests.server.place import Gate, Place, eventually
from tests.server.servers import OlderPostgres, Standby, has_older, older_postgres

PEOPLE = "SELECT id, name, email FROM crm.people ORDER BY id"
MASKED = [
    (1, "A.", "a***@example.com"),
    (2, "B.", "b***@example.com"),
    (3, "E.", "e***@example.com"),
]
ANA = [(1, "Ana Ruiz", "ana@example.com"), *MASKED[1:]]


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server that a test may stop."""
    folder = tmp_path_factory.mktemp("own")
    with EmbeddedPostgres(folder / "server", port=0, settings=WITHOUT_DURABILITY) as server:
        yield server


def test_a_database_that_restarts_is_told_and_comes_back_by_itself(
    own_server: EmbeddedPostgres, files: Path, tmp_path: Path
) -> None:
    passwords = {"consent_reader": "reads", "consent_writer": "writes"}
    own_server.run("CREATE DATABASE crm")
    prepare(own_server.url("crm"), files, passwords)
    place = place_in(tmp_path, files, own_server, "crm")
    sections = {}
    for section, role in (("upstream", "consent_reader"), ("consent", "consent_writer")):
        (tmp_path / role).write_text(passwords[role])
        url = f"postgresql://{role}@127.0.0.1:{own_server.port}/crm"
        sections[section] = {"url": url, "password_file": role}
    place.write_config(**sections)
    with place.serving() as running:
        open_session = running.connect()
        assert open_session.execute(PEOPLE).fetchall() == MASKED
        idle_session = running.connect()
        own_server.stop()
        with pytest.raises(psycopg.OperationalError) as lost:
            open_session.execute(PEOPLE)
        assert lost.value.sqlstate in {"57P01", "08006", "57P03", None}
        # A session that holds no connection yet is told when it asks.
        with pytest.raises(psycopg.Error) as refused:
            idle_session.execute(PEOPLE)
        assert "the database does not answer" in str(refused.value)
        assert "127.0.0.1" not in str(refused.value)
        eventually(lambda: running.checks().get("upstream") is False, "unreadiness")
        assert running.get("/readyz")[0] == 503
        assert running.get("/healthz")[0] == 200
        own_server.start()
        eventually(lambda: running.get("/readyz")[0] == 200, "readiness")
        assert running.ask(PEOPLE) == MASKED
        place.command("consent", "record", "--subject", "1", "--purpose", "newsletter")
        assert running.ask(PEOPLE) == ANA
    intents = {record["id"] for record in place.records("access.intent")}
    assert intents == {record["id"] for record in place.records("access.outcome")}


def test_a_standby_is_refused(own_server: EmbeddedPostgres, files: Path, tmp_path: Path) -> None:
    own_server.run("CREATE DATABASE crm")
    prepare(own_server.url("crm"), files)
    with Standby(tmp_path / "standby", own_server) as standby:
        place = place_in(tmp_path, files, standby, "crm")
        assert "standby" in place.fails()
        assert "standby" in place.fails("--workers", "2")


if has_older():

    @pytest.fixture(scope="module")
    def authority() -> trustme.CA:
        return trustme.CA()

    # A name that is not known to be this machine's own, and is: what is beyond loopback needs TLS.
    ELSEWHERE = "127.1"

    @pytest.fixture(scope="module")
    def older(authority: trustme.CA) -> Iterator[OlderPostgres]:
        with older_postgres() as server:
            issued = authority.issue_cert(ELSEWHERE)
            issued.private_key_pem.write_to_path(server.folder / "tls.key")
            issued.cert_chain_pems[0].write_to_path(server.folder / "tls.pem")
            (server.folder / "tls.key").chmod(0o600)
            for name in ("tls.key", "tls.pem"):
                server.own(server.folder / name)
            server.settings = {
                "ssl": "on",
                "ssl_cert_file": str(server.folder / "tls.pem"),
                "ssl_key_file": str(server.folder / "tls.key"),
            }
            server.start()
            yield server

    @pytest.fixture
    def older_place(older: OlderPostgres, files: Path, tmp_path: Path) -> Iterator[Place]:
        """A prepared database on PostgreSQL 15, reached over its socket."""
        older.run("CREATE DATABASE crm")
        prepare(older.url("crm"), files, {"consent_reader": "reads", "consent_writer": "writes"})
        yield place_in(tmp_path, files, older, "crm")
        older.run("DROP DATABASE crm WITH (FORCE)")

    def test_an_older_postgresql_shows_the_same(older_place: Place) -> None:
        with older_place.serving() as running, running.connect() as session:
            assert session.info.server_version // 10000 == 15
            assert session.execute(PEOPLE).fetchall() == MASKED
            record = ("--subject", "1", "--purpose", "newsletter")
            older_place.command("consent", "record", *record)
            assert session.execute(PEOPLE).fetchall() == ANA
            with session.transaction(), session.cursor("people") as cursor:
                cursor.execute(PEOPLE)
                assert cursor.fetchone() == ANA[0]
            # The driver prepares it by now: the withdrawal holds for what was prepared before.
            for _ in range(6):
                session.execute(PEOPLE, prepare=True)
            older_place.command("consent", "withdraw", *record)
            assert session.execute(PEOPLE).fetchall() == MASKED
            assert running.state_of("SELECT secret FROM crm.people") == "42703"
        assert "intact" in older_place.command("log", "verify").stdout

    def test_the_psql_of_an_older_postgresql_describes_what_is_visible(older_place: Place) -> None:
        with older_place.serving() as running:
            said = subprocess.run(
                [OLDER_BINARIES / "psql", "-X", running.url()],
                input="\\d\n\\d crm.people\n\\dn\n\\l\nSELECT name FROM crm.people WHERE id = 1;\n",
                capture_output=True,
                text=True,
                check=True,
            )
        assert "ERROR" not in said.stderr
        assert "character varying(254)" in said.stdout
        assert "A." in said.stdout
        assert "secret" not in said.stdout
        assert "consent" not in said.stdout.replace("consent_reader", "")

    @pytest.fixture
    def distant(older_place: Place, older: OlderPostgres, authority: trustme.CA) -> Place:
        """The same database, reached as one on another machine is."""
        folder = older_place.folder
        authority.cert_pem.write_to_path(folder / "root.pem")
        sections = {}
        for section, role in (("upstream", "consent_reader"), ("consent", "consent_writer")):
            (folder / role).write_text({"upstream": "reads", "consent": "writes"}[section])
            url = f"postgresql://{role}@{ELSEWHERE}:{older.port}/crm?sslrootcert=root.pem"
            sections[section] = {"url": url, "password_file": role}
        older_place.write_config(**sections)
        return older_place

    def test_beyond_this_machine_all_goes_over_tls(distant: Place) -> None:
        with distant.serving() as running, running.connect() as session:
            distant.command("consent", "record", "--subject", "1", "--purpose", "newsletter")
            assert session.execute(PEOPLE).fetchall() == ANA
            with session.transaction(), session.cursor("people") as cursor:
                cursor.execute(PEOPLE)
                assert cursor.fetchall() == ANA
            states = distant.run_sql(
                "SELECT usename, bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                " WHERE usename LIKE 'consent%' GROUP BY 1 ORDER BY 1"
            )
            assert states.split() == ["consent_reader|t", "consent_writer|t"]
            gate = Gate(distant)
            with pytest.raises(psycopg.errors.QueryCanceled):
                _cancelled(session, gate)
            gate.open()

    def test_a_database_that_another_authority_vouches_for_is_refused(distant: Place) -> None:
        trustme.CA().cert_pem.write_to_path(distant.folder / "root.pem")
        assert "certificate verify failed" in distant.fails()

    def test_a_database_of_another_name_is_refused(distant: Place) -> None:
        text = distant.config.read_text().replace(ELSEWHERE, "127.0.1")  # the same machine
        distant.config.write_text(text)
        assert "certificate verify failed" in distant.fails()

    def _cancelled(session: psycopg.Connection[tuple[object, ...]], gate: Gate) -> None:
        """Run a statement that waits, and cancel it."""
        import threading

        def cancel() -> None:
            gate.wait_for_statement()
            session.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            session.execute(PEOPLE)
        finally:
            thread.join()
