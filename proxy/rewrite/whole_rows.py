"""A whole row among the columns of an answer: `SELECT d FROM ref.dealers AS d`.

Behind a guard such a row has the type `record`, where PostgreSQL answers with the relation's own
row type. Where a tool sees all columns, each of its own type, the row is cast to it. Only where the
row goes straight to the client: anything else that a statement does with a row works on records
too, and on the relation's own type it could call what users made for that (CREATE CAST).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.rewrite.splice import quoted
from proxy.rewrite.store import Prepared
from proxy.sql.catalog import Relation
from proxy.sql.grammar import Tree, scan
from proxy.sql.read import RelationUse


@dataclass(frozen=True, slots=True)
class RowCast:
    """The statement's output column `at` is a whole row of the relation."""

    at: int
    relation: Relation

    @property
    def text(self) -> str:
        return f"::{quoted(self.relation.name.schema)}.{quoted(self.relation.name.name)}"

    def expect(self, node: Tree) -> None:
        """Put the cast into the tree."""
        target = node["targetList"][self.at]["ResTarget"]
        names = [
            {"String": {"sval": part}}
            for part in (self.relation.name.schema, self.relation.name.name)
        ]
        target["val"] = {
            "TypeCast": {"arg": target["val"], "typeName": {"names": names, "typemod": -1}}
        }


def row_casts(
    node: Tree, uses: Sequence[RelationUse], prepared: Sequence[Prepared]
) -> list[RowCast]:
    """The casts of a statement (a SelectStmt's fields)."""
    if "groupClause" in node or "distinctClause" in node:
        return []  # the row has to be the same there
    own = {
        use.alias: (use, guard)
        for use, guard in zip(uses, prepared, strict=True)
        if use.select is node
    }
    # With other items in the FROM list, the name could be a column of theirs.
    if len(own) != _leaves(node.get("fromClause", ())):
        return []
    columns: set[str] = set()
    for _, each in own.values():
        if each.guard is None:
            return []
        columns |= each.guard.relation.names
    casts = []
    for at, target in enumerate(node.get("targetList", ())):
        fields = target["ResTarget"].get("val", {}).get("ColumnRef", {}).get("fields", ())
        if len(fields) != 1 or "String" not in fields[0]:
            continue
        name = fields[0]["String"].get("sval", "")
        if name in own and name not in columns:
            use, guard = own[name]
            relation = _shown_whole(use, guard)
            if relation is not None:
                casts.append(RowCast(at, relation))
    return casts


def row_ends(casts: Sequence[RowCast], same: Tree, text: str) -> list[int | None]:
    """Where the rows' names end in the text, in characters; `same` is the text's own tree."""
    encoded = text.encode()
    ends = {token.start: token.end for token in scan(text)}
    return [ends.get(len(encoded[: _location(same, cast.at)].decode())) for cast in casts]


def _location(tree: Tree, at: int) -> int:
    location: int = tree["targetList"][at]["ResTarget"]["val"]["ColumnRef"].get("location", 0)
    return location


def _leaves(items: Sequence[Tree]) -> int:
    """How many items without joins there are; each with a name of its own."""
    number = 0
    for item in items:
        join = item.get("JoinExpr")
        number += 1 if join is None else _leaves([join["larg"], join["rarg"]])
    return number


def _shown_whole(use: RelationUse, prepared: Prepared) -> Relation | None:
    """The relation, if the guard's row is one of its own: all columns, each of its own type."""
    guard = prepared.guard
    if guard is None or use.is_nullable_side or use.is_hidden or use.has_column_aliases:
        return None
    shown = [(each.name, each.type) for each in guard.columns]
    own = [(each.name, each.type) for each in guard.relation.columns]
    return guard.relation if shown == own else None
