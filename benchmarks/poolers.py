"""Other proxies, each as its own makers would set it up for a session per client."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.processes import Target, answers, free_port, running, wait

_PGPOOL_CHILDREN: Final = 40  # one for each client at once


@contextlib.contextmanager
def pgbouncer(folder: Path, direct: Target, verifier: str) -> Iterator[Target]:
    """pgbouncer in session mode, as the proxy keeps a connection per session.

    With the database's own verifier it logs in upstream by the keys of a client's login; with the
    password it derives them anew for each client.
    """
    port = free_port()
    (folder / "users.txt").write_text(f'"{direct.user}" "{verifier}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""
[databases]
{direct.database} = host=127.0.0.1 port={direct.port} dbname={direct.database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = session
default_pool_size = 100
max_client_conn = 1000
unix_socket_dir =
logfile = {folder}/pgbouncer.log
ignore_startup_parameters = extra_float_digits
"""
    )
    command = ["pgbouncer", "-q", str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # pgbouncer does not run as root
        folder.chmod(0o755)
        for each in folder.glob("*.txt"):
            each.chmod(0o644)
        (folder / "pgbouncer.log").touch()
        shutil.chown(folder / "pgbouncer.log", "nobody")
        command[1:1] = ["-u", "nobody"]
    with running(command) as process:
        wait(process, lambda: answers(port))
        yield Target(
            name="pgbouncer",
            port=port,
            user=direct.user,
            password=direct.password,
            database=direct.database,
            pid=process.pid,
        )


@contextlib.contextmanager
def pgpool(folder: Path, direct: Target, _verifier: str) -> Iterator[Target]:
    """pgpool-II without load balancing, caches and checks: it only passes on."""
    port = free_port()
    files = {
        "pgpool.conf": f"""
listen_addresses = '127.0.0.1'
port = {port}
pcp_port = {free_port()}
unix_socket_directories = '{folder}'
pcp_socket_dir = '{folder}'
backend_hostname0 = '127.0.0.1'
backend_port0 = {direct.port}
backend_clustering_mode = 'raw'
num_init_children = {_PGPOOL_CHILDREN}
max_pool = 1
enable_pool_hba = on
pool_passwd = '{folder}/pool_passwd'
pid_file_name = '{folder}/pgpool.pid'
work_dir = '{folder}'
logdir = '{folder}'
log_min_messages = error
""",
        "pool_passwd": f"{direct.user}:TEXT{direct.password}\n",
        "pool_hba.conf": "host all all 127.0.0.1/32 scram-sha-256\n",
        "pcp.conf": "",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    command = ["pgpool", "-n", "-f", str(folder / "pgpool.conf")]
    command += ["-a", str(folder / "pool_hba.conf"), "-F", str(folder / "pcp.conf")]
    with (folder / "pgpool.log").open("wb") as log, running(command, log) as process:
        wait(process, lambda: answers(port))
        yield Target(
            name="pgpool-II",
            port=port,
            user=direct.user,
            password=direct.password,
            database=direct.database,
            pid=process.pid,
        )


Pooler = Callable[[Path, Target, str], contextlib.AbstractContextManager[Target]]


def installed() -> Iterator[Pooler]:
    """Those that are on this machine."""
    for program, pooler in (("pgbouncer", pgbouncer), ("pgpool", pgpool)):
        if shutil.which(program):
            yield pooler
