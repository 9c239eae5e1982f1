"""Cancel requests between workers: the kernel hands them to any worker, one can fulfil them.

Every worker has a datagram socket that all others can write to. A datagram arrives whole or not
at all, and a full one is dropped: a cancel request promises nothing, and nobody may be held up
by whoever sends many.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

_NUMBER_BYTES: Final = 4
_DATAGRAM_BYTES_MAX: Final = 64  # a number and the longest secret, 32 bytes


@dataclass(frozen=True, slots=True)
class CancelPost:
    """One worker's box, and the slots of everybody's. A worker that is started again keeps it."""

    box: socket.socket
    slots: Sequence[socket.socket]

    @classmethod
    def for_workers(cls, count: int) -> list[Self]:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(count)]
        for pair in pairs:
            for each in pair:
                each.setblocking(False)
        slots = tuple(slot for slot, _ in pairs)
        return [cls(box, slots) for _, box in pairs]

    def forward(self, worker: int, number: int, secret: bytes) -> None:
        """For `PostgresDoor`: give a request to its worker. `worker` is what a stranger wrote."""
        if worker < len(self.slots):
            with contextlib.suppress(OSError):
                self.slots[worker].send(number.to_bytes(_NUMBER_BYTES, "big") + secret)

    def listen(self, cancel: Callable[[int, bytes], None]) -> None:
        """Call `cancel(number, secret)` in the running loop for every request that arrives."""

        def arrived() -> None:
            with contextlib.suppress(OSError):
                request = self.box.recv(_DATAGRAM_BYTES_MAX)
                cancel(int.from_bytes(request[:_NUMBER_BYTES], "big"), request[_NUMBER_BYTES:])

        # A worker that was started again may find requests for the one before: their numbers and
        # secrets fit none of its own.
        asyncio.get_running_loop().add_reader(self.box, arrived)

    def stop_listening(self) -> None:
        asyncio.get_running_loop().remove_reader(self.box)
