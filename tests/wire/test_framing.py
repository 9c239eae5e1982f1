"""Splitting streams into messages: the same messages however the bytes arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ClientProtocolError, UpstreamProtocolError
from proxy.wire import framing
from proxy.wire import messages as m

BODIES = st.lists(st.tuples(st.sampled_from(b"QPBDECSHXdT"), st.binary(max_size=300)), max_size=20)
CUTS = st.lists(st.integers(min_value=1, max_value=60), min_size=1, max_size=30)


def _cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    pieces, pos, turn = [], 0, 0
    while pos < len(stream):
        size = sizes[turn % len(sizes)]
        pieces.append(stream[pos : pos + size])
        pos, turn = pos + size, turn + 1
    return pieces


@given(BODIES, CUTS)
def test_frontend_messages_are_the_same_however_they_arrive(
    bodies: list[tuple[int, bytes]], sizes: list[int]
) -> None:
    sent = [(kind, m.message(kind, body)) for kind, body in bodies]
    reader = framing.FrontendReader({ord("Q"): 100}, 10_000)
    got = []
    for piece in _cut(b"".join(data for _, data in sent), sizes):
        reader.feed(piece)
        while (found := reader.next()) is not None:
            got.append(found)
    assert got == [(k, b"" if k == ord("Q") and len(d) > 105 else d) for k, d in sent]
    assert reader.buffered == 0


@given(BODIES, CUTS)
def test_backend_rows_are_relayed_whole_and_counted(
    bodies: list[tuple[int, bytes]], sizes: list[int]
) -> None:
    sent = [(kind, m.message(kind, body)) for kind, body in bodies]
    reader = framing.BackendReader()
    relayed, others, counted = b"", [], 0
    for piece in _cut(b"".join(data for _, data in sent), sizes):
        reader.feed(piece)
        while (found := reader.next()) is not None:
            kind, data, rows = found
            relayed += data
            counted += rows
            if kind not in b"Dd":
                assert rows == 0
                others.append((kind, data))
    assert relayed == b"".join(data for _, data in sent)
    assert others == [(kind, data) for kind, data in sent if kind not in b"Dd"]
    assert counted == sum(kind in b"Dd" for kind, _ in sent)
    assert reader.is_between_messages


def test_a_row_that_is_not_whole_is_handed_on_and_known_as_such() -> None:
    reader = framing.BackendReader()
    row = m.message(ord("D"), b"x" * 100)
    reader.feed(row[:50])
    assert reader.next() == (ord("D"), row[:50], 1)
    states = [reader.is_between_messages]
    assert reader.next() is None
    reader.feed(row[50:] + m.ready(m.IDLE))
    assert reader.next() == (ord("D"), row[50:], 0)
    states.append(reader.is_between_messages)
    assert states == [False, True]
    assert reader.next() == (ord("Z"), m.ready(m.IDLE), 0)


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_length_that_is_a_lie_is_an_error(length: int) -> None:
    lie = length.to_bytes(4, "big")
    front, back = framing.FrontendReader({}, 100), framing.BackendReader()
    front.feed(b"Q" + lie)
    with pytest.raises(ClientProtocolError):
        front.next()
    for kind in (b"T", b"D"):
        back = framing.BackendReader()
        back.feed(kind + lie)
        with pytest.raises(UpstreamProtocolError):
            back.next()


def test_a_message_that_is_too_long_is_not_kept() -> None:
    reader = framing.FrontendReader({}, 1000)
    reader.feed(b"Q" + (2**31 - 1).to_bytes(4, "big") + b"x" * 1000)
    assert reader.next() == (ord("Q"), b"")
    for _ in range(100):
        reader.feed(b"y" * 100_000)
        assert reader.buffered == 0


def test_an_execute_is_found_only_directly_behind_its_bind() -> None:
    whole, some = m.execute(b"p"), m.execute(b"p", 5)
    describe = m.describe(b"P", b"p")
    ahead = framing.execute_ahead
    assert ahead(whole, b"p") == framing.EXECUTE_WHOLE
    assert ahead(describe + some, b"p") == framing.EXECUTE_LIMITED
    assert ahead(m.SYNC_MESSAGE + whole, b"p") == framing.EXECUTE_NONE
    assert ahead(m.execute(b"q") + whole, b"p") == framing.EXECUTE_NONE
    assert ahead(whole[:-1], b"p") == framing.EXECUTE_NONE
    assert ahead(m.message(m.EXECUTE, b""), b"p") == framing.EXECUTE_NONE
    assert ahead(b"", b"p") == framing.EXECUTE_NONE
