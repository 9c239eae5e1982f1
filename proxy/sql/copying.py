"""COPY … TO STDOUT: which forms are answered, and a table as the query it stands for."""

from __future__ import annotations

from typing import Final

from proxy.errors import Reason, Refused
from proxy.rewrite.check import is_same
from proxy.rewrite.splice import quoted
from proxy.sql.grammar import RawStatement, Tree, parse, scan

_OPTIONS: Final = frozenset(
    ["format", "delimiter", "null", "header", "quote", "escape", "force_quote", "encoding"]
)


def as_query(statement: RawStatement) -> RawStatement:
    """The statement as `COPY (query) TO STDOUT`; refuses every other form of COPY."""
    node = statement.node
    if node.get("is_from") or node.get("is_program") or node.get("filename"):
        raise Refused(Reason.STATEMENT_KIND, "of COPY only COPY … TO STDOUT is supported")
    for item in node.get("options", ()):
        _check_option(item["DefElem"])
    return _from_relation(statement) if "relation" in node else statement


def _check_option(option: Tree) -> None:
    name = option["defname"]
    if name not in _OPTIONS:
        raise Refused(Reason.NOT_UNDERSTOOD, f"COPY option {name} is not supported")
    if name == "encoding":
        value = option.get("arg", {}).get("String", {}).get("sval", "")
        if value.replace("-", "").lower() != "utf8":
            raise Refused(Reason.SETTING_NOT_ALLOWED, "COPY is answered in UTF8 only")


def _from_relation(statement: RawStatement) -> RawStatement:
    """`COPY relation (columns) TO …` as `COPY (SELECT columns FROM relation) TO …`."""
    relation = statement.node["relation"]
    if not relation.get("inh"):
        raise Refused(Reason.NOT_UNDERSTOOD, "this form of COPY is not supported")
    columns = [item["String"].get("sval", "") for item in statement.node.get("attlist", ())]
    selected = ", ".join(map(quoted, columns)) if columns else "*"
    parts = [relation[key] for key in ("catalogname", "schemaname") if key in relation]
    name = ".".join(map(quoted, [*parts, relation["relname"]]))
    whole = statement.canonical
    # The first TO outside quotes ends the relation and its columns: both are identifiers.
    end = next(token.start for token in scan(whole) if token.name == "TO")
    (rewritten,) = parse(f"COPY (SELECT {selected} FROM {name}) {whole[end:]}")
    if not is_same(rewritten.node.get("options", []), statement.node.get("options", [])):
        raise Refused(Reason.READERS_DISAGREE, "the options of COPY are not understood")
    return rewritten
