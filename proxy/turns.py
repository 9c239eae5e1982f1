"""Who is next where places are few: each tool in its turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

Place = TypeVar("Place")


class Turns(Generic[Place]):
    """Places for tools: a tool has one at a time, and what is long has one at a time. So of two
    places one is free, or soon is, for what is short and of somebody else.
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self._free = list(places)
        self._busy: set[str] = set()
        self._has_long = False
        # The tool that had its turn last stands last.
        self._waiting: OrderedDict[str, deque[tuple[bool, asyncio.Future[Place]]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, tool: str, *, is_long: bool) -> AsyncIterator[Place]:
        """Wait for a place, and have it."""
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tool, deque()).append((is_long, place))
        self._call()
        try:
            yield await place
        finally:
            if place.done() and not place.cancelled():
                self._free.append(place.result())
                self._busy.discard(tool)
                self._has_long = self._has_long and not is_long
                if tool in self._waiting:
                    self._waiting.move_to_end(tool)
            self._call()

    def _call(self) -> None:
        """Give free places to those whose turn it is."""
        for tool, waiting in list(self._waiting.items()):
            while waiting and waiting[0][1].cancelled():
                waiting.popleft()
            if not waiting:
                del self._waiting[tool]
                continue
            is_long, place = waiting[0]
            if not self._free or tool in self._busy or (is_long and self._has_long):
                continue
            waiting.popleft()
            self._busy.add(tool)
            self._has_long = self._has_long or is_long
            place.set_result(self._free.pop())
