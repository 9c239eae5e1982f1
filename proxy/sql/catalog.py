"""What the proxy knows of the customer database: relations, columns, types, operators.

Read once from the upstream's pg_catalog and again when it may have changed; an immutable value.
Nothing in it can make a tool see more: a relation or column that the policy does not name does
not exist whatever the catalog says; a stale catalog makes a statement fail.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import asyncpg

from proxy.errors import Refused
from proxy.policy.model import RelationName
from proxy.sql import catalog_queries
from proxy.sql.computed import Origin, computed_columns
from proxy.sql.grammar import parse
from proxy.sql.kept import Kept, kept_of, read_kept
from proxy.sql.lists.files import extension_names
from proxy.sql.members import Members, members_of, read_members

Rows = Sequence[asyncpg.Record]

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
    # Generated when it is read, or a view's expression: it can fail on a row that nobody may see.
    is_virtual: bool = False
    collation: int = 0  # oid; 0 for a type without
    is_deterministic: bool = True  # its collation calls equal only what is equal byte by byte


@dataclass(frozen=True, kw_only=True)
class Relation:
    oid: int
    name: RelationName
    kind: str  # pg_class.relkind: r table, p partitioned, v view, m materialised view, f foreign
    columns: tuple[Column, ...]  # in table order, dropped ones left out
    # Columns that carry a valid, non-partial, immediate unique index on plain columns.
    unique_keys: frozenset[tuple[str, ...]]
    is_barrier: bool = False  # a view WITH (security_barrier)
    owner: int = 0  # a role's oid
    has_children: bool = False  # partitions or inheritance children, in whatever schema
    has_row_security: bool = False
    kept: Kept | None = None  # its people's consent, inside of it and in step with the ledger

    @property
    def is_open_view(self) -> bool:
        """A view through which PostgreSQL evaluates conditions on rows that it leaves out."""
        return self.kind == "v" and not self.is_barrier

    def column(self, name: str) -> Column | None:
        return self._columns_by_name.get(name)

    @cached_property
    def _columns_by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(column.name for column in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index of one of the relations.

    `attnums`: every column that its key, INCLUDE list, expressions and predicate mention; 0 stands
    for the whole row.
    """

    oid: int
    name: str
    relation: int  # oid
    attnums: frozenset[int]
    first: int = 0  # the first column of its key; 0 for an expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A constraint of one of the relations, the columns it mentions on each side (0: whole row)."""

    oid: int
    name: str
    kind: str  # pg_constraint.contype
    relation: int
    attnums: frozenset[int]
    index: int  # the index behind it, 0 for none
    target: int  # the relation a foreign key points to, 0 for none
    target_attnums: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDefault:
    """A column's default or generation expression and the columns it mentions."""

    oid: int
    relation: int
    attnum: int
    attnums: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserType:
    """A type that users or extensions made; `related` are its element, array, base, range types."""

    oid: int
    schema: str
    name: str
    kind: str
    relation: int  # the relation whose row type it is, 0 for none
    related: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A view's definition, and what it mentions."""

    rule: int  # oid of pg_rewrite
    relation: int
    relations: frozenset[int]
    columns: frozenset[tuple[int, int]]  # (relation, attnum); 0: it may list them all
    types: frozenset[int]
    mentions_known: bool  # nothing else that users made: a function, an operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A trigger that PostgreSQL made for a constraint."""

    oid: int
    relation: int
    constraint: int


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What hangs on the relations: needed to show, in pg_catalog, only what a tool can see."""

    database: int = 0
    database_owner: int = 0
    namespaces: Mapping[str, int] = field(default_factory=dict)
    namespace_owners: Mapping[str, int] = field(default_factory=dict)
    indexes: tuple[Index, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    defaults: tuple[ColumnDefault, ...] = ()
    types: tuple[UserType, ...] = ()
    inherits: tuple[tuple[int, int], ...] = ()  # (child, parent)
    definitions: tuple[Definition, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    # (schema, name) of PostgreSQL's own things by kind: relation, type, function, operator, …
    built_in: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    roles: Mapping[str, int] = field(default_factory=dict)  # such as a tool may see; their oids
    session_role: str = ""

    # What planning asks, made once: a statement does not pay for relations that it does not name.

    @cached_property
    def first_columns(self) -> frozenset[tuple[int, int]]:
        """(relation, attnum): the first columns of indexes."""
        return frozenset((index.relation, index.first) for index in self.indexes)

    @cached_property
    def parents(self) -> frozenset[int]:
        return frozenset(parent for _, parent in self.inherits)

    @cached_property
    def primary_keys(self) -> Mapping[int, Constraint]:
        return {each.relation: each for each in self.constraints if each.kind == "p"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    server_version: int  # server_version_num: 180004
    database: str
    relations: Mapping[RelationName, Relation]
    # Names that the path's schemas define: an unqualified use in a tool's text could reach them
    # instead of pg_catalog's (design.md, "Resolve").
    shadowed_functions: frozenset[str]
    shadowed_operators: frozenset[str]
    # Enum types of the path's schemas: the only types beyond pg_catalog's that a cast may name.
    enums: Mapping[str, str]  # "schema.name" → "schema.name" as a cast writes it
    # Type names that more than one of the schemas has, or one of them and pg_catalog: which one an
    # unqualified use means depends on the path.
    shadowed_types: frozenset[str]
    # (operator, left type oid, right type oid) of pg_catalog whose function is leakproof.
    leakproof_operators: frozenset[tuple[str, int, int]]
    revision: str  # SHA-256, hex, of all of the above
    # Functions (and types: casts) of pg_catalog and the path's schemas that PostgreSQL would call
    # for `(x).name`, where x has no field `name`; and those of them that take a row.
    dotted_functions: frozenset[str] = frozenset()
    row_functions: frozenset[str] = frozenset()
    # Relations of pg_catalog and information_schema with their columns in table order.
    system_relations: Mapping[RelationName, tuple[Column, ...]] = field(default_factory=dict)
    structure: Structure = field(default_factory=Structure)
    # What the schemas hold besides relations, and somebody put into pg_catalog. None: not read, and
    # `shadowed_functions` and `shadowed_operators` say all that is known.
    members: Members | None = None
    # Users' types with a cast by a function of somebody's: no value of them may be had.
    converted_types: frozenset[int] = frozenset()


async def load_catalog(connection: asyncpg.Connection, schemas: Sequence[str]) -> Catalog:
    """Read what the proxy knows of `schemas`; a schema that is missing has no relations.

    Runs in a transaction of its own: the connection must not be in one.
    """
    wanted = list(dict.fromkeys(schemas))
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(catalog_queries.EMPTY_PATH)
        read: dict[str, Rows] = {
            name: await connection.fetch(query, wanted)
            for name, query in catalog_queries.BY_SCHEMA.items()
        }
        read |= await read_members(connection, wanted, sorted(extension_names()))
        read["kept"] = await read_kept(connection)
        every = [row["oid"] for row in read["relations"]]
        read["columns"] = await connection.fetch(catalog_queries.COLUMNS, every)
        own = [oid for oid in every if oid >= FIRST_NORMAL_OID]
        for name, query in catalog_queries.BY_RELATION.items():
            read[name] = await connection.fetch(query, own)
    return await asyncio.to_thread(_catalog, read, wanted)


def _catalog(read: Mapping[str, Rows], schemas: Sequence[str]) -> Catalog:
    columns = _with_computed(_columns(read["columns"]), read["origins"])
    facts = read["facts"][0]
    converted = frozenset(row["oid"] for row in read["converted_types"])
    return Catalog(
        server_version=facts["server_version"],
        database=facts["database"],
        relations=_relations(
            read["relations"],
            columns,
            _unique_keys(read["indexes"], columns),
            kept_of(read["kept"]),
        ),
        shadowed_functions=_names(read["shadowed_functions"]),
        shadowed_operators=_names(read["shadowed_operators"]),
        enums=_enums(read["types"], schemas, converted),
        converted_types=converted,
        shadowed_types=_shadowed_types(read["types"], schemas),
        leakproof_operators=frozenset(
            (row["name"], row["left"], row["right"]) for row in read["leakproof_operators"]
        ),
        dotted_functions=_names(read["dotted_functions"]),
        row_functions=frozenset(
            row["name"] for row in read["dotted_functions"] if row["takes_row"]
        ),
        system_relations={
            RelationName(row["schema"], row["name"]): columns.get(row["oid"], ())
            for row in read["relations"]
            if row["oid"] < FIRST_NORMAL_OID
        },
        structure=Structure(
            database=facts["database_oid"],
            database_owner=facts["database_owner"],
            namespaces={row["name"]: row["oid"] for row in read["namespaces"]},
            namespace_owners={row["name"]: row["owner"] for row in read["namespaces"]},
            indexes=tuple(map(_index, read["indexes"])),
            constraints=tuple(map(_constraint, read["constraints"])),
            defaults=tuple(map(_default, read["defaults"])),
            types=tuple(map(_user_type, read["types"])),
            built_in=_built_in(read["built_in"]),
            roles={row["name"]: row["oid"] for row in read["roles"]},
            session_role=next((row["name"] for row in read["roles"] if row["is_own"]), ""),
            inherits=tuple((row["child"], row["parent"]) for row in read["inherits"]),
            definitions=tuple(map(_definition, read["definitions"])),
            triggers=tuple(
                Trigger(oid=row["oid"], relation=row["relation"], constraint=row["constraint"])
                for row in read["triggers"]
            ),
        ),
        members=members_of(read),
        revision=_revision(read, schemas),
    )


def _revision(read: Mapping[str, Rows], schemas: Sequence[str]) -> str:
    # Of all that was read, in the queries' own order: nothing of it can be forgotten here.
    digest = hashlib.sha256(repr(list(schemas)).encode())
    for name, rows in read.items():
        digest.update(repr((name, [tuple(row) for row in rows])).encode())
    return digest.hexdigest()


async def catalog_fingerprint(connection: asyncpg.Connection, schemas: Sequence[str]) -> str:
    """A short text that changes when DDL changes what `load_catalog` reads. Cheap: poll it."""
    text = await connection.fetchval(catalog_queries.FINGERPRINT, list(dict.fromkeys(schemas)))
    kept = [tuple(row) for row in await read_kept(connection)]
    return hashlib.sha256(repr((text, kept)).encode()).hexdigest()


def _built_in(rows: Rows) -> Mapping[str, frozenset[tuple[str, str]]]:
    found: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        found[row["kind"]].add((row["schema"], row["name"]))
    return {kind: frozenset(names) for kind, names in found.items()}


def _names(rows: Rows) -> frozenset[str]:
    return frozenset(row["name"] for row in rows)


def _columns(rows: Rows) -> Mapping[int, tuple[Column, ...]]:
    columns: defaultdict[int, list[Column]] = defaultdict(list)
    for row in rows:
        columns[row["relation"]].append(
            Column(
                name=row["name"],
                attnum=row["attnum"],
                type=_column_type(row),
                is_virtual=row["is_virtual"],
                collation=row["collation"],
                is_deterministic=row["is_deterministic"],
            )
        )
    return {relation: tuple(of_relation) for relation, of_relation in columns.items()}


def _with_computed(
    columns: Mapping[int, tuple[Column, ...]], origins: Rows
) -> Mapping[int, tuple[Column, ...]]:
    computed = computed_columns(
        {
            (row["schema"], row["name"]): Origin(
                tuple(row["columns"]), frozenset(row["computed"]), row["definition"]
            )
            for row in origins
        }
    )
    of_views = {
        row["oid"]: tuple(
            replace(each, is_virtual=each.name in computed[(row["schema"], row["name"])])
            for each in columns.get(row["oid"], ())
        )
        for row in origins
        if row["definition"] is not None
    }
    return {**columns, **of_views}


def _column_type(row: asyncpg.Record) -> ColumnType:
    base, typmod = row["type_name"], row["typmod"]
    # varchar(n) and char(n) store n plus the four bytes of a varlena header (VARHDRSZ).
    is_limited = (
        base in ("varchar", "bpchar") and row["type_schema"] == "pg_catalog" and typmod >= 4
    )
    return ColumnType(
        oid=row["type"],
        typmod=typmod,
        sql=row["sql"],
        schema=row["type_schema"],
        base=base,
        kind=row["kind"],
        category=row["category"],
        max_length=typmod - 4 if is_limited else None,
    )


def _relations(
    rows: Rows,
    columns: Mapping[int, tuple[Column, ...]],
    keys: Mapping[int, frozenset[tuple[str, ...]]],
    kept: Mapping[int, Kept],
) -> dict[RelationName, Relation]:
    return {
        (name := RelationName(row["schema"], row["name"])): Relation(
            oid=row["oid"],
            name=name,
            kind=row["kind"],
            columns=columns.get(row["oid"], ()),
            unique_keys=keys.get(row["oid"], frozenset()),
            is_barrier=row["is_barrier"],
            owner=row["owner"],
            has_children=row["has_children"],
            has_row_security=row["has_row_security"],
            kept=kept.get(row["oid"]),
        )
        for row in rows
        if row["oid"] >= FIRST_NORMAL_OID
    }


def _unique_keys(
    rows: Rows, columns: Mapping[int, tuple[Column, ...]]
) -> dict[int, frozenset[tuple[str, ...]]]:
    keys: defaultdict[int, set[tuple[str, ...]]] = defaultdict(set)
    for row in rows:
        if row["is_key"]:
            names = {column.attnum: column.name for column in columns[row["relation"]]}
            # Columns after the key are only carried along (INCLUDE).
            key = row["key"][: row["key_length"]]
            keys[row["relation"]].add(tuple(names[attnum] for attnum in key))
    return {relation: frozenset(found) for relation, found in keys.items()}


def _index(row: asyncpg.Record) -> Index:
    # An expression leaves a 0 in indkey; its columns are among the dependencies, where a 0 means
    # a whole-row reference.
    attnums = {attnum for attnum in row["key"] if attnum != 0} | set(row["mentions"])
    return Index(
        oid=row["oid"],
        name=row["name"],
        relation=row["relation"],
        attnums=frozenset(attnums),
        first=row["key"][0],
    )


def _constraint(row: asyncpg.Record) -> Constraint:
    return Constraint(
        oid=row["oid"],
        name=row["name"],
        kind=row["kind"],
        relation=row["relation"],
        # A CHECK without any column may still read the whole row: treat it so.
        attnums=frozenset(row["key"] or [0]),
        index=row["index"],
        target=row["target"],
        target_attnums=frozenset(row["target_key"] or []),
    )


def _default(row: asyncpg.Record) -> ColumnDefault:
    # The column itself is always among them: the default depends on it.
    mentions = frozenset(row["mentions"]) | {row["attnum"]}
    return ColumnDefault(
        oid=row["oid"], relation=row["relation"], attnum=row["attnum"], attnums=mentions
    )


def _user_type(row: asyncpg.Record) -> UserType:
    return UserType(
        oid=row["oid"],
        schema=row["schema"],
        name=row["name"],
        kind=row["kind"],
        relation=row["relation"],
        related=frozenset(row["related"]) - {0},
    )


def _definition(row: asyncpg.Record) -> Definition:
    relations = frozenset(row["relations"]) - {row["relation"]}
    columns = set(zip(row["relations"], row["attnums"], strict=True))
    # Where a table's columns have other names (`FROM t AS x(a, b)`), all of them are listed; the
    # dependencies hold those that are used.
    if _lists_columns(row["text"]):
        columns |= {(relation, 0) for relation in relations}
    else:
        columns = {(relation, attnum) for relation, attnum in columns if attnum}
    return Definition(
        rule=row["rule"],
        relation=row["relation"],
        relations=relations,
        columns=frozenset(columns),
        types=frozenset(row["types"]),
        mentions_known=not row["has_others"],
    )


def _lists_columns(text: str) -> bool:
    """Whether a relation in the text has names for its columns; or the text is not understood."""
    try:
        statements = parse(text)
    except Refused:
        return True
    pending: list[Any] = [statement.node for statement in statements]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            if value.get("RangeVar", {}).get("alias", {}).get("colnames"):
                return True
            pending.extend(value.values())
    return False


def _enums(rows: Rows, schemas: Sequence[str], converted: frozenset[int]) -> dict[str, str]:
    return {
        f"{row['schema']}.{row['name']}": row["sql"]
        for row in rows
        if row["kind"] == "e" and row["schema"] in schemas and row["oid"] not in converted
    }


def _shadowed_types(rows: Rows, schemas: Sequence[str]) -> frozenset[str]:
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["schema"] in schemas:
            seen[row["name"]].add(row["schema"])
            if row["is_built_in_name"]:
                seen[row["name"]].add("pg_catalog")
    return frozenset(name for name, where in seen.items() if len(where) > 1)
