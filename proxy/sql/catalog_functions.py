"""Functions that are asked for a thing of the catalog by its object id, or for a setting by name.

They look past the guards of the catalog's relations: `pg_get_constraintdef(16418)` prints a CHECK
of a hidden table, with the constants that somebody wrote into it. So each argument that names a
thing is confined to what the tool can see (`rewrite/catalog_calls.py`); in place of anything else
the function gets an id that nothing has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from proxy.sql.named import Named


class Things(StrEnum):
    """What an argument may name: built-in things, and of the database's own those listed here."""

    RELATIONS = "relations"  # and their indexes
    WHOLE_RELATIONS = "whole relations"  # without a hidden column
    DEFINITIONS = "definitions"  # views that mention nothing hidden
    CONSTRAINTS = "constraints"
    RULES = "rules"
    TRIGGERS = "triggers"
    BELOW_SHOWN = "relations below visible ones"  # partitions, and what is none
    ABOVE_SHOWN = "relations above visible ones"  # partitioned, and what is not
    TYPES = "types"
    ROLES = "roles"  # the session's own, owners of visible things
    DATABASES = "databases"  # the session's own
    BUILT_IN = "built-in"  # none of the database's own
    NOTHING = "nothing"  # no thing at all: the answer is NULL
    NO_NAME = "no name"  # the same, where a thing is named by text
    SHOWN_SETTINGS = "settings that are shown"
    FREE_SETTINGS = "settings that may have any value"
    TYPE_LISTS = "lists of types"
    # Pairs: an object's id and a column's number, or its id and its catalog's name.
    COLUMNS = "columns"
    OBJECTS = "objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogCall:
    """How one function is called with so many arguments: what its argument number `at` names."""

    things: Things
    at: int = 0


def _calls(things: Things, *counts: int, at: int = 0) -> Mapping[int, CatalogCall]:
    return {count: CatalogCall(things=things, at=at) for count in counts}


# pg_stat_get_…(oid): what a relation's counters and times say.
_COUNTERS: Final = (
    *("analyze_count", "autoanalyze_count", "autovacuum_count", "vacuum_count"),
    *("last_analyze_time", "last_autoanalyze_time", "last_autovacuum_time", "last_vacuum_time"),
    *("live_tuples", "dead_tuples", "mod_since_analyze", "ins_since_vacuum"),
    *("numscans", "blocks_fetched", "blocks_hit", "tuples_fetched", "tuples_returned"),
    *("tuples_inserted", "tuples_updated", "tuples_hot_updated", "tuples_deleted"),
)

_CALLS: Final[Mapping[str, Mapping[int, CatalogCall]]] = {
    "col_description": _calls(Things.COLUMNS, 2),
    "current_setting": _calls(Things.SHOWN_SETTINGS, 1, 2),
    "format_type": _calls(Things.TYPES, 2),
    # Of one argument: of any catalog; tools mean relations.
    "obj_description": {**_calls(Things.RELATIONS, 1), **_calls(Things.OBJECTS, 2)},
    "oidvectortypes": _calls(Things.TYPE_LISTS, 1),
    "pg_basetype": _calls(Things.TYPES, 1),
    "pg_collation_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_conversion_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_database_size": _calls(Things.NOTHING, 1),
    "pg_describe_object": _calls(Things.BUILT_IN, 3, at=1),
    "pg_function_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_get_constraintdef": _calls(Things.CONSTRAINTS, 1, 2),
    "pg_get_expr": _calls(Things.RELATIONS, 2, 3, at=1),
    "pg_get_function_arg_default": _calls(Things.BUILT_IN, 2),
    "pg_get_function_arguments": _calls(Things.BUILT_IN, 1),
    "pg_get_function_identity_arguments": _calls(Things.BUILT_IN, 1),
    "pg_get_function_result": _calls(Things.BUILT_IN, 1),
    "pg_get_function_sqlbody": _calls(Things.BUILT_IN, 1),
    "pg_get_functiondef": _calls(Things.BUILT_IN, 1),
    "pg_get_indexdef": _calls(Things.RELATIONS, 1, 3),
    "pg_get_partkeydef": _calls(Things.WHOLE_RELATIONS, 1),
    "pg_get_ruledef": _calls(Things.RULES, 1, 2),
    # Sequences are not shown.
    "pg_get_sequence_data": _calls(Things.BUILT_IN, 1),
    "pg_get_serial_sequence": _calls(Things.NO_NAME, 2),
    "pg_get_statisticsobjdef": _calls(Things.BUILT_IN, 1),
    "pg_get_statisticsobjdef_columns": _calls(Things.BUILT_IN, 1),
    "pg_get_triggerdef": _calls(Things.TRIGGERS, 1, 2),
    "pg_get_userbyid": _calls(Things.ROLES, 1),
    "pg_get_viewdef": _calls(Things.DEFINITIONS, 1, 2),
    "pg_index_column_has_property": _calls(Things.RELATIONS, 3),
    "pg_index_has_property": _calls(Things.RELATIONS, 2),
    "pg_indexes_size": _calls(Things.NOTHING, 1),
    "pg_opclass_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_operator_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_opfamily_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_partition_ancestors": _calls(Things.BELOW_SHOWN, 1),
    "pg_partition_root": _calls(Things.BELOW_SHOWN, 1),
    "pg_partition_tree": _calls(Things.ABOVE_SHOWN, 1),
    "pg_relation_is_publishable": _calls(Things.RELATIONS, 1),
    "pg_relation_is_updatable": _calls(Things.RELATIONS, 2),
    "pg_relation_size": _calls(Things.NOTHING, 1, 2),
    "pg_statistics_obj_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_table_is_visible": _calls(Things.RELATIONS, 1),
    "pg_table_size": _calls(Things.NOTHING, 1),
    "pg_tablespace_location": _calls(Things.BUILT_IN, 1),
    "pg_tablespace_size": _calls(Things.NOTHING, 1),
    "pg_total_relation_size": _calls(Things.NOTHING, 1),
    "pg_ts_config_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_ts_dict_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_ts_parser_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_ts_template_is_visible": _calls(Things.BUILT_IN, 1),
    "pg_type_is_visible": _calls(Things.TYPES, 1),
    "set_config": _calls(Things.FREE_SETTINGS, 3),
    "shobj_description": _calls(Things.DATABASES, 2),
    **{f"pg_stat_get_{name}": _calls(Things.NOTHING, 1) for name in _COUNTERS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCall:
    """A function that is given names of things, or their ids: which, by the argument's number."""

    arguments: Mapping[int, Named]
    column: int | None = None  # the argument that names a column of the relation before it
    is_quiet: bool = False  # NULL for what is not there, instead of an error
    is_optional: bool = False  # the argument may be something else: a document


def _named(*kinds: Named, **more: Any) -> NamedCall:
    return NamedCall(arguments=dict(enumerate(kinds)), **more)


def _rights(kind: Named) -> Mapping[int, NamedCall]:
    """has_…_privilege(thing, right), and of another role."""
    return {2: _named(kind), 3: _named(Named.ROLE, kind)}


_NAMED: Final[Mapping[str, Mapping[int, NamedCall]]] = {
    "acldefault": {2: NamedCall(arguments={1: Named.ROLE})},
    "has_any_column_privilege": _rights(Named.RELATION),
    "has_column_privilege": {
        3: _named(Named.RELATION, column=1),
        4: _named(Named.ROLE, Named.RELATION, column=2),
    },
    "has_database_privilege": _rights(Named.DATABASE),
    "has_foreign_data_wrapper_privilege": _rights(Named.WRAPPER),
    "has_function_privilege": _rights(Named.SIGNATURE),
    "has_language_privilege": _rights(Named.LANGUAGE),
    "has_schema_privilege": _rights(Named.SCHEMA),
    "has_sequence_privilege": _rights(Named.RELATION),
    "has_server_privilege": _rights(Named.SERVER),
    "has_table_privilege": _rights(Named.RELATION),
    "has_tablespace_privilege": _rights(Named.TABLESPACE),
    "has_type_privilege": _rights(Named.TYPE),
    "json_to_tsvector": {3: _named(Named.CONFIG)},
    "jsonb_to_tsvector": {3: _named(Named.CONFIG)},
    "pg_has_role": _rights(Named.ROLE),
    "phraseto_tsquery": {2: _named(Named.CONFIG)},
    "plainto_tsquery": {2: _named(Named.CONFIG)},
    "regclass": {1: _named(Named.RELATION)},
    "to_regclass": {1: _named(Named.RELATION, is_quiet=True)},
    "to_regcollation": {1: _named(Named.COLLATION, is_quiet=True)},
    "to_regnamespace": {1: _named(Named.SCHEMA, is_quiet=True)},
    "to_regoper": {1: _named(Named.OPERATOR, is_quiet=True)},
    "to_regoperator": {1: _named(Named.OPERATOR_SIGNATURE, is_quiet=True)},
    "to_regproc": {1: _named(Named.FUNCTION, is_quiet=True)},
    "to_regprocedure": {1: _named(Named.SIGNATURE, is_quiet=True)},
    "to_regrole": {1: _named(Named.ROLE, is_quiet=True)},
    "to_regtype": {1: _named(Named.TYPE, is_quiet=True)},
    "to_regtypemod": {1: _named(Named.TYPE, is_quiet=True)},
    "to_tsquery": {2: _named(Named.CONFIG)},
    "to_tsvector": {2: _named(Named.CONFIG)},
    "ts_debug": {2: _named(Named.CONFIG)},
    "ts_headline": {3: _named(Named.CONFIG, is_optional=True), 4: _named(Named.CONFIG)},
    "ts_lexize": {2: _named(Named.DICTIONARY)},
    "ts_parse": {2: _named(Named.PARSER)},
    "ts_token_type": {1: _named(Named.PARSER)},
    "websearch_to_tsquery": {2: _named(Named.CONFIG)},
}

# On no list, and what they tell is no secret: which extensions the server could install, the number
# of the process that answers (not that of BackendKeyData, the proxy's own), and what stands in an
# access control list, of which none is shown.
_HARMLESS: Final = frozenset(
    {("aclexplode", 1), ("pg_available_extensions", 0), ("pg_backend_pid", 0)}
)


def catalog_call(name: str, count: int) -> CatalogCall | None:
    """How pg_catalog's function `name` is answered when called with so many arguments."""
    return _CALLS.get(name, {}).get(count)


def is_catalog_call(name: str, count: int) -> bool:
    """Whether a tool may call it because its arguments are confined, whatever the lists say."""
    return (name, count) in _HARMLESS or catalog_call(name, count) is not None


def named_call_of(names: Sequence[str], count: int) -> NamedCall | None:
    """Which arguments of a call name things; `names` as it is written."""
    if (len(names) == 2 and names[0] != "pg_catalog") or len(names) > 2:
        return None
    return _NAMED.get(names[-1], {}).get(count)


def catalog_call_of(names: Sequence[str], count: int) -> CatalogCall | None:
    """The same of a name as it is written: unqualified, or pg_catalog's."""
    if (len(names) == 2 and names[0] != "pg_catalog") or len(names) > 2:
        return None
    return catalog_call(names[-1], count)
