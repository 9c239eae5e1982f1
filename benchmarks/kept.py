"""Results kept as JSON beside the programs, with the machine and the versions they are of."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import psutil

from proxy.demo.embedded import installed_binaries

FOLDER: Final = Path(__file__).parent / "results"
_PACKAGES: Final = ("sqlglot", "postgast", "uvloop", "asyncpg", "orjson")
_PROGRAMS: Final = (["pgbouncer", "--version"], ["pgpool", "--version"])


def keep(name: str, rows: Iterable[Any], /, **options: object) -> Path:
    """Write the rows (dataclasses) to results/NAME.json, in place of an earlier run's."""
    document = {
        "machine": machine(),
        "options": options,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def kept(name: str) -> dict[str, Any] | None:
    """What was kept under the name; None where nothing was."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def machine() -> dict[str, object]:
    """What a figure hangs on besides the code."""
    from sqlglot import parser

    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "proxy_is_compiled": is_compiled(),
        "sqlglot_is_compiled": not str(parser.__file__).endswith(".py"),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES}
        | {command[0]: _version(command) for command in _PROGRAMS}
        | {"postgres": _version([str(installed_binaries() / "postgres"), "--version"])},
    }


def is_compiled() -> bool:
    """Whether the proxy's hot modules are."""
    from proxy.session import client

    return not str(client.__file__).endswith(".py")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _version(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if lines else None
