"""The secrets file: nobody but its owner reads it, and nothing in it lets anybody log in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import multiprocessing
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.demo.embedded import EmbeddedPostgres
from proxy.errors import ConfigurationError
from proxy.passwords import generate_password, make_verifier, prepared
from proxy.secrets import Secrets


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    made = Secrets.load(tmp_path / "secrets.yaml", create=True)
    made.add("mailer", "tool")
    return made


def test_the_file_is_for_its_owner_alone_and_another_mode_is_refused(secrets: Secrets) -> None:
    assert secrets.path.stat().st_mode & 0o777 == 0o600
    secrets.path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Secrets.load(secrets.path)


def test_a_password_is_kept_as_a_verifier_that_survives_the_file(secrets: Secrets) -> None:
    secrets.set_password("mailer", "correct horse")
    again = Secrets.load(secrets.path)
    verifier = again.scram_verifier("mailer")
    assert verifier == secrets.scram_verifier("mailer")
    assert verifier is not None
    assert verifier.iterations == 4096
    salted = hashlib.pbkdf2_hmac("sha256", b"correct horse", verifier.salt, 4096)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    assert hashlib.sha256(client_key).digest() == verifier.stored_key
    assert "correct horse" not in secrets.path.read_text()


def test_a_token_names_its_credential_and_only_the_newest_one_does(secrets: Secrets) -> None:
    first = secrets.make_token("mailer")
    second = secrets.make_token("mailer")
    again = Secrets.load(secrets.path)
    assert again.credential_of_token(first) is None
    found = again.credential_of_token(second)
    assert found is not None
    assert (found.name, found.role) == ("mailer", "tool")
    assert second not in found.id
    assert second.split("_", 2)[2] not in secrets.path.read_text()


def test_no_other_text_is_a_token(secrets: Secrets) -> None:
    token = secrets.make_token("mailer")
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for text in ("", "cp_", "mailer", token[:-1], token + "A", changed, token.upper(), "\udcff"):
        assert secrets.credential_of_token(text) is None


def test_a_disabled_name_has_neither_password_nor_token_until_it_is_enabled(
    secrets: Secrets,
) -> None:
    secrets.set_password("mailer", "x")
    token = secrets.make_token("mailer")
    secrets.disable("mailer")
    again = Secrets.load(secrets.path)
    assert again.scram_verifier("mailer") is None
    assert again.credential_of_token(token) is None
    credential = again.credential("mailer")
    assert credential is not None
    assert credential.is_disabled
    again.enable("mailer")
    assert again.credential_of_token(token) is not None


def test_sessions_of_changed_disabled_and_removed_names_end_and_no_others(
    secrets: Secrets,
) -> None:
    for name in ("site", "dashboard", "new"):
        if name != "new":
            secrets.add(name, "tool")
    before = Secrets.load(secrets.path)
    secrets.set_password("mailer", "other")
    secrets.disable("site")
    secrets.add("new", "review")
    assert before.ended_in(secrets) == {"mailer", "site"}


@pytest.mark.parametrize("name", ["", "a b", "a@b", "1a", "a" * 64, "ä", "a\n", "../x"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(
    secrets: Secrets, name: str
) -> None:
    with pytest.raises(ConfigurationError):
        secrets.add(name, "tool")


def test_what_does_not_exist_or_exists_already_is_told(secrets: Secrets) -> None:
    with pytest.raises(ConfigurationError, match="tool add nobody"):
        secrets.set_password("nobody", "x")
    with pytest.raises(ConfigurationError, match="already there"):
        secrets.add("mailer", "tool")
    with pytest.raises(ConfigurationError, match="no secrets file"):
        Secrets.load(secrets.path.with_name("none.yaml"))


def test_a_damaged_file_is_refused_and_its_values_are_not_shown(secrets: Secrets) -> None:
    secrets.set_password("mailer", "x")
    secrets.path.write_text(secrets.path.read_text().replace("stored_key: ", "stored_key: '-'  #"))
    with pytest.raises(ConfigurationError, match=r"mailer\.scram\.stored_key: .*base64"):
        Secrets.load(secrets.path)


def _add_many(path: str, prefix: str) -> None:
    secrets = Secrets.load(Path(path), create=True)
    for number in range(20):
        secrets.add(f"{prefix}{number}", "tool")


def test_two_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yaml"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_add_many, args=(str(path), prefix)) for prefix in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(Secrets.load(path).listing()) == 40
    assert list(tmp_path.iterdir()) == [path]


@given(st.text(min_size=1))
def test_preparing_a_password_never_fails_and_leaves_ascii_alone(password: str) -> None:
    result = prepared(password)
    assert result
    if password.isascii():
        assert result == password.encode()


def test_passwords_are_prepared_as_rfc_4013_says() -> None:
    assert prepared("I\u00adX") == b"IX"
    assert prepared("\u00aa") == b"a"
    assert prepared("\u2168") == b"IX"
    assert prepared("a\u00a0b") == b"a b"
    assert prepared("x\u0007\u00aa") == "x\u0007\u00aa".encode()  # prohibited: as it is
    assert prepared("\u0627\u0031") == "\u0627\u0031".encode()  # mixed directions: as it is


@pytest.mark.parametrize("password", ["plain", "I\u00adX\u2168", "\u0627\u0031", "p\u00e4ss wort"])
async def test_postgresql_itself_accepts_our_verifiers(
    postgres: EmbeddedPostgres, password: str
) -> None:
    made = make_verifier(password)
    salt, stored, server = (
        base64.b64encode(part).decode() for part in (made.salt, made.stored_key, made.server_key)
    )
    role = f"scram_{abs(hash(password))}"
    kept = f"SCRAM-SHA-256$4096:{salt}${stored}:{server}"
    postgres.run(f"CREATE ROLE {role} LOGIN PASSWORD '{kept}'")
    connection = await asyncpg.connect(postgres.url("postgres", role, tcp=True, password=password))
    await connection.close()
    postgres.run(f"DROP ROLE {role}")


def test_generated_passwords_need_no_quoting() -> None:
    password = generate_password()
    assert password.isalnum()
    assert len(password) == 39
