"""Which relations of pg_catalog and information_schema are shown, which rows and which values.

Two tables, one per schema; what is in neither is `table_not_in_policy`. Left out on purpose:
statistics (pg_stats, pg_statistic*: they hold values), activity (pg_stat_activity, pg_locks,
pg_prepared_statements, pg_cursors, pg_prepared_xacts), secrets and files (pg_authid, pg_shadow,
pg_user_mapping, pg_hba_file_rules, pg_file_settings, pg_config), large objects, replication.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp

from proxy.policy.model import RelationName
from proxy.rewrite.catalog_sql import (
    Node,
    all_of,
    any_of,
    call,
    cast,
    column,
    compare,
    false,
    is_built_in,
    is_oid,
    is_one_of_columns,
    is_one_of_keys,
    is_one_of_names,
    is_one_of_oids,
    is_one_of_pairs,
    negated,
    null,
    of_type,
    where,
)
from proxy.rewrite.catalog_visible import SYSTEM_SCHEMAS, VisibleCatalog, VisibleRelation
from proxy.sql.catalog import Column
from proxy.sql.settings import SHOWN_SETTINGS

Rows = Callable[[VisibleCatalog], Node]
Value = Callable[[VisibleCatalog, Column], Node]

# pg_toast is empty for every tool, but the schema is there in every database.
_SHOWN_SYSTEM_SCHEMAS: Final = (*SYSTEM_SCHEMAS, "pg_toast")

# The oids of the catalogs that descriptions and dependencies refer to (pg_class.dat and others).
_PG_CLASS: Final = 1259
_CATALOGS: Final = {
    "pg_attrdef": 2604,
    "pg_class": _PG_CLASS,
    "pg_constraint": 2606,
    "pg_namespace": 2615,
    "pg_rewrite": 2618,
    "pg_trigger": 2620,
    "pg_type": 1247,
}
_PG_DATABASE: Final = 1262

# As PostgreSQL spells them in pg_settings.
_SETTING_NAMES: Final = tuple(
    {"datestyle": "DateStyle", "intervalstyle": "IntervalStyle", "timezone": "TimeZone"}.get(
        name, name
    )
    for name in sorted(SHOWN_SETTINGS)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one relation is shown: its rows (None: every one) and the columns that differ."""

    rows: Rows | None
    values: Mapping[str, Value] = field(default_factory=dict)
    # Of a relation that counts things: the columns that are shown; all others count nothing.
    names: frozenset[str] | None = None
    is_empty: bool = False


# --- values ----------------------------------------------------------------------------------


def _null(_: VisibleCatalog, shown: Column) -> Node:
    if shown.type.base == "anyarray":
        # No constant has a polymorphic type.
        return exp.Case(ifs=[exp.If(this=false(), true=column(shown.name))])
    return null(shown)


def _fixed(text: str) -> Value:
    return lambda _, shown: of_type(exp.Literal.string(text), shown)


def counted_nothing(shown: Column) -> Node:
    """A counter's zero; NULL for the time of the last time."""
    is_number = shown.type.category == "N"
    return of_type(exp.Literal.string("0"), shown) if is_number else null(shown)


def _if(condition: Callable[[VisibleCatalog], Node]) -> Value:
    """The column where the condition holds, else what an absent thing has: false, NULL or ''."""

    def value(visible: VisibleCatalog, shown: Column) -> Node:
        otherwise = {"bool": _fixed("f"), "char": _fixed("")}.get(shown.type.base, _null)
        return where(condition(visible), column(shown.name), otherwise(visible, shown))

    return value


def _row_count(visible: VisibleCatalog, shown: Column) -> Node:
    # Of a relation that nobody has analysed: -1 since PostgreSQL 14, 0 before.
    return of_type(exp.Literal.string("-1" if visible.server_version >= 140000 else "0"), shown)


def _count(of: Callable[[VisibleRelation], int]) -> Value:
    """A number that counts hidden things too: told anew for the relations that have some."""

    def value(visible: VisibleCatalog, shown: Column) -> Node:
        by_count: defaultdict[int, list[int]] = defaultdict(list)
        for relation in visible.relations:
            if not relation.is_whole:
                by_count[of(relation)].append(relation.oid)
        cases = [
            exp.If(
                this=is_one_of_oids(column("oid"), oids),
                true=of_type(exp.Literal.string(str(number)), shown),
            )
            for number, oids in sorted(by_count.items())
        ]
        return exp.Case(ifs=cases, default=column(shown.name)) if cases else column(shown.name)

    return value


def _has_no_hidden_default(relation: str, attnum: str) -> Callable[[VisibleCatalog], Node]:
    return lambda visible: negated(
        is_one_of_columns(column(relation), column(attnum), visible.hidden_defaults)
    )


# --- rows of pg_catalog ----------------------------------------------------------------------


def _built_in(name: str = "oid") -> Rows:
    return lambda _: is_built_in(cast(column(name), "oid"))


def _oids(name: str, oids: Callable[[VisibleCatalog], tuple[int, ...]]) -> Rows:
    """Built-in rows, and those whose column `name` is one of the visible oids."""
    return lambda visible: any_of(
        is_built_in(column(name)), is_one_of_oids(column(name), oids(visible))
    )


def _relations(visible: VisibleCatalog) -> tuple[int, ...]:
    return tuple(each.oid for each in visible.relations)


def _indexes(visible: VisibleCatalog) -> tuple[int, ...]:
    return tuple(oid for oid, _ in visible.indexes)


def _indexed(visible: VisibleCatalog) -> tuple[int, ...]:
    return tuple(each.oid for each in visible.relations if each.has_index)


def _views(visible: VisibleCatalog) -> tuple[int, ...]:
    """What has a rule: its definition. Rules of tables are about writing; they are not shown."""
    return tuple(each.oid for each in visible.relations if each.kind in "vm")


def _relations_and_indexes(visible: VisibleCatalog) -> tuple[int, ...]:
    return _relations(visible) + _indexes(visible)


def _constraints(visible: VisibleCatalog) -> tuple[int, ...]:
    return tuple(each.oid for each in visible.constraints)


def is_visible_column(visible: VisibleCatalog, oid: str, attnum: str) -> Node:
    """Of whole relations any column; of others those that are visible, and the system's."""
    whole = [each.oid for each in visible.relations if each.is_whole]
    others = [each.oid for each in visible.relations if not each.is_whole]
    parts = [
        (each.oid, shown.attnum)
        for each in visible.relations
        if not each.is_whole
        for shown in each.columns
    ]
    is_systems = compare(column(attnum), "<", cast(exp.Literal.string("0"), "int2"))
    return any_of(
        is_one_of_oids(column(oid), whole),
        all_of(is_one_of_oids(column(oid), others), is_systems),
        is_one_of_columns(column(oid), column(attnum), parts),
    )


def _attributes(visible: VisibleCatalog) -> Node:
    return any_of(
        is_built_in(column("attrelid")),
        is_one_of_oids(column("attrelid"), _indexes(visible)),
        is_visible_column(visible, "attrelid", "attnum"),
    )


def visible_objects(visible: VisibleCatalog) -> Mapping[str, tuple[int, ...]]:
    """The oids of visible things by their catalog's name."""
    return {
        "pg_attrdef": visible.defaults,
        "pg_class": _relations_and_indexes(visible),
        "pg_constraint": _constraints(visible),
        "pg_namespace": tuple(visible.namespaces.values()),
        "pg_rewrite": visible.rules,
        "pg_trigger": visible.triggers,
        "pg_type": visible.types,
    }


def _is_visible_object(class_: str, oid: str, part: str) -> Rows:
    def rows(visible: VisibleCatalog) -> Node:
        no_part = compare(column(part), "=", cast(exp.Literal.string("0"), "int4"))
        return any_of(
            is_built_in(column(oid)),
            *(
                all_of(
                    is_oid(column(class_), _CATALOGS[name]),
                    no_part,
                    is_one_of_oids(column(oid), oids),
                )
                for name, oids in visible_objects(visible).items()
            ),
            all_of(is_oid(column(class_), _PG_CLASS), is_visible_column(visible, oid, part)),
        )

    return rows


def _dependencies(visible: VisibleCatalog) -> Node:
    return all_of(
        _is_visible_object("classid", "objid", "objsubid")(visible),
        _is_visible_object("refclassid", "refobjid", "refobjsubid")(visible),
    )


def _own_role(name: str) -> Rows:
    return lambda _: compare(column(name), "=", exp.CurrentUser())


def _roles(name: str, oid: str) -> Rows:
    """PostgreSQL's own roles, the session's, and owners of visible things (tools join them)."""
    return lambda visible: any_of(_oids(oid, _owners)(visible), _own_role(name)(visible))


def _owners(visible: VisibleCatalog) -> tuple[int, ...]:
    return visible.owners


def _pairs(schema: str, name: str, kinds: str) -> Rows:
    """Rows of system schemas, and those that name a visible relation of one of the kinds."""
    return lambda visible: any_of(
        is_one_of_names(column(schema), SYSTEM_SCHEMAS),
        is_one_of_pairs(
            column(schema),
            column(name),
            (each.name for each in visible.relations if each.kind in kinds),
        ),
    )


def _named(name: str, oids: Callable[[VisibleCatalog], Iterable[int]]) -> Rows:
    """Rows of system schemas, and those that name one of the relations."""

    def rows(visible: VisibleCatalog) -> Node:
        wanted = frozenset(oids(visible))
        return any_of(
            is_one_of_names(column("schemaname"), SYSTEM_SCHEMAS),
            is_one_of_pairs(
                column("schemaname"),
                column(name),
                (each.name for each in visible.relations if each.oid in wanted),
            ),
        )

    return rows


def _index_pairs(visible: VisibleCatalog) -> Node:
    return any_of(
        is_one_of_names(column("schemaname"), SYSTEM_SCHEMAS),
        is_one_of_pairs(
            column("schemaname"), column("indexname"), (name for _, name in visible.indexes)
        ),
    )


EMPTY: Final = Rule(rows=None, is_empty=True)
ALL: Final = Rule(rows=None)
BUILT_IN: Final = Rule(rows=_built_in())

# What a relation's counters say when nobody has ever looked at it or written to it.
_OF_TABLES: Final = Rule(
    rows=_oids("relid", _relations), names=frozenset({"relid", "schemaname", "relname"})
)
_OF_INDEXES: Final = Rule(
    rows=_oids("indexrelid", _indexes),
    names=frozenset({"relid", "indexrelid", "schemaname", "relname", "indexrelname"}),
)

_NO_FLAG: Final = _fixed("f")
_ZERO: Final = _fixed("0")

PG_CATALOG: Final[Mapping[str, Rule]] = {
    "pg_class": Rule(
        rows=_oids("oid", _relations_and_indexes),
        values={
            # Sizes, row counts and the marks of writes: as if nobody had ever written.
            "reltuples": _row_count,
            "relpages": _ZERO,
            "relallvisible": _ZERO,
            "relallfrozen": _ZERO,
            "relfilenode": _ZERO,
            "relfrozenxid": _ZERO,
            "relminmxid": _ZERO,
            # Things that are not shown at all: TOAST tables, row-security policies, rights.
            "reltoastrelid": _ZERO,
            "relrowsecurity": _NO_FLAG,
            "relforcerowsecurity": _NO_FLAG,
            "relacl": _null,
            # What counts hidden things too.
            "relnatts": _count(lambda each: len(each.columns)),
            "relchecks": _count(lambda each: each.checks),
            "relhasindex": _if(_oids("oid", _indexed)),
            "relhasrules": _if(_oids("oid", _views)),
            "relhastriggers": _if(_oids("oid", lambda visible: visible.triggered)),
            "relhassubclass": _if(lambda visible: is_one_of_oids(column("oid"), visible.parents)),
            "relispartition": _if(lambda visible: is_one_of_oids(column("oid"), visible.children)),
            "relpartbound": _if(lambda visible: is_one_of_oids(column("oid"), visible.children)),
        },
    ),
    "pg_attribute": Rule(
        rows=_attributes,
        values={
            "attacl": _null,
            "attoptions": _null,
            "attfdwoptions": _null,
            "atthasmissing": _NO_FLAG,
            "attmissingval": _null,  # a value
            "atthasdef": _if(_has_no_hidden_default("attrelid", "attnum")),
            "attgenerated": _if(_has_no_hidden_default("attrelid", "attnum")),
        },
    ),
    "pg_attrdef": Rule(rows=_oids("oid", lambda visible: visible.defaults)),
    "pg_constraint": Rule(rows=_oids("oid", _constraints)),
    "pg_index": Rule(rows=_oids("indexrelid", _indexes), values={"indcheckxmin": _NO_FLAG}),
    "pg_inherits": Rule(
        rows=lambda visible: all_of(
            is_one_of_oids(column("inhrelid"), visible.children),
            is_one_of_oids(column("inhparent"), visible.parents),
        )
    ),
    # A key may hold expressions over any column.
    "pg_partitioned_table": Rule(
        rows=lambda visible: is_one_of_oids(
            column("partrelid"), (each.oid for each in visible.relations if each.is_whole)
        )
    ),
    "pg_namespace": Rule(
        rows=lambda visible: is_one_of_names(
            column("nspname"), {*_SHOWN_SYSTEM_SCHEMAS, *visible.namespaces}
        ),
        values={"nspacl": _null},
    ),
    "pg_type": Rule(rows=_oids("oid", lambda visible: visible.types), values={"typacl": _null}),
    "pg_enum": Rule(rows=_oids("enumtypid", lambda visible: visible.types)),
    "pg_range": Rule(rows=_oids("rngtypid", lambda visible: visible.types)),
    "pg_description": Rule(rows=_is_visible_object("classoid", "objoid", "objsubid")),
    "pg_depend": Rule(rows=_dependencies),
    "pg_database": Rule(
        rows=lambda _: compare(column("datname"), "=", call("current_database")),
        values={"datfrozenxid": _ZERO, "datminmxid": _ZERO, "datacl": _null},
    ),
    "pg_rewrite": Rule(
        rows=_oids("oid", lambda visible: visible.rules),
        # The trees hold the names of all columns of what they mention.
        values=dict.fromkeys(("ev_qual", "ev_action"), _if(lambda _: is_built_in(column("oid")))),
    ),
    "pg_trigger": Rule(rows=_oids("oid", lambda visible: visible.triggers)),
    "pg_roles": Rule(
        rows=_roles("rolname", "oid"), values={"rolconfig": _null, "rolvaliduntil": _null}
    ),
    "pg_user": Rule(
        rows=_roles("usename", "usesysid"), values={"useconfig": _null, "valuntil": _null}
    ),
    "pg_settings": Rule(
        rows=lambda _: is_one_of_names(column("name"), _SETTING_NAMES),
        values={"sourcefile": _null, "sourceline": _null},
    ),
    "pg_tables": Rule(
        rows=_pairs("schemaname", "tablename", "rp"),
        values={
            "hasindexes": _if(_named("tablename", _indexed)),
            "hasrules": _NO_FLAG,
            "hastriggers": _if(_named("tablename", lambda visible: visible.triggered)),
            "rowsecurity": _NO_FLAG,
        },
    ),
    "pg_views": Rule(
        rows=_pairs("schemaname", "viewname", "v"),
        values={"definition": _if(_named("viewname", lambda visible: visible.defined))},
    ),
    "pg_matviews": Rule(
        rows=_pairs("schemaname", "matviewname", "m"),
        values={
            "definition": _if(_named("matviewname", lambda visible: visible.defined)),
            "hasindexes": _if(_named("matviewname", _indexed)),
        },
    ),
    "pg_indexes": Rule(rows=_index_pairs),
    "pg_proc": Rule(rows=_built_in(), values={"proacl": _null, "proconfig": _null}),
    "pg_aggregate": Rule(rows=_built_in("aggfnoid")),
    "pg_ts_config_map": Rule(rows=_built_in("mapcfg")),
    "pg_language": Rule(rows=_built_in(), values={"lanacl": _null}),
    "pg_tablespace": Rule(rows=_built_in(), values={"spcacl": _null, "spcoptions": _null}),
    **dict.fromkeys(
        (
            "pg_am",
            "pg_amop",
            "pg_amproc",
            "pg_cast",
            "pg_collation",
            "pg_conversion",
            "pg_extension",
            "pg_opclass",
            "pg_operator",
            "pg_opfamily",
            "pg_transform",
            "pg_ts_config",
            "pg_ts_dict",
            "pg_ts_parser",
            "pg_ts_template",
        ),
        BUILT_IN,
    ),
    **{
        f"pg_{kind}_{whose}_{what}": rule
        for kind in ("stat", "statio")
        for whose in ("all", "sys", "user")
        for what, rule in (("tables", _OF_TABLES), ("indexes", _OF_INDEXES))
    },
    "pg_shdescription": Rule(
        rows=lambda visible: all_of(
            is_oid(column("classoid"), _PG_DATABASE), is_oid(column("objoid"), visible.database)
        )
    ),
    "pg_timezone_abbrevs": ALL,
    "pg_timezone_names": ALL,
    # Things that no tool sees, but that tools ask for: none of them is there.
    **dict.fromkeys(
        (
            "pg_auth_members",
            "pg_available_extension_versions",
            "pg_available_extensions",
            "pg_db_role_setting",
            "pg_default_acl",
            "pg_event_trigger",
            "pg_foreign_data_wrapper",
            "pg_foreign_server",
            "pg_foreign_table",
            "pg_group",
            "pg_init_privs",
            "pg_largeobject_metadata",
            "pg_parameter_acl",
            "pg_policies",
            "pg_policy",
            "pg_publication",
            "pg_publication_namespace",
            "pg_publication_rel",
            "pg_publication_tables",
            "pg_rules",
            "pg_seclabel",
            "pg_seclabels",
            "pg_sequence",
            "pg_sequences",
            "pg_shdepend",
            "pg_shseclabel",
            "pg_statistic_ext",
            "pg_subscription",
            "pg_subscription_rel",
            "pg_user_mappings",
        ),
        EMPTY,
    ),
}


# --- rows of information_schema --------------------------------------------------------------
# Its views show what the upstream's role has rights on; these conditions come on top.


def _table_column() -> tuple[Node, ...]:
    return column("table_schema"), column("table_name"), column("column_name")


def _table(visible: VisibleCatalog) -> Node:
    return _pairs("table_schema", "table_name", "rpvmf")(visible)


def _is_table_column(visible: VisibleCatalog) -> Node:
    return any_of(
        is_one_of_names(column("table_schema"), SYSTEM_SCHEMAS),
        is_one_of_pairs(
            column("table_schema"),
            column("table_name"),
            (each.name for each in visible.relations if each.is_whole),
        ),
        is_one_of_keys(
            _table_column(),
            (
                (each.name.schema, each.name.name, shown.name)
                for each in visible.relations
                if not each.is_whole
                for shown in each.columns
            ),
        ),
    )


def _has_shown_default(visible: VisibleCatalog) -> Node:
    hidden = frozenset(visible.hidden_defaults)
    return negated(
        is_one_of_keys(
            _table_column(),
            (
                (each.name.schema, each.name.name, shown.name)
                for each in visible.relations
                for shown in each.columns
                if (each.oid, shown.attnum) in hidden
            ),
        )
    )


def _constraint_names(visible: VisibleCatalog) -> dict[RelationName, set[str]]:
    """Names of visible constraints by table, those that information_schema makes up included."""
    names: dict[RelationName, set[str]] = {each.name: set() for each in visible.relations}
    for constraint in visible.constraints:
        names[constraint.relation].add(constraint.name)
    if visible.server_version < 180000:
        # Before PostgreSQL 18 NOT NULL is no constraint; the view gives it a name of numbers.
        for each in visible.relations:
            schema = visible.namespaces[each.name.schema]
            names[each.name] |= {
                f"{schema}_{each.oid}_{shown.attnum}_not_null" for shown in each.columns
            }
    return names


def _is_table_constraint(visible: VisibleCatalog) -> Node:
    return any_of(
        is_one_of_names(column("table_schema"), SYSTEM_SCHEMAS),
        is_one_of_keys(
            (column("table_schema"), column("table_name"), column("constraint_name")),
            (
                (relation.schema, relation.name, name)
                for relation, names in _constraint_names(visible).items()
                for name in names
            ),
        ),
    )


def _is_constraint(visible: VisibleCatalog) -> Node:
    """By schema and name alone, where the view shows no table, or the referenced one."""
    return any_of(
        is_one_of_names(column("constraint_schema"), SYSTEM_SCHEMAS),
        is_one_of_pairs(
            column("constraint_schema"),
            column("constraint_name"),
            (
                RelationName(relation.schema, name)
                for relation, names in _constraint_names(visible).items()
                for name in names
                if (relation.schema, name) not in visible.hidden_constraint_names
            ),
        ),
    )


def _elements(visible: VisibleCatalog) -> Node:
    # The column's number, as text, says which of the table's arrays it is.
    parts = ("object_schema", "object_name", "object_type", "collection_type_identifier")
    return any_of(
        is_one_of_names(column("object_schema"), SYSTEM_SCHEMAS),
        is_one_of_keys(
            tuple(map(column, parts)),
            (
                (each.name.schema, each.name.name, "TABLE", str(shown.attnum))
                for each in visible.relations
                for shown in each.columns
                if shown.type.category == "A"
            ),
        ),
    )


def _both(first: Rows, second: Rows) -> Rows:
    return lambda visible: all_of(first(visible), second(visible))


INFORMATION_SCHEMA: Final[Mapping[str, Rule]] = {
    "schemata": Rule(
        rows=lambda visible: is_one_of_names(
            column("schema_name"), {*_SHOWN_SYSTEM_SCHEMAS, *visible.namespaces}
        )
    ),
    "tables": Rule(rows=_table),
    "columns": Rule(
        rows=_is_table_column,
        values={
            "column_default": _if(_has_shown_default),
            "generation_expression": _if(_has_shown_default),
        },
    ),
    "views": Rule(
        rows=_table,
        # Whether a view can be written depends on its definition and its triggers.
        values={"view_definition": _null},
    ),
    "table_constraints": Rule(rows=_is_table_constraint),
    "key_column_usage": Rule(rows=_both(_is_table_constraint, _is_table_column)),
    "constraint_column_usage": Rule(rows=_both(_is_constraint, _is_table_column)),
    "constraint_table_usage": Rule(rows=_both(_is_constraint, _table)),
    "referential_constraints": Rule(rows=_is_constraint),
    "check_constraints": Rule(rows=_is_constraint),
    "table_privileges": Rule(rows=_table),
    "role_table_grants": Rule(rows=_table),
    "column_privileges": Rule(rows=_is_table_column),
    "role_column_grants": Rule(rows=_is_table_column),
    "element_types": Rule(rows=_elements),
    "domains": Rule(
        rows=lambda visible: any_of(
            is_one_of_names(column("domain_schema"), SYSTEM_SCHEMAS),
            is_one_of_pairs(column("domain_schema"), column("domain_name"), visible.domains),
        )
    ),
    "domain_constraints": Rule(
        rows=lambda _: is_one_of_names(column("domain_schema"), SYSTEM_SCHEMAS)
    ),
    "routines": Rule(rows=lambda _: is_one_of_names(column("specific_schema"), SYSTEM_SCHEMAS)),
    "parameters": Rule(rows=lambda _: is_one_of_names(column("specific_schema"), SYSTEM_SCHEMAS)),
    "enabled_roles": Rule(rows=_own_role("role_name")),
    **dict.fromkeys(
        (
            "character_sets",
            "information_schema_catalog_name",
            "sql_features",
            "sql_implementation_info",
            "sql_sizing",
        ),
        ALL,
    ),
    "collations": Rule(rows=lambda _: is_one_of_names(column("collation_schema"), SYSTEM_SCHEMAS)),
    "collation_character_set_applicability": Rule(
        rows=lambda _: is_one_of_names(column("collation_schema"), SYSTEM_SCHEMAS)
    ),
    **dict.fromkeys(
        (
            "administrable_role_authorizations",
            "applicable_roles",
            "attributes",
            "check_constraint_routine_usage",
            "column_column_usage",
            "column_domain_usage",
            "column_options",
            "column_udt_usage",
            "data_type_privileges",
            "domain_udt_usage",
            "foreign_data_wrapper_options",
            "foreign_data_wrappers",
            "foreign_server_options",
            "foreign_servers",
            "foreign_table_options",
            "foreign_tables",
            "role_routine_grants",
            "role_udt_grants",
            "role_usage_grants",
            "routine_column_usage",
            "routine_privileges",
            "routine_routine_usage",
            "routine_sequence_usage",
            "routine_table_usage",
            "sequences",
            "transforms",
            "triggered_update_columns",
            "triggers",
            "udt_privileges",
            "usage_privileges",
            "user_defined_types",
            "user_mapping_options",
            "user_mappings",
            "view_column_usage",
            "view_routine_usage",
            "view_table_usage",
        ),
        EMPTY,
    ),
}

RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    "pg_catalog": PG_CATALOG,
    "information_schema": INFORMATION_SCHEMA,
}
