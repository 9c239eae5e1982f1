"""Notices that files were changed: the policy's folder, the secrets file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

POLL_S: Final = 0.5  # a disabled tool is out within 2 s: two looks, and time to read the file

FileState = tuple[int, int, int, int]  # inode, size, mtime and ctime in ns
Snapshot = Mapping[str, FileState]


def snapshot(paths: Sequence[Path]) -> Snapshot:
    """What tells one state of files from another; of a folder, its YAML files at any depth.

    The inode is part of it: a file that was replaced by another of the same size and time differs.
    """
    states: dict[str, FileState] = {}
    for path in paths:
        for file in (path, *(path.rglob("*.yaml") if path.is_dir() else ())):
            try:
                found = file.stat()
            except OSError:
                continue  # gone, or not ours to see: its absence is the difference
            states[str(file)] = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return states


async def watch(
    paths: Sequence[Path],
    changed: Callable[[], Awaitable[None]],
    *,
    known: Snapshot | None = None,
    poll_s: float = POLL_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Await `changed()` after each change of the files, once it has settled; until cancelled.

    Settled means that two looks in a row see the same: an editor that writes in pieces, or a
    policy of several files that is copied, is read when it is complete. `known` is what they were
    before they were read; without it, changes count from now on. `changed` handles its own errors;
    one that raises ends the watch.
    """
    if known is None:
        known = await asyncio.to_thread(snapshot, paths)
    before = known
    while True:
        await sleep(poll_s)
        now = await asyncio.to_thread(snapshot, paths)
        if now == before and now != known:
            known = now
            await changed()
        before = now
