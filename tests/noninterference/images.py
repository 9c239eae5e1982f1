"""Another value that a mask shows as the same: what a tool may not tell apart.

Values are PostgreSQL's text. `same_image` is the test's own reading of each mask; where it were
wrong, a tool could tell the two values apart by looking, and the first statements of a run would
say so.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from random import Random

from tests.noninterference.tables import Column, Value, word

_CALL = re.compile(r"(\w+)(?:\(([^)]+)\))?")


def same_image(mask: str, value: Value, column: Column, random: Random) -> Value:
    """A value with the same image as `value` under `mask`; perhaps `value` itself."""
    match = _CALL.fullmatch(mask)
    assert match is not None, mask
    name, argument = match.groups()
    if name in ("null", "drop", "redact", "constant"):
        return column.make(random)  # one image for all values, NULL included
    if value is None:
        return None
    if name == "last4":
        name, argument = "last", "4"
    n = int(argument or 0)
    if name in ("year", "month", "week", "day"):
        return _same_period(name, value, random)
    if name in ("initial", "email", "email_domain", "first", "last", "prefix"):
        return _same_text(name, n, value, random)
    match name:
        case "pseudonym":
            return value  # a function of the value: two values have two images
        case "age_band":
            return _same_age_band(value, n, random)
        case "bucket":
            return _same_bucket(value, n, column.family, random)
        case "ip_prefix":
            return _same_network(value, column.sql, random)
        case _:
            raise AssertionError(f"no such mask: {mask}")


def _same_text(name: str, n: int, value: str, random: Random) -> str:
    shown = min(n, len(value) // 2)
    match name:
        case "initial":
            return value[:1] + word(random, 0, 5) if value else value
        case "email":
            return _same_address(value, value[:1], random)
        case "email_domain":
            return _same_address(value, "", random)
        case "first":
            return value[:shown] + _solid(random, len(value) - shown)
        case "last":
            return _solid(random, len(value) - shown) + value[len(value) - shown :]
        case _:  # prefix
            if len(value) <= n:
                return word(random, 0, n, "0128a")
            return value[:n] + word(random, 1, 4, "0128a")


def _solid(random: Random, length: int) -> str:
    """So many characters, none of them a blank: a `char` would not keep one at its end."""
    return "".join(random.choice("abXY019") for _ in range(length))


def _same_address(value: str, kept: str, random: Random) -> str:
    if "@" not in value:
        return word(random, 0, 6, "ab1")
    if kept == "@":
        return value
    return f"{kept}{_solid(random, random.randint(0, 4))}@{value.rsplit('@', 1)[1]}"


def _same_period(unit: str, value: str, random: Random) -> str:
    """Within the same UTC year, month, week or day."""
    moment = dt.datetime.fromisoformat(value)
    day = moment.date()
    match unit:
        case "year":
            day = day.replace(month=random.randint(1, 12), day=random.randint(1, 28))
        case "month":
            day = day.replace(day=random.randint(1, 28))
        case "week":
            day += dt.timedelta(days=random.randint(0, 6) - day.weekday())
        case _:
            pass  # the same day: the time differs
    if len(value) == len("2000-01-01"):
        return f"{day:%Y-%m-%d}"
    time = f"{random.randint(0, 23):02}:{random.randint(0, 59):02}:00"
    return f"{day:%Y-%m-%d} {time}" + ("+00" if moment.tzinfo else "")


def _same_age_band(value: str, n: int, random: Random) -> str:
    """Of the same band, whatever day of the year it is."""
    born = dt.date.fromisoformat(value)
    today = dt.datetime.now(dt.UTC).date()
    age = today.year - born.year
    # Two years from the band's ends no birthday of the year changes the band.
    if not 1 <= age % n <= n - 1:
        return value
    others = [age + d for d in range(-n, n) if (age + d) // n == age // n and (age + d) % n]
    year = today.year - random.choice(others)
    # A birthday still to come makes the age one less: still in the band, as `age % n` is not 0.
    return f"{year}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"


def _same_bucket(value: str, n: int, family: str, random: Random) -> str:
    low = math.floor(Decimal(value) / n) * n
    if family == "int":
        return str(low + random.randint(0, n - 1))
    cents = random.randint(0, n * 100 - 1)
    return f"{Decimal(low) + Decimal(cents) / 100:.2f}"


def _same_network(value: str, sql: str, random: Random) -> str:
    if value.startswith("2001:"):
        site = ":".join(value.split(":")[:3])
        return f"{site}::{random.randint(1, 99)}/128"
    address, length = value.split("/")
    first, second, third, _ = address.split(".")
    if int(length) < 24:
        return value
    if sql == "cidr":
        return random.choice(
            (f"{first}.{second}.{third}.0/24", f"{first}.{second}.{third}.64/26", value)
        )
    return f"{first}.{second}.{third}.{random.randint(0, 255)}/{random.choice((24, 28, 32))}"
