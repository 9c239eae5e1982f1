"""Damaged conversations of drivers through the whole proxy, to a real PostgreSQL."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest
import structlog

from proxy.wire import messages as m
from tests.bypass.client import Client, rows_of
from tests.errors.conftest import Beside
from tests.fuzz.depth import streams
from tests.fuzz.test_conversations import SEEDS, chunked, damaged


def whole_answer(client: Client) -> bytes:
    """Everything up to the end of the connection, which must come."""
    got = bytearray()
    client.socket.settimeout(30)
    while data := client.socket.recv(1 << 16):
        got += data
    return bytes(got)


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_damaged_conversation_ends_and_harms_nobody(beside: Beside, path: Path) -> None:
    recorded = path.read_bytes()
    world = beside.world
    for seed in streams(0, 1, 8):
        chance = random.Random(seed)
        client = Client.connect(
            world.address, "analyst", world.passwords["analyst"], database=world.database
        )
        with structlog.testing.capture_logs() as logs:
            try:
                for chunk in chunked(chance, damaged(chance, recorded)):
                    client.socket.sendall(chunk)
                client.socket.shutdown(socket.SHUT_WR)
                answer = whole_answer(client)
            except (BrokenPipeError, ConnectionResetError):
                answer = b""  # cut off in the middle of what it said
            client.close()
        assert not [each for each in logs if each["log_level"] == "error"], (seed, logs)
        check_stream(answer)
        assert rows_of(beside.proxied.simple("SELECT id FROM orders ORDER BY id")) == [
            [b"10"],
            [b"11"],
        ]


def check_stream(answer: bytes) -> None:
    """Whole messages but for the last one, and no internal error among them."""
    at = 0
    while len(answer) - at >= 5:
        length = int.from_bytes(answer[at + 1 : at + 5], "big") + 1
        assert chr(answer[at]) in "RSKZTDC123nsItEANHdc"
        if answer[at] == m.ERROR and at + length <= len(answer):
            fields = m.read_fields(answer[at : at + length])
            assert fields["C"] != "XX000", fields
        at += length
