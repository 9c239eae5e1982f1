"""A file of statements, planned one by one: the share that is answered, refused and masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from proxy.cli.output import print_json, print_table
from proxy.enforce import Enforcer
from proxy.errors import Refused
from proxy.planner import make_plans
from proxy.rewrite.plan import PlanContext
from proxy.sql.grammar import scan


@dataclass(slots=True)
class Shares:
    """How many statements, and what became of them. `masked` ones show a mask somewhere."""

    statements: int = 0
    answered: int = 0
    masked: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    columns: Counter[str] = field(default_factory=Counter)  # that show a mask in some row
    examples: dict[str, str] = field(default_factory=dict)  # the first message of each reason

    @property
    def refused(self) -> int:
        return self.reasons.total()


def shares_of(enforcer: Enforcer, context: PlanContext, text: str) -> Shares:
    """Plan every statement of the text by itself: one that is refused stops no other."""
    shares = Shares()
    for statement in _statements(text):
        shares.statements += 1
        plans = make_plans(enforcer, statement, context)
        refused = next((plan for plan in plans if isinstance(plan, Refused)), None)
        if refused is not None:
            shares.reasons[refused.reason.value] += 1
            shares.examples.setdefault(refused.reason.value, refused.message)
            continue
        shares.answered += 1
        masked = {
            f"{table.name}.{column.name}"
            for plan in plans
            if not isinstance(plan, Refused)
            for table in (plan.inner or plan).tables
            for column in table.columns
            if column.verdict in ("masked", "guarded")
        }
        shares.masked += bool(masked)
        shares.columns.update(masked)
    return shares


def _statements(text: str) -> Iterator[str]:
    """The statements between semicolons of PostgreSQL's own scanner.

    A text that it can not read (a quote that is never closed) is told line by line instead.
    """
    try:
        tokens = [token for token in scan(text) if not token.name.endswith("_COMMENT")]
    except Refused:
        yield from (line.rstrip(";") for line in text.splitlines() if line.strip())
        return
    start: int | None = None
    for token in tokens:
        if token.name == "ASCII_59":
            if start is not None:
                yield text[start : token.start].rstrip()
            start = None
        elif start is None:
            start = token.start
    if start is not None:
        yield text[start:].rstrip()


def print_shares(shares: Shares, *, json: bool) -> None:
    if json:
        print_json(
            {
                "statements": shares.statements,
                "answered": shares.answered,
                "masked": shares.masked,
                "refused": dict(shares.reasons.most_common()),
                "masked_columns": dict(shares.columns.most_common()),
            }
        )
        return
    print(f"{shares.statements} statements")
    rows = [
        ("answered", _share(shares.answered, shares.statements), ""),
        ("  with masks", _share(shares.masked, shares.statements), ""),
        ("refused", _share(shares.refused, shares.statements), ""),
    ]
    for reason, count in shares.reasons.most_common():
        rows.append((f"  {reason}", _share(count, shares.statements), shares.examples[reason]))
    print_table(("", "statements", "for example"), rows)


def _share(count: int, whole: int) -> str:
    return f"{count} ({count / whole:.1%})" if whole else "0"
