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
    """Statements whose text matches `pattern` may be answered otherwise, because of `reason`."""

    pattern: str
    reason: str

    def covers(self, outcome: Outcome) -> bool:
        return re.search(self.pattern, outcome.text, re.IGNORECASE | re.DOTALL) is not None


EXCEPTIONS: Final = (
    Exceptional(
        r"\A\s*EXPLAIN ",
        "EXPLAIN is answered from the policy, and has no parameters",
    ),
    Exceptional(r"\Aselect now\(\)\Z", "the clock goes on"),
    Exceptional(
        r"relhastriggers|relhasrules",
        "triggers and rules are not shown, nor that a relation has some",
    ),
    Exceptional(r"pg_roles|pg_user\b", "of all roles only the session's own is shown"),
    Exceptional(r"relacl|nspacl|attacl|pg_init_privs", "rights are not shown"),
    Exceptional(r"relpages|PAGES", "row counts and sizes are those of an empty relation"),
    Exceptional(
        r"pg_rewrite|pg_depend",
        "rules, and what depends on what is not shown, are left out",
    ),
    Exceptional(
        r"FROM pg_catalog\.pg_database d", "of all databases only the session's own is shown"
    ),
    Exceptional(r"SYSTEM TOAST TABLE", "TOAST tables are not shown"),
)


def exception_of(outcome: Outcome) -> Exceptional | None:
    """Why a statement may be answered otherwise."""
    return next((each for each in EXCEPTIONS if each.covers(outcome)), None)
