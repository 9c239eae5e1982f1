"""What a tool may see of a relation for a purpose. A pure function of the policy.

The result is a value that `rewrite/guard.py` turns into SQL, `explain` into words and
`policy matrix` into a table; none of them decides anything again. The order of the rules is
policy-language.md, "What decides a cell".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.policy.categories import category_mask, is_sensitive, longest_read
from proxy.policy.model import (
    AgeRule,
    ColumnRule,
    DropMask,
    Mask,
    NoSubject,
    Policy,
    Purpose,
    RelationName,
    RelationRule,
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
        rules = (self.source, self.keep, self.quiet)
        return self.is_consented_only or any(rule is not None for rule in rules)


def decide(
    policy: Policy, purpose: str, relation: RelationName, columns: Sequence[str]
) -> RelationVerdict | None:
    """The verdict on `relation` (None: not in the policy). `columns`: those of the database.

    `purpose` is one of the policy's (KeyError otherwise: there is nothing to fall back to).
    """
    aim = policy.purposes[purpose]
    rule = policy.relations.get(relation)
    if rule is None:
        return None
    return RelationVerdict(
        relation=relation,
        columns=tuple((column, _decide_column(policy, aim, rule, column)) for column in columns),
        subject=rule.subject,
        is_consented_only=aim.people == "consented" and not isinstance(rule.subject, NoSubject),
        source=None if "source" in aim.exempt else rule.source,
        keep=None if "keep" in aim.exempt else rule.keep,
        quiet=None if "quiet" in aim.exempt else rule.quiet,
    )


def _decide_column(
    policy: Policy, purpose: Purpose, rule: RelationRule, name: str
) -> ColumnVerdict:
    """Rules 1 to 5 of policy-language.md, "What decides a cell", in their order."""
    if rule.columns is None:
        return Shown()
    column = rule.columns.get(name)
    if column is None:
        return Absent(category=None)
    if column.category is None:
        return Shown()
    mask = mask_of(policy, column)
    read = longest_read(purpose.reads, column.category)
    # Without a subject nobody can be asked: no row is ever in force, so every row is masked.
    if read is None or isinstance(rule.subject, NoSubject):
        if isinstance(mask, DropMask):
            return Absent(category=column.category)
        return Masked(mask=mask, category=column.category)
    # The grant must name the column's own category, not only the sensitive one above it.
    needs_grant = is_sensitive(policy.categories, column.category)
    return Guarded(
        through=read.mask,
        mask=mask,
        category=column.category,
        sensitive=column.category if needs_grant else None,
    )


def mask_of(policy: Policy, column: ColumnRule) -> Mask:
    """What a personal column shows where it is not read: its own mask, or its category's."""
    if column.mask is not None:
        return column.mask
    # Nobody asks for the mask of an open column; who does all the same gets nothing.
    return category_mask(policy.categories, column.category) if column.category else DropMask()
