"""What a client asks, message by message: forwarded, replaced, or refused in its place.

Each handler is a generator of needs (`state.Need`): where it must know more than the session
does, it yields what it needs, and goes on when the edge has brought it. Meanwhile no other
message of this client is read. No I/O.

After each need the upstream may have begun to skip: then the message is skipped, too.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Final

from proxy.errors import ClientProtocolError, Reason, Refused
from proxy.rewrite.plan import Kind, Plan
from proxy.session.admission import (
    Admission,
    LocalNames,
    Statement,
    duplicate_statement,
    no_portal,
    no_statement,
)
from proxy.session.effects import changes_meaning, reset_setting
from proxy.session.expectations import (
    OWN_NAME,
    POISON_NAME,
    POISON_TEXT,
    Expectation,
    Poison,
    Reply,
    Run,
)
from proxy.session.lease import Lease
from proxy.session.portals import Portal, Prepared
from proxy.session.services import Planner
from proxy.session.state import Need, SessionState
from proxy.session.steady import Steady
from proxy.upstream.carried import Carried
from proxy.wire import messages as m
from proxy.wire.framing import EXECUTE_NONE, EXECUTE_WHOLE

Steps = Generator[Need, None, None]

# An Execute that was received with its Bind follows it within this; later, the snapshot that Bind
# took is an old one like others.
FRESH_S: Final = 1.0


class Requests:
    """The frontend half of a session's conversation.

    `execute_ahead` tells whether a portal's Execute is behind the message in hand. `initial_sql`
    gives, for a setting (or `all`), a SELECT that puts the session's initial value back, or b"".
    `steady` is told what it may take for known next time.
    """

    def __init__(
        self,
        state: SessionState,
        planner: Planner,
        *,
        purposes: Sequence[str],
        execute_ahead: Callable[[bytes], int],
        initial_sql: Callable[[str], bytes],
        steady: Steady,
    ) -> None:
        self._state = state
        self._steady = steady
        self._admission = Admission(state, planner, purposes)
        self._execute_ahead = execute_ahead
        self._initial_sql = initial_sql
        self._received_at = 0.0

    def set_up(self) -> None:
        """Give the leased upstream the session's settings; what follows rests on it."""
        self._own_query(self._initial_sql("all"))

    def take_over(self, lease: Lease, carried: Carried) -> None:
        """The same in transaction pooling, where the upstream may have settings of others."""
        texts = lease.begin(carried)
        if texts:
            runs = [Run(None, is_swallowed=True) for _ in texts]
            self._state.forward(
                m.query(b";".join(texts)),
                Expectation(
                    Reply.QUERY,
                    self._state.segment,
                    is_swallowed=True,
                    is_vital=True,
                    is_set_up=True,
                    runs=runs,
                ),
            )

    def receive(self, kind: int, message: bytes) -> Steps | None:
        """Begin to answer a message; None where nothing is left to do. b"": it was too large."""
        self._received_at = self._state.clock()
        if self._state.is_skipping and kind != m.SYNC:
            # PostgreSQL reads nothing after an error until Sync; not even a Query.
            return None
        match kind:
            case m.QUERY:
                return self._query(message)
            case m.PARSE:
                return self._parse(message)
            case m.BIND:
                return self._bind(message)
            case m.EXECUTE:
                return self._execute(message)
            case m.DESCRIBE:
                return self._describe(message)
            case m.CLOSE:
                return self._close(message)
            case m.SYNC:
                self._state.is_skipping = False
                self._forward(message, Reply.SYNC)
            case m.FLUSH:
                self._state.to_upstream.append(m.FLUSH_MESSAGE)
            case m.FUNCTION_CALL:
                self._function_call()
            case m.COPY_DATA | m.COPY_DONE | m.COPY_FAIL:
                # Sent on by a client whose COPY FROM STDIN was refused: PostgreSQL ignores them.
                pass
            case _:
                raise ClientProtocolError(f"invalid frontend message type {kind}")
        return None

    # --- simple queries ---

    def _query(self, message: bytes) -> Steps:
        state, admission = self._state, self._admission
        yield from state.settle_meaning()
        text = _decode(m.read_query(message)) if message else _too_large()
        entries: Sequence[Plan | Refused] = (text,) if isinstance(text, Refused) else ()
        if isinstance(text, str):
            entries = (yield from admission.plan(text, None)) or (_empty(),)
        plans = [entry for entry in entries if isinstance(entry, Plan)]
        yield from self._settle_names(plans)
        epoch = yield from admission.before_snapshot(plans)
        names, runs = LocalNames(state), list[Run]()
        texts: list[bytes] = []
        is_moved = False  # the context is not any more the one that the rest was planned under
        for index, planned in enumerate(entries):
            is_misplaced = is_moved and isinstance(planned, Plan) and bool(planned.tables)
            entry = _moved() if is_misplaced else planned
            if isinstance(entry, Refused):
                poison = state.recorder.refuse(entry, state.purpose)
                run = Run(None, poison=poison, received_at=self._received_at)
            else:
                statement = Statement(
                    entry,
                    text=text if isinstance(text, str) else "",
                    index=index,
                    count=len(entries),
                )
                run = yield from admission.admit(statement, epoch, names, self._received_at)
            run.index = index
            runs.append(run)
            if run.poison is not None or run.plan is None:
                texts.append(POISON_TEXT)
                break
            texts.append(run.plan.text.encode())
            setting = reset_setting(run.plan)
            if setting is not None:
                is_moved = is_moved or state.settings.after(setting, None) != state.context
                self._add_reset(run.plan, setting, runs, texts)
        if state.is_skipping:
            self._abandon(runs)
            return
        own = text if isinstance(text, str) else ""
        if len(runs) == 1 and runs[0].poison is None and runs[0].plan is not None:
            self._steady.learn_query(message, own, runs[0].plan)
        self._forward_query(b"\n;".join(texts), runs, own, texts)

    def _add_reset(self, plan: Plan, setting: str, runs: list[Run], texts: list[bytes]) -> None:
        initial = self._initial_sql(setting)
        # DISCARD ALL stands alone; what it resets is put back behind it (_forward_query).
        if initial and plan.kind is not Kind.DISCARD:
            runs.append(Run(None, is_swallowed=True))
            texts.append(initial)

    def _forward_query(
        self, text: bytes, runs: list[Run], own: str = "", texts: Sequence[bytes] = ()
    ) -> None:
        state = self._state
        plans = [run.plan for run in runs if run.plan is not None]
        self._note_meaning(plans)
        self._note_settings(runs)
        now = state.clock()
        for run in runs:
            run.forwarded_at = now
        expectation = Expectation(Reply.QUERY, state.segment, runs=runs, text=own, texts=texts)
        # Simple queries use the unnamed statement and portal (manual, "Simple Query"); one that is
        # skipped does not.
        if state.statements.entry(b"") is not None:
            expectation.statement = state.statements.set(b"", None, state.segment, is_pending=True)
        if state.portals.entry(b"") is not None:
            expectation.bound = state.portals.set(b"", None, state.segment, is_pending=True)
        state.forward(m.query(text), expectation)
        if any(plan.kind is Kind.DISCARD for plan in plans):
            self._own_query(self._initial_sql("all"))

    def _own_query(self, text: bytes) -> None:
        if text:
            state = self._state
            run = Run(None, is_swallowed=True)
            state.forward(
                m.query(text),
                Expectation(
                    Reply.QUERY, state.segment, is_swallowed=True, is_vital=True, runs=(run,)
                ),
            )

    def _function_call(self) -> None:
        refused = Refused(Reason.STATEMENT_KIND, "function calls by message are not supported")
        poison = self._state.recorder.refuse(refused, self._state.purpose)
        self._forward_query(POISON_TEXT, [Run(None, poison=poison)])

    # --- extended queries ---

    def _parse(self, message: bytes) -> Steps:
        state, admission = self._state, self._admission
        yield from state.settle_meaning()
        name, raw, types = m.read_parse(message) if message else (POISON_NAME, b"", ())
        text = _decode(raw) if message else _too_large()
        if name and state.statements.is_open_question(name, state.segment):
            yield from state.settle()
        entries: Sequence[Plan | Refused] = (text,) if isinstance(text, Refused) else ()
        if isinstance(text, str):
            entries = yield from admission.plan(text, types)
        # Where isolation may be REPEATABLE READ, analysis takes the transaction's snapshot.
        epoch = yield from admission.before_snapshot(())
        if state.is_skipping:
            return
        plan = entries[0] if len(entries) == 1 else _several()
        plan = epoch if isinstance(epoch, Refused) else plan
        if isinstance(plan, Refused) or isinstance(text, Refused):
            refused = plan if isinstance(plan, Refused) else _several()
            self._poison(state.recorder.refuse(refused, state.purpose), parse=name)
            return
        if state.lease is not None:
            if name and state.statements.get(name) is not None:
                self._poison(duplicate_statement(name))
                return
            plan = admission.renamed(plan, state.statements.get((plan.name or "").encode()))
        prepared = Prepared(plan=plan, text=text, index=0, types=types, context=state.context)
        entry = state.statements.set(name, prepared, state.segment, is_pending=True)
        upstream_name = name
        if state.lease is not None:
            upstream_name = state.lease.parse(name, prepared)
        forward = m.parse(upstream_name, plan.text.encode(), types)
        if not name:
            self._steady.learn_parse(message, prepared, forward)
        state.forward(
            forward,
            Expectation(
                Reply.PARSE,
                state.segment,
                name=name,
                statement=entry,
                # PostgreSQL drops the unnamed statement before it reads the new one.
                is_gone_on_failure=not name,
                key=None if state.lease is None else state.lease.key_of(prepared),
                upstream_name=upstream_name,
            ),
        )

    def _bind(self, message: bytes) -> Steps:
        state, admission = self._state, self._admission
        yield from state.settle_meaning()
        if not message:
            self._poison(state.recorder.refuse(_too_large(), state.purpose))
            return
        name, statement = m.read_bind(message)
        found = yield from self._current(statement)
        if name and state.portals.is_open_question(name, state.segment):
            yield from state.settle()
        if isinstance(found, Poison):
            if not state.is_skipping:
                self._poison(found)
            return
        plan = found.runs
        ahead = self._execute_ahead(name)
        # Its snapshot is taken by Bind. All of it is received as one if all of it is here.
        is_asked = bool(plan.tables) and ahead != EXECUTE_WHOLE
        epoch = yield from admission.before_snapshot((), is_asked=is_asked)
        if state.is_skipping:
            return
        if isinstance(epoch, Refused):
            self._poison(state.recorder.refuse(epoch, state.purpose, plan))
            return
        portal = Portal(
            plan=plan,
            baseline=epoch if is_asked else None,
            born_at=state.clock(),
            text=found.text,
            types=found.types or (),
            is_fresh=ahead != EXECUTE_NONE,
        )
        if state.lease is not None:
            message = state.lease.bind(message, name, statement, found)
        elif found.upstream_name:
            message = m.rebind(message, name, statement, found.upstream_name)
        entry = state.portals.set(name, portal, state.segment, is_pending=True)
        state.forward(
            message,
            Expectation(
                Reply.BIND,
                state.segment,
                name=name,
                bound=entry,
                portal=portal,
                statement_name=statement,
            ),
        )

    def _current(self, name: bytes) -> Generator[Need, None, Prepared | Poison]:
        """A prepared statement, planned under what is in force now."""
        state, admission = self._state, self._admission
        if state.statements.is_open_question(name, state.segment):
            yield from state.settle()
        prepared = state.statements.get(name)
        if prepared is None:
            return no_statement(name)
        if admission.is_current(prepared):
            return prepared
        renewed = yield from admission.renew(name, prepared, is_simple=False)
        if isinstance(renewed, Refused):
            return state.recorder.refuse(renewed, state.purpose, prepared.runs)
        return renewed

    def _execute(self, message: bytes) -> Steps:
        state, admission = self._state, self._admission
        yield from state.settle_meaning()
        name, limit = m.read_execute(message)
        if state.portals.is_open_question(name, state.segment):
            yield from state.settle()
        portal = state.portals.get(name)
        if portal is None:
            if not state.is_skipping:
                self._poison(no_portal(name))
            return
        run = portal.run
        if run is not None and not run.is_over and not portal.is_cursor:
            yield from self._execute_again(message, portal, run)
            return
        plan = portal.plan
        yield from self._settle_names((plan,))
        # A client that reads nothing can keep us from forwarding an Execute that it has sent.
        is_fresh = portal.is_fresh and state.clock() - portal.born_at <= FRESH_S
        is_old = bool(plan.tables) and (portal.is_cursor or run is not None or not is_fresh)
        # Rows of EXECUTE are kept by the portal: what is fetched later is as old as this.
        keeps_rows = limit > 0 and plan.kind is Kind.EXECUTE
        epoch = yield from admission.before_snapshot((plan,), is_asked=is_old or keeps_rows)
        refused = admission.stale(portal, epoch) if is_old else None
        portal.is_fresh = False
        if refused is not None:
            if not state.is_skipping:
                self._poison(state.recorder.refuse(refused, state.purpose, plan))
            return
        if keeps_rows and isinstance(epoch, int):
            portal.baseline, portal.born_at = epoch, state.clock()
        if plan.kind is Kind.FETCH and plan.name is not None:
            cursor = state.portals.get(plan.name.encode())
            if cursor is not None:
                portal.baseline, portal.born_at = cursor.baseline, cursor.born_at
        statement = Statement(plan, text=portal.text, types=portal.types)
        run = yield from admission.admit(statement, epoch, LocalNames(state), self._received_at)
        if state.is_skipping:
            self._abandon((run,))
        elif run.poison is not None:
            self._poison(run.poison)
        else:
            self._forward_execute(message, portal, run)

    def _execute_again(self, message: bytes, portal: Portal, run: Run) -> Steps:
        """More rows of a portal that was suspended: the same access, an older snapshot."""
        state, admission = self._state, self._admission
        refused: Refused | None = None
        if run.id:
            epoch = yield from admission.before_snapshot((), is_asked=True)
            refused = admission.stale_snapshot(portal, epoch)
        if state.is_skipping:
            return
        if refused is not None:
            self._poison(state.recorder.refuse(refused, state.purpose, portal.plan))
            return
        state.forward(
            message, Expectation(Reply.EXECUTE, state.segment, runs=(run,), portal=portal)
        )

    def _forward_execute(self, message: bytes, portal: Portal, run: Run) -> None:
        state = self._state
        portal.run = run
        run.forwarded_at = state.clock()
        self._note_meaning((portal.plan,))
        self._note_settings((run,))
        state.forward(
            message, Expectation(Reply.EXECUTE, state.segment, runs=(run,), portal=portal)
        )
        setting = reset_setting(portal.plan)
        initial = b"" if setting is None else self._initial_sql(setting)
        if initial:
            self._own_statement(initial)

    def _own_statement(self, text: bytes) -> None:
        """Run a statement of ours between messages of the client, and swallow every answer."""
        own: tuple[tuple[bytes, Reply], ...] = (
            (m.parse(OWN_NAME, text), Reply.PARSE),
            (m.bind(OWN_NAME, OWN_NAME), Reply.BIND),
            (m.execute(OWN_NAME), Reply.EXECUTE),
            (m.close(b"P", OWN_NAME), Reply.CLOSE),
            (m.close(b"S", OWN_NAME), Reply.CLOSE),
        )
        for message, reply in own:
            runs = [Run(None, is_swallowed=True)] if reply is Reply.EXECUTE else []
            self._state.forward(
                message,
                Expectation(
                    reply, self._state.segment, is_swallowed=True, is_vital=True, runs=runs
                ),
            )

    def _describe(self, message: bytes) -> Steps:
        state = self._state
        yield from state.settle_meaning()
        what, name = m.read_target(message)
        if what == ord("S"):
            found = yield from self._current(name)
            if isinstance(found, Poison):
                if not state.is_skipping:
                    self._poison(found)
                return
            reply = Reply.DESCRIBE_STATEMENT
            # The upstream may analyse it again, in the transaction's snapshot.
            epoch = yield from self._admission.before_snapshot(())
            if isinstance(epoch, Refused):
                if not state.is_skipping:
                    self._poison(state.recorder.refuse(epoch, state.purpose))
                return
            if state.lease is None:
                message = m.describe(b"S", found.upstream_name) if found.upstream_name else message
            elif not state.skips():
                message = state.lease.describe(message, name, found)
        else:
            if state.portals.is_open_question(name, state.segment):
                yield from state.settle()
            if state.portals.get(name) is None:
                if not state.is_skipping:
                    self._poison(no_portal(name))
                return
            reply = Reply.DESCRIBE_PORTAL
        if not state.is_skipping:
            self._forward(message, reply)

    def _close(self, message: bytes) -> Steps:
        state = self._state
        yield from state.settle_meaning()
        what, name = m.read_target(message)
        expectation = Expectation(Reply.CLOSE, state.segment, name=name)
        if what == ord("S"):
            if state.statements.is_open_question(name, state.segment):
                yield from state.settle()
            if state.is_skipping:
                return
            if state.lease is not None:
                message = state.lease.close(message, name)
            expectation.segment = state.segment
            expectation.statement = state.statements.set(name, None, state.segment, is_pending=True)
        else:
            if state.portals.is_open_question(name, state.segment):
                yield from state.settle()
            if state.is_skipping:
                return
            expectation.bound = state.portals.set(name, None, state.segment, is_pending=True)
        state.forward(message, expectation)

    # --- what they share ---

    def _settle_names(self, plans: Iterable[Plan]) -> Steps:
        """Wait where a statement hangs on what an earlier one has yet to make certain."""
        state = self._state
        for plan in plans:
            if plan.setting == "consent.purpose":
                yield from state.settle()  # is a transaction block open?
            if plan.name is None:
                continue
            name = plan.name.encode()
            if state.statements.is_open_question(name, state.segment) or (
                state.portals.is_open_question(name, state.segment)
            ):
                yield from state.settle()

    def _note_settings(self, runs: Sequence[Run]) -> None:
        state = self._state
        if state.lease is not None:
            state.lease.forwarded(runs)
            return
        for run in runs:
            for plan in run.plans:
                state.kept.note(plan)

    def _note_meaning(self, plans: Iterable[Plan]) -> None:
        if any(changes_meaning(plan) for plan in plans):
            self._state.holds = True

    def _forward(self, message: bytes, reply: Reply) -> None:
        self._state.forward(message, Expectation(reply, self._state.segment))

    def _poison(self, poison: Poison, *, parse: bytes | None = None) -> None:
        """Let the upstream fail here. `parse`: the name, where it stands for a Parse."""
        state = self._state
        name = POISON_NAME if parse is None else parse
        expectation = Expectation(Reply.PARSE, state.segment, poison=poison, name=name)
        if not name:
            expectation.statement = state.statements.set(b"", None, state.segment, is_pending=True)
            expectation.is_gone_on_failure = True
            if state.lease is not None:
                state.lease.carried.unnamed = None
        state.forward(m.parse(name, POISON_TEXT), expectation)

    def _abandon(self, runs: Iterable[Run]) -> None:
        """They were recorded, and then an earlier failure made the upstream skip them."""
        for run in runs:
            self._state.recorder.conclude(run, "error")


def _decode(text: bytes) -> str | Refused:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return Refused(Reason.SYNTAX, 'invalid byte sequence for encoding "UTF8"', sqlstate="22021")


def _too_large() -> Refused:
    return Refused(Reason.STATEMENT_TOO_LARGE, "the message is larger than is allowed")


def _empty() -> Plan:
    return Plan(kind=Kind.EMPTY, text="")


def _several() -> Refused:
    return Refused(Reason.SYNTAX, "cannot insert multiple commands into a prepared statement")


def _moved() -> Refused:
    return Refused(
        Reason.NOT_UNDERSTOOD,
        "purpose or search_path are reset earlier in the same text",
        hint="Send RESET as a statement of its own.",
    )
