"""What each mask gives, written again in Python from the policy language's own words.

Values come and go as PostgreSQL's text under DateStyle ISO, TimeZone UTC. Nothing here knows how
the SQL does it: dates are day numbers, texts are Python's, numbers are exact fractions.
"""

from __future__ import annotations

import ipaddress
import math
import re
from fractions import Fraction

# --- text ------------------------------------------------------------------------------------


def initial(value: str) -> str:
    return value[0] + "." if value else ""


def email(value: str) -> str:
    if "@" not in value:
        return "***"
    return value[0] + "***@" + value.rsplit("@", 1)[1]


def email_domain(value: str) -> str:
    return value.rsplit("@", 1)[1] if "@" in value else "***"


def first(value: str, n: int) -> str:
    shown = min(n, len(value) // 2)
    return "".join(c if i < shown else "*" for i, c in enumerate(value))


def last(value: str, n: int) -> str:
    return first(value[::-1], n)[::-1]


def prefix(value: str, n: int) -> str:
    return value[:n] if len(value) > n else "***"


def stored(value: str, sql: str) -> str:
    """A text as a column of the type holds it; a char's padding is not part of it."""
    if sql == "name":
        return value.encode()[:63].decode(errors="ignore")
    length = re.search(r"\((\d+)\)", sql)
    kept = value[: int(length[1])] if length else value
    return kept.rstrip(" ") if sql.startswith(("character(", "bpchar")) else kept


# --- dates: days since 2000-01-01 -------------------------------------------------------------

FIRST_DAY = -2451545  # Julian day 0
LAST_DAY = 2145031948  # 5874897-12-31
DAY_US = 86_400_000_000
FIRST_INSTANT = FIRST_DAY * DAY_US
END_INSTANT = 9223371331200000000  # exclusive


def days_from_civil(year: int, month: int, day: int) -> int:
    """Proleptic Gregorian, astronomical years (0 is 1 BC)."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 730425


def civil_from_days(days: int) -> tuple[int, int, int]:
    era, day_of_era = divmod(days + 730425, 146097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + year_of_era + (month <= 2), month, day


def date_text(days: int) -> str:
    year, month, day = civil_from_days(days)
    era = "" if year > 0 else " BC"
    return f"{year if year > 0 else 1 - year:04}-{month:02}-{day:02}{era}"


def instant_text(microseconds: int, zone: str = "") -> str:
    days, rest = divmod(microseconds, DAY_US)
    seconds, fraction = divmod(rest, 1_000_000)
    date, _, era = date_text(days).partition(" ")
    time = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    digits = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{date} {time}{digits}{zone}" + (f" {era}" if era else "")


def cut_days(days: int, unit: str) -> int:
    year, month, _ = civil_from_days(days)
    start = {
        "year": days_from_civil(year, 1, 1),
        "month": days_from_civil(year, month, 1),
        "week": days - (days + 5) % 7,  # 2000-01-01 was a Saturday
        "day": days,
    }[unit]
    return max(start, FIRST_DAY)


def age_band(born: int, today: int, n: int) -> str | None:
    if born > today:
        return None
    (year, *day), (birth_year, *birthday) = civil_from_days(today), civil_from_days(born)
    age = year - birth_year - (day < birthday)
    lower = age // n * n
    return f"{lower}-{lower + n - 1}"


# --- numbers ---------------------------------------------------------------------------------


def bucket(value: Fraction, n: int, low: Fraction | int, high: Fraction | int) -> int | None:
    """The multiple of n at or below; None where it is not strictly between low and high."""
    multiple = math.floor(value / n) * n
    return multiple if low < multiple < high else None


# --- addresses -------------------------------------------------------------------------------


def ip_prefix(value: str) -> str:
    interface = ipaddress.ip_interface(value)
    shown = 24 if interface.version == 4 else 48
    network = interface.network
    return str(network if network.prefixlen <= shown else network.supernet(new_prefix=shown))
