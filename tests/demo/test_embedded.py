"""The embedded PostgreSQL: private, concurrent, and gone with the process that started it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.errors import ConfigurationError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "own", settings=WITHOUT_DURABILITY) as running:
        yield running


def test_two_servers_run_side_by_side_and_keep_their_data_apart(
    postgres: EmbeddedPostgres, server: EmbeddedPostgres
) -> None:
    server.run("CREATE TABLE only_here (n integer)")
    assert server.pid != postgres.pid
    assert postgres.run("SELECT to_regclass('only_here') IS NULL") == "t\n"


def test_data_survives_a_restart(server: EmbeddedPostgres) -> None:
    server.run("CREATE TABLE kept (n integer); INSERT INTO kept VALUES (7)")
    server.stop()
    server.start()
    assert server.run("SELECT n FROM kept") == "7\n"


def test_only_the_user_who_started_it_can_reach_the_socket(postgres: EmbeddedPostgres) -> None:
    assert postgres.socket_folder.stat().st_mode & 0o077 == 0


def test_a_socket_path_is_short_however_deep_the_data_lies(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-name-of-a-folder"] * 5)
    with EmbeddedPostgres(deep, settings=WITHOUT_DURABILITY) as running:
        assert running.run("SELECT 1") == "1\n"


async def test_tcp_asks_for_a_password_and_the_socket_does_not(postgres: EmbeddedPostgres) -> None:
    over_socket = await asyncpg.connect(postgres.url())
    assert await over_socket.fetchval("SELECT 1") == 1
    await over_socket.close()

    over_tcp = await asyncpg.connect(postgres.url(tcp=True))
    assert await over_tcp.fetchval("SHOW fsync") == "off"
    await over_tcp.close()

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url(tcp=True, password="wrong"))


def test_a_server_without_a_port_has_no_tcp_url(server: EmbeddedPostgres) -> None:
    with pytest.raises(ConfigurationError):
        server.url(tcp=True)


def test_a_failing_script_says_what_failed(server: EmbeddedPostgres) -> None:
    with pytest.raises(RuntimeError, match="no_such_table"):
        server.run("SELECT * FROM no_such_table")


def test_a_wrong_setting_is_told_with_the_servers_own_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no_such_setting"):
        EmbeddedPostgres(tmp_path / "own", settings={"no_such_setting": "1"}).start()


def test_the_server_dies_with_a_process_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from proxy.demo.embedded import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()\n"
        "print(server.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "own")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert owner.stdout is not None
    server_pid = int(owner.stdout.readline())
    gone = os.pidfd_open(server_pid)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    # A process file descriptor becomes readable when its process ends.
    assert select.select([gone], [], [], 30)[0] == [gone]
    os.close(gone)


async def test_every_test_gets_an_empty_database_of_its_own(database: str) -> None:
    connection = await asyncpg.connect(database)
    tables = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    await connection.close()
    assert tables == 0
