"""What a policy hides, read from its YAML again, by the words of policy-language.md alone.

It shares no code with the proxy: a mistake that the proxy makes in deciding is found here as well.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

from tests.noninterference.tables import NOW, Value

POLICY: Final = Path(__file__).parent / "policy"
_CONSENT_ONLY: Final = "consent"
_UNITS: Final = {"h": 3600, "d": 86400}

Row = dict[str, Value]
Rows = dict[str, list[Row]]  # by table
Grant = tuple[str, str | None]  # purpose; category, or None
Ledger = dict[str, dict[Grant, bool]]  # by subject: is it in force? A subject may be missing


@dataclass(frozen=True, slots=True)
class Cell:
    """How a column is shown for a purpose. `value` is None where even in force a mask is shown."""

    kind: str  # shown, masked, guarded, absent
    mask: str | None = None
    through: str | None = None
    sensitive: str | None = None


class Rules:
    """The policy as the test reads it."""

    def __init__(self, folder: Path = POLICY) -> None:
        merged: dict[str, Any] = {}
        for path in sorted(folder.glob("*.yaml")):
            merged.update(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
        self.categories: Mapping[str, Any] = merged["categories"]
        self.purposes: Mapping[str, Any] = merged["purposes"]
        self.tables: Mapping[str, Any] = merged["tables"]
        self.tools: Mapping[str, Any] = merged["tools"]

    def tool_of(self, purpose: str) -> str:
        return next(name for name, tool in self.tools.items() if purpose in tool["purposes"])

    # --- cells ---

    def cell(self, purpose: str, table: str, column: str) -> Cell:
        rule = self.tables.get(table)
        if rule is None:
            return Cell("absent")
        if rule == "open":
            return Cell("shown")
        said = rule["columns"].get(column)
        if said is None:
            return Cell("absent")
        own = said if isinstance(said, dict) else {"category": said}
        category: str = own["category"]
        if category == "open":
            return Cell("shown")
        mask = own.get("mask") or self._nearest(category)
        through = self._read(purpose, category)
        if through is None or rule["subject"] == "none":
            return Cell("absent") if mask == "drop" else Cell("masked", mask)
        sensitive = category if self._is_sensitive(category) else None
        return Cell("guarded", mask, through or None, sensitive)

    def _nearest(self, category: str) -> str:
        for each in _upwards(category):
            if mask := self.categories.get(each, {}).get("mask"):
                return str(mask)
        return "null"

    def _is_sensitive(self, category: str) -> bool:
        return any(self.categories.get(each, {}).get("sensitive") for each in _upwards(category))

    def _read(self, purpose: str, category: str) -> str | None:
        """The mask of the longest entry that covers the category; empty: none; None: not read."""
        entries: dict[str, str] = {}
        for entry in self.purposes[purpose]["reads"]:
            entries.update(entry if isinstance(entry, dict) else {entry: ""})
        return next((entries[each] for each in _upwards(category) if each in entries), None)

    # --- people ---

    def subjects(self, table: str, row: Row, rows: Rows) -> list[Value]:
        """The keys of the people a row belongs to; None where a path leads to nobody."""
        said = self.tables[table]["subject"]
        each = said["all"] if isinstance(said, dict) and "all" in said else [said]
        return [self._follow(one, row, rows) for one in each]

    def _follow(self, said: Any, row: Row, rows: Rows) -> Value:
        if isinstance(said, str):
            return row[said]
        name, target = said["via"]
        table, _, key = target.rpartition(".")
        found = [each for each in rows[table] if each[key] == row[name] and each[key] is not None]
        return self._follow(self.tables[table]["subject"], found[0], rows) if found else None

    def is_person_in_force(
        self, purpose: str, key: Value, ledger: Ledger, category: str | None = None
    ) -> bool:
        if key is None:
            return False
        grants = ledger.get(key)
        if self.purposes[purpose]["basis"] == _CONSENT_ONLY:
            is_in_force = grants is not None and grants[(purpose, None)]
        else:
            is_in_force = grants is None or grants[(purpose, None)]
        if category is not None:
            is_in_force = is_in_force and grants is not None and grants[(purpose, category)]
        return is_in_force

    def is_in_force(
        self,
        purpose: str,
        table: str,
        row: Row,
        rows: Rows,
        ledger: Ledger,
        category: str | None = None,
    ) -> bool:
        keys = self.subjects(table, row, rows)
        return all(self.is_person_in_force(purpose, key, ledger, category) for key in keys)

    # --- rows ---

    def is_absent(self, purpose: str, table: str, row: Row, rows: Rows, ledger: Ledger) -> bool:
        rule, aim = self.tables.get(table), self.purposes[purpose]
        if rule is None:
            return True
        if rule == "open":
            return False
        is_personal = rule["subject"] != "none"
        if (
            aim.get("people") == "consented"
            and is_personal
            and not self.is_in_force(purpose, table, row, rows, ledger)
        ):
            return True
        return not all(self._row_rules(rule, aim.get("exempt", ()), row))

    def _row_rules(self, rule: Any, exempt: Sequence[str], row: Row) -> Iterator[bool]:
        if "source" in rule and "source" not in exempt:
            yield row[rule["source"]["column"]] in rule["source"]["allow"]
        for name in ("keep", "quiet"):
            if name in rule and name not in exempt:
                age_s = _age_s(row[rule[name]["column"]], rule[name].get("zone"))
                limit_s = int(rule[name]["for"][:-1]) * _UNITS[rule[name]["for"][-1]]
                is_kept = age_s is not None and (
                    age_s < limit_s if name == "keep" else age_s > limit_s
                )
                yield is_kept


def _upwards(category: str) -> Iterator[str]:
    while category:
        yield category
        category = category.rpartition(".")[0]


def _age_s(value: Value, zone: str | None) -> float | None:
    if value is None:
        return None
    moment = dt.datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone or "UTC"))
    return (NOW - moment).total_seconds()
