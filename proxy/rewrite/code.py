"""Does code of the database's own run where a relation is read?

PostgreSQL evaluates a view's expressions, a generated column, a foreign table's wrapper or a
policy of row security on values that a guard has not seen yet. They can fail, and say on what:
such errors are withheld from tools (session/errors.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.policy.model import (
    NoSubject,
    Policy,
    RelationName,
    RelationRule,
    Subject,
    SubjectAll,
    SubjectColumn,
    SubjectVia,
)
from proxy.sql.catalog import Catalog

_COMPUTED: frozenset[str] = frozenset({"v", "f"})  # pg_class.relkind: view, foreign table


def runs_code(
    policy: Policy, catalog: Catalog, relation: RelationName, wanted: frozenset[str] | None
) -> bool:
    """Whether the guard of `relation` with the `wanted` columns (None: all) evaluates any.

    PostgreSQL's own catalog is none of it: what its views compute is reviewed (catalog_rules.py).
    """
    rule = policy.relations.get(relation)
    if rule is None:
        return False
    reads = [(relation, None if wanted is None else wanted | _ruling(rule))]
    reads += [(target, frozenset({column})) for target, column in _hops(policy, rule.subject)]
    return any(_computes(catalog, name, columns) for name, columns in reads)


def _computes(catalog: Catalog, name: RelationName, columns: frozenset[str] | None) -> bool:
    found = catalog.relations.get(name)
    if found is None:
        return True
    if found.kind in _COMPUTED or found.has_row_security:
        return True
    return any(
        column.is_virtual and (columns is None or column.name in columns)
        for column in found.columns
    )


def _ruling(rule: RelationRule) -> frozenset[str]:
    """The columns that decide which rows there are, and whose they are."""
    rules = [each.column for each in (rule.source, rule.keep, rule.quiet) if each is not None]
    return frozenset(rules) | frozenset(_keys(rule.subject))


def _keys(subject: Subject) -> Iterator[str]:
    match subject:
        case SubjectColumn(column) | SubjectVia(column):
            yield column
        case SubjectAll(subjects):
            for one in subjects:
                yield from _keys(one)
        case NoSubject():
            pass


def _hops(policy: Policy, subject: Subject) -> Iterator[tuple[RelationName, str]]:
    """The relations on the way to the data subject, with the columns read there."""
    match subject:
        case SubjectVia(target=target):
            yield target.relation, target.column
            following = policy.relations[target.relation].subject
            for key in _keys(following):
                yield target.relation, key
            yield from _hops(policy, following)
        case SubjectAll(subjects):
            for one in subjects:
                yield from _hops(policy, one)
        case SubjectColumn() | NoSubject():
            pass
