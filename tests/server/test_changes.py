"""Policy, secrets and catalog change while the proxy runs: what holds from then on."""

from __future__ import annotations

import json
import signal

import psycopg
import pytest

from tests.server.place import POLICY, Place, Running, eventually

PEOPLE = "SELECT id, email FROM crm.people ORDER BY id"
MASKED = [(1, "a***@example.com"), (2, "b***@example.com"), (3, "e***@example.com")]
HIDDEN = [(1, None), (2, None), (3, None)]
STRICTER = POLICY.replace("user.email: {mask: email}", 'user.email: {mask: "null"}')

# Every way that a platform has: with one worker and with two, each of which must follow.
WORKERS = pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "two"])


def everywhere(running: Running, sql: str, answer: object, tool: str = "mailer") -> bool:
    """whether six connections, which the kernel spreads over the workers, all say the same."""
    return all(running.ask(sql, tool) == answer for _ in range(6))


def is_lost(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


@WORKERS
def test_a_changed_policy_is_in_force_for_open_sessions_too(
    place: Place, workers: tuple[str, ...]
) -> None:
    with place.serving(*workers) as running, running.connect() as session:
        assert session.execute(PEOPLE).fetchall() == MASKED
        place.write_policy(STRICTER)
        wanted = 2 * max(1, len(workers))
        eventually(lambda: len(place.records("policy.loaded")) == wanted, "the stricter policy")
        eventually(lambda: everywhere(running, PEOPLE, HIDDEN), "the stricter policy in force")
        # Prepared by the driver under the older policy, or not: what counts is when it runs.
        assert session.execute(PEOPLE, prepare=True).fetchall() == HIDDEN
    revisions = {record["policy"] for record in place.records("policy.loaded")}
    assert len(revisions) == 2


def test_sighup_reads_again_what_a_clock_could_not_tell_apart(place: Place) -> None:
    with place.serving() as running:
        assert running.ask(PEOPLE) == MASKED
        place.write_policy(STRICTER)
        running.signal(signal.SIGHUP)
        eventually(lambda: running.ask(PEOPLE) == HIDDEN, "the stricter policy")


def test_a_folder_whose_files_are_links_is_followed(place: Place) -> None:
    """As Kubernetes mounts a ConfigMap: all files change with one link."""
    folder = place.policy.parent
    for name, text in (("..old", POLICY), ("..new", STRICTER)):
        (folder / name).mkdir()
        (folder / name / "policy.yaml").write_text(text)
    place.policy.unlink()
    (folder / "..data").symlink_to("..old")
    place.policy.symlink_to("..data/policy.yaml")
    with place.serving() as running:
        assert running.ask(PEOPLE) == MASKED
        (folder / "..tmp").symlink_to("..new")
        (folder / "..tmp").replace(folder / "..data")
        eventually(lambda: running.ask(PEOPLE) == HIDDEN, "the stricter policy")


@WORKERS
def test_a_broken_policy_leaves_the_last_good_one_in_force_and_shows(
    place: Place, workers: tuple[str, ...]
) -> None:
    token = (place.folder / "token-of-prometheus").read_text()
    sample = 'consent_proxy_reloads_total{result="rejected",what="policy"}'
    with place.serving(*workers) as running:
        place.write_policy("policy: [")
        wanted = max(1, len(workers))
        eventually(lambda: len(place.records("policy.rejected")) == wanted, "a rejected policy")
        assert running.get("/readyz")[0] == 503
        assert running.checks()["policy"] is False
        assert running.get("/healthz")[0] == 200
        assert running.metric(sample, token) == wanted
        assert everywhere(running, PEOPLE, MASKED)
        # Whoever asks /readyz is nobody in particular: files and lines are in our own log.
        assert "policy.yaml" not in running.get("/readyz")[1]
        assert "policy.yaml:1" in running.told
        place.write_policy(POLICY)
        eventually(lambda: running.get("/readyz")[0] == 200, "readiness")
        assert everywhere(running, PEOPLE, MASKED)


def test_a_policy_waits_for_init(place: Place) -> None:
    newer = POLICY.replace(
        "purposes:\n", "purposes:\n  calls: {basis: consent, reads: [user.name]}\n"
    ).replace("desk: {purposes: [service]}", "desk: {purposes: [calls]}")
    with place.serving() as running:
        place.write_policy(newer)
        eventually(lambda: place.records("policy.rejected"), "a rejected policy")
        assert running.checks()["policy"] is False
        assert running.ask("SELECT name FROM crm.people WHERE id = 1", "desk") == [("Ana Ruiz",)]
        place.command("init", "--admin", place.url("postgres"))
        eventually(lambda: running.checks()["policy"], "the policy in force")
        assert running.ask("SELECT name FROM crm.people WHERE id = 1", "desk") == [("A.",)]
    # It was tried again and again, and told once.
    assert len(place.records("policy.rejected")) == 1


def test_a_tool_that_lost_a_purpose_is_out(place: Place) -> None:
    with place.serving() as running, running.connect() as mailer, running.connect("desk") as desk:
        mailer.execute("SET consent.purpose = 'service'")
        assert mailer.execute("SELECT name FROM crm.people WHERE id = 2").fetchall() == [
            ("Ben Cole",)
        ]
        place.write_policy(POLICY.replace("[newsletter, service]", "[newsletter]"))
        eventually(lambda: is_lost(mailer), "the end of the session")
        with running.connect() as again, pytest.raises(psycopg.errors.InsufficientPrivilege):
            again.execute("SET consent.purpose = 'service'")
        assert not is_lost(desk)


@WORKERS
def test_a_disabled_tool_is_out(place: Place, workers: tuple[str, ...]) -> None:
    with place.serving(*workers) as running:
        sessions = [running.connect() for _ in range(6)]
        other = running.connect("desk")
        place.command("tool", "disable", "mailer")
        eventually(lambda: all(is_lost(each) for each in sessions), "the end of the sessions")
        eventually(lambda: _is_refused(running), "refused logins")
        assert not is_lost(other)
        other.close()


def test_a_new_password_ends_sessions_of_the_old_one(place: Place) -> None:
    with place.serving() as running:
        session = running.connect()
        place.command("tool", "password", "mailer", stdin="another password of some length\n")
        eventually(lambda: is_lost(session), "the end of the session")
        assert _is_refused(running)
        url = running.url(password="another password of some length")
        with psycopg.connect(url) as again:
            assert again.execute("SELECT 1").fetchall() == [(1,)]


def test_broken_secrets_leave_the_last_good_ones_in_force_and_show(place: Place) -> None:
    good = place.secrets.read_bytes()
    with place.serving() as running:
        place.secrets.write_text("credentials: 7\n")
        eventually(lambda: not running.checks()["secrets"], "the check that fails")
        assert running.ask("SELECT 1") == [(1,)]
        place.secrets.write_bytes(good)
        eventually(lambda: running.get("/readyz")[0] == 200, "readiness")


def _is_refused(running: Running) -> bool:
    try:
        running.connect().close()
    except psycopg.OperationalError as error:
        return "password authentication failed" in str(error)
    return False


# --- the catalog -----------------------------------------------------------------------------


def catalog_seen(running: Running) -> bool:
    """Whether the proxy has seen a change of the catalog (it says so once per change)."""
    return "catalog read again" in running.told


def test_a_column_that_is_added_stays_hidden(place: Place) -> None:
    with place.serving() as running, running.connect() as session:
        before = session.execute("SELECT * FROM crm.people WHERE id = 1").fetchall()
        place.run_sql("ALTER TABLE crm.people ADD iban text DEFAULT 'ES00'")
        eventually(lambda: catalog_seen(running), "the new catalog")
        assert session.execute("SELECT * FROM crm.people WHERE id = 1").fetchall() == before
        assert running.state_of("SELECT iban FROM crm.people") == "42703"


def test_a_column_that_is_dropped_is_gone_and_the_others_are_there(place: Place) -> None:
    with place.serving() as running:
        place.run_sql("ALTER TABLE crm.people DROP city")
        eventually(lambda: running.state_of(PEOPLE) == "", "statements that run")
        eventually(lambda: running.state_of("SELECT city FROM crm.people") == "42703", "its end")
        assert running.ask(PEOPLE) == MASKED


def test_a_mask_that_no_longer_fits_puts_the_table_out_of_service(place: Place) -> None:
    with place.serving() as running:
        place.run_sql("ALTER TABLE crm.people ALTER email TYPE bytea USING email::bytea")
        seen: list[str] = []

        def is_out() -> bool:
            seen.append(running.state_of(PEOPLE))
            return seen[-1] == "42501"

        eventually(is_out, "a table out of service")
        assert "" not in seen
        assert running.ask("SELECT city FROM crm.cities ORDER BY 1") == [("Lyon",), ("Madrid",)]
        place.run_sql(
            "ALTER TABLE crm.people ALTER email TYPE varchar(254) USING convert_from(email, 'UTF8')"
        )
        eventually(lambda: running.state_of(PEOPLE) == "", "the table back in service")
        assert running.ask(PEOPLE) == MASKED


def test_a_key_that_is_no_longer_unique_puts_the_table_out_of_service(place: Place) -> None:
    with place.serving() as running:
        assert running.ask(PEOPLE) == MASKED
        place.run_sql("ALTER TABLE crm.people DROP CONSTRAINT people_pkey")
        eventually(lambda: running.state_of(PEOPLE) == "42501", "a table out of service")
        assert running.ask("SELECT count(*) FROM crm.cities") == [(2,)]
        place.run_sql("ALTER TABLE crm.people ADD PRIMARY KEY (id)")
        eventually(lambda: running.state_of(PEOPLE) == "", "the table back in service")


def test_a_table_of_the_same_name_and_other_columns_shows_what_is_listed(place: Place) -> None:
    with place.serving() as running, running.connect() as session:
        session.execute(PEOPLE, prepare=True)
        place.run_sql(
            "ALTER TABLE crm.people RENAME TO old; CREATE TABLE crm.people ("
            " secret text, email varchar(254), id bigint PRIMARY KEY, name text, city text);"
            "INSERT INTO crm.people VALUES ('hidden', 'new@example.com', 1, 'New Name', 'Rome');"
            "GRANT SELECT ON crm.people TO consent_reader"
        )
        eventually(lambda: catalog_seen(running), "the new catalog")
        expected = [("n***@example.com", 1, "N.", None)]
        assert session.execute("SELECT * FROM crm.people").fetchall() == expected


# --- the database goes away ------------------------------------------------------------------


def test_readiness_is_a_document_of_checks(place: Place) -> None:
    with place.serving() as running:
        document = json.loads(running.get("/readyz")[1])
        assert document["ready"] is True
        names = [each["name"] for each in document["checks"]]
        assert names == ["access_log", "policy", "secrets", "upstream", "catalog"]
