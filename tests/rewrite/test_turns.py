"""Places that are few: who has one when, and that none is lost."""

from __future__ import annotations

import asyncio

import pytest

from proxy.turns import Turns


class House:
    """Two places, and who came into one in which order."""

    def __init__(self) -> None:
        self.turns = Turns(["left", "right"])
        self.came: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def ask(self, name: str, *, is_long: bool = False) -> None:
        """`name` is the tool's letter and a number."""
        self._leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, is_long=is_long))

    async def _stay(self, name: str, *, is_long: bool) -> None:
        async with self.turns.turn(name[0], is_long=is_long):
            self.came.append(name)
            await self._leave[name].wait()

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await self.tasks[name]
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_tool_has_one_place_at_a_time() -> None:
    house = House()
    for name in ("a1", "a2", "b1"):
        house.ask(name)
    await settled()
    assert house.came == ["a1", "b1"]
    await house.leave("b1")
    assert house.came == ["a1", "b1"]
    await house.leave("a1")
    assert house.came == ["a1", "b1", "a2"]
    await house.leave("a2")


async def test_tools_take_turns_however_many_wait() -> None:
    house = House()
    for name in ("a1", "b1", "a2", "a3", "b2", "c1"):
        house.ask(name)
    await settled()
    await house.leave("a1")
    assert house.came == ["a1", "b1", "c1"]
    await house.leave("c1")
    assert house.came[3:] == ["a2"]
    for name in ("b1", "a2", "b2", "a3"):
        await house.leave(name)
    assert sorted(house.came) == ["a1", "a2", "a3", "b1", "b2", "c1"]


async def test_what_is_long_never_takes_all_places() -> None:
    house = House()
    house.ask("a1", is_long=True)
    house.ask("b1", is_long=True)
    house.ask("c1")
    await settled()
    assert house.came == ["a1", "c1"]
    await house.leave("a1")
    assert house.came == ["a1", "c1", "b1"]
    await house.leave("b1")
    await house.leave("c1")


@pytest.mark.parametrize("has_come", [True, False])
async def test_who_goes_before_the_end_leaves_no_place_taken(has_come: bool) -> None:
    house = House()
    for name in ("a1", "b1", "c1"):
        house.ask(name)
    await settled()
    house.tasks["b1" if has_come else "c1"].cancel()
    await settled()
    for name in ("a1", "c1" if has_come else "b1"):
        await house.leave(name)
    for name in ("d1", "e1"):
        house.ask(name)
    await settled()
    assert house.came[-2:] == ["d1", "e1"]
    await house.leave("d1")
    await house.leave("e1")


async def test_who_is_called_and_goes_at_once_leaves_no_place_taken() -> None:
    house = House()
    house.ask("a1")
    house.ask("b1")
    await asyncio.sleep(0)
    house.tasks["b1"].cancel()  # its place is given, but it has not woken
    await settled()
    house.ask("c1")
    await settled()
    assert house.came[-1] == "c1"
    await house.leave("a1")
    await house.leave("c1")
