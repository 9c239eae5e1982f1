"""Programs and URLs that the driver tests need."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

# Names of programs that are known to be missing, separated by commas. Without it a missing program
# fails its tests: a client that nobody tried is not known to work.
KNOWN_MISSING = "CONSENT_PROXY_TESTS_WITHOUT"


def needs(path: str | Path) -> str:
    """The path of a program or file of the machine; fails loudly where it is missing."""
    name = Path(path).name
    found = shutil.which(str(path)) or (str(path) if Path(path).exists() else None)
    if found is None:
        if name in os.environ.get(KNOWN_MISSING, "").split(","):
            pytest.skip(f"{KNOWN_MISSING} says that {name} is missing")
        pytest.fail(f"{path} is missing: install it, or name it in {KNOWN_MISSING}")
    return found


def run(
    command: Sequence[str], *, stdin: str = "", extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a client to its end."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        **(extra or {}),
    }
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=120, check=False,
        env=environment,
    )  # fmt: skip


def name_of(url: str) -> str:
    """The database's name in a connection URL."""
    return unquote(urlsplit(url).path.lstrip("/"))
