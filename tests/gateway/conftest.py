"""A house whose door answers, for each test; one of its own where a test needs other limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.house import House, open_house

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def open_door(database: str, tmp_path: Path) -> OpenHouse:
    """Opens a house with limits and deadlines of one's own, for an `async with`."""

    def open_it(**options: Any) -> AbstractAsyncContextManager[House]:
        return open_house(database, tmp_path, **options)

    return open_it


@pytest.fixture
async def house(open_door: OpenHouse) -> AsyncIterator[House]:
    async with open_door() as house:
        yield house
