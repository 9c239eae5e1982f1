"""Whatever clients and upstream say: messages, a clean refusal or a closed connection.

Never a fault of ours, work without end, something left behind, or bytes of one client to another.
FUZZ_DEPTH multiplies the streams, FUZZ_SEED takes others; a failure names the seed.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

import pytest

from proxy.wire import messages as m
from tests.fuzz.arena import Arena, play
from tests.fuzz.depth import streams
from tests.fuzz.moves import CANNED, make_moves

BLOCKS: Final = 8
SEEDS: Final = sorted((Path(__file__).parent / "seeds").glob("*.bin"))


def replay(seed: int, *, is_honest: bool) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(chance.choice((10, 40, 100, 300)))
    try:
        play(lambda arena: make_moves(arena, data), is_honest=is_honest)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {data.hex()}") from error


@pytest.mark.parametrize("block", range(BLOCKS))
def test_any_moves_against_an_honest_upstream_are_answered_or_end_the_session(block: int) -> None:
    for seed in streams(block, BLOCKS, 1000):
        replay(seed, is_honest=True)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_any_moves_with_a_hostile_upstream_end_the_session_at_worst(block: int) -> None:
    for seed in streams(block, BLOCKS, 1000):
        replay(seed, is_honest=False)


# --- conversations of real drivers, damaged ----------------------------------------------------


def damaged(chance: random.Random, recorded: bytes) -> bytes:
    """A recorded conversation with some of its messages or bytes changed."""
    if chance.random() < 0.6:
        pieces = list(split(recorded))
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(pieces))
            match chance.randrange(5):
                case 0:
                    pieces.insert(at, chance.choice(CANNED))
                case 1:
                    pieces[at] = chance.choice(CANNED)
                case 2:
                    pieces.insert(at, pieces[chance.randrange(len(pieces))])
                case 3:
                    pieces[at] = pieces[at][: chance.randrange(len(pieces[at]) + 1)]
                case _ if len(pieces) > 1:
                    del pieces[at]
        return b"".join(pieces)
    data = bytearray(recorded)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                data[at:at] = chance.randbytes(chance.randrange(8))
            case _:
                del data[at : at + chance.randrange(8)]
        if not data:
            break
    return bytes(data)


def split(recorded: bytes) -> list[bytes]:
    pieces, at = [], 0
    while at < len(recorded):
        length = int.from_bytes(recorded[at + 1 : at + 5], "big") + 1
        pieces.append(recorded[at : at + length])
        at += length
    return pieces


def chunked(chance: random.Random, data: bytes) -> list[bytes]:
    chunks, at = [], 0
    size = chance.choice((1, 3, 17, 200, 100_000))
    while at < len(data):
        length = chance.randint(1, size)
        chunks.append(data[at : at + length])
        at += length
    return chunks


async def _converse(arena: Arena, chance: random.Random, data: bytes) -> None:
    player, other = arena.join(), arena.join()
    arena.send(other, m.query(b"SELECT rows 3 FROM people"))
    for chunk in chunked(chance, data):
        arena.send(player, chunk)
        if chance.random() < 0.3:
            await arena.settle()
    await arena.settle()
    arena.send(other, m.query(b"SELECT rows 2 FROM people"))
    await arena.settle()
    assert other.got.count(other.mark) == 5


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_drivers_conversation_is_answered_whole(path: Path) -> None:
    recorded = path.read_bytes()

    async def moves(arena: Arena) -> None:
        player = arena.join()
        arena.send(player, recorded)
        await arena.settle()
        # What a double can not do as PostgreSQL does is an error; an end it must not be.
        assert not player.line.is_closing() or recorded.endswith(m.TERMINATE_MESSAGE)

    play(moves)


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_drivers_conversation_may_be_damaged_anywhere(path: Path) -> None:
    recorded = path.read_bytes()
    for seed in streams(0, 1, 30):
        chance = random.Random(seed)
        data = damaged(chance, recorded)
        try:
            play(lambda arena: _converse(arena, random.Random(seed), data))  # noqa: B023
        except Exception as error:
            raise AssertionError(f"seed {seed}: {data.hex()}") from error
