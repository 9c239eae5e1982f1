"""Statements that nobody asked, planned before the doors open.

The readers, the printer of guards and the patterns set themselves up when they are first used, in a
statement's time otherwise. Each form goes another way through the steps of `enforce.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from proxy.policy.model import Policy
from proxy.rewrite.plan import PlanContext
from proxy.rewrite.splice import quoted

RELATIONS_MAX: Final = 10
_FORMS: Final = (
    """
    SELECT {column}, count(*) FROM {relation} WHERE {column} = 'a' AND {column} IN ('a', 'b')
     GROUP BY {column} HAVING count(*) > 1 ORDER BY 1 LIMIT 1
    """,
    """
    WITH w AS (SELECT * FROM {relation})
    SELECT a.*, max(b.{column}) OVER () FROM w AS a JOIN {relation} AS b ON a.{column} = b.{column}
     WHERE b.{column} BETWEEN 'a' AND 'b'
    """,
    """
    SELECT relname, {column} FROM {relation}, pg_catalog.pg_class AS c
     WHERE c.oid = 'pg_catalog.pg_class'::pg_catalog.regclass
    """,
)


def rehearsed(policy: Policy) -> Iterator[tuple[str, PlanContext]]:
    """Texts over relations of the policy that hold something personal, for a tool of the policy."""
    tool = next((each for each in policy.tools.values() if each.purposes), None)
    if tool is None:
        return
    context = PlanContext(tool=tool.name, purpose=tool.purposes[0], search_path=policy.schemas)
    for relation, column in islice(_personal(policy), RELATIONS_MAX):
        for form in _FORMS:
            yield form.format(relation=relation, column=column), context


def _personal(policy: Policy) -> Iterator[tuple[str, str]]:
    for relation, rule in policy.relations.items():
        for name, column in (rule.columns or {}).items():
            if column.category is not None:
                yield f"{quoted(relation.schema)}.{quoted(relation.name)}", quoted(name)
                break
