"""May a statement run now, in this session? Shared by simple and extended queries.

The planner has said what the statement is; here the session's own state has its say: names,
purpose, snapshots, the access log.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TypeVar

from proxy.errors import Reason, Refused
from proxy.rewrite.plan import Kind, Plan, policy_of
from proxy.session.effects import effect_of
from proxy.session.expectations import Expectation, Poison, Reply, Run
from proxy.session.lease import NOTHING_TEXT
from proxy.session.portals import Portal, Prepared
from proxy.session.services import Planner
from proxy.session.snapshot import consent_changed
from proxy.session.state import Need, NeedEpoch, NeedPlan, SessionState
from proxy.wire import messages as m

T = TypeVar("T")
Steps = Generator[Need, None, T]

# A policy that changes while a statement is planned makes it be planned again, so often.
_PLANNING_ATTEMPTS = 3


def native_error(sqlstate: str, text: str) -> Poison:
    """What PostgreSQL itself would say; not a refusal, so there is no record."""
    return Poison(m.refusal("ERROR", sqlstate, text), None)


def no_statement(name: bytes) -> Poison:
    shown = name.decode("utf-8", "replace")
    text = (
        f'prepared statement "{shown}" does not exist'
        if name
        else "unnamed prepared statement does not exist"
    )
    return native_error("26000", text)


def duplicate_statement(name: bytes) -> Poison:
    shown = name.decode("utf-8", "replace")
    return native_error("42P05", f'prepared statement "{shown}" already exists')


def no_portal(name: bytes, *, is_cursor: bool = False) -> Poison:
    what = "cursor" if is_cursor else "portal"
    return native_error("34000", f'{what} "{name.decode("utf-8", "replace")}" does not exist')


def _not_renewed() -> Refused:
    return Refused(
        Reason.NOT_UNDERSTOOD,
        "the prepared statement could not be planned again",
        hint="Prepare the statement again.",
    )


def _renamed_upstream() -> Refused:
    return Refused(
        Reason.NOT_UNDERSTOOD,
        "in transaction pooling, a statement prepared by a message can not be named in SQL",
        hint="Run it by messages, or prepare it with PREPARE.",
    )


def _no_query() -> Refused:
    """EXECUTE and FETCH would run a SET, a FETCH, an EXECUTE without anybody looking at it: its
    effects unknown, its snapshot unchecked, its rows unrecorded.
    """
    return Refused(
        Reason.STATEMENT_KIND,
        "EXECUTE and FETCH are for queries only",
        hint="Send the statement itself.",
    )


class Statement:
    """One statement to be admitted, and where it stands.

    `text` is the whole text it came in, `index` its place there, `types` what Parse declared.
    """

    __slots__ = ("count", "index", "plan", "text", "types")

    def __init__(
        self,
        plan: Plan,
        *,
        text: str,
        index: int = 0,
        count: int = 1,
        types: tuple[int, ...] | None = None,
    ) -> None:
        self.plan = plan
        self.text = text
        self.index = index
        self.count = count
        self.types = types


class LocalNames:
    """Names as the statements of one string will find them: what earlier ones of it make."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._prepared: dict[str, Prepared | None] = {}
        self._portals: dict[str, Portal | None] = {}
        self._no_prepared = self._no_portals = False

    def prepared(self, name: str) -> tuple[Prepared | None, bool]:
        """What EXECUTE finds, and whether it was made in this string."""
        if name in self._prepared or self._no_prepared:
            return self._prepared.get(name), True
        return self._state.statements.get(name.encode()), False

    def portal(self, name: str) -> Portal | None:
        if name in self._portals or self._no_portals:
            return self._portals.get(name)
        return self._state.portals.get(name.encode())

    def note(self, plan: Plan, prepared: Prepared | None, portal: Portal | None) -> None:
        match plan.kind:
            case Kind.PREPARE if plan.name is not None:
                self._prepared[plan.name] = prepared
            case Kind.DECLARE if plan.name is not None:
                self._portals[plan.name] = portal
            case Kind.DEALLOCATE if plan.name is not None:
                self._prepared[plan.name] = None
            case Kind.CLOSE if plan.name is not None:
                self._portals[plan.name] = None
            case Kind.DEALLOCATE:
                self._prepared, self._no_prepared = {}, True
            case Kind.CLOSE:
                self._portals, self._no_portals = {}, True
            case _:
                pass


class Admission:
    def __init__(self, state: SessionState, planner: Planner, purposes: Sequence[str]) -> None:
        self._state = state
        self._planner = planner
        self._purposes = purposes

    def plan(self, text: str, types: tuple[int, ...] | None) -> Steps[tuple[Plan | Refused, ...]]:
        """The plans of a text under the session's purpose and path."""
        answer: tuple[Plan | Refused, ...] = ()
        for _ in range(_PLANNING_ATTEMPTS):
            need = NeedPlan(text, self._state.plan_context(types))
            yield need
            answer = need.answer
            current = self._planner.revision
            if all(isinstance(plan, Refused) or plan.revision == current for plan in answer):
                return answer
        return (Refused(Reason.NOT_UNDERSTOOD, "the policy is being changed", hint="Try again."),)

    def epoch(self) -> Steps[int | Refused]:
        need = NeedEpoch()
        yield need
        return need.refused or need.answer

    def before_snapshot(
        self, plans: Sequence[Plan], *, is_asked: bool = False
    ) -> Steps[int | Refused | None]:
        """Read the epoch, if it matters to these plans or `is_asked`, and note it where a
        transaction's snapshot may be taken next.
        """
        state = self._state
        for plan in plans:
            if plan.is_snapshot_isolation:
                state.snapshot.ask(plan.setting, state.segment)
        is_possible = state.snapshot.is_possible
        has_reader = any(plan.tables or plan.kind in (Kind.FETCH, Kind.EXECUTE) for plan in plans)
        needs_cursor = any(plan.kind in (Kind.FETCH, Kind.DECLARE) for plan in plans)
        if not (
            is_asked
            or needs_cursor
            or (is_possible and (has_reader or state.snapshot.baseline is None))
        ):
            return None
        epoch = yield from self.epoch()
        if is_possible and state.snapshot.baseline is None and isinstance(epoch, int):
            state.snapshot.take(epoch, state.clock(), state.segment)
        return epoch

    def admit(
        self,
        statement: Statement,
        epoch: int | Refused | None,
        names: LocalNames,
        received_at: float,
    ) -> Steps[Run]:
        """The run of a statement: to be forwarded as planned, or as a poison."""
        state = self._state
        poison: Poison | None = None
        if state.lease is not None:
            poison = self._rename(statement, names)
        plan = statement.plan
        run = Run(plan, received_at=received_at)
        source: Plan | None = None
        refused = self._objection(statement, epoch)
        if refused is None and poison is None:
            found = yield from self._source(statement, names)
            match found:
                case Refused():
                    refused = found
                case Poison():
                    poison = found
                case _:
                    source = run.source = found
        if refused is None and poison is None:
            refused = (
                self._fetch_objection(plan, epoch, names)
                or self._purpose_objection(source or plan)
                or self._snapshot_objection(source or plan, epoch)
            )
        if refused is not None:
            poison = state.recorder.refuse(refused, state.purpose, plan, source)
        if poison is None:
            poison = state.recorder.intend(run, state.purpose, source)
        if poison is not None:
            run.poison = poison
            return run
        prepared, portal = self._makes(statement, epoch)
        names.note(plan, prepared, portal)
        run.effect = effect_of(state, plan, prepared=prepared, portal=portal)
        return run

    def _source(
        self, statement: Statement, names: LocalNames
    ) -> Steps[Plan | Refused | Poison | None]:
        """The query whose rows FETCH and EXECUTE give; None for other statements."""
        plan = statement.plan
        name = plan.name or ""
        if plan.kind is Kind.FETCH:
            portal = names.portal(name)
            if portal is None:
                return no_portal(name.encode(), is_cursor=True)
            if portal.plan.kind not in (Kind.DECLARE, Kind.SELECT):
                return _no_query()
            return portal.plan
        if plan.kind is Kind.EXECUTE:
            found = yield from self._executed(name, names, is_simple=statement.types is None)
            if not isinstance(found, Prepared):
                return found
            if found.runs.kind is not Kind.SELECT:
                return _no_query()
            is_renamed = self._state.lease is not None and found.types is not None
            return _renamed_upstream() if is_renamed else found.runs
        return None

    # --- names in SQL, where those of messages are exchanged (lease.py) ---

    def _rename(self, statement: Statement, names: LocalNames) -> Poison | None:
        """Let PREPARE and DEALLOCATE see the names that the upstream does not know."""
        plan = statement.plan
        if plan.name is None or plan.kind not in (Kind.PREPARE, Kind.DEALLOCATE):
            return None
        prepared, _ = names.prepared(plan.name)
        if plan.kind is Kind.PREPARE:
            is_known = prepared is None or prepared.types is None  # to the upstream, or to nobody
            return None if is_known else duplicate_statement(plan.name.encode())
        if prepared is None:
            return no_statement(plan.name.encode())
        if statement.types is None:
            statement.plan = self.renamed(plan, prepared)
        elif (prepared.types is None) == (plan.text == NOTHING_TEXT):
            # Its text has left with Parse, when the name was of another kind.
            return no_statement(plan.name.encode())
        return None

    def renamed(self, plan: Plan, prepared: Prepared | None) -> Plan:
        """DEALLOCATE of a statement that has another name upstream: there is nothing to do."""
        is_own = prepared is not None and prepared.types is None
        if plan.kind is not Kind.DEALLOCATE or plan.name is None or is_own:
            return plan
        return replace(plan, text=NOTHING_TEXT, tag=Kind.DEALLOCATE.value)

    def _objection(self, statement: Statement, epoch: int | Refused | None) -> Refused | None:
        plan, state = statement.plan, self._state
        if isinstance(epoch, Refused) and plan.kind not in (Kind.COMMIT, Kind.ROLLBACK):
            return epoch
        if plan.kind is Kind.SET and plan.setting == "consent.purpose":
            if plan.value is not None and plan.value not in self._purposes:
                return Refused(
                    Reason.PURPOSE_NOT_ALLOWED, "this purpose is not one of the tool's own"
                )
            if state.is_in_block or statement.count > 1:
                return Refused(
                    Reason.TRANSACTION_STATE,
                    "the purpose can not be changed inside a transaction block",
                    hint="Send SET consent.purpose as a statement of its own.",
                )
        return None

    def _fetch_objection(
        self, plan: Plan, epoch: int | Refused | None, names: LocalNames
    ) -> Refused | None:
        portal = names.portal(plan.name or "") if plan.kind is Kind.FETCH else None
        return None if portal is None else self.stale(portal, epoch)

    def _purpose_objection(self, plan: Plan) -> Refused | None:
        """A cursor or portal shows what its own purpose may see; the record would tell another."""
        if plan.purpose is None:
            return None
        if plan.purpose == self._state.purpose:
            return self._policy_objection(plan)
        return Refused(
            Reason.CONSENT_CHANGED,
            "could not continue: the purpose is not the one that this was opened for",
            hint="Run the statement again.",
        )

    def _policy_objection(self, plan: Plan) -> Refused | None:
        """Nor is one of an older policy read on. A newer catalog alone shows no more."""
        current = self._planner.revision
        if plan.revision == current or policy_of(plan.revision) == policy_of(current):
            return None
        return Refused(
            Reason.CONSENT_CHANGED,
            "could not continue: the policy is not the one that this was opened under",
            hint="Run the statement again.",
        )

    def _snapshot_objection(self, plan: Plan, epoch: int | Refused | None) -> Refused | None:
        snapshot = self._state.snapshot
        if not snapshot.is_possible or not plan.tables:
            return None
        if not isinstance(epoch, int) or snapshot.is_stale(epoch, self._state.clock()):
            return consent_changed()
        return None

    def stale(self, portal: Portal, epoch: int | Refused | None) -> Refused | None:
        """Whether consent has changed since the portal's snapshot, as far as can be known."""
        return self.stale_snapshot(portal, epoch) if portal.plan.tables else None

    def stale_snapshot(self, portal: Portal, epoch: int | Refused | None) -> Refused | None:
        """The same, for a portal that is known to hold what a statement read."""
        if isinstance(epoch, Refused):
            return epoch
        refused = self._policy_objection(portal.plan)
        if refused is not None:
            return refused
        if epoch is None or self._state.snapshot.is_cursor_stale(
            portal.baseline, portal.born_at, epoch, self._state.clock()
        ):
            return consent_changed()
        return None

    def _makes(
        self, statement: Statement, epoch: int | Refused | None
    ) -> tuple[Prepared | None, Portal | None]:
        plan, state = statement.plan, self._state
        if plan.kind is Kind.PREPARE and plan.inner is not None:
            prepared = Prepared(
                plan=plan,
                text=statement.text,
                index=statement.index,
                types=None,
                outer_types=statement.types,
                context=state.context,
            )
            return prepared, None
        if plan.kind is Kind.DECLARE:
            portal = Portal(
                plan=plan,
                baseline=epoch if isinstance(epoch, int) else None,
                born_at=state.clock(),
                is_cursor=True,
                is_hold=plan.is_hold,
            )
            return None, portal
        return None, None

    # --- prepared statements under a policy, purpose or path that has changed ---

    def _executed(
        self, name: str, names: LocalNames, *, is_simple: bool
    ) -> Steps[Prepared | Refused | Poison]:
        """What EXECUTE runs, planned under what is in force now."""
        prepared, is_local = names.prepared(name)
        if prepared is None:
            return no_statement(name.encode())
        if is_local or self.is_current(prepared):
            return prepared
        return (yield from self.renew(name.encode(), prepared, is_simple=is_simple))

    def is_current(self, prepared: Prepared) -> bool:
        return (
            prepared.plan.revision == self._planner.revision
            and prepared.context == self._state.context
        )

    def renew(
        self, name: bytes, prepared: Prepared, *, is_simple: bool
    ) -> Steps[Prepared | Refused]:
        """Plan a prepared statement again and exchange it upstream, if it still looks the same."""
        state = self._state
        answer = yield from self.plan(prepared.text, prepared.planned_types)
        if state.skips():
            return prepared
        entry = answer[min(prepared.index, len(answer) - 1)]
        if isinstance(entry, Refused):
            return entry
        if state.lease is not None:
            entry = self.renamed(entry, state.statements.get((entry.name or "").encode()))
        renewed = prepared.renewed(entry, state.context)
        old, new = prepared.runs, renewed.runs
        if (new.surface, new.kind, new.parameters) != (old.surface, old.kind, old.parameters):
            return Refused(
                Reason.NOT_UNDERSTOOD,
                "cached plan must not change result type",
                hint="Prepare the statement again.",
            )
        if state.lease is not None and prepared.types is not None:
            # The lease prepares it where it is missing.
            state.statements.exchange(name, renewed)
            return renewed
        if new.text == old.text:
            # It stays what it is upstream, and where: perhaps under a name of ours.
            renewed = prepared.renewed(entry, state.context, prepared.upstream_name)
            state.statements.exchange(name, renewed)
            return renewed
        return (yield from self._renew_upstream(name, prepared, renewed, is_simple=is_simple))

    def _renew_upstream(
        self, name: bytes, prepared: Prepared, renewed: Prepared, *, is_simple: bool
    ) -> Steps[Prepared | Refused]:
        state = self._state
        yield from state.settle()
        if state.skips() or state.status == m.FAILED:
            # It can not run in this block. To exchange it would close it, and prepare nothing.
            return prepared
        # Its analysis may take the transaction's snapshot.
        epoch = yield from self.before_snapshot(())
        if isinstance(epoch, Refused):
            return epoch
        types = prepared.types
        if types is None:
            types = yield from self._types_of(name, is_simple=is_simple)
        if state.skips():
            return prepared  # it is not used: whoever asked is skipped as well
        if types is None:
            return _not_renewed()
        self._exchange(name, renewed, types, is_simple=is_simple)
        if is_simple:
            yield from state.settle()
            if state.statements.get(name) is not renewed:
                return _not_renewed()
        return renewed

    def _exchange(
        self, name: bytes, renewed: Prepared, types: tuple[int, ...], *, is_simple: bool
    ) -> None:
        state = self._state
        needs_sync = is_simple and not state.is_segment_open
        entry = state.statements.set(name, renewed, state.segment, is_pending=True)
        state.forward(
            m.close(b"S", name), Expectation(Reply.CLOSE, state.segment, is_swallowed=True)
        )
        state.forward(
            m.parse(name, renewed.runs.text.encode(), types),
            Expectation(
                Reply.PARSE,
                state.segment,
                is_swallowed=True,
                is_silent=needs_sync,
                name=name,
                statement=entry,
                is_gone_on_failure=True,
            ),
        )
        if needs_sync:
            state.forward(m.SYNC_MESSAGE, Expectation(Reply.SYNC, state.segment, is_swallowed=True))

    def _types_of(self, name: bytes, *, is_simple: bool) -> Steps[tuple[int, ...] | None]:
        """The parameter types of a statement of PREPARE, which only the upstream knows.

        None: it began to skip messages, or the statement is gone.
        """
        state = self._state
        if state.skips():
            return None
        found: list[tuple[int, ...]] = []
        needs_sync = is_simple and not state.is_segment_open
        state.forward(
            m.describe(b"S", name),
            Expectation(
                Reply.DESCRIBE_STATEMENT,
                state.segment,
                is_swallowed=True,
                is_silent=needs_sync,
                on_types=found.append,
            ),
        )
        if needs_sync:
            state.forward(m.SYNC_MESSAGE, Expectation(Reply.SYNC, state.segment, is_swallowed=True))
        yield from state.settle()
        return found[0] if found else None
