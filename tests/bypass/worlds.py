"""Two databases that differ in nothing but what no tool may see.

Every hidden value holds a mark of its world; what the masks let through of a value is the same in
both. A tool that gets the same bytes from both has learnt nothing.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
POLICY: Final = FOLDER / "policy"

_TEXTS: Final = (
    ["name", "email", "alias", "code", "doc", "blob", "tag", "status", "spell", "street", "word"]
    + ["diary", "unlisted", "url", "note", "item", "sku", "about", "loose", "what", "internal"]
    + ["nick"]
)


@dataclass(frozen=True, slots=True)
class Words:
    """The hidden values of one world: `mark` is in every text, the numbers speak for themselves."""

    mark: str  # three lower-case letters that occur nowhere else
    values: Mapping[str, str]

    def script(self) -> str:
        """database.sql with the values of this world."""
        text = (FOLDER / "database.sql").read_text()
        known = {f"S{self.mark}-{name}" for name in _TEXTS}
        values = {**self.values, **{name: f"S{self.mark}-{name}" for name in _TEXTS}}
        assert len(known) == len(_TEXTS)
        names = sorted(values, key=len, reverse=True)
        return re.sub(rf"(?<![:\w]):({'|'.join(names)})", lambda found: values[found[1]], text)

    def leaks(self) -> list[bytes]:
        """What must not be among the bytes that a tool receives, lower case."""
        mark = self.mark.encode()
        found = [mark, mark[::-1], mark.hex().encode()]
        for at in range(3):
            # In base64 three bytes look different at each of three offsets; the letters in the
            # middle are certain.
            padded = base64.b64encode(b"\0" * at + b"S" + mark + b"-")
            found.append(padded[2 * (at > 0) + 2 : 6].lower())
        for name in ("age", "big", "cents", "score", "small"):
            number = self.values[name]
            found.append(number[:4].encode() if name != "big" else number[:7].encode())
        for person in range(7, 11):
            found.append(struct.pack("!i", int(self.values["age"]) + person))
            found.append(struct.pack("!q", int(self.values["big"]) + person))
            found.append(struct.pack("!d", float(self.values["score"]) + person))
        return [each for each in found if len(each) >= 3]


ONE: Final = Words(
    "zqx",
    {
        "serial": "77701",
        "phone": "777",
        "age": "7770000",
        "big": "7777777000",
        "cents": "77.77",
        "score": "7771.125",
        "month": "7",
        "seen": "1999-07-07 07:07Z",
        "members": "ARRAY[7, 9]",
        "host": "70",
        "mood": "furious",
        "small": "7770",
        "removed": "2",
    },
)
OTHER: Final = Words(
    "vkw",
    {
        "serial": "66601",
        "phone": "118",
        "age": "6660000",
        "big": "6161616000",
        "cents": "61.61",
        "score": "6661.125",
        "month": "3",
        "seen": "1998-03-03 03:03Z",
        "members": "ARRAY[8]",
        "host": "90",
        "mood": "tense",
        "small": "6660",
        "removed": "5",
    },
)
