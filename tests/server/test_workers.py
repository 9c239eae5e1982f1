"""Several workers behind the same ports: each with its own log, and together one proxy."""

from __future__ import annotations

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg
import pytest

from proxy.access_log.segments import log_folders
from tests.server.place import Gate, Place, Running, eventually

TWO = ("--workers", "2")
# More connections than chance could give to one worker of two: the odds are 2 to the power of 29.
ENOUGH = 30


def workers_of(running: Running) -> dict[int, psutil.Process]:
    """The workers' processes by their number, found by who holds which log."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.Process(running.process.pid).children():
        for file in process.open_files():
            for log in log_folders(running.place.folder / "access-log"):
                if file.path.startswith(f"{log}/"):
                    found[int(log.name.removeprefix("worker-"))] = process
    return found


def worker_of(connection: psycopg.Connection[object]) -> int:
    """The number in a cancel key names the worker."""
    return connection.info.backend_pid >> 20


def test_both_workers_answer_and_each_has_its_own_log(place: Place) -> None:
    with place.serving(*TWO) as running:
        sessions = [running.connect() for _ in range(ENOUGH)]
        assert {worker_of(each) for each in sessions} == {0, 1}
        for session in sessions:
            assert len(session.execute("SELECT id FROM crm.people").fetchall()) == 3
            session.close()
        assert {running.get("/readyz")[0] for _ in range(ENOUGH)} == {200}
        assert running.ready["pid"] == running.process.pid
    logs = {record["log"] for record in place.records("access.intent")}
    assert logs == {"worker-0", "worker-1"}
    assert len(place.records("access.intent")) == ENOUGH
    assert [each["seal"] for each in place.records("log.sealed")] == ["closed", "closed"]
    assert "intact" in place.command("log", "verify").stdout


def test_a_cancel_request_reaches_the_worker_that_it_is_for(place: Place) -> None:
    gate = Gate(place)
    with place.serving(*TWO) as running, ThreadPoolExecutor() as pool:
        # Every time, chance decides which worker gets the request. None gets lost.
        for _ in range(8):
            session = running.connect()
            asked = pool.submit(session.execute, "SELECT id FROM crm.people")
            gate.wait_for_statement()
            session.cancel()
            assert isinstance(asked.exception(60), psycopg.errors.QueryCanceled)
            session.close()
        gate.open()


def test_one_page_of_metrics_tells_of_all_workers(place: Place) -> None:
    token = (place.folder / "token-of-prometheus").read_text()
    with place.serving(*TWO) as running:
        sessions = [running.connect() for _ in range(ENOUGH)]
        assert {worker_of(each) for each in sessions} == {0, 1}
        for session in sessions:
            session.execute("SELECT id FROM crm.people")
            session.close()
        mine = 'door="postgres",purpose="newsletter",state="complete",tool="mailer"'
        expected = {
            f"consent_proxy_statements_total{{{mine}}}": ENOUGH,
            'consent_proxy_statement_seconds_count{door="postgres"}': ENOUGH,
            "consent_proxy_leases_total": ENOUGH,
            "consent_proxy_workers": 2,
            "consent_proxy_ready": 1,
        }
        for _ in range(6):  # whichever worker answers
            assert {line: running.metric(line, token) for line in expected} == expected


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_a_worker_that_ended_is_started_again(place: Place, number: signal.Signals) -> None:
    with place.serving(*TWO) as running:
        before = workers_of(running)
        before[0].send_signal(number)
        eventually(lambda: not before[0].is_running(), "the worker's end")
        # Meanwhile the other one answers all.
        assert {running.state_of("SELECT 1") for _ in range(5)} == {""}
        eventually(lambda: set(workers_of(running)) == {0, 1}, "the worker that is back")
        eventually(lambda: _has_both(running), "clients at both")
        assert workers_of(running)[1].pid == before[1].pid
    assert "started again" in running.told
    assert "intact" in place.command("log", "verify").stdout


def _has_both(running: Running) -> bool:
    sessions = [running.connect() for _ in range(ENOUGH)]
    found = {worker_of(each) for each in sessions}
    for each in sessions:
        each.close()
    return found == {0, 1}


def test_a_sealed_worker_takes_no_more_clients_and_the_other_goes_on(place: Place) -> None:
    with place.serving(*TWO) as running:
        sessions = [running.connect() for _ in range(ENOUGH)]
        (sealed, *_), healthy = (
            [each for each in sessions if worker_of(each) == number] for number in (0, 1)
        )
        # Its log is taken away: from then on no record of it would be found.
        log = place.folder / "access-log" / "worker-0"
        log.rename(place.folder / "taken-away")
        eventually(lambda: "access log sealed" in running.told, "the seal")
        with pytest.raises(psycopg.Error) as refused:
            sealed.execute("SELECT id FROM crm.people")
        assert refused.value.sqlstate == "58030"
        assert len(healthy[0].execute("SELECT id FROM crm.people").fetchall()) == 3
        for each in sessions:
            each.close()
        assert {running.state_of("SELECT id FROM crm.people") for _ in range(ENOUGH)} == {""}
        assert {running.get("/readyz")[0] for _ in range(ENOUGH)} == {200}


def test_the_workers_of_a_killed_supervisor_end_in_order(place: Place) -> None:
    with place.serving(*TWO) as running:
        workers = workers_of(running)
        running.process.kill()
        running.process.wait()
        psutil.wait_procs(workers.values(), timeout=60)
        assert not any(each.is_running() for each in workers.values())
    assert [each["seal"] for each in place.records("log.sealed")] == ["closed", "closed"]


def test_a_signal_to_the_whole_group_drains(place: Place) -> None:
    """As systemd ends a service, and Ctrl-C a command at a terminal."""
    for number in (signal.SIGTERM, signal.SIGINT):
        gate = Gate(place)
        with place.serving(*TWO) as running, ThreadPoolExecutor() as pool:
            asked = pool.submit(running.ask, "SELECT id FROM crm.people")
            gate.wait_for_statement()
            for process in (*workers_of(running).values(), psutil.Process(running.process.pid)):
                process.send_signal(number)
            threading.Timer(0.5, gate.open).start()
            assert len(asked.result(60)) == 3
            assert running.process.wait(60) == 0, running.told


def test_the_second_sigterm_ends_all_workers_at_once(place: Place) -> None:
    place.write_config(limits={"drain_s": 3600})
    gate = Gate(place)
    with place.serving(*TWO) as running, ThreadPoolExecutor() as pool:
        workers = workers_of(running)
        asked = pool.submit(running.ask, "SELECT id FROM crm.people")
        gate.wait_for_statement()
        running.signal(signal.SIGTERM)
        eventually(lambda: running.get("/healthz")[0] == 0, "closed doors")
        running.signal(signal.SIGTERM)
        assert running.process.wait(60) == 1
        psutil.wait_procs(workers.values(), timeout=60)
        assert not any(each.is_running() for each in workers.values())
        assert isinstance(asked.exception(60), psycopg.OperationalError)
        assert not running.ready_file.exists()
    gate.open()


def test_sigterm_while_workers_start_ends_them(place: Place) -> None:
    with place.process("serve", *TWO) as running:
        supervisor = psutil.Process(running.process.pid)
        eventually(lambda: len(supervisor.children()) >= 2, "workers")
        running.signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
        assert "Traceback" not in running.told
        assert not running.ready_file.exists()


def test_application_log_tells_which_worker_speaks(place: Place) -> None:
    with place.serving(*TWO) as running:
        pass
    lines = [json.loads(line) for line in running.told.splitlines() if line.startswith("{")]
    assert {line["worker"] for line in lines if line["event"] == "ready"} == {0, 1}
    assert os.getpid() not in {line.get("pid") for line in lines}


@pytest.mark.parametrize("workers", [(), TWO], ids=["one", "two"])
def test_a_proxy_starts_again_at_once_on_the_same_ports(
    place: Place, workers: tuple[str, ...]
) -> None:
    ready: dict[str, str] = {}
    for _ in range(2):
        with place.serving(*workers) as running:
            # Its end closes them first: the system keeps what is left of them for a minute.
            sessions = [running.connect() for _ in range(4)]
            assert {running.get("/healthz")[0]} == {200}
            ready = running.ready
        assert all(each.info.backend_pid for each in sessions)
        http = ready["http"].removeprefix("http://")
        place.write_config(listen={"postgres": ready["postgres"], "http": http})
