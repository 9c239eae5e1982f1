"""Doubts about a policy: it says what it says, but perhaps not what somebody meant."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.policy.categories import covers, longest_read
from proxy.policy.decide import mask_of
from proxy.policy.mask_text import mask_text
from proxy.policy.model import ColumnRule, Mask, NoSubject, Policy, RelationName, RelationRule
from proxy.policy.names import quote, relation_text
from proxy.policy.problem import NOWHERE, Problem, Severity
from proxy.policy.revealing import declared_type, reveals_much
from proxy.sql.catalog import Catalog


def lint(policy: Policy, catalog: Catalog | None = None) -> tuple[Problem, ...]:
    """Warnings, in the order of the files. Types come from the catalog or from the policy."""
    problems = [
        *_tables_without_subject(policy),
        *_empty_tables(policy),
        *_unread_categories(policy),
        *_unused_purposes(policy),
        *_unknown_keys(policy),
        *_revealing_masks(policy, catalog),
    ]
    return tuple(sorted(problems))


def problem_at(
    policy: Policy, path: tuple[str, ...], message: str, severity: Severity = "warning"
) -> Problem:
    """A problem at a key, or at the nearest key above it that the files hold."""
    place = next(
        (
            policy.places[path[:length]]
            for length in range(len(path), 0, -1)
            if path[:length] in policy.places
        ),
        NOWHERE,
    )
    return Problem(place.file, place.line, ".".join(path), message, severity)


@dataclass(frozen=True, slots=True)
class MaskUse:
    """A mask that some tool may see in a column, and the key that says so."""

    mask: Mask
    path: tuple[str, ...]


def mask_uses(
    policy: Policy, relation: RelationName, name: str, column: ColumnRule
) -> list[MaskUse]:
    """Every mask that can stand in for a personal column: its own, and those of `reads` entries."""
    if column.category is None:
        return []
    path = ("tables", relation_text(relation), "columns", quote(name))
    uses = [MaskUse(mask_of(policy, column), path)]
    for purpose in policy.purposes.values():
        read = longest_read(purpose.reads, column.category)
        if read is not None and read.mask is not None:
            uses.append(MaskUse(read.mask, ("purposes", purpose.name, "reads", read.category)))
    return uses


def personal_columns(rule: RelationRule) -> Iterator[tuple[str, ColumnRule, str]]:
    """Name, rule and category of every column that is not open."""
    for name, column in (rule.columns or {}).items():
        if column.category is not None:
            yield name, column, column.category


def _tables_without_subject(policy: Policy) -> Iterator[Problem]:
    for rule in policy.relations.values():
        path = ("tables", relation_text(rule.name))
        is_stated = (*path, "subject") in policy.places
        if isinstance(rule.subject, NoSubject) and not is_stated and any(personal_columns(rule)):
            yield problem_at(
                policy,
                path,
                "has personal columns but no subject: they are masked in every row "
                "(write `subject: none` if that is meant)",
            )


def _empty_tables(policy: Policy) -> Iterator[Problem]:
    for rule in policy.relations.values():
        if rule.keep and rule.quiet and rule.keep.column == rule.quiet.column:
            path = ("tables", relation_text(rule.name), "quiet")
            if rule.quiet.seconds >= rule.keep.seconds:
                yield problem_at(policy, path, "is not shorter than keep: no row is ever shown")


def _unread_categories(policy: Policy) -> Iterator[Problem]:
    reads = {read.category for purpose in policy.purposes.values() for read in purpose.reads}
    used = _used_categories(policy)
    for name in policy.categories:
        path = ("categories", name)
        if not any(covers(read, name) or covers(name, read) for read in reads):
            yield problem_at(policy, path, "no purpose reads this category")
        if not any(covers(name, category) for category in used):
            yield problem_at(policy, path, "no column has this category: is it spelt as in tables?")
    for category, column_path in used.items():
        is_read = any(covers(read, category) for read in reads)
        if category not in policy.categories and not is_read:
            yield problem_at(policy, column_path, f"no purpose reads the category {category}")


def _used_categories(policy: Policy) -> dict[str, tuple[str, ...]]:
    """Each category that a column has, and the first such column."""
    used: dict[str, tuple[str, ...]] = {}
    for rule in policy.relations.values():
        for name, _, category in personal_columns(rule):
            path = ("tables", relation_text(rule.name), "columns", quote(name))
            used.setdefault(category, path)
    return used


def _unused_purposes(policy: Policy) -> Iterator[Problem]:
    chosen = {purpose for tool in policy.tools.values() for purpose in tool.purposes}
    for name in policy.purposes:
        if name not in chosen:
            yield problem_at(policy, ("purposes", name), "no tool has this purpose")


def _unknown_keys(policy: Policy) -> Iterator[Problem]:
    """Undeclared categories and uses that the fideslang taxonomy does not know: often misspelt."""
    used = _used_categories(policy)
    unknown = {name: path for name, path in used.items() if name not in policy.categories}
    for purpose in policy.purposes.values():
        path = ("purposes", purpose.name)
        for read in purpose.reads:
            # An entry above what is declared or tagged stands for what is below it.
            if not any(covers(read.category, name) for name in (*policy.categories, *used)):
                unknown.setdefault(read.category, (*path, "reads", read.category))
        if purpose.data_use is not None and purpose.data_use not in _fideslang_uses():
            message = f"{purpose.data_use} is not a data use of the fideslang taxonomy"
            yield problem_at(policy, (*path, "data_use"), message)
    for category, found_at in unknown.items():
        if category not in _fideslang_categories():
            message = f"{category} is neither declared nor a key of the fideslang taxonomy"
            yield problem_at(policy, found_at, message)


# The taxonomy takes a fifth of a second to import: only `policy check` asks for it.
@functools.cache
def _fideslang_categories() -> frozenset[str]:
    from fideslang.default_taxonomy import DEFAULT_TAXONOMY

    return frozenset(entry.fides_key for entry in DEFAULT_TAXONOMY.data_category)


@functools.cache
def _fideslang_uses() -> frozenset[str]:
    from fideslang.default_taxonomy import DEFAULT_TAXONOMY

    return frozenset(entry.fides_key for entry in DEFAULT_TAXONOMY.data_use)


def _revealing_masks(policy: Policy, catalog: Catalog | None) -> Iterator[Problem]:
    seen: set[tuple[tuple[str, ...], str]] = set()
    for rule in policy.relations.values():
        for name, column, _ in personal_columns(rule):
            base, max_length = _type_of(rule.name, name, column, catalog)
            for use in mask_uses(policy, rule.name, name, column):
                doubt = reveals_much(use.mask, base, max_length)
                if doubt is not None and (use.path, doubt) not in seen:
                    seen.add((use.path, doubt))
                    text = f"mask {mask_text(use.mask)} on {relation_text(rule.name)}.{quote(name)}"
                    yield problem_at(policy, use.path, f"{text}: {doubt}")


def _type_of(
    relation: RelationName, name: str, column: ColumnRule, catalog: Catalog | None
) -> tuple[str, int | None]:
    known = catalog.relations.get(relation) if catalog is not None else None
    found = known.column(name) if known is not None else None
    if found is not None:
        return found.type.base, found.type.max_length
    return declared_type(column.type or "text")
