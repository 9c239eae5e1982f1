"""What workers say to each other: the kernel hands a request to any of them, and it may be for one
other (a cancel request) or for all (the metrics).

Every worker has a datagram socket that all others can write to. A datagram arrives whole or not
at all, and a full one is dropped: a cancel request promises nothing, and nobody may be held up
by whoever sends many. A question for metrics carries the socket that it is to be answered on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

_NUMBER_BYTES: Final = 4
_DATAGRAM_BYTES_MAX: Final = 64  # a number and the longest secret, 32 bytes
_QUESTION: Final = b"?"
# A worker that is so busy is left out of the page, and counted by its absence.
_ANSWER_S: Final = 2.0
_PAGE_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkerPost:
    """One worker's box, and the slots of everybody's. A worker that is started again keeps it."""

    worker: int
    box: socket.socket
    slots: Sequence[socket.socket]
    _answers: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    def for_workers(cls, count: int) -> list[Self]:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(count)]
        for pair in pairs:
            for each in pair:
                each.setblocking(False)
        slots = tuple(slot for slot, _ in pairs)
        return [cls(worker, box, slots) for worker, (_, box) in enumerate(pairs)]

    # --- cancel requests ---

    def forward(self, worker: int, number: int, secret: bytes) -> None:
        """For `PostgresDoor`: give a request to its worker. `worker` is what a stranger wrote."""
        if worker < len(self.slots):
            with contextlib.suppress(OSError):
                self.slots[worker].send(number.to_bytes(_NUMBER_BYTES, "big") + secret)

    # --- metrics ---

    async def pages(self) -> list[bytes]:
        """What the other workers answer to a question for their metrics."""
        asked = (self._ask(slot) for at, slot in enumerate(self.slots) if at != self.worker)
        return [page for page in await asyncio.gather(*asked) if page]

    async def _ask(self, slot: socket.socket) -> bytes:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        page = bytearray()
        with ours:
            with theirs:
                try:
                    socket.send_fds(slot, [_QUESTION], [theirs.fileno()])
                except OSError:
                    return b""
            try:
                async with asyncio.timeout(_ANSWER_S):
                    while part := await asyncio.get_running_loop().sock_recv(ours, 1 << 16):
                        page += part
                        if len(page) > _PAGE_BYTES_MAX:
                            return b""
            except (OSError, TimeoutError):
                return b""
        return bytes(page)

    async def _answer(self, answer: socket.socket, page: Callable[[], bytes]) -> None:
        with answer, contextlib.suppress(OSError, TimeoutError):
            answer.setblocking(False)
            async with asyncio.timeout(_ANSWER_S):
                await asyncio.get_running_loop().sock_sendall(answer, page())

    # --- in the worker's loop ---

    def listen(self, cancel: Callable[[int, bytes], None], page: Callable[[], bytes]) -> None:
        """From now on, call `cancel(number, secret)` for every request that arrives, and answer
        questions with `page()`.
        """

        def arrived() -> None:
            with contextlib.suppress(OSError):
                request, handles, _, _ = socket.recv_fds(self.box, _DATAGRAM_BYTES_MAX, 1)
                answers = [socket.socket(fileno=handle) for handle in handles]
                if request != _QUESTION:
                    # A worker that was started again may find requests for the one before: their
                    # numbers and secrets fit none of its own.
                    cancel(int.from_bytes(request[:_NUMBER_BYTES], "big"), request[_NUMBER_BYTES:])
                for each in answers:
                    task = asyncio.get_running_loop().create_task(self._answer(each, page))
                    self._answers.add(task)
                    task.add_done_callback(self._answers.discard)

        asyncio.get_running_loop().add_reader(self.box, arrived)

    def stop_listening(self) -> None:
        asyncio.get_running_loop().remove_reader(self.box)
