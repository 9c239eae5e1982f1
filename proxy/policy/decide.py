"""What a tool may see of a relation for a purpose. A pure function of the policy.

The result is a value that `rewrite/guard.py` turns into SQL, `explain` into words and
`policy matrix` into a table; none of them decides anything again. The order of the rules is
policy-language.md, "What decides a cell".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.policy.model import (
    AgeRule,
    Mask,
    Policy,
    RelationName,
    SourceRule,
    Subject,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The value, for every row: the column is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """The mask, for every row: no `reads` entry covers the column, or there is no subject."""

    mask: Mask  # never DropMask: such a column is Absent
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """The value where the purpose is in force for the row's data subject, else the mask.

    `through` is the reads entry's own mask: even where in force, the value goes through it.
    `sensitive` is the category whose separate grant is needed too (None: none).
    `mask` DropMask means NULL here, as only some rows lose the column.
    """

    through: Mask | None
    mask: Mask
    category: str
    sensitive: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """The column does not exist: not in the policy, or dropped for this purpose."""

    category: str | None


ColumnVerdict = Shown | Masked | Guarded | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationVerdict:
    """What stands in for one relation, for one tool and purpose.

    `columns` are in table order and hold every column of the relation, absent ones too.
    `is_consented_only`: rows of people for whom the purpose is not in force are absent.
    """

    relation: RelationName
    columns: tuple[tuple[str, ColumnVerdict], ...]
    subject: Subject
    is_consented_only: bool
    source: SourceRule | None
    keep: AgeRule | None
    quiet: AgeRule | None

    @property
    def removes_rows(self) -> bool:
        return self.is_consented_only or not (self.source is self.keep is self.quiet is None)


def decide(
    policy: Policy, purpose: str, relation: RelationName, columns: Sequence[str]
) -> RelationVerdict | None:
    """The verdict on `relation` (None: not in the policy). `columns`: those of the database."""
    raise NotImplementedError
