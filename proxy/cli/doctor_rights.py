"""What the proxy's two roles may do in the database: enough, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.cli.findings import Finding, error, listed, ok, warning
from proxy.consent.schema import reader_columns
from proxy.policy.model import Policy, RelationName
from proxy.policy.names import relation_text

if TYPE_CHECKING:
    import asyncpg

# Attributes that make a role more than a reader, and what each would allow.
_ATTRIBUTES: Final = {
    "rolsuper": ("superuser", "It may do everything, past every right and row policy."),
    "rolbypassrls": ("BYPASSRLS", "It reads past row policies of the tables' owners."),
    "rolcreaterole": ("CREATEROLE", "It may make roles, and give itself theirs."),
    "rolcreatedb": ("CREATEDB", "It may make databases."),
    "rolreplication": ("REPLICATION", "It may copy the whole server."),
}
_POWERFUL: Final = [
    "pg_read_all_data", "pg_write_all_data", "pg_read_server_files", "pg_write_server_files",
    "pg_execute_server_program", "pg_signal_backend", "pg_maintain", "pg_database_owner",
]  # fmt: skip
_USER_RELATIONS: Final = """
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%'
   AND n.nspname <> 'information_schema'
"""


async def reader_findings(connection: asyncpg.Connection, policy: Policy | None) -> list[Finding]:
    """`connection` is the reader's own. Of a superuser nothing else is asked: it may do all."""
    role = await connection.fetchval("SELECT current_user")
    findings = await _attributes(connection, f"{role} reads for the tools")
    if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        return findings
    findings += await _writes(connection, role)
    findings += await _creates(connection, role)
    if policy is not None:
        findings += await _reads(connection, role, policy)
    return findings or [ok("reader", f"{role} may read what the policy names, and no more")]


async def writer_findings(connection: asyncpg.Connection) -> list[Finding]:
    """`connection` is that of the role that records consent."""
    role = await connection.fetchval("SELECT current_user")
    findings = await _attributes(connection, f"{role} records consent")
    return findings or [ok("writer", f"{role} has no powers of its own")]


async def _attributes(connection: asyncpg.Connection, does: str) -> list[Finding]:
    row = await connection.fetchrow(
        f"SELECT {', '.join(_ATTRIBUTES)} FROM pg_roles WHERE rolname = current_user"
    )
    held = [told for name, told in _ATTRIBUTES.items() if row is not None and row[name]]
    findings = [
        error("role", f"{does}, and is {name}", means, f"ALTER ROLE … NO{name.upper()}")
        for name, means in held
    ]
    if any(name == "superuser" for name, _ in held):
        return findings
    member = await connection.fetch(
        "SELECT rolname::text FROM pg_roles WHERE rolname <> current_user"
        " AND (rolsuper OR rolname = ANY ($1)) AND pg_has_role(oid, 'MEMBER') ORDER BY 1",
        _POWERFUL,
    )
    if member:
        names = listed([row["rolname"] for row in member])
        findings.append(
            error(
                "role",
                f"{does}, and is a member of {names}",
                "It may do what those may.",
                f"REVOKE {names} FROM the role.",
            )
        )
    return findings


async def _writes(connection: asyncpg.Connection, role: str) -> list[Finding]:
    rows = await connection.fetch(
        f"SELECT format('%I.%I', n.nspname, c.relname) AS name {_USER_RELATIONS}"
        " AND (has_any_column_privilege(c.oid, 'INSERT, UPDATE')"
        "   OR has_table_privilege(c.oid, 'DELETE, TRUNCATE')) ORDER BY 1"
    )
    if not rows:
        return []
    names = listed([row["name"] for row in rows])
    return [
        error(
            "reader",
            f"{role} may write to {names}",
            "The proxy refuses to write; a mistake of ours would have no second lock behind it.",
            f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON … FROM {role} (or from PUBLIC).",
        )
    ]


async def _creates(connection: asyncpg.Connection, role: str) -> list[Finding]:
    findings = []
    schemas = await connection.fetch(
        "SELECT nspname::text AS name FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'"
        " AND has_schema_privilege(oid, 'CREATE') ORDER BY 1"
    )
    places = [f"schema {row['name']}" for row in schemas]
    if await connection.fetchval("SELECT has_database_privilege(current_database(), 'CREATE')"):
        places.append("the database")
    if places:
        findings.append(
            error(
                "reader",
                f"{role} may create in {listed(places)}",
                "What it makes there could be taken for PostgreSQL's own.",
                f"REVOKE CREATE ON … FROM {role} (or from PUBLIC).",
            )
        )
    if await connection.fetchval("SELECT has_database_privilege(current_database(), 'TEMP')"):
        findings.append(
            warning(
                "reader",
                f"{role} may make temporary tables",
                "The proxy refuses to; PostgreSQL allows it to everybody unless told otherwise.",
                "REVOKE TEMPORARY ON DATABASE … FROM PUBLIC.",
            )
        )
    return findings


async def _reads(connection: asyncpg.Connection, role: str, policy: Policy) -> list[Finding]:
    needed = reader_columns(policy, with_copies=True)
    readable = await _readable(connection)
    missing = [
        relation_text(name) if columns is None else f"{relation_text(name)}.{column}"
        for name, columns in needed.items()
        if name in readable
        for column in (columns if columns is not None else [""])
        if not _is_readable(readable[name], column)
    ]
    findings = []
    if missing:
        findings.append(
            error(
                "reader",
                f"{role} may not read {listed(missing)}",
                "Every statement that needs them fails.",
                "Run `consent-proxy init` again: it grants what the policy names.",
            )
        )
    more = [name for name, columns in readable.items() if any(columns.values())]
    beyond = sorted(
        relation_text(name)
        for name in more
        if name.schema != "consent" and _reads_beyond(readable[name], needed, name)
    )
    if beyond:
        findings.append(
            warning(
                "reader",
                f"{role} may read more than the policy names: {listed(beyond)}",
                "The proxy does not show it; less would be a second lock.",
                f"REVOKE SELECT ON … FROM {role} (or from PUBLIC), then run init again.",
            )
        )
    ledger = {"subject", "purpose", "epoch", "kept", "kept_column"}
    hidden = [n.name for n in more if n.schema == "consent" and n.name not in ledger]
    if hidden:
        findings.append(
            error(
                "reader",
                f"{role} may read {listed(sorted(hidden))} of schema consent",
                "Events and the key of pseudonyms are not for tools.",
                f"REVOKE SELECT ON ALL TABLES IN SCHEMA consent FROM {role}, then run init again.",
            )
        )
    return findings


async def _readable(connection: asyncpg.Connection) -> dict[RelationName, dict[str, bool]]:
    """Every relation's columns, and whether the connection's role may read each."""
    rows = await connection.fetch(
        "SELECT n.nspname::text AS schema, c.relname::text AS name, a.attname::text AS column,"
        " has_schema_privilege(n.oid, 'USAGE')"
        "   AND has_column_privilege(c.oid, a.attnum, 'SELECT') AS can"
        f" {_USER_RELATIONS.replace('WHERE', 'JOIN pg_attribute a ON a.attrelid = c.oid WHERE')}"
        " AND a.attnum > 0 AND NOT a.attisdropped"
    )
    found: dict[RelationName, dict[str, bool]] = {}
    for row in rows:
        name = RelationName(row["schema"], row["name"])
        found.setdefault(name, {})[row["column"]] = row["can"]
    return found


def _is_readable(columns: dict[str, bool], column: str) -> bool:
    """Whether a column can be read (no name: all of them); one that is not there is no lack."""
    return columns.get(column, True) if column else all(columns.values())


def _reads_beyond(
    columns: dict[str, bool],
    needed: dict[RelationName, tuple[str, ...] | None],
    name: RelationName,
) -> bool:
    if name not in needed:
        return True
    named = needed[name]
    return named is not None and any(can and c not in named for c, can in columns.items())
