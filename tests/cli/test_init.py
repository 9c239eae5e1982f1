"""Preparing a database: what is printed, and where passwords go (never on a command line)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from proxy.demo.embedded import EmbeddedPostgres
from tests.cli.conftest import Place, write_config


def test_running_it_twice_changes_nothing_the_second_time(unprepared: Place) -> None:
    first = unprepared.run("init", "--admin", unprepared.admin_url)
    assert "added purpose email_campaign (consent)" in first.stdout
    assert "category user.inferred.life_event" in first.stdout
    second = unprepared.run("init", "--admin", unprepared.admin_url)
    assert "every purpose of the policy was there already" in second.stdout


def test_it_puts_consent_into_a_table_that_the_policy_says(
    unprepared: Place, execute: Callable[[str], str]
) -> None:
    file = unprepared.folder / "policy" / "tables.yaml"
    before = "  crm.customers:\n    subject: id\n"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, f"{before}    consent: in_table\n"))
    execute("INSERT INTO crm.customers (id, full_name, created_at) VALUES (4711, 'A', now())")
    told = unprepared.run("init", "--admin", unprepared.admin_url)
    assert "crm.customers has its people's consent in the table" in told.stdout
    assert "filling crm.customers" in told.stderr
    assert execute("SELECT consent_email_campaign FROM crm.customers WHERE id = 4711")
    assert "out of step" not in unprepared.run("policy", "check").stdout
    execute("ALTER TABLE crm.customers DISABLE TRIGGER ALL")
    assert "out of step" in unprepared.run("policy", "check").stdout
    assert "out of step" in unprepared.run("doctor", exit_code=None).stdout
    script = unprepared.run("init", "--print", "--admin", unprepared.admin_url).stdout
    execute(script)
    assert "out of step" not in unprepared.run("policy", "check").stdout


def test_a_new_roles_password_is_shown_once(unprepared: Place, made_roles: tuple[str, str]) -> None:
    reader, writer = made_roles
    write_config(unprepared.folder, unprepared.admin_url, reader=reader, writer=writer)
    told = unprepared.invoke("init", "--admin", unprepared.admin_url).stdout
    assert re.search(rf"made role {reader}; its password, shown only now: \S{{32}}\n", told)
    again = unprepared.invoke("init", "--admin", unprepared.admin_url).stdout
    assert f"role {writer} was there already" in again
    assert "shown only now" not in again


def test_the_administrators_password_never_becomes_a_roles(
    unprepared: Place, made_roles: tuple[str, str]
) -> None:
    reader, writer = made_roles
    write_config(unprepared.folder, unprepared.admin_url, reader=reader, writer=writer)
    told = unprepared.run(
        "init", "--admin", unprepared.admin_url, environment={"PGPASSWORD": "the-admins-own"}
    )
    assert told.stdout.count("shown only now") == 2
    assert "the-admins-own" not in told.stdout


def test_password_files_that_the_configuration_names_are_made_for_their_owner_alone(
    unprepared: Place, made_roles: tuple[str, str]
) -> None:
    reader, writer = made_roles
    write_config(
        unprepared.folder, unprepared.admin_url, reader=reader, writer=writer, passwords=True
    )
    told = unprepared.invoke("init", "--admin", unprepared.admin_url).stdout
    for name in ("reader", "writer"):
        file = unprepared.folder / "secret" / name
        assert file.stat().st_mode & 0o777 == 0o600
        assert len(file.read_text().strip()) >= 32
        assert file.read_text().strip() not in told
    unprepared.invoke("consent", "show", "--subject", "1")


def test_a_failure_leaves_no_password_file_behind(
    unprepared: Place, made_roles: tuple[str, str]
) -> None:
    reader, writer = made_roles
    admin = unprepared.admin_url
    write_config(unprepared.folder, admin, reader=reader, writer=writer, passwords=True)
    nowhere = "postgresql://postgres@127.0.0.1:1/crm"
    unprepared.invoke("init", "--admin", nowhere, exit_code=2)
    unprepared.invoke("init", "--print", "--key-type", "bigint")
    assert list((unprepared.folder / "secret").iterdir()) == []


def test_the_printed_script_prepares_the_database(
    unprepared: Place, execute: Callable[[str], str]
) -> None:
    script = unprepared.run("init", "--print", "--admin", unprepared.admin_url).stdout
    assert "PASSWORD" not in script
    assert execute("SELECT to_regclass('consent.event')").strip() == ""
    execute(script)
    unprepared.invoke("consent", "show", "--subject", "1")


def test_without_a_database_the_keys_type_must_be_said(unprepared: Place) -> None:
    told = unprepared.invoke("init", "--print", exit_code=2)
    assert "--key-type" in told.stderr
    assert "bigint" in unprepared.invoke("init", "--print", "--key-type", "bigint").stdout
    unprepared.invoke("init", "--print", "--key-type", "money", exit_code=1)


def test_a_password_in_the_url_is_refused(unprepared: Place, postgres: EmbeddedPostgres) -> None:
    for url in ("postgresql://postgres:secret@127.0.0.1/crm", "mysql://x", "postgresql:///crm"):
        told = unprepared.invoke("init", "--admin", url, exit_code=2)
        assert "--admin: " in told.stderr
        assert "secret" not in told.stderr
    unprepared.invoke("init", exit_code=2)


def test_a_password_comes_from_a_file_or_the_environment(
    unprepared: Place, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    name = unprepared.admin_url.split("@/", 1)[1].split("?", 1)[0]
    url = f"postgresql://postgres@127.0.0.1:{postgres.port}/{name}"
    told = unprepared.run("init", "--admin", url, exit_code=2)
    assert "password" in told.stderr
    file = tmp_path / "password"
    file.write_text(postgres.superuser_password + "\n")
    unprepared.run("init", "--admin", url, "--password-file", str(file))
    unprepared.run("init", "--admin", url, environment={"PGPASSWORD": postgres.superuser_password})


def test_a_database_without_the_policys_tables_is_told_whole(
    unprepared: Place, execute: Callable[[str], str]
) -> None:
    execute("ALTER TABLE crm.customers RENAME COLUMN email TO mail; DROP TABLE web.page_views")
    told = unprepared.invoke("init", "--admin", unprepared.admin_url, exit_code=2)
    assert "crm.customers.email" in told.stderr
    assert "web.page_views" in told.stderr


def test_a_password_file_that_is_there_is_the_new_roles_password(
    unprepared: Place, made_roles: tuple[str, str], postgres: EmbeddedPostgres
) -> None:
    reader, writer = made_roles
    admin = unprepared.admin_url
    write_config(unprepared.folder, admin, reader=reader, writer=writer, passwords=True)
    secret = unprepared.folder / "secret"
    secret.mkdir()
    (secret / "reader").write_text("chosen-by-somebody\n")
    told = unprepared.invoke("init", "--admin", admin).stdout
    assert f"made role {reader}; its password is in {secret / 'reader'}" in told
    assert (secret / "reader").read_text() == "chosen-by-somebody\n"
    name = admin.split("@/", 1)[1].split("?", 1)[0]
    over_tcp = f"postgresql://{{role}}@127.0.0.1:{postgres.port}/{name}"
    text = unprepared.config.read_text()
    for role in (reader, writer):
        start = text.index(f"postgresql://{role}@")
        text = text.replace(text[start : text.index('"', start)], over_tcp.format(role=role))
    unprepared.config.write_text(text)
    unprepared.invoke("consent", "show", "--subject", "1")  # SCRAM, with the files' passwords
    unprepared.invoke("policy", "check")


def test_a_role_that_was_there_keeps_its_password_and_gets_no_file(
    unprepared: Place, made_roles: tuple[str, str], execute: Callable[[str], str]
) -> None:
    reader, writer = made_roles
    execute(f"CREATE ROLE {reader} LOGIN PASSWORD 'its own'")
    admin = unprepared.admin_url
    write_config(unprepared.folder, admin, reader=reader, writer=writer, passwords=True)
    told = unprepared.invoke("init", "--admin", admin)
    assert f"write the password of {reader}" in told.stderr
    assert [path.name for path in (unprepared.folder / "secret").iterdir()] == ["writer"]
