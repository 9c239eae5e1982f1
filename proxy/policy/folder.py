"""A policy folder's files, merged into one set of sections.

Purposes, categories, tables and tools may be spread over files, each name in one place only:
what one person wrote, another person's file can not quietly replace.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from proxy.policy.problem import Place
from proxy.policy.value import Findings, Value
from proxy.policy.yaml_tree import read_tree

K = TypeVar("K", bound=Hashable)

# Sections whose entries may be spread over files.
SPREAD: Final = ("categories", "purposes", "tables", "tools")
# Sections that stand in one file.
SINGLE: Final = ("policy", "version", "subject", "functions", "extensions")
SECTIONS: Final = (
    "policy",
    "version",
    "categories",
    "purposes",
    "subject",
    "tables",
    "functions",
    "extensions",
    "tools",
)

# Far more than a policy for a thousand tables; a file beyond it is a mistake, not a policy.
FILE_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(slots=True)
class Sections:
    """The sections of all files: each single one once, each spread one as all its entries."""

    single: dict[str, Value] = field(default_factory=dict)
    spread: dict[str, list[tuple[str, Value]]] = field(default_factory=dict)


def is_policy_file(path: Path) -> bool:
    """`*.yaml` but `*.test.yaml`; hidden files (editors' and mounts' own) are not part of it."""
    name = path.name
    return name.endswith(".yaml") and not name.endswith(".test.yaml") and not name.startswith(".")


def read_folder(folder: Path, findings: Findings) -> Sections:
    """All policy files of `folder` (not of folders in it), in the order of their names."""
    sections = Sections(spread={name: [] for name in SPREAD})
    if not folder.is_dir():
        findings.report(Place(str(folder), 0), "", "expected a folder with policy files")
        return sections
    paths = sorted(folder.iterdir(), key=lambda path: path.name)
    for path in paths:
        if path.suffix == ".yml" and not path.name.startswith("."):
            findings.report(Place(str(path), 0), "", "policy files end in .yaml: rename this one")
    files = [path for path in paths if is_policy_file(path) and not path.is_dir()]
    if not files:
        findings.report(Place(str(folder), 0), "", "expected at least one *.yaml file")
    for path in files:
        text = read_text(path, findings)
        if text is not None:
            _add_file(str(path), text, sections, findings)
    return sections


def read_text(path: Path, findings: Findings) -> str | None:
    """The file's UTF-8 text, or None where it can not be read (which is reported)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        findings.report(Place(str(path), 0), "", f"can not be read: {error.strerror}")
        return None
    if len(content) > FILE_BYTES_MAX:
        findings.report(Place(str(path), 0), "", f"larger than {FILE_BYTES_MAX} bytes")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        findings.report(Place(str(path), line), "", "expected UTF-8")
        return None


def _add_file(file: str, text: str, sections: Sections, findings: Findings) -> None:
    root = read_tree(file, text, findings.report)
    if root is None:
        return
    found = Value(root, (), root.place, findings).keys(SECTIONS)
    for name, value in (found or {}).items():
        if name in SPREAD:
            sections.spread[name] += value.entries("expected a mapping of names") or []
        elif name in sections.single:
            value.fail(f"the key is already there: {sections.single[name].place}")
        else:
            sections.single[name] = value


def named(
    entries: list[tuple[str, Value]],
    section: str,
    parse: Callable[[str], K],
    text: Callable[[K], str],
) -> list[tuple[K, Value]]:
    """Entries by their parsed names; one that is there twice is reported with both places."""
    first: dict[K, Place] = {}
    result: list[tuple[K, Value]] = []
    for key, value in entries:
        try:
            name = parse(key)
        except ValueError as error:
            value.fail(str(error))
            continue
        if name in first:
            value.fail(f"the key is already there: {first[name]}")
            continue
        first[name] = value.place
        result.append((name, value.at((section, text(name)))))
    return result
