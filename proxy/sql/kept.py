"""Which tables repeat their people's consent, and can be trusted to (`consent: in_table`).

Read with the catalog. What a table's copies rest on is described by `consent.kept_state`, in the
database; while it is not what it was when the copies were filled, the table is not among these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

# A database may not be prepared, or be so by an older proxy; another role may have no right.
_IS_THERE: Final = """
SELECT coalesce((SELECT bool_and(has_table_privilege(c.oid, 'SELECT'))
                        AND count(*) = 2
                        AND has_schema_privilege('consent', 'USAGE')
                   FROM pg_class c
                  WHERE c.relname IN ('kept', 'kept_column')
                    AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'consent')),
                false)
"""
_KEPT: Final = """
SELECT k.relation::int8 AS relation, key.attname::text AS key,
       ARRAY(SELECT c.column_name FROM consent.kept_column c JOIN pg_attribute a USING (attnum)
              WHERE c.relation = k.relation AND a.attrelid = k.relation AND NOT a.attisdropped
              ORDER BY a.attnum) AS ledger,
       ARRAY(SELECT a.attname::text FROM consent.kept_column c JOIN pg_attribute a USING (attnum)
              WHERE c.relation = k.relation AND a.attrelid = k.relation AND NOT a.attisdropped
              ORDER BY a.attnum) AS columns,
       ARRAY(SELECT c.oid::int8 FROM pg_class c
              WHERE c.relkind = 'r' AND (c.oid = k.relation
                 OR c.oid IN (SELECT relid FROM pg_partition_tree(k.relation)))
              ORDER BY 1) AS members,
       consent.kept_state(k.relation) AS state
  FROM consent.kept k
  JOIN pg_attribute key ON key.attrelid = k.relation AND key.attnum = k.key
 WHERE k.state = consent.kept_state(k.relation)
 ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Copies of consent in a table, of which every row is in step with the ledger."""

    key: str  # the column of the data subject
    columns: Mapping[str, str]  # column of consent.subject → column of the table
    members: tuple[int, ...]  # oids of the tables that hold rows: itself, or its partitions


async def read_kept(connection: asyncpg.Connection) -> Sequence[asyncpg.Record]:
    """The rows that `kept_of` understands; none where the database is not prepared."""
    if not await connection.fetchval(_IS_THERE):
        return []
    rows: Sequence[asyncpg.Record] = await connection.fetch(_KEPT)
    return rows


def kept_of(rows: Sequence[asyncpg.Record]) -> dict[int, Kept]:
    """By the relation's oid."""
    return {
        row["relation"]: Kept(
            key=row["key"],
            columns=dict(zip(row["ledger"], row["columns"], strict=True)),
            members=tuple(row["members"]),
        )
        for row in rows
    }
