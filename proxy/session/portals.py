"""Prepared statements and portals as the session knows them. SQL cursors are portals too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.rewrite.plan import Plan
from proxy.session.settings import Context

if TYPE_CHECKING:
    from proxy.session.expectations import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A prepared statement, and all that is needed to plan it again.

    `text` is the tool's own text, `index` the statement's place in it, `context` what it was
    planned under. `types` are those that Parse declared; None for a statement of PREPARE, whose
    own text came with `outer_types` (None: in a Query).
    """

    plan: Plan
    text: str
    index: int
    types: tuple[int, ...] | None
    context: Context
    outer_types: tuple[int, ...] | None = None

    @property
    def planned_types(self) -> tuple[int, ...] | None:
        return self.outer_types if self.types is None else self.types

    @property
    def runs(self) -> Plan:
        """What it runs when it is executed: for PREPARE the inner statement."""
        return self.plan if self.types is not None else (self.plan.inner or self.plan)


@dataclass(slots=True, eq=False, kw_only=True)
class Portal:
    """`baseline`: the consent epoch read before its snapshot, at `born_at`; None: not known.

    `text` and `types` are those of its prepared statement.
    """

    plan: Plan
    baseline: int | None
    born_at: float
    text: str = ""
    types: tuple[int, ...] = ()
    is_cursor: bool = False  # DECLAREd
    is_hold: bool = False
    # Its Execute was there when it was bound: both were received as one.
    is_fresh: bool = False
    run: Run | None = None
