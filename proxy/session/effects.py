"""What a completed statement changes in the session, and what must wait for it meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.rewrite.plan import Kind, Plan
from proxy.session.portals import Portal, Prepared
from proxy.session.state import SessionState

# Settings on which the meaning of later statements hangs.
MEANING_SETTINGS: Final = frozenset({"consent.purpose", "search_path", "all"})
_CHANGES_NAMES: Final = frozenset(
    {Kind.PREPARE, Kind.DEALLOCATE, Kind.DECLARE, Kind.CLOSE, Kind.DISCARD}
)


def changes_meaning(plan: Plan) -> bool:
    """Whether later messages are understood only once this statement has completed."""
    return plan.kind in _CHANGES_NAMES or (
        plan.kind is Kind.SET and plan.setting in MEANING_SETTINGS
    )


def reset_setting(plan: Plan) -> str | None:
    """The setting (or `all`) whose upstream default is not the session's, where one is reset."""
    if plan.kind is Kind.DISCARD:
        return "all"
    return plan.setting if plan.kind is Kind.SET and plan.value is None else None


def effect_of(
    state: SessionState, plan: Plan, *, prepared: Prepared | None, portal: Portal | None
) -> Callable[[str], None] | None:
    """What to do with the command tag once `plan` has completed.

    `prepared` is what a PREPARE makes, `portal` what a DECLARE makes.
    """
    name = (plan.name or "").encode()
    match plan.kind:
        case Kind.SET if plan.setting in MEANING_SETTINGS:
            return lambda _: _set(state, plan)
        case Kind.BEGIN:
            return lambda _: _begin(state)
        case Kind.COMMIT | Kind.ROLLBACK:
            return lambda tag: _end(state, is_commit=tag == "COMMIT")
        case Kind.SAVEPOINT:
            return lambda tag: _savepoint(state, plan.name or "", is_new=tag == "SAVEPOINT")
        case Kind.ROLLBACK_TO:
            return lambda _: state.settings.rollback_to(plan.name or "")
        case Kind.PREPARE if prepared is not None:
            return lambda _: _enter_statement(state, name, prepared)
        case Kind.DEALLOCATE:
            return lambda _: _forget_statement(state, None if plan.name is None else name)
        case Kind.DECLARE if portal is not None:
            return lambda _: _enter_cursor(state, name, portal)
        case Kind.CLOSE:
            return lambda _: _forget_portal(state, None if plan.name is None else name)
        case Kind.DISCARD:
            return lambda _: _discard(state)
        case _:
            return None


def _set(state: SessionState, plan: Plan) -> None:
    state.settings.set(plan.setting or "", plan.value, is_local=plan.is_local)


def _begin(state: SessionState) -> None:
    state.is_in_block = True


def _end(state: SessionState, *, is_commit: bool) -> None:
    state.is_in_block = False
    state.has_failed = False
    if is_commit:
        state.settings.commit()
    else:
        state.settings.rollback()


def _savepoint(state: SessionState, name: str, *, is_new: bool) -> None:
    if is_new:
        state.settings.savepoint(name)
    else:
        state.settings.release(name)


def _enter_statement(state: SessionState, name: bytes, prepared: Prepared) -> None:
    state.statements.set(name, prepared, state.segment, is_pending=False)


def _forget_statement(state: SessionState, name: bytes | None) -> None:
    if name is None:
        state.statements.clear()
        state.kept.lose_all()
    else:
        state.statements.remove(name)


def _enter_cursor(state: SessionState, name: bytes, portal: Portal) -> None:
    state.portals.set(name, portal, state.segment, is_pending=False)


def _forget_portal(state: SessionState, name: bytes | None) -> None:
    gone = state.portals.values() if name is None else [state.portals.get(name)]
    for portal in gone:
        state.conclude_portal(portal)
    if name is None:
        state.portals.clear()
    else:
        state.portals.remove(name)


def _discard(state: SessionState) -> None:
    _forget_portal(state, None)
    state.statements.clear()
    state.kept.lose_all()
    state.settings.discard()
    state.snapshot.discard()
