"""psql, of this machine and of the embedded PostgreSQL: its backslash commands and its modes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.demo.embedded import installed_binaries
from tests.drivers.programs import needs, run

PROGRAMS = ("machine", "embedded")


@pytest.fixture(params=PROGRAMS)
def psql(request: pytest.FixtureRequest) -> str:
    if request.param == "machine":
        return needs("psql")
    return needs(installed_binaries() / "psql")


def _ask(psql: str, url: str, script: str, *options: str) -> str:
    """What psql prints; whatever goes wrong fails the test."""
    done = run([psql, "--no-psqlrc", "-v", "ON_ERROR_STOP=1", *options, url], stdin=script)
    assert (done.stderr, done.returncode) == ("", 0), done.stderr
    return done.stdout


def test_rows_are_printed_as_the_tool_may_see_them(psql: str, mailer: str) -> None:
    text = "SELECT id, name, email, phone, born FROM customers WHERE id IN (3, 4) ORDER BY id"
    assert _ask(psql, mailer, text, "-A", "-t").splitlines() == [
        "3|P.|p***@example.com|********0003|1953-01-01",
        "4|Person 4|p4@example.com|+15550000004|1954-06-14",
    ]


# Commands whose whole answer is compared with the database's own, for the tables of the policy.
DESCRIBING = (
    r"\d sales.orders",
    r"\d+ sales.orders",
    r"\d orders_customer_id",
    r"\dt crm.*",
    r"\dn s*",
    r"\dT+ crm.channel",
    r"\dv sales.*",
    r"\di sales.orders*",
    r"\df crm.*",
    r"\dC none",
    r"\dD crm.*",
)


@pytest.mark.parametrize("command", DESCRIBING)
def test_describing_answers_as_without_the_proxy(
    psql: str, teller: str, drivers_database: str, command: str
) -> None:
    direct = f"{drivers_database}&options=-csearch_path%3Dcrm,sales"
    done = run([psql, "--no-psqlrc", direct], stdin=command)
    expected = done.stdout + done.stderr
    assert "ERROR" not in expected
    done = run([psql, "--no-psqlrc", teller], stdin=command)
    assert done.stdout + done.stderr == expected


def test_describing_a_table_shows_the_columns_that_the_tool_has(psql: str, mailer: str) -> None:
    shown = _ask(psql, mailer, r"\d customers")
    names = [line.split("|")[0].strip() for line in shown.splitlines() if "|" in line][1:]
    assert names[:4] == ["id", "name", "email", "phone"]
    assert "secret" not in names
    assert "guess" not in names
    assert '"customers_pkey" PRIMARY KEY, btree (id)' in shown


def test_listing_shows_the_tables_of_the_policy(psql: str, mailer: str) -> None:
    rows = _ask(psql, mailer, r"\d", "-A", "-t").splitlines()
    assert [tuple(row.split("|")[:3]) for row in rows if "seq" not in row] == [
        ("crm", "customers", "table"),
        ("sales", "orders", "table"),
    ]
    assert "consent" not in _ask(psql, mailer, r"\dn")
    assert "internal" not in _ask(psql, mailer, r"\dt *.*")


def test_copying_to_a_file(psql: str, mailer: str, tmp_path: Path) -> None:
    target = tmp_path / "customers.csv"
    _ask(
        psql,
        mailer,
        rf"\copy (SELECT id, email FROM customers ORDER BY id) TO '{target}' WITH (FORMAT csv)",
    )
    assert target.read_text().splitlines()[:2] == ["1,p***@example.com", "2,p2@example.com"]
    _ask(psql, mailer, rf"\copy sales.orders TO '{target}'")
    assert len(target.read_text().splitlines()) == 5000


def test_copying_in_is_refused(psql: str, mailer: str) -> None:
    done = run(
        [psql, "--no-psqlrc", mailer], stdin="\\copy sales.orders FROM STDIN\n1\t1\n\\.\nSELECT 5;"
    )
    assert "reason: statement_kind; access: " in done.stderr
    assert re.search(r"^ *5$", done.stdout, re.MULTILINE)


def test_fetching_in_portions(psql: str, mailer: str) -> None:
    script = "\\set FETCH_COUNT 700\nSELECT id FROM sales.orders ORDER BY id;"
    rows = _ask(psql, mailer, script, "-A", "-t").split()
    assert rows == [str(number) for number in range(1, 5001)]


def test_the_types_of_a_result_without_running_it(psql: str, mailer: str) -> None:
    shown = _ask(
        psql, mailer, "SELECT email, income, channel, tags FROM customers \\gdesc", "-A", "-t"
    )
    assert shown.splitlines() == [
        "email|character varying(254)", "income|numeric(12,2)", "channel|channel",
        "tags|text[]",
    ]  # fmt: skip


def test_a_transaction_goes_on_after_a_savepoint(psql: str, mailer: str) -> None:
    script = """
        \\set ON_ERROR_STOP 0
        \\set ON_ERROR_ROLLBACK on
        BEGIN;
        SELECT secret FROM customers;
        SELECT count(*) FROM customers;
        COMMIT;
    """
    done = run([psql, "--no-psqlrc", "-A", "-t", mailer], stdin=script)
    assert 'column "secret" does not exist' in done.stderr
    assert done.stdout.split() == ["BEGIN", "40", "COMMIT"]


def test_several_statements_in_one_string(psql: str, mailer: str) -> None:
    done = run(
        [
            psql,
            "--no-psqlrc",
            "-A",
            "-t",
            mailer,
            "-c",
            "SELECT 1; SELECT id FROM customers WHERE id = 2",
        ]
    )
    assert done.stdout.split()[-1] == "2"


def test_explain_is_the_proxys_own_answer(psql: str, mailer: str) -> None:
    shown = _ask(psql, mailer, "EXPLAIN SELECT email FROM customers")
    assert "email_campaign  (cost=0.00..0.00 rows=1 width=0)" in shown
    assert "Scan" not in shown


def test_parameters_are_bound(mailer: str) -> None:
    r"""\bind came with version 16."""
    psql = needs(installed_binaries() / "psql")
    script = "SELECT email FROM customers WHERE id = $1 \\bind 4 \\g\n"
    assert _ask(psql, mailer, script, "-A", "-t").strip() == "p4@example.com"
    script = (
        "SELECT email FROM customers WHERE id = $1 \\parse named\n"
        "\\bind_named named 4 \\g\n\\bind_named named 3 \\g\n\\close_prepared named\n"
    )
    assert _ask(psql, mailer, script, "-A", "-t").split() == ["p4@example.com", "p***@example.com"]


def test_a_pipeline_with_a_refused_statement_in_the_middle(mailer: str) -> None:
    r"""\startpipeline came with version 18."""
    psql = needs(installed_binaries() / "psql")
    script = r"""\startpipeline
SELECT email FROM customers WHERE id = $1 \bind 4 \sendpipeline
\syncpipeline
SELECT * FROM sales.internal \bind \sendpipeline
SELECT 5 \bind \sendpipeline
\syncpipeline
SELECT 6 \bind \sendpipeline
\endpipeline
"""
    done = run([psql, "--no-psqlrc", "-A", "-t", mailer], stdin=script)
    assert "reason: table_not_in_policy; access: " in done.stderr
    assert [line for line in done.stdout.splitlines() if "@" in line or line in "56"] == [
        "p4@example.com",
        "6",
    ]


def test_a_wrong_password_is_told_as_postgresql_tells_it(psql: str, mailer: str) -> None:
    wrong = mailer.replace("password%20of", "another%20of")
    done = run([psql, "--no-psqlrc", wrong, "-c", "SELECT 1"])
    assert 'password authentication failed for user "mailer"' in done.stderr
    assert done.returncode == 2
