"""`ORDER BY key LIMIT n` of a fenced relation: the order is asked inside the fence too.

An index gives it there, and the first n rows are enough; the fence would have all rows made and
sorted. The answer is the same whatever is done here: a guard's rows have no order of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from proxy.policy.decide import Shown
from proxy.rewrite.comparisons import begins_index
from proxy.rewrite.conditions import is_alone, may_be_followed, output_columns, own_column
from proxy.rewrite.guard import COMPARED_SAFELY, Guard, column
from proxy.sql.catalog import Catalog
from proxy.sql.grammar import Tree
from proxy.sql.read import RelationUse, names_of

_GROUPING: Final = ("groupClause", "havingClause", "windowClause", "distinctClause", "larg")


def index_order(guard: Guard, use: RelationUse, catalog: Catalog) -> list[exp.Ordered]:
    """What the guard is to be ordered by; nothing where no index begins with it."""
    select = use.select
    items: Sequence[Tree] = select.get("sortClause", ())
    if not items or "limitCount" not in select or any(each in select for each in _GROUPING):
        return []
    if not is_alone(use) or not may_be_followed(use):
        return []
    # Others are shown as expressions: an index on the column does not serve them.
    columns = {
        each.name
        for each in guard.columns
        if isinstance(each.verdict, Shown)
        and each.type.schema == "pg_catalog"
        and each.type.base in COMPARED_SAFELY
    }
    ordered: list[exp.Ordered] = []
    for item in items:
        name = _column(item["SortBy"], use, frozenset(columns))
        if name is None or (not ordered and not begins_index(guard, name, catalog)):
            return []
        ordered.append(_ordered(item["SortBy"], name))
    return ordered


def _column(item: Tree, use: RelationUse, columns: frozenset[str]) -> str | None:
    """The relation's column that an item of ORDER BY is: by an output column's name first, as
    PostgreSQL reads it, or by its number.
    """
    node = item["node"]
    if "A_Const" in node:
        targets = use.select.get("targetList", ())
        number = node["A_Const"].get("ival", {}).get("ival", 0)
        if not 0 < number <= len(targets):
            return None
        node = targets[number - 1]["ResTarget"].get("val", {})
        return own_column(node, use, columns)
    outputs = output_columns(use, columns)
    fields = node.get("ColumnRef", {}).get("fields", ())
    if len(fields) == 1 and "String" in fields[0]:
        (name,) = names_of(fields)
        return outputs[name] if name in outputs else own_column(node, use, columns)
    return own_column(node, use, columns)


def _ordered(item: Tree, name: str) -> exp.Ordered:
    is_descending = item.get("sortby_dir") == "SORTBY_DESC"
    nulls_first = is_descending  # PostgreSQL takes NULL for larger than any value
    if item.get("sortby_nulls") in ("SORTBY_NULLS_FIRST", "SORTBY_NULLS_LAST"):
        nulls_first = item["sortby_nulls"] == "SORTBY_NULLS_FIRST"
    return exp.Ordered(this=column(name, "t"), desc=is_descending, nulls_first=nulls_first)
