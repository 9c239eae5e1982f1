"""What a connection still has of whoever used it last: settings and prepared statements.

In transaction pooling a connection goes from client to client without being reset. What it has is
known here, so that the next one gets exactly its own; what is not known is not passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# A prepared statement takes some 20 to 100 KiB of its server process.
STATEMENTS_MAX: Final = 200
_ONCE_MAX: Final = 1000
# What the proxy itself runs takes a millisecond; longer limits are never in its way.
_LIMIT_SHORT_MS: Final = 10_000


class Settings:
    """Values that differ from the connection's defaults, by lower-case name. Not changed."""

    __slots__ = ("_mark", "has_short_limit", "values")

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values: Final[dict[str, str]] = dict(values)
        self._mark: Final[int] = hash(frozenset(self.values.items()))
        # It would count for what the proxy itself runs, or for a connection that rests.
        self.has_short_limit: Final[bool] = any(
            name.endswith("_timeout") and _is_short(name, value)
            for name, value in self.values.items()
        )

    def __hash__(self) -> int:
        return self._mark

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Settings)
            and self._mark == other._mark
            and self.values == other.values
        )

    def reset_for(self, wanted: Settings) -> list[str]:
        """Which to RESET on the way to `wanted`: also those that get another value then, since a
        partial one ('ISO' of DateStyle) is completed by what is there.
        """
        return [name for name, value in self.values.items() if wanted.values.get(name) != value]

    def missing_for(self, wanted: Settings) -> dict[str, str]:
        """Which to set on the way to `wanted`."""
        return {n: value for n, value in wanted.values.items() if self.values.get(n) != value}


def _is_short(name: str, value: str) -> bool:
    is_milliseconds = value.isascii() and value.isdigit()
    return name == "idle_session_timeout" or not is_milliseconds or int(value) < _LIMIT_SHORT_MS


DEFAULTS: Final = Settings({})


class StatementKey:
    """What a prepared statement is made of: equal ones are interchangeable.

    Literals are read when a statement is prepared (`'1 May'::timestamptz`), with the settings of
    that moment; names are looked up in the search path. So all settings are part of it.
    """

    __slots__ = ("_mark", "revision", "settings", "text", "types")

    def __init__(
        self, text: str, types: tuple[int, ...], settings: Settings, revision: str
    ) -> None:
        self.text: Final = text
        self.types: Final = types
        self.settings: Final = settings
        self.revision: Final = revision
        self._mark: Final[int] = hash((text, types, settings, revision))

    def __hash__(self) -> int:
        return self._mark

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, StatementKey)
            and self._mark == other._mark
            and self.text == other.text
            and self.types == other.types
            and self.revision == other.revision
            and self.settings == other.settings
        )


class Carried:
    """One connection's; a new one after each reset."""

    __slots__ = (
        "_names",
        "_once",
        "_outlived",
        "_prefix",
        "_statements",
        "_used",
        "needs_reset",
        "settings",
        "statements_max",
        "unnamed",
    )

    def __init__(self, prefix: bytes) -> None:
        """`prefix` begins the names of statements here; nobody else can guess it."""
        self._prefix: Final = prefix
        self._names: Final = re.compile(re.escape(prefix.decode()) + "[0-9]+")
        self.statements_max = STATEMENTS_MAX
        self._used = 0
        self._statements: dict[StatementKey, bytes] = {}  # the last used is the last
        self._once: set[int] = set()
        self._outlived: list[bytes] = []  # names of statements that are not used any more
        self.settings: Settings = DEFAULTS
        self.unnamed: StatementKey | None = None
        self.needs_reset = False
        """Something ran of which the proxy does not know all that it left."""

    @property
    def is_new(self) -> bool:
        return not (self._used or self.needs_reset or self.unnamed or self.settings.values)

    def name_of(self, key: StatementKey) -> bytes:
        """The name under which a statement is prepared here; b"": it is not."""
        name = self._statements.pop(key, b"")
        if name:
            self._statements[key] = name
        return name

    def is_again(self, key: StatementKey) -> bool:
        """Whether it is asked for a second time, so that preparing it under a name is worth it."""
        mark = hash(key)
        if mark in self._once:
            return True
        if len(self._once) >= _ONCE_MAX:
            self._once.clear()
        self._once.add(mark)
        return False

    def take(self, key: StatementKey) -> bytes:
        """The name under which a statement is prepared from now on."""
        name = self._statements.pop(key, b"")
        if not name:
            self._used += 1
            name = self._prefix + str(self._used).encode()
        self._statements[key] = name
        return name

    def surplus(self) -> bytes:
        """The name of a statement that must make room; b"": there is room."""
        if self._outlived:
            return self._outlived.pop()
        if len(self._statements) <= self.statements_max:
            return b""
        return self._statements.pop(next(iter(self._statements)))

    def as_named(self, text: str, name: str) -> str:
        """A text in which a statement has the name that its client gave it."""
        return self._names.sub(lambda _: name, text)

    def lose(self, key: StatementKey) -> bytes:
        """The statement is not, or perhaps not, prepared here; the name that it had."""
        if self.unnamed == key:
            self.unnamed = None
        name = self._statements.pop(key, b"")
        if name:
            self._outlived.append(name)
        return name

    def lose_all(self) -> None:
        """Nothing is prepared here."""
        self._statements.clear()
        self._outlived.clear()
        self.unnamed = None

    def outlive_all(self) -> None:
        """What is prepared here is not used again; it makes room, one for each new one."""
        self._outlived += self._statements.values()
        self._statements.clear()
        self.unnamed = None
