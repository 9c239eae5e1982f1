"""What the upstream answers: relayed as it is, exchanged, cleaned or swallowed.

Every reply belongs to the expectation at the head of the queue; one that can not be its answer
ends the session, before anything of it is relayed. Rows are relayed as they came. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

from proxy.access_log.record import State
from proxy.errors import InvariantError, UpstreamProtocolError
from proxy.rewrite.plan import Plan
from proxy.session.errors import Place, Reach, fatal, reach, shown_error, shown_notice, sqlstate_of
from proxy.session.expectations import LEGAL, POISON_SQLSTATE, Expectation, Poison, Reply, Run
from proxy.session.state import SessionState
from proxy.wire import messages as m
from proxy.wire.framing import BackendReader

# The routine of the database that says "cached plan must not change result type".
_REVALIDATION = "RevalidateCachedQuery"
# Never relayed: what they say of the upstream is not so for the client.
_OURS_TO_SAY = frozenset({"is_superuser", "session_authorization"})


def is_outdated(fields: Mapping[str, str]) -> bool:
    """Whether an error says that a statement must be prepared again: its result has changed."""
    return fields.get("C") == "0A000" and fields.get("R") == _REVALIDATION


class UpstreamEnded(Exception):  # noqa: N818 - an event, not a fault of ours
    """The upstream said FATAL: `error` is what the client is told of it."""

    def __init__(self, error: bytes) -> None:
        super().__init__("the upstream ended the session")
        self.error = error


class Replies:
    """The backend half of a session's conversation."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._reader = BackendReader()
        self._untold: dict[str, str] = {}
        self._parameters: dict[str, str] = {}

    def begin(self, parameters: dict[str, str]) -> None:
        """An upstream was leased that reports `parameters`, and goes on to report there. The client
        hears of them, where they are new to it, once our own setting up is done.
        """
        self._parameters = parameters
        self._untold = dict(parameters)

    @property
    def is_between_messages(self) -> bool:
        """Whether a message of ours may be put behind what has been relayed."""
        return self._reader.is_between_messages

    def receive(self, data: bytes) -> None:
        """Take bytes of the upstream; what goes to the client is in the outbox afterwards.

        Raises UpstreamProtocolError, UpstreamEnded or InvariantError: the session ends.
        """
        reader = self._reader
        reader.feed(data)
        while (found := reader.next()) is not None:
            kind, part, rows = found
            if kind in (m.DATA_ROW, m.COPY_DATA):
                self._rows(kind, part, rows)
            else:
                self._message(kind, part)

    def _rows(self, kind: int, part: bytes, rows: int) -> None:
        state = self._state
        head = self._head(kind)
        run = head.runs[0] if head.runs else None
        if run is None or run.poison is not None:
            raise UpstreamProtocolError("rows that nobody asked for")
        if run.is_swallowed:
            if head.on_rows is not None:
                head.rows += part
            return
        self._gate(run)
        run.rows += rows
        run.bytes += len(part)
        state.outbox.put(part)

    def _message(self, kind: int, part: bytes) -> None:
        match kind:
            case m.ERROR:
                self._error(part)
            case m.NOTICE:
                self._notice(part)
            case m.PARAMETER_STATUS:
                self._parameter(part)
            case m.NOTIFICATION:
                pass  # LISTEN is refused: there is nothing to be notified of
            case _:
                self._reply(self._head(kind), kind, part)

    def _head(self, kind: int) -> Expectation:
        queue = self._state.queue
        if not queue or kind not in LEGAL[queue[0].reply]:
            raise UpstreamProtocolError("a reply that nobody expected")
        return queue[0]

    def _reply(self, head: Expectation, kind: int, part: bytes) -> None:
        if head.poison is not None:
            raise InvariantError("a poison did not fail")
        match head.reply:
            case Reply.QUERY | Reply.EXECUTE:
                self._result(head, kind, part)
                return
            case Reply.SYNC:
                self._ready(head, part)
                return
            case Reply.DESCRIBE_STATEMENT if kind == m.PARAMETER_DESCRIPTION:
                if head.on_types is not None:
                    head.on_types(m.read_parameter_types(part))
                self._relay(head, part)
                return
            case Reply.PARSE | Reply.BIND | Reply.CLOSE:
                self._confirm(head)
            case _:
                pass
        self._relay(head, part)
        self._pop()

    def _confirm(self, head: Expectation) -> None:
        """The upstream has done what was entered when the message was forwarded."""
        state = self._state
        if head.key is not None:
            state.kept.parsed(head)
        if head.statement is not None:
            state.statements.confirm(head.name, head.statement)
        if head.bound is not None:
            replaced = head.bound.previous
            state.portals.confirm(head.name, head.bound)
            if replaced is not None:
                state.conclude_portal(replaced.value)

    def _relay(self, head: Expectation, part: bytes) -> None:
        if not head.is_swallowed:
            self._state.outbox.put(part)

    def _pop(self) -> None:
        state = self._state
        state.queue.pop(0)
        if not state.queue:
            state.holds = False

    # --- results ---

    def _result(self, head: Expectation, kind: int, part: bytes) -> None:
        state = self._state
        if kind == m.READY:
            if head.runs:
                raise UpstreamProtocolError("a statement was not answered")
            self._ready(head, part)
            return
        if not head.runs or head.runs[0].poison is not None:
            raise InvariantError("a result that nobody asked for, or a poison that did not fail")
        run = head.runs[0]
        if not run.is_swallowed:
            self._gate(run)
        if kind == m.COMMAND_COMPLETE:
            part = self._completed(run, part)
        if not run.is_swallowed:
            state.outbox.put(part)
        if kind in (m.COMMAND_COMPLETE, m.EMPTY_QUERY):
            state.recorder.conclude(run, "complete")
        if kind in (m.COMMAND_COMPLETE, m.EMPTY_QUERY, m.PORTAL_SUSPENDED):
            head.runs.pop(0)
            if head.reply is Reply.EXECUTE:
                self._pop()

    def _completed(self, run: Run, part: bytes) -> bytes:
        if run.effect is not None:
            run.effect(m.read_tag(part))
        if run.plan is not None and run.plan.tag is not None:
            return m.command_complete(run.plan.tag)
        return part

    def _gate(self, run: Run) -> None:
        """G4: nothing of a result leaves before its record is durable."""
        if not run.is_gated:
            run.is_gated = True
            if run.ticket is not None:
                self._state.outbox.barrier(run.ticket)

    def _ready(self, head: Expectation, part: bytes) -> None:
        state = self._state
        self._confirm(head)
        state.status = m.read_status(part)
        state.is_in_block = state.status != m.IDLE
        if state.status == m.IDLE:
            if state.has_failed:
                state.settings.rollback()
            else:
                state.settings.commit()
            state.has_failed = False
            state.snapshot.end(head.segment)
            self._end_portals(head.segment)
        if self._untold:
            self._tell()
        if head.on_rows is not None:
            head.on_rows(_rows_of(head.rows))
        self._relay(head, part)
        self._pop()

    def _end_portals(self, segment: int) -> None:
        """Portals live no longer than their transaction; cursors WITH HOLD do."""
        state = self._state
        for portal in state.portals.remove_until(segment, lambda portal: portal.is_hold):
            state.conclude_portal(portal)

    # --- errors and asynchronous messages ---

    def _error(self, part: bytes) -> None:
        state = self._state
        fields = m.read_fields(part)
        head = state.queue[0] if state.queue else None
        sqlstate = sqlstate_of(fields)
        if fields.get("V", fields.get("S")) != "ERROR":
            error = self._shown(head, fields)
            if head is not None and head.runs:
                self._gate(head.runs[0])
            raise UpstreamEnded(error)
        if head is None:
            raise UpstreamProtocolError("an error that belongs to nothing")
        run = head.runs[0] if head.runs else None
        is_own_query = head.is_vital and head.reply is Reply.QUERY
        if is_own_query and not head.is_set_up and sqlstate == "25P02":
            # In a transaction that had failed before, a DISCARD ALL has failed as well: there was
            # nothing to put back.
            self._drop_rest(head, sqlstate)
            return
        if head.on_rows is not None:
            head.on_rows(None)
            head.on_rows = None
            self._drop_rest(head, sqlstate)
            return
        if head.is_vital or (run is not None and run.is_swallowed):
            if sqlstate.startswith("22"):
                # A value of the client's start-up packet that PostgreSQL does not take: it would
                # have said so then, as it does now.
                raise UpstreamEnded(fatal(sqlstate, fields.get("M", "")))
            raise UpstreamProtocolError(f"the session's own settings failed: {sqlstate}")
        state.has_failed = True
        if is_outdated(fields) or fields.get("C") == "26000":
            # Refusals stand for names that are not known: here one was known, and is gone.
            state.kept.outlive_all()
        poison = head.poison if run is None else run.poison
        if not head.is_silent:
            self._fail(head, run, poison, fields)
        self._drop_rest(head, sqlstate)

    def _fail(
        self, head: Expectation, run: Run | None, poison: Poison | None, fields: dict[str, str]
    ) -> None:
        state = self._state
        if poison is not None and fields.get("C") == POISON_SQLSTATE:
            if poison.ticket is not None:
                state.outbox.barrier(poison.ticket)
            state.outbox.put(poison.error)
            return
        if run is not None:
            self._gate(run)
        elif head.reply is Reply.BIND and head.portal is not None and head.portal.plan.tables:
            # Planned with the parameters' values, and failed: what it says counts as a result.
            self._record_failed_bind(head, sqlstate_of(fields))
        state.outbox.put(self._shown(head, fields))

    def _record_failed_bind(self, head: Expectation, sqlstate: str) -> None:
        state = self._state
        now = state.clock()
        run = Run(head.portal.plan if head.portal else None, received_at=now, forwarded_at=now)
        if state.recorder.intend(run, state.purpose, None) is not None:
            raise UpstreamProtocolError("the access log can not be written")
        self._gate(run)
        state.recorder.conclude(run, "error", sqlstate)

    def _drop_rest(self, head: Expectation, sqlstate: str) -> None:
        """What the upstream will not answer any more after this error."""
        state = self._state
        if head.reply in (Reply.QUERY, Reply.SYNC):
            self._conclude(head, sqlstate)
            head.runs.clear()
            return
        dropped = list(takewhile(lambda each: each.reply is not Reply.SYNC, state.queue))
        del state.queue[: len(dropped)]
        # The newest first, so that each finds what it replaced.
        for expectation in reversed(dropped):
            self._conclude(expectation, sqlstate)
            self._take_back(expectation, is_failed=expectation is head)
        if not state.queue:
            state.is_skipping = True
            state.holds = False

    def _conclude(self, expectation: Expectation, sqlstate: str) -> None:
        for run in expectation.runs:
            ended: State = "cancelled" if sqlstate == "57014" else "error"
            self._state.recorder.conclude(run, ended, sqlstate)

    def _take_back(self, expectation: Expectation, *, is_failed: bool) -> None:
        state = self._state
        if expectation.statement is not None:
            state.statements.take_back(
                expectation.name,
                expectation.statement,
                is_gone=is_failed and expectation.is_gone_on_failure,
            )
        if expectation.bound is not None:
            state.portals.take_back(expectation.name, expectation.bound)
        if expectation.key is not None:
            state.kept.not_parsed(expectation, expectation.key)

    def _notice(self, part: bytes) -> None:
        state = self._state
        head = state.queue[0] if state.queue else None
        if head is not None and head.is_swallowed:
            return
        if head is not None and head.runs:
            if head.runs[0].is_swallowed:
                return
            self._gate(head.runs[0])
        shown = shown_notice(m.read_fields(part), self._reach(head))
        if shown is not None:
            state.outbox.put(m.error(m.NOTICE, shown))

    def _shown(self, head: Expectation | None, fields: Mapping[str, str]) -> bytes:
        """PostgreSQL's error with what of it the tool may read."""
        if head is not None:
            text = self._state.kept.as_named(fields.get("M", ""), head.statement_name)
            fields = {**fields, "M": text}
        is_analysis = head is not None and head.reply is Reply.PARSE and head.prepared is None
        place = None if head is None else _place(head)
        return m.error(
            m.ERROR, shown_error(fields, self._reach(head), place, is_analysis=is_analysis)
        )

    def _reach(self, head: Expectation | None) -> Reach:
        """Of what an error or notice in answer to this may speak."""
        if head is None:
            return Reach.NOTHING
        plans = _plans(head)
        least = Reach.NOTHING if plans else Reach.GUARDED
        # A cursor WITH HOLD runs when its transaction ends: at COMMIT, at Sync, or before the last
        # statement of a Query is done, whichever that is.
        plans += [portal.plan for portal in self._state.portals.values() if portal.is_hold]
        return max(reach(*plans), least)

    def _parameter(self, part: bytes) -> None:
        state = self._state
        name, value = m.read_parameter_status(part)
        head = state.queue[0] if state.queue else None
        self._untold[name] = self._parameters[name] = value
        if head is None or not head.is_swallowed:
            state.kept.settings_changed()
        if len(self._untold) + len(state.told) > 2 * m.PARAMETERS_MAX:
            raise UpstreamProtocolError("more parameters than there can be")
        if name == "application_name" and not (head is not None and head.is_set_up):
            state.recorder.called_itself(value)
        # On the way to the session's own values nothing is told but the end.
        if head is None or not head.is_swallowed:
            self._tell()

    @property
    def has_news(self) -> bool:
        """Whether the upstream that was leased has parameters that the client does not know of."""
        told = self._state.told
        for name, value in self._untold.items():
            if told.get(name) != value and name not in _OURS_TO_SAY:
                return True
        return False

    def _tell(self) -> None:
        state = self._state
        for name, value in self._untold.items():
            if name not in _OURS_TO_SAY and state.told.get(name) != value:
                state.told[name] = value
                state.outbox.put(m.parameter_status(name, value))
        self._untold.clear()


def _rows_of(data: bytes) -> list[list[bytes | None]]:
    rows: list[list[bytes | None]] = []
    pos = 0
    while pos < len(data):
        row, pos = m.read_row(data, pos)
        rows.append(row)
    return rows


def _plans(head: Expectation) -> list[Plan]:
    """What runs while this is answered; nothing, where that is not known."""
    plans = [] if head.portal is None else [head.portal.plan]
    if head.statement is not None and head.statement.value is not None:
        plans.append(head.statement.value.runs)
    if head.prepared is not None:
        plans.append(head.prepared.runs)
    run = head.runs[0] if head.runs else None
    if run is not None:
        plans += run.plans
    return plans


def _place(head: Expectation) -> Place | None:
    """The text that an error's position is of, and the tool's."""
    if head.texts and head.runs:
        at = len(head.texts) - len(head.runs)
        before = sum(len(each.decode()) + 2 for each in head.texts[:at])
        return Place(head.texts[at].decode(), head.text, head.runs[0].index, before)
    prepared = head.prepared
    if prepared is None and head.statement is not None:
        prepared = head.statement.value
    if prepared is not None:
        return Place(prepared.plan.text, prepared.text, prepared.index)
    if head.portal is not None:
        return Place(head.portal.plan.text, head.portal.text)
    return None
