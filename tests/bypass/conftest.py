"""Two worlds behind two proxies, for every test of this folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from tests.bypass.worlds import FOLDER, ONE, OTHER, POLICY, Pair, Side, Words, people_speak
from tests.conftest import MakeDatabase
from tests.world import World

# More than the proxy needs, so that it is the proxy that says no, and not PostgreSQL.
RIGHTS = """
GRANT USAGE ON SCHEMA crm, ref, private TO consent_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA crm, ref, private TO consent_reader;
GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA crm TO consent_reader;
"""


@pytest.fixture(scope="session")
def pair(postgres: EmbeddedPostgres, make_database: MakeDatabase) -> Iterator[Pair]:
    folder = Path(tempfile.mkdtemp(prefix="bypass-"))
    now = datetime.now(UTC).isoformat()
    # Copies of one database: the objects' ids are the same in both.
    structure = _name(make_database(script=(FOLDER / "structure.sql").read_text()))
    names = [_fill(postgres, make_database, structure, words, now) for words in (ONE, OTHER)]
    one, other = (
        World(postgres, database=name, policy=POLICY, folder=folder / name) for name in names
    )
    try:
        with one, other:
            for world in (one, other):
                postgres.run(RIGHTS, database=world.database)
                people_speak(world)
            _share_pseudonyms(postgres, one, other)
            sides = (Side(one, ONE.leaks()), Side(other, OTHER.leaks()))
            yield Pair(sides)
            for side in sides:
                side.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def _ordered(postgres: EmbeddedPostgres, pair: Pair) -> None:
    """Rows lie alike in both worlds, whatever the tests before recorded in one of them: the order
    of an answer's rows, which SQL leaves open, follows how they lie.
    """
    for side in pair.sides:
        postgres.run("CLUSTER consent.subject USING subject_pkey", database=side.world.database)


def _name(url: str) -> str:
    return url.split("@/", 1)[1].split("?", 1)[0]


def _fill(
    postgres: EmbeddedPostgres, make_database: MakeDatabase, structure: str, words: Words, now: str
) -> str:
    name = _name(make_database(template=structure))
    postgres.run(words.script(now), database=name)
    return name


def _share_pseudonyms(postgres: EmbeddedPostgres, one: World, other: World) -> None:
    """Pseudonyms of equal values are equal in both worlds: they tell whether values are equal."""
    keys = postgres.run(
        "SELECT encode(inner_key, 'hex'), encode(outer_key, 'hex') FROM consent.pseudonym_key",
        database=one.database,
    )
    inner, outer = str(keys).strip().split("|")
    postgres.run(
        f"UPDATE consent.pseudonym_key SET inner_key = '\\x{inner}', outer_key = '\\x{outer}'",
        database=other.database,
    )
