"""The statements of this folder, by theme: `statements/THEME.sql`, parted by empty lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "statements"
# A statement that orders nothing, or not totally, says so; its rows are compared as a bag.
_ANY_ORDER: Final = "-- any order"
# One that PostgreSQL itself fails names its SQLSTATE.
_FAILS: Final = re.compile(r"^-- fails with ([0-9A-Z]{5})$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    theme: str
    number: int  # from 1, within its theme
    text: str
    is_ordered: bool
    sqlstate: str | None

    @property
    def name(self) -> str:
        return f"{self.theme} {self.number}"


def load() -> list[Statement]:
    """Every statement, themes in alphabetical order."""
    return [
        Statement(
            theme=path.stem,
            number=number,
            text=text.rstrip("; \n"),
            is_ordered=_ANY_ORDER not in text,
            sqlstate=found[1] if (found := _FAILS.search(text)) else None,
        )
        for path in sorted(FOLDER.glob("*.sql"))
        for number, text in enumerate(_parts(path.read_text(encoding="utf-8")), start=1)
    ]


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"\n[ \t]*\n", text) if part.strip()]
