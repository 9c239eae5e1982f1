"""A log on disk, read as another program would: at any moment, also while it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson


def records_of(log: Path) -> list[dict[str, Any]]:
    """Each writer's records in order, without one that is still being written."""
    return [
        orjson.loads(line)
        for segment in sorted(log.glob("*/*.jsonl"))
        for line in segment.read_bytes().split(b"\n")[:-1]
    ]
