"""Everything in pg_catalog of PostgreSQL 13 to 18 was looked at; what is new fails a test."""

from __future__ import annotations

import asyncpg
import pytest

from proxy.sql.lists.classes import is_pinned
from proxy.sql.lists.classify import (
    CATALOG,
    COMPUTES,
    MACHINERY,
    classify,
    read_extensions,
    read_reviewed,
)
from proxy.sql.lists.entries import Entry, read_entries
from proxy.sql.lists.files import (
    ALLOWED,
    Signature,
    extension_classes,
    extension_names,
    read_classes,
)
from proxy.sql.lists.make import differences, make_pg_catalog, unclassified
from tests.versions.servers import VERSIONS, Servers

REVIEWED = read_reviewed()


def pinned(version: str) -> dict[Signature, str]:
    return dict(read_classes(version=version))


def unknown(entries: list[Entry], version: str) -> list[str]:
    """What the server has and the file does not hold, or holds in another class."""
    known = pinned(version)
    return [
        f"{signature}: {classify(entry, REVIEWED)}, in the file {known.get(signature)}"
        for entry in entries
        if is_pinned(entry)
        and known.get(signature := entry.signature) != (classify(entry, REVIEWED) or "none")
    ]


async def test_everything_in_pg_catalog_has_a_class(
    of_version: asyncpg.Connection, version: str
) -> None:
    entries = await read_entries(of_version)
    assert unclassified(entries, REVIEWED) == []
    assert unknown(entries, version) == []
    assert set(pinned(version)) == {entry.signature for entry in entries if is_pinned(entry)}


async def test_the_server_of_the_demo_has_nothing_that_was_not_looked_at(
    connection: asyncpg.Connection,
) -> None:
    assert unknown(await read_entries(connection), "18") == []


async def test_the_files_are_what_the_rules_make_of_the_servers(servers: Servers) -> None:
    entries = {}
    for version in VERSIONS:
        connection = await asyncpg.connect(servers.of(version).url())
        entries[version] = await read_entries(connection)
        await connection.close()
    assert differences(make_pg_catalog(entries, REVIEWED)) == []


# What somebody with a superuser's rights could add, and what the test above would then say of it.
ADDED = {
    "function lower(int4)": "CREATE FUNCTION pg_catalog.lower(int) RETURNS text LANGUAGE sql"
    " AS 'SELECT 1::text'",
    "function harmless(text)": "CREATE FUNCTION pg_catalog.harmless(text) RETURNS int IMMUTABLE"
    " LANGUAGE sql AS 'SELECT 1'",
    "aggregate product(int4)": "CREATE AGGREGATE pg_catalog.product(int)"
    " (SFUNC = int4mul, STYPE = int)",
    "operator <->(int4,int4)": "CREATE OPERATOR pg_catalog.<->"
    " (LEFTARG = int, RIGHTARG = int, FUNCTION = int4mi)",
    "type pg_catalog.mood?()": "CREATE TYPE pg_catalog.mood AS ENUM ('good')",
    "procedure act()": "CREATE PROCEDURE pg_catalog.act() LANGUAGE sql AS 'SELECT 1'",
}


async def test_what_somebody_adds_to_pg_catalog_is_unknown(
    of_version: asyncpg.Connection, version: str
) -> None:
    await of_version.execute(";".join(ADDED.values()))
    found = unknown(await read_entries(of_version), version)
    assert {line.split(":")[0] for line in found} == set(ADDED)


def entry(kind: str, name: str, *arguments: str, **more: object) -> Entry:
    return Entry(kind=kind, name=name, arguments=arguments, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "new",
    [
        entry("function", "read_the_future", "text", volatility="s"),
        entry("function", "act_on_others", volatility="v"),
        entry("procedure", "tidy_up"),
        entry("operator", "<~>", "text", "text", volatility="s", function="text_like_that"),
        entry("cast", "text", "int4", volatility="v", function="lookup"),
    ],
)
def test_a_new_function_that_is_not_immutable_has_no_class(new: Entry) -> None:
    assert unclassified([new], REVIEWED) == [new.signature]


@pytest.mark.parametrize("name", sorted(extension_names() - {"postgis"}))
async def test_everything_of_an_extension_has_a_class(
    of_version: asyncpg.Connection, name: str
) -> None:
    await of_version.execute(f'CREATE SCHEMA elsewhere; CREATE EXTENSION "{name}" SCHEMA elsewhere')
    await has_classes(of_version, name)


async def has_classes(connection: asyncpg.Connection, name: str) -> None:
    reviewed = read_extensions()[name]
    entries = [entry for entry in await read_entries(connection, name) if is_pinned(entry)]
    known = extension_classes(name)
    assert len(entries) > 1
    assert {
        str(entry.signature): (classify(entry, reviewed), known.get(entry.signature))
        for entry in entries
        if classify(entry, reviewed) != known.get(entry.signature)
    } == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_only_two_classes_may_be_used_and_each_other_has_a_reason(version: str) -> None:
    assert frozenset({COMPUTES, CATALOG}) == ALLOWED
    for found in set(pinned(version).values()) - ALLOWED:
        assert REVIEWED.refused_functions[found].reason
    assert MACHINERY in REVIEWED.refused_functions


async def test_what_an_aggregate_or_an_operator_class_runs_has_a_class_too(
    of_version: asyncpg.Connection, version: str
) -> None:
    # Transition, final and combine functions; support functions of indexes and sorts.
    rows = await of_version.fetch(
        "WITH used AS ("
        "  SELECT unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn,"
        "                      aggmtransfn, aggminvtransfn, aggmfinalfn])::oid AS oid"
        "    FROM pg_aggregate"
        "  UNION SELECT amproc FROM pg_amproc"
        "  UNION SELECT oprrest FROM pg_operator UNION SELECT oprjoin FROM pg_operator"
        "  UNION SELECT unnest(ARRAY[rngcanonical, rngsubdiff]) FROM pg_range)"
        "SELECT p.proname AS name, p.provolatile::text AS volatility, n.nspname AS schema"
        "  FROM used JOIN pg_proc p USING (oid) JOIN pg_namespace n ON n.oid = p.pronamespace"
    )
    assert len(rows) > 400
    assert {row["schema"] for row in rows} == {"pg_catalog"}
    assert {row["name"] for row in rows if row["volatility"] == "v"} == set()
    names = {signature.name for signature in pinned(version)}
    internal = {each.name for each in await read_entries(of_version) if each.is_internal}
    assert {row["name"] for row in rows} <= names | internal


async def test_reading_or_printing_a_value_of_an_allowed_type_is_never_volatile(
    of_version: asyncpg.Connection, version: str
) -> None:
    allowed = [
        signature.name
        for signature, found in pinned(version).items()
        if signature.kind == "type" and found == COMPUTES
    ]
    rows = await of_version.fetch(
        "SELECT t.typname AS name FROM pg_type t JOIN pg_proc p ON p.oid IN"
        " (t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout)"
        " WHERE t.typname = ANY ($1) AND t.typnamespace = 'pg_catalog'::regnamespace"
        "   AND (p.provolatile = 'v' OR p.pronamespace <> 'pg_catalog'::regnamespace)",
        allowed,
    )
    assert rows == []
    assert len(allowed) > 60
