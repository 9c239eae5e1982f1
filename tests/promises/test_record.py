"""G4: no row without a record, whatever happens to the proxy or its disk."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from proxy.access_log.verify import INTACT, verify
from proxy.demo.embedded import EmbeddedPostgres
from proxy.wire import messages as m
from tests.promises.conftest import DRIVERS
from tests.promises.process import Process, records
from tests.wire.raw import Failed, Raw, kinds
from tests.world import World

KILLS: Final = 20
CLIENTS: Final = 4
PIPELINED: Final = 8
# The log keeps 64 MiB of its disk free, so as to be able to say that it is sealed.
DISK_BYTES: Final = 72 * 1024 * 1024
TEXT: Final = b"SELECT id, email FROM crm.customers WHERE id = $1"


@pytest.fixture
def prepared(postgres: EmbeddedPostgres, promised_database: str, tmp_path: Path) -> Iterator[World]:
    """Files and database of a proxy that does not run."""
    # With `host` a record waits for the disk: the time in which a result could overtake it is long.
    made = World(postgres, promised_database, DRIVERS / "policy", tmp_path, durability="host")
    with made as world:
        for person in range(1, 41):
            world.record(person, "email_campaign", "given")
    yield world
    shutil.rmtree(tmp_path, ignore_errors=True)


class Client:
    """Asks without pause, several statements at a time, and counts the results it received."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.results = 0

    async def run(self, process: Process) -> None:
        raw = await process.login(application_name=self.name)
        raw.send(m.parse(b"held", TEXT, [20]), m.SYNC_MESSAGE)
        _ = await raw.until_ready()
        asked = b"".join(
            (m.bind(b"", b"held", [b"7"]), m.execute(b""), m.SYNC_MESSAGE)
        )  # fmt: skip
        while True:
            raw.send(asked * PIPELINED)
            for _ in range(PIPELINED):
                await self._result(raw)

    async def _result(self, raw: Raw) -> None:
        is_counted = False
        while True:
            kind, data = await raw.next()
            if kind == "D" and not is_counted:
                assert b"p7@example.com" in data
                self.results += 1
                is_counted = True
            if kind == "Z":
                return


@pytest.mark.slow
async def test_every_result_that_was_received_before_a_kill_has_its_intent(
    prepared: World,
) -> None:
    chance = random.Random(20)
    clients: list[Client] = []
    for kill in range(KILLS):
        with Process(prepared) as process:
            asking = [Client(f"kill{kill}-{number}") for number in range(CLIENTS)]
            clients += asking
            tasks = [asyncio.create_task(client.run(process)) for client in asking]
            enough = chance.randrange(1, 400)
            while sum(client.results for client in asking) < enough:
                assert not any(task.done() for task in tasks)
                await asyncio.sleep(0)
            process.kill()
            # What the kernel still has for the clients was released as well: they read it all.
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(each, OSError | EOFError) for each in done), done
    report = verify(prepared.access_log)
    assert report.exit_code == INTACT, list(report.lines())
    intents = Counter(
        record["application_name"]
        for record in records(prepared.access_log)
        if record["kind"] == "access.intent"
    )
    for client in clients:
        assert client.results <= intents[client.name], client.name


async def _fill(process: Process) -> None:
    """Another program takes all that is left of the disk."""
    with (process.access_log / "other-program").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(1024 * 1024))
            except OSError:
                return


async def _limit(process: Process) -> None:
    """No file of the process may grow by more than half a record."""
    largest = max(path.stat().st_size for path in process.access_log.rglob("*") if path.is_file())
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest + 300, largest + 300))


def _can_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0
    )


# A full disk needs root to make one; a file that can not grow fails the same write everywhere.
WAYS: Final = {"limit": (_limit, None)} | (
    {"full disk": (_fill, DISK_BYTES)} if _can_mount() else {}
)


@pytest.mark.parametrize("way", WAYS)
async def test_a_disk_that_takes_no_more_seals_the_log_and_no_row_leaves_after_that(
    prepared: World, way: str
) -> None:
    break_disk, disk_bytes = WAYS[way]
    with Process(prepared, disk_bytes=disk_bytes) as process:
        old = await process.login(application_name="old")
        text = TEXT.decode().replace("$1", "7")
        results = 0
        for _ in range(50):
            seen = await old.query(text)
            results += "D" in kinds(seen)
        assert results == 50
        await break_disk(process)
        refused = 0
        for _ in range(50):
            seen = await _query(old, text)
            results += "D" in kinds(seen)
            refused += any(kind == "E" and b"C58030\0" in data for kind, data in seen)
            if seen[-1][0] != "Z":
                break  # the session has ended with the statement whose record failed
        assert refused > 0
        intents = [
            record
            for record in records(process.access_log)
            if record["kind"] == "access.intent" and record.get("application_name") == "old"
        ]
        assert results <= len(intents)
        for _ in range(3):
            await _is_refused(process, text)
        assert verify(process.access_log).exit_code == INTACT


async def _query(raw: Raw, text: str) -> list[tuple[str, bytes]]:
    """What is answered until the session is ready, or has ended."""
    seen: list[tuple[str, bytes]] = []
    raw.send(m.query(text.encode()))
    try:
        while not seen or seen[-1][0] != "Z":
            seen.append(await raw.next())
    except (OSError, EOFError):
        pass
    return seen


async def _is_refused(process: Process, text: str) -> None:
    """A new session is refused, or its statement is."""
    try:
        raw = await process.login(application_name="new")
    except Failed as failed:
        assert failed.fields["C"] == "58030"  # noqa: PT017 - either way is right
        return
    seen = await _query(raw, text)
    assert "D" not in kinds(seen)
    assert any(b"C58030\0" in data for kind, data in seen if kind == "E")
    raw.close()
