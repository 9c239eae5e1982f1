"""What commands work on: the configuration, the policy, the databases, the ledger.

The edge of the command line: everything that waits or can fail is opened here, in one way.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from proxy.config import CONFIG_DEFAULT, CONFIG_VARIABLE, Config, Database, load_config
from proxy.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncpg

    from proxy.consent.ledger import Ledger
    from proxy.policy.model import Policy
    from proxy.sql.catalog import Catalog

CONNECT_TIMEOUT_S: Final = 5.0

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end; ^C cancels it."""
    return asyncio.run(work)


def configuration(path: Path | None) -> Config:
    """The configuration; ConfigurationError tells every problem."""
    try:
        return load_config(path)
    except ConfigurationError as error:
        is_named = path is not None or CONFIG_VARIABLE in os.environ
        if is_named or Path(CONFIG_DEFAULT).exists():
            raise
        here = f"there is no {CONFIG_DEFAULT} here: give --config FILE"
        raise ConfigurationError(f"{here}\n{error}") from None


def password_paths(file: Path | None) -> dict[str, Path]:
    """The password files that a configuration names, by section, whether they exist or not.

    A `Config` holds passwords, not paths. A file that can not be read names none: `configuration`
    tells what is wrong with it.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    content: Any = None
    if file is not None:
        with contextlib.suppress(OSError, UnicodeDecodeError, YAMLError):
            content = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    folder = Path.cwd() if file is None else file.absolute().parent
    found = {}
    for section in ("upstream", "consent"):
        values = content.get(section) if isinstance(content, dict) else None
        named = values.get("password_file") if isinstance(values, dict) else None
        named = os.environ.get(f"CONSENT_PROXY_{section.upper()}_PASSWORD_FILE", named)
        if isinstance(named, str) and named:
            found[section] = folder / named
    return found


def who() -> str:
    """The account that runs the command: what the ledger and the access log record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def policy_of(folder: Path) -> Policy:
    """The policy of a folder; PolicyErrors tells every problem."""
    from proxy.policy.load import load_policy

    return load_policy(folder)


@contextlib.asynccontextmanager
async def connected(database: Database, *, name: str = "") -> AsyncIterator[asyncpg.Connection]:
    """A connection as one of the configured roles; ConfigurationError says what stands in the way.

    Each statement has half a minute: a command must not hang on somebody's lock.
    """
    connection = await connect(database, name=name)
    try:
        yield connection
    finally:
        await connection.close()


async def connect(
    database: Database, *, name: str = "", password: str | None = None
) -> asyncpg.Connection:
    """As `connected`; the caller closes it. `asyncpg` takes PGPASSWORD where there is none."""
    import asyncpg

    place = f"{name + ': ' if name else ''}{database.user} at {database.host}:{database.port}"
    try:
        return await asyncpg.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            database=database.database,
            password=password if password is not None else database.password,
            ssl=database.tls_context() or False,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=30.0,
            server_settings={"application_name": "consent-proxy command"},
        )
    except TimeoutError:
        raise ConfigurationError(f"{place}: no answer in {CONNECT_TIMEOUT_S:.0f} s") from None
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
            raise WrongPassword(f"{place}: {error}") from None
        raise ConfigurationError(f"{place}: {error}") from None
    except (OSError, asyncpg.InterfaceError) as error:
        raise ConfigurationError(f"{place}: {error}") from None


class WrongPassword(ConfigurationError):  # noqa: N818 - what is wrong, not that it is an error
    """The database wants another password, or one at all."""


@contextlib.asynccontextmanager
async def ledger_of(config: Config) -> AsyncIterator[Ledger]:
    """The ledger of the configured policy, as the role that records consent."""
    from proxy.consent.ledger import Ledger

    ledger = await Ledger.connect(
        config.consent.absolute_url, config.consent.password, policy_of(config.policy)
    )
    try:
        yield ledger
    finally:
        await ledger.close()


async def catalog_of(config: Config, policy: Policy) -> Catalog:
    """What the configured database has of the policy's schemas."""
    from proxy.policy.check import catalog_schemas
    from proxy.sql.catalog import load_catalog

    async with connected(config.upstream, name="upstream") as connection:
        return await load_catalog(connection, catalog_schemas(policy))


def instant(option: str, text: str | None) -> datetime | None:
    """An option's time: an instant with its offset, or a duration that means so long ago."""
    from proxy.consent.errors import InvalidRequest
    from proxy.consent.request import read_time
    from proxy.policy.durations import parse_duration

    if text is None:
        return None
    try:
        return datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    except ValueError:
        pass
    try:
        return read_time(option, text)
    except InvalidRequest:
        raise ConfigurationError(
            f"{option}: expected a time with its offset, as 2026-03-01T12:00:00Z, or a duration, "
            "as 24h"
        ) from None


def read_secret(prompt: str, *, confirm: bool = False) -> str:
    """One line of standard input; at a terminal it is asked for and not shown."""
    import sys

    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    secret = getpass.getpass(f"{prompt}: ")
    if confirm and getpass.getpass(f"{prompt} again: ") != secret:
        raise ConfigurationError("the two are not the same")
    return secret
