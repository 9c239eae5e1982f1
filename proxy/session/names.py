"""Names of prepared statements and of portals, as the upstream will know them.

An entry is made when its message is forwarded, before the answer is known; if the message fails
or is skipped, it is taken back. PostgreSQL keeps statements of Parse and of PREPARE under the
same names, as it does portals and cursors; and it compares no more than 63 bytes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

# NAMEDATALEN - 1: two names that agree this far are one name to PostgreSQL.
NAME_BYTES: Final = 63

T = TypeVar("T")


def key_of(name: bytes) -> bytes:
    return name[:NAME_BYTES]


class Entry(Generic[T]):
    """`value` None: the name does not exist (it was closed). `segment`: between which Syncs."""

    # No dataclass: mypyc can not compile one that is generic.
    __slots__ = ("is_pending", "previous", "segment", "value")

    def __init__(
        self,
        value: T | None,
        segment: int,
        is_pending: bool,  # noqa: FBT001 - mypyc is slower with keywords
        previous: Entry[T] | None = None,
    ) -> None:
        self.value = value
        self.segment = segment
        self.is_pending = is_pending
        self.previous = previous


class Names(Generic[T]):
    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry[T]] = {}

    def get(self, name: bytes) -> T | None:
        entry = self._entries.get(key_of(name))
        return None if entry is None else entry.value

    def entry(self, name: bytes) -> Entry[T] | None:
        return self._entries.get(key_of(name))

    def is_open_question(self, name: bytes, segment: int) -> bool:
        """Whether what the name means hangs on an earlier segment that is not answered yet.

        Within a segment it does not: if an earlier message fails, the later ones are skipped.
        """
        entry = self._entries.get(key_of(name))
        return entry is not None and entry.is_pending and entry.segment != segment

    def set(self, name: bytes, value: T | None, segment: int, *, is_pending: bool) -> Entry[T]:
        key = key_of(name)
        entry = Entry(value, segment, is_pending, self._entries.get(key) if is_pending else None)
        self._entries[key] = entry
        return entry

    def exchange(self, name: bytes, value: T) -> None:
        """Know a name that exists by another value; what is pending about it stays so."""
        self._entries[key_of(name)].value = value

    def confirm(self, name: bytes, entry: Entry[T]) -> None:
        """The upstream has done it."""
        entry.is_pending = False
        entry.previous = None
        if entry.value is None and self._entries.get(key_of(name)) is entry:
            del self._entries[key_of(name)]

    def take_back(self, name: bytes, entry: Entry[T], *, is_gone: bool = False) -> None:
        """The upstream has not done it; `is_gone`: what the name meant before is lost as well."""
        key = key_of(name)
        before = None if is_gone else entry.previous
        current = self._entries.get(key)
        if current is entry:
            if before is None:
                del self._entries[key]
            else:
                self._entries[key] = before
            return
        while current is not None:
            if current.previous is entry:
                current.previous = before
                return
            current = current.previous

    def remove(self, name: bytes) -> None:
        """The name does not exist any more, and nothing about it is pending."""
        self._entries.pop(key_of(name), None)

    def remove_until(self, segment: int, keeps: Callable[[T], bool]) -> list[T]:
        """Remove what was made up to a segment (its transaction has ended); what was removed."""
        gone = [
            (key, entry)
            for key, entry in self._entries.items()
            if entry.segment <= segment and not (entry.value is not None and keeps(entry.value))
        ]
        for key, _ in gone:
            del self._entries[key]
        return [entry.value for _, entry in gone if entry.value is not None]

    def __len__(self) -> int:
        return len(self._entries)

    def values(self) -> list[T]:
        return [entry.value for entry in self._entries.values() if entry.value is not None]

    def clear(self) -> None:
        self._entries.clear()
