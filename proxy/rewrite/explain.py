"""EXPLAIN, answered from our own plan.

Nothing goes upstream but constants: a real plan's shape and estimates follow hidden values
(measured, research/rewriting.md 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from proxy.errors import Reason, Refused
from proxy.rewrite.plan import TableUse
from proxy.sql.grammar import Tree

# What postgres_fdw and BI tools read from the first line: costs that say nothing.
_NO_COSTS: Final = "(cost=0.00..0.00 rows=1 width=0)"


def explain_lines(tables: Sequence[TableUse], purpose: str | None) -> list[str]:
    """What EXPLAIN answers: per relation and column value, mask or absent, and why."""
    whose = f"Answered by the proxy from its own plan, for purpose {purpose or '(none)'}"
    lines = [f"{whose}  {_NO_COSTS}"]
    for table in tables:
        lines.append(table.name)
        for column in table.columns:
            category = column.category or "open"
            match column.verdict:
                case "shown":
                    words = "value (open)"
                case "masked":
                    words = f"mask {column.mask} for every row ({category} is not read)"
                case "guarded":
                    words = (
                        f"value where the purpose is in force, else mask {column.mask} ({category})"
                    )
                case _:
                    words = f"absent ({category})"
            lines.append(f"  {column.name}: {words}")
    if not tables:
        lines.append("The statement reads no relation.")
    return lines


def explain_json(lines: Sequence[str]) -> str:
    """The same for EXPLAIN (FORMAT JSON): one value of type json."""
    document = orjson.dumps([{"Plan": {"Node Type": "Consent proxy", "Lines": list(lines)}}])
    value = document.decode().replace("'", "''")
    return f"SELECT '{value}'::json AS \"QUERY PLAN\""


def explain_query(lines: Sequence[str]) -> str:
    """A query whose rows are the lines, named as PostgreSQL names EXPLAIN's."""
    values = ", ".join("('" + line.replace("'", "''") + "')" for line in lines)
    return f'SELECT "QUERY PLAN" FROM (VALUES {values}) AS plan("QUERY PLAN")'


def with_parameters(query: str, count: int) -> str:
    """The query, which takes the statement's parameters and makes nothing of them."""
    if not count:
        return query
    taken = (f"CAST(${number} AS pg_catalog.text) IS NULL" for number in range(1, count + 1))
    return f"{query} WHERE {' OR '.join(('true', *taken))}"


def is_json(options: Sequence[Tree]) -> bool:
    """Whether the options ask for JSON; refuses options that can not be answered."""
    for option in options:
        check_option(option["DefElem"])
    return any(
        option["DefElem"]["defname"] == "format" and _text(option["DefElem"]) == "json"
        for option in options
    )


def _text(option: Tree) -> str:
    value: str = option.get("arg", {}).get("String", {}).get("sval", "true")
    return value.lower()


def check_option(option: Tree) -> None:
    name = option["defname"]
    text = _text(option)
    if name == "analyze" and text not in ("false", "off", "0"):
        raise Refused(
            Reason.STATEMENT_KIND,
            "EXPLAIN ANALYZE is not supported: a real plan follows hidden values",
        )
    if name == "format" and text not in ("text", "json"):
        raise Refused(Reason.STATEMENT_KIND, "EXPLAIN is answered as text or JSON only")
