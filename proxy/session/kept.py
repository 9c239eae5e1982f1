"""Statements that stay prepared upstream, for clients that send their Parse each time.

Many drivers parse the unnamed statement again for every query, and PostgreSQL analyses and plans
it again. Where such a Parse is known (`known.py`) it is prepared once under a name of ours; from
then on the proxy answers the Parse itself, and what the client calls the unnamed statement is bound
under that name. A literal is read when a statement is prepared (`'1 May'::timestamptz`), so what is
kept is found by all that could change its meaning (`carried.StatementKey`), and a statement whose
text may speak of the moment (`'today'`) is never kept. No I/O.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Final

from proxy.errors import InvariantError
from proxy.rewrite.plan import Kind, Plan
from proxy.session.portals import Prepared, may_set
from proxy.upstream.carried import DEFAULTS, Carried, Settings, StatementKey
from proxy.wire import messages as m

if TYPE_CHECKING:
    from proxy.session.expectations import Expectation
    from proxy.session.known import KnownParse
    from proxy.session.state import SessionState

# Dates that mean another day tomorrow (manual, "Special Date/Time Inputs"), in whatever string.
_MOMENT: Final = re.compile(r"(?<![a-z])(?:now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"|\'((?:[^\']|\'\')*)\'')
# Where strings are not simply what stands between quotes: not looked at any further.
_UNCLEAR: Final = re.compile(r"\\|\$[^0-9]|[uU]&['\"]|--|/\*|'\s*[\r\n]\s*'")
# A time of day with a time zone is read with the offset that the zone has that day.
_OF_THE_DAY: Final = re.compile(r"timetz|time(?:\s*\(\s*\d\s*\))?\s+with\s+time", re.IGNORECASE)
_NUMBERS: Final = itertools.count()
# Of one client's; where connections are shared, of all who use one (carried.py).
_STATEMENTS_MAX: Final = 50


def is_lasting(text: str) -> bool:
    """Whether a statement prepared now means the same later, as far as its literals go."""
    return (
        _UNCLEAR.search(text) is None
        and _OF_THE_DAY.search(text) is None
        and not any(_MOMENT.search(literal) for literal in _QUOTED.findall(text))
    )


def new_settings() -> Settings:
    """Settings that nobody knows, and that equal no others."""
    return Settings({"": str(next(_NUMBERS))})


class Kept:
    """What stays prepared for one client. `is_on`: False keeps nothing (`reuse_statements`)."""

    __slots__ = (
        "_carried",
        "_is_unsettled",
        "_parsing",
        "_prepared",
        "_state",
        "_under",
        "is_on",
    )

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self.is_on = True
        self._carried: Carried | None = None
        # With a connection of its own a session's settings need no names: these are other ones
        # after each statement that may have changed any.
        self._under = DEFAULTS
        self._is_unsettled = False
        self._prepared: dict[bytes, Prepared] = {}  # by the name upstream
        # The last Parse of each name upstream, while it is not answered.
        self._parsing: dict[bytes, Expectation] = {}

    def begin(self, carried: Carried) -> None:
        """A connection was leased."""
        self._carried = carried
        if self._state.lease is None:
            carried.statements_max = _STATEMENTS_MAX

    def end(self) -> None:
        """The connection was given back, for others to use as it is."""
        self._carried = None
        self._parsing.clear()

    @property
    def carried(self) -> Carried:
        if self._carried is None:
            raise InvariantError("no connection is leased")
        return self._carried

    def note(self, plan: Plan) -> None:
        """A statement is about to run."""
        if plan.kind is Kind.SET or may_set(plan):
            self._is_unsettled = True

    def settings_changed(self) -> None:
        """The database reports a parameter anew."""
        self._is_unsettled = True
        if self._state.lease is not None:
            self._state.lease.settings_changed()

    def key_of(self, known: KnownParse) -> StatementKey | None:
        """By what a known Parse is found; None where it must not be kept."""
        if not self.is_on or not known.is_lasting:
            return None
        under = self._settings()
        return None if under is None else known.prepared.key_under(under)

    def _settings(self) -> Settings | None:
        """What stands for the settings in force; None while a transaction may take them back."""
        lease = self._state.lease
        if lease is not None:
            return lease.settings if lease.is_sure_of_settings else None
        if self._is_unsettled:
            if self._state.status != m.IDLE:
                return None
            self._is_unsettled = False
            self._under = new_settings()
        return self._under

    def prepared(self, known: KnownParse, name: bytes) -> Prepared:
        """What a session knows of a statement that is kept under a name.

        Where connections are shared, names are another matter (lease.py).
        """
        if self._state.lease is not None:
            return known.prepared
        found = self._prepared.get(name)
        if found is None or found.text is not known.prepared.text:
            found = self._prepared[name] = known.prepared.named(name)
        return found

    def surplus(self) -> bytes:
        """The name of a statement that must be closed; b"": there is room."""
        name = self.carried.surplus()
        self._prepared.pop(name, None)
        return name

    # --- what a Parse that was sent comes to ---

    def parses(self, expectation: Expectation) -> None:
        """A Parse is sent of what has a key."""
        self._parsing[expectation.upstream_name] = expectation

    def is_sure(self, upstream_name: bytes, segment: int) -> bool:
        """Whether a message of `segment` can rely on what has this name upstream: where the last
        Parse of it is of an earlier segment and not answered, it may be skipped, and the message
        not.
        """
        parsing = self._parsing.get(upstream_name)
        return parsing is None or parsing.segment == segment

    def parsed(self, expectation: Expectation) -> None:
        """It is prepared."""
        if self._parsing.get(expectation.upstream_name) is expectation:
            del self._parsing[expectation.upstream_name]

    def not_parsed(self, expectation: Expectation, key: StatementKey) -> None:
        """It failed, or was skipped."""
        self.parsed(expectation)
        self.lose(key)

    def lose(self, key: StatementKey) -> None:
        """What has this key is not, or perhaps not, prepared upstream."""
        if self._carried is not None:
            self._prepared.pop(self._carried.lose(key), None)

    def lose_all(self) -> None:
        """All that was prepared is gone."""
        self._prepared.clear()
        if self._carried is not None:
            self._carried.lose_all()

    def outlive_all(self) -> None:
        """All that was prepared may have become useless: it is not used again."""
        self._prepared.clear()
        if self._carried is not None:
            self._carried.outlive_all()

    def as_named(self, text: str, name: bytes) -> str:
        """A message of the upstream's, in which a statement goes by the client's name."""
        if self._carried is None:
            return text
        return self._carried.as_named(text, name.decode("utf-8", "replace"))
