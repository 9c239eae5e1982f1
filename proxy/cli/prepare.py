"""`consent-proxy init` and `consent-proxy doctor`: prepare a database, and look after it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.failures import DONE, NO, tell
from proxy.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    import asyncpg

    from proxy.config import Config, Database
    from proxy.consent.key import SubjectKey
    from proxy.consent.schema import InitReport
    from proxy.policy.model import Policy

AdminOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="As a role that may create schemas and roles: postgresql://ROLE@HOST:PORT/DATABASE. "
        "Its password comes from PGPASSWORD, --password-file or a prompt.",
    ),
]


def init(
    admin: AdminOption = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the password of --admin.")
    ] = None,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print the statements instead of running them.")
    ] = False,
    key_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE", help="With --print and no --admin: the type of the policy's key column."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make schema `consent` and the proxy's two roles in the customer database.

    Running it again adds what new purposes need and changes nothing else. Passwords of roles that
    are made go into the configuration's password files, or are printed once.
    """
    from proxy.cli.opening import configuration, policy_of, run

    with _password_files(config) as files:
        settings = configuration(config)
        policy = policy_of(settings.policy)
        if print_only:
            print(run(_script(settings, policy, admin, password_file, key_type)), end="")
            return
        if admin is None:
            raise typer.BadParameter("give --admin URL, or --print")
        report = run(_init(settings, policy, _admin(admin, password_file), files))
        files.are_kept = True
    _tell_init(settings, report, files)


def doctor(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Look for what is wrong or doubtful: files, roles, rights, ways around, clock, disk.

    Exit code 1 if anything is an error.
    """
    from proxy.cli.doctor import examine
    from proxy.cli.findings import print_findings
    from proxy.cli.opening import configuration, run

    findings = run(examine(configuration(config)))
    print_findings(findings, json=json)
    raise typer.Exit(NO if any(found.severity == "error" for found in findings) else DONE)


# --- running it ------------------------------------------------------------------------------


async def _init(
    settings: Config, policy: Policy, admin: Database, files: _PasswordFiles
) -> InitReport:
    from proxy.consent.schema import init as prepare

    # Only a password that lies in a file of its own is a role's: PGPASSWORD is the administrator's.
    roles = {"upstream": settings.upstream, "consent": settings.consent}
    passwords = {roles[section].user: roles[section].password or "" for section in files.paths}
    connection = await _connect(admin)
    # How far it is with tables that are filled.
    connection.add_log_listener(lambda _, message: tell(message.message))
    try:
        return await prepare(
            connection,
            policy,
            reader=settings.upstream.user,
            writer=settings.consent.user,
            passwords=passwords,
        )
    finally:
        await connection.close()


async def _script(
    settings: Config,
    policy: Policy,
    admin: str | None,
    password_file: Path | None,
    key_type: str | None,
) -> str:
    from proxy.consent.schema import init_script, read_subject_key

    if admin is None:
        key = _stated_key(policy, key_type)
    else:
        connection = await _connect(_admin(admin, password_file))
        try:
            key = await read_subject_key(connection, policy)
        finally:
            await connection.close()
    return init_script(
        policy,
        key.type_sql,
        collation=key.collation,
        reader=settings.upstream.user,
        writer=settings.consent.user,
    )


def _stated_key(policy: Policy, key_type: str | None) -> SubjectKey:
    """The key's type from --key-type or the policy's `type:`, where no database is asked."""
    from proxy.consent.errors import LedgerNotPrepared
    from proxy.consent.key import subject_key
    from proxy.errors import ConfigurationError

    column = policy.subject_key
    if column is None:
        raise LedgerNotPrepared("the policy names no `subject: key`")
    rule = policy.relations.get(column.relation)
    listed = (rule.columns or {}).get(column.column) if rule is not None else None
    stated = key_type or (listed.type if listed is not None else None)
    if stated is None:
        raise ConfigurationError(
            f"the type of {column} is not known: give --admin URL, or --key-type, as bigint or uuid"
        )
    return subject_key(column, stated)


def _admin(url: str, password_file: Path | None) -> Database:
    """The administrator's way in; a password is never part of the URL."""
    from proxy.config_url import read_url
    from proxy.errors import ConfigurationError

    password = None
    if password_file is not None:
        password = password_file.read_text(encoding="utf-8").rstrip("\r\n")
    try:
        return read_url(url, password or os.environ.get("PGPASSWORD"), Path.cwd())
    except ValueError as error:
        raise ConfigurationError(f"--admin: {error}") from None


async def _connect(admin: Database) -> asyncpg.Connection:
    """As the administrator; a password that is missing is asked for at a terminal."""
    from proxy.cli.opening import WrongPassword, connect, read_secret

    try:
        return await connect(admin, name="--admin")
    except WrongPassword:
        if admin.password is not None or not sys.stdin.isatty():
            raise
    return await connect(admin, name="--admin", password=read_secret(f"password of {admin.user}"))


# --- password files --------------------------------------------------------------------------


@dataclass(slots=True)
class _PasswordFiles:
    """The password files that the configuration names, by section; which of them we made."""

    paths: dict[str, Path]
    made: set[Path]
    are_kept: bool = False


@contextlib.contextmanager
def _password_files(config: Path | None) -> Iterator[_PasswordFiles]:
    """Make the password files that the configuration names and that are missing.

    A configuration is only whole with them. They are removed again unless `are_kept` is set: once
    a role has the password, nothing may lose it.
    """
    from proxy.cli.opening import password_paths
    from proxy.config import CONFIG_DEFAULT, CONFIG_VARIABLE
    from proxy.passwords import generate_password

    file = config or Path(os.environ.get(CONFIG_VARIABLE, CONFIG_DEFAULT))
    files = _PasswordFiles(password_paths(file), set())
    try:
        for path in files.paths.values():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                files.made.add(path)
                with os.fdopen(descriptor, "w", encoding="ascii") as opened:
                    opened.write(generate_password() + "\n")
        yield files
    finally:
        if not files.are_kept:
            for path in files.made:
                path.unlink(missing_ok=True)


def _tell_init(settings: Config, report: InitReport, files: _PasswordFiles) -> None:
    print(f"database {report.database}: schema consent is ready")
    for column in report.added_columns:
        own = f", category {column.category}" if column.category else ""
        print(f"  added purpose {column.purpose}{own} ({column.basis})")
    if not report.added_columns:
        print("  every purpose of the policy was there already")
    for table, is_in_step in report.in_table.items():
        if is_in_step:
            print(f"  {table} has its people's consent in the table")
        else:
            tell(f"{table} can not be kept in step: guards ask the ledger (see `policy check`)")
    roles = {"upstream": settings.upstream.user, "consent": settings.consent.user}
    given = {files.paths[s] for s, role in roles.items()
             if s in files.paths and role in report.made_roles}  # fmt: skip
    for section, role in roles.items():
        path = files.paths.get(section)
        if role not in report.made_roles:
            print(f"  role {role} was there already: its password is as it was")
            if path in files.made and path not in given:
                path.unlink()  # a password that is nobody's
                tell(f"write the password of {role} into {path} (mode 0600)")
        elif path is not None:
            print(f"  made role {role}; its password is in {path}")
        else:
            print(f"  made role {role}; its password, shown only now: {report.passwords[role]}")
