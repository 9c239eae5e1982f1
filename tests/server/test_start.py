"""What keeps the proxy from starting: one clear message, and an exit code that says whose turn it
is (1: the policy's author, 2: whoever configures).
"""

from __future__ import annotations

import shutil
import socket

import psycopg
import pytest

from tests.server.place import POLICY, Place

# One worker tells it itself, of two the supervisor tells it, once.
ONE_OR_TWO = pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "two"])


@ONE_OR_TWO
def test_a_broken_policy(place: Place, workers: tuple[str, ...]) -> None:
    place.write_policy(POLICY.replace("basis: consent", "basis: perhaps"))
    assert "policy.yaml:10" in place.fails(*workers, exit_code=1)


def test_no_policy(place: Place) -> None:
    shutil.rmtree(place.policy.parent)
    assert "policy" in place.fails()


def test_an_empty_folder_of_policies(place: Place) -> None:
    place.policy.unlink()
    assert "policy" in place.fails(exit_code=1)


@ONE_OR_TWO
def test_a_database_that_does_not_answer(place: Place, workers: tuple[str, ...]) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://consent_reader@127.0.0.1:{taken.getsockname()[1]}/crm"
        place.write_config(upstream={"url": url})
        said = place.fails(*workers)
    assert url in said
    assert "can not be read" in said


def test_a_database_that_does_not_exist(place: Place) -> None:
    place.write_config(upstream={"url": place.postgres.url("nowhere", "consent_reader")})
    assert 'database "nowhere" does not exist' in place.fails()


def test_a_wrong_password(place: Place) -> None:
    (place.folder / "password").write_text("wrong\n")
    (place.folder / "password").chmod(0o600)
    url = f"postgresql://consent_reader@127.0.0.1:{place.postgres.port}/{place.database}"
    place.write_config(upstream={"url": url, "password_file": "password"})
    said = place.fails()
    assert "password authentication failed" in said
    assert "wrong" not in said


def test_a_database_that_init_never_saw(place: Place) -> None:
    place.run_sql("DROP SCHEMA consent CASCADE")
    assert "consent-proxy init" in place.fails()


@ONE_OR_TWO
def test_a_policy_that_the_ledger_is_not_prepared_for(
    place: Place, workers: tuple[str, ...]
) -> None:
    place.write_policy(
        POLICY.replace("purposes:\n", "purposes:\n  calls: {basis: consent, reads: [user.name]}\n")
    )
    said = place.fails(*workers)
    assert "purpose calls" in said
    assert "consent-proxy init" in said
    assert not (place.folder / "access-log").exists()


def test_a_port_that_is_in_use(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        place.write_config(listen={"postgres": address, "http": "127.0.0.1:0"})
        assert f"{address} can not be listened on" in place.fails()
        assert f"{address} can not be listened on" in place.fails("--workers", "2")
    # A start that failed leaves a log that ended in order.
    assert place.records("log.sealed")


def test_a_port_of_another_proxy_with_workers_is_not_shared_with_it(place: Place) -> None:
    with place.serving("--workers", "2") as running:
        other = dict(place.settings)
        place.write_config(
            listen={"postgres": running.ready["postgres"], "http": "127.0.0.1:0"},
            access_log={"folder": "other-log", "durability": "process"},
        )
        assert "can not be listened on" in place.fails("--workers", "2")
        place.settings = other


def test_secrets_that_others_can_read(place: Place) -> None:
    place.secrets.chmod(0o644)
    assert "chmod 600" in place.fails()


def test_no_secrets(place: Place) -> None:
    place.secrets.unlink()
    assert "tool add" in place.fails()


@ONE_OR_TWO
def test_a_ready_file_that_can_not_be_written(place: Place, workers: tuple[str, ...]) -> None:
    (place.folder / "file").touch()
    place.fails(*workers, "--ready-file", str(place.folder / "file" / "ready.json"))
    # By then the log was open: it is closed in order.
    assert {each["seal"] for each in place.records("log.sealed")} == {"closed"}


def test_an_unknown_setting(place: Place) -> None:
    place.write_config(limits={"drain": 1})
    assert "drain_s" in place.fails()


def test_doors_open_to_others_without_tls(place: Place) -> None:
    place.write_config(listen={"postgres": "0.0.0.0:0", "http": "127.0.0.1:0"})
    assert "TLS is required" in place.fails()


def test_doors_open_to_others_where_insecure_is_said(place: Place) -> None:
    place.write_config(listen={"postgres": "0.0.0.0:0", "http": "127.0.0.1:0", "insecure": True})
    with place.serving() as running:
        port = running.address[1]
        running.ready["postgres"] = f"127.0.0.1:{port}"
        assert running.ask("SELECT 1", sslmode="disable") == [(1,)]


def test_a_key_that_is_none(place: Place) -> None:
    (place.folder / "tls.pem").write_text("no certificate")
    place.write_config(
        listen={
            "postgres": "127.0.0.1:0",
            "http": "127.0.0.1:0",
            "tls": {"certificate": "tls.pem", "key": "tls.pem"},
        }
    )
    assert "tls.pem" in place.fails()


def test_a_role_that_may_not_read_what_the_policy_names(place: Place) -> None:
    place.run_sql("REVOKE SELECT ON crm.people FROM consent_reader")
    with place.serving() as running, pytest.raises(psycopg.errors.InsufficientPrivilege):
        running.ask("SELECT id FROM crm.people")
