"""The purpose and the search path of a session, through transactions and savepoints.

PostgreSQL takes back what a failed transaction has SET, ends SET LOCAL with the transaction, and
restores at ROLLBACK TO; what statements are planned under must follow (manual, "SET").
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What plans depend on and a tool can change."""

    purpose: str | None
    search_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _State:
    session: Context
    current: Context


@dataclass(slots=True)
class SessionSettings:
    """`initial` is what RESET comes back to."""

    initial: Context
    _state: _State = field(init=False)
    _before: _State = field(init=False)
    _savepoints: list[tuple[str, _State]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._state = self._before = _State(self.initial, self.initial)

    @property
    def current(self) -> Context:
        return self._state.current

    @property
    def is_dirty(self) -> bool:
        """Whether the transaction's end may still change what is current."""
        return self._state is not self._before

    def after(self, setting: str, value: str | None) -> Context:
        """What would be current after SET, or after RESET (value None)."""
        current, initial = self._state.current, self.initial
        if setting == "all":
            return initial if value is None else current
        if setting == "consent.purpose":
            return replace(current, purpose=initial.purpose if value is None else value)
        if setting == "search_path":
            path = initial.search_path if value is None else tuple(value.split(","))
            return replace(current, search_path=path)
        return current

    def set(self, setting: str, value: str | None, *, is_local: bool = False) -> None:
        current = self.after(setting, value)
        self._state = _State(self._state.session if is_local else current, current)

    def savepoint(self, name: str) -> None:
        self._savepoints.append((name, self._state))

    def rollback_to(self, name: str) -> None:
        for index in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[index][0] == name:
                self._state = self._savepoints[index][1]
                del self._savepoints[index + 1 :]
                return

    def release(self, name: str) -> None:
        for index in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[index][0] == name:
                del self._savepoints[index:]
                return

    def commit(self) -> None:
        self._savepoints.clear()
        session = self._state.session
        if self._state is not self._before:
            self._state = self._before = _State(session, session)

    def rollback(self) -> None:
        self._state = self._before
        self._savepoints.clear()

    def discard(self) -> None:
        self._state = self._before = _State(self.initial, self.initial)
        self._savepoints.clear()
