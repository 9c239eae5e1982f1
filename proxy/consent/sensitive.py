"""Which (purpose, category) pairs need a grant of their own: the single place that says so.

The ledger makes one column of `consent.subject` for each pair, and the guards read exactly these
columns. A category is sensitive if it, or a category above it, is declared `sensitive: true`.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.policy.model import Policy


def covers(category: str, other: str) -> bool:
    """Whether `other` is `category` or lies below it (`user.contact`: `user.contact.email`)."""
    return other == category or other.startswith(f"{category}.")


def with_ancestors(category: str) -> Iterator[str]:
    """The category itself, then those above it, nearest first."""
    yield category
    while "." in category:
        category = category.rpartition(".")[0]
        yield category


def is_sensitive(policy: Policy, category: str) -> bool:
    declared = (policy.categories.get(name) for name in with_ancestors(category))
    return any(found is not None and found.is_sensitive for found in declared)


def column_categories(policy: Policy) -> frozenset[str]:
    """Every category that a column of the policy carries."""
    return frozenset(
        column.category
        for relation in policy.relations.values()
        for column in (relation.columns or {}).values()
        if column.category is not None
    )


def known_categories(policy: Policy) -> frozenset[str]:
    """What an event may name: categories the policy declares, tags or reads, and those above."""
    named = {*policy.categories, *column_categories(policy)}
    named.update(read.category for purpose in policy.purposes.values() for read in purpose.reads)
    return frozenset(above for category in named for above in with_ancestors(category))


def sensitive_columns(policy: Policy) -> tuple[tuple[str, str], ...]:
    """(purpose, category) for each sensitive column category that the purpose reads; sorted."""
    sensitive = {name for name in column_categories(policy) if is_sensitive(policy, name)}
    return tuple(
        sorted(
            (purpose.name, category)
            for purpose in policy.purposes.values()
            for category in sensitive
            if any(covers(read.category, category) for read in purpose.reads)
        )
    )
