"""Two databases that differ in nothing but what no tool may see.

Every hidden value holds a mark of its world; what the masks let through of a value is the same in
both. A tool that gets the same bytes from both has learnt nothing.
"""

from __future__ import annotations

import base64
import re
import struct
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from tests.bypass.client import Client
from tests.world import World

FOLDER: Final = Path(__file__).parent
POLICY: Final = FOLDER / "policy"

_TEXTS: Final = (
    "name email alias code doc blob tag status spell street word diary unlisted url note item sku"
    " about loose what internal nick"
).split()


@dataclass(frozen=True, slots=True)
class Words:
    """The hidden values of one world: `mark` is in every text, the numbers speak for themselves."""

    mark: str  # eight lower-case letters that occur nowhere else
    values: Mapping[str, str]

    def script(self, now: str) -> str:
        """rows.sql with the values of this world; `now` is the same in every world."""
        text = (FOLDER / "rows.sql").read_text()
        values = {**self.values, **{name: f"S{self.mark}-{name}" for name in _TEXTS}, "now": now}
        names = sorted(values, key=len, reverse=True)
        return re.sub(rf"(?<![:\w]):({'|'.join(names)})", lambda found: values[found[1]], text)

    def leaks(self) -> list[bytes]:
        """What must not be among the bytes that a tool receives, lower case."""
        mark = self.mark.encode()
        found = [mark, mark[::-1], mark.hex().encode()]
        known = b"S" + mark
        for at in range(3):
            # Base64 of a text looks different at each of three offsets; whole groups are certain.
            text = b"\0" * at + known
            groups = text[-(-at // 3) * 3 : len(text) // 3 * 3]
            found.append(base64.b64encode(groups).lower())
        for name in ("age", "big", "cents", "score", "small"):
            number = self.values[name]
            found.append(number[:4].encode() if name != "big" else number[:7].encode())
        for person in range(7, 11):
            found.append(struct.pack("!i", int(self.values["age"]) + person))
            found.append(struct.pack("!q", int(self.values["big"]) + person))
            found.append(struct.pack("!d", float(self.values["score"]) + person))
        return found


ONE: Final = Words(
    "zqxjkvpw",
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
    "vkwzjxqy",
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


# --- both of them, answering -----------------------------------------------------------------


@dataclass(slots=True)
class Side:
    """One world behind its proxy, with a connection per tool that is kept."""

    world: World
    leaks: list[bytes]  # what must not be among the bytes that a tool receives, lower case
    _clients: dict[str, Client] = field(default_factory=dict)

    def client(self, tool: str) -> Client:
        """An idle connection of the tool."""
        client = self._clients.get(tool)
        if client is None:
            client = self._clients[tool] = self.connect(tool)
        return client

    def connect(self, tool: str, **start: str) -> Client:
        """A connection of its own."""
        start = {"database": self.world.database, **start}
        return Client.connect(self.world.address, tool, self.world.passwords[tool], **start)

    def forget(self, tool: str) -> None:
        self._clients.pop(tool).close()

    def post(self, path: str, credential: str, body: object) -> tuple[int, bytes]:
        """Status and body, whatever they are."""
        request = urllib.request.Request(
            self.world.http + path,
            data=orjson.dumps(body),
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {self.world.tokens[credential]}",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def close(self) -> None:
        for tool in list(self._clients):
            self.forget(tool)


@dataclass(frozen=True, slots=True)
class Pair:
    sides: tuple[Side, Side]

    def record(self, subject: int, purpose: str, state: str, **more: object) -> None:
        for side in self.sides:
            side.world.record(subject, purpose, state, **more)


def people_speak(world: World) -> None:
    """Who agreed to what: 1 to 6 agreed; 7 never spoke, 8 refused, 9 withdrew, 10 is restricted."""
    for person in range(1, 7):
        world.record(person, "profile", "given")
        world.record(person, "campaign", "given")
    world.record(1, "profile", "given", category="user.guessed")
    for purpose in ("profile", "campaign"):
        world.record(8, purpose, "refused")
        world.record(9, purpose, "given")
        world.record(9, purpose, "withdrawn")
        world.record(10, purpose, "given")
    for person in (7, 8, 9):
        world.record(person, "service", "objected")
    world.record(10, None, "restricted")
