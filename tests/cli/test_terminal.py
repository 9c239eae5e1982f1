"""At a terminal and away from one: prompts, colours, and readers that stop reading."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.cli import output
from proxy.secrets import Secrets
from tests.cli.conftest import CLEAN, DEALERSHIP, Place

COMMAND = [sys.executable, "-c", "from proxy.cli.main import main; main()"]


def _at_terminal(arguments: list[str], answers: list[str], environment: dict[str, str]) -> str:
    """Run the command with a terminal of its own, answer each prompt; what the terminal showed."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.clear()
        os.environ.update(CLEAN, PYTHONPATH=str(Path(__file__).parents[2]), TERM="xterm")
        os.environ.update(environment)
        os.execv(sys.executable, [*COMMAND, *arguments])
    shown = b""
    while True:
        readable, _, _ = select.select([terminal], [], [], 60)
        assert readable, shown
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if answers and shown.count(b": ") > shown.count(b"\r\n") and shown.endswith(b": "):
            os.write(terminal, f"{answers.pop(0)}\n".encode())
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return f"{shown.decode()}exit {os.waitstatus_to_exitcode(status)}"


def test_a_password_is_asked_for_twice_and_never_shown(unprepared: Place) -> None:
    unprepared.invoke("tool", "add", "mailer")
    environment = {"CONSENT_PROXY_CONFIG": str(unprepared.config)}
    command = ["tool", "password", "mailer"]
    told = _at_terminal(command, ["much-secret", "much-secret"], environment)
    assert told.endswith("exit 0")
    assert "much-secret" not in told
    assert Secrets.load(unprepared.folder / "secrets.yaml").scram_verifier("mailer") is not None
    differ = _at_terminal(command, ["one", "another"], environment)
    assert "not the same" in differ
    assert differ.endswith("exit 2")


def test_colours_are_for_terminals_and_not_where_they_are_unwanted() -> None:
    command = ["policy", "matrix", str(DEALERSHIP), "--tool", "site"]
    assert "\x1b[" in _at_terminal(command, [], {})
    check = ["policy", "check", "/nowhere"]
    assert "\x1b[" in _at_terminal(check, [], {})
    assert "\x1b[3" not in _at_terminal(check, [], {"NO_COLOR": "1"})
    piped = subprocess.run(
        [*COMMAND, *command], capture_output=True, check=True, env=_environment()
    )
    assert b"\x1b[" not in piped.stdout


def test_a_reader_that_stops_reading_is_no_mistake() -> None:
    with subprocess.Popen(
        [*COMMAND, "policy", "matrix", str(DEALERSHIP), "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_progress_is_shown_only_once_the_work_takes_long(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with output.progress("importing") as show:
        show(1, 2)
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(output, "PROGRESS_AFTER_S", -1.0)
    with output.progress("importing") as show:
        show(1, 2)
    assert "importing" in capfd.readouterr().err
    monkeypatch.setattr(output, "PROGRESS_AFTER_S", 0.0)
    started = threading.Event()
    monkeypatch.setattr("rich.status.Status.start", lambda _: started.set())
    with output.waiting("verifying"):
        assert started.wait(30)


def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def export() -> None:
        with output.destination(tmp_path / "out") as out:
            out.write("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        export()
    assert list(tmp_path.iterdir()) == []


def _environment() -> dict[str, str]:
    return {**CLEAN, "PYTHONPATH": str(Path(__file__).parents[2])}
