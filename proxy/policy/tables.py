"""The `tables` section and the `subject` section: relations, columns, row rules, subjects."""

from __future__ import annotations

import zoneinfo
from typing import Final

from proxy.policy import durations
from proxy.policy.folder import named
from proxy.policy.model import (
    AgeRule,
    ColumnName,
    ColumnRule,
    NoSubject,
    RelationName,
    RelationRule,
    SourceRule,
    Subject,
    SubjectAll,
    SubjectColumn,
    SubjectVia,
)
from proxy.policy.names import parse_column, parse_column_of, parse_relation, quote, relation_text
from proxy.policy.purposes import OPEN, parse_category, read_mask
from proxy.policy.value import NOT_AVAILABLE, Value

SUBJECT_KEYS: Final = ("key", "consent")
TABLE_KEYS: Final = ("subject", "consent", "source", "keep", "quiet", "columns")
CONSENT_PLACES: Final = ("ledger", "in_table")
COLUMN_KEYS: Final = ("category", "mask", "type")
SOURCE_KEYS: Final = ("column", "allow")
AGE_KEYS: Final = ("column", "for", "zone")

# A row that belongs to more people than this is a list, not a record of people: every one costs
# the guard a look-up.
SUBJECTS_MAX: Final = 8

_TABLE_EXPECTED: Final = "expected `open`, or a mapping with columns"
_COLUMN_EXPECTED: Final = "expected `open`, a category, or a mapping with category, mask and type"
_SUBJECT_EXPECTED: Final = (
    "expected a column, `none`, {via: [column, schema.table.column]} or {all: [subject, …]}"
)


def read_subject_key(value: Value | None) -> ColumnName | None:
    """The `subject` section: the column that identifies a data subject."""
    if value is None:
        return None
    keys = value.keys(SUBJECT_KEYS, required=("key",)) or {}
    consent = keys.get("consent")
    if consent is not None and consent.is_mapping():
        consent.fail(f"consent kept in a table of your own is {NOT_AVAILABLE}; expected ledger")
    elif consent is not None:
        consent.one_of(("ledger",))
    if "key" not in keys:
        return None
    return keys["key"].parsed(parse_column_of, "expected schema.table.column")


def read_tables(entries: list[tuple[str, Value]]) -> dict[RelationName, RelationRule]:
    tables = named(entries, "tables", parse_relation, relation_text)
    return {name: _table(name, value) for name, value in tables}


def _table(name: RelationName, value: Value) -> RelationRule:
    if value.is_text(OPEN):
        return RelationRule(name=name, columns=None)
    keys = value.keys(TABLE_KEYS, required=("columns",), expected=_TABLE_EXPECTED) or {}
    columns = _columns(keys["columns"]) if "columns" in keys else {}
    subject = _subject(keys["subject"]) if "subject" in keys else NoSubject()
    is_consent_in_table = False
    if "consent" in keys:
        is_consent_in_table = keys["consent"].one_of(CONSENT_PLACES) == "in_table"
        if is_consent_in_table and not isinstance(subject, SubjectColumn):
            keys["consent"].fail("expected a table whose subject is one of its own columns")
    return RelationRule(
        name=name,
        columns=columns,
        subject=subject,
        is_consent_in_table=is_consent_in_table,
        source=_source(keys["source"]) if "source" in keys else None,
        keep=_age(keys["keep"]) if "keep" in keys else None,
        quiet=_age(keys["quiet"]) if "quiet" in keys else None,
    )


def _columns(value: Value) -> dict[str, ColumnRule]:
    rules: dict[str, ColumnRule] = {}
    entries = value.entries("expected a mapping of columns")
    for key, column in entries or []:
        try:
            name = parse_column(key)
        except ValueError as error:
            column.fail(str(error))
            continue
        if name in rules:
            first = value.findings.places[(*value.path, quote(name))]
            column.fail(f"the key is already there: {first}")
            continue
        rules[name] = _column(column.at((*value.path, quote(name))))
    if entries == []:
        value.fail("expected at least one column")
    return rules


def _column(value: Value) -> ColumnRule:
    if not value.is_mapping():
        category = value.parsed(_category_or_open, _COLUMN_EXPECTED)
        return ColumnRule(category=None if category == OPEN else category)
    keys = value.keys(COLUMN_KEYS, required=("category",)) or {}
    category = keys["category"].parsed(_category_or_open) if "category" in keys else None
    mask = read_mask(keys["mask"]) if "mask" in keys else None
    type_ = keys["type"].text("expected a type as SQL writes it") if "type" in keys else None
    if category == OPEN and mask is not None:
        keys["mask"].fail("an open column shows its value: a mask needs a category")
    return ColumnRule(category=None if category == OPEN else category, mask=mask, type=type_)


def _category_or_open(text: str) -> str:
    return text if text == OPEN else parse_category(text)


def _subject(value: Value) -> Subject:
    """A table's subject; NoSubject also stands for one that could not be read (and is reported)."""
    if value.is_text("none"):
        return NoSubject()
    if not value.is_mapping():
        return _one_subject(value) or NoSubject()
    keys = value.keys(("via", "all")) or {}
    if len(keys) != 1:
        value.fail(_SUBJECT_EXPECTED)
        return NoSubject()
    if "via" in keys:
        return _via(keys["via"]) or NoSubject()
    items = keys["all"].items("expected a list of subjects")
    if items is not None and not 0 < len(items) <= SUBJECTS_MAX:
        keys["all"].fail(f"expected from 1 to {SUBJECTS_MAX} subjects")
    subjects = [_one_subject(item) for item in items or []]
    return SubjectAll(tuple(subject for subject in subjects if subject is not None))


def _one_subject(value: Value) -> SubjectColumn | SubjectVia | None:
    if not value.is_mapping():
        # `none` among several people would say of a row that it belongs to nobody and somebody;
        # a column of that name is written '"none"'.
        if value.is_text("none"):
            value.fail("expected a column or {via: [column, schema.table.column]}")
            return None
        column = value.parsed(parse_column, _SUBJECT_EXPECTED)
        return None if column is None else SubjectColumn(column)
    keys = value.keys(("via",), required=("via",)) or {}
    return _via(keys["via"]) if "via" in keys else None


def _via(value: Value) -> SubjectVia | None:
    expected = "expected [column, schema.table.column]"
    items = value.items(expected) or []
    if len(items) != 2:
        value.fail(expected)
        return None
    column = items[0].parsed(parse_column, expected)
    target = items[1].parsed(parse_column_of, expected)
    if column is None or target is None:
        return None
    return SubjectVia(column, target)


def _source(value: Value) -> SourceRule | None:
    keys = value.keys(SOURCE_KEYS, required=SOURCE_KEYS) or {}
    if "column" not in keys or "allow" not in keys:
        return None
    column = keys["column"].parsed(parse_column)
    items = keys["allow"].items("expected a list of texts")
    allow = [text for item in items or [] if (text := item.text()) is not None]
    if items == []:
        keys["allow"].fail("expected at least one source; without any, no row is ever shown")
    if column is None:
        return None
    return SourceRule(column=column, allow=tuple(dict.fromkeys(allow)))


def _age(value: Value) -> AgeRule | None:
    keys = value.keys(AGE_KEYS, required=("column", "for")) or {}
    zone = keys["zone"].parsed(_zone) if "zone" in keys else None
    if "column" not in keys or "for" not in keys:
        return None
    column = keys["column"].parsed(parse_column)
    seconds = keys["for"].parsed(durations.parse_duration, durations.EXPECTED)
    if column is None or seconds is None:
        return None
    return AgeRule(column=column, seconds=seconds, zone=zone)


def _zone(text: str) -> str:
    # PostgreSQL would also take abbreviations and POSIX rules, which mean other hours than people
    # expect; and "localtime" would mean whatever machine the proxy happens to run on.
    if text == "UTC" or "/" in text:
        try:
            zoneinfo.ZoneInfo(text)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
        else:
            return text
    raise ValueError(f"expected the name of a time zone, such as Europe/Madrid, found {text!r}")
