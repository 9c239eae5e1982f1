"""Messages: what is built is read back, else it is the peer's fault, and cuts change nothing."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ClientProtocolError, UpstreamProtocolError
from proxy.wire import messages as m
from proxy.wire.framing import execute_ahead
from proxy.wire.scram import ScramClient, ScramError, ScramServer
from proxy.wire.startup import StartupMessage, read_options, read_packet, startup_message
from tests.fuzz.arena import Arena, play
from tests.fuzz.depth import streams
from tests.fuzz.test_conversations import SEEDS, chunked
from tests.wire.doubles import PASSWORD, FakeCredentials

NAMES: Final = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b""))
TEXTS: Final = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)
WORDS: Final = TEXTS.filter(lambda text: text == "".join(text.split()))
READERS: Final[tuple[Callable[[bytes], Any], ...]] = (
    m.read_query, m.read_parse, m.read_bind, m.read_target, m.read_execute, m.read_tag,
    m.read_fields, m.read_parameter_status, m.read_parameter_types, m.read_columns, m.read_status,
    lambda whole: m.read_row(whole, 0), lambda whole: execute_ahead(whole, b""),
)  # fmt: skip


@given(name=NAMES, text=NAMES, types=st.lists(st.integers(0, 2**32 - 1), max_size=9))
def test_parse_is_read_as_it_was_built(name: bytes, text: bytes, types: list[int]) -> None:
    assert m.read_parse(m.parse(name, text, types)) == (name, text, tuple(types))
    assert m.read_query(m.query(text)) == text


@given(name=NAMES, other=NAMES, limit=st.integers(-(2**31), 2**31 - 1))
def test_names_are_read_as_they_were_built(name: bytes, other: bytes, limit: int) -> None:
    assert m.read_bind(m.bind(name, other, [b"x", None], result_formats=[1])) == (name, other)
    assert m.read_execute(m.execute(name, limit)) == (name, limit)
    for what in (b"S", b"P"):
        assert m.read_target(m.describe(what, name)) == (what[0], name)
        assert m.read_target(m.close(what, name)) == (what[0], name)


@given(fields=st.dictionaries(st.sampled_from("SVCMDHPpqWstcdnFLR"), TEXTS))
def test_errors_are_read_as_they_were_built(fields: dict[str, str]) -> None:
    assert m.read_fields(m.error(m.ERROR, fields)) == fields


@given(values=st.lists(st.none() | st.binary(max_size=40), max_size=20), before=st.binary())
def test_rows_are_read_as_they_were_built(values: list[bytes | None], before: bytes) -> None:
    parts = [
        b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value
        for value in values
    ]
    row = m.message(m.DATA_ROW, len(values).to_bytes(2, "big") + b"".join(parts))
    assert m.read_row(before + row, len(before)) == (values, len(before) + len(row))


@given(body=st.binary(max_size=60), kind=st.integers(0, 255))
def test_any_body_is_read_or_is_the_peers_fault(body: bytes, kind: int) -> None:
    for reader in READERS:
        try:
            reader(m.message(kind, body))
        except (ClientProtocolError, UpstreamProtocolError):
            continue


@given(
    parameters=st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=6),
    minor=st.integers(0, 65535),
    rest=st.binary(max_size=10),
)
def test_a_startup_packet_is_read_as_it_was_built(
    parameters: dict[str, str], minor: int, rest: bytes
) -> None:
    packet = bytearray(startup_message(parameters))
    packet[6:8] = minor.to_bytes(2, "big")
    found = read_packet(bytes(packet) + rest)
    assert found is not None
    message, length = found
    assert isinstance(message, StartupMessage)
    assert (message.minor, length) == (minor, len(packet))
    known = {name: text for name, text in parameters.items() if not name.startswith("_pq_.")}
    assert dict(message.parameters) == known
    for cut in range(0, len(packet), 7):
        assert read_packet(bytes(packet[:cut])) is None


@given(data=st.binary(max_size=80))
def test_any_first_bytes_are_a_packet_the_beginning_of_one_or_a_fault(data: bytes) -> None:
    try:
        read_packet(data)
        read_packet((8 + len(data)).to_bytes(4, "big") + b"\0\3\0\0" + data)
    except ClientProtocolError:
        return


@given(
    settings=st.dictionaries(
        st.from_regex(r"[a-z_.]{1,12}", fullmatch=True),
        WORDS,
        max_size=4,
    )
)
def test_options_are_read_as_postgresql_reads_them(settings: dict[str, str]) -> None:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace(" ", "\\ ")

    long = " ".join(f"--{name}={escaped(value)}" for name, value in settings.items())
    short = " ".join(f"-c {name}={escaped(value)}" for name, value in settings.items())
    assert read_options(long) == read_options(short) == list(settings.items())


@given(first=st.binary(max_size=60), final=st.binary(max_size=80))
def test_any_words_of_scram_are_an_answer_or_an_error(first: bytes, final: bytes) -> None:
    verifier = FakeCredentials.scram_verifier(_CREDENTIALS, "mailer")
    assert verifier is not None
    for words in (first, b"n,,n=,r=" + first):
        server = ScramServer("SCRAM-SHA-256", verifier, b"n" * 18, None)
        try:
            answer = server.first(words)
            server.final(final)
        except ScramError:
            continue
        raise AssertionError(f"logged in by {answer!r}")
    for words in (first, b"r=x,s=" + first, b"r=x,s=eA==,i=1" + first):
        client = ScramClient(["SCRAM-SHA-256"], PASSWORD, b"n" * 18, None)
        with pytest.raises(ScramError):
            client.final(words)
        with pytest.raises(ScramError):
            client.verify(final)


_CREDENTIALS: Final = FakeCredentials()


# --- cuts --------------------------------------------------------------------------------------


async def _converse(arena: Arena, pieces: list[bytes], most: int | None) -> bytes:
    """The answer to a conversation that arrives in pieces, answered in pieces."""
    player = arena.join()
    for piece in pieces:
        arena.send(player, piece)
        if most is None:
            continue
        for upstream in list(arena.pool.leased.values()):
            upstream.is_held = True
            upstream.answer(most)
    for _ in range(100_000):
        await arena.settle()
        answered = [each.answer(most) for each in arena.pool.leased.values() if most is not None]
        if not any(answered):
            break
    return bytes(player.got)


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_conversation_is_the_same_however_both_sides_are_cut(path: Path) -> None:
    recorded = path.read_bytes()
    answers: list[bytes] = []

    def converse(pieces: list[bytes], most: int | None) -> None:
        async def moves(arena: Arena) -> None:
            answers.append(await _converse(arena, pieces, most))

        play(moves)

    converse([recorded], None)
    for seed in streams(0, 1, 6):
        chance = random.Random(seed)
        converse(chunked(chance, recorded), chance.choice((None, 1, 7, 100)))
    texts = {_without_keys(answer) for answer in answers}
    assert len(texts) == 1


def _without_keys(answer: bytes) -> bytes:
    """The answer but for what is made anew each time: the cancel key, names of records."""
    at, pieces = 0, []
    while at < len(answer):
        length = int.from_bytes(answer[at + 1 : at + 5], "big") + 1
        if answer[at] != m.BACKEND_KEY:
            pieces.append(answer[at : at + length])
        at += length
    return re.sub(rb"[0-9a-f-]{36}", b"", b"".join(pieces))
