"""A value of a policy file with its way from the top: read it as text, flag, list or mapping.

Every reader either returns what was asked for or reports what was expected and returns None, so
that one run finds every mistake.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from proxy.policy.problem import Place, Problem
from proxy.policy.yaml_tree import Mapping, Node, Scalar, Sequence

T = TypeVar("T")

# Keys of the language that this version does not answer for. To pass over one in silence would
# be to promise what it says.
_LATER: Final = frozenset({"aggregate", "account"})
NOT_AVAILABLE: Final = "not available in this version"


@dataclass(slots=True)
class Findings:
    """What reading found besides values: problems, and the place of every key."""

    problems: list[Problem] = field(default_factory=list)
    places: dict[tuple[str, ...], Place] = field(default_factory=dict)

    def report(self, place: Place, key: str, message: str) -> None:
        self.problems.append(Problem(place.file, place.line, key, message))


@dataclass(frozen=True, slots=True)
class Value:
    """A node, the way to it, and where problems with it go."""

    node: Node
    path: tuple[str, ...]
    place: Place  # of the key, where it has one
    findings: Findings

    def fail(self, message: str) -> None:
        self.findings.report(self.place, ".".join(self.path), message)

    def at(self, path: tuple[str, ...]) -> Value:
        """The same value under a normalised way (names folded), whose place is kept."""
        self.findings.places.setdefault(path, self.place)
        return replace(self, path=path)

    def is_text(self, text: str) -> bool:
        return isinstance(self.node, Scalar) and self.node.value == text

    def is_mapping(self) -> bool:
        return isinstance(self.node, Mapping)

    def text(self, expected: str = "expected text") -> str | None:
        """The value as text. Numbers, true, false and null are not text unless quoted."""
        if isinstance(self.node, Scalar) and isinstance(self.node.value, str):
            return self.node.value
        hint = ""
        if isinstance(self.node, Scalar):
            hint = f", found {_shown(self.node)} (put it in quotes if text is meant)"
        self.fail(expected + hint)
        return None

    def parsed(self, parse: Callable[[str], T], expected: str = "expected text") -> T | None:
        """The text, read by `parse`, whose ValueError says what is wrong."""
        text = self.text(expected)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.fail(str(error))
            return None

    def number(self, smallest: int) -> int | None:
        value = self.node.value if isinstance(self.node, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= smallest:
            return value
        self.fail(f"expected a whole number from {smallest} on")
        return None

    def flag(self) -> bool | None:
        if isinstance(self.node, Scalar) and isinstance(self.node.value, bool):
            return self.node.value
        self.fail("expected true or false")
        return None

    def one_of(self, allowed: Collection[str]) -> str | None:
        """One of a closed list of words."""
        if isinstance(self.node, Scalar) and self.node.value in allowed:
            return str(self.node.value)
        self.fail(f"expected one of {', '.join(allowed)}" + _guess(self.node, allowed))
        return None

    def items(self, expected: str) -> list[Value] | None:
        """The items of a list; each has its own line."""
        if not isinstance(self.node, Sequence):
            self.fail(expected)
            return None
        return [
            Value(item, (*self.path, f"[{index}]"), item.place, self.findings)
            for index, item in enumerate(self.node.items, start=1)
        ]

    def entries(self, expected: str) -> list[tuple[str, Value]] | None:
        """Keys that the author chose, with their values, in the order of the file."""
        if not isinstance(self.node, Mapping):
            self.fail(expected)
            return None
        return [
            (entry.key, Value(entry.node, (*self.path, entry.key), entry.place, self.findings))
            for entry in self.node.entries
        ]

    def keys(
        self, allowed: Collection[str], required: Collection[str] = (), expected: str = ""
    ) -> dict[str, Value] | None:
        """A mapping whose keys the format fixes. Unknown and missing ones are reported."""
        entries = self.entries(expected or f"expected a mapping with {', '.join(allowed)}")
        if entries is None:
            return None
        known: dict[str, Value] = {}
        for key, value in entries:
            if key in allowed:
                self.findings.places.setdefault(value.path, value.place)
                known[key] = value
            elif key in _LATER:
                value.fail(NOT_AVAILABLE)
            else:
                guess = _guess(Scalar(value.place, key), allowed)
                value.fail(f"unknown key; expected {', '.join(allowed)}{guess}")
        for key in required:
            if key not in {entry for entry, _ in entries}:
                self.fail(f"the key {key} is missing")
        return known


def _shown(node: Scalar) -> str:
    if node.value is None:
        return "null"
    return str(node.value).lower() if isinstance(node.value, bool) else str(node.value)


def _guess(node: Node, allowed: Collection[str]) -> str:
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return ""
    close = difflib.get_close_matches(node.value, list(allowed), n=1)
    return f"; did you mean {close[0]}?" if close else ""
