"""Preparing the demo: everything but the proxy, private, complete, and again if need be."""

from __future__ import annotations

import shlex
from pathlib import Path

import asyncpg
import pytest

from proxy.config import load_config
from proxy.demo.prepare import Demo, prepare, write_password_file
from proxy.demo.things import find_people, render, things_to_try
from proxy.secrets import Secrets


async def prepared(folder: Path) -> Demo:
    return await prepare(folder, customers=100, postgres="127.0.0.1:0", http="127.0.0.1:0")


async def test_what_is_prepared_is_complete_and_what_is_secret_is_private(tmp_path: Path) -> None:
    demo = await prepared(tmp_path)
    try:
        config = load_config(demo.config, {})
        assert config.policy.is_dir()
        assert config.listen.postgres.port == 0
        for url in (config.upstream.url, config.consent.url):
            connection = await asyncpg.connect(url)
            assert await connection.fetchval("SELECT current_database()") == "crm"
            await connection.close()

        secrets = Secrets.load(config.secrets)
        assert set(demo.tools) == {"mailer", "site", "dashboard"}
        for name, tool in demo.tools.items():
            assert secrets.scram_verifier(name) is not None
            credential = secrets.credential_of_token(tool.token)
            assert credential is not None
            assert (credential.name, credential.role) == (name, "tool")
        assert set(demo.tokens) == {"consent", "review", "metrics"}
        for role, token in demo.tokens.items():
            credential = secrets.credential_of_token(token)
            assert credential is not None
            assert credential.role == role

        for path in (write_password_file(demo), demo.config, config.secrets):
            assert path.stat().st_mode & 0o077 == 0
        values = demo.ready_values()
        assert values["database"] == "crm"
        assert "password" not in repr(demo)
    finally:
        demo.server.stop()


async def test_the_reader_reads_only_what_the_policy_names(tmp_path: Path) -> None:
    demo = await prepared(tmp_path)
    try:
        connection = await asyncpg.connect(load_config(demo.config, {}).upstream.url)
        assert await connection.fetchval("SELECT count(*) FROM crm.customers") == 100
        for statement in ("DELETE FROM crm.customers", "SELECT * FROM consent.event"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()
    finally:
        demo.server.stop()


async def test_a_second_start_keeps_rows_and_consents_and_makes_new_passwords(
    tmp_path: Path,
) -> None:
    first = await prepared(tmp_path)
    first.server.run("DELETE FROM sales.order_items", "crm")
    first.server.stop()
    second = await prepared(tmp_path)
    try:
        assert second.server.run("SELECT count(*) FROM sales.order_items", "crm") == "0\n"
        assert first.tools["mailer"].token != second.tools["mailer"].token
    finally:
        second.server.stop()


async def test_a_build_that_was_interrupted_is_begun_anew(tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await prepare(tmp_path, customers=100, progress=interrupt)
    demo = await prepared(tmp_path)
    try:
        assert demo.server.run("SELECT count(*) FROM crm.customers", "crm") == "100\n"
    finally:
        demo.server.stop()


async def test_the_five_things_name_real_people_and_no_password(tmp_path: Path) -> None:
    demo = await prepared(tmp_path)
    try:
        people = await find_people(demo.admin_url)
        things = things_to_try(
            people,
            host="127.0.0.1",
            port=6432,
            config=demo.config,
            password_file=write_password_file(demo),
        )
        assert len(things) == 5
        text = render(things)
        assert str(people.withdrew.id) in text
        assert all(tool.password not in text for tool in demo.tools.values())
        for thing in things:
            for command in thing.commands:
                words = shlex.split(command)
                assert "\n" not in command
                if words[0].startswith("PGPASSFILE="):
                    # The statement is what PostgreSQL itself understands.
                    demo.server.run(f"PREPARE p AS {words[-1]}", "crm")
        names = set(demo.server.run("SELECT id FROM crm.customers", "crm").split())
        assert str(people.watched.id) in names
    finally:
        demo.server.stop()
