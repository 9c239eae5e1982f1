"""G3: withdrawal works at once, whatever a tool holds on to."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from typing import Final

import pytest

from proxy.wire import messages as m
from tests.promises.holders import ONE, sessions
from tests.wire.raw import Raw
from tests.world import World

REPETITIONS: Final = 200
# How often each way of withdrawing is taken; the ledger's own does the rest.
BY_COMMAND, BY_HTTP = 6, 34
HAMMERED: Final = 40


def _by_ledger(world: World, person: int) -> None:
    world.record(person, "email_campaign", "withdrawn")


def _by_command(world: World, person: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from proxy.cli.main import main; main()",
         "consent", "withdraw", "--subject", str(person),
         "--purpose", "email_campaign", "--config", str(world.folder / "consent-proxy.yaml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _by_http(world: World, person: int) -> None:
    body = {"subject": person, "purpose": "email_campaign", "state": "withdrawn"}
    request = urllib.request.Request(
        f"{world.http}/v1/consents",
        data=json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {world.tokens['consent']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201


def _way(repetition: int) -> Callable[[World, int], None]:
    if repetition % (REPETITIONS // BY_COMMAND) == 1:
        return _by_command
    if repetition % (REPETITIONS // BY_HTTP) == 2:
        return _by_http
    return _by_ledger


@pytest.mark.slow
async def test_no_value_after_the_answer_of_a_withdrawal_whatever_a_tool_holds(
    world: World,
) -> None:
    """Two hundred times: a prepared statement, an open portal, a cursor, a REPEATABLE READ
    transaction and more see a value; it is withdrawn; none sees it again.
    """
    async with sessions(world) as held:
        for repetition in range(REPETITIONS):
            person = 1 + repetition % 40
            value = f"p{person}@example.com".encode()
            world.record(person, "email_campaign", "given")
            for holder, raw in held:
                assert value in await holder.take(raw, person), type(holder).__name__
            await asyncio.to_thread(_way(repetition), world, person)
            for holder, raw in held:
                seen = await holder.show(raw, person)
                assert value not in seen, type(holder).__name__
                is_refused = b"C40001\0" in seen
                assert is_refused == holder.is_snapshot, type(holder).__name__
                assert is_refused or b"p***@example.com" in seen, type(holder).__name__


class Hammer:
    """A session that asks for one person's value without pause, and notes what it may see."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.person = 1
        self.is_withdrawn = False
        self.is_over = False
        self.values = 0
        self.asked_after = 0

    async def run(self) -> None:
        raw = await Raw.login(
            self._world.address[1], self._world.database, "mailer", self._world.passwords["mailer"]
        )
        raw.send(m.parse(b"held", ONE.format("$1").encode(), [20]), m.SYNC_MESSAGE)
        _ = await raw.until_ready()
        while not self.is_over:
            person, was_withdrawn = self.person, self.is_withdrawn
            parameter = str(person).encode()
            raw.send(m.bind(b"", b"held", [parameter]), m.execute(b""), m.SYNC_MESSAGE)
            seen = b"".join(data for _, data in await raw.until_ready())
            has_value = f"p{person}@example.com".encode() in seen
            assert not (was_withdrawn and has_value), "a value after the withdrawal's answer"
            self.values += has_value
            self.asked_after += was_withdrawn
        raw.close()


async def test_sessions_in_full_flight_see_nothing_that_was_asked_for_after_the_answer(
    world: World,
) -> None:
    hammers = [Hammer(world) for _ in range(4)]
    tasks = [asyncio.create_task(hammer.run()) for hammer in hammers]
    for repetition in range(HAMMERED):
        for hammer in hammers:
            hammer.person, hammer.is_withdrawn = 1 + repetition % 40, False
        await asyncio.to_thread(world.record, 1 + repetition % 40, "email_campaign", "given")
        await _more(hammers, tasks, lambda hammer: hammer.values)
        await asyncio.to_thread(_by_ledger, world, 1 + repetition % 40)
        for hammer in hammers:
            hammer.is_withdrawn = True
        await _more(hammers, tasks, lambda hammer: hammer.asked_after)
    for hammer in hammers:
        hammer.is_over = True
    await asyncio.gather(*tasks)


async def _more(
    hammers: list[Hammer], tasks: list[asyncio.Task[None]], count: Callable[[Hammer], int]
) -> None:
    """Wait until every hammer has counted three more."""
    wanted = [count(hammer) + 3 for hammer in hammers]
    while any(count(hammer) < each for hammer, each in zip(hammers, wanted, strict=True)):
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.001)
