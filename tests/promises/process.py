"""The proxy as a process of its own, which can be killed or have its disk filled."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from proxy.access_log.reading import read_log
from proxy.access_log.segments import log_folders
from tests.wire.raw import Raw
from tests.world import World

ROOT: Final = Path(__file__).parents[2]
_SERVE: Final = "from proxy.cli.main import main; main()"
# In a mount namespace of its own, the access log's folder is a small disk.
_ON_SMALL_DISK: Final = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


@dataclass(slots=True)
class Process:
    """`with Process(world) as process:` — `consent-proxy serve` over a prepared world's files.

    The world itself must have ended: its access log goes on in this process. `disk_bytes`: the
    access log lies on a disk of that size (needs root).
    """

    world: World
    disk_bytes: int | None = None
    output: Path | None = None
    _process: subprocess.Popen[bytes] | None = None
    port: int = 0
    http: str = ""

    def __enter__(self) -> Self:
        ready_file = self.world.folder / "ready.json"
        ready_file.unlink(missing_ok=True)
        command = [
            sys.executable, "-c", _SERVE, "serve",
            "--config", str(self.world.folder / "consent-proxy.yaml"),
            "--ready-file", str(ready_file),
        ]  # fmt: skip
        if self.disk_bytes is not None:
            small = ["sh", "-c", _ON_SMALL_DISK, "sh", str(self.disk_bytes)]
            command = ["unshare", "-m", *small, str(self.world.access_log), *command]
        self.output = self.output or self.world.folder / "output.txt"
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=output, stderr=output
            )
        ready = self._ready(ready_file)
        self.port = int(ready["postgres"].rpartition(":")[2])
        self.http = ready["http"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _ready(self, ready_file: Path) -> Any:
        for _ in range(1200):
            if ready_file.exists():
                return json.loads(ready_file.read_text())
            assert self.process.poll() is None, self.told()
            select.select([], [], [], 0.05)
        raise AssertionError("the proxy is not ready after a minute")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def access_log(self) -> Path:
        """Where the access log is, seen from outside the process's mounts."""
        return Path(f"/proc/{self.pid}/root{self.world.access_log}")

    def told(self) -> str:
        """What the process printed: its application log."""
        return "" if self.output is None else self.output.read_text(errors="replace")

    def kill(self) -> None:
        """`kill -9`."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def login(self, tool: str = "mailer", **settings: str) -> Raw:
        return await Raw.login(
            self.port, self.world.database, tool, self.world.passwords[tool], **settings
        )


def records(folder: Path) -> list[dict[str, Any]]:
    """Every finished record of an access-log folder."""
    return [json.loads(line) for log in log_folders(folder) for line in read_log(log)]
