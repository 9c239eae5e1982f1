"""What a statement asks, as far as one guard's push-down has to know of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.policy.model import Policy
from proxy.rewrite.guard import Guard
from proxy.sql.catalog import Catalog
from proxy.sql.read import Reading, RelationUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    uses: Sequence[tuple[RelationUse, Guard | None]]  # None: a relation of PostgreSQL's catalog
    reading: Reading
    policy: Policy
    catalog: Catalog
    purpose: str
    declared_types: Sequence[int]  # of the parameters; 0: not declared
