"""The demo as a newcomer meets it: one command, and every line that it prints is pasted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).parent / "consent-proxy"
START_S = 120


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the demo printed, while it runs."""
    folder = tmp_path_factory.mktemp("demo")
    output, ready_file = folder / "output", folder / "ready.json"
    with output.open("w") as file:
        process = subprocess.Popen(
            [
                COMMAND, "demo", "--folder", folder / "house", "--customers", "400",
                "--postgres", "127.0.0.1:0", "--http", "127.0.0.1:0",
                "--ready-file", ready_file,
            ],
            stdout=file,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        end = time.monotonic() + START_S
        while "Ctrl-C ends the demo" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < end, output.read_text()
            time.sleep(0.1)
        assert json.loads(ready_file.read_text())["pid"] == process.pid
        yield output.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_each_of_the_five_things_works_when_pasted(printed: str) -> None:
    things = re.split(r"^\d\. ", printed, flags=re.MULTILINE)[1:]
    assert len(things) == 5
    newsletter, guess, follow, withdrawal, record = (_paste(thing) for thing in things)

    listed, withdrew = newsletter
    assert "(5 rows)" in listed
    assert "-01-01" in listed  # dates of birth are cut to the year
    assert "(0 rows)" in withdrew

    assert 'column "expecting_score" does not exist' in guess[0]

    assert re.search(r"\([1-5] rows?\)", follow[0])
    sources = set(re.findall(r"\| (\w+)$", follow[0], flags=re.MULTILINE))
    assert sources <= {"source", "dealer_site", "first_party_form"}

    before, recorded, after = withdrawal
    assert "(1 row)" in before
    assert recorded.startswith("event ")
    assert "(0 rows)" in after

    tail, search = record
    assert "access.outcome" in tail
    assert "tool=mailer" in search
    assert "@" not in search  # no value, and no literal


def _paste(thing: str) -> list[str]:
    commands = [line for line in thing.splitlines() if re.match(r"(PGPASSFILE=|/)", line)]
    assert commands
    return [
        subprocess.run(
            ["/bin/sh", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # what psql says of an error is a part of the answer
            text=True,
            check=False,
            env={**os.environ, "PAGER": "cat", "LC_ALL": "C.UTF-8"},
            timeout=60,
        ).stdout
        for command in commands
    ]
