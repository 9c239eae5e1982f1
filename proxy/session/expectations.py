"""What the upstream is expected to answer, and what is done with it.

Every message that is forwarded pushes one expectation; every reply belongs to the one at the
head (docs/decisions/0002).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from proxy.rewrite.plan import Plan
from proxy.session.names import Entry
from proxy.session.portals import Portal, Prepared
from proxy.session.services import Ticket
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


@dataclass(frozen=True, slots=True)
class Poison:
    """The error that the client gets, once the record of the refusal is durable."""

    error: bytes
    ticket: Ticket | None


@dataclass(slots=True, eq=False)
class Run:
    """One statement that is executed, from its message until its end."""

    plan: Plan | None  # None: a statement of ours
    poison: Poison | None = None
    is_swallowed: bool = False
    # The access record, where the statement reads any relation.
    id: str = ""
    ticket: Ticket | None = None
    received_at: float = 0.0
    forwarded_at: float = 0.0
    rows: int = 0
    bytes: int = 0
    is_gated: bool = False  # the record's barrier stands before the first byte of the result
    is_over: bool = False
    source: Plan | None = None  # what FETCH or EXECUTE reads
    index: int = 0  # its place among the statements of the tool's text
    # What the session knows once the statement has completed; gets the command tag.
    effect: Callable[[str], None] | None = None


@dataclass(slots=True, eq=False)
class Expectation:
    reply: Reply
    segment: int
    is_swallowed: bool = False
    # A message of ours on which the safety of later ones rests: if it fails, the session ends.
    is_vital: bool = False
    poison: Poison | None = None  # in place of Parse, Bind, Describe or Close
    runs: deque[Run] = field(default_factory=deque)  # EXECUTE: one; QUERY: one per statement
    portal: Portal | None = None  # EXECUTE
    text: str = ""  # QUERY: the tool's own text …
    texts: Sequence[bytes] = ()  # … and what was sent for each run
    # What was entered when the message was forwarded.
    name: bytes = b""
    statement: Entry[Prepared] | None = None
    bound: Entry[Portal] | None = None
    is_gone_on_failure: bool = False
    is_silent: bool = False  # its failure is ours to deal with, not the client's to see
    on_types: Callable[[tuple[int, ...]], None] | None = None
