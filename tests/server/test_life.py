"""Start, ready file, drain, end: what whoever runs the proxy relies on."""

from __future__ import annotations

import json
import signal
import socket
import stat
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.server.place import Gate, Place, Running, eventually


def ask(running: Running, gate: Gate, pool: ThreadPoolExecutor) -> Future[int]:
    """How many people a statement finds that has begun, and waits at the gate."""
    asked: Future[int] = pool.submit(lambda: len(running.ask("SELECT id FROM crm.people")))
    gate.wait_for_statement()
    return asked


def test_both_doors_answer_when_the_ready_file_appears(place: Place) -> None:
    with place.serving() as running:
        assert stat.S_IMODE(running.ready_file.stat().st_mode) == 0o600
        assert running.ask("SELECT id, name FROM crm.people ORDER BY id") == [
            (1, "A."), (2, "B."), (3, "E."),
        ]  # fmt: skip
        assert running.get("/readyz")[0] == 200
        assert running.get("/healthz")[0] == 200
        assert running.ready["database"] == place.database
        assert running.ready["config"] == str(place.config)
        assert running.ready["folder"] == str(place.folder)
        assert running.ready["access_log"] == str(place.folder / "access-log")
        assert running.ready["pid"] == running.process.pid
        assert "password" not in json.dumps(running.ready)
        assert 0 not in (running.address[1], int(running.ready["http"].rsplit(":", 1)[1]))
        # Written beside it and renamed: whoever sees it sees all of it, and nothing is left over.
        assert not list(place.folder.glob(".ready.json*"))
    assert not running.ready_file.exists()


def test_a_running_statement_ends_after_sigterm_and_nobody_new_comes_in(place: Place) -> None:
    with place.serving() as running, ThreadPoolExecutor() as pool:
        idle = running.connect()
        gate = Gate(place)
        asked = ask(running, gate, pool)
        running.signal(signal.SIGTERM)
        eventually(lambda: not _is_listened_on(running.address), "a closed door")
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
        gate.open()
        assert asked.result() == 3
        assert running.process.wait(60) == 0
    (last,) = place.records("log.sealed")
    assert last["seal"] == "closed"
    assert "intact" in place.command("log", "verify").stdout


def test_a_statement_that_does_not_end_is_cut_after_the_drain(place: Place) -> None:
    place.write_config(limits={"drain_s": 0.2})
    with place.serving() as running, ThreadPoolExecutor() as pool:
        gate = Gate(place)
        asked = ask(running, gate, pool)
        assert running.end() == 0
        gate.open()
        assert isinstance(asked.exception(), psycopg.OperationalError)
    assert [each["seal"] for each in place.records("log.sealed")] == ["closed"]


def test_the_second_sigterm_ends_at_once(place: Place) -> None:
    place.write_config(limits={"drain_s": 3600})
    with place.serving() as running, ThreadPoolExecutor() as pool:
        gate = Gate(place)
        asked = ask(running, gate, pool)
        running.signal(signal.SIGTERM)
        eventually(lambda: not _is_listened_on(running.address), "a closed door")
        running.signal(signal.SIGTERM)
        assert running.process.wait(60) == 1
        gate.open()
        assert isinstance(asked.exception(), psycopg.OperationalError)


def test_the_log_of_a_killed_proxy_goes_on_where_it_ended(place: Place) -> None:
    with place.serving() as running:
        running.ask("SELECT id FROM crm.people")
        running.process.kill()
        running.process.wait()
    # What it left behind does not hinder the next one.
    assert running.ready_file.exists()
    running.ready_file.unlink()
    with place.serving() as again:
        again.ask("SELECT id FROM crm.people")
    assert len(place.records("access.intent")) == 2
    assert "intact" in place.command("log", "verify").stdout


def test_a_second_proxy_does_not_write_into_the_log_of_the_first(place: Place) -> None:
    with place.serving():
        assert "access-log" in place.fails()


def test_ctrl_c_ends_like_sigterm(place: Place) -> None:
    with place.serving() as running:
        running.signal(signal.SIGINT)
        assert running.process.wait(60) == 0


def test_sigterm_while_it_starts_ends_it_in_order(place: Place) -> None:
    with place.process("serve") as running:
        eventually(lambda: (place.folder / "access-log").exists(), "a log that is opened")
        running.signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
    assert [each["seal"] for each in place.records("log.sealed")] == ["closed"]
    assert not running.ready_file.exists()


def test_many_clients_at_once_are_all_answered(place: Place) -> None:
    with place.serving() as running:
        errors: list[BaseException] = []

        def ask_once() -> None:
            try:
                assert len(running.ask("SELECT id FROM crm.people")) == 3
            except BaseException as error:  # noqa: BLE001 - told below, by the test's own thread
                errors.append(error)

        threads = [threading.Thread(target=ask_once) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
    assert len(place.records("access.intent")) == 30


def test_variables_win_over_the_file(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other-log"
    with place.serving(
        CONSENT_PROXY_ACCESS_LOG_FOLDER=str(other), CONSENT_PROXY_LIMITS_STATEMENT_BYTES="1KiB"
    ) as running:
        assert running.ready["access_log"] == str(other)
        assert running.state_of("SELECT 1" + " " * 1100) == "54000"
    assert other.is_dir()
    assert not (place.folder / "access-log").exists()


def test_everything_can_come_from_variables(place: Place) -> None:
    place.config.unlink()
    variables = {
        "LISTEN_POSTGRES": "127.0.0.1:0",
        "LISTEN_HTTP": "127.0.0.1:0",
        "UPSTREAM_URL": place.url("consent_reader"),
        "CONSENT_URL": place.url("consent_writer"),
        "POLICY": "policy",
        "SECRETS": "secrets.yaml",
        "ACCESS_LOG_FOLDER": "access-log",
    }
    named = {f"CONSENT_PROXY_{name}": value for name, value in variables.items()}
    with place.serving(CONSENT_PROXY_CONFIG=None, **named) as running:
        assert running.ready["config"] is None


def _is_listened_on(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=60):
            return True
    except ConnectionRefusedError:
        return False
