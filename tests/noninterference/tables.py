"""The tables of the test: their SQL, and how a raw value of each column is made.

All values are PostgreSQL's text. Their ranges are small, so that joins and conditions meet; some
texts are numbers and some are not, so that casts fail for some values and not for others.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

Value = str | None
Make = Callable[[Random], Value]

PEOPLE: Final = range(1, 15)
STRANGERS: Final = range(90, 94)  # keys that no row of crm.people has
# The hour in which the rows are made: row rules compare with it, and no row is near a limit.
NOW: Final = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    sql: str
    family: str  # of the statements' grammar: int, num, float, text, bool, date, …
    make: Make
    is_key: bool = False  # identifies a row or leads to one: never changed in a hidden row


@dataclass(frozen=True, slots=True)
class Table:
    name: str  # schema.name
    columns: tuple[Column, ...]
    count: int

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


# --- values ----------------------------------------------------------------------------------

_NAMES = ("Ana Ruiz", "Ben", "ana", "Äda Lo", "Cyd Dorn", "7", "41", "", "A.", "B.", "x'y", "%a_")
_LOCALS = ("ana", "ben", "a.b", "12", "Zoë", "a***", "x y")
_HOSTS = ("a.example", "b.example", "c.org")


def word(random: Random, least: int, most: int, letters: str = "abXY019 -_") -> str:
    """A text without blanks at its ends: a `char` would not keep them."""
    made = "".join(random.choice(letters) for _ in range(random.randint(least, most)))
    return made.replace(" ", "z") if made != made.strip() else made


def _one(*values: Value) -> Make:
    return lambda random: random.choice(values)


def _number(low: int, high: int, *, step: float | None = None) -> Make:
    if step is None:
        return lambda random: str(random.randint(low, high))
    return lambda random: f"{random.randint(low, high) * step:.2f}"


def _nullable(make: Make, share: float = 0.12) -> Make:
    return lambda random: None if random.random() < share else make(random)


def _email(random: Random) -> Value:
    if random.random() < 0.12:
        return random.choice(("nobody", "", "42", "@c.org", "***"))
    return f"{random.choice(_LOCALS)}@{random.choice(_HOSTS)}"


def _digits(random: Random) -> Value:
    return word(random, 0, 8, "0123456789" if random.random() < 0.7 else "01a ")


def _date(low: int, high: int) -> Make:
    return lambda random: f"{random.randint(low, high)}-{random.randint(1, 12):02}-{_day(random)}"


def _day(random: Random) -> str:
    return f"{random.randint(1, 28):02}"


def instant(days: float, zone: bool = True) -> str:
    """So many days before the rows are made, and half a day: far from what row rules ask."""
    moment = NOW - dt.timedelta(days=days, hours=12)
    return f"{moment:%Y-%m-%d %H:%M:%S}" + ("+00" if zone else "")


def _ago(least: int, most: int, *, zone: bool = True) -> Make:
    return lambda random: instant(random.randint(least, most), zone)


def _past_day(random: Random) -> Value:
    # Yesterday's age in Madrid is between 24 and 48 hours: too near the rule's 36.
    return f"{NOW - dt.timedelta(days=random.choice((0, 3, 4, 9, 20))):%Y-%m-%d}"


def _uuid(random: Random) -> Value:
    return f"00000000-0000-4000-8000-{random.randint(0, 9):012}"


def _address(random: Random) -> Value:
    if random.random() < 0.2:
        return f"2001:db8:{random.randint(0, 2)}::{random.randint(1, 9)}/128"
    return f"10.0.{random.randint(0, 2)}.{random.randint(0, 9)}/32"


def _network(random: Random) -> Value:
    return random.choice(("10.0.1.0/24", "10.0.1.128/25", "10.0.1.4/30", "10.2.0.0/16"))


def _tags(random: Random) -> Value:
    return "{" + ",".join(word(random, 1, 2, "ab1") for _ in range(random.randint(0, 3))) + "}"


def _prefs(random: Random) -> Value:
    return random.choice(
        ('{"a": 1, "b": "x"}', '{"a": 0}', '{"a": "z", "c": [1, 2]}', "[1, 2]", '"t"', "{}")
    )


def _stay(random: Random) -> Value:
    start = random.randint(1, 20)
    return f"[{instant(start + 5)},{instant(start)})"


_person = _nullable(lambda random: str(random.choice((*PEOPLE, *PEOPLE, *PEOPLE, *STRANGERS[:1]))))
_text = _nullable(_one(*_NAMES))
_spend = _nullable(_number(-90000, 90000, step=0.01))
_source = _nullable(_one("site", "form", "bought", "chat"))


def _id(_: Random) -> Value:
    raise AssertionError("numbers are given when rows are made")


def _key(name: str, sql: str, make: Make) -> Column:
    return Column(name, sql, "int", make, is_key=True)


_ID: Final = _key("id", "bigint", _id)
_PERSON: Final = _key("person_id", "bigint", _person)
# Open, and of so many values that one side's hidden rows have some that the other's have not.
_CODE: Final = Column("code", "text", "text", lambda random: word(random, 1, 3, "abc1"))

TABLES: Final[tuple[Table, ...]] = (
    Table(
        "crm.people",
        (
            _ID,
            Column("plan", "text", "text", _one("free", "plus", "7")),
            _CODE,
            Column("city_id", "integer", "int", _nullable(_number(1, 6))),
            Column("joined", "timestamptz", "tstz", _ago(1, 400)),
            Column("name", "text", "text", _text),
            Column("email", "varchar(60)", "text", _nullable(_email)),
            Column("contact", "text", "text", _nullable(_email)),
            Column("phone", "varchar(20)", "text", _nullable(_digits)),
            Column("handle", "text", "text", _nullable(lambda r: word(r, 0, 6))),
            Column("postal", "varchar(10)", "text", _nullable(lambda r: word(r, 0, 6, "0128"))),
            Column("region", "char(6)", "text", _nullable(lambda r: word(r, 1, 6, "ab1"))),
            Column("ip", "inet", "inet", _nullable(_address)),
            Column("net", "cidr", "inet", _nullable(_network)),
            Column("device", "text", "text", _nullable(lambda r: word(r, 1, 3, "ab"))),
            Column("device_uuid", "uuid", "uuid", _nullable(_uuid)),
            Column("device_no", "bigint", "int", _nullable(_number(0, 9))),
            Column("born", "date", "date", _nullable(_date(1950, 2004))),
            Column("seen", "timestamptz", "tstz", _nullable(_ago(1, 60))),
            Column("moved", "timestamp", "ts", _nullable(_ago(1, 900, zone=False))),
            Column("started", "date", "date", _nullable(_date(2019, 2024))),
            Column("birthday", "date", "date", _nullable(_date(1950, 2004))),
            Column("spend", "numeric(10,2)", "num", _spend),
            Column("points", "integer", "int", _nullable(_number(-40, 40))),
            Column("score", "float8", "float", _nullable(_number(-100, 100, step=0.25))),
            Column("pages", "text", "text", _text),
            Column("stay", "tstzrange", "range", _nullable(_stay)),
            Column("bio", "text", "text", _text),
            Column("tags", "text[]", "texts", _nullable(_tags)),
            Column("prefs", "jsonb", "jsonb", _nullable(_prefs)),
            Column("kind", "text", "text", _nullable(_one("a", "b", "some"))),
            Column("health", "text", "text", _text),
            Column("faith", "text", "text", _text),
            Column("mood", "text", "text", _text),
            Column("internal", "text", "text", _text),
        ),
        len(PEOPLE),
    ),
    Table(  # masks on types that crm.people has not
        "crm.traits",
        (
            _ID,
            _PERSON,
            Column("active", "boolean", "bool", _nullable(_one("true", "false"))),
            Column("vip", "boolean", "bool", _nullable(_one("true", "false"))),
            Column("level", "smallint", "int", _nullable(_number(0, 9))),
            Column("visits", "bigint", "int", _nullable(_number(-40, 40))),
            Column("grade", "integer", "int", _nullable(_number(0, 9))),
            Column("worth", "numeric(12,3)", "num", _spend),
            Column("rate", "real", "float", _nullable(_number(-40, 40, step=0.25))),
            Column("weight", "float8", "float", _nullable(_number(-40, 40, step=0.25))),
            Column("since", "date", "date", _nullable(_date(2019, 2024))),
            Column("until", "date", "date", _nullable(_date(2019, 2024))),
            Column("married", "date", "date", _nullable(_date(1950, 2004))),
            Column("woke", "timestamptz", "tstz", _nullable(_ago(1, 900))),
            Column("slept", "timestamptz", "tstz", _nullable(_ago(1, 60))),
            Column("ate", "timestamptz", "tstz", _nullable(_ago(1, 60))),
            Column("wrote", "timestamp", "ts", _nullable(_ago(1, 60, zone=False))),
            Column("called", "timestamp", "ts", _nullable(_ago(1, 900, zone=False))),
            Column("token", "uuid", "uuid", _nullable(_uuid)),
            Column("alias", "varchar(20)", "text", _text),
            Column("nick", "char(5)", "text", _nullable(lambda r: word(r, 1, 5, "ab1"))),
            Column("slug", "varchar(50)", "text", _nullable(lambda r: word(r, 1, 3, "ab"))),
            Column("zip", "varchar(10)", "text", _nullable(lambda r: word(r, 0, 5, "0128"))),
            Column("extra", "jsonb", "jsonb", _nullable(_prefs)),
            Column("habits", "text[]", "texts", _nullable(_tags)),
        ),
        14,
    ),
    Table(
        "web.views",
        (
            _ID,
            _PERSON,
            Column("url", "text", "text", _nullable(lambda r: "/" + word(r, 0, 2, "ab"))),
            Column("title", "text", "text", _text),
            Column("source", "text", "text", _source),
            Column("at", "timestamptz", "tstz", _nullable(_ago(0, 110), 0.05)),
            Column("ms", "integer", "int", _nullable(_number(0, 500))),
            Column("referrer", "text", "text", _text),
        ),
        30,
    ),
    Table(
        "web.clicks",
        (
            _ID,
            _PERSON,
            Column("at", "timestamp", "ts", _nullable(_ago(0, 50, zone=False), 0.05)),
            Column("target", "text", "text", _text),
        ),
        16,
    ),
    Table(
        "web.chats",
        (
            _ID,
            _PERSON,
            Column("day", "date", "date", _nullable(_past_day, 0.05)),
            Column("words", "text", "text", _text),
            Column("kind", "text", "text", _one("a", "b")),
        ),
        14,
    ),
    Table(
        "sales.orders",
        (
            _ID,
            _PERSON,
            Column("total", "numeric(10,2)", "num", _spend),
            Column("note", "text", "text", _text),
            Column("at", "timestamptz", "tstz", _ago(0, 130)),
            _CODE,
        ),
        20,
    ),
    Table(
        "sales.items",
        (
            _ID,
            _key("order_id", "bigint", _nullable(_number(1, 22))),
            Column("sku", "text", "text", _one("s1", "s2", "3")),
            Column("price", "numeric(10,2)", "num", _spend),
            Column("gift", "text", "text", _text),
        ),
        24,
    ),
    Table(
        "sales.shares",
        (
            _ID,
            _key("from_id", "bigint", _person),
            _key("to_id", "bigint", _person),
            Column("message", "text", "text", _text),
            Column("amount", "integer", "int", _nullable(_number(-40, 40))),
        ),
        16,
    ),
    Table(
        "sales.returns",
        (
            _ID,
            _key("item_id", "bigint", _nullable(_number(1, 26))),
            _PERSON,
            Column("reason", "text", "text", _text),
            Column("word", "text", "text", _text),
        ),
        14,
    ),
    Table(
        "sales.events",
        (
            _ID,
            _PERSON,
            Column("kind", "text", "text", _one("call", "mail", "9")),
            Column("detail", "text", "text", _text),
            _CODE,
            Column("phone", "varchar(12)", "text", _nullable(_digits)),
        ),
        18,
    ),
    Table(
        "ref.cities",
        (
            _ID,
            Column("name", "text", "text", _one("Ana", "Ava", "Bo", "12")),
            Column("postal", "text", "text", _one("012", "280", "0128")),
        ),
        6,
    ),
    Table(
        "ref.panel",
        (
            _ID,
            Column("label", "text", "text", _text),
            Column("mail", "text", "text", _nullable(_email)),
            Column("weight", "integer", "int", _number(0, 5)),
            Column("born", "date", "date", _nullable(_date(1950, 2004))),
        ),
        8,
    ),
    Table(
        "staff.pay",  # the policy does not name it
        (_ID, _PERSON, Column("pay", "integer", "int", _number(1, 9000))),
        8,
    ),
)
BY_NAME: Final[Mapping[str, Table]] = {table.name: table for table in TABLES}
# crm.cards is a view: its rows are those of crm.people.
CARDS: Final = Table(
    "crm.cards",
    tuple(BY_NAME["crm.people"].column(name) for name in ("id", "plan", "name", "email", "postal")),
    0,
)

# Statistics would follow hidden rows, and with them the plans: not promised, so never made.
_QUIET: Final = "WITH (autovacuum_enabled = off)"


def _create(table: Table) -> str:
    columns = ", ".join(f"{each.name} {each.sql}" for each in table.columns)
    if table.name != "sales.events":
        return f"CREATE TABLE {table.name} ({columns}, PRIMARY KEY (id)) {_QUIET};"
    return f"""CREATE TABLE {table.name} ({columns}, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE sales.events_low PARTITION OF {table.name} FOR VALUES FROM (0) TO (8) {_QUIET};
CREATE TABLE sales.events_high PARTITION OF {table.name} DEFAULT {_QUIET};"""


SCRIPT: Final = "\n".join(
    [
        *(f"CREATE SCHEMA {name};" for name in ("crm", "web", "sales", "ref", "staff")),
        *map(_create, TABLES),
        "CREATE VIEW crm.cards AS SELECT id, plan, name, email, postal FROM crm.people;",
        *(
            f"CREATE INDEX ON crm.people ({name});"
            for name in "name email phone handle device_no device_uuid born seen points".split()
        ),
        *(
            f"CREATE INDEX ON crm.traits ({name});"
            for name in "person_id alias visits token since slept".split()
        ),
        "CREATE INDEX ON web.views (person_id); CREATE INDEX ON web.views (url);",
        "CREATE INDEX ON sales.orders (person_id); CREATE INDEX ON sales.items (order_id);",
    ]
)
