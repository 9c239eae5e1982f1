"""The JSON Schema and the readers speak of one format."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from proxy.policy.load import load_policy
from proxy.policy.mask_text import mask_text, parse_mask
from proxy.policy.problem import PolicyErrors
from proxy.policy.schema import policy_schema

_CHECKER = jsonschema.Draft202012Validator(policy_schema())
_DEALERSHIP = Path(__file__).parents[2] / "policies" / "dealership"


def _load_mistakes() -> Any:
    # The table of mistakes belongs to the readers' tests; the schema must know the same ones.
    spec = importlib.util.spec_from_file_location(
        "mistakes", Path(__file__).parent / "test_load.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_LOAD = _load_mistakes()

# What only `policy check` can know: it spans keys, or needs the list of time zones, or YAML itself.
_BEYOND = {
    "a category twice",
    "a hole in sensitivity",
    "a purpose that is not there",
    "a default beyond the tool",
    "a table of the system",
    "a table of the ledger",
    "the same table written twice",
    "the same column written twice",
    "an open column with a mask",
    "a zone that is not there",
    "a zone by abbreviation",
    "a zone beyond the zones",
    "no data subject",
    "a way to a table that is not there",
    "a way to a table of nobody",
    "a way that leads back",
    "a purpose that reads what it drops",
    "a function that runs SQL",
    "no name",
    "a key twice",
    "a merge key",
    "a tag",
    "a hexadecimal number",
}


def _errors(text: str) -> list[str]:
    return [error.message for error in _CHECKER.iter_errors(YAML(typ="safe").load(text))]


def test_the_schema_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(policy_schema())
    assert json.loads(json.dumps(policy_schema())) == policy_schema()


@pytest.mark.parametrize(
    "path",
    sorted(p for p in _DEALERSHIP.glob("*.yaml") if ".test." not in p.name),
    ids=lambda p: p.name,
)
def test_every_file_of_the_dealerships_policy_fits_the_schema(path: Path) -> None:
    assert _errors(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "mistake",
    [mistake for mistake in _LOAD.MISTAKES if mistake[0] not in _BEYOND],
    ids=lambda mistake: str(mistake[0]),
)
def test_an_editor_marks_the_mistakes_that_one_file_shows(mistake: tuple[str, ...]) -> None:
    _, old, new, _, _ = mistake
    assert _errors(_LOAD.SMALL) == []
    assert _errors(_LOAD.SMALL.replace(old, new)) != []


@given(st.from_regex(policy_schema()["$defs"]["mask"]["pattern"], fullmatch=True))
def test_a_mask_that_the_schema_takes_is_one_but_for_the_size_of_its_number(text: str) -> None:
    name, _, argument = text.rstrip(")").partition("(")
    # Only the size of a number is more than a pattern can say.
    size = int(argument) if name != "constant" and argument else 0
    if size > 150:
        text = f"{name}({size % 150 + 1})"
    assert mask_text(parse_mask(text)) in (text, "last4")


def test_what_a_reader_takes_the_schema_takes(tmp_path: Path) -> None:
    text = """
policy: p
version: 3
functions: ['crm.f(text, integer)', 'crm.g()']
categories: {user: {}, user.x: {mask: "constant(a, b)", sensitive: true}}
purposes:
  p1:
    {basis: public_task, description: d, data_use: x, people: all, exempt: [source, keep],
     reads: [user, user.x: year]}
subject: {key: '"C".people.id', consent: ledger}
tables:
  '"C"."a.b"':
    subject: {all: [x, {via: [y, '"C".people.id']}]}
    source: {column: s, allow: [a]}
    keep: {column: t, for: 2w, zone: Europe/Madrid}
    quiet: {column: t, for: 30m}
    columns: {x: {category: open, type: int}, '"Y y"': user.x}
  '"C".people': {subject: id, columns: {id: open}}
  ref.x: open
tools: {a.b: {purposes: [p1], default: p1}}
"""
    (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
    load_policy(tmp_path)
    assert _errors(text) == []


def test_a_mistake_of_the_table_is_one_for_the_readers_too(tmp_path: Path) -> None:
    assert {mistake[0] for mistake in _LOAD.MISTAKES} >= _BEYOND
    (tmp_path / "policy.yaml").write_text(_LOAD.SMALL + "x: 1\n", encoding="utf-8")
    with pytest.raises(PolicyErrors):
        load_policy(tmp_path)
