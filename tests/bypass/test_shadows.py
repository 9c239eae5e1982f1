"""A database whose own functions, operators and types stand where PostgreSQL's are meant.

Somebody's `crm.lower(varchar)` beats pg_catalog's for a varchar column; their `crm.=` would be taken
by every clause that compares. Nothing of theirs may run, and the guards must not meet it either.
"""

# ruff: noqa: E501 - an attempt is one line of a table

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from proxy.wire import messages as m
from tests.bypass.attempts import (
    Answered,
    Attempt,
    Refused,
    Verdict,
    answer_of,
    assert_silent,
    send,
)
from tests.bypass.worlds import Side
from tests.conftest import MakeDatabase
from tests.world import World

MARK = "zqxjkvpw"

POLICY = """
policy: shadows
version: 1
subject: {key: crm.people.id, consent: ledger}
categories:
  user.email: {mask: email}
  user.secret: {mask: "null"}
  user.phone: {mask: last4}
  user.born: {mask: year}
  user.money: {mask: bucket(1000)}
  user.network: {mask: ip_prefix}
  user.name: {mask: initial}
  user.band: {mask: age_band(10)}
purposes:
  profile: {basis: consent, reads: [user]}
  campaign: {basis: consent, people: consented, reads: [user]}
tables:
  crm.people:
    subject: id
    source: {column: source, allow: [form, site]}
    keep: {column: seen_at, for: 90d}
    columns:
      {id: open, email: user.email, alias: user.secret, phone: user.phone, born: user.born,
       money: user.money, ip: user.network, name: user.name, source: open, seen_at: open,
       bday: user.band}
  crm.states: {subject: none, columns: {id: open, state: open}}
  crm.numbers: {subject: none, columns: {id: open}}
tools:
  profiler: {purposes: [profile]}
  mailer: {purposes: [campaign]}
"""

# Each shadow tells the secret, so that a single call of one is seen.
STRUCTURE = """
CREATE SCHEMA crm;
CREATE TABLE crm.people (
    id bigint PRIMARY KEY, email varchar(99), alias varchar(99), phone varchar(20), born date,
    money numeric, ip inet, name varchar(99), source varchar(20), seen_at timestamptz, bday date
);
INSERT INTO crm.people
SELECT n, 'open' || n || '@fine.example', 'alias' || n, '60000000' || n, '1980-01-01', 1000 + n,
       '198.51.100.7', 'Open', 'form', now() - interval '2 days', '1980-05-05'
  FROM generate_series(1, 3) n;
INSERT INTO crm.people
VALUES (7, 'Szqxjkvpw7@leak.example', 'Szqxjkvpw-alias7', '7774327', '1977-07-07', 7777.77, '203.0.113.77',
        'Szqxjkvpw', 'form', now() - interval '2 days', '1977-07-07'),
       (8, 'Szqxjkvpw8@leak.example', 'Szqxjkvpw-alias8', '7774328', '1977-07-07', 7777.77, '203.0.113.77',
        'Szqxjkvpw', 'bought', now() - interval '2 days', '1977-07-07');
CREATE TYPE crm.state AS ENUM ('calm');
CREATE TABLE crm.states (id bigint, state crm.state);
INSERT INTO crm.states VALUES (1, 'calm');
CREATE TABLE crm.numbers (id bigint, state crm.state);
INSERT INTO crm.numbers VALUES (1, 'calm');
CREATE FUNCTION crm.told() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $f$
BEGIN
    RAISE NOTICE '%', (SELECT email FROM crm.people WHERE id = 7);
    RETURN (SELECT email FROM crm.people WHERE id = 7);
END $f$;
"""

_TEXT_FUNCTIONS = (
    "lower upper reverse initcap left right length strpos md5 quote_literal btrim substring substr"
    " replace repeat position split_part rpad lpad concat timezone date_trunc floor trunc"
    ' statement_timestamp network set_masklen family to_char age extract text "varchar" date'
    " coalesce_ nullif_ count max min sum row_to_json to_jsonb format any_value overlay starts_with"
).split()

_OPERATORS = ["=", "<>", "<", ">", "<=", ">=", "||", "~~", "~", "-", "+", "/", "*", "<<="]


_CASTS = (
    ("crm.state", "int", "AS IMPLICIT"),
    ("crm.state", "text", "AS ASSIGNMENT"),
    ("crm.state", "json", ""),
    ("bigint", "crm.state", ""),
)
_ARGUMENTS = ("varchar", "varchar, int", "varchar, varchar", "timestamptz", "date", "bigint")


def _shadows() -> str:
    script: list[str] = []
    for name in _TEXT_FUNCTIONS:
        script.extend(
            f"CREATE FUNCTION crm.{name}({arguments}) RETURNS text LANGUAGE plpgsql"
            " AS $f$ BEGIN RETURN crm.told(); END $f$;"
            for arguments in _ARGUMENTS
        )
    for types in (
        "varchar, varchar",
        "text, varchar",
        "varchar, text",
        "bigint, bigint",
        "date, date",
        "timestamptz, timestamptz",
        "text, text",
    ):
        left, right = types.split(", ")
        name = f"op_{left}_{right}"
        script.append(
            f"CREATE FUNCTION crm.{name}({types}) RETURNS boolean LANGUAGE plpgsql"
            " AS $f$ BEGIN PERFORM crm.told(); RETURN true; END $f$;"
        )
        script.extend(
            f"CREATE OPERATOR crm.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = crm.{name});"
            for operator in _OPERATORS
        )
    script.append("CREATE DOMAIN crm.int8 AS text CHECK (crm.told() IS NOT NULL);")
    script.append("CREATE DOMAIN crm.citext AS text CHECK (crm.told() IS NOT NULL);")
    script.append("CREATE TYPE crm.date AS ENUM ('a');")
    # A cast is a function as well, though nobody calls it.
    for number, (source, target, context) in enumerate(_CASTS):
        script.append(
            f"CREATE FUNCTION crm.cast_{number}({source}) RETURNS {target} LANGUAGE plpgsql"
            f" AS $f$ BEGIN PERFORM crm.told(); RETURN NULL; END $f$;"
            f"CREATE CAST ({source} AS {target}) WITH FUNCTION crm.cast_{number}({source}) {context};"
        )
    script.append("CREATE TABLE crm.pg_class (relname text);")
    script.append(
        "CREATE TABLE crm.tables (secret text); INSERT INTO crm.tables VALUES ('Szqxjkvpw');"
    )
    return "\n".join(script)


@pytest.fixture(scope="module")
def side(postgres: EmbeddedPostgres, make_database: MakeDatabase) -> Iterator[Side]:
    folder = Path(tempfile.mkdtemp(prefix="shadows-"))
    (folder / "policy").mkdir()
    (folder / "policy" / "policy.yaml").write_text(POLICY)
    url = make_database(script=STRUCTURE + _shadows())
    name = url.split("@/", 1)[1].split("?", 1)[0]
    try:
        with World(postgres, database=name, policy=folder / "policy", folder=folder / "w") as world:
            postgres.run(
                "GRANT USAGE ON SCHEMA crm TO consent_reader;"
                "GRANT SELECT ON ALL TABLES IN SCHEMA crm TO consent_reader",
                database=name,
            )
            for person in (1, 2, 3):
                world.record(person, "profile", "given")
                world.record(person, "campaign", "given")
            side = Side(world, [MARK.encode(), MARK[::-1].encode()])
            yield side
            side.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_SHADOWED = Refused("function_not_allowed")
_P = "SELECT id FROM crm.people WHERE"

ATTEMPTS: list[tuple[str, Verdict]] = [
    # --- guards alone, under every kind of condition on them ---
    ("SELECT * FROM crm.people", Answered(4)),
    ("SELECT count(*) FROM crm.people", _SHADOWED),
    ("SELECT pg_catalog.count(*) FROM crm.people", Answered(1)),
    ("TABLE people", Answered(4)),
    ("SELECT email, alias, phone, born, money, ip, name, bday FROM people ORDER BY id", Answered(4)),
    ("COPY crm.people TO STDOUT", Answered(4)),
    # --- functions ---
    *((f"SELECT {name}(email) FROM crm.people", _SHADOWED) for name in ("lower", "upper", "md5", "reverse", "length", "max", "any_value", "to_jsonb")),
    ("SELECT pg_catalog.lower(email) FROM crm.people", Answered(4)),
    ("SELECT crm.lower(email) FROM crm.people", _SHADOWED),
    ("SELECT (email).lower FROM crm.people", _SHADOWED),
    ("SELECT (p).row_to_json FROM crm.people p", _SHADOWED),
    ("SELECT substring(email FROM 1 FOR 2) FROM crm.people", Answered(4)),  # the grammar's own spelling
    ("SELECT position('a' IN email) FROM crm.people", Answered(4)),
    ("SELECT extract(year FROM seen_at) FROM crm.people", Answered(4)),
    ("SELECT seen_at AT TIME ZONE 'UTC' FROM crm.people", Answered(4)),
    ("SELECT overlay(email PLACING 'x' FROM 1) FROM crm.people", Answered(4)),
    ("SELECT trim(email) FROM crm.people", Answered(4)),
    # --- operators, written and implied ---
    (f"{_P} email = 'x'", _SHADOWED),
    (f"{_P} email OPERATOR(pg_catalog.=) 'x'", Answered(0)),
    (f"{_P} email OPERATOR(crm.=) 'x'", _SHADOWED),
    (f"{_P} email <> 'x'", _SHADOWED),
    (f"{_P} email IN ('x', 'y')", _SHADOWED),
    (f"{_P} email NOT IN ('x')", _SHADOWED),
    (f"{_P} email BETWEEN 'a' AND 'b'", _SHADOWED),
    (f"{_P} email NOT BETWEEN SYMMETRIC 'a' AND 'b'", _SHADOWED),
    (f"{_P} email LIKE 'a%'", _SHADOWED),
    (f"{_P} email SIMILAR TO 'a%'", _SHADOWED),
    (f"{_P} email IS DISTINCT FROM 'x'", _SHADOWED),
    (f"{_P} email IS NOT DISTINCT FROM 'x'", _SHADOWED),
    (f"{_P} email = ANY (ARRAY['x'::varchar])", _SHADOWED),
    (f"{_P} email IN (SELECT email FROM crm.people)", _SHADOWED),
    (f"{_P} email = ALL (SELECT email FROM crm.people)", _SHADOWED),
    (f"{_P} (id, email) = (7, 'x')", _SHADOWED),
    (f"{_P} (id, email) < (7, 'x')", _SHADOWED),
    (f"{_P} NULLIF(email, 'x') IS NULL", _SHADOWED),
    (f"{_P} CASE email WHEN 'x' THEN true END", _SHADOWED),
    ("SELECT p.id FROM crm.people p JOIN crm.people q USING (email)", _SHADOWED),
    ("SELECT 1 FROM crm.people p NATURAL JOIN crm.people q", _SHADOWED),
    ("SELECT id FROM crm.people ORDER BY email USING OPERATOR(crm.<)", _SHADOWED),
    ("SELECT email || alias FROM crm.people", _SHADOWED),
    ("SELECT -id, id + 1, id / 0 FROM crm.people", _SHADOWED),
    # What PostgreSQL compares by the type alone finds no shadow.
    ("SELECT DISTINCT email FROM crm.people", Answered(4)),
    ("SELECT email FROM crm.people GROUP BY email", Answered(4)),
    ("SELECT email FROM crm.people ORDER BY email, born DESC", Answered(4)),
    ("SELECT email FROM crm.people UNION SELECT alias FROM crm.people", Answered(8)),
    ("SELECT email FROM crm.people EXCEPT SELECT alias FROM crm.people", Answered(4)),
    ("SELECT rank() OVER (PARTITION BY email ORDER BY seen_at) FROM crm.people", Answered(4)),
    ("SELECT DISTINCT ON (email) id FROM crm.people", Answered(4)),
    ("SELECT GREATEST(email, alias), COALESCE(alias, email) FROM crm.people", Answered(4)),
    ("SELECT p FROM crm.people p ORDER BY p", Answered(4)),
    # --- casts by functions of somebody's ---
    *(
        (f"SELECT {sql}", Refused("type_not_allowed"))
        for sql in ("'calm'::crm.state", "'calm'::crm.state::int", "7::bigint::crm.state", "CAST('calm' AS crm.state)::text", "'{calm}'::crm.state[]", "crm.state 'calm'", "to_json('calm'::crm.state)", "JSON_VALUE(jsonb '1', '$' RETURNING crm.state)", "x FROM json_to_record('{}') AS r(x crm.state)")
    ),
    *(
        (f"SELECT {sql} FROM crm.states", Refused("table_not_in_policy"))
        for sql in ("*", "state::text", "abs(state)", "to_json(state)", "id")
    ),
    ("SELECT id FROM crm.numbers", Answered(1)),  # what the policy does not show is in nobody's way
    ("PREPARE x (crm.state) AS SELECT $1::int", Refused("type_not_allowed")),
    # --- types and relations ---
    ("SELECT '5'::int8", Answered(1)),  # PostgreSQL's grammar and path take pg_catalog's first
    ("SELECT '5'::bigint", Answered(1)),
    ("SELECT 'x'::citext", Refused("type_not_allowed")),
    ("SELECT 'x'::crm.int8", Refused("type_not_allowed")),
    ("SELECT relname FROM pg_class LIMIT 1", Answered(1)),
    ("SELECT relname FROM crm.pg_class", Refused("table_not_in_policy")),
    ("SELECT secret FROM tables", Refused("table_not_in_policy")),
]  # fmt: skip


@pytest.mark.parametrize("tool", ["profiler", "mailer"])
@pytest.mark.parametrize(("sql", "verdict"), ATTEMPTS, ids=[sql for sql, _ in ATTEMPTS])
def test_what_stands_in_the_way_of_a_name_is_never_called(
    side: Side, tool: str, sql: str, verdict: Verdict
) -> None:
    # Person 7 is not there for the mailer: one row less, or none that a guess could find.
    attempt = Attempt(sql, sql, verdict, tool=tool)
    for way in ("simple", "binary"):
        answer = send(side, attempt, way)
        assert_silent(side, answer.raw, sql)
        assert not any(message.kind == "N" for message in answer.messages), answer.raw
        if isinstance(verdict, Refused):
            assert answer.reason == verdict.reason, answer.raw
        else:
            # `SELECT '5'::int8` may be refused for its two meanings: that is safe as well.
            assert answer.reason == "type_not_allowed" or answer.sqlstate is None, answer.raw


def test_the_path_of_a_session_changes_nothing_of_it(side: Side) -> None:
    client = side.connect("profiler")
    for path in ("pg_catalog, crm", "crm", "''"):
        client.simple(f"SET search_path = {path}")
        for sql in (
            "SELECT lower(email) FROM crm.people",
            "SELECT id FROM crm.people WHERE email = 'x'",
        ):
            answer = answer_of(client, client.simple(sql))
            assert answer.reason == "function_not_allowed"
        answer = answer_of(client, client.simple("SELECT * FROM crm.people"))
        assert answer.sqlstate is None
        assert_silent(side, answer.raw, path)
        assert not any(message.kind == "N" for message in answer.messages)
    client.close()


def test_without_the_proxy_the_shadows_are_called(side: Side) -> None:
    """Or the tests above would prove nothing."""
    for sql in ("SELECT lower(email)", "SELECT 1 WHERE email = alias", "SELECT (email).reverse"):
        script = f"SET search_path = crm; SELECT x FROM (SELECT email, alias FROM people) p, LATERAL ({sql}) AS q(x) LIMIT 1"
        told = side.world.postgres.run(
            f"SET client_min_messages = error; {script}", database=side.world.database
        )
        assert MARK in told.lower() or told.strip() == "1"


def test_a_parameter_of_a_type_that_somebody_converts_is_refused(side: Side) -> None:
    database = side.world.database
    oid = int(side.world.postgres.run("SELECT 'crm.state'::regtype::oid", database=database))
    client = side.connect("profiler")
    parts = (m.parse(b"", b"SELECT $1::int", [oid]), m.bind(b"", b"", [b"calm"]), m.execute(b""))
    answer = answer_of(client, client.send(*parts, m.SYNC_MESSAGE))
    assert answer.reason == "type_not_allowed"
    client.close()
