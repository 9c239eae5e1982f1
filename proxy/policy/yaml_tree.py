"""YAML 1.2 text as an immutable tree that knows the line of every key and value.

Only what the policy format uses: mappings with text keys, sequences and plain scalars. Aliases
are followed; merge keys, own tags and keys written twice are not YAML that a policy can mean two
ways, so they are problems.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from proxy.policy.problem import Place

# Aliases of aliases grow a tree beyond every file; no policy is this large.
_NODES_MAX: Final = 500_000
_DEPTH_MAX: Final = 20  # the format needs seven

_TAG: Final = "tag:yaml.org,2002:"
_DECIMAL = re.compile(r"[-+]?[0-9]+")

ScalarValue = str | int | bool | Decimal | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value: text, whole number, other number, true or false, or nothing."""

    place: Place
    value: ScalarValue


@dataclass(frozen=True, slots=True)
class Sequence:
    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    key: str
    place: Place  # of the key
    node: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    place: Place
    entries: tuple[Entry, ...]


Node = Scalar | Sequence | Mapping

Report = Callable[[Place, str, str], None]  # place, key, message


def read_tree(file: str, text: str, report: Report) -> Node | None:
    """The tree of one document, or None where it is empty or not YAML (which is reported)."""
    try:
        # Not "rt": it leaves marks of its own (BEL characters) in folded scalars.
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        report(Place(file, line), "", f"not YAML 1.2: {error.problem or error.context}")
        return None
    except YAMLError as error:
        report(Place(file, 0), "", f"not YAML 1.2: {str(error).splitlines()[0]}")
        return None
    except RecursionError:
        report(Place(file, 0), "", "nested too deeply")
        return None
    if root is None:
        return None
    return _Converter(file, report).convert(root, (), ())


class _Converter:
    def __init__(self, file: str, report: Report) -> None:
        self._file = file
        self._report = report
        self._nodes = 0

    def convert(self, node: Any, path: tuple[str, ...], above: tuple[int, ...]) -> Node | None:
        """The node as a value of ours; None where it can not be one (which is reported)."""
        place = Place(self._file, node.start_mark.line + 1)
        self._nodes += 1
        if id(node) in above or len(above) > _DEPTH_MAX or self._nodes > _NODES_MAX:
            self._report(place, ".".join(path), "nested too deeply, or holds itself")
            return None
        above = (*above, id(node))
        tag = str(node.tag)
        if isinstance(node, ScalarNode):
            return self._scalar(node.value, tag, place, path)
        if isinstance(node, SequenceNode) and tag == f"{_TAG}seq":
            items = [self.convert(child, path, above) for child in node.value]
            return Sequence(place, tuple(item for item in items if item is not None))
        if isinstance(node, MappingNode) and tag == f"{_TAG}map":
            return self._mapping(node, place, path, above)
        self._report(place, ".".join(path), f"the tag {tag} has no meaning in a policy")
        return None

    def _mapping(
        self, node: Any, place: Place, path: tuple[str, ...], above: tuple[int, ...]
    ) -> Mapping:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            key_place = Place(self._file, key_node.start_mark.line + 1)
            if not isinstance(key_node, ScalarNode) or str(key_node.tag) != f"{_TAG}str":
                self._report(key_place, ".".join(path), "expected a key that is text")
                continue
            key = str(key_node.value)
            if key in entries:
                first = entries[key].place
                self._report(
                    key_place, ".".join((*path, key)), f"the key is already there: {first}"
                )
                continue
            child = self.convert(value_node, (*path, key), above)
            if child is not None:
                entries[key] = Entry(key, key_place, child)
        return Mapping(place, tuple(entries.values()))

    def _scalar(self, text: str, tag: str, place: Place, path: tuple[str, ...]) -> Scalar | None:
        # A date is text here: what it means is the column's type to say, not YAML's.
        if tag in (f"{_TAG}str", f"{_TAG}timestamp"):
            return Scalar(place, text)
        if tag == f"{_TAG}null":
            return Scalar(place, None)
        if tag == f"{_TAG}bool" and text.lower() in ("true", "false"):
            return Scalar(place, text.lower() == "true")
        if tag == f"{_TAG}int" and _DECIMAL.fullmatch(text):
            return Scalar(place, int(text))
        if tag == f"{_TAG}float":
            return Scalar(
                place, Decimal(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            )
        if tag.removeprefix(_TAG) in ("bool", "int"):
            message = f"{text!r} can be read in two ways: put it in quotes"
        else:
            message = f"the tag {tag} has no meaning in a policy"
        self._report(place, ".".join(path), message)
        return None
