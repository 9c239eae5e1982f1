"""How many streams are played: FUZZ_DEPTH multiplies what the ordinary tests play."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

DEPTH: Final = float(os.environ.get("FUZZ_DEPTH", "1"))
SEED: Final = int(os.environ.get("FUZZ_SEED", "1"))


def streams(block: int, blocks: int, count: int) -> Iterator[int]:
    """The seeds of one block of `count` streams in all."""
    every = int(count * DEPTH)
    first = SEED * 1_000_000_000
    yield from range(first + block, first + every, blocks)
