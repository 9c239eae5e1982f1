"""`consent-proxy policy diff`: what another policy changes for whom, and for how many people.

Both policies become matrices; what differs between them is told. How many people gain or lose
visibility in a column is counted in the ledger, by what is in force now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.cli.opening import catalog_of, connected, policy_of, run
from proxy.cli.output import print_json, print_table, waiting
from proxy.cli.policy_rules import RuleChange, rule_changes
from proxy.config import Config
from proxy.consent.names import subject_column
from proxy.consent.sql_text import quoted
from proxy.consent.store import read_columns
from proxy.policy.categories import longest_read
from proxy.policy.matrix import MatrixRow, matrix
from proxy.policy.model import Basis, Policy

if TYPE_CHECKING:
    import asyncpg

    from proxy.consent.states import PurposeColumn

_Key = tuple[str, str, str, str]
# Aggregates per query: PostgreSQL takes 1,664 output columns at most.
_PAIRS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one tool sees in one column for one purpose: before, after, and who is concerned.

    `gain` and `lose` count data subjects whose value (perhaps through a mask of its own) becomes
    visible or ceases to be; None where that can not be known.
    """

    tool: str
    purpose: str
    column: str
    before: str
    after: str
    gain: int | None = None
    lose: int | None = None


@dataclass(frozen=True, slots=True)
class _Pair:
    change: Change
    old: MatrixRow | None
    new: MatrixRow | None


def show_difference(old: Path, new: Path, settings: Config | None, *, json: bool) -> None:
    """Print what changes from one policy folder to the other."""
    before, after = policy_of(old), policy_of(new)
    rules = list(rule_changes(before, after))
    if settings is None:
        changes = [pair.change for pair in _pairs(matrix(before), matrix(after))]
    else:
        with waiting("counting people"):
            changes = run(_counted(before, after, settings))
    if json:
        print_json(
            {
                "old": before.revision,
                "new": after.revision,
                "columns": [asdict(change) for change in changes],
                "rules": [asdict(rule) for rule in rules],
            }
        )
        return
    _print(changes, rules, is_counted=settings is not None)


def _pairs(old: Iterator[MatrixRow], new: Iterator[MatrixRow]) -> Iterator[_Pair]:
    """Every cell that differs, in the order of the new policy; what is gone comes last."""
    before = {_key(row): row for row in old}
    after = {_key(row): row for row in new}
    for key in dict.fromkeys((*after, *before)):
        was, becomes = before.get(key), after.get(key)
        if _words(was) != _words(becomes):
            tool, purpose, table, column = key
            change = Change(
                tool=tool,
                purpose=purpose,
                column=f"{table}.{column}",
                before=_words(was),
                after=_words(becomes),
            )
            yield _Pair(change, was, becomes)


def _key(row: MatrixRow) -> _Key:
    return (row.tool, row.purpose, row.table, row.column)


def _words(row: MatrixRow | None) -> str:
    if row is None or row.sees == "absent":
        return "absent"
    sees = f"mask {row.mask}" if row.sees == "mask" else "value"
    if row.needs_own_grant:
        sees += " with its own grant"
    return f"{sees}, else {row.otherwise}" if row.otherwise else sees


# --- counting people -------------------------------------------------------------------------


async def _counted(old: Policy, new: Policy, settings: Config) -> list[Change]:
    old_catalog = await catalog_of(settings, old)
    new_catalog = await catalog_of(settings, new)
    pairs = list(_pairs(matrix(old, old_catalog), matrix(new, new_catalog)))
    async with connected(settings.upstream) as connection:
        columns = {
            (column.purpose, column.category): column for column in await read_columns(connection)
        }
        conditions = [
            (_condition(pair.old, old, columns), _condition(pair.new, new, columns))
            for pair in pairs
        ]
        is_same_key = old.subject_key == new.subject_key
        counts = await _count(connection, new, conditions) if is_same_key else {}
    changes = []
    for pair, condition in zip(pairs, conditions, strict=True):
        gain, lose = counts.get(condition, (None, None))
        changes.append(replace(pair.change, gain=gain, lose=lose))
    return changes


def _condition(
    row: MatrixRow | None,
    policy: Policy,
    columns: Mapping[tuple[str, str | None], PurposeColumn],
) -> str | None:
    """SQL over a person's row `s` of the ledger: is the value visible? None: nobody knows yet."""
    if row is None or row.sees == "absent":
        return "false"
    if (
        row.sees == "mask"
        and longest_read(policy.purposes[row.purpose].reads, row.category) is None
    ):
        return "false"  # the purpose does not read it: a mask for everybody who is there
    if not row.otherwise:
        return "true"
    in_force = _in_force(row.purpose, None, policy, columns)
    if not row.needs_own_grant or in_force is None:
        return in_force
    own = _in_force(row.purpose, row.category, policy, columns)
    return None if own is None else f"{in_force} AND {own}"


def _in_force(
    purpose: str,
    category: str | None,
    policy: Policy,
    columns: Mapping[tuple[str, str | None], PurposeColumn],
) -> str | None:
    basis = policy.purposes[purpose].basis
    known = columns.get((purpose, category))
    if known is None:
        # Nobody agreed to what did not exist; who is restricted, `init` will find out.
        return "false" if basis is Basis.CONSENT or category is not None else None
    if known.basis is not basis:
        return None  # `init` computes everybody anew
    default = "infinity" if known.is_default_yes else "-infinity"
    column = f"s.{quoted(subject_column(purpose, category))}"
    return f"coalesce({column}, '{default}'::timestamptz) > statement_timestamp()"


async def _count(
    connection: asyncpg.Connection,
    policy: Policy,
    conditions: Sequence[tuple[str | None, str | None]],
) -> dict[tuple[str | None, str | None], tuple[int, int]]:
    """How many people gain and lose by each pair of conditions, over all rows of the key table."""
    key = policy.subject_key
    known = [pair for pair in dict.fromkeys(conditions) if None not in pair]
    counts: dict[tuple[str | None, str | None], tuple[int, int]] = {}
    if key is None:
        return counts
    people = f"{quoted(key.relation.schema)}.{quoted(key.relation.name)}"
    for start in range(0, len(known), _PAIRS):
        pairs = known[start : start + _PAIRS]
        listed = ", ".join(
            f"count(*) FILTER (WHERE ({new}) AND NOT ({old})),"
            f" count(*) FILTER (WHERE ({old}) AND NOT ({new}))"
            for old, new in pairs
        )
        row = await connection.fetchrow(
            f"SELECT {listed} FROM {people} AS k"
            f" LEFT JOIN consent.subject AS s ON s.subject_id = k.{quoted(key.column)}"
        )
        values = list(row or ())
        counts.update(zip(pairs, zip(values[::2], values[1::2], strict=True), strict=True))
    return counts


# --- printing --------------------------------------------------------------------------------


def _print(changes: Sequence[Change], rules: Sequence[RuleChange], *, is_counted: bool) -> None:
    if not changes and not rules:
        print("The two policies show the same to everybody.")
        return
    columns = ["tool", "purpose", "column", "before", "after"]
    if is_counted:
        columns += ["people who gain", "people who lose"]
    rows = []
    for change in changes:
        cells = [change.tool, change.purpose, change.column, change.before, change.after]
        if is_counted:
            cells += [_number(change.gain), _number(change.lose)]
        rows.append(cells)
    print_table(columns, rows)
    if rules:
        if rows:
            print()
        print_table(("rule", "before", "after"), [(r.what, r.before, r.after) for r in rules])
    if changes and not is_counted:
        print("\nHow many people gain or lose visibility is counted in a database: give --config.")
    if is_counted and any(change.gain is None for change in changes):
        print("\n? is known when `init` has run for the new policy.")


def _number(count: int | None) -> str:
    return "?" if count is None else str(count)
