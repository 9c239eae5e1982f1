"""What the proxy knows of the customer database: relations, columns, types, operators.

Read once from the upstream's pg_catalog and again when it may have changed; an immutable value.
Nothing in it can make a tool see more: a relation or column that the policy does not name does
not exist whatever the catalog says; a stale catalog makes a statement fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.policy.model import RelationName

# PostgreSQL gives object ids from here on to what users create (access/transam.h,
# FirstNormalObjectId): everything below is built in.
FIRST_NORMAL_OID = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnType:
    """A column's exact type.

    `sql` is the type as a cast writes it, schema-qualified unless PostgreSQL's grammar has a name
    of its own for it (format_type with typmod: `character varying(254)`, `crm.channel`).
    `base` is the unqualified pg_type name (`varchar`, `int8`, `timestamptz`, …) of a built-in type,
    or of the user's own type.
    """

    oid: int
    typmod: int
    sql: str
    schema: str
    base: str
    kind: str  # pg_type.typtype: b base, e enum, d domain, c composite, r range, m multirange
    category: str  # pg_type.typcategory: S string, N numeric, D date/time, A array, …
    max_length: int | None = None  # characters, for varchar(n) and char(n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    attnum: int
    type: ColumnType


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    oid: int
    name: RelationName
    kind: str  # pg_class.relkind: r table, p partitioned, v view, m materialised view, f foreign
    columns: tuple[Column, ...]  # in table order, dropped ones left out
    # Columns that carry a valid, non-partial, immediate unique index on plain columns.
    unique_keys: frozenset[tuple[str, ...]]

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    server_version: int  # server_version_num: 180004
    database: str
    relations: Mapping[RelationName, Relation]
    # Names that the path's schemas define over built-in argument types too: an unqualified use in
    # a tool's text could reach them instead of pg_catalog's (design.md, "Resolve").
    shadowed_functions: frozenset[str]
    shadowed_operators: frozenset[str]
    # Enum types of the path's schemas: the only types beyond pg_catalog's that a cast may name.
    enums: Mapping[str, str]  # "schema.name" → "schema.name" as a cast writes it
    shadowed_types: frozenset[str]
    # (operator, left type oid, right type oid) of pg_catalog whose function is leakproof.
    leakproof_operators: frozenset[tuple[str, int, int]]
    revision: str  # SHA-256, hex, of all of the above
