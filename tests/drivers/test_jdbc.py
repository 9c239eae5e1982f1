"""JDBC: metadata, portions, simple and extended queries, binary results."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.drivers.programs import needs, run
from tests.world import World

SOURCE = Path(__file__).parent / "java" / "Drive.java"
JAR = "/usr/share/java/postgresql.jar"
MODES = {
    "default": "",
    "simple": "?preferQueryMode=simple",
    "extended": "?preferQueryMode=extendedForPrepared",
    "binary": "?binaryTransfer=true&prepareThreshold=1",
}
Answers = dict[str, list[str]]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled program."""
    folder = tmp_path_factory.mktemp("classes")
    done = run([needs("javac"), "-cp", needs(JAR), "-d", str(folder), str(SOURCE)])
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module", params=list(MODES))
def answers(request: pytest.FixtureRequest, classes: Path, world: World) -> Answers:
    parts = urlsplit(world.dsn("mailer"))
    url = f"jdbc:postgresql://{parts.hostname}:{parts.port}{parts.path}{MODES[request.param]}"
    done = run(
        [needs("java"), "-XX:TieredStopAtLevel=1", "-cp", f"{classes}:{needs(JAR)}", "Drive",
         url, unquote(parts.username or ""), unquote(parts.password or "")]
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: Answers = defaultdict(list)
    for line in done.stdout.splitlines():
        key, value = line.split("\t", 1)
        found[key].append(value)
    return found


def test_metadata_is_that_of_what_the_tool_may_see(answers: Answers) -> None:
    (schemas,) = answers["schemas"]
    assert "crm" in schemas
    assert "consent" not in schemas
    assert answers["tables"] == ["[customers, orders]"]
    (columns,) = answers["columns"]
    assert columns.startswith("[id int8(19,0), name text(")
    assert "email varchar(254,0)" in columns
    assert "income numeric(12,2)" in columns
    assert "secret" not in columns
    assert "guess" not in columns
    assert answers["key"] == ["[id]"]
    assert answers["references"] == ["[customers]"]
    assert answers["referred"] == ["[orders]"]
    assert answers["indexes"] == ["[orders_pkey, orders_customer_id]"]
    assert answers["type"] == ["true"]
    assert answers["functions"] == ["[]"]
    assert answers["version"] == ["PostgreSQL"]


def test_masked_values_keep_their_types(answers: Answers) -> None:
    assert answers["row3"] == ["p***@example.com|30000.00|1953-01-01|0|null|null|[]|0|null"] * 7
    assert (
        answers["row4"] == ['p4@example.com|30400.50|1954-06-14|4|true|sms|[4, 8]|2|{"k": 4}'] * 7
    )
    (types,) = answers["types"]
    assert types == (
        "[varchar(254), numeric(12), date(13), int4(10), bool(1), channel(2147483647),"
        " _int4(10), bytea(2147483647), jsonb(2147483647)]"
    )


def test_a_portal_is_read_in_portions(answers: Answers) -> None:
    assert answers["portions"] == [str(sum(range(1, 5001)))]


def test_a_transaction_fails_and_is_rolled_back(answers: Answers) -> None:
    assert answers["failed"] == ["42P01", "25P02"]
    assert answers["count"] == ["40"]


def test_several_statements_in_one_text(answers: Answers) -> None:
    assert answers["several"] == ["[1, 40]"]


def test_copying_out(answers: Answers) -> None:
    assert answers["copy"] == ["40 2\tp2@example.com"]


def test_the_connection_answers_to_the_end(answers: Answers) -> None:
    assert answers["valid"] == ["true"]
