"""Exact durations: `90d` is 2160 hours, whatever the calendar or a tool's time zone says."""

from __future__ import annotations

import re
from typing import Final

_DURATION = re.compile(r"([0-9]{1,10})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

# A hundred years: now minus a duration must be a timestamp for every duration a policy can hold.
DURATION_S_MAX: Final = 36_525 * 86_400

EXPECTED: Final = "expected a duration: a whole number and one of s, m, h, d, w, such as 24h or 90d"


def parse_duration(text: str) -> int:
    """Seconds of `15s`, `30m`, `24h`, `90d` or `2w`: more than none, at most a hundred years."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(EXPECTED)
    seconds = int(match[1]) * _SECONDS[match[2]]
    if not 0 < seconds <= DURATION_S_MAX:
        raise ValueError("expected a duration of more than nothing and at most 100 years")
    return seconds


def duration_text(seconds: int) -> str:
    """The shortest text that `parse_duration` reads back as `seconds`."""
    for unit in ("d", "h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
