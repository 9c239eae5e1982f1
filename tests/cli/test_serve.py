"""The proxy from the command line: ready file, a statement, its record, a withdrawal, the end."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.cli.conftest import CLEAN, Place


@contextmanager
def running(*arguments: str, ready_file: Path, config: Path | None = None) -> Iterator[Any]:
    """The command while it runs: yields what its ready file says; it must end with 0."""
    environment = {**CLEAN, "PYTHONPATH": str(Path(__file__).parents[2])}
    if config is not None:
        environment["CONSENT_PROXY_CONFIG"] = str(config)
    code = "from proxy.cli.main import main; main()"
    command = [sys.executable, "-c", code, *arguments, "--ready-file", str(ready_file)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield _ready(process, ready_file)
        finally:
            process.send_signal(signal.SIGTERM)
            told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert "Traceback" not in told[1], told[1]


def _ready(process: subprocess.Popen[str], ready_file: Path) -> Any:
    """Wait until the ready file is there; fail as soon as the command has ended."""
    for _ in range(600):
        if ready_file.exists():
            return json.loads(ready_file.read_text())
        if process.poll() is not None:
            pytest.fail(f"the command ended: {process.communicate()}")
        select.select([], [], [], 0.1)
    pytest.fail("the command is not ready after a minute")


async def _fetch(ready: Any, user: str, password: str, sql: str) -> list[tuple[Any, ...]]:
    host, _, port = ready["postgres"].rpartition(":")
    connection = await asyncpg.connect(
        host=host,
        port=int(port),
        user=user,
        password=password,
        database=ready["database"],
        ssl=False,
        statement_cache_size=0,
    )
    try:
        return [tuple(row.values()) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def test_a_served_tool_sees_who_agreed_until_the_withdrawal_has_answered(
    place: Place, tmp_path: Path
) -> None:
    place.invoke("tool", "add", "mailer")
    place.run("tool", "password", "mailer", stdin="correct horse battery staple\n")
    place.run("consent", "record", "--subject", "1", "--purpose", "email_campaign")
    sql = "select id, email from crm.customers"
    ready_file = tmp_path / "ready.json"
    with running("serve", ready_file=ready_file, config=place.config) as ready:
        assert ready_file.stat().st_mode & 0o777 == 0o600
        login = ("mailer", "correct horse battery staple")
        assert await _fetch(ready, *login, sql) == [(1, "ana@example.com")]
        place.run("consent", "withdraw", "--subject", "1", "--all")
        assert await _fetch(ready, *login, sql) == []
        found = place.run("log", "search", "--tool", "mailer", "--json").stdout.splitlines()
        kinds = [json.loads(line)["kind"] for line in found]
        assert kinds.count("access.intent") == 2
        assert kinds.count("access.outcome") == 2
        place.run("tool", "disable", "mailer")
    assert "intact" in place.run("log", "verify").stdout


def test_serving_without_init_ends_with_two(unprepared: Place) -> None:
    unprepared.invoke("tool", "add", "mailer")
    assert "consent" in unprepared.run("serve", exit_code=2).stderr


def test_serving_a_broken_policy_ends_with_one(place: Place) -> None:
    place.invoke("tool", "add", "mailer")
    (place.policy / "tools.yaml").write_text("tools: 7\n")
    assert "tools.yaml:1" in place.run("serve", exit_code=1).stderr


async def test_the_demo_is_ready_to_be_asked(tmp_path: Path) -> None:
    options = ("--folder", str(tmp_path / "demo"), "--customers", "2000",
               "--postgres", "127.0.0.1:0", "--http", "127.0.0.1:0")  # fmt: skip
    with running("demo", *options, ready_file=tmp_path / "ready.json") as ready:
        mailer = ready["tools"]["mailer"]
        login = (mailer["user"], mailer["password"])
        (row,) = await _fetch(ready, *login, "select count(*) from crm.customers")
        assert 0 < row[0] < 2000
