"""Names inside schema `consent` that both the ledger and the guards must agree on.

`consent.subject` has one `timestamptz NOT NULL` column per purpose, and one per purpose and
sensitive category: "in force until" (`-infinity` = no, `infinity` = no end). Its key is
`subject_id`, in the key column's own type.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

SCHEMA: Final = "consent"
SUBJECT_TABLE: Final = "subject"
SUBJECT_KEY: Final = "subject_id"

_SAFE = re.compile(r"[a-z][a-z0-9_]{0,39}")
# Every PostgreSQL table has these already (PostgreSQL manual, 5.6 System Columns).
_TAKEN: Final = frozenset({SUBJECT_KEY, "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "oid"})


def subject_column(purpose: str, category: str | None = None) -> str:
    """The column of `consent.subject` for a purpose (and one of its sensitive categories).

    A short plain purpose keeps its name, so that an administrator can read the table; whatever
    is not a safe identifier, could be taken for another column, or carries a category gets a
    digest, so that two names never meet in one column.
    """
    is_plain = _SAFE.fullmatch(purpose) and purpose not in _TAKEN and "__" not in purpose
    if category is None and is_plain:
        return purpose
    readable = re.sub(r"[^a-z0-9]+", "_", f"{purpose} {category or ''}".lower()).strip("_")[:40]
    digest = hashlib.sha256(f"{purpose}\0{category or ''}".encode()).hexdigest()[:12]
    return f"{readable or 'p'}__{digest}"


def in_table_column(ledger_column: str) -> str:
    """The column of a table with `consent: in_table` that repeats this one of `consent.subject`.

    63 bytes at most, as `subject_column` has 54.
    """
    return f"consent_{ledger_column}"
