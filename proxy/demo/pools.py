"""What made-up people, cars and pages are made of; people's names come from mimesis, by seed.

Values are picked inside PostgreSQL: `pick` writes the expression. A pick depends on the row, on
the seed and on what it is for, and on nothing else; so the same seed makes the same database,
whatever the order or the number of customers.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NAMES: Final = 400  # first names and surnames each: 160,000 full names

DEALERS: Final = (
    ("Autos Castellana", "Madrid"),
    ("Motor Gran Via", "Madrid"),
    ("Diagonal Cars", "Barcelona"),
    ("Taller Poblenou", "Barcelona"),
    ("Turia Motor", "Valencia"),
    ("Giralda Autos", "Sevilla"),
    ("Pilar Motor", "Zaragoza"),
    ("Costa Autos", "Malaga"),
    ("Ría Motor", "Bilbao"),
    ("Alhambra Cars", "Granada"),
    ("Canal Autos", "Valladolid"),
    ("Breogán Motor", "A Coruña"),
)
MODELS: Final = (
    "Alba 1.2", "Alba e", "Brisa", "Brisa Combi", "Cima", "Cima Sport", "Delta Van", "Duna 4x4",
    "Estela", "Estela Hybrid", "Faro", "Gala Cabrio",
)  # fmt: skip
WORKS: Final = (
    "annual service", "oil and filters", "brakes", "tyres", "battery", "air conditioning",
    "recall: airbag", "bodywork", "inspection", "child seat fitting", "tow bar", "software update",
)  # fmt: skip
PAGES: Final = (
    "/", "/models", "/models/brisa-combi", "/models/estela-hybrid", "/models/gala-cabrio",
    "/family-cars", "/child-seats", "/configurator?model=brisa", "/configurator?model=cima-sport",
    "/finance", "/finance/calculator", "/trade-in", "/used-cars", "/service/book", "/dealers",
    "/offers/spring", "/electric/range", "/insurance", "/complaints", "/jobs",
)  # fmt: skip
SKUS: Final = (
    "CAR-ALBA", "CAR-BRISA", "CAR-CIMA", "CAR-ESTELA", "PART-BRAKE", "PART-FILTER", "PART-TYRE",
    "ACC-ROOFBOX", "ACC-CHILDSEAT", "ACC-MATS", "ACC-CHARGER", "SRV-WARRANTY",
)  # fmt: skip
SOURCES: Final = ("first_party_form", "dealer_site", "chat", "bought_list", "site_tracking")
LIFE_EVENTS: Final = (
    "expecting a child", "moving house", "retiring", "child learns to drive", "divorce", "new job",
)  # fmt: skip
TRANSCRIPTS: Final = (
    "Hello, we are expecting our second child in spring. Does the Brisa Combi take three seats?",
    "My husband lost his job. Can we stop the instalments for three months?",
    "The brakes make a noise again, I was there only last week. I am really annoyed.",
    "I can not drive at night any more, my eyes are not what they were. What can I get for it?",
    "When will my car be ready? I need it for my mother, she is in hospital.",
    "We are getting divorced. How do I have the contract put into my name?",
    "Thank you, the new Estela is wonderful!",
    "Is there an offer for the Alba e at the moment?",
)
CHANNELS: Final = ("web form", "showroom tablet", "telephone", "newsletter footer")
NOTICES: Final = ("privacy-2022-03", "privacy-2024-05", "privacy-2025-09")

_LOCALES: Final = ("es", "es", "en", "de", "it", "pt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names as people write them, and as their e-mail addresses do, at the same places."""

    first: tuple[str, ...]
    last: tuple[str, ...]

    @property
    def first_slugs(self) -> tuple[str, ...]:
        return tuple(map(slug, self.first))

    @property
    def last_slugs(self) -> tuple[str, ...]:
        return tuple(map(slug, self.last))


def make_names(seed: int) -> Names:
    """Names of six kinds of people; always the same for a seed and a version of mimesis."""
    from mimesis import Person
    from mimesis.locales import Locale

    people = [Person(Locale(code), seed=seed + n) for n, code in enumerate(_LOCALES)]
    first: dict[str, None] = {}
    last: dict[str, None] = {}
    # Small pools of a locale run out of new names: the others go on.
    for turn in range(NAMES * 50):
        person = people[turn % len(people)]
        if len(first) < NAMES:
            first.setdefault(person.first_name())
        if len(last) < NAMES:
            last.setdefault(person.last_name())
        if len(first) == len(last) == NAMES:
            break
    return Names(first=tuple(first), last=tuple(last))


def slug(name: str) -> str:
    """Lower-case ASCII letters and digits: `Núñez` → `nunez`."""
    decomposed = unicodedata.normalize("NFKD", name.replace("ß", "ss").replace("ø", "o"))
    return "".join(c for c in decomposed.lower() if c.isascii() and c.isalnum()) or "x"


def pick(values: Sequence[str], row: str, what: str) -> str:
    """SQL: one of the values, for a row (a bigint expression)."""
    return f"({_array(values)})[1 + {whole(row, what, len(values))}]"


def share(row: str, what: str) -> str:
    """SQL: a double from 0 up to 1, evenly spread."""
    return f"pg_temp.share({row}, {_salt(what)})"


def whole(row: str, what: str, below: int) -> str:
    """SQL: an integer from 0 up to `below`."""
    return f"floor({share(row, what)} * {below})::integer"


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _array(values: Sequence[str]) -> str:
    # A constant, so that it is made once for a statement and not once for a row.
    quoted = ",".join('"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values)
    return literal("{" + quoted + "}") + "::text[]"


def _salt(what: str) -> int:
    return zlib.crc32(what.encode())
