"""In transaction pooling: what a client needs of whichever connection it has just leased.

Between transactions a client has no connection. What it has set is brought to the next one in the
packet of the next use; what it has prepared by messages is known there by another name, and
prepared again where it is missing. What can be neither brought nor renamed keeps the connection
leased: see `pin`. Never one client's state in another's hands: what is not known is asked for, or
the connection is kept, or it is reset (docs/decisions/0004). No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from proxy.rewrite.plan import Kind, Plan
from proxy.session.expectations import OWN_NAME, Expectation, Reply, Run
from proxy.session.identifiers import quote_identifier, quote_literal
from proxy.session.kept import new_settings
from proxy.session.portals import Prepared, may_set
from proxy.upstream.carried import Carried, Settings, StatementKey
from proxy.upstream.counts import PoolCounts
from proxy.wire import messages as m

if TYPE_CHECKING:
    from proxy.session.state import SessionState

# Does what DEALLOCATE of a renamed statement does upstream: nothing, and fails where that fails.
# No tool can change this setting (sql/settings.py).
NOTHING_TEXT: Final = "RESET transform_null_equals"
# The database itself says what a session has set, whichever way it did. The view does not show
# settings of no extension, as is the purpose.
_QUESTION: Final = (
    b"SELECT pg_catalog.lower(name), setting FROM pg_catalog.pg_settings"
    b" WHERE source OPERATOR(pg_catalog.=) 'session' AND name OPERATOR(pg_catalog.<>) ALL"
    # SET TRANSACTION marks these as the session's for good; none outlives its transaction, and
    # none can be RESET.
    b" (ARRAY['transaction_deferrable', 'transaction_isolation', 'transaction_read_only'])"
    b" UNION ALL"
    b" SELECT 'consent.purpose', pg_catalog.current_setting('consent.purpose', true)"
)


class Lease:
    """One client's. `settings`: what it begins with, as it was asked for at start-up."""

    def __init__(self, state: SessionState, settings: Settings, counts: PoolCounts) -> None:
        self._state = state
        self._settings = settings
        self.question = _QUESTION
        self._counts = counts
        # Statements that may have set something. A time limit asked for at start-up is read back
        # once, to know it in milliseconds.
        self._changes = int(settings.has_short_limit)
        self._local_changes = 0  # those too that end with their transaction
        self._asked = 0  # `_changes` when the database was asked last
        self._asked_local = 0
        self._known = 0  # `_changes` of which the database's answer tells all
        self._is_unknown = False  # the database did not say what is set
        self._pinned_by = ""
        self._has_prepared = False  # PREPARE ran, in this lease
        # Under which settings statements are prepared: the client's, or some that nobody else has.
        self._parsed_under = settings

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def is_sure_of_settings(self) -> bool:
        """Whether `settings` are in force: nothing has run since that may have changed any."""
        return self._parsed_under is self._settings

    @property
    def carried(self) -> Carried:
        return self._state.kept.carried

    # --- a lease's beginning and end ---

    def begin(self, carried: Carried) -> list[bytes]:
        """The connection's settings become the client's: statements to be run first."""
        have, wanted = carried.settings, self._settings
        if have == wanted:
            return []
        self._counts.set_ups += 1
        carried.settings = wanted
        texts = [f"RESET {quote_setting(name)}" for name in have.reset_for(wanted)]
        calls = ", ".join(
            f"pg_catalog.set_config({quote_literal(name)}, {quote_literal(value)}, false)"
            for name, value in have.missing_for(wanted).items()
        )
        if calls:
            texts.append(f"SELECT {calls}")
        return [text.encode() for text in texts]

    def pin(self) -> bool:
        """Whether something lives in the connection that can not be brought to another."""
        cause = self._cause()
        if cause and not self._pinned_by:
            self._counts.pins[cause] += 1
        self._pinned_by = cause
        return bool(cause)

    def _cause(self) -> str:
        state = self._state
        if len(state.portals):
            return "cursor"
        if self._has_prepared:
            if any(each.types is None for each in state.statements.values()):
                return "prepare"
            self._has_prepared = False
        return "settings" if self._is_unknown else ""

    @property
    def is_asking(self) -> bool:
        """Whether the database has to be asked what is set, before another may have this."""
        return self._known != self._changes

    def ask(self) -> None:
        """Ask the database what this session has set."""
        self._counts.questions += 1
        self._asked, self._asked_local = self._changes, self._local_changes
        run = Run(None, is_swallowed=True)
        self._state.forward(
            m.query(self.question),
            Expectation(
                Reply.QUERY,
                self._state.segment,
                is_swallowed=True,
                runs=(run,),
                on_rows=self._answered,
            ),
        )

    def _answered(self, rows: Sequence[Sequence[bytes | None]] | None) -> None:
        if rows is None:
            self._is_unknown = True
            return
        self._is_unknown = False
        self._known = self._asked
        found = {row[0].decode(): row[1].decode() for row in rows if row[0] and row[1] is not None}
        self._settings = self.carried.settings = Settings(found)
        if self._asked_local == self._local_changes:
            self._parsed_under = self._settings

    def end(self) -> None:
        self._state.kept.end()
        self._pinned_by = ""
        self._parsed_under = self._settings

    # --- what runs ---

    def forwarded(self, runs: Sequence[Run]) -> None:
        """These are about to run: what do they leave in the connection?"""
        for run in runs:
            for plan in run.plans:
                self._note(plan)
            if run.plan is None:
                continue
            if run.plan.kind is Kind.PREPARE:
                self._has_prepared = True

    def settings_changed(self) -> None:
        """The database reports a parameter anew. Where nobody has set any, its own defaults are
        others now, under which nothing is prepared here.
        """
        if self.is_sure_of_settings and not self.is_asking:
            self._parsed_under = new_settings()
            self.carried.needs_reset = True

    def _note(self, plan: Plan) -> None:
        is_change = may_set(plan)
        if is_change:
            self._changes += 1
        if is_change or plan.kind is Kind.SET:
            # Until it is known what is set now: SET LOCAL counts, too.
            self._local_changes += 1
            self._parsed_under = new_settings()
        if plan.runs_code:
            # What the database's own code leaves behind, only a reset clears away.
            self.carried.needs_reset = True

    # --- prepared statements ---

    def key_of(self, prepared: Prepared) -> StatementKey:
        return prepared.key_under(self._parsed_under)

    def name_of(self, name: bytes, prepared: Prepared) -> bytes | None:
        """The name of a statement upstream; None: it is not prepared there, or not for sure."""
        carried, key = self.carried, self.key_of(prepared)
        known = carried.name_of(key) if name else b""
        if not known and (name or carried.unnamed != key):
            return None
        return known if self._state.kept.is_sure(known, self._state.segment) else None

    def parse(self, name: bytes, prepared: Prepared) -> bytes:
        """The client prepares a statement: the name that it gets upstream."""
        carried, key = self.carried, self.key_of(prepared)
        if not name:
            carried.unnamed = key
            return b""
        known = carried.take(key)
        # Also where nothing of that name should be there: to close nothing is no error.
        self._close(known)
        surplus = carried.surplus()
        if surplus:
            self._close(surplus)
        return known

    def find(self, name: bytes, prepared: Prepared) -> bytes:
        """The name of a statement upstream, where it is prepared if it was not."""
        if prepared.types is None:
            return name  # made by PREPARE, under its own name: the connection is kept
        known = self.name_of(name, prepared)
        if known is not None:
            return known
        key = self.key_of(prepared)
        self._counts.parses += 1
        upstream_name = self.parse(name, prepared)
        self._state.forward(
            m.parse(upstream_name, key.text.encode(), key.types),
            Expectation(
                Reply.PARSE,
                self._state.segment,
                is_swallowed=True,
                key=key,
                upstream_name=upstream_name,
                prepared=prepared,
            ),
        )
        return upstream_name

    def _close(self, name: bytes) -> None:
        self._state.forward(
            m.close(b"S", name),
            Expectation(Reply.CLOSE, self._state.segment, is_swallowed=True),
        )

    def bind(self, message: bytes, portal: bytes, name: bytes, prepared: Prepared) -> bytes:
        """A Bind as it is sent upstream."""
        upstream_name = self.find(name, prepared)
        if prepared.runs.runs_code:
            self._note(prepared.runs)  # a planner runs code, too
        return m.rebind(message, portal, name, upstream_name)

    def describe(self, message: bytes, name: bytes, prepared: Prepared) -> bytes:
        upstream_name = self.find(name, prepared)
        return message if upstream_name == name else m.describe(b"S", upstream_name)

    def close(self, message: bytes, name: bytes) -> bytes:
        """A Close of a statement: others may go on with what is prepared upstream."""
        if not name:
            self.carried.unnamed = None
            return message
        prepared = self._state.statements.get(name)
        is_own = prepared is not None and prepared.types is None
        return message if is_own else m.close(b"S", OWN_NAME)


def quote_setting(name: str) -> str:
    """A setting's name: a dot parts a class from it."""
    return ".".join(quote_identifier(part) for part in name.split("."))
