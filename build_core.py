"""Compile the hottest modules with mypyc, in place; where that is not possible, say so and go on.

The modules are plain typed Python and work as they are: compiled, a statement takes half the time
in them (docs/benchmarks.md). `python build_core.py` compiles, `--clean` removes what was compiled,
`--check` tells (exit code 1) whether a compiled module is older than its source.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent
# What a statement passes through whose plan is known, from the client's bytes to the upstream's and
# back, and its records.
MODULES: Final = (
    "proxy/wire/framing.py",
    "proxy/wire/messages.py",
    "proxy/session/names.py",
    "proxy/session/outbox.py",
    "proxy/session/expectations.py",
    "proxy/session/portals.py",
    "proxy/session/settings.py",
    "proxy/session/snapshot.py",
    "proxy/session/state.py",
    "proxy/session/effects.py",
    "proxy/session/lease.py",
    "proxy/session/recorder.py",
    "proxy/session/kept.py",
    "proxy/session/known.py",
    "proxy/session/steady.py",
    "proxy/session/admission.py",
    "proxy/session/requests.py",
    "proxy/session/replies.py",
    "proxy/session/client.py",
    "proxy/access_log/canonical.py",
    "proxy/access_log/forms.py",
    "proxy/access_log/frames.py",
    "proxy/access_log/record.py",
    "proxy/access_log/log.py",
    "proxy/access_log/writer.py",
    "proxy/access_log/segments.py",
    "proxy/rewrite/lift.py",
    "proxy/rewrite/literals.py",
    "proxy/upstream/carried.py",
    "proxy/upstream/connection.py",
    "proxy/upstream/counts.py",
    "proxy/counts.py",
)
# Modules that are compiled together call each other directly; their code is in one library.
GROUP: Final = "proxy.core"
COMPILER_TIMEOUT_S: Final = 600


def compiled_files(source: Path) -> Iterator[Path]:
    """What stands compiled beside a module's source, for any Python."""
    yield from source.parent.glob(f"{source.stem}.*.so")
    yield from source.parent.glob(f"{source.stem}__mypyc.*.so")


def stale_modules(root: Path = ROOT) -> list[str]:
    """Modules whose compiled form was made from another source than the one beside it.

    Python imports the compiled form: without this check an edit would silently have no effect.
    """
    return [
        module
        for module in MODULES
        if any(compiled_files(root / module))
        and (not (root / module).exists() or _note_of(root / module) != _digest(root / module))
    ]


def clean(root: Path = ROOT) -> None:
    for path in (root / GROUP.replace(".", "/")).parent.glob("*__mypyc.*.so"):
        path.unlink()
    for module in MODULES:
        for path in (*compiled_files(root / module), _note(root / module)):
            path.unlink(missing_ok=True)


def build(root: Path = ROOT) -> bool:
    """Compile every module of the list that exists; False where pure Python stays."""
    clean(root)
    sources = [module for module in MODULES if (root / module).exists()]
    if not sources:
        return _stay_pure("there is nothing to compile")
    if (reason := _why_not()) is not None:
        return _stay_pure(reason)
    # As they are now: compiling takes a minute, and they may be edited meanwhile.
    digests = {module: _digest(root / module) for module in sources}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mypy.ini").write_text(_CONFIGURATION)
        try:
            result = subprocess.run(
                [sys.executable, "-c", _SETUP, folder, GROUP, *sources],
                cwd=root,
                capture_output=True,
                text=True,
                check=False,
                timeout=COMPILER_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            clean(root)
            return _stay_pure(f"it takes more than {COMPILER_TIMEOUT_S} s")
    if result.returncode != 0:
        clean(root)
        last = (result.stderr or result.stdout).strip().splitlines()[-1:] or ["no message"]
        return _stay_pure(f"mypyc or the C compiler failed: {last[0]}")
    for source in sources:
        _note(root / source).write_text(digests[source] + "\n")
    print(f"compiled with mypyc: {len(sources)} modules")
    return True


# Its stub declares an enum value named None, which no type checker reads.
_CONFIGURATION: Final = """
[mypy]
ignore_missing_imports = True
explicit_package_bases = True
[mypy-postgast.*]
follow_imports = skip
follow_imports_for_stubs = True
"""

# mypyc writes C files where it is told and builds through setuptools; both happen in a process of
# their own, because setuptools changes the process it runs in. What the modules import need not be
# there; whether all types fit is `make types`' business.
_SETUP: Final = """
import sys
folder, group, *sources = sys.argv[1:]
from setuptools import setup
from mypyc.build import mypycify
setup(
    name="core",
    packages=[],
    script_args=["--quiet", "build_ext", "--inplace", "-t", folder, "-b", folder],
    ext_modules=mypycify(
        ["--config-file", f"{folder}/mypy.ini", *sources],
        opt_level="1",  # more takes three times as long to compile, and wins nothing
        target_dir=folder,
        group_name=group,
    ),
)
"""


def _why_not() -> str | None:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if not (shutil.which(compiler) or shutil.which("cc")):
        return f"there is no C compiler ({compiler})"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        return "Python's header files are not installed"
    try:
        import mypyc.build  # noqa: F401 - only whether it is there
        import setuptools  # noqa: F401
    except ImportError as missing:
        return f"{missing.name} is not installed"
    return None


def _stay_pure(reason: str) -> bool:
    print(f"not compiled, plain Python is used (slower, otherwise the same): {reason}")
    return False


def _note(source: Path) -> Path:
    return source.parent / f".{source.stem}.compiled"


def _note_of(source: Path) -> str:
    note = _note(source)
    return note.read_text().strip() if note.exists() else ""


def _digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


def main(arguments: list[str]) -> int:
    match arguments:
        case []:
            build()
            return 0  # pure Python is an answer, not a failure
        case ["--clean"]:
            clean()
            return 0
        case ["--check"]:
            for module in (stale := stale_modules()):
                print(f"{module} was changed after it was compiled: run `make compile`")
            return 1 if stale else 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
