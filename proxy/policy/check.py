"""A policy held against a database: does everything it names exist, and can it be kept?

`check_against` is for people: every error and every doubt. `out_of_service` is for a running
proxy: relations for which the policy's promise can not be kept with the catalog as it is now.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final, assert_never

from proxy.policy.check_members import member_problems
from proxy.policy.lint import lint, mask_uses, problem_at
from proxy.policy.mask_text import mask_text
from proxy.policy.model import (
    AgeRule,
    ColumnName,
    ConstantMask,
    DropMask,
    NoSubject,
    NullMask,
    Policy,
    RedactMask,
    RelationName,
    RelationRule,
    Subject,
    SubjectAll,
    SubjectColumn,
    SubjectVia,
)
from proxy.policy.names import quote, relation_text
from proxy.policy.problem import Problem
from proxy.rewrite.masks_fit import mask_problem
from proxy.sql.catalog import FIRST_NORMAL_OID, Catalog, Column, ColumnType, Relation
from proxy.sql.permitted import extension_types

Path = tuple[str, ...]

# The types of keys that the ledger keeps: equality is identity in each of them.
_KEY_TYPES: Final = ("int2", "int4", "int8", "text", "varchar", "uuid")
_TEXT_TYPES: Final = frozenset({"text", "varchar", "bpchar"})
# Masks that do not read the value: what they hide can not fail.
_READS_NOTHING: Final = (NullMask, DropMask, ConstantMask, RedactMask)
_COMPUTED: Final = (
    "the column is computed when it is read, which could fail on a value that nobody may see; "
    "expected null, constant, redact or drop, or a column that is stored"
)
_ZONED_TYPES: Final = frozenset({"timestamp", "date"})


def check_against(policy: Policy, catalog: Catalog) -> tuple[Problem, ...]:
    """Every error and warning about the policy over this database, in the order of the files."""
    problems = [*_key_problems(policy, catalog), *lint(policy, catalog)]
    problems += member_problems(policy, catalog)
    for rule in policy.relations.values():
        problems += _relation_problems(policy, catalog, rule)
        problems += _missing_columns(policy, catalog, rule)
        problems += _in_table_problems(policy, catalog, rule)
    return tuple(sorted(set(problems)))


def asks_ledger(policy: Policy, catalog: Catalog) -> tuple[RelationName, ...]:
    """Tables with `consent: in_table` whose copies can not be trusted: guards ask the ledger."""
    return tuple(
        rule.name
        for rule in policy.relations.values()
        if rule.is_consent_in_table
        and (relation := catalog.relations.get(rule.name)) is not None
        and not _is_kept(rule, relation)
    )


def out_of_service(policy: Policy, catalog: Catalog) -> Mapping[RelationName, tuple[Problem, ...]]:
    """Relations that must be refused, and why: a mask that does not fit, a key not unique, …

    A listed column that the database does not have is no reason: it simply does not exist.
    """
    key_problems = tuple(_key_problems(policy, catalog))
    broken: dict[RelationName, tuple[Problem, ...]] = {}
    for rule in policy.relations.values():
        problems = tuple(_relation_problems(policy, catalog, rule))
        if not isinstance(rule.subject, NoSubject):
            problems += key_problems
        if problems:
            broken[rule.name] = problems
    return broken


def catalog_schemas(policy: Policy) -> tuple[str, ...]:
    """Schemas that the catalog must know: those of the tables, the key and the functions."""
    key = () if policy.subject_key is None else (policy.subject_key.relation.schema,)
    functions = (function.schema for function in policy.functions)
    return tuple(dict.fromkeys((*policy.schemas, *key, *functions)))


def _error(policy: Policy, path: Path, message: str) -> Problem:
    return problem_at(policy, path, message, "error")


def _key_problems(policy: Policy, catalog: Catalog) -> Iterator[Problem]:
    """The column that identifies a data subject: there, unique, of a type that can be a key."""
    path = ("subject", "key")
    if policy.subject_key is None:
        return
    found = _find(catalog, policy.subject_key)
    if isinstance(found, str):
        yield _error(policy, path, found)
        return
    relation, column = found
    if (column.name,) not in relation.unique_keys:
        yield _error(policy, path, _not_unique(policy.subject_key))
    if column.type.base not in _KEY_TYPES or column.type.oid >= FIRST_NORMAL_OID:
        expected = ", ".join(_KEY_TYPES)
        message = f"expected a column of type {expected}, found {column.type.sql}"
        yield _error(policy, path, message)


def _relation_problems(policy: Policy, catalog: Catalog, rule: RelationRule) -> Iterator[Problem]:
    path = ("tables", relation_text(rule.name))
    relation = catalog.relations.get(rule.name)
    if relation is None:
        yield _error(policy, path, "the database has no such table" + _near(rule.name, catalog))
        return
    yield from _type_problems(policy, catalog, rule, relation, path)
    yield from _mask_problems(policy, rule, relation)
    yield from _row_rule_problems(policy, rule, relation, path)
    for message in _subject_problems(policy, catalog, relation, rule.subject):
        yield _error(policy, (*path, "subject"), message)


def _missing_columns(policy: Policy, catalog: Catalog, rule: RelationRule) -> Iterator[Problem]:
    relation = catalog.relations.get(rule.name)
    if relation is None:
        return
    for name in rule.columns or {}:
        if relation.column(name) is None:
            path = ("tables", relation_text(rule.name), "columns", quote(name))
            yield _error(policy, path, _no_column(relation, name))


def _in_table_problems(policy: Policy, catalog: Catalog, rule: RelationRule) -> Iterator[Problem]:
    relation = catalog.relations.get(rule.name)
    if not rule.is_consent_in_table or relation is None:
        return
    path = ("tables", relation_text(rule.name), "consent")
    if relation.kind not in ("r", "p"):
        yield _error(policy, path, "expected a table: it is a view or lies elsewhere")
    elif not _is_kept(rule, relation):
        message = (
            "the copies of consent are not there, or could be out of step: statements ask the "
            "ledger, which is slower; run `consent-proxy init`"
        )
        yield problem_at(policy, path, message)
    key = relation.column(rule.subject.column) if isinstance(rule.subject, SubjectColumn) else None
    if key is not None and (relation.oid, key.attnum) not in catalog.structure.first_columns:
        message = f"no index begins with {quote(key.name)}: every event reads the whole table"
        yield problem_at(policy, path, message)


def _is_kept(rule: RelationRule, relation: Relation) -> bool:
    kept, subject = relation.kept, rule.subject
    return kept is not None and isinstance(subject, SubjectColumn) and kept.key == subject.column


def _type_problems(
    policy: Policy, catalog: Catalog, rule: RelationRule, relation: Relation, path: Path
) -> Iterator[Problem]:
    of_extensions = extension_types(policy, catalog)
    for column in relation.columns:
        is_listed = rule.columns is None or column.name in rule.columns
        is_permitted = not is_listed or column.type.oid in of_extensions
        problem = None if is_permitted else unsupported_type(column.type)
        if problem is None and is_listed and column.type.oid in catalog.converted_types:
            problem = f"a function of the database's own converts {column.type.sql} (CREATE CAST)"
        if problem is not None:
            what_to_do = (
                "list the other columns instead of `open`"
                if rule.columns is None
                else "leave the column out"
            )
            yield _error(
                policy,
                (*path, "columns", quote(column.name)),
                f"{problem}; {what_to_do}, or list a view that casts it to a built-in type",
            )


def unsupported_type(column_type: ColumnType) -> str | None:
    """Why a column of this type can not be shown: what its type does is not PostgreSQL's to say."""
    if column_type.kind == "d":
        return f"the domain {column_type.sql} is not supported"
    if column_type.kind == "c":
        return f"the composite type {column_type.sql} is not supported"
    if column_type.oid >= FIRST_NORMAL_OID and column_type.kind != "e":
        return f"the type {column_type.sql} is not one of PostgreSQL's own"
    return None


def _mask_problems(policy: Policy, rule: RelationRule, relation: Relation) -> Iterator[Problem]:
    for name, column_rule in (rule.columns or {}).items():
        column = relation.column(name)
        if column is None:
            continue
        for use in mask_uses(policy, rule.name, name, column_rule):
            problem = mask_problem(use.mask, column.type)
            if problem is None and column.is_virtual and not isinstance(use.mask, _READS_NOTHING):
                problem = _COMPUTED if use.path[0] == "tables" else None
            if problem is not None:
                text = f"mask {mask_text(use.mask)} on {relation_text(rule.name)}.{quote(name)}"
                yield _error(policy, use.path, f"{text}: {problem}")


def _row_rule_problems(
    policy: Policy, rule: RelationRule, relation: Relation, path: Path
) -> Iterator[Problem]:
    if rule.source is not None:
        column = relation.column(rule.source.column)
        if column is None:
            yield _error(
                policy, (*path, "source", "column"), _no_column(relation, rule.source.column)
            )
        elif column.type.base not in _TEXT_TYPES or column.type.oid >= FIRST_NORMAL_OID:
            message = f"expected a column of text, found {column.type.sql}"
            yield _error(policy, (*path, "source", "column"), message)
    for key, age in (("keep", rule.keep), ("quiet", rule.quiet)):
        problem = None if age is None else _age_problem(age, relation)
        if problem is not None:
            yield _error(policy, (*path, key, "column"), problem)


def _age_problem(age: AgeRule, relation: Relation) -> str | None:
    column = relation.column(age.column)
    if column is None:
        return _no_column(relation, age.column)
    is_built_in = column.type.oid < FIRST_NORMAL_OID
    if column.type.base == "timestamptz" and is_built_in:
        return None if age.zone is None else "a timestamptz needs no zone: leave it out"
    if column.type.base in _ZONED_TYPES and is_built_in:
        needed = f"a {column.type.base} needs the zone it is meant in, such as zone: Europe/Madrid"
        return needed if age.zone is None else None
    return f"expected a timestamptz (or a timestamp or date with a zone), found {column.type.sql}"


def _subject_problems(
    policy: Policy, catalog: Catalog, relation: Relation, subject: Subject
) -> Iterator[str]:
    """What keeps the way from a row to its data subject from being sure. Loading bounded it."""
    match subject:
        case NoSubject():
            return
        case SubjectColumn(name):
            column = relation.column(name)
            key = None if policy.subject_key is None else _find(catalog, policy.subject_key)
            if column is None:
                yield _no_column(relation, name)
            elif isinstance(key, tuple):
                yield from _differing(ColumnName(relation.name, name), column, key[1])
        case SubjectVia(name, target):
            yield from _hop_problems(catalog, relation, name, target)
            next_relation = catalog.relations.get(target.relation)
            rule = policy.relations.get(target.relation)
            if next_relation is not None and rule is not None:
                yield from _subject_problems(policy, catalog, next_relation, rule.subject)
        case SubjectAll(subjects):
            for one in subjects:
                yield from _subject_problems(policy, catalog, relation, one)
        case _:
            assert_never(subject)


def _hop_problems(
    catalog: Catalog, relation: Relation, name: str, target: ColumnName
) -> Iterator[str]:
    column = relation.column(name)
    if column is None:
        yield _no_column(relation, name)
    found = _find(catalog, target)
    if isinstance(found, str):
        yield found
        return
    if (target.column,) not in found[0].unique_keys:
        yield _not_unique(target)
    if column is not None:
        yield from _differing(ColumnName(relation.name, name), column, found[1])


# Object ids of pg_type.dat: int2, int4, int8; text, varchar.
_ALIKE: Final = (frozenset({21, 23, 20}), frozenset({25, 1043}), frozenset({2950}))


def _differing(name: ColumnName, column: Column, key: Column) -> Iterator[str]:
    # A comparison across types may round, pad or fail: who a row belongs to must not hang on that.
    # Between integers it does neither, and reaches the index (operator family integer_ops); text
    # and varchar are compared as text.
    if not any({column.type.oid, key.type.oid} <= family for family in _ALIKE):
        yield (
            f"{relation_text(name.relation)}.{quote(name.column)} is of type {column.type.sql}, "
            f"what it is compared with of type {key.type.sql}; expected the same type"
        )


def _find(catalog: Catalog, name: ColumnName) -> tuple[Relation, Column] | str:
    """The relation and column, or what is missing."""
    relation = catalog.relations.get(name.relation)
    if relation is None:
        return f"the database has no table {relation_text(name.relation)}" + _near(
            name.relation, catalog
        )
    column = relation.column(name.column)
    return _no_column(relation, name.column) if column is None else (relation, column)


def _not_unique(name: ColumnName) -> str:
    return (
        f"{relation_text(name.relation)}.{quote(name.column)} has no valid, non-partial unique "
        "index of its own: one row could belong to several people"
    )


def _no_column(relation: Relation, name: str) -> str:
    close = difflib.get_close_matches(name, [column.name for column in relation.columns], n=1)
    hint = f"; did you mean {quote(close[0])}?" if close else ""
    return f"{relation_text(relation.name)} has no column {quote(name)}{hint}"


def _near(name: RelationName, catalog: Catalog) -> str:
    texts = [relation_text(known) for known in catalog.relations]
    close = difflib.get_close_matches(relation_text(name), texts, n=1)
    return f"; did you mean {close[0]}?" if close else ""
