"""`consent-proxy doctor`: every doubt about a proxy's surroundings, in one run.

Nothing is changed anywhere. What can not be looked at is a finding, not an end.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.cli import doctor_files, doctor_rights, doctor_ways
from proxy.cli.findings import Finding, error, listed, ok, warning
from proxy.cli.opening import connected
from proxy.config import Config, Database
from proxy.consent.errors import ConsentError, LedgerNotPrepared
from proxy.consent.ledger import unprepared
from proxy.consent.schema import SERVER_VERSION_MIN
from proxy.errors import ConfigurationError
from proxy.policy.check import catalog_schemas, check_against
from proxy.policy.load import load_policy
from proxy.policy.model import Policy
from proxy.policy.problem import PolicyErrors
from proxy.sql.catalog import Catalog, load_catalog
from proxy.sql.functions import LISTED_VERSION_MAX, function_names, is_operator_allowed
from proxy.sql.permitted import Permitted

if TYPE_CHECKING:
    import asyncpg

# Access records carry the proxy's clock, consent the database's: who compares them must not err.
CLOCK_WARNING_S: Final = 2.0
CLOCK_ERROR_S: Final = 60.0
# Where packages of PostgreSQL have their sockets. Not /tmp: there anybody can make one.
SOCKET_FOLDERS: Final = (Path("/run/postgresql"),)


async def examine(config: Config) -> list[Finding]:
    """Everything that `doctor` tells, in the order of files, policy, database, ledger."""
    policy, findings = _policy(config)
    findings += doctor_files.findings(config, policy)
    try:
        async with connected(config.upstream) as reader:
            findings += await _upstream(reader, config, policy)
            try:
                async with connected(config.consent) as writer:
                    findings += await _consent(writer, reader, policy)
            except ConfigurationError as failure:
                findings.append(_unreachable("consent", failure))
    except ConfigurationError as failure:
        findings.append(_unreachable("upstream", failure))
    return findings


def _unreachable(topic: str, failure: ConfigurationError) -> Finding:
    means = "Nothing can be answered; what hangs on this database was not looked at."
    return error(topic, str(failure), means, "Check address, role, password and pg_hba.conf.")


def _policy(config: Config) -> tuple[Policy | None, list[Finding]]:
    try:
        policy = load_policy(config.policy)
    except PolicyErrors as errors:
        means = "The policy is not loaded: a proxy that starts now does not start."
        do = "Correct the file; `consent-proxy policy check` tells whether it is right."
        return None, [error("policy", str(problem), means, do) for problem in errors.problems]
    return policy, [ok("policy", f"{policy.name}, revision {policy.revision[:12]}")]


# --- the customer database -------------------------------------------------------------------


async def _upstream(
    reader: asyncpg.Connection, config: Config, policy: Policy | None
) -> list[Finding]:
    findings = [*await _server(reader), await _clock(reader), _pooling(config)]
    findings += sockets_at_hand(config.upstream, SOCKET_FOLDERS)
    findings += await doctor_rights.reader_findings(reader, policy)
    if policy is None:
        return findings
    catalog = await load_catalog(reader, catalog_schemas(policy))
    findings += _held_against(policy, catalog)
    findings += _shadows(policy, catalog)
    own = (config.upstream.user, config.consent.user)
    findings += await doctor_ways.findings(reader, policy, own)
    return findings


async def _server(connection: asyncpg.Connection) -> list[Finding]:
    version = int(await connection.fetchval("SELECT current_setting('server_version_num')"))
    findings = []
    if version < SERVER_VERSION_MIN:
        findings.append(
            error("server", f"version {version}", "Older than PostgreSQL 13.", "Upgrade it.")
        )
    if version // 10_000 > LISTED_VERSION_MAX:
        findings.append(
            warning(
                "server",
                f"version {version}",
                f"Its functions were not looked at: the lists end with {LISTED_VERSION_MAX}.",
                "Update the proxy before the database.",
            )
        )
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        findings.append(
            error(
                "standby",
                "this database is a standby",
                "It lags behind: a withdrawal would show only later.",
                "Point upstream.url and consent.url at the primary.",
            )
        )
    off = await connection.fetch(
        "SELECT name FROM unnest(ARRAY['fsync', 'synchronous_commit']) AS name"
        " WHERE current_setting(name) = 'off'"
    )
    findings += [
        warning(
            "durability",
            f"{row['name']} is off",
            "A withdrawal that was answered can be lost when the server crashes.",
            f"Set {row['name']} = on, at least for the role that records consent.",
        )
        for row in off
    ]
    return findings or [ok("server", f"PostgreSQL {version // 10000}, a primary")]


def sockets_at_hand(database: Database, folders: Iterable[Path]) -> list[Finding]:
    """A unix socket that could be named instead of loopback.

    It is never taken by itself: which server made it can not be seen from outside, and another way
    in may be another role (`peer`). Not told of where everybody can make one.
    """
    if database.is_unix_socket or not database.is_local:
        return []
    return [
        ok("socket", f"{folder} has one for port {database.port}: ?host={folder} in the URL")
        for folder in folders
        if (folder / f".s.PGSQL.{database.port}").is_socket()
        and not folder.stat().st_mode & stat.S_IWOTH
    ]


def _pooling(config: Config) -> Finding:
    leased_for = f"each leased for a {config.upstream_pooling}"
    return ok("pooling", f"{config.upstream_connections} connections per worker, {leased_for}")


async def _clock(connection: asyncpg.Connection) -> Finding:
    before = datetime.now(UTC)
    there: datetime = await connection.fetchval("SELECT clock_timestamp()")
    after = datetime.now(UTC)
    away_s = (there - (before + (after - before) / 2)).total_seconds()
    told = f"{abs(away_s):.3f} s {'ahead of' if away_s > 0 else 'behind'} this machine's"
    means = "Consent counts by the database's clock, the access log by the proxy's."
    do = "Let both machines follow the same time service."
    if abs(away_s) > CLOCK_ERROR_S:
        return error("clock", f"the database's is {told}", means, do)
    if abs(away_s) > CLOCK_WARNING_S:
        return warning("clock", f"the database's is {told}", means, do)
    return ok("clock", f"the database's is {told}")


def _held_against(policy: Policy, catalog: Catalog) -> Iterator[Finding]:
    problems = check_against(policy, catalog)
    for problem in problems:
        means = (
            "The table is out of service."
            if problem.severity == "error"
            else "It may not say what was meant."
        )
        finding = error if problem.severity == "error" else warning
        yield finding("policy", str(problem), means, "See `consent-proxy policy check`.")
    if not problems:
        yield ok("policy", "agrees with the database")


def _shadows(policy: Policy, catalog: Catalog) -> Iterator[Finding]:
    """Names of the policy's schemas that PostgreSQL could take instead of its own."""
    own = Permitted(policy, catalog)
    operators = {n for n in catalog.shadowed_operators if is_operator_allowed(None, n)}
    for kind, names in (
        ("functions", own.shadowed(function_names())),
        ("operators", {n for n in operators if not own.allows_operator(None, n)}),
        ("types", catalog.shadowed_types),
    ):
        if names:
            yield warning(
                "shadows",
                f"{kind} of the policy's schemas are called as PostgreSQL's own: "
                f"{listed(sorted(names))}",
                "Tools must write them pg_catalog.…; unqualified they are refused.",
                "Rename them, or move them to a schema that the policy does not name.",
            )


# --- the ledger ------------------------------------------------------------------------------


async def _consent(
    writer: asyncpg.Connection, reader: asyncpg.Connection, policy: Policy | None
) -> list[Finding]:
    findings = []
    if await _place(writer) != await _place(reader):
        findings.append(
            error(
                "consent",
                "consent.url and upstream.url lead to different databases",
                "A withdrawal recorded in one would not show in the other.",
                "Point both at the same database of the same primary.",
            )
        )
    findings += await doctor_rights.writer_findings(writer)
    if policy is not None:
        findings.append(await _prepared(writer, policy))
    return findings


async def _place(connection: asyncpg.Connection) -> tuple[object, ...]:
    row = await connection.fetchrow(
        "SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()"
    )
    return tuple(row or ())


async def _prepared(writer: asyncpg.Connection, policy: Policy) -> Finding:
    import asyncpg

    do = "Run `consent-proxy init`."
    try:
        missing = await unprepared(writer, policy)
    except (ConsentError, asyncpg.PostgresError) as failure:
        message = failure.message if isinstance(failure, LedgerNotPrepared) else str(failure)
        means = "Nobody's consent can be read or recorded."
        return error("ledger", f"schema consent is not there as it should be: {message}", means, do)
    if missing:
        means = "The proxy does not serve a policy that the ledger does not know."
        return error("ledger", f"not prepared for {listed(missing)}", means, do)
    return ok("ledger", "prepared for every purpose of the policy")
