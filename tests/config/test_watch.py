"""Changes of files are noticed once they are complete, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.watch import snapshot, watch


async def changes_seen(paths: list[Path], steps: list[Callable[[], object] | None]) -> list[int]:
    """At which looks a change was told, when `steps[n]` happens before look n + 1."""
    seen: list[int] = []
    look = 0

    async def changed() -> None:
        seen.append(look)

    async def sleep(_: float) -> None:
        nonlocal look
        if look == len(steps):
            raise asyncio.CancelledError
        step = steps[look]
        if step is not None:
            step()
        look += 1

    with pytest.raises(asyncio.CancelledError):
        await watch(paths, changed, sleep=sleep)
    return seen


async def test_a_change_is_told_once_when_two_looks_agree(tmp_path: Path) -> None:
    file = tmp_path / "secrets.yaml"
    file.write_text("a")
    change = lambda: file.write_text("bb")  # noqa: E731 - one of the steps
    assert await changes_seen([file], [None, change, None, None, None]) == [3]


async def test_a_file_that_is_still_written_is_not_read_in_the_middle(tmp_path: Path) -> None:
    def add(name: str) -> Callable[[], object]:
        return lambda: (tmp_path / name).write_text("x")

    seen = await changes_seen([tmp_path], [add("a.yaml"), add("b.yaml"), add("c.yaml"), None, None])
    assert seen == [4]


async def test_removing_and_replacing_count_as_changes(tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "a.yaml").write_text("one")
    (policy / "new").write_text("two")  # same size, moved into place
    steps: list[Callable[[], object] | None] = [
        lambda: (policy / "new").replace(policy / "a.yaml"),
        None,
        lambda: (policy / "a.yaml").unlink(),
        None,
    ]
    assert await changes_seen([policy], steps) == [2, 4]


async def test_what_changed_since_the_files_were_read_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "secrets.yaml"
    file.write_text("a")
    known = snapshot([file])
    file.write_text("bb")
    looks = iter(range(3))
    seen: list[str] = []

    async def changed() -> None:
        seen.append(file.read_text())

    async def sleep(_: float) -> None:
        if next(looks, None) is None:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await watch([file], changed, known=known, sleep=sleep)
    assert seen == ["bb"]


async def test_other_files_of_a_folder_do_not_matter(tmp_path: Path) -> None:
    nested = tmp_path / "deep"
    nested.mkdir()
    (nested / "a.yaml").write_text("x")
    steps: list[Callable[[], object] | None] = [
        None,
        lambda: (nested / ".a.yaml.swp").write_text("y"),
        None,
        lambda: (nested / "a.yaml").write_text("xx"),
        None,
    ]
    # A folder's own times change with any file in it: a needless reading, never a missed one.
    assert 5 in await changes_seen([tmp_path], steps)


async def test_the_watch_ends_with_an_error_that_nobody_handled(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("a")

    async def changed() -> None:
        raise LookupError

    async def sleep(_: float) -> None:
        if file.read_text() == "a":
            file.write_text("bb")

    waiting: Callable[[float], Awaitable[None]] = sleep
    with pytest.raises(LookupError):
        await watch([file], changed, sleep=waiting)
