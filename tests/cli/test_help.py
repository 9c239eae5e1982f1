"""Every command tells what it does; the reference says the same; nothing is imported for help."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from proxy.cli.main import app
from proxy.cli.reference import command_tree, reference
from tests.cli.conftest import Place, run

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
COMMANDS = [path for path, _ in command_tree(app)]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_a_help_text_and_names_its_options(path: tuple[str, ...]) -> None:
    told = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"}).stdout
    command = dict(command_tree(app))[path]
    assert command.help.strip().splitlines()[0] in told
    for parameter in command.params:
        for name in _names(parameter):
            assert name in told
    assert "\x1b[" not in told


def test_help_away_from_a_terminal_is_plain_text() -> None:
    told = run("--help", environment={"COLUMNS": "200"}).stdout
    assert "Exit codes: 0 done or yes" in told
    assert "\x1b[" not in told


def _names(parameter: Any) -> Iterator[str]:
    if parameter.param_type_name == "option" and not parameter.hidden:
        assert parameter.help, parameter.name
        assert parameter.is_flag or parameter.metavar, parameter.name
        yield from parameter.opts


def test_the_reference_is_what_the_commands_say() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(app), (
        "run: python -m proxy.cli.reference > docs/reference/cli.md"
    )


def test_every_command_of_the_design_is_there() -> None:
    assert {" ".join(path) for path in COMMANDS} >= {
        "serve", "demo", "init", "doctor", "explain",
        "policy check", "policy test", "policy schema", "policy matrix", "policy diff",
        "consent record", "consent refuse", "consent withdraw", "consent object",
        "consent restrict", "consent show", "consent import", "consent export",
        "tool add", "tool password", "tool token", "tool list", "tool disable",
        "log tail", "log search", "log verify", "log report", "log export",
    }  # fmt: skip


def test_every_command_that_needs_one_takes_a_configuration() -> None:
    without = {
        " ".join(path)
        for path, command in command_tree(app)
        if not any("--config" in parameter.opts for parameter in command.params)
    }
    groups = {"", "policy", "consent", "tool", "log"}
    assert without == groups | {"demo", "policy schema"}


def test_help_imports_nothing_that_talks_to_a_database() -> None:
    code = (
        "import sys\n"
        "from proxy.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncpg', 'sqlglot', 'pydantic', 'ruamel', 'aiohttp', 'postgast'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    import subprocess
    import sys

    told = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REFERENCE.parents[2])},
    )
    assert told.stdout.endswith("HEAVY []\n")


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("serve", "--workers", "0"), ("--nonsense",), ("consent", "record")],
)
def test_usage_that_means_nothing_ends_with_two(arguments: tuple[str, ...]) -> None:
    told = run(*arguments, exit_code=2)
    assert told.stdout == ""
    assert told.stderr


def test_a_configuration_that_is_wrong_ends_with_two_and_tells_everything(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("upstream: {url: nonsense}\npolicyy: x\n")
    for command in (["serve"], ["doctor"], ["tool", "list"], ["log", "tail"], ["policy", "check"]):
        told = run(*command, "--config", str(config), exit_code=2)
        assert "did you mean policy" in told.stderr
        assert told.stdout == ""
    run("serve", "--config", str(tmp_path / "none.yaml"), exit_code=2)


def test_a_database_that_does_not_answer_is_told_in_one_line(place: Place) -> None:
    text = place.config.read_text()
    start, end = text.index("postgresql://"), text.index('"}', text.index("postgresql://"))
    nowhere = "postgresql://consent_reader@127.0.0.1:1/crm"
    place.config.write_text(text[:start] + nowhere + text[end:])
    told = place.run("explain", "--as", "mailer", "select 1", exit_code=2)
    assert len(told.stderr.splitlines()) == 1
    assert "127.0.0.1:1" in told.stderr
    place.run("policy", "check", exit_code=2)


def test_a_mistake_of_ours_keeps_its_traceback_without_any_value(
    monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    from proxy.cli import opening

    def broken(_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(opening, "configuration", broken)
    result = place.invoke("tool", "list", exit_code=1)
    assert isinstance(result.exception, ZeroDivisionError)
    assert isinstance(app, typer.Typer)
    assert app.pretty_exceptions_enable is False
