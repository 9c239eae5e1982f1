"""What of the database's catalog one tool can see under one purpose. A pure function of values.

A relation or column that the tool can not see does not exist; nor does anything that mentions
one: an index over a hidden column, a foreign key to a hidden table, a generated column's formula.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxy.policy.model import RelationName
from proxy.sql.catalog import (
    FIRST_NORMAL_OID,
    Catalog,
    Column,
    Constraint,
    Definition,
    Relation,
    Structure,
    UserType,
)

# PostgreSQL shows these to everybody.
SYSTEM_SCHEMAS = ("information_schema", "pg_catalog")


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleRelation:
    oid: int
    name: RelationName
    kind: str
    columns: tuple[Column, ...]  # the visible ones
    is_whole: bool  # no column of it is hidden
    checks: int  # visible CHECK constraints
    has_index: bool  # a visible one


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleConstraint:
    oid: int
    name: str
    relation: RelationName


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VisibleCatalog:
    """The visible part of a catalog; compared by identity, so that guards can be cached by it."""

    server_version: int
    system_relations: Mapping[RelationName, tuple[Column, ...]]
    relations: tuple[VisibleRelation, ...]
    namespaces: Mapping[str, int]  # schemas with something visible
    indexes: tuple[tuple[int, RelationName], ...]  # oid; schema and name
    constraints: tuple[VisibleConstraint, ...]
    # Names of constraints in the loaded schemas that are hidden: (schema, name). Where such a
    # name is visible too (on another table), views that show no table leave it out.
    hidden_constraint_names: frozenset[tuple[str, str]]
    defaults: tuple[int, ...]  # oids of pg_attrdef
    # (relation, attnum) of visible columns whose default mentions a hidden column.
    hidden_defaults: tuple[tuple[int, int], ...]
    types: tuple[int, ...]  # user types: of visible columns, and row types
    domains: tuple[RelationName, ...]  # schema and name
    children: tuple[int, ...]  # partitions and inheritance children of visible relations
    parents: tuple[int, ...]  # their parents
    defined: tuple[int, ...]  # views whose definition mentions nothing hidden
    rules: tuple[int, ...]  # those definitions
    below_shown: tuple[int, ...]  # relations that no hidden one is an ancestor of
    above_shown: tuple[int, ...]  # relations that no hidden one is a descendant of
    triggers: tuple[int, ...]  # of visible constraints; others call functions, which are hidden
    triggered: tuple[int, ...]  # relations that have some of them
    owners: tuple[int, ...]  # roles
    database: int
    database_name: str
    # (schema, name) of what can be named, by kind: PostgreSQL's own and the visible.
    names: Mapping[str, frozenset[tuple[str, str]]]
    roles: frozenset[str]


def visible_catalog(
    catalog: Catalog, columns: Mapping[RelationName, Sequence[str]]
) -> VisibleCatalog:
    """The part of `catalog` that consists of `columns`: visible columns by relation.

    Relations and columns that the catalog does not have are left out.
    """
    structure = catalog.structure
    shown = {
        relation.oid: (relation, frozenset(names))
        for name, names in columns.items()
        if (relation := catalog.relations.get(name)) is not None
    }
    attnums = {oid: _attnums(relation, names) for oid, (relation, names) in shown.items()}
    whole = {oid for oid, (relation, names) in shown.items() if _is_whole(relation, names)}

    def covers(relation: int, mentioned: Iterable[int]) -> bool:
        # 0 is the whole row; system columns (negative) are hidden.
        return relation in whole or all(attnum in attnums.get(relation, ()) for attnum in mentioned)

    indexes = [index for index in structure.indexes if covers(index.relation, index.attnums)]
    indexes = [index for index in indexes if index.relation in shown]
    index_oids = {index.oid for index in indexes}

    def is_constraint_visible(constraint: Constraint) -> bool:
        if constraint.relation not in shown or constraint.kind == "t":
            return False
        if constraint.kind == "x":  # its expressions and predicate are the index's
            return constraint.index in index_oids
        if constraint.target and constraint.target not in shown:
            return False
        return covers(constraint.relation, constraint.attnums) and (
            not constraint.target or covers(constraint.target, constraint.target_attnums)
        )

    constraints = [each for each in structure.constraints if is_constraint_visible(each)]
    of_visible = [
        default
        for default in structure.defaults
        if default.relation in shown and covers(default.relation, {default.attnum})
    ]
    checks = Counter(each.relation for each in constraints if each.kind == "c")
    indexed = {index.relation for index in indexes}
    inherits = [pair for pair in structure.inherits if shown.keys() >= set(pair)]
    relations = tuple(
        VisibleRelation(
            oid=oid,
            name=relation.name,
            kind=relation.kind,
            columns=tuple(each for each in relation.columns if each.name in names),
            is_whole=oid in whole,
            checks=checks[oid],
            has_index=oid in indexed,
        )
        for oid, (relation, names) in shown.items()
    )
    schemas = {relation.name.schema for relation in relations}
    types = _visible_types(structure.types, relations)
    name_of = {relation.oid: name for name, relation in catalog.relations.items()}
    visible_constraints = {each.oid for each in constraints}

    def is_definition_visible(definition: Definition) -> bool:
        return (
            definition.relation in shown
            and definition.mentions_known
            and all(oid in shown for oid in definition.relations)
            and all(covers(oid, {attnum}) for oid, attnum in definition.columns)
            and definition.types <= {each.oid for each in types}
        )

    definitions = [each for each in structure.definitions if is_definition_visible(each)]
    triggers = [
        each
        for each in structure.triggers
        if each.relation in shown and each.constraint in visible_constraints
    ]
    indexed_names = [RelationName(name_of[index.relation].schema, index.name) for index in indexes]
    owners = tuple(
        sorted(
            {relation.owner for relation, _ in shown.values()}
            | {structure.namespace_owners.get(schema, 0) for schema in schemas}
            | {structure.database_owner}
        )
    )
    return VisibleCatalog(
        server_version=catalog.server_version,
        system_relations=catalog.system_relations,
        relations=relations,
        namespaces={
            schema: oid
            for schema, oid in structure.namespaces.items()
            if schema in SYSTEM_SCHEMAS or schema in schemas
        },
        indexes=tuple(zip((index.oid for index in indexes), indexed_names, strict=True)),
        constraints=tuple(
            VisibleConstraint(oid=each.oid, name=each.name, relation=name_of[each.relation])
            for each in constraints
        ),
        hidden_constraint_names=frozenset(
            (name_of[each.relation].schema, each.name)
            for each in structure.constraints
            if each.oid not in visible_constraints and each.relation in name_of
        ),
        defaults=tuple(each.oid for each in of_visible if covers(each.relation, each.attnums)),
        hidden_defaults=tuple(
            (each.relation, each.attnum)
            for each in of_visible
            if not covers(each.relation, each.attnums)
        ),
        types=tuple(sorted(each.oid for each in types)),
        domains=tuple(RelationName(each.schema, each.name) for each in types if each.kind == "d"),
        children=tuple(sorted({child for child, _ in inherits})),
        parents=tuple(sorted({parent for _, parent in inherits})),
        defined=tuple(each.relation for each in definitions),
        rules=tuple(each.rule for each in definitions),
        below_shown=_all_shown(shown, structure.inherits),
        above_shown=_all_shown(shown, [(parent, child) for child, parent in structure.inherits]),
        triggers=tuple(each.oid for each in triggers),
        triggered=tuple(sorted({each.relation for each in triggers})),
        owners=owners,
        database=structure.database,
        database_name=catalog.database,
        names=_names(structure, relations, indexed_names, types),
        roles=frozenset(
            name
            for name, oid in structure.roles.items()
            if oid < FIRST_NORMAL_OID or oid in owners or name == structure.session_role
        ),
    )


def _names(
    structure: Structure,
    relations: Iterable[VisibleRelation],
    indexes: Iterable[RelationName],
    types: Iterable[UserType],
) -> Mapping[str, frozenset[tuple[str, str]]]:
    shown = [each.name for each in relations]
    own = {
        "relation": frozenset((each.schema, each.name) for each in (*shown, *indexes)),
        "type": frozenset((each.schema, each.name) for each in types),
    }
    kinds = structure.built_in.keys() | own.keys()
    return {
        kind: structure.built_in.get(kind, frozenset()) | own.get(kind, frozenset())
        for kind in kinds
    }


def _all_shown(shown: Collection[int], links: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """Of the shown relations those from which every link leads to a shown one, and so on."""
    targets: defaultdict[int, set[int]] = defaultdict(set)
    for source, target in links:
        targets[source].add(target)
    hidden = {oid for found in targets.values() for oid in found if oid not in shown}
    while more := {
        source for source in targets if source not in hidden and targets[source] & hidden
    }:
        hidden |= more
    return tuple(sorted(oid for oid in shown if oid not in hidden))


def _attnums(relation: Relation, names: frozenset[str]) -> frozenset[int]:
    return frozenset(column.attnum for column in relation.columns if column.name in names)


def _is_whole(relation: Relation, names: frozenset[str]) -> bool:
    return all(column.name in names for column in relation.columns)


def _visible_types(
    types: Sequence[UserType], relations: Sequence[VisibleRelation]
) -> tuple[UserType, ...]:
    """Types of visible columns, what those are made of, and the row types of visible relations."""
    by_oid = {each.oid: each for each in types}
    shown = {relation.oid for relation in relations}
    pending = {column.type.oid for relation in relations for column in relation.columns}
    pending |= {each.oid for each in types if each.relation in shown}
    found: dict[int, UserType] = {}
    while pending:
        each = by_oid.get(pending.pop())
        if each is None or each.oid in found or (each.relation and each.relation not in shown):
            continue
        found[each.oid] = each
        pending |= each.related
    return tuple(found.values())
