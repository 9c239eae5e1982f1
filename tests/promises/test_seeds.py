"""No literal, no value and no free text of a tool is in any log, whatever a tool sends."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from proxy.demo.embedded import EmbeddedPostgres
from proxy.wire import messages as m
from tests.promises.conftest import DRIVERS
from tests.promises.process import Process, records
from tests.wire.raw import Failed, Raw
from tests.world import World

# What is looked for. Letters for names and texts, digits for numbers; nothing else holds them.
SEED: Final = "quokka"
NUMBER: Final = "73917391"
# ruff: noqa: E501 - statements stand on one line each
# Values of the database that the statements below return or fail on.
VALUES: Final = ("@example.com", "+1555", "secret of", "Person ")

# The application name is the one text of a tool's that a record may hold.
STATEMENTS: Final = (
    "SELECT 'quokka', $$quokka$$, $quokka$text$quokka$, E'quo\\x6b' 'ka', U&'quokka', B'1', 73917391",
    "SELECT id AS quokka, email AS \"Quokka\" FROM crm.customers quokka WHERE name = 'quokka'",
    "/* quokka */ SELECT email -- quokka\nFROM crm.customers WHERE id = 73917391",
    "WITH quokka AS (SELECT email FROM crm.customers) SELECT * FROM quokka LIMIT 73917391",
    "SELECT email FROM crm.customers WHERE email LIKE '%quokka%' OR id IN (73917391, 73917391)",
    "SELECT email || 'quokka' FROM crm.customers ORDER BY email = 'quokka'",
    "SELECT 'quokka'::int", "SELECT CAST(email || 'quokka' AS int) FROM crm.customers",
    "SELECT 'quokka'::date FROM crm.customers", "SELECT 1 / 0 FROM crm.customers WHERE id > -73917391",
    "SELECT * FROM quokka", "SELECT * FROM crm.quokka", "SELECT quokka FROM crm.customers",
    "SELECT quokka(1)", "SELECT pg_catalog.quokka(email) FROM crm.customers",
    "SELECT 1::quokka", "SELECT email::quokka.quokka FROM crm.customers",
    "SELECT 1 OPERATOR(quokka.+) 73917391", "SELECT 'x' COLLATE quokka FROM crm.customers",
    "SELECT quokka FROM", "quokka 'quokka' 73917391", "SELECT 'quokka", 'SELECT "quokka',
    "INSERT INTO crm.customers VALUES (73917391, 'quokka')", "COPY crm.customers FROM '/quokka'",
    "COPY (SELECT 'quokka', email FROM crm.customers) TO STDOUT (DELIMITER 'q', NULL 'quokka')",
    "COPY crm.customers TO PROGRAM 'quokka'", "DO $$ BEGIN RAISE 'quokka'; END $$",
    "LISTEN quokka", "NOTIFY quokka, 'quokka'", "CALL quokka()", "VACUUM quokka",
    "SET quokka.quokka = 'quokka'", "SET application_name = 'newsletter'", "SHOW quokka",
    "SET consent.purpose = 'quokka'", "SET search_path = quokka", "SET TimeZone = 'quokka'",
    "SET statement_timeout = 73917391", "SELECT set_config('quokka', 'quokka', false)",
    "PREPARE quokka (text) AS SELECT email FROM crm.customers WHERE email = $1 OR name = 'quokka'",
    "EXECUTE quokka ('quokka')", "EXECUTE quokka (73917391)", "DEALLOCATE quokka", "EXECUTE quokka",
    "BEGIN", "SAVEPOINT quokka", "ROLLBACK TO quokka", "RELEASE quokka",
    "DECLARE quokka CURSOR FOR SELECT email, 'quokka' FROM crm.customers WHERE id <> 73917391",
    "FETCH 2 FROM quokka", "MOVE 1 FROM quokka", "CLOSE quokka", "FETCH 1 FROM quokka", "ROLLBACK",
    "EXPLAIN SELECT email AS quokka FROM crm.customers WHERE name = 'quokka'",
    "EXPLAIN ANALYZE SELECT 'quokka'", "SELECT 1; SELECT 'quokka' FROM crm.customers; SELECT quokka",
    "SELECT XMLELEMENT(NAME quokka, email) FROM crm.customers", "SELECT JSON '{\"quokka\": 1}'",
    "SELECT email FROM crm.customers WHERE secret = 'quokka'", "SELECT " + "(" * 120 + "'quokka'" + ")" * 120,
    "SELECT 'quokka" + "x" * 2_000_000 + "'", "SELECT '" + "quokka " * 2_000 + "' FROM crm.customers",
    "SELECT count(*) FROM crm.customers AS quokka(quokka1, quokka2) WHERE quokka1 = 73917391",
)  # fmt: skip


async def _speak(process: Process) -> None:
    raw = await process.login()
    for text in STATEMENTS:
        _ = await raw.query(text)
    _ = await raw.query("ROLLBACK")
    for text in STATEMENTS[:40]:
        raw.send(
            m.parse(b"quokka", text.encode()),
            m.bind(b"quokka", b"quokka", [b"quokka"]),
            m.describe(b"P", b"quokka"),
            m.execute(b"quokka", 3),
            m.close(b"P", b"quokka"),
            m.close(b"S", b"quokka"),
            m.SYNC_MESSAGE,
        )
        _ = await raw.until_ready()
    query = b"SELECT email FROM crm.customers WHERE email = $1 OR id = $2"
    raw.send(
        m.parse(b"", query), m.bind(b"", b"", [b"quokka", b"73917391"]), m.execute(b""),
        m.parse(b"", query), m.bind(b"", b"", [b"quokka", b"quokka"]), m.execute(b""),
        m.SYNC_MESSAGE, m.parse(b"quokka", b"SELECT '\xffquokka'"), m.SYNC_MESSAGE,
        m.execute(b"quokka"), m.SYNC_MESSAGE,
        m.message(ord("F"), b"quokka" * 3), m.message(ord("y"), b"quokka"),
    )  # fmt: skip
    _ = await raw.closed()


async def _knock(process: Process) -> None:
    """Start-ups that are refused."""
    for start in (
        {"user": "quokka", "database": process.world.database},
        {"user": "mailer", "database": "quokka"},
        {"user": "mailer", "database": f"{process.world.database}@quokka"},
        {"user": "mailer", "database": process.world.database, "quokka": "quokka"},
        {"user": "mailer", "database": process.world.database, "TimeZone": "quokka"},
        {"user": "mailer", "database": process.world.database, "options": "-c quokka=quokka"},
        {"user": "mailer", "database": process.world.database, "replication": "quokka"},
    ):
        raw = await Raw.open(process.port)
        try:
            await raw.log_in(start, process.world.passwords["mailer"])
        except Failed:
            raw.close()
            continue
        raw.send(m.query(b"SELECT 'quokka'"), m.message(m.TERMINATE))
        _ = await raw.closed()
    raw = await Raw.open(process.port)
    raw.send(b"quokka" * 40)
    _ = await raw.closed()


def _post(process: Process, path: str, body: Any, token: str) -> None:
    request = urllib.request.Request(
        f"{process.http}{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
    except urllib.error.HTTPError as refused:
        refused.read()


def _speak_http(process: Process) -> None:
    token = process.world.tokens["mailer"]
    for text in STATEMENTS:
        _post(process, "/v1/query", {"sql": text}, token)
        _post(process, "/v1/explain", {"sql": text}, token)
    text = "SELECT email FROM crm.customers WHERE email = $1 OR id = $2"
    for params in (["quokka", 73917391], ["quokka", "quokka"], [{"quokka": "quokka"}, []]):
        _post(process, "/v1/query", {"sql": text, "params": params}, token)
    _post(process, "/v1/query", {"sql": "SELECT 1", "purpose": "quokka"}, token)
    _post(process, "/v1/query", {"quokka": "quokka"}, token)
    _post(process, "/v1/quokka?quokka=quokka", {}, token)
    _post(process, "/v1/query", {"sql": "SELECT 1"}, "quokka")
    consent = {"subject": 73917391, "purpose": "email_campaign", "state": "given"}
    for more in ({}, {"source": "quokka", "notice": "quokka"}, {"purpose": "quokka"}):
        _post(process, "/v1/consents", consent | more, process.world.tokens["consent"])


async def test_no_literal_value_or_free_text_of_a_tool_is_in_any_log(
    postgres: EmbeddedPostgres, promised_database: str, tmp_path: Path
) -> None:
    with World(postgres, promised_database, DRIVERS / "policy", tmp_path) as world:
        for person in range(1, 41):
            world.record(person, "email_campaign", "given")
    with Process(world) as process:
        await _speak(process)
        await _knock(process)
        _speak_http(process)
        written = records(world.access_log)
    reasons = {record["reason"] for record in written if "reason" in record}
    assert len(reasons) > 8, reasons
    assert sum(record["kind"] == "access.intent" for record in written) > 30
    logged = [path for path in world.access_log.rglob("*") if path.is_file()]
    assert process.output is not None
    for path in (*logged, process.output):
        for line in path.read_text(errors="replace").splitlines():
            assert SEED not in line.lower(), (path.name, line)
            assert not any(seeded in line for seeded in (NUMBER, *VALUES)), (path.name, line)
