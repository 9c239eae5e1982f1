"""The reference page names what the code knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.policy import mask_text, purposes, tables, testfile
from proxy.policy.folder import SECTIONS
from proxy.policy.model import Basis

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "policy.md").read_text(encoding="utf-8")

WORDS = {
    *SECTIONS,
    *purposes.CATEGORY_KEYS,
    *purposes.PURPOSE_KEYS,
    *purposes.TOOL_KEYS,
    *purposes.PEOPLE,
    *purposes.ROW_RULES,
    *tables.TABLE_KEYS,
    *tables.SUBJECT_KEYS,
    *testfile.TEST_KEYS,
    *testfile.STATES,
    *(basis.value for basis in Basis),
    *(name for name in mask_text.MASK_NAMES if name != "null"),
}


@pytest.mark.parametrize("word", sorted(WORDS))
def test_the_reference_page_names_every_key_word_and_mask(word: str) -> None:
    assert f"`{word}`" in PAGE
