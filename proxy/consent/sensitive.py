"""Which (purpose, category) pairs need a grant of their own: the single place that says so.

The ledger makes one column of `consent.subject` for each pair, and the guards read exactly these
columns. A category is sensitive if it, or a category above it, is declared `sensitive: true`.
"""

from __future__ import annotations

from proxy.policy.categories import ancestors, covers, is_sensitive
from proxy.policy.model import Policy


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
    return frozenset(above for category in named for above in ancestors(category))


def sensitive_columns(policy: Policy) -> tuple[tuple[str, str], ...]:
    """(purpose, category) for each sensitive column category that the purpose reads; sorted."""
    sensitive = {
        name for name in column_categories(policy) if is_sensitive(policy.categories, name)
    }
    return tuple(
        sorted(
            (purpose.name, category)
            for purpose in policy.purposes.values()
            for category in sensitive
            if any(covers(read.category, category) for read in purpose.reads)
        )
    )
