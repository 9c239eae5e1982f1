"""Prepared statements and portals as the session knows them. SQL cursors are portals too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.rewrite.plan import Kind, Plan
from proxy.session.settings import Context
from proxy.upstream.carried import Settings, StatementKey

if TYPE_CHECKING:
    from proxy.session.expectations import Run


def is_plain(plan: Plan, context: Context) -> bool:
    """A statement that only reads: running it changes nothing that the session knows."""
    return (
        plan.kind is Kind.SELECT
        and plan.tag is None
        and plan.inner is None
        and plan.setting is None
        and not plan.is_snapshot_isolation
        and (plan.purpose is None or plan.purpose == context.purpose)
    )


# To search a longer text would hold all others up.
_SEARCHED_MAX: Final = 64 * 1024


def may_set(plan: Plan) -> bool:
    """Whether a statement may change settings beyond its transaction."""
    if plan.kind is Kind.SET:
        return not plan.is_local and plan.setting != "transaction"
    if plan.kind is Kind.DISCARD or plan.runs_code or len(plan.text) > _SEARCHED_MAX:
        return True
    # A text that is sent as it was written (enforce.py) may have it in any case, or escaped.
    text = plan.text.lower()
    return "set_config" in text or 'u&"' in text


class Prepared:
    """A prepared statement, and all that is needed to plan it again. It is not changed.

    `text` is the tool's own text, `index` the statement's place in it, `context` what it was
    planned under. `types` are those that Parse declared; None for a statement of PREPARE, whose
    own text came with `outer_types` (None: in a Query). `upstream_name`, where it is not empty, is
    its name upstream in place of the client's (kept.py).
    """

    __slots__ = (
        "_key",
        "context",
        "index",
        "is_plain",
        "may_set",
        "outer_types",
        "plan",
        "text",
        "types",
        "upstream_name",
    )

    def __init__(
        self,
        *,
        plan: Plan,
        text: str,
        index: int,
        types: tuple[int, ...] | None,
        context: Context,
        outer_types: tuple[int, ...] | None = None,
        upstream_name: bytes = b"",
    ) -> None:
        self.plan: Final = plan
        self.text: Final = text
        self.index: Final = index
        self.types: Final = types
        self.context: Final = context
        self.outer_types: Final = outer_types
        self.upstream_name: Final = upstream_name
        self.is_plain: Final = types is not None and is_plain(plan, context)
        self.may_set: Final = may_set(self.runs)
        self._key: StatementKey | None = None  # the last that was asked for

    @property
    def planned_types(self) -> tuple[int, ...] | None:
        return self.outer_types if self.types is None else self.types

    @property
    def runs(self) -> Plan:
        """What it runs when it is executed: for PREPARE the inner statement."""
        return self.plan if self.types is not None else (self.plan.inner or self.plan)

    def key_under(self, settings: Settings) -> StatementKey:
        """By what it is found where it was prepared under these settings."""
        key = self._key
        if key is None or key.settings != settings:
            key = self._key = StatementKey(
                self.runs.text, self.types or (), settings, self.plan.revision
            )
        return key

    def named(self, upstream_name: bytes) -> Prepared:
        """The same, under a name of ours upstream."""
        return self.renewed(self.plan, self.context, upstream_name)

    def renewed(self, plan: Plan, context: Context, upstream_name: bytes = b"") -> Prepared:
        return Prepared(
            plan=plan,
            text=self.text,
            index=self.index,
            types=self.types,
            context=context,
            outer_types=self.outer_types,
            upstream_name=upstream_name,
        )


class Portal:
    """`baseline`: the consent epoch read before its snapshot, at `born_at`; None: not known.

    `text` and `types` are those of its prepared statement. `is_cursor`: it was DECLAREd.
    `is_fresh`: its Execute was there when it was bound, so that both were received as one.
    """

    __slots__ = (
        "baseline",
        "born_at",
        "is_cursor",
        "is_fresh",
        "is_hold",
        "plan",
        "run",
        "text",
        "types",
    )

    def __init__(
        self,
        *,
        plan: Plan,
        baseline: int | None,
        born_at: float,
        text: str = "",
        types: tuple[int, ...] = (),
        is_cursor: bool = False,
        is_hold: bool = False,
        is_fresh: bool = False,
    ) -> None:
        self.plan: Final = plan
        self.baseline = baseline
        self.born_at = born_at
        self.text: Final = text
        self.types: Final = types
        self.is_cursor: Final = is_cursor
        self.is_hold: Final = is_hold
        self.is_fresh = is_fresh
        self.run: Run | None = None
