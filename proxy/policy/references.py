"""What one part of a policy says of another: subjects reach a person, sensitivity has no holes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.consent.in_table import copied_columns, in_table_rules
from proxy.consent.names import in_table_column
from proxy.policy.categories import ancestors
from proxy.policy.model import (
    Category,
    ColumnName,
    NoSubject,
    Policy,
    RelationName,
    RelationRule,
    Subject,
    SubjectAll,
    SubjectColumn,
    SubjectVia,
)
from proxy.policy.names import quote, relation_text
from proxy.policy.problem import NOWHERE
from proxy.policy.value import Findings

# Every hop is a look-up for every row; a person further away than this is hard to be sure of.
HOPS_MAX: Final = 4
# Several people per row, reached through tables with several people per row, multiply.
PATHS_MAX: Final = 16


def check_subjects(
    relations: Mapping[RelationName, RelationRule], key: ColumnName | None, findings: Findings
) -> None:
    """Every table's subject must end at a column that holds the key, in at most four hops."""
    for rule in relations.values():
        path = ("tables", relation_text(rule.name), "subject")
        place = findings.places.get(path, NOWHERE)
        if isinstance(rule.subject, NoSubject):
            continue
        if key is None:
            findings.report(
                place,
                ".".join(path),
                "the policy names no data subject: expected subject: {key: …}",
            )
        problem = _subject_problem(rule, relations)
        if problem is not None:
            findings.report(place, ".".join(path), problem)


def check_copies(policy: Policy, findings: Findings) -> None:
    """Copies of consent in a table are for guards: no tool is shown what people agreed to."""
    for rule, _ in in_table_rules(policy):
        copies = {in_table_column(name) for name in copied_columns(policy, rule)}
        for name in copies & set(rule.columns or {}):
            path = ("tables", relation_text(rule.name), "columns", quote(name))
            findings.report(
                findings.places.get(path, NOWHERE),
                ".".join(path),
                "is what `consent: in_table` makes: a column of this name can not be listed",
            )


def _subject_problem(
    rule: RelationRule, relations: Mapping[RelationName, RelationRule]
) -> str | None:
    try:
        paths = _count_paths(rule.subject, relations, (rule.name,))
    except ValueError as error:
        return str(error)
    if paths > PATHS_MAX:
        return f"leads to {paths} subjects for each row; expected at most {PATHS_MAX}"
    return None


def _count_paths(
    subject: Subject,
    relations: Mapping[RelationName, RelationRule],
    passed: tuple[RelationName, ...],
) -> int:
    """The number of columns at which `subject` ends. ValueError where it does not end."""
    match subject:
        case NoSubject():
            raise ValueError(f"leads to {relation_text(passed[-1])}, which has no subject")
        case SubjectColumn():
            return 1
        case SubjectAll(subjects):
            return sum(_count_paths(one, relations, passed) for one in subjects)
        case SubjectVia(_, target):
            if target.relation in passed:
                raise ValueError(f"leads back to {relation_text(target.relation)}")
            if len(passed) > HOPS_MAX:
                raise ValueError(f"is more than {HOPS_MAX} tables away")
            rule = relations.get(target.relation)
            if rule is None:
                raise ValueError(
                    f"leads to {relation_text(target.relation)}, which is not in the policy"
                )
            return _count_paths(rule.subject, relations, (*passed, target.relation))


def check_sensitive(categories: Mapping[str, Category], findings: Findings) -> None:
    """`sensitive: false` below a sensitive category would promise what is not so."""
    for category in categories.values():
        path = ("categories", category.name, "sensitive")
        if category.is_sensitive or path not in findings.places:
            continue
        above = [
            name
            for name in ancestors(category.name)[1:]
            if name in categories and categories[name].is_sensitive
        ]
        if above:
            findings.report(
                findings.places[path],
                ".".join(path),
                f"everything below {above[0]} is sensitive: expected true, or nothing",
            )
