"""The steady state: a whole exchange that is known, taken in one step each way.

What a client sends again and again is one packet: Bind, Execute and Sync of a statement that it
has prepared; the same with a Parse before it; or one Query. Where it is known what such a packet
does, and nothing else is under way, it is recognised as a whole, recorded, and forwarded in one
write; so are its replies. Everything else, and whatever turns out otherwise, goes the general way
(`requests.py`, `replies.py`): `unfold` says in that way's words what was forwarded, and the general
way goes on from there. So this is a shorter way to the same bytes and records, never another rule;
tests compare them. No I/O.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from proxy.rewrite.plan import Plan
from proxy.session.expectations import Expectation, Reply, Run
from proxy.session.known import Known, KnownMessages, KnownParse
from proxy.session.portals import Portal, Prepared, is_plain
from proxy.session.replies import is_outdated
from proxy.session.services import Planner
from proxy.session.settings import Context
from proxy.session.state import SessionState
from proxy.upstream.carried import StatementKey
from proxy.wire import messages as m


class Switch:
    """For tests, which compare this way with the general one."""

    def __init__(self) -> None:
        self.is_on = True


SWITCH: Final = Switch()

# Longer packets go the general way: what it costs is nothing beside them.
_PACKET_BYTES_MAX: Final = 64 * 1024
_NAME_BYTES_MAX: Final = 63
_DESCRIBE: Final = m.describe(b"P", b"")
_EXECUTE_SYNC: Final = m.execute(b"") + m.SYNC_MESSAGE
_DESCRIBE_EXECUTE_SYNC: Final = _DESCRIBE + _EXECUTE_SYNC
_READY_IDLE: Final = m.ready(m.IDLE)
_BEGINNINGS: Final = (b"B", b"P", b"Q")

# How far the upstream's answer has come: the next message is …
_CLOSED: Final = 0  # CloseComplete, of a statement that made room
_PARSED: Final = 1  # ParseComplete
_BOUND: Final = 2  # BindComplete
_DESCRIBED: Final = 3  # RowDescription or NoData
_ROWS: Final = 4  # DataRow or CommandComplete; in a simple query, RowDescription too
_READY: Final = 5  # ReadyForQuery
_DONE: Final = 6


class Steady:
    """One session's exchanges that are known; one at a time."""

    __slots__ = (
        "_asked",
        "_context",
        "_has_describe",
        "_held",
        "_is_owed",
        "_is_query",
        "_key",
        "_known",
        "_known_parse",
        "_messages",
        "_name",
        "_parsed_as",
        "_planner",
        "_prepared",
        "_run",
        "_segment",
        "_sent",
        "_stage",
        "_state",
        "_statement_bytes_max",
        "is_running",
    )

    def __init__(
        self, state: SessionState, planner: Planner, known: Known, statement_bytes_max: int
    ) -> None:
        self._state = state
        self._planner = planner
        self._known = known
        self._statement_bytes_max = statement_bytes_max
        self._messages: KnownMessages | None = None
        self._context: Context | None = None
        self.is_running = False
        """Something was forwarded that `state` does not know of: see `unfold`."""
        self._run = Run(None)
        self._stage: i64 = _DONE
        self._segment = 0
        self._prepared: Prepared | None = None
        self._name = b""  # the client's, for what is bound
        self._has_describe = False
        self._is_query = False
        self._asked = self._sent = b""  # what the client sent, and, for a Query, what was sent on
        # A Parse whose statement stays prepared upstream (kept.py).
        self._known_parse: KnownParse | None = None
        self._key: StatementKey | None = None
        self._parsed_as = b""  # the name upstream of what a Parse prepares
        self._is_owed = False  # the client waits for a ParseComplete that is ours to say
        self._held = b""  # an error that the client may never have to see

    @property
    def is_over(self) -> bool:
        """The opposite of `is_running`, which may have changed meanwhile."""
        return not self.is_running

    # --- what the client sends ---

    def may_know(self, data: bytes) -> bool:
        """Whether a packet begins as one that may be known."""
        return data[:1] in _BEGINNINGS and len(data) <= _PACKET_BYTES_MAX

    def request(self, data: bytes) -> bytes:
        """What to send upstream for a packet that is known; b"": nothing has happened."""
        state = self._state
        size: i64 = len(data)
        if (
            not SWITCH.is_on
            or size < 12
            or size > _PACKET_BYTES_MAX
            or self.is_running
            or state.queue
            or state.to_upstream
            or state.is_segment_open
            or state.is_skipping
            or state.holds
            or state.status == m.FAILED
            or state.snapshot.is_possible
        ):
            return b""
        kind: i64 = data[0]
        if kind == 0x42:  # Bind
            return self._bound(data, size)
        if kind == 0x51:  # Query
            return self._query(data, size)
        if kind == 0x50:  # Parse
            return self._parsed(data, size)
        return b""

    def learn_parse(self, message: bytes, prepared: Prepared, forward: bytes) -> None:
        """A Parse of the unnamed statement was planned, and this is forwarded for it."""
        messages = self.messages()
        if prepared.is_plain and prepared.plan.revision == messages.revision:
            messages.learn_parse(message, prepared, forward)

    def learn_query(self, message: bytes, text: str, plan: Plan) -> None:
        """A Query of one statement was planned, and is forwarded."""
        messages, context = self.messages(), self._state.settings.current
        if is_plain(plan, context) and plan.revision == messages.revision:
            template = self._planner.template(text, self._state.plan_context(None))
            messages.learn_query(message, plan, template)

    def messages(self) -> KnownMessages:
        """What is known in the session's context, under what is in force now."""
        messages, context = self._messages, self._state.settings.current
        revision = self._planner.revision
        if messages is None or self._context is not context or messages.revision != revision:
            messages = self._known.of(self._state.tool, context, revision)
            self._messages, self._context = messages, context
        return messages

    def _bound(self, data: bytes, size: i64) -> bytes:
        end = _message_end(data, 0, size)
        if end < 0 or data[5] != 0:
            return b""
        name_end: i64 = data.find(b"\0", 6)
        if name_end < 0 or name_end >= end or name_end - 6 > _NAME_BYTES_MAX:
            return b""
        has_describe = _execution(data, end)
        if has_describe < 0:
            return b""
        state = self._state
        entry = state.statements.entry(data[6:name_end])
        if entry is None or entry.is_pending:
            return b""
        prepared = entry.value
        if prepared is None or not prepared.is_plain:
            return b""
        name = data[6:name_end]
        upstream_name = self._upstream_name(name, prepared)
        if upstream_name is None:
            return b""
        plan = prepared.plan
        context = state.settings.current
        if plan.revision != self._planner.revision or (
            prepared.context is not context and prepared.context != context
        ):
            return b""
        run = Run(plan)
        if not self._begin(run, context, _BOUND):
            return b""
        self._prepared = prepared
        self._has_describe = has_describe > 0
        self._name = name
        if prepared.may_set:
            state.kept.note(plan)
        if upstream_name == name:
            return data
        return m.rebind(data[:end], b"", name, upstream_name) + data[end:]

    def _upstream_name(self, name: bytes, prepared: Prepared) -> bytes | None:
        """What a statement is called upstream; None: the general way has to see to it."""
        lease = self._state.lease
        if lease is None:
            return prepared.upstream_name or name
        return None if prepared.may_set else lease.name_of(name, prepared)

    def _parsed(self, data: bytes, size: i64) -> bytes:
        parse_end = _message_end(data, 0, size)
        if parse_end < 0 or data[5] != 0 or size < parse_end + 12 or data[parse_end] != 0x42:
            return b""
        end = _message_end(data, parse_end, size)
        # The unnamed portal of the unnamed statement.
        if end < 0 or data[parse_end + 5] != 0 or data[parse_end + 6] != 0:
            return b""
        has_describe = _execution(data, end)
        if has_describe < 0:
            return b""
        known = self.messages().parses.get(data[:parse_end])
        state = self._state
        if known is None or (known.prepared.may_set and state.lease is not None):
            return b""
        run = Run(known.prepared.plan)
        if not self._begin(run, state.settings.current, _PARSED):
            return b""
        self._asked = data
        self._has_describe = has_describe > 0
        key = None if known.prepared.may_set else state.kept.key_of(known)
        if key is not None and state.kept.carried.is_again(key):
            return self._kept(known, key, data[parse_end:end], data[end:])
        self._prepared = known.prepared
        if state.lease is not None:
            state.lease.parse(b"", known.prepared)
            self._key = state.lease.carried.unnamed
        elif known.prepared.may_set:
            state.kept.note(known.prepared.plan)
        return known.forward + data[parse_end:]

    def _kept(self, known: KnownParse, key: StatementKey, bound: bytes, rest: bytes) -> bytes:
        """What to send for a Parse whose statement is, or from now on stays, prepared upstream."""
        state = self._state
        kept = state.kept
        carried = kept.carried
        self._known_parse, self._key = known, key
        name = carried.name_of(key)
        if name:
            prepared = kept.prepared(known, name)
            state.statements.set(b"", prepared, self._segment, is_pending=False)
            self._prepared = prepared
            self._stage = _BOUND
            self._is_owed = True
            return m.rebind(bound, b"", b"", name) + rest
        name = self._parsed_as = carried.take(key)
        self._prepared = prepared = kept.prepared(known, name)
        parse = m.parse(name, prepared.plan.text.encode(), prepared.types or ())
        surplus = kept.surplus()
        if surplus:
            self._stage = _CLOSED
            parse = m.close(b"S", surplus) + parse
        return parse + m.rebind(bound, b"", b"", name) + rest

    def _query(self, data: bytes, size: i64) -> bytes:
        if _message_end(data, 0, size) != size or data[size - 1] != 0:
            return b""
        if size - 6 > self._statement_bytes_max:
            return b""
        found = self.messages().query(data)
        if found is None:
            return b""
        known, values = found
        state = self._state
        if known.may_set and state.lease is not None:
            return b""
        run = Run(known.plan)
        if not self._begin(run, state.settings.current, _ROWS):
            return b""
        if known.may_set:
            state.kept.note(known.plan)
        self._is_query = True
        self._asked, self._sent = data, known.message(values)
        # Simple queries use the unnamed statement and portal (manual, "Simple Query").
        state.statements.remove(b"")
        if state.status != m.IDLE:
            state.conclude_portal(state.portals.get(b""))
            state.portals.remove(b"")
        if state.lease is not None:
            state.lease.carried.unnamed = None
        return self._sent

    def _begin(self, run: Run, context: Context, stage: i64) -> bool:
        """Record what is about to run; False: the general way will say why not."""
        state = self._state
        run.received_at = run.forwarded_at = state.clock()
        if state.recorder.intend(run, context.purpose, None) is not None:
            return False
        self._run = run
        self._stage = stage
        self._is_query = self._is_owed = False
        self._key = None
        self._name = self._parsed_as = b""
        self._segment = state.segment
        state.segment += 1
        self._known.used += 1
        self.is_running = True
        return True

    # --- what the upstream answers ---

    def reply(self, data: bytes) -> bool:  # noqa: C901, PLR0912 - a call for each would cost more
        """Take bytes of the upstream; False: they are for the general way, which knows all now.

        The general way takes what `unread` gives. May raise RecordLost.
        """
        state = self._state
        before = self._held
        if before:
            data = self.unread(data)
        size: i64 = len(data)
        pos: i64 = 0
        stage = self._stage
        rows: i64 = 0
        row_bytes: i64 = 0
        status: i64 = state.status
        start: i64 = 0  # what stands before it is not for the client
        while pos < size:
            end = _message_end(data, pos, size)
            if end < 0:
                break
            kind: i64 = data[pos]
            if kind == 0x44 and stage == _ROWS:  # DataRow
                rows += 1
                row_bytes += end - pos
            elif kind == 0x32 and stage == _BOUND:  # BindComplete
                stage = _DESCRIBED if self._has_describe else _ROWS
            elif stage == _DESCRIBED and (kind == 0x54 or kind == 0x6E):  # noqa: PLR1714 - see i64
                stage = _ROWS  # RowDescription, NoData
            elif kind == 0x54 and stage == _ROWS and self._is_query and not rows:
                pass
            elif kind == 0x43 and stage == _ROWS:  # CommandComplete
                stage = _READY
            elif kind == 0x31 and stage == _PARSED:  # ParseComplete
                stage = _BOUND
            elif kind == 0x33 and stage == _CLOSED:  # CloseComplete
                stage = _PARSED
                start = end
            elif (
                kind == 0x5A and stage == _READY
                and end == size and end - pos == 6 and data[end - 1] == status
            ):  # fmt: skip
                stage = _DONE
            else:
                break
            pos = end
        if pos != size:
            if pos == 0 and self._is_to_be_prepared_anew(data):
                return True
            self.unfold()
            self._held = before
            return False
        if start:
            data = data[start:]
        if self._is_owed:
            self._is_owed = False
            data = m.PARSE_COMPLETE_MESSAGE + data
        self._relay(data, rows, row_bytes, stage)
        return True

    def unread(self, data: bytes) -> bytes:
        """What the general way must read before it reads on, and `data`."""
        held, self._held = self._held, b""
        return held + data if held else data

    def _is_to_be_prepared_anew(self, data: bytes) -> bool:
        """Where a statement that was kept has become useless, outside a transaction, so that a
        client that has sent its Parse must not hear of it: it is parsed, and all is asked again.
        """
        state, known, key = self._state, self._known_parse, self._key
        size: i64 = len(data)
        end = _message_end(data, 0, size)
        if (
            not self._is_owed or known is None or key is None
            or state.status != m.IDLE
            or end < 0 or data[0] != 0x45 or not _READY_IDLE.startswith(data[end:])
        ):  # fmt: skip
            return False
        fields = m.read_fields(data[:end])
        if not (is_outdated(fields) or fields.get("C") == "26000"):
            return False
        if size - end < len(_READY_IDLE):
            self._held = data  # PostgreSQL sends an error at once, and what ends it a little later
            return True
        asked = self._asked
        parse_end = _message_end(asked, 0, len(asked))
        name = state.kept.carried.name_of(key)
        state.kept.lose(key)
        self._key = None
        self._prepared = known.prepared
        self._is_owed = False
        self._stage = _CLOSED
        if state.lease is not None:
            state.lease.parse(b"", known.prepared)
            self._key = state.lease.carried.unnamed
        state.to_upstream.append(m.close(b"S", name) + known.forward + asked[parse_end:])
        return True

    def _relay(self, data: bytes, rows: i64, row_bytes: i64, stage: i64) -> None:
        state, run = self._state, self._run
        outbox = state.outbox
        ticket = run.ticket
        if ticket is not None and not run.is_gated:
            # G4: nothing of a result leaves before its record is durable.
            run.is_gated = True
            if not ticket.is_durable:
                state.recorder.hurry()
                outbox.barrier(ticket)
        outbox.send(data)
        if rows:
            run.rows += rows
            run.bytes += row_bytes
        before = self._stage
        self._stage = stage
        if before <= _PARSED < stage and self._prepared is not None:
            entry = state.statements.entry(b"")
            if entry is None or entry.value is not self._prepared:
                state.statements.set(b"", self._prepared, self._segment, is_pending=False)
        if before <= _BOUND < stage and state.status != m.IDLE:
            # In a transaction block there may be a portal, which is replaced.
            state.conclude_portal(state.portals.get(b""))
        if stage < _READY:
            return
        if before < _READY:
            state.recorder.conclude(run, "complete")
        if stage == _DONE:
            self.is_running = False
            if state.status != m.IDLE and self._prepared is not None and not self._is_query:
                # In a transaction block the portal lives on; else it has ended.
                portal = _portal(self._prepared, run)
                state.portals.set(b"", portal, self._segment, is_pending=False)

    # --- the general way ---

    def unfold(self) -> None:
        """Say in the general way's words what was forwarded and is not answered yet."""
        if not self.is_running:
            return
        self.is_running = False
        state, run, stage = self._state, self._run, self._stage
        segment = self._segment
        if self._is_query:
            text = self._asked[5:-1].decode()
            sent = self._sent[5:-1]
            runs = (run,) if stage < _READY else ()
            state.queue.append(
                Expectation(Reply.QUERY, segment, runs=runs, text=text, texts=(sent,))
            )
            return
        prepared = self._prepared
        if prepared is None:
            return
        if self._is_owed:
            self._is_owed = False
            state.outbox.put(m.PARSE_COMPLETE_MESSAGE)
        if stage == _CLOSED:
            state.queue.append(Expectation(Reply.CLOSE, segment, is_swallowed=True))
        if stage <= _PARSED:
            entry = state.statements.set(b"", prepared, segment, is_pending=True)
            state.expect(
                Expectation(
                    Reply.PARSE,
                    segment,
                    name=b"",
                    statement=entry,
                    is_gone_on_failure=True,
                    key=self._key,
                    upstream_name=self._parsed_as,
                )
            )
        portal = _portal(prepared, run)
        bound = state.portals.set(b"", portal, segment, is_pending=stage <= _BOUND)
        if stage <= _BOUND:
            state.queue.append(
                Expectation(
                    Reply.BIND,
                    segment,
                    name=b"",
                    bound=bound,
                    portal=portal,
                    statement_name=self._name,
                )
            )
        if stage <= _DESCRIBED and self._has_describe:
            state.queue.append(Expectation(Reply.DESCRIBE_PORTAL, segment))
        if stage <= _ROWS:
            state.queue.append(Expectation(Reply.EXECUTE, segment, runs=(run,), portal=portal))
        state.queue.append(Expectation(Reply.SYNC, segment))


def _portal(prepared: Prepared, run: Run) -> Portal:
    portal = Portal(
        plan=prepared.plan,
        baseline=None,
        born_at=run.received_at,
        text=prepared.text,
        types=prepared.types or (),
    )
    portal.run = run
    return portal


def _message_end(data: bytes, pos: i64, size: i64) -> i64:
    """Where the message at `pos` ends; -1 where it is not whole."""
    if size - pos < 5:
        return -1
    b1: i64 = data[pos + 1]
    b2: i64 = data[pos + 2]
    b3: i64 = data[pos + 3]
    b4: i64 = data[pos + 4]
    length = (b1 << 24) | (b2 << 16) | (b3 << 8) | b4
    if length < 4 or length > size - pos - 1:
        return -1
    return pos + length + 1


def _execution(data: bytes, pos: i64) -> i64:
    """What is behind Bind: 1 Describe, Execute and Sync; 0 Execute and Sync; -1 anything else."""
    rest = data[pos:]
    if rest == _DESCRIBE_EXECUTE_SYNC:
        return 1
    return 0 if rest == _EXECUTE_SYNC else -1
