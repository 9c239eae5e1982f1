"""A plan: what goes upstream for one statement of a tool, and what was promised about it.

Plans are values: made by `enforce.py`, cached, sent to worker processes and back. The session
reads from a plan all it must know of a statement; it never looks into the text itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of statement that are answered. Everything else is refused."""

    SELECT = "SELECT"
    COPY = "COPY"
    DECLARE = "DECLARE"
    FETCH = "FETCH"  # MOVE too
    CLOSE = "CLOSE"
    PREPARE = "PREPARE"
    EXECUTE = "EXECUTE"
    DEALLOCATE = "DEALLOCATE"
    BEGIN = "BEGIN"
    COMMIT = "COMMIT"
    ROLLBACK = "ROLLBACK"
    SAVEPOINT = "SAVEPOINT"  # RELEASE too
    ROLLBACK_TO = "ROLLBACK_TO"
    SET = "SET"  # RESET and SET TRANSACTION too
    SHOW = "SHOW"
    DISCARD = "DISCARD"
    EXPLAIN = "EXPLAIN"
    EMPTY = "EMPTY"  # an empty query string, or only comments
    HARMLESS = "HARMLESS"  # resets that drivers send and that do nothing here (UNLISTEN *)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnUse:
    """One column in an access record."""

    name: str
    category: str | None
    verdict: str  # shown | masked | guarded | absent
    mask: str | None = None  # as the policy writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class TableUse:
    """One relation in an access record: a superset of what the statement reads, never fewer."""

    name: str  # schema.name
    columns: tuple[ColumnUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do with one statement.

    `text` goes upstream, alone or joined with `;` to its neighbours of one Query message.
    `tag`, where given, replaces the command tag that the upstream answers with.
    `tables` empty means that the statement reads no relation: it has no access record
    (a SELECT without FROM included). Effects on the session are in the fields below; they take
    place when the upstream has completed the statement.
    """

    kind: Kind
    text: str
    tag: str | None = None
    tables: tuple[TableUse, ...] = ()
    statement: str = ""  # literals as ?, names not of the policy or pg_catalog as i1, i2 …; ≤ 8 KiB
    shape: str = ""  # SHA-256, hex, of the whole normalised statement
    # SET/RESET: the setting's name, lower case (`transaction` for SET TRANSACTION, `all` for
    # RESET ALL, `consent.purpose` for the purpose) and its value (None: RESET or DEFAULT).
    setting: str | None = None
    value: str | None = None
    is_local: bool = False  # SET LOCAL
    # BEGIN, SET TRANSACTION, SET default_transaction_isolation: does the statement ask for
    # REPEATABLE READ or SERIALIZABLE? None: it says nothing about isolation.
    is_snapshot_isolation: bool | None = None
    name: str | None = None  # of the cursor, prepared statement or savepoint; None with ALL
    is_hold: bool = False  # DECLARE … WITH HOLD
    # PREPARE: the statement that EXECUTE will run. EXECUTE has no tables of its own: the session
    # takes those of the PREPARE.
    inner: Plan | None = None
    revision: str = ""  # policy revision + catalog revision this plan was made under
    purpose: str | None = None  # of the guards, where there are `tables`
    # What a client may have cached of a prepared statement's result: relations and their visible
    # columns with types. Plans of equal `surface` describe alike.
    surface: str = ""
    parameters: int = 0  # number of $n in the statement
    # Code of the database's own runs in it (a view, a policy's function): what an error says may
    # be of values that the tool may not see.
    runs_code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanContext:
    """All that a plan depends on besides the text, the policy and the catalog."""

    tool: str
    purpose: str | None  # None: the tool has several, no default, and chose none
    search_path: tuple[str, ...]  # schemas, folded; pg_catalog is implied first
    is_extended: bool = False  # came by Parse: exactly one statement
    # Type oids that Parse declared for $1, $2 … (0: not declared).
    parameter_types: tuple[int, ...] = field(default=())


def policy_of(revision: str) -> str:
    """The policy's part of a plan's revision; the rest names the catalog."""
    return revision.partition("+")[0]
