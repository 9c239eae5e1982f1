"""`*.test.yaml`: examples of what a policy means, as values. Running them is another's business.

Values in `given` and `expect` are YAML's own; `{ago: 2d}` and `{in: 2d}` are instants before and
after the run, so that rules about the age of data can have examples that do not grow old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, assert_never

from proxy.errors import Reason
from proxy.policy import durations
from proxy.policy.folder import named, read_text
from proxy.policy.model import (
    NoSubject,
    Policy,
    RelationName,
    Subject,
    SubjectAll,
    SubjectColumn,
    SubjectVia,
)
from proxy.policy.names import parse_column, parse_relation, quote, relation_text
from proxy.policy.problem import PolicyErrors
from proxy.policy.purposes import parse_category
from proxy.policy.value import Findings, Value
from proxy.policy.yaml_tree import Scalar, read_tree

TOP_KEYS: Final = ("given", "tests")
TEST_KEYS: Final = ("name", "as", "for", "query", "expect", "refused")
CONSENT_KEYS: Final = ("subject", "purpose", "state", "category", "at", "until")
STATES: Final = ("given", "refused", "withdrawn", "objected", "restricted")
ALL_PURPOSES: Final = "*"


@dataclass(frozen=True, slots=True)
class Relative:
    """An instant `seconds` after the run (before it: negative)."""

    seconds: int


Given = str | int | bool | Decimal | Relative | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTable:
    """Rows of one table; each names only the columns that matter, the others are NULL."""

    relation: RelationName
    rows: tuple[Mapping[str, Given], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenConsent:
    """One event of the ledger. `purpose` None means all; `at` None means now."""

    subject: str | int
    purpose: str | None
    state: str
    category: str | None = None
    at: str | Relative | None = None
    until: str | Relative | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One test: what a tool asks, and either the rows it gets or why it is refused."""

    name: str
    line: int
    tool: str
    purpose: str | None  # None: the tool's default
    query: str
    expect: tuple[tuple[Given, ...], ...] | None
    refused: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFile:
    __test__ = False  # pytest: not a test of ours

    file: str
    tables: tuple[GivenTable, ...]
    consents: tuple[GivenConsent, ...]
    tests: tuple[Example, ...]


def load_tests(folder: Path, policy: Policy) -> tuple[TestFile, ...]:
    """All `*.test.yaml` of a policy folder. Raises PolicyErrors with every problem of every file.

    Tools, purposes, tables and columns that `policy` does not have are problems; only a query may
    name what does not exist.
    """
    findings = Findings()
    paths = sorted(folder.glob("*.test.yaml"), key=lambda path: path.name)
    files = [
        _file(str(path), text, policy, findings)
        for path in paths
        if not path.name.startswith(".") and (text := read_text(path, findings)) is not None
    ]
    if findings.problems:
        raise PolicyErrors(findings.problems)
    return tuple(file for file in files if file is not None)


def _file(file: str, text: str, policy: Policy, findings: Findings) -> TestFile | None:
    root = read_tree(file, text, findings.report)
    if root is None:
        return None
    keys = Value(root, (), root.place, findings).keys(TOP_KEYS, required=("tests",)) or {}
    given = keys["given"].entries("expected tables, and consent") if "given" in keys else None
    consents = [value for key, value in given or [] if key == "consent"]
    tables = [(key, value) for key, value in given or [] if key != "consent"]
    tests = keys["tests"].items("expected a list of tests") if "tests" in keys else None
    return TestFile(
        file=file,
        tables=tuple(
            _table(name, value, policy)
            for name, value in named(tables, "given", parse_relation, relation_text)
        ),
        consents=tuple(event for value in consents for event in _consents(value, policy)),
        tests=tuple(
            example for item in tests or [] if (example := _example(item, policy)) is not None
        ),
    )


def _table(name: RelationName, value: Value, policy: Policy) -> GivenTable:
    rule = policy.relations.get(name)
    if rule is None:
        value.fail("the policy has no such table")
    known = (
        None
        if rule is None or rule.columns is None
        else {*rule.columns, *rule_columns(policy, name)}
    )
    rows = []
    for item in value.items("expected a list of rows") or []:
        row: dict[str, Given] = {}
        for key, cell in item.entries("expected a mapping of columns") or []:
            try:
                column = parse_column(key)
            except ValueError as error:
                cell.fail(str(error))
                continue
            if known is not None and column not in known:
                cell.fail(f"the policy has no column {quote(column)} of {relation_text(name)}")
            row[column] = _given(cell)
        rows.append(row)
    return GivenTable(relation=name, rows=tuple(rows))


def rule_columns(policy: Policy, name: RelationName) -> frozenset[str]:
    """Columns that row rules, its subject or another's `via` name: tools may never see them."""
    rule = policy.relations[name]
    rules = (rule.source, rule.keep, rule.quiet)
    named_columns = {one.column for one in rules if one is not None}
    for relation in policy.relations.values():
        for hop in _hops(relation.subject):
            if relation.name == name:
                named_columns.add(hop.column)
            if isinstance(hop, SubjectVia) and hop.target.relation == name:
                named_columns.add(hop.target.column)
    if policy.subject_key is not None and policy.subject_key.relation == name:
        named_columns.add(policy.subject_key.column)
    return frozenset(named_columns)


def _hops(subject: Subject) -> tuple[SubjectColumn | SubjectVia, ...]:
    match subject:
        case NoSubject():
            return ()
        case SubjectAll(subjects):
            return subjects
        case SubjectColumn() | SubjectVia():
            return (subject,)
        case _:
            assert_never(subject)


def _given(value: Value) -> Given:
    """A value of a row: YAML's own, or an instant relative to the run."""
    if isinstance(value.node, Scalar):
        return value.node.value
    return _relative(value)


def _relative(value: Value) -> Relative | None:
    expected = "expected a value, {ago: 2d} or {in: 2d}"
    keys = value.keys(("ago", "in"), expected=expected) or {}
    if len(keys) != 1:
        value.fail(expected)
        return None
    ((word, duration),) = keys.items()
    seconds = duration.parsed(durations.parse_duration, durations.EXPECTED)
    return None if seconds is None else Relative(-seconds if word == "ago" else seconds)


def _consents(value: Value, policy: Policy) -> list[GivenConsent]:
    items = value.items("expected a list of consent events") or []
    return [event for item in items if (event := _consent(item, policy)) is not None]


def _consent(item: Value, policy: Policy) -> GivenConsent | None:
    required = ("subject", "purpose", "state")
    keys = item.keys(CONSENT_KEYS, required=required) or {}
    if any(key not in keys for key in required):
        return None
    subject = _given(keys["subject"])
    if isinstance(subject, bool) or not isinstance(subject, str | int):
        keys["subject"].fail("expected a data subject's key: text or a whole number")
        return None
    purpose = keys["purpose"].one_of((*policy.purposes, ALL_PURPOSES))
    state = keys["state"].one_of(STATES)
    category = keys["category"].parsed(parse_category) if "category" in keys else None
    if purpose is None or state is None:
        return None
    return GivenConsent(
        subject=subject,
        purpose=None if purpose == ALL_PURPOSES else purpose,
        state=state,
        category=category,
        at=_instant(keys["at"]) if "at" in keys else None,
        until=_instant(keys["until"]) if "until" in keys else None,
    )


def _instant(value: Value) -> str | Relative | None:
    if isinstance(value.node, Scalar):
        return value.text("expected an instant, {ago: 2d} or {in: 2d}")
    return _relative(value)


def _example(item: Value, policy: Policy) -> Example | None:
    keys = item.keys(TEST_KEYS, required=("name", "as", "query")) or {}
    if ("expect" in keys) == ("refused" in keys):
        item.fail("expected either expect or refused")
    name = keys["name"].text() if "name" in keys else None
    tool = keys["as"].one_of(tuple(policy.tools)) if "as" in keys else None
    purpose = keys["for"].one_of(tuple(policy.purposes)) if "for" in keys else None
    query = keys["query"].text("expected a statement") if "query" in keys else None
    expect = _expected_rows(keys["expect"]) if "expect" in keys else None
    refused = (
        keys["refused"].one_of([reason.value for reason in Reason]) if "refused" in keys else None
    )
    if name is None or tool is None or query is None:
        return None
    return Example(
        name=name,
        line=item.place.line,
        tool=tool,
        purpose=purpose,
        query=query,
        expect=expect,
        refused=None if refused is None else Reason(refused),
    )


def _expected_rows(value: Value) -> tuple[tuple[Given, ...], ...]:
    rows = value.items("expected a list of rows, each a list of values") or []
    return tuple(
        tuple(_given(cell) for cell in row.items("expected a row: a list of values") or [])
        for row in rows
    )
