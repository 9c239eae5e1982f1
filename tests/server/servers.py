"""PostgreSQL servers that the embedded one can not be: of another version, with TLS, a standby."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from proxy.demo.embedded import EmbeddedPostgres
from tests.catalog.servers import OLDER_BINARIES
from tests.server.place import eventually


def has_older() -> bool:
    """Whether the packaged PostgreSQL is here; without it, its tests do not exist."""
    return (OLDER_BINARIES / "postgres").exists()


@dataclass(kw_only=True)
class OlderPostgres:
    """The packaged PostgreSQL in `folder`: the socket trusts, TCP takes SCRAM over TLS only."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None

    @property
    def user(self) -> str | None:
        # PostgreSQL does not run as root; the package brings a user along.
        return "postgres" if os.geteuid() == 0 else None

    def own(self, path: Path) -> None:
        if self.user is not None:
            entry = pwd.getpwnam(self.user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def start(self) -> None:
        if not (self.folder / "data").exists():
            self.own(self.folder)
            self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
            (self.folder / "data" / "pg_hba.conf").write_text(
                "local all all trust\nhostssl all all all scram-sha-256\n"
            )
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        values = {
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "listen_addresses": "127.0.0.1",
            "fsync": "off",
            **self.settings,
        }
        options = " ".join(f"-c {name}={value}" for name, value in values.items())
        self._run("pg_ctl", "start", "-w", "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate", "-w")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(OLDER_BINARIES / program), "-D", str(self.folder / "data"), *arguments]
        with (self.folder / "log").open("a") as log:
            subprocess.run(command, check=True, user=self.user, cwd="/", stdout=log, stderr=log)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        place = urlencode({"host": str(self.folder), "port": self.port})
        return f"postgresql://{quote(user)}@/{quote(database)}?{place}"

    def run(self, script: str, database: str = "postgres") -> str:
        result = subprocess.run(
            [OLDER_BINARIES / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", self.url(database)],
            input=script,
            capture_output=True,
            text=True,
            check=True,
        )
        return result.stdout


@contextlib.contextmanager
def older_postgres() -> Iterator[OlderPostgres]:
    """Not started yet; gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix="older-", dir="/tmp"))
    server = OlderPostgres(folder=folder)
    try:
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Standby(EmbeddedPostgres):
    """A copy of a running server that stays in recovery."""

    def __init__(self, folder: Path, primary: EmbeddedPostgres) -> None:
        super().__init__(folder)
        self._primary = primary

    def _make_data_folder(self) -> None:
        command = [self._binary("pg_basebackup"), "-D", str(self.data), "--no-sync",
                   "--checkpoint=fast", "-d", self._primary.url()]  # fmt: skip
        # With the groups of root, the folders above would be closed to it.
        own = None if self._server_user is None else pwd.getpwnam(self._server_user).pw_gid
        groups = None if own is None else [own]
        subprocess.run(
            command, check=True, user=self._server_user, group=own, extra_groups=groups, cwd="/"
        )
        (self.data / "standby.signal").touch()
        self._own(self.data / "standby.signal")

    def _wait_until_ready(self) -> None:
        # Its last line says "ready" once a standby answers queries, too.
        pid_file = self.data / "postmaster.pid"
        eventually(
            lambda: pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"),
            "a standby",
        )

    def run(self, script: str, database: str = "postgres") -> str:
        """A standby takes no script: it has the password of its primary."""
        return ""
