"""What the doctor finds: each finding is made true on a real database, and told with its severity.

Roles of the whole server are made under names of their own and dropped again.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.cli.doctor import sockets_at_hand
from proxy.config_url import read_url
from tests.cli.conftest import Place, write_config

Execute = Callable[[str], str]


def _findings(place: Place) -> list[tuple[str, str]]:
    """Severity and words of every finding."""
    told = json.loads(place.invoke("doctor", "--json", exit_code=None).stdout)
    return [(each["severity"], f"{each['topic']}: {each['what']}") for each in told]


def _told(place: Place, severity: str, words: str) -> bool:
    found = _findings(place)
    return any(each[0] == severity and words in each[1] for each in found) or pytest.fail(
        str(found)
    )


@pytest.fixture
def whole(place: Place, execute: Execute) -> Place:
    """A place in which nothing is wrong."""
    for tool in ("mailer", "site", "dashboard"):
        place.invoke("tool", "add", tool)
        place.invoke("tool", "token", tool)
    name = execute("SELECT quote_ident(current_database())").strip()
    execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name}"
            " TO consent_reader, consent_writer")  # fmt: skip
    return place


def test_where_nothing_is_wrong_it_says_yes(whole: Place) -> None:
    told = whole.run("doctor")
    assert "0 errors" in told.stdout
    # The tests' server forgoes durability, and the dealer's policy is its authors' business.
    doubts = [(severity, what) for severity, what in _findings(whole) if severity != "ok"]
    assert [each for each in doubts if not each[1].startswith(("durability", "policy"))] == []


def test_before_init_it_says_what_to_do(unprepared: Place) -> None:
    told = unprepared.run("doctor", exit_code=1)
    assert "Run `consent-proxy init`" in told.stdout


def test_a_purpose_that_init_does_not_know_is_an_error(whole: Place) -> None:
    file = whole.policy / "more.yaml"
    file.write_text("purposes: {profiling: {basis: consent, reads: [user.behavior]}}")
    assert _told(whole, "error", "ledger: not prepared for purpose profiling")
    assert _told(whole, "warning", "policy: ")


def test_a_policy_that_is_not_loaded_is_an_error_with_its_line(whole: Place) -> None:
    (whole.policy / "more.yaml").write_text("porpoises: {}")
    assert _told(whole, "error", "more.yaml:1")


def test_an_unreachable_database_is_an_error_and_not_a_traceback(whole: Place) -> None:
    write_config(whole.folder, "postgresql://postgres@127.0.0.1:1/crm", reader="r", writer="w")
    told = whole.run("doctor", exit_code=1)
    assert "r at 127.0.0.1:1" in told.stdout


@pytest.mark.parametrize(
    ("url", "mode", "is_told"),
    [
        ("postgresql://r@127.0.0.1:5499/crm", 0o755, True),
        ("postgresql://r@localhost:5499/crm", 0o775, True),
        ("postgresql://r@127.0.0.1:5499/crm", 0o1777, False),  # anybody could have made it
        ("postgresql://r@127.0.0.1:5432/crm", 0o755, False),
        ("postgresql://r@db.example.com:5499/crm", 0o755, False),
        ("postgresql://r@/crm?host=/run/x&port=5499", 0o755, False),
    ],
)
def test_a_socket_that_could_be_used_is_told(
    tmp_path: Path, url: str, mode: int, *, is_told: bool
) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / ".s.PGSQL.5499"))
        tmp_path.chmod(mode)
        found = sockets_at_hand(read_url(url, None, tmp_path), (tmp_path, tmp_path / "none"))
    assert [f"?host={tmp_path} in the URL" in each.what for each in found] == [True] * is_told


def test_a_superuser_as_reader_is_an_error(whole: Place) -> None:
    write_config(whole.folder, whole.admin_url, reader="postgres", writer="consent_writer")
    assert _told(whole, "error", "role: postgres reads for the tools, and is superuser")


MADE = [
    ("GRANT INSERT ON crm.customers TO consent_reader", "error", "may write to crm.customers"),
    ("GRANT UPDATE (email) ON crm.customers TO consent_reader", "error", "may write to"),
    ("GRANT CREATE ON SCHEMA crm TO consent_reader", "error", "may create in schema crm"),
    ("GRANT TEMP ON DATABASE {database} TO consent_reader", "warning", "temporary tables"),
    ("REVOKE SELECT (email) ON crm.customers FROM consent_reader", "error",
     "may not read crm.customers.email"),
    ("CREATE TABLE crm.salaries (id int); GRANT SELECT ON crm.salaries TO consent_reader",
     "warning", "may read more than the policy names: crm.salaries"),
    ("GRANT SELECT ON consent.event TO consent_reader", "error", "may read event of schema"),
    ("GRANT USAGE ON SCHEMA crm TO PUBLIC; GRANT SELECT ON crm.customers TO PUBLIC", "error",
     "everybody who can log in may read crm.customers"),
    ("CREATE FUNCTION public.peek() RETURNS text SECURITY DEFINER LANGUAGE sql AS 'SELECT ''''';"
     "GRANT USAGE ON SCHEMA public TO PUBLIC", "warning", "peek()"),
    ("CREATE FUNCTION crm.lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT $1::text'",
     "warning", "functions of the policy's schemas are called as PostgreSQL's own: lower"),
    ("CREATE FUNCTION public.to_money(varchar) RETURNS money LANGUAGE sql AS 'SELECT 1::money';"
     "CREATE CAST (varchar AS money) WITH FUNCTION public.to_money(varchar)", "error",
     "casts between built-in types: character varying to money"),
    ("DROP TABLE web.page_views", "error", "the database has no such table"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "severity", "words"), MADE)
def test_what_was_made_true_is_found(
    whole: Place, execute: Execute, script: str, severity: str, words: str
) -> None:
    name = execute("SELECT quote_ident(current_database())").strip()
    execute(script.replace("{database}", name))
    assert _told(whole, severity, words)
    whole.invoke("doctor", exit_code=1 if severity == "error" else 0)


def test_other_roles_and_their_views_are_ways_around(
    whole: Place, execute: Execute, made_roles: tuple[str, str]
) -> None:
    boss, looker = made_roles
    execute(
        f"CREATE ROLE {boss} LOGIN; CREATE ROLE {looker} LOGIN; CREATE SCHEMA bi;"
        f"GRANT USAGE ON SCHEMA crm, bi TO {boss}, {looker};"
        f"GRANT SELECT ON crm.customers TO {boss};"
        "CREATE VIEW bi.mails AS SELECT email FROM crm.customers;"
        "CREATE VIEW bi.again AS SELECT email FROM bi.mails;"
        f"GRANT SELECT ON bi.again TO {looker}"
    )
    assert _told(whole, "warning", f"the role {boss} may read crm.customers without the proxy")
    assert _told(whole, "warning", f"the view bi.again shows tables of the policy to {looker}")


def test_files_that_others_can_read_are_errors(whole: Place) -> None:
    (whole.folder / "secrets.yaml").chmod(0o644)
    assert _told(whole, "error", "secrets.yaml can be read by others")
    secret = whole.folder / "secret"
    secret.mkdir()
    for name in ("reader", "writer"):
        (secret / name).write_text("x\n")
        (secret / name).chmod(0o640)
    write_config(
        whole.folder,
        whole.admin_url,
        reader="consent_reader",
        writer="consent_writer",
        passwords=True,
    )
    assert _told(whole, "error", f"{secret / 'reader'} can be read by others")


def test_tools_without_a_credential_and_credentials_without_a_tool_are_told(whole: Place) -> None:
    whole.invoke("tool", "add", "stranger")
    assert _told(whole, "warning", "tools that the policy does not name: stranger")
    assert _told(whole, "warning", "no password and no token: stranger")
    (whole.policy / "more.yaml").write_text("tools: {newcomer: {purposes: [measurement]}}")
    assert _told(whole, "warning", "tools of the policy without a credential: newcomer")


def test_a_certificate_that_ended_or_does_not_fit_its_key_is_an_error(
    whole: Place, tmp_path: Path
) -> None:
    _make_certificate(tmp_path, days=400)
    text = whole.config.read_text().replace(
        "http: 127.0.0.1:0}", "http: 127.0.0.1:0, tls: {certificate: cert.pem, key: key.pem}}"
    )
    whole.config.write_text(text)
    assert _told(whole, "ok", "the certificate is good until")
    (tmp_path / "key.pem").chmod(0o644)
    assert _told(whole, "error", "key.pem can be read by others")
    _make_certificate(tmp_path, days=3)
    assert _told(whole, "warning", "the certificate ends on")
    shutil.copy(tmp_path / "cert.pem", tmp_path / "old.pem")
    _make_certificate(tmp_path, days=3)
    shutil.copy(tmp_path / "old.pem", tmp_path / "cert.pem")
    assert _told(whole, "error", "can not be used")


def test_a_door_to_everybody_without_tls_is_told(whole: Place) -> None:
    text = whole.config.read_text()
    whole.config.write_text(
        text.replace("http: 127.0.0.1:0}", "http: 0.0.0.0:8432, insecure: true}")
    )
    assert _told(whole, "warning", "0.0.0.0:8432 answers without TLS")


def test_a_log_folder_that_can_not_be_one_is_an_error(whole: Place) -> None:
    whole.access_log.parent.mkdir(exist_ok=True)
    shutil.rmtree(whole.access_log, ignore_errors=True)
    whole.access_log.write_text("")
    assert _told(whole, "error", "can not be written to")


def _make_certificate(folder: Path, *, days: int) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-days", str(days),
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "key.pem").chmod(0o600)
