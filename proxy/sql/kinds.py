"""Statements that are no queries: transactions, settings, cursors, prepared statements.

Each function takes the fields of one node of PostgreSQL's tree and gives the plan, or refuses.
What goes upstream is PostgreSQL's canonical text of the statement, or text made here; a tool's
own bytes never do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from proxy.errors import Reason, Refused
from proxy.policy.model import Policy, RelationName
from proxy.rewrite.plan import Kind, Plan
from proxy.sql.grammar import RawStatement, Tree
from proxy.sql.settings import SECRET_SETTINGS, SettingLimits, check_set, is_show_allowed

PURPOSE_SETTING: Final = "consent.purpose"
_SNAPSHOT_ISOLATION: Final = frozenset(["repeatable read", "serializable"])
_SYSTEM_SCHEMAS: Final = ("pg_catalog", "information_schema")
_ACCESS_SHARE: Final = 1  # storage/lockdefs.h
_PATH_ITEM: Final = re.compile(r' *(?:"([^",]+)"|([A-Za-z_][A-Za-z0-9_$]*)) *')
_FOLD: Final = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """What the plans here depend on: the tool and the policy's names."""

    policy: Policy
    tool: str
    limits: SettingLimits


_ZONE_OFFSET: Final = re.compile(r"[+-]?[0-9]{1,2}:[0-9]{2}")
_HOUR_TO_MINUTE: Final = "3072"  # 1 << HOUR | 1 << MINUTE (utils/timestamp.h, datetime.h)

# The words of statements that people know; others are named by their node.
_WORDS: Final[Mapping[str, str]] = {
    "AlterTableStmt": "ALTER TABLE",
    "CallStmt": "CALL",
    "CommentStmt": "COMMENT",
    "CreateFunctionStmt": "CREATE FUNCTION",
    "CreateSchemaStmt": "CREATE SCHEMA",
    "CreateStmt": "CREATE TABLE",
    "CreateTableAsStmt": "CREATE TABLE AS",
    "DeleteStmt": "DELETE",
    "DoStmt": "DO",
    "DropStmt": "DROP",
    "GrantStmt": "GRANT",
    "IndexStmt": "CREATE INDEX",
    "InsertStmt": "INSERT",
    "ListenStmt": "LISTEN",
    "LockStmt": "LOCK TABLE",
    "MergeStmt": "MERGE",
    "NotifyStmt": "NOTIFY",
    "RenameStmt": "ALTER … RENAME",
    "TruncateStmt": "TRUNCATE",
    "UpdateStmt": "UPDATE",
    "VacuumStmt": "VACUUM",
    "ViewStmt": "CREATE VIEW",
}


def refuse_kind(kind: str) -> Refused:
    name = _WORDS.get(kind, kind.removesuffix("Stmt"))
    return Refused(
        Reason.STATEMENT_KIND,
        f"{name} is not supported: this connection only reads",
        hint="SELECT, COPY … TO STDOUT, cursors, prepared statements and transactions are.",
    )


def other(statement: RawStatement, settings: Container[str]) -> Plan:
    """The plan of a statement that holds neither a query nor an expression of the tool's.

    `settings`: the names of PostgreSQL's own.
    """
    match statement.kind:
        case "TransactionStmt":
            return transaction(statement)
        case "VariableShowStmt":
            return show(statement, settings)
        case "FetchStmt":
            return _named(Kind.FETCH, statement, "portalname")
        case "ClosePortalStmt":
            return _named(Kind.CLOSE, statement, "portalname")
        case "DeallocateStmt":
            return _named(Kind.DEALLOCATE, statement, "name")
        case "DiscardStmt":
            if statement.node["target"] != "DISCARD_ALL":
                # PLANS, SEQUENCES, TEMP: nothing that the session knows of becomes another.
                return Plan(kind=Kind.HARMLESS, text=statement.canonical)
            return Plan(kind=Kind.DISCARD, text=statement.canonical, setting="all")
        case "UnlistenStmt":
            return Plan(kind=Kind.HARMLESS, text=statement.canonical)
        case _:
            raise refuse_kind(statement.kind)


def _named(kind: Kind, statement: RawStatement, field: str) -> Plan:
    return Plan(kind=kind, text=statement.canonical, name=statement.node.get(field))


# --- transactions ----------------------------------------------------------------------------


def transaction(statement: RawStatement) -> Plan:
    node = statement.node
    options = [item["DefElem"] for item in node.get("options", ())]
    isolation, words = _modes(options)
    match node["kind"]:
        case "TRANS_STMT_BEGIN" | "TRANS_STMT_START":
            verb = "BEGIN" if node["kind"] == "TRANS_STMT_BEGIN" else "START TRANSACTION"
            return Plan(
                kind=Kind.BEGIN,
                text=" ".join([verb, ", ".join(words)]).strip(),
                is_snapshot_isolation=isolation,
            )
        case "TRANS_STMT_COMMIT":
            return Plan(kind=Kind.COMMIT, text=statement.canonical)
        case "TRANS_STMT_ROLLBACK":
            return Plan(kind=Kind.ROLLBACK, text=statement.canonical)
        case "TRANS_STMT_SAVEPOINT" | "TRANS_STMT_RELEASE":
            name = node.get("savepoint_name")
            return Plan(kind=Kind.SAVEPOINT, text=statement.canonical, name=name)
        case "TRANS_STMT_ROLLBACK_TO":
            name = node.get("savepoint_name")
            return Plan(kind=Kind.ROLLBACK_TO, text=statement.canonical, name=name)
        case _:
            raise Refused(Reason.STATEMENT_KIND, "two-phase commit is not supported")


def _modes(options: Sequence[Tree]) -> tuple[bool | None, list[str]]:
    """Transaction modes: does an isolation level keep its snapshot, and the modes as text.

    Upstream sessions are read-only (design.md, "Resolve"): READ WRITE is accepted, as drivers
    send it, and stays READ ONLY.
    """
    isolation: bool | None = None
    words: list[str] = []
    for option in options:
        value = option.get("arg", {}).get("A_Const", {})
        match option["defname"]:
            case "transaction_isolation":
                level = value.get("sval", {}).get("sval", "")
                isolation = level in _SNAPSHOT_ISOLATION
                words.append(f"ISOLATION LEVEL {_isolation_words(level)}")
            case "transaction_read_only":
                words.append("READ ONLY")
            case "transaction_deferrable":
                is_deferrable = value.get("ival", {}).get("ival", 0) == 1
                words.append("DEFERRABLE" if is_deferrable else "NOT DEFERRABLE")
            case name:
                raise Refused(Reason.NOT_UNDERSTOOD, f"unknown transaction mode {name}")
    return isolation, words


def _isolation_words(level: str) -> str:
    if level not in ("read uncommitted", "read committed", *_SNAPSHOT_ISOLATION):
        raise Refused(Reason.NOT_UNDERSTOOD, "unknown isolation level")
    return level.upper()


# --- settings --------------------------------------------------------------------------------


def set_variable(statement: RawStatement, asker: Asker) -> Plan:
    node = statement.node
    kind, name = node["kind"], node.get("name", "").lower()
    is_local = bool(node.get("is_local"))
    if kind == "VAR_RESET_ALL":
        return Plan(kind=Kind.SET, text="RESET ALL", setting="all")
    if kind == "VAR_SET_MULTI":
        return _set_modes(node, is_local=is_local)
    if kind in ("VAR_RESET", "VAR_SET_DEFAULT"):
        return _reset(name, asker, is_local=is_local)
    if kind != "VAR_SET_VALUE":
        raise Refused(Reason.SETTING_NOT_ALLOWED, "this form of SET is not supported")
    offset = _zone_offset(name, node.get("args", ()))
    if offset is not None:
        scope = "LOCAL " if is_local else ""
        text = f"SET {scope}TIME ZONE INTERVAL '{offset}' HOUR TO MINUTE"
        return Plan(kind=Kind.SET, text=text, setting=name, value=offset, is_local=is_local)
    return set_value(name, _values(node.get("args", ())), asker, is_local=is_local)


def _zone_offset(name: str, args: Sequence[Tree]) -> str | None:
    """The hours and minutes of SET TIME ZONE INTERVAL '+00:00', as Sequelize sends it."""
    cast = args[0].get("TypeCast") if name == "timezone" and args else None
    if cast is None:  # the grammar makes no other cast here
        return None
    fields = [constant_text(item["A_Const"]) for item in cast["typeName"].get("typmods", ())]
    offset = constant_text(cast["arg"]["A_Const"])
    is_known = fields in ([], [_HOUR_TO_MINUTE]) and _ZONE_OFFSET.fullmatch(offset)
    return offset if is_known else None


def set_value(name: str, values: Sequence[str], asker: Asker, *, is_local: bool) -> Plan:
    if name == PURPOSE_SETTING:
        return _set_purpose(values, asker, is_local=is_local)
    if name == "search_path":
        text = _search_path(values, asker.policy)
        value = ",".join(values)
    else:
        if len(values) != 1 and name != "datestyle":
            raise Refused(Reason.SETTING_NOT_ALLOWED, f"setting {name} takes one value")
        value = check_set(name, ", ".join(values), asker.limits)
        text = _literal(value)
    isolation = None
    if name in ("default_transaction_isolation", "transaction_isolation"):
        isolation = value.lower() in _SNAPSHOT_ISOLATION
    scope = "LOCAL " if is_local else ""
    return Plan(
        kind=Kind.SET,
        text=f"SET {scope}{_setting(name)} TO {text}",
        setting=name,
        value=value,
        is_local=is_local,
        is_snapshot_isolation=isolation,
    )


def _set_purpose(values: Sequence[str], asker: Asker, *, is_local: bool) -> Plan:
    if is_local or len(values) != 1:
        raise Refused(
            Reason.SETTING_NOT_ALLOWED,
            "the purpose is set for the session",
            hint="SET consent.purpose = 'NAME'",
        )
    check_purpose(values[0], asker)
    return Plan(
        kind=Kind.SET,
        text=f"SET consent.purpose TO {_literal(values[0])}",
        setting=PURPOSE_SETTING,
        value=values[0],
    )


def check_purpose(purpose: str, asker: Asker) -> None:
    """Raises unless the purpose is one of the tool's own (G8)."""
    tool = asker.policy.tools.get(asker.tool)
    if tool is None or purpose not in tool.purposes:
        raise Refused(
            Reason.PURPOSE_NOT_ALLOWED,
            "this purpose is not one of the tool's own",
            hint="The policy lists a tool's purposes under `tools`.",
        )


def _reset(name: str, asker: Asker, *, is_local: bool) -> Plan:
    if name not in (PURPOSE_SETTING, "search_path"):
        check_set(name, None, asker.limits)
    if is_local:
        raise Refused(Reason.SETTING_NOT_ALLOWED, "SET LOCAL … TO DEFAULT is not supported")
    isolation = False if name == "default_transaction_isolation" else None
    return Plan(
        kind=Kind.SET,
        text=f"RESET {_setting(name)}",
        setting=name,
        is_snapshot_isolation=isolation,
    )


def _set_modes(node: Tree, *, is_local: bool) -> Plan:
    modes = [item["DefElem"] for item in node.get("args", ()) if "DefElem" in item]
    isolation, words = _modes(modes)
    if not words or len(modes) != len(node["args"]):
        raise Refused(Reason.SETTING_NOT_ALLOWED, "this form of SET TRANSACTION is not supported")
    if node["name"] == "TRANSACTION":
        text = f"SET TRANSACTION {', '.join(words)}"
        return Plan(
            kind=Kind.SET,
            text=text,
            setting="transaction",
            is_local=is_local,
            is_snapshot_isolation=isolation,
        )
    if node["name"] == "SESSION CHARACTERISTICS":
        return Plan(
            kind=Kind.SET,
            text=f"SET SESSION CHARACTERISTICS AS TRANSACTION {', '.join(words)}",
            setting="default_transaction_isolation",
            is_snapshot_isolation=isolation,
        )
    raise Refused(Reason.SETTING_NOT_ALLOWED, "importing a snapshot is not supported")


def _search_path(values: Sequence[str], policy: Policy) -> str:
    """Only schemas of the policy: in others, functions could stand that nobody has looked at."""
    allowed = (*policy.schemas, *_SYSTEM_SCHEMAS, "")
    for schema in values:
        # A plan holds the path as text, its names parted by commas.
        if schema not in allowed or "," in schema:
            raise Refused(
                Reason.SETTING_NOT_ALLOWED,
                f"search_path may name the policy's schemas only, not {schema}",
                hint=f"The policy's schemas are {', '.join(policy.schemas)}.",
            )
    if "pg_catalog" in values[1:]:
        # Behind another schema, that schema's operators are taken instead of PostgreSQL's own: in
        # functions written in SQL too, where no tool wrote them (bit_length in PostgreSQL 13).
        raise Refused(
            Reason.SETTING_NOT_ALLOWED,
            "search_path may name pg_catalog in the first place only",
            hint="Leave pg_catalog out: it is searched first.",
        )
    return ", ".join(_quoted(schema) if schema else "''" for schema in values)


def _values(args: Sequence[Tree]) -> list[str]:
    values = []
    for item in args:
        constant = item.get("A_Const")
        if constant is None or constant.get("isnull"):
            raise Refused(Reason.SETTING_NOT_ALLOWED, "a setting's value must be a plain constant")
        values.append(constant_text(constant))
    return values


def constant_text(constant: Tree) -> str:
    """The text of an A_Const that is not NULL."""
    if "sval" in constant:
        return str(constant["sval"].get("sval", ""))
    if "ival" in constant:
        return str(constant["ival"].get("ival", 0))
    if "fval" in constant:
        return str(constant["fval"].get("fval", ""))
    if "boolval" in constant:
        return "true" if constant["boolval"].get("boolval") else "false"
    raise Refused(Reason.SETTING_NOT_ALLOWED, "a setting's value must be a plain constant")


def show(statement: RawStatement, settings: Container[str]) -> Plan:
    name = statement.node["name"].lower()
    if name not in (PURPOSE_SETTING, "search_path") and not is_show_allowed(name):
        if name != "all" and name not in settings and name not in SECRET_SETTINGS:
            # As PostgreSQL tells of a name that it does not know; so it is with the settings that
            # somebody made up: they may hold anything.
            raise Refused(
                Reason.SETTING_NOT_ALLOWED,
                f'unrecognized configuration parameter "{statement.node["name"]}"',
                sqlstate="42704",
            )
        raise Refused(Reason.SETTING_NOT_ALLOWED, f"setting {name} is not shown")
    return Plan(kind=Kind.SHOW, text=statement.canonical, setting=name)


# --- locks -----------------------------------------------------------------------------------


def lock(statement: RawStatement, resolve: Callable[[str | None, str], RelationName]) -> Plan:
    """LOCK TABLE … IN ACCESS SHARE MODE, as pg_dump sends it: the lock that reading takes."""
    if statement.node.get("mode") != _ACCESS_SHARE:
        raise refuse_kind(statement.kind)
    names = []
    for item in statement.node["relations"]:
        relation = resolve(item["RangeVar"].get("schemaname"), item["RangeVar"]["relname"])
        if relation.schema in _SYSTEM_SCHEMAS:
            raise refuse_kind(statement.kind)
        names.append(f"{_quoted(relation.schema)}.{_quoted(relation.name)}")
    words = " NOWAIT" if statement.node.get("nowait") else ""
    text = f"LOCK TABLE {', '.join(names)} IN ACCESS SHARE MODE{words}"
    return Plan(kind=Kind.HARMLESS, text=text)


# --- set_config ------------------------------------------------------------------------------


def set_config(statement: RawStatement, asker: Asker) -> Plan | None:
    """The plan where a SELECT is nothing but a call of set_config: it is a SET then."""
    setting = _called_set_config(statement.node)
    return None if setting is None else _plan_set_config(statement, setting, asker)


def _called_set_config(node: Tree) -> tuple[str, str, bool] | None:
    """`SELECT set_config('name', 'value', is_local)` alone, as pg_dump and pgAdmin send it."""
    targets = node.get("targetList", ())
    if len(targets) != 1 or node.keys() - {"targetList", "limitOption", "op"}:
        return None
    call = targets[0]["ResTarget"].get("val", {}).get("FuncCall")
    if call is None or [part["String"].get("sval") for part in call["funcname"]] not in (
        ["set_config"],
        ["pg_catalog", "set_config"],
    ):
        return None
    constants = [item.get("A_Const", {}) for item in call.get("args", ())]
    if len(constants) != 3 or "sval" not in constants[0] or "sval" not in constants[1]:
        return None
    if "boolval" not in constants[2]:
        return None
    return (
        constant_text(constants[0]).lower(),
        constant_text(constants[1]),
        constant_text(constants[2]) == "true",
    )


def _plan_set_config(statement: RawStatement, setting: tuple[str, str, bool], asker: Asker) -> Plan:
    name, value, is_local = setting
    if name == PURPOSE_SETTING:
        raise Refused(
            Reason.SETTING_NOT_ALLOWED,
            "the purpose is chosen by SET",
            hint="SET consent.purpose = 'NAME'",
        )
    values = _path_items(value) if name == "search_path" else [value]
    plan = set_value(name, values, asker, is_local=is_local)
    return replace(plan, text=statement.canonical)


def _path_items(value: str) -> list[str]:
    """A list of names as PostgreSQL reads it (SplitIdentifierString): what is not quoted is folded,
    so that `Sales` is another schema than `"Sales"`.
    """
    if not value.strip(" "):
        return [""]
    names = []
    for part in value.split(","):
        item = _PATH_ITEM.fullmatch(part)
        if item is None:
            raise Refused(Reason.SETTING_NOT_ALLOWED, "this search_path is not understood")
        names.append(item[1] or item[2].translate(_FOLD))
    return names


# --- EXECUTE ---------------------------------------------------------------------------------


def execute(statement: RawStatement, check_type: Callable[[Tree], None]) -> Plan:
    """EXECUTE: its arguments are literals, or casts of them."""
    for argument in statement.node.get("params", ()):
        _check_literal(argument, check_type)
    return Plan(kind=Kind.EXECUTE, text=statement.canonical, name=statement.node.get("name"))


def _check_literal(node: Any, check_type: Callable[[Tree], None]) -> None:
    if "A_Const" in node:
        return
    if "TypeCast" in node:
        check_type(node["TypeCast"]["typeName"])
        _check_literal(node["TypeCast"]["arg"], check_type)
        return
    if "A_ArrayExpr" in node:
        for element in node["A_ArrayExpr"].get("elements", ()):
            _check_literal(element, check_type)
        return
    raise Refused(
        Reason.NOT_UNDERSTOOD, "arguments of EXECUTE must be literals, or casts of literals"
    )


# --- text ------------------------------------------------------------------------------------


def _literal(value: str) -> str:
    if "\\" in value:
        # Upstream sessions run with standard_conforming_strings = on, but a setting's value has
        # no need of a backslash: not having to rely on it is better.
        raise Refused(Reason.SETTING_NOT_ALLOWED, "a setting's value must not hold a backslash")
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _setting(name: str) -> str:
    return ".".join(_quoted(part) for part in name.split("."))
