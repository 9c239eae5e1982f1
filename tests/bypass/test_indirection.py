"""Statements that run other statements: EXECUTE, FETCH, and portals of either.

PostgreSQL keeps statements of Parse and of PREPARE under one kind of name, portals and cursors
under another; so EXECUTE can run a SET, and FETCH can read a portal that runs an EXECUTE. Whatever
runs, its effects are known, its snapshot is checked and its rows are recorded.
"""

from __future__ import annotations

import re

import pytest

from proxy.access_log.search import Filters, search
from proxy.wire import messages as m
from tests.bypass.attempts import answer_of, assert_silent
from tests.bypass.client import Client, rows_of
from tests.bypass.worlds import Pair, Side
from tests.world import POOLING

ISOLATION = "SET default_transaction_isolation = 'repeatable read'"
CHARACTERISTICS = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"
_SELECT = "SELECT alias FROM crm.people WHERE id = 6"


def _parsed(client: Client, name: bytes, text: str) -> None:
    assert not any(
        message.kind == "E" for message in client.send(m.parse(name, text.encode()), m.SYNC_MESSAGE)
    )


def _intents(side: Side) -> int:
    found = search(side.world.access_log, Filters())
    return sum(record.kind == "access.intent" for record in found)


@pytest.mark.parametrize(
    "indirect",
    [
        "FETCH ALL FROM held",
        "MOVE 1 FROM held",
        "EXECUTE prepared",
        "DECLARE c CURSOR WITH HOLD FOR SELECT alias FROM crm.people",
        "CLOSE held",
        "PREPARE x AS SELECT email FROM crm.people",
        "DEALLOCATE prepared",
        ISOLATION,
        CHARACTERISTICS,
        "SET search_path = ref",
        "SET consent.purpose = 'profile'",
        "RESET ALL",
        "DISCARD PLANS",
        "BEGIN",
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "COMMIT",
        "SHOW search_path",
        "COPY crm.people TO STDOUT",
    ],
)
def test_execute_runs_queries_and_nothing_else(pair: Pair, indirect: str) -> None:
    for side in pair.sides:
        client = side.connect("profiler")
        client.simple("DECLARE held CURSOR WITH HOLD FOR SELECT alias FROM crm.people ORDER BY id")
        client.simple(f"PREPARE prepared AS {_SELECT}")
        _parsed(client, b"s", indirect)
        for begin in ("SELECT 1", "BEGIN"):
            client.simple(begin)
            answer = answer_of(client, client.simple("EXECUTE s"))
            assert answer.reason == "statement_kind"
            assert answer.rows == 0
            assert_silent(side, answer.raw, indirect)
        client.close()


@pytest.mark.parametrize(
    "indirect",
    [
        "EXECUTE prepared",
        "FETCH ALL FROM held",
        "MOVE ALL FROM held",
        "SHOW search_path",
        ISOLATION,
    ],
)
@pytest.mark.parametrize("fetch", ["FETCH ALL FROM p", "MOVE 1 FROM p"])
def test_a_portal_is_fetched_from_by_name_only_if_it_is_a_querys(
    pair: Pair, indirect: str, fetch: str
) -> None:
    for side in pair.sides:
        client = side.connect("profiler")
        client.simple("DECLARE held CURSOR WITH HOLD FOR SELECT alias FROM crm.people ORDER BY id")
        client.simple(f"PREPARE prepared AS {_SELECT}")
        client.simple("BEGIN")
        client.send(m.parse(b"s", indirect.encode()), m.bind(b"p", b"s"), m.SYNC_MESSAGE)
        before = _intents(side)
        answer = answer_of(client, client.simple(fetch))
        assert answer.reason == "statement_kind"
        assert answer.rows == 0
        assert _intents(side) == before
        client.close()


@pytest.mark.parametrize(
    "way",
    ["EXECUTE prepared", "EXECUTE parsed", "FETCH ALL FROM cursor", "FETCH ALL FROM p"],
)
def test_whatever_is_run_by_name_has_its_record(pair: Pair, way: str) -> None:
    side = pair.sides[0]
    client = side.connect("profiler")
    client.simple("BEGIN")
    client.simple(f"PREPARE prepared AS {_SELECT}")
    client.simple(f"DECLARE cursor CURSOR FOR {_SELECT}")
    client.send(m.parse(b"parsed", _SELECT.encode()), m.bind(b"p", b"parsed"), m.SYNC_MESSAGE)
    before = _intents(side)
    answers = client.simple(way)
    if way == "EXECUTE parsed" and POOLING == "transaction":  # it has another name upstream
        assert answer_of(client, answers).reason == "not_understood"
        assert _intents(side) == before
    else:
        assert rows_of(answers) == [[b"alias6"]]
        assert _intents(side) == before + 1
    client.close()


@pytest.mark.parametrize("discard", ["PLANS", "SEQUENCES", "TEMP", "TEMPORARY"])
def test_what_discards_a_part_leaves_the_rest_known(pair: Pair, discard: str) -> None:
    """The isolation is what it was: the proxy must go on to look after its snapshots."""
    side = pair.sides[0]
    client = side.connect("both")
    client.simple("SET consent.purpose = 'profile'")
    client.simple("SET search_path = ref")
    client.simple(f"PREPARE prepared AS {_SELECT}")
    client.simple(ISOLATION)
    assert re.fullmatch(rb"DISCARD \w+\0", client.simple(f"DISCARD {discard}")[0].body)
    assert rows_of(client.simple("SHOW consent.purpose")) == [[b"profile"]]
    assert rows_of(client.simple("SHOW search_path")) == [[b"ref"]]
    assert rows_of(client.simple("EXECUTE prepared")) == [[b"alias6"]]
    client.simple("BEGIN")
    assert rows_of(client.simple("SHOW transaction_isolation")) == [[b"repeatable read"]]
    client.simple(_SELECT)
    side.world.record(6, "profile", "withdrawn")
    try:
        assert b"alias6" not in answer_of(client, client.simple(_SELECT)).raw
    finally:
        side.world.record(6, "profile", "given")
    client.close()
