"""What the columns of a result are called: PostgreSQL's own names of their types, looked up once.

The upstream is asked on the connection that runs the statement, before the statement runs, and
only for types that no result has had since the catalog was read last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.errors import UpstreamProtocolError
from proxy.gateway.conversation import Conversation
from proxy.gateway.values import ColumnType

# A database has a few hundred types, and a few modifiers of each.
_KNOWN_MAX: Final = 4096

# An element that is a domain is shown as its base type is. int2vector and oidvector count as
# arrays and are not written as such.
_QUESTION: Final = """
SELECT pg_catalog.format_type(w.oid, w.modifier),
       CASE WHEN t.typcategory = 'A' AND t.typlen = -1 AND t.oid NOT IN (22, 30)
            THEN CASE e.typtype WHEN 'd' THEN e.typbasetype ELSE e.oid END END,
       e.typdelim
FROM ROWS FROM (pg_catalog.unnest('{%s}'::pg_catalog.oid[]),
                pg_catalog.unnest('{%s}'::pg_catalog.int4[]))
     WITH ORDINALITY AS w(oid, modifier, place)
LEFT JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) w.oid
LEFT JOIN pg_catalog.pg_type AS e ON e.oid OPERATOR(pg_catalog.=) t.typelem
ORDER BY w.place
"""


class ColumnTypes:
    """The types of results so far, by oid and type modifier."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], ColumnType] = {}
        self._revision = ""

    async def of(
        self, conversation: Conversation, columns: Sequence[tuple[str, int, int]], revision: str
    ) -> list[ColumnType]:
        """The types of columns (name, oid, modifier). `revision` is the planner's: under another
        one the database may have other types.
        """
        if revision != self._revision or len(self._known) > _KNOWN_MAX:
            self._known, self._revision = {}, revision
        known = self._known
        keys = [(oid, modifier) for _, oid, modifier in columns]
        missing = list(dict.fromkeys(key for key in keys if key not in known))
        if missing:
            rows = await conversation.ask(_question(missing))
            if len(rows) != len(missing):
                raise UpstreamProtocolError("the upstream does not know its own types")
            for key, row in zip(missing, rows, strict=True):
                known[key] = _column_type(key[0], row)
        return [known[key] for key in keys]


def _question(keys: Sequence[tuple[int, int]]) -> str:
    oids = ",".join(str(oid) for oid, _ in keys)
    modifiers = ",".join(str(modifier) for _, modifier in keys)
    return _QUESTION % (oids, modifiers)


def _column_type(oid: int, row: Sequence[bytes | None]) -> ColumnType:
    name, element, delimiter = row
    return ColumnType(
        name=(name or b"???").decode("utf-8", "replace"),
        oid=oid,
        element=None if element is None else int(element),
        delimiter=delimiter or b",",
    )
