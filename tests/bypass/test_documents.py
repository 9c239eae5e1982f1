"""What the documents say of these tests: what they name exists, every file is described."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from tests.bypass import reference

ROOT: Final = Path(__file__).parents[2]
_NAMED: Final = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_THREATS: Final = (ROOT / "docs" / "threat-model.md").read_text()


def _tests_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _threats() -> list[str]:
    table = _THREATS.split("|---|---|---|\n")[1].split("\n\n")[0]
    return table.splitlines()


@pytest.mark.parametrize("threat", _threats(), ids=lambda line: line.split("|")[1].strip()[:60])
def test_every_threat_names_a_test_that_shows_its_control(threat: str) -> None:
    named = _NAMED.findall(threat)
    assert named
    for file, test in named:
        assert test in _tests_of(ROOT / file), f"{file} has no {test}"


def test_nothing_is_claimed_without_a_tests_name() -> None:
    assert _THREATS.count("`tests/") == len(_NAMED.findall(_THREATS)) + 1  # and this file


def test_the_reference_of_the_suite_is_made_of_its_files() -> None:
    assert reference.table() in (ROOT / "docs" / "reference" / "bypass.md").read_text(), (
        "run python -m tests.bypass.reference"
    )
