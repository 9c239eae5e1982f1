"""What the upstream is expected to answer, and what is done with it.

Every message that is forwarded pushes one expectation; every reply belongs to the one at the
head (docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Final

from proxy.rewrite.plan import Plan
from proxy.session.names import Entry
from proxy.session.portals import Portal, Prepared
from proxy.session.services import Ticket
from proxy.upstream.carried import StatementKey
from proxy.wire import messages as m


class Reply(Enum):
    """To which message of the client (or of ours) a reply is expected."""

    PARSE = auto()
    BIND = auto()
    CLOSE = auto()
    DESCRIBE_STATEMENT = auto()
    DESCRIBE_PORTAL = auto()
    EXECUTE = auto()
    QUERY = auto()
    SYNC = auto()


# What may answer each (manual, "Message Flow"); errors and the asynchronous messages aside. What
# is absent is a broken upstream, or a mistake of ours: nothing more is relayed.
LEGAL: Final[Mapping[Reply, frozenset[int]]] = {
    Reply.PARSE: frozenset({m.PARSE_COMPLETE}),
    Reply.BIND: frozenset({m.BIND_COMPLETE}),
    Reply.CLOSE: frozenset({m.CLOSE_COMPLETE}),
    Reply.DESCRIBE_STATEMENT: frozenset({m.PARAMETER_DESCRIPTION, m.ROW_DESCRIPTION, m.NO_DATA}),
    Reply.DESCRIBE_PORTAL: frozenset({m.ROW_DESCRIPTION, m.NO_DATA}),
    Reply.EXECUTE: frozenset(
        {m.DATA_ROW, m.COMMAND_COMPLETE, m.EMPTY_QUERY, m.PORTAL_SUSPENDED}
        | {m.COPY_OUT_RESPONSE, m.COPY_DATA, m.COPY_DONE}
    ),
    Reply.QUERY: frozenset(
        {m.ROW_DESCRIPTION, m.DATA_ROW, m.COMMAND_COMPLETE, m.EMPTY_QUERY, m.READY}
        | {m.COPY_OUT_RESPONSE, m.COPY_DATA, m.COPY_DONE}
    ),
    Reply.SYNC: frozenset({m.READY}),
}

# Fails in analysis in every state of a session in which a statement could run, and touches
# nothing. In an aborted transaction PostgreSQL's own 25P02 comes first, as for any statement.
POISON_TEXT: Final = b'SELECT FROM pg_catalog."consent-proxy: refused"'
POISON_SQLSTATE: Final = "42P01"
# Poison that stands for a message other than Parse: never stored, as it never succeeds.
POISON_NAME: Final = b"consent-proxy: refused"
# A statement and portal of our own, closed in the same breath.
OWN_NAME: Final = b"consent-proxy: own"


# These are made for every message: plain classes, as mypyc leaves the making of dataclasses to the
# interpreter.


class Poison:
    """The error that the client gets, once the record of the refusal is durable."""

    __slots__ = ("error", "ticket")

    def __init__(self, error: bytes, ticket: Ticket | None) -> None:
        self.error: Final = error
        self.ticket: Final = ticket


class Run:
    """One statement that is executed, from its message until its end.

    `plan` None: a statement of ours; `source`: what FETCH or EXECUTE reads; `index`: its place
    among the statements of the tool's text. `effect` is what the session knows once the statement
    has completed; it gets the command tag.
    """

    __slots__ = (
        "bytes",
        "effect",
        "forwarded_at",
        "id",
        "index",
        "is_gated",
        "is_over",
        "is_swallowed",
        "plan",
        "poison",
        "purpose",
        "received_at",
        "rows",
        "source",
        "ticket",
    )

    def __init__(
        self,
        plan: Plan | None,
        *,
        poison: Poison | None = None,
        is_swallowed: bool = False,
        received_at: float = 0.0,
        forwarded_at: float = 0.0,
    ) -> None:
        self.plan = plan
        self.source: Plan | None = None
        self.index = 0
        self.poison = poison
        self.is_swallowed = is_swallowed
        # The access record, where the statement reads any relation, and for which purpose it does.
        self.id = ""
        self.purpose = ""
        self.ticket: Ticket | None = None
        self.received_at = received_at
        self.forwarded_at = forwarded_at
        self.rows = 0
        self.bytes = 0
        self.is_gated = False  # the record's barrier stands before the first byte of the result
        self.is_over = False
        self.effect: Callable[[str], None] | None = None

    @property
    def plans(self) -> list[Plan]:
        """What runs: its own plan, and that of what it reads."""
        return [plan for plan in (self.plan, self.source) if plan is not None]


class Expectation:
    """`runs`: one for EXECUTE, one per statement for QUERY. `text`, for QUERY, is the tool's own
    text, and `texts` what was sent for each run.

    `is_vital`: a message of ours on which the safety of later ones rests; if it fails, the session
    ends. `poison`: in place of Parse, Bind, Describe or Close. `is_silent`: its failure is ours to
    deal with, not the client's to see. `statement` and `bound` are what was entered under `name`
    when the message was forwarded. `key` is what a Parse prepares, where names are exchanged
    (lease.py), and `upstream_name` under which name; `statement_name` is the client's name for what
    a Bind is of. `on_rows` gets the rows of a question of ours; None where it failed.
    """

    __slots__ = (
        "bound",
        "is_gone_on_failure",
        "is_set_up",
        "is_silent",
        "is_swallowed",
        "is_vital",
        "key",
        "name",
        "on_rows",
        "on_types",
        "poison",
        "portal",
        "prepared",
        "reply",
        "rows",
        "runs",
        "segment",
        "statement",
        "statement_name",
        "text",
        "texts",
        "upstream_name",
    )

    def __init__(  # noqa: PLR0913 - one for each field
        self,
        reply: Reply,
        segment: int,
        *,
        is_swallowed: bool = False,
        is_vital: bool = False,
        poison: Poison | None = None,
        runs: Sequence[Run] = (),
        portal: Portal | None = None,
        text: str = "",
        texts: Sequence[bytes] = (),
        name: bytes = b"",
        statement: Entry[Prepared] | None = None,
        bound: Entry[Portal] | None = None,
        is_gone_on_failure: bool = False,
        is_silent: bool = False,
        on_types: Callable[[tuple[int, ...]], None] | None = None,
        key: StatementKey | None = None,
        on_rows: Callable[[Sequence[Sequence[bytes | None]] | None], None] | None = None,
        is_set_up: bool = False,
        statement_name: bytes = b"",
        prepared: Prepared | None = None,
        upstream_name: bytes = b"",
    ) -> None:
        self.reply = reply
        self.segment = segment
        self.is_swallowed = is_swallowed
        self.is_vital = is_vital
        self.poison = poison
        self.runs: list[Run] = list(runs)
        self.portal = portal
        self.text = text
        self.texts = texts
        self.name = name
        self.statement = statement
        self.bound = bound
        self.is_gone_on_failure = is_gone_on_failure
        self.is_silent = is_silent
        self.on_types = on_types
        self.key = key
        self.on_rows = on_rows
        self.rows = b""  # DataRows, while they are collected
        self.statement_name = statement_name
        self.prepared = prepared  # what a Parse of ours prepares again
        self.upstream_name = upstream_name
        self.is_set_up = is_set_up  # the connection gets the client's settings
