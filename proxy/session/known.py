"""Messages that were planned before, as they were sent, for all sessions of a worker.

What stands here was found by the general path (`requests.py`), for a tool and a context, under the
policy and catalog in force: with another revision all of it is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.rewrite.lift import Template
from proxy.rewrite.literals import find_literals
from proxy.rewrite.plan import Plan
from proxy.session.kept import is_lasting
from proxy.session.portals import Prepared, may_set
from proxy.session.settings import Context
from proxy.wire import messages as m

# What one tool sends is some hundred texts; together they must stay small beside the sessions.
_BYTES_MAX: Final = 16 * 1024 * 1024
_MESSAGE_BYTES_MAX: Final = 16 * 1024
_ENTRY_BYTES: Final = 400  # what an entry takes beside its bytes
# Texts that came once: which of them come again can not be known.
_ONCE_MAX: Final = 4096
_CONTEXTS_MAX: Final = 1024  # a tool may choose among many search paths


class KnownParse:
    """A Parse of the unnamed statement: what it prepares, and what is sent for it."""

    __slots__ = ("forward", "is_lasting", "prepared")

    def __init__(self, prepared: Prepared, forward: bytes) -> None:
        self.prepared: Final = prepared
        self.forward: Final = forward
        self.is_lasting: Final = is_lasting(prepared.plan.text)


class KnownQuery:
    """A Query of one plain statement. `pieces` are joined, with literals at `places`."""

    __slots__ = ("_literals", "_pieces", "_places", "may_set", "plan")

    def __init__(self, plan: Plan, pieces: Sequence[bytes], places: Sequence[tuple[int, int]]):
        self.plan: Final = plan
        self.may_set: Final = may_set(plan)
        self._pieces: Final = list(pieces)
        self._places: Final = [piece for piece, _ in places]
        self._literals: Final = [literal for _, literal in places]

    def message(self, values: list[bytes]) -> bytes:
        """What is sent for the statement with these literals."""
        pieces = self._pieces.copy()
        for at, place in enumerate(self._places):
            pieces[place] = values[self._literals[at]]
        return m.query(b"".join(pieces))


class _Skeleton:
    """Statements that differ in literals: by those that are no mere values (`lift.py`)."""

    __slots__ = ("pinned", "templates")

    def __init__(self, pinned: tuple[int, ...]) -> None:
        self.pinned: Final = pinned
        self.templates: Final[dict[bytes, KnownQuery]] = {}

    def key(self, values: list[bytes]) -> bytes:
        if not self.pinned:
            return b""
        return b"\0".join([values[index] for index in self.pinned])


class KnownMessages:
    """What is known for one tool in one context."""

    __slots__ = ("_of_all", "_queries", "_skeletons", "parses", "revision")

    def __init__(self, of_all: Known, revision: str) -> None:
        self._of_all = of_all
        self.revision = revision
        """Of policy and catalog; empty once this is forgotten: ask `Known.of` again."""
        self.parses: dict[bytes, KnownParse] = {}
        self._queries: dict[bytes, KnownQuery] = {}
        self._skeletons: dict[bytes, _Skeleton] = {}

    def learn_parse(self, message: bytes, prepared: Prepared, forward: bytes) -> None:
        if len(message) <= _MESSAGE_BYTES_MAX and self._of_all.is_worth(message, forward):
            self.parses[message] = KnownParse(prepared, forward)

    def learn_query(self, message: bytes, plan: Plan, template: Template | None) -> None:
        """`template`: where the plan is shared by statements with other literals."""
        if len(message) > _MESSAGE_BYTES_MAX:
            return  # before anything is done with a text that may have a megabyte
        text = plan.text.encode()
        if template is None:
            if self._of_all.is_worth(message, text):
                self._queries[message] = KnownQuery(plan, [text], [])
            return
        found = find_literals(message, 5, len(message) - 1)
        if found is None or found.skeleton != template.skeleton:
            return
        skeleton = self._skeletons.get(found.skeleton)
        if skeleton is None or skeleton.pinned != template.pinned:
            skeleton = self._skeletons[found.skeleton] = _Skeleton(template.pinned)
        key = skeleton.key(found.values)
        if key not in skeleton.templates and self._of_all.takes(message, text):
            skeleton.templates[key] = KnownQuery(plan, template.pieces, template.places)

    def forget(self) -> None:
        self.revision = ""
        self.parses.clear()
        self._queries.clear()
        self._skeletons.clear()

    def query(self, message: bytes) -> tuple[KnownQuery, list[bytes]] | None:
        """The known statement that a Query is, and its literals."""
        known = self._queries.get(message)
        if known is not None:
            return known, _NO_VALUES
        found = find_literals(message, 5, len(message) - 1)
        if found is None:
            return None
        skeleton = self._skeletons.get(found.skeleton)
        if skeleton is None:
            return None
        known = skeleton.templates.get(skeleton.key(found.values))
        return None if known is None else (known, found.values)


_NO_VALUES: Final[list[bytes]] = []


class Known:
    """All that a worker knows. `of` gives what is known for one tool in one context."""

    def __init__(self) -> None:
        self.used = 0
        """How many messages were known as they came."""
        self._revision = ""
        self._messages: dict[tuple[str, Context], KnownMessages] = {}
        self._once: set[int] = set()
        self._bytes = 0

    def of(self, tool: str, context: Context, revision: str) -> KnownMessages:
        if revision != self._revision:
            self._forget()
            self._revision = revision
        key = (tool, context)
        found = self._messages.get(key)
        if found is None:
            if len(self._messages) >= _CONTEXTS_MAX:
                self._forget()
            found = self._messages[key] = KnownMessages(self, revision)
        return found

    def is_worth(self, message: bytes, forward: bytes) -> bool:
        """Whether to remember a message: only one that has come before."""
        mark = hash(message)
        if mark not in self._once:
            if len(self._once) >= _ONCE_MAX:
                self._once.clear()
            self._once.add(mark)
            return False
        return self.takes(message, forward)

    def takes(self, message: bytes, forward: bytes) -> bool:
        """Whether there is room for a message; where there was not, all others are forgotten."""
        if len(message) + len(forward) > _MESSAGE_BYTES_MAX:
            return False
        self._bytes += len(message) + len(forward) + _ENTRY_BYTES
        if self._bytes > _BYTES_MAX:
            self._forget()
            return False
        return True

    def _forget(self) -> None:
        for each in self._messages.values():
            each.forget()
        self._messages.clear()
        self._once.clear()
        self._bytes = 0
