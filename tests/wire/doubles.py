"""Doubles of what the door is given: a planner that reads little, a log that waits for us."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from proxy.access_log.segments import LogSealed
from proxy.errors import Reason, Refused
from proxy.passwords import ScramVerifier, make_verifier
from proxy.rewrite.plan import ColumnUse, Kind, Plan, PlanContext, TableUse
from proxy.session.services import ToolLogin

PASSWORD = "a password"

_KINDS = (
    (r"begin|start transaction", Kind.BEGIN),
    (r"commit|end", Kind.COMMIT),
    (r"rollback to", Kind.ROLLBACK_TO),
    (r"rollback|abort", Kind.ROLLBACK),
    (r"savepoint|release", Kind.SAVEPOINT),
    (r"set|reset", Kind.SET),
    (r"show", Kind.SHOW),
    (r"discard", Kind.DISCARD),
    (r"declare", Kind.DECLARE),
    (r"fetch|move", Kind.FETCH),
    (r"close", Kind.CLOSE),
    (r"prepare", Kind.PREPARE),
    (r"execute", Kind.EXECUTE),
    (r"deallocate", Kind.DEALLOCATE),
    (r"copy", Kind.COPY),
)
_TABLE = re.compile(r"\b(?:from|copy)\s+(?!in\b)([a-z_.]+)", re.IGNORECASE)


def _name(text: str, kind: Kind) -> str | None:
    word = text.replace(chr(34), "").rstrip(";").split()
    match kind:
        case Kind.DECLARE | Kind.PREPARE | Kind.EXECUTE:
            return re.split(r"[\s(]", word[1])[0]
        case Kind.FETCH | Kind.SAVEPOINT | Kind.ROLLBACK_TO:
            return word[-1]
        case Kind.CLOSE | Kind.DEALLOCATE:
            return None if word[-1].lower() == "all" else word[-1]
        case _:
            return None


@dataclass
class FakePlanner:
    """Lets everything through as it is, but `forbidden`; splits at every semicolon.

    `rewrite` changes texts; `is_slow` makes `plan_now` give up.
    """

    revision: str = "r1"
    rewrite: Callable[[str, PlanContext], str] = lambda text, _: text
    surface: str = "s1"
    is_slow: bool = False
    asked: list[tuple[str, PlanContext]] = field(default_factory=list)

    def plan_now(self, text: str, context: PlanContext) -> tuple[Plan | Refused, ...] | None:
        return None if self.is_slow else self._plan(text, context)

    async def plan(self, text: str, context: PlanContext) -> tuple[Plan | Refused, ...]:
        await asyncio.sleep(0)
        return self._plan(text, context)

    def template(self, text: str, context: PlanContext) -> None:
        return None

    def _plan(self, text: str, context: PlanContext) -> tuple[Plan | Refused, ...]:
        self.asked.append((text, context))
        split = [text] if text.startswith("DO ") else text.split(";")
        pieces = [piece.strip() for piece in split if piece.strip()]
        if not pieces:
            return (Plan(kind=Kind.EMPTY, text="", revision=self.revision),)
        plans: list[Plan | Refused] = []
        for piece in pieces:
            if "forbidden" in piece:
                hint = "Ask for less."
                plans.append(Refused(Reason.TABLE_NOT_IN_POLICY, "not in the policy", hint=hint))
                break
            plans.append(self._one(piece, context))
        return tuple(plans)

    def _one(self, text: str, context: PlanContext) -> Plan:
        lower = text.lower()
        kind = next(
            (kind for words, kind in _KINDS if re.match(rf"({words})\b", lower)), Kind.SELECT
        )
        tables = tuple(
            TableUse(
                name=f"public.{name}",
                columns=(ColumnUse(name="a", category=None, verdict="shown"),),
            )
            for name in dict.fromkeys(_TABLE.findall(text))
            if kind in (Kind.SELECT, Kind.COPY, Kind.DECLARE)
        )
        plan = Plan(
            kind=kind,
            text=self.rewrite(text, context),
            tables=tables,
            statement="?",
            shape="aa",
            name=_name(text, kind),
            is_hold="with hold" in lower,
            revision=self.revision,
            surface=self.surface,
        )
        if kind is Kind.SET:
            return _set(plan, lower)
        if kind is Kind.BEGIN:
            asks = True if re.search("repeatable read|serializable", lower) else None
            return replace(plan, is_snapshot_isolation=asks)
        if kind is Kind.PREPARE:
            inner = self._one(
                re.split(r"\bas\b", text, maxsplit=1, flags=re.IGNORECASE)[1], context
            )
            return replace(plan, inner=replace(inner, text=inner.text.strip()))
        if kind is Kind.DISCARD:
            return replace(plan, setting="all")
        return plan


def _set(plan: Plan, lower: str) -> Plan:
    if lower.startswith("reset"):
        return replace(plan, setting=lower.split()[1], value=None)
    match = re.fullmatch(r"set (local )?([a-z_.]+)\s*(?:=|to)\s*(.*)", lower)
    if match is None:
        asks = True if re.search("repeatable read|serializable", lower) else None
        name = "default_transaction_isolation" if "session" in lower else "transaction"
        return replace(plan, setting=name, is_snapshot_isolation=asks)
    value = match[3].strip().strip("'\"")
    is_isolation = match[2].endswith("_isolation")
    return replace(
        plan,
        setting=match[2],
        value=None if value == "default" else value,
        is_local=bool(match[1]),
        is_snapshot_isolation="read committed" not in value if is_isolation else None,
    )


class FakeTicket:
    """A record that is durable when the test says so."""

    def __init__(self) -> None:
        self.is_durable = False
        self.failed = False
        self._callbacks: list[Callable[[FakeTicket], object]] = []

    def add_done_callback(self, callback: Callable[[FakeTicket], object]) -> None:
        self._callbacks.append(callback)

    def complete(self, *, failed: bool = False) -> None:
        self.is_durable, self.failed = not failed, failed
        for callback in self._callbacks:
            callback(self)


class FakeLog:
    """Keeps records. While `is_held`, intents wait for `release`; sealed, it takes none."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, object]]] = []
        self.waiting: list[FakeTicket] = []
        self.is_held = False
        self.is_sealed = False
        self._changed = asyncio.Event()

    def append(self, kind: str, fields: Mapping[str, object]) -> FakeTicket:
        if self.is_sealed:
            raise LogSealed("write_failed")
        self.records.append((kind, dict(fields)))
        self._changed.set()
        ticket = FakeTicket()
        if self.is_held and kind in ("access.intent", "access.refused"):
            self.waiting.append(ticket)
        else:
            ticket.complete()
        return ticket

    def of(self, kind: str) -> list[dict[str, object]]:
        return [fields for found, fields in self.records if found == kind]

    async def until(self, kind: str, count: int) -> list[dict[str, object]]:
        async with asyncio.timeout(10):
            while len(self.of(kind)) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.of(kind)

    def release(self, *, failed: bool = False) -> None:
        waiting, self.waiting = self.waiting, []
        for ticket in waiting:
            ticket.complete(failed=failed)


@dataclass
class FakeEpoch:
    number: int = 1
    reads: int = 0
    refused: Refused | None = None

    async def read(self) -> int:
        self.reads += 1
        await asyncio.sleep(0)
        if self.refused is not None:
            raise self.refused
        return self.number


class FakeCredentials:
    """mailer is a tool; reviewer may only review; off is disabled. One password for all."""

    def __init__(self) -> None:
        self._verifier = make_verifier(PASSWORD)
        self.disabled = {"off"}

    def scram_verifier(self, user: str) -> ScramVerifier | None:
        return self._verifier if user in ("mailer", "reviewer", "many") else None

    def tool_of(self, user: str) -> ToolLogin | None:
        if user not in ("mailer", "reviewer", "many", "off"):
            return None
        return ToolLogin(
            name=user,
            credential=user,
            role="review" if user == "reviewer" else "tool",
            is_disabled=user in self.disabled,
            purposes=("newsletter", "service"),
            default=None if user == "many" else "newsletter",
            search_path=("public",),
        )


@dataclass
class FakeLimits:
    connections: int = 50
    statement_bytes: int = 64 * 1024
    snapshot_s: float = 60.0
    idle_s: float = 600.0
    drain_s: float = 5.0
