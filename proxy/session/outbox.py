"""Bytes on their way to the client, with barriers in between.

A barrier is an access record that is not durable yet: what was put behind it stays until it is (G4:
no row without a record). No I/O: the edge gives a function that takes bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.session.services import Ticket


class RecordLost(Exception):  # noqa: N818 - an event
    """An access record will never be durable: what would stand behind it must not leave."""


class Outbox:
    """Order is kept: bytes before a barrier go at once, bytes behind it wait."""

    __slots__ = ("_items", "_on_failed", "_on_released", "_write", "held")

    def __init__(
        self,
        write: Callable[[bytes], None],
        on_released: Callable[[], None],
        on_failed: Callable[[], None],
    ) -> None:
        self._write = write
        self._on_released = on_released
        self._on_failed = on_failed
        self._items: list[bytes | Ticket] = []
        self.held = 0
        """Bytes that wait."""

    def put(self, data: bytes) -> None:
        self._items.append(data)
        self.held += len(data)

    def send(self, data: bytes) -> None:
        """Put bytes, and hand on at once what no barrier holds back."""
        if not self._items:
            self._write(data)
        else:
            self.put(data)
            self.flush()

    def barrier(self, ticket: Ticket) -> None:
        """From here on, nothing leaves before `ticket` is durable; or RecordLost."""
        if ticket.is_durable:
            return
        if ticket.failed:
            raise RecordLost
        self._items.append(ticket)
        ticket.add_done_callback(self._settled)

    def _settled(self, ticket: Ticket) -> None:
        if ticket.failed:
            # Its record will never be: what stands behind must never leave.
            if ticket in self._items:
                self._on_failed()
            return
        self.flush()
        self._on_released()

    def flush(self) -> None:
        """Hand on all that no barrier holds back."""
        items = self._items
        ready: list[bytes] = []
        passed = 0
        for item in items:
            if isinstance(item, bytes):
                ready.append(item)
            elif not item.is_durable:
                break
            passed += 1
        del items[:passed]
        if ready:
            data = ready[0] if len(ready) == 1 else b"".join(ready)
            self.held -= len(data)
            self._write(data)

    def drop(self) -> None:
        """Forget everything that waits."""
        self._items.clear()
        self.held = 0
