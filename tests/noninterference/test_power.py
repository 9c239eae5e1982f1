"""The run finds what it is for: each of these defects, put into the proxy on purpose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlglot import exp

import proxy.enforce
import proxy.rewrite.guard
import proxy.rewrite.pushdown
import proxy.rewrite.store
from proxy.policy.decide import Absent, Guarded, Shown, decide
from proxy.policy.model import Basis, NullMask, SubjectAll
from proxy.rewrite.guard import build_guard
from proxy.rewrite.masks import shown_expression
from proxy.rewrite.pushdown import push_down
from proxy.rewrite.splice import Stand, splice
from tests.noninterference.asking import Planning
from tests.noninterference.databases import Databases
from tests.noninterference.rules import Rules
from tests.noninterference.trial import ANALYZED, Asked, AskedByPlans, Numbers, Trial

# A bounded run: with this seed each defect is found well before its end.
_SEED = "power"
_NUMBERS = Numbers(4000, per_block=60)
_CONSENTED = ("campaign", "interest", "recall")
_MASKED = ("personal", "measure", "service", "research")

Patch = pytest.MonkeyPatch
guard, pushdown, store = proxy.rewrite.guard, proxy.rewrite.pushdown, proxy.rewrite.store


def _without_a_fence(patch: Patch) -> None:
    def built(*arguments: Any, **options: Any) -> Any:
        made = build_guard(*arguments, **options)
        made.select.set("offset", None)
        return made

    patch.setattr(store, "build_guard", built)


def _pushed_without_its_grant(patch: Patch) -> None:
    patch.setattr(pushdown, "in_force", lambda *_: exp.true())


def _pushed_without_its_fence(patch: Patch) -> None:
    def pushed(*arguments: Any, **options: Any) -> Any:
        made = push_down(*arguments, **options)
        if made is not None:
            made.query.set("offset", None)
        return made

    patch.setattr(proxy.enforce, "push_down", pushed)


def _pushed_behind_a_mask_that_stays(patch: Patch) -> None:
    """A value that even consent shows through a mask only is compared as it is."""
    may_push = pushdown._may_push

    def may(each: Any, *others: Any) -> bool:
        verdict = each.verdict
        if isinstance(verdict, Guarded):
            verdict = dataclasses.replace(verdict, through=None, mask=NullMask())
        return may_push(dataclasses.replace(each, verdict=verdict), *others)

    patch.setattr(pushdown, "_may_push", may)


def _value_instead_of(mask: str) -> Callable[[Patch], None]:
    def spoil(patch: Patch) -> None:
        def bare(own: Any, column: Any, *others: Any, **options: Any) -> Any:
            if type(own).__name__ == mask:
                return column.copy()
            return shown_expression(own, column, *others, **options)

        patch.setattr(guard, "shown_expression", bare)

    return spoil


def _without_source(patch: Patch) -> None:
    patch.setattr(guard, "_source_condition", lambda rule: exp.true())


def _without_age(direction: str) -> Callable[[Patch], None]:
    def spoil(patch: Patch) -> None:
        condition = guard._age_condition

        def aged(rule: Any, own: str, type_: Any) -> exp.Expr:
            return exp.true() if own == direction else condition(rule, own, type_)

        patch.setattr(guard, "_age_condition", aged)

    return spoil


def _join_in_parentheses_left_unguarded(patch: Patch) -> None:
    """Nobody looks at the result again, either."""

    def spliced(text: str, relations: Any, stands: Sequence[Stand], *others: Any) -> str:
        own = [
            Stand(f'TABLE "{place.schema}"."{place.name}"', stand.alias)
            if place.schema and text[: place.start].endswith("(")
            else stand
            for place, stand in zip(relations, stands, strict=True)
        ]
        return splice(text, relations, own, *others)

    patch.setattr(proxy.enforce, "splice", spliced)
    patch.setattr(proxy.enforce, "check", lambda *_: None)


def _unknown_people_consent(patch: Patch) -> None:
    condition = guard._in_force

    def in_force(policy: Any, purpose: str, *others: Any) -> exp.Expr:
        made = condition(policy, purpose, *others)
        if policy.purposes[purpose].basis is not Basis.CONSENT:
            return made
        return exp.Coalesce(this=exp.Paren(this=made), expressions=[exp.true()])

    patch.setattr(guard, "_in_force", in_force)


def _objections_do_not_count(patch: Patch) -> None:
    condition = guard._in_force

    def in_force(policy: Any, purpose: str, found: Any, sensitive: Any) -> exp.Expr:
        if policy.purposes[purpose].basis is not Basis.LEGITIMATE_INTEREST:
            return condition(policy, purpose, found, sensitive)
        keys = [
            exp.Not(this=exp.Is(this=each.key.copy(), expression=exp.Null()))
            for each in found.people
        ]
        return guard.joined(keys, exp.And)

    patch.setattr(guard, "_in_force", in_force)


def _sensitive_without_its_own_grant(patch: Patch) -> None:
    patch.setattr(guard, "_own_grant", lambda verdict: None)


def _only_the_first_of_several_people_asked(patch: Patch) -> None:
    joins = guard._subject_joins

    def first(policy: Any, catalog: Any, purpose: str, verdict: Any) -> Any:
        if isinstance(verdict.subject, SubjectAll):
            verdict = dataclasses.replace(verdict, subject=verdict.subject.subjects[0])
        return joins(policy, catalog, purpose, verdict)

    patch.setattr(guard, "_subject_joins", first)


def _dropped_columns_exist(patch: Patch) -> None:
    def decided(*arguments: Any) -> Any:
        verdict = decide(*arguments)
        if verdict is None:
            return None
        columns = tuple(
            (name, Shown() if isinstance(cell, Absent) and cell.category else cell)
            for name, cell in verdict.columns
        )
        return dataclasses.replace(verdict, columns=columns)

    patch.setattr(store, "decide", decided)


def _rows_of_nobody_kept(patch: Patch) -> None:
    """What belongs to no person is taken for what needs no consent."""
    conditions = guard._row_conditions

    def kept(policy: Any, purpose: str, found: Any, *others: Any) -> Any:
        for condition in conditions(policy, purpose, found, *others):
            nobody = [exp.Is(this=each.key.copy(), expression=exp.Null()) for each in found.people]
            yield guard.joined([condition, *nobody], exp.Or) if nobody else condition

    patch.setattr(guard, "_row_conditions", kept)


def _statistics_of_removed_rows(patch: Patch) -> None:
    patch.setattr(guard, "_without_statistics", lambda value, type_: value)


_DEFECTS: dict[str, tuple[Callable[[Patch], None], Sequence[str]]] = {
    "a guard that removes rows has no fence": (_without_a_fence, _CONSENTED),
    "a condition is pushed without its grant": (_pushed_without_its_grant, ("personal", "service")),
    "a pushed condition has no fence": (_pushed_without_its_fence, _CONSENTED),
    "a condition is pushed behind a mask that stays": (
        _pushed_behind_a_mask_that_stays,
        ("personal", "campaign"),
    ),
    "the value stands where a bucket should": (_value_instead_of("BucketMask"), _MASKED),
    "the value stands where NULL should": (_value_instead_of("NullMask"), _MASKED),
    "the address stands where its mask should": (_value_instead_of("EmailMask"), _MASKED),
    "source is not asked": (_without_source, _MASKED),
    "keep is not asked": (_without_age(">"), _MASKED),
    "quiet is not asked": (_without_age("<"), _MASKED),
    "a join in parentheses is left unguarded": (_join_in_parentheses_left_unguarded, _MASKED),
    "unknown people count as consenting": (_unknown_people_consent, ("campaign", "personal")),
    "objections do not count": (_objections_do_not_count, ("measure", "interest")),
    "a sensitive value is shown without its own grant": (
        _sensitive_without_its_own_grant,
        ("personal", "service", "interest"),
    ),
    "only the first of several people is asked": (_only_the_first_of_several_people_asked, _MASKED),
    "a dropped column exists": (_dropped_columns_exist, _MASKED),
    "rows of nobody are kept": (_rows_of_nobody_kept, _CONSENTED),
}


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("defect", _DEFECTS)
def test_a_run_finds_that(
    defect: str, databases: Databases, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil, purposes = _DEFECTS[defect]
    spoil(monkeypatch)
    enforcer = databases.enforcer()

    def ways(tool: str, purpose: str) -> list[tuple[str, Asked]]:
        return [("by plans", AskedByPlans(databases, Planning(enforcer, tool, purpose)))]

    report = Trial(databases, rules, f"{_SEED}/{defect}", ways).run(
        _NUMBERS, purposes=purposes, findings_max=1, shrink_attempts_max=0
    )
    assert report.findings, report


@pytest.mark.slow
@pytest.mark.nightly
def test_a_run_with_statistics_finds_that_the_planner_meets_removed_values(
    databases: Databases, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    _statistics_of_removed_rows(monkeypatch)
    enforcer = databases.enforcer()

    def ways(tool: str, purpose: str) -> list[tuple[str, Asked]]:
        return [("by plans", AskedByPlans(databases, Planning(enforcer, tool, purpose)))]

    report = Trial(databases, rules, _SEED, ways, [ANALYZED]).run(
        _NUMBERS, purposes=_CONSENTED, findings_max=1, shrink_attempts_max=0
    )
    assert report.findings, report
