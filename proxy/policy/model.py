"""The policy as immutable values: what the files of a policy folder say, checked and merged.

`load.py` makes these values from YAML and is the only place that does. Everything that decides
(`decide.py`) is a pure function of them. Words and meaning: policy-language.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from proxy.policy.problem import Place


@dataclass(frozen=True, slots=True, order=True)
class RelationName:
    """A schema-qualified relation, names exactly as PostgreSQL stores them (already folded)."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ColumnName:
    """A column of a schema-qualified relation."""

    relation: RelationName
    column: str

    def __str__(self) -> str:
        return f"{self.relation}.{self.column}"


# --- masks: a closed union; every `match mask:` ends in `assert_never` -----------------------


@dataclass(frozen=True, slots=True)
class NullMask:
    """`"null"`: NULL."""


@dataclass(frozen=True, slots=True)
class DropMask:
    """`drop`: no column at all; NULL where only some rows lose it."""


@dataclass(frozen=True, slots=True)
class ConstantMask:
    """`constant(v)`: v, for every row (NULLs too). The text as it stands in the policy file."""

    value: str


@dataclass(frozen=True, slots=True)
class RedactMask:
    """`redact`: a fixed value per type (`***`, 0, 1970-01-01, …), for NULLs too."""


@dataclass(frozen=True, slots=True)
class InitialMask:
    """`initial`: the first character and a full stop."""


@dataclass(frozen=True, slots=True)
class EmailMask:
    """`email`: first character, `***@`, what follows the last `@`."""


@dataclass(frozen=True, slots=True)
class EmailDomainMask:
    """`email_domain`: what follows the last `@`."""


@dataclass(frozen=True, slots=True)
class FirstMask:
    """`first(n)`: min(n, half the length) characters, the rest `*` each."""

    n: int


@dataclass(frozen=True, slots=True)
class LastMask:
    """`last(n)`; `last4` is `last(4)`."""

    n: int


@dataclass(frozen=True, slots=True)
class PrefixMask:
    """`prefix(n)`: the first n characters where there are more than n, else `***`."""

    n: int


@dataclass(frozen=True, slots=True)
class PseudonymMask:
    """`pseudonym`: keyed hash, stable per tool and purpose (HMAC-SHA-256 by the ledger's key)."""


@dataclass(frozen=True, slots=True)
class CutMask:
    """`year`, `month`, `week`, `day`: cut down in UTC."""

    unit: Literal["year", "month", "week", "day"]


@dataclass(frozen=True, slots=True)
class AgeBandMask:
    """`age_band(n)`: full years at the statement's UTC date, as `30-39`."""

    n: int


@dataclass(frozen=True, slots=True)
class BucketMask:
    """`bucket(n)`: rounded down to a multiple of n."""

    n: int


@dataclass(frozen=True, slots=True)
class IpPrefixMask:
    """`ip_prefix`: /24 for IPv4, /48 for IPv6."""


Mask = (
    NullMask
    | DropMask
    | ConstantMask
    | RedactMask
    | InitialMask
    | EmailMask
    | EmailDomainMask
    | FirstMask
    | LastMask
    | PrefixMask
    | PseudonymMask
    | CutMask
    | AgeBandMask
    | BucketMask
    | IpPrefixMask
)


# --- purposes, categories, tools -------------------------------------------------------------


class Basis(StrEnum):
    """The legal basis of a purpose (GDPR Art. 6(1))."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"
    VITAL_INTEREST = "vital_interest"
    PUBLIC_TASK = "public_task"
    LEGITIMATE_INTEREST = "legitimate_interest"


RowRule = Literal["source", "keep", "quiet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One entry of a purpose's `reads`: a category (and all below it), perhaps through a mask."""

    category: str
    mask: Mask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    name: str
    description: str = ""
    basis: Basis
    data_use: str | None = None
    people: Literal["all", "consented"] = "all"
    exempt: frozenset[RowRule] = frozenset()
    reads: tuple[Read, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    name: str
    mask: Mask | None = None
    is_sensitive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    name: str
    purposes: tuple[str, ...]
    default: str | None = None  # filled with the only purpose where there is just one


# --- tables ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """What a policy says of one column. `category` None means `open`."""

    category: str | None = None
    mask: Mask | None = None  # the column's own mask
    type: str | None = None  # only for `policy test` without a database


@dataclass(frozen=True, slots=True)
class NoSubject:
    """`subject: none`, or no subject at all: personal columns are always masked."""


@dataclass(frozen=True, slots=True)
class SubjectColumn:
    """The column holds the data subject's key."""

    column: str


@dataclass(frozen=True, slots=True)
class SubjectVia:
    """`column` is looked up in `target` (unique); that relation's own subject is taken."""

    column: str
    target: ColumnName


@dataclass(frozen=True, slots=True)
class SubjectAll:
    """Rows belong to several people, and each must be in force."""

    subjects: tuple[SubjectColumn | SubjectVia, ...]


Subject = NoSubject | SubjectColumn | SubjectVia | SubjectAll


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRule:
    """A row is kept only if `column` is one of `allow` (text)."""

    column: str
    allow: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeRule:
    """`keep` (rows older than `seconds` are absent) or `quiet` (younger ones are).

    `zone` names the time zone of a `timestamp` or `date` column; a `timestamptz` needs none.
    """

    column: str
    seconds: int
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationRule:
    """What a policy says of one relation. `columns` None means `open`: every column visible."""

    name: RelationName
    columns: Mapping[str, ColumnRule] | None
    subject: Subject = NoSubject()
    is_consent_in_table: bool = False  # `consent: in_table`, beside being in the ledger
    source: SourceRule | None = None
    keep: AgeRule | None = None
    quiet: AgeRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionName:
    """A database function a policy names: `schema.name(types)`, types as PostgreSQL prints them."""

    schema: str
    name: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}({', '.join(self.arguments)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    name: str
    version: int
    categories: Mapping[str, Category]
    purposes: Mapping[str, Purpose]
    subject_key: ColumnName | None
    relations: Mapping[RelationName, RelationRule]  # in the order of the files
    functions: tuple[FunctionName, ...]
    tools: Mapping[str, Tool]
    revision: str  # SHA-256, hex, of the merged and normalised policy
    # Reviewed extensions that tools may use, each with the schema that it was put into.
    extensions: Mapping[str, str] = field(default_factory=dict)
    # Where each key stands, for messages only: ("tables", "crm.customers", "subject") → a line.
    places: Mapping[tuple[str, ...], Place] = field(default_factory=dict, compare=False, repr=False)

    @property
    def schemas(self) -> tuple[str, ...]:
        """Schemas of the policy in the order of the files, those of its extensions last: a tool's
        default search path.
        """
        tables = (name.schema for name in self.relations)
        return tuple(dict.fromkeys((*tables, *self.extensions.values())))
