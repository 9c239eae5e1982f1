"""Who has not logged in can say anything, and gets nowhere by it."""

from __future__ import annotations

import random
from typing import Final

import pytest

from proxy.wire import messages as m
from proxy.wire.startup import SSL_REQUEST, cancel_request, startup_message
from tests.fuzz.arena import Arena, play
from tests.fuzz.depth import streams
from tests.fuzz.moves import CANNED
from tests.fuzz.test_conversations import chunked

GSS_REQUEST: Final = b"\0\0\0\x08\x04\xd2\x16\x30"
TLS_HELLO: Final = b"\x16\3\1\0\xfa\1\0\0\xf6\3\3" + bytes(range(64))


def _sasl(mechanism: bytes, first: bytes) -> bytes:
    return m.message(m.PASSWORD, mechanism + b"\0" + len(first).to_bytes(4, "big") + first)


WORDS: Final = (
    SSL_REQUEST,
    GSS_REQUEST,
    TLS_HELLO,
    cancel_request(1, b"1234"),
    cancel_request(1, b"x" * 256),
    startup_message({"user": "mailer", "database": "crm"}),
    startup_message({"user": "mailer", "database": "crm@service", "options": "-c a=b -c\\ x"}),
    startup_message({"user": "nobody", "replication": "true"}),
    startup_message({"user": ""}),
    startup_message({"user": "mailer", "_pq_.grease": "x", "search_path": "public"}),
    b"\0\0\0\x08\0\2\0\0",
    b"\0\0\0\x09\0\3\0\0\0",
    _sasl(b"SCRAM-SHA-256", b"n,,n=,r=abcdefghijklmnopqrstuvwx"),
    _sasl(b"SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abcdefghijklmnop"),
    _sasl(b"SCRAM-SHA-256", b"y,,n=mailer,r=" + b"x" * 300),
    _sasl(b"", b""),
    m.message(m.PASSWORD, b"c=biws,r=abcdefghijklmnopqrstuvwx,p=" + b"A" * 44),
    m.message(m.PASSWORD, b"password\0"),
    m.message(m.PASSWORD),
    b"p\xff\xff\xff\xff",
    *CANNED[:3],
)


def babble(chance: random.Random) -> bytes:
    words = [chance.choice(WORDS) for _ in range(chance.randint(1, 4))]
    if chance.random() < 0.5:
        words.insert(0, WORDS[5])
    data = bytearray(b"".join(words))
    for _ in range(chance.choice((0, 0, 1, 3))):
        at = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                data[at:at] = chance.randbytes(3)
            case _ if len(data) > 8:
                del data[at : at + 3]
    return bytes(data)


@pytest.mark.parametrize("block", range(4))
def test_no_stranger_gets_in_by_talking(block: int) -> None:
    for seed in streams(block, 4, 600):
        chance = random.Random(seed)
        data = babble(chance)

        async def moves(arena: Arena, chance: random.Random = chance, data: bytes = data) -> None:
            player, other = arena.join(is_logged_in=False), arena.join()
            for chunk in chunked(chance, data):
                arena.send(player, chunk)
            await arena.settle()
            assert player.session._state is None
            assert b"R\0\0\0\x08\0\0\0\0" not in player.got  # AuthenticationOk
            assert m.ready(m.IDLE) not in player.got
            arena.send(other, m.query(b"SELECT rows 2 FROM people"))
            await arena.settle()
            assert other.got.count(other.mark) == 2

        try:
            play(moves)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {data.hex()}") from error
