"""Is the snapshot that a statement would use still allowed to be shown? (G3)

A snapshot is as old as the consent epoch that was read before it was taken. If the epoch has moved
since, somebody has taken something back, and the snapshot might still show it. Where it is not
certain that there is no older snapshot, one is assumed: prefer false alarms to misses.
"""

from __future__ import annotations

from typing import Final

from proxy.errors import Reason, Refused

KEEPING_ISOLATION: Final = frozenset({"repeatable read", "serializable"})


def consent_changed() -> Refused:
    return Refused(
        Reason.CONSENT_CHANGED,
        "could not continue: consent has changed, or the snapshot is too old",
        hint="Run the statement, or the transaction, again.",
    )


class TransactionSnapshot:
    """The snapshot of a REPEATABLE READ or SERIALIZABLE transaction, where there may be one."""

    def __init__(self, seconds: float, *, is_default: bool = False) -> None:
        self._seconds = seconds
        self._began_default = is_default
        self._is_default = is_default  # the session's default isolation may be such a one
        self._is_asked = False  # this transaction may be such a one
        self._segment = 0  # where that was asked for last
        self.baseline: int | None = None
        self._born_at = 0.0

    @property
    def is_possible(self) -> bool:
        return self._is_default or self._is_asked

    def ask(self, setting: str | None, segment: int) -> None:
        """A statement asks for such an isolation: for the session, or for the transaction."""
        if setting == "default_transaction_isolation":
            # For good: that it is set back may be rolled back.
            self._is_default = True
        self._is_asked = True
        self._segment = segment

    def take(self, epoch: int, now: float, segment: int) -> None:
        """The epoch, read before the first message that might take the snapshot."""
        self.baseline = epoch
        self._born_at = now
        self._segment = segment

    def end(self, segment: int) -> None:
        """No transaction is open after a segment's end."""
        if self._segment <= segment:
            self._is_asked = False
            self.baseline = None

    def discard(self) -> None:
        """DISCARD ALL: the session's default is what it began with."""
        self._is_default = self._began_default

    def is_stale(self, epoch: int, now: float) -> bool:
        return is_stale(self.baseline, self._born_at, epoch, now, self._seconds)

    def is_cursor_stale(self, baseline: int | None, born_at: float, epoch: int, now: float) -> bool:
        return is_stale(baseline, born_at, epoch, now, self._seconds)


def is_stale(baseline: int | None, born_at: float, epoch: int, now: float, seconds: float) -> bool:
    return baseline != epoch or now - born_at > seconds
