"""What decides a cell: the table in cases/what_decides_a_cell.yaml, read against `decide`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from proxy.consent.sensitive import sensitive_columns
from proxy.policy.decide import (
    Absent,
    ColumnVerdict,
    Guarded,
    Masked,
    RelationVerdict,
    Shown,
    decide,
)
from proxy.policy.load import load_policy
from proxy.policy.mask_text import mask_text
from proxy.policy.model import DropMask, Policy, RelationName

_YAML = YAML(typ="safe")
TABLE: dict[str, Any] = _YAML.load(Path(__file__).parent / "cases" / "what_decides_a_cell.yaml")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = tmp_path_factory.mktemp("cases")
    with (folder / "policy.yaml").open("w", encoding="utf-8") as file:
        _YAML.dump(TABLE["policy"], file)
    return load_policy(folder)


def _in_words(verdict: ColumnVerdict) -> Any:
    match verdict:
        case Shown():
            return "value"
        case Absent():
            return "absent"
        case Masked(mask=mask):
            return {"mask": mask_text(mask)}
        case Guarded(through=through, mask=mask):
            seen = "value" if through is None else mask_text(through)
            return {"in_force": seen, "otherwise": mask_text(mask)}


def _left_out(verdict: RelationVerdict) -> list[str]:
    rules = {
        "people": verdict.is_consented_only or None,
        "source": verdict.source,
        "keep": verdict.keep,
        "quiet": verdict.quiet,
    }
    return [name for name, rule in rules.items() if rule is not None]


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: str(case["case"]))
def test_a_cell_shows_what_the_table_of_cases_says(policy: Policy, case: dict[str, Any]) -> None:
    schema, table, column = case["column"].split(".")
    verdict = decide(policy, case["purpose"], RelationName(schema, table), [column])
    if case["shows"] == "refused":
        assert verdict is None
        return
    assert verdict is not None
    ((name, cell),) = verdict.columns
    assert name == column
    assert _in_words(cell) == case["shows"]
    assert (cell.sensitive if isinstance(cell, Guarded) else None) == case.get("grant")


@pytest.mark.parametrize("case", TABLE["rows"], ids=lambda case: str(case["case"]))
def test_rows_are_left_out_as_the_table_of_cases_says(policy: Policy, case: dict[str, Any]) -> None:
    verdict = decide(policy, case["purpose"], RelationName(*case["table"].split(".")), [])
    assert verdict is not None
    assert _left_out(verdict) == case["leaves_out"]
    assert verdict.removes_rows == bool(case["leaves_out"])


def test_a_purpose_that_the_policy_does_not_have_decides_nothing(policy: Policy) -> None:
    with pytest.raises(KeyError):
        decide(policy, "anything", RelationName("crm", "people"), ["id"])


def test_the_columns_of_the_database_are_kept_in_their_order(policy: Policy) -> None:
    columns = ["name", "unknown", "id", "score"]
    verdict = decide(policy, "nothing", RelationName("crm", "people"), columns)
    assert verdict is not None
    assert [name for name, _ in verdict.columns] == columns


def test_every_grant_that_a_verdict_asks_for_is_kept_by_the_ledger(policy: Policy) -> None:
    kept = set(sensitive_columns(policy))
    for purpose in policy.purposes:
        for name, rule in policy.relations.items():
            verdict = decide(policy, purpose, name, list(rule.columns or ()))
            assert verdict is not None
            for _, cell in verdict.columns:
                if isinstance(cell, Guarded) and cell.sensitive is not None:
                    assert (purpose, cell.sensitive) in kept


@given(data=st.data())
def test_no_column_that_is_personal_is_ever_shown_without_asking(
    policy: Policy, data: st.DataObject
) -> None:
    purpose = data.draw(st.sampled_from(sorted(policy.purposes)))
    rule = data.draw(st.sampled_from(list(policy.relations.values())))
    columns = data.draw(st.lists(st.sampled_from([*(rule.columns or {}), "x"]), unique=True))
    verdict = decide(policy, purpose, rule.name, columns)
    assert verdict is not None
    for name, cell in verdict.columns:
        listed = None if rule.columns is None else rule.columns.get(name)
        if isinstance(cell, Shown):
            assert rule.columns is None or (listed is not None and listed.category is None)
        if isinstance(cell, Masked):
            assert not isinstance(cell.mask, DropMask)
