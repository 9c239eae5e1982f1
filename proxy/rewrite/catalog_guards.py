"""Guards of pg_catalog and information_schema: what stands in for their relations.

A tool that looks around in the catalog finds the relations and columns that it can see under its
purpose, and PostgreSQL's own things; hidden names, row counts, sizes, statistics and activity are
not there. A guard that leaves rows out is fenced, or a tool's condition would be evaluated on them,
and its error would tell a hidden name, default or comment. The rights of the upstream's role hold
underneath.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from proxy.policy.model import RelationName
from proxy.rewrite.catalog_rules import RULES, Rule, counted_nothing
from proxy.rewrite.catalog_sql import ALIAS, Node, cast, column, false, null
from proxy.rewrite.catalog_visible import VisibleCatalog, visible_catalog
from proxy.rewrite.guard import fenced
from proxy.sql.catalog import Column

__all__ = ["TABLE_OID", "VisibleCatalog", "catalog_guard", "visible_catalog"]

TABLE_OID: Final = "tableoid"


def catalog_guard(
    relation: RelationName, visible: VisibleCatalog, wanted: frozenset[str] | None = None
) -> exp.Select | None:
    """What stands in for `relation`; None: it is not shown (`table_not_in_policy`).

    The wanted ones of the relation's columns (None: all) in table order, with their own names and
    types; a column without a name where there is none.
    """
    rule = RULES.get(relation.schema, {}).get(relation.name)
    columns = visible.system_relations.get(relation)
    if rule is None or not columns:
        return None
    outputs = [
        _output(rule, shown, visible) for shown in columns if wanted is None or shown.name in wanted
    ]
    if wanted is not None and TABLE_OID in wanted:
        outputs.append(_table_oid(rule))
    select = exp.Select(expressions=outputs or [exp.alias_(exp.Null(), "?", quoted=True)])
    if rule.is_empty:
        # Nothing is read: the role may have no right to.
        return select.where(false(), copy=False)
    table = exp.Table(
        this=exp.to_identifier(relation.name, quoted=True),
        db=exp.to_identifier(relation.schema, quoted=True),
        alias=exp.TableAlias(this=exp.to_identifier(ALIAS, quoted=True)),
    )
    select = select.from_(table, copy=False)
    if rule.rows is None:
        return select
    return fenced(select.where(rule.rows(visible), copy=False))


def _table_oid(rule: Rule) -> Node:
    """The catalog's own tables have a tableoid that tools ask for (pg_dump, DBD::Pg)."""
    value = cast(exp.Null(), "oid") if rule.is_empty else column(TABLE_OID)
    return exp.alias_(value, TABLE_OID, quoted=True, copy=False)


def _output(rule: Rule, shown: Column, visible: VisibleCatalog) -> Node:
    value: Node
    if rule.is_empty:
        value = null(shown)
    elif rule.names is not None and shown.name not in rule.names:
        value = counted_nothing(shown)
    elif shown.name in rule.values:
        value = rule.values[shown.name](visible, shown)
    else:
        value = column(shown.name)
    return exp.alias_(value, shown.name, quoted=True, copy=False)
