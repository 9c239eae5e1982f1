"""Consent inside a table of the policy: which columns of the ledger it repeats, and how.

A table with `consent: in_table` has one `timestamptz` for each column of `consent.subject` that its
guards ask for: "in force until", as there; NULL is no. in_table_sql.py says how they keep in step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from proxy.consent import in_table_sql
from proxy.consent.names import in_table_column, subject_column
from proxy.consent.sql_text import block, literal, quoted, relation_sql, tag_around
from proxy.policy.decide import Guarded, decide
from proxy.policy.model import Policy, RelationRule, SubjectColumn

_TEXTS: Final = ("text", "character varying")
_COMMENT: Final = "Made and kept by the consent proxy: do not write here."


def in_table_rules(policy: Policy) -> Iterator[tuple[RelationRule, SubjectColumn]]:
    """The tables that have their people's consent inside, and the column of their subject."""
    for rule in policy.relations.values():
        if rule.is_consent_in_table and isinstance(rule.subject, SubjectColumn):
            yield rule, rule.subject


def copied_columns(policy: Policy, rule: RelationRule) -> tuple[str, ...]:
    """The columns of `consent.subject` that guards of this table read, under any purpose."""
    found: dict[str, None] = {}
    for purpose in policy.purposes:
        verdict = decide(policy, purpose, rule.name, list(rule.columns or {}))
        if verdict is None:
            continue
        cells = [cell for _, cell in verdict.columns if isinstance(cell, Guarded)]
        if cells or verdict.is_consented_only:
            found[subject_column(purpose)] = None
        for cell in cells:
            if cell.sensitive is not None:
                found[subject_column(purpose, cell.sensitive)] = None
    return tuple(found)


def registry_statements() -> list[str]:
    """What all tables share; a database without any such table has it too, empty."""
    return [
        *in_table_sql.TABLES,
        in_table_sql.SPREAD,
        in_table_sql.STATE,
        """-- Nothing is trusted until it has been filled (again).
UPDATE consent.kept SET state = NULL WHERE state IS NOT NULL""",
        "DELETE FROM consent.kept WHERE relation NOT IN (SELECT oid FROM pg_class)",
    ]


def table_statements(policy: Policy, key_type_sql: str, reader: str) -> list[str]:
    """The columns and triggers of each such table. Tables are locked before the ledger's."""
    statements: list[str] = []
    for rule, subject in in_table_rules(policy):
        columns = copied_columns(policy, rule)
        if columns:
            statements += _table(rule, subject.column, columns, key_type_sql, reader)
    return statements


def _table(
    rule: RelationRule, key: str, columns: tuple[str, ...], key_type_sql: str, reader: str
) -> Iterator[str]:
    table = relation_sql(rule.name)
    function = _function(rule)
    yield _keep(rule, key, columns, key_type_sql)
    yield f"-- {table}: its people's consent, in the table.\n" + block(
        "\n".join(_column(table, in_table_column(column)) for column in columns)
    )
    yield block(
        f"  IF consent.kept_state({literal(table)}::regclass) IS NULL THEN\n"
        f"    DROP TRIGGER IF EXISTS {quoted(in_table_sql.TRIGGER)} ON {table};\n"
        f"    CREATE TRIGGER {quoted(in_table_sql.TRIGGER)} BEFORE INSERT OR UPDATE ON {table}\n"
        f"      FOR EACH ROW EXECUTE FUNCTION {function}();\n"
        f"    ALTER TABLE {table} ENABLE ALWAYS TRIGGER {quoted(in_table_sql.TRIGGER)};\n"
        "  END IF;"
    )
    granted = ", ".join(quoted(in_table_column(column)) for column in columns)
    yield f"GRANT SELECT ({granted}, tableoid) ON {table} TO {quoted(reader)}"


def registrations(policy: Policy) -> list[str]:
    """What `consent.kept` says of the tables, once `consent.purpose` has every column."""
    statements: list[str] = []
    for rule, subject in in_table_rules(policy):
        columns = copied_columns(policy, rule)
        if columns:
            statements += _registration(relation_sql(rule.name), subject.column, columns)
    return statements


def _registration(table: str, key: str, columns: tuple[str, ...]) -> Iterator[str]:
    yield (
        "INSERT INTO consent.kept (relation, key)\n"
        f"SELECT attrelid, attnum FROM pg_attribute WHERE attrelid = {literal(table)}::regclass\n"
        f"   AND attname = {literal(key)}\n"
        "ON CONFLICT (relation) DO UPDATE SET key = excluded.key"
    )
    names = ", ".join(
        f"({literal(in_table_column(column))}, {literal(column)})" for column in columns
    )
    yield (
        "INSERT INTO consent.kept_column (relation, attnum, column_name)\n"
        f"SELECT attrelid, attnum, column_name FROM (VALUES {names}) AS c (attname, column_name)\n"
        f"  JOIN pg_attribute USING (attname) WHERE attrelid = {literal(table)}::regclass\n"
        "ON CONFLICT (relation, attnum) DO UPDATE SET column_name = excluded.column_name"
    )


def _column(table: str, name: str) -> str:
    """Adds a column; one of the same name that is not ours is not touched."""
    return (
        f"  IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = {literal(table)}::regclass\n"
        f"                    AND attname = {literal(name)}) THEN\n"
        f"    ALTER TABLE {table} ADD COLUMN {quoted(name)} timestamptz;\n"
        f"    COMMENT ON COLUMN {table}.{quoted(name)} IS {literal(_COMMENT)};\n"
        "  ELSIF NOT EXISTS (\n"
        f"    SELECT FROM pg_attribute WHERE attrelid = {literal(table)}::regclass\n"
        f"       AND attname = {literal(name)} AND atttypid = 'timestamptz'::regtype\n"
        f"       AND col_description(attrelid, attnum) = {literal(_COMMENT)}) THEN\n"
        f"    RAISE EXCEPTION '% has a column % of its own', {literal(table)}, {literal(name)};\n"
        "  END IF;"
    )


def _keep(rule: RelationRule, key: str, columns: tuple[str, ...], key_type_sql: str) -> str:
    own = [f"NEW.{quoted(in_table_column(column))}" for column in columns]
    # Two texts that a collation calls equal are two people.
    bytewise = ' COLLATE "C"' if key_type_sql in _TEXTS else ""
    pairs = [(f"NEW.{quoted(key)}{bytewise}", f"OLD.{quoted(key)}{bytewise}")]
    pairs += [(name, f"OLD{name.removeprefix('NEW')}") for name in own]
    return in_table_sql.KEEP.format(
        tag=tag_around("".join((key, *columns))),
        name=_function(rule),
        key=quoted(key),
        same="\n       AND ".join(f"{new} IS NOT DISTINCT FROM {old}" for new, old in pairs),
        unset="\n  ".join(f"{name} := NULL;" for name in own),
        copies=", ".join(f"s.{quoted(column)}" for column in columns),
        set=", ".join(own),
    )


def _function(rule: RelationRule) -> str:
    digest = hashlib.sha256(f"{rule.name.schema}\0{rule.name.name}".encode()).hexdigest()[:12]
    return f"consent.keep_{digest}"
