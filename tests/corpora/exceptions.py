"""What is answered, and otherwise than by the database: documented, each with its reason.

Everything else is the same, byte for byte; and each of these does occur.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.corpora.replay import Outcome


@dataclass(frozen=True, slots=True)
class Exceptional:
    """Statements whose text matches `pattern` may be answered otherwise, because of `reason`.

    `may_fail`: even by an error, where the database has an answer. `is_order`: only in an order.
    """

    pattern: str
    reason: str
    may_fail: bool = False
    is_order: bool = False

    def covers(self, outcome: Outcome) -> bool:
        if (outcome.has_failed and not self.may_fail) or (
            self.is_order and not outcome.is_reordered
        ):
            return False
        return re.search(self.pattern, outcome.text, re.IGNORECASE | re.DOTALL) is not None


EXCEPTIONS: Final = (
    Exceptional(
        r"\A\s*EXPLAIN ",
        "EXPLAIN is answered from the policy; its parameters are texts",
        may_fail=True,
    ),
    Exceptional(r"\Aselect now\(\)\Z", "the clock goes on"),
    Exceptional(
        r"pg_backend_pid", "pg_backend_pid is the upstream's process: another for each connection"
    ),
    Exceptional(
        r"DISCARD ALL|duckdb_secrets",
        "after DISCARD ALL the client is told of search_path again",
    ),
    Exceptional(
        r"(\$\d+::(pg_catalog\.)?|CAST\(\$\d+ AS )regclass",
        "a parameter that names a thing is of type text",
    ),
    Exceptional(r"_size\(", "sizes are NULL"),
    Exceptional(r"relacl|nspacl|attacl|pg_init_privs|_grants", "rights are not shown"),
    Exceptional(
        r"relpages|PAGES|reltuples", "row counts and page counts are those of an empty relation"
    ),
    Exceptional(
        r"pg_roles|pg_user\b",
        "of all roles only PostgreSQL's, the session's own and owners of what is shown are there",
    ),
    Exceptional(r"pg_settings", "of all settings only those that a tool may set or see are there"),
    Exceptional(r"pg_database\b", "of all databases only the session's own is shown"),
    Exceptional(
        r"SYSTEM TOAST TABLE|atttypid\s+FROM\s+pg_catalog.pg_attribute\s+ORDER"
        r"|pg_depend.*ORDER BY 1,2",
        "TOAST tables are not shown",
    ),
    Exceptional(
        r"information_schema.schemata\Z",
        "information_schema shows what the upstream's role has rights on",
    ),
    Exceptional(
        r"numeric_scale|CONCAT\('_'|array_agg\(a\.attnum\) as column_indexes",
        "the order of rows that SQL leaves open",
        is_order=True,
    ),
)

# Beside those, where something is hidden and the other database has really dropped it.
OF_DROPPED: Final = (
    Exceptional(
        r"attisdropped|atttypid|array_agg\(a\.attname\)",
        "what was dropped leaves a mark that it was there",
    ),
    Exceptional(
        r"\ALOCK TABLE",
        "PostgreSQL locks for reading only who may read all of a table's columns",
        may_fail=True,
    ),
    Exceptional(r"\ACOPY ", "COPY of a column that is not there: an error of other words"),
)


def exception_of(
    outcome: Outcome, exceptions: tuple[Exceptional, ...] = EXCEPTIONS
) -> Exceptional | None:
    """Why a statement may be answered otherwise."""
    return next((each for each in exceptions if each.covers(outcome)), None)
