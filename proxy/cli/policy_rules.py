"""Rules of a policy that no column shows: bases, people, row rules, subjects, tools, functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never

from proxy.policy.decide import RelationVerdict
from proxy.policy.durations import duration_text
from proxy.policy.model import (
    AgeRule,
    NoSubject,
    Policy,
    Purpose,
    RelationRule,
    SourceRule,
    Subject,
    SubjectAll,
    SubjectColumn,
    SubjectVia,
    Tool,
)
from proxy.policy.names import quote, relation_text


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """A rule before and after; empty where there was or will be none."""

    what: str
    before: str
    after: str


def rule_changes(old: Policy, new: Policy) -> Iterator[RuleChange]:
    """Every rule that differs, in the order of the new policy; what is gone comes last."""
    before, after = dict(_rules(old)), dict(_rules(new))
    yield from _differences(before, after)


def row_rule_texts(verdict: RelationVerdict, purpose: str) -> Iterator[str]:
    """Which rows of a relation are there for a purpose, in words; nothing where all are."""
    if verdict.is_consented_only:
        yield f"only rows of people for whom {purpose} is in force"
    if verdict.source is not None:
        yield f"only rows whose {_source(verdict.source)}"
    if verdict.keep is not None:
        yield f"no rows older than {_age(verdict.keep)}"
    if verdict.quiet is not None:
        yield f"no rows younger than {_age(verdict.quiet)}"


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[RuleChange]:
    for what in dict.fromkeys((*after, *before)):
        was, becomes = before.get(what, ""), after.get(what, "")
        if was != becomes:
            yield RuleChange(what=what, before=was, after=becomes)


def _rules(policy: Policy) -> Iterator[tuple[str, str]]:
    yield "subject key", str(policy.subject_key or "")
    for purpose in policy.purposes.values():
        yield from _purpose_rules(purpose)
    for relation in policy.relations.values():
        yield from _relation_rules(relation)
    for tool in policy.tools.values():
        yield from _tool_rules(tool)
    yield "functions", ", ".join(sorted(map(str, policy.functions)))
    yield "extensions", ", ".join(sorted(map(" in ".join, policy.extensions.items())))


def _purpose_rules(purpose: Purpose) -> Iterator[tuple[str, str]]:
    what = f"purpose {purpose.name}"
    yield f"{what}: basis", purpose.basis.value
    yield f"{what}: people", purpose.people
    yield f"{what}: exempt", ", ".join(sorted(purpose.exempt))


def _relation_rules(rule: RelationRule) -> Iterator[tuple[str, str]]:
    what = f"table {relation_text(rule.name)}"
    yield f"{what}: subject", _subject(rule.subject)
    yield f"{what}: source", _source(rule.source)
    yield f"{what}: keep", _age(rule.keep)
    yield f"{what}: quiet", _age(rule.quiet)


def _tool_rules(tool: Tool) -> Iterator[tuple[str, str]]:
    yield f"tool {tool.name}: purposes", ", ".join(tool.purposes)
    yield f"tool {tool.name}: default", tool.default or ""


def _subject(subject: Subject) -> str:
    match subject:
        case NoSubject():
            return "none"
        case SubjectColumn(column):
            return quote(column)
        case SubjectVia(column, target):
            return f"{quote(column)} via {target}"
        case SubjectAll(subjects):
            return "all of " + ", ".join(_subject(each) for each in subjects)
        case _:
            assert_never(subject)


def _source(rule: SourceRule | None) -> str:
    return "" if rule is None else f"{quote(rule.column)} is {' or '.join(rule.allow)}"


def _age(rule: AgeRule | None) -> str:
    if rule is None:
        return ""
    zone = f" in {rule.zone}" if rule.zone else ""
    return f"{duration_text(rule.seconds)} by {quote(rule.column)}{zone}"
