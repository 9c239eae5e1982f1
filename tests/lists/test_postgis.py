"""PostGIS, where the machine has it: its list, and its use through the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from tests.lists.test_classes import has_classes
from tests.world import World

BINARIES = Path("/usr/lib/postgresql/15/bin")

DATABASE = """
CREATE SCHEMA gis;
CREATE EXTENSION postgis SCHEMA gis;
CREATE SCHEMA crm;
CREATE TABLE crm.shops (id bigint PRIMARY KEY, place gis.geometry(Point, 4326));
INSERT INTO crm.shops VALUES (1, gis.ST_SetSRID(gis.ST_MakePoint(-3.70, 40.41), 4326)),
                             (2, gis.ST_SetSRID(gis.ST_MakePoint(2.17, 41.38), 4326));
"""

POLICY = """
policy: map
version: 1
subject: {key: crm.shops.id}
categories: {user.location: {mask: "null"}}
purposes:
  all: {basis: contract, reads: [user]}
  some: {basis: consent, reads: [user]}
tables:
  crm.shops: {subject: id, columns: {id: open, place: user.location}}
extensions: {postgis: gis}
tools:
  teller: {purposes: [all]}
  mailer: {purposes: [some]}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    folder = tmp_path_factory.mktemp("postgis")
    with EmbeddedPostgres(folder, settings=WITHOUT_DURABILITY, binaries=BINARIES) as server:
        server.run(DATABASE)
        yield server


@pytest.fixture(scope="module")
def world(server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("map")
    (folder / "policy").mkdir()
    (folder / "policy" / "policy.yaml").write_text(POLICY)
    with World(server, "postgres", folder / "policy", folder / "proxy") as world:
        world.record(1, "some", "given")
        yield world


async def test_everything_of_postgis_has_a_class(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.url())
    await has_classes(connection, "postgis")
    await connection.close()


def test_geometries_are_computed_with_as_the_database_itself_does(world: World) -> None:
    near = "ST_DWithin(place::geography, ST_Point(-3.7, 40.4)::geography, 5000)"
    for sql in (
        f"SELECT id, ST_AsText(place), {near} FROM shops ORDER BY id",
        "SELECT id, place && ST_MakeEnvelope(-4, 40, -3, 41, 4326) FROM shops ORDER BY id",
        "SELECT a.id, b.id, ST_Distance(a.place, b.place), a.place <-> b.place FROM shops a"
        " CROSS JOIN shops b ORDER BY 1, 2",
        "SELECT ST_AsGeoJSON(ST_Transform(place, 3857)), ST_X(place) FROM shops ORDER BY id",
        "SELECT ST_Extent(place), ST_AsText(ST_Union(place)), count(*) FROM shops",
        "SELECT id, (ST_Dump(ST_Buffer(place, 1))).path FROM shops ORDER BY id",
    ):
        with (
            psycopg.connect(world.postgres.url(), options="-csearch_path=crm,gis") as direct,
            psycopg.connect(world.dsn("teller")) as through,
        ):
            assert through.execute(sql).fetchall() == direct.execute(sql).fetchall()


def test_a_hidden_place_is_nowhere(world: World) -> None:
    with psycopg.connect(world.dsn("mailer")) as connection:
        found = connection.execute(
            "SELECT id, ST_AsText(place) FROM shops"
            " WHERE place && ST_MakeEnvelope(-9, 35, 5, 45, 4326)"
        )
        assert found.fetchall() == [(1, "POINT(-3.7 40.41)")]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT ST_FromFlatGeobufToTable('crm', 'made', '')", "creates a table"),
        ("SELECT ST_EstimatedExtent('crm', 'shops', 'place')", "statistics"),
        ("SELECT Find_SRID('crm', 'shops', 'place')", "of the extension postgis"),
        ("SELECT AddGeometryColumn('crm', 'shops', 'more', 4326, 'POINT', 2)", "changes tables"),
    ],
)
def test_what_reads_or_changes_tables_is_refused(world: World, sql: str, reason: str) -> None:
    with psycopg.connect(world.dsn("teller")) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(sql)
    assert caught.value.sqlstate == "42501"
    assert reason in str(caught.value)
