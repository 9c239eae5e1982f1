"""The tables of fields and classes: complete, obeyed, and the ones that the reference shows."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rewrite.plan import Kind, Plan, TableUse
from proxy.session.errors import (
    CLASSES,
    FIELDS,
    WITHHELD,
    Part,
    Place,
    Reach,
    Words,
    class_of,
    reach,
    shown_error,
    shown_notice,
)
from proxy.wire import messages as m
from tests.errors.page import PAGE, page

SECRET = "Sxqzvk"
EVERY_FIELD = {field.code: f"{SECRET} {field.code}" for field in FIELDS} | {
    "S": "ERROR",
    "V": "ERROR",
    "P": "8",
}
STATES = st.text(string.ascii_uppercase + string.digits, min_size=5, max_size=5)


def test_the_reference_is_made_of_the_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.errors.page"


def test_every_field_and_class_is_there_once() -> None:
    assert len({field.code for field in FIELDS}) == len(FIELDS) == 18
    assert len({each.code for each in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("how_far", Reach)
@given(sqlstate=STATES)
def test_what_never_passes_never_passes(how_far: Reach, sqlstate: str) -> None:
    never = {field.code for field in FIELDS if field.part is Part.NEVER}
    error = shown_error({**EVERY_FIELD, "C": sqlstate}, how_far)
    assert not set(error) & (never | {"P"})
    notice = shown_notice({**EVERY_FIELD, "C": sqlstate}, how_far)
    assert notice is None or not set(notice) & (never | {"P"})


@given(sqlstate=STATES, severity=st.sampled_from(["ERROR", "FATAL", "PANIC"]))
def test_code_of_the_database_says_nothing_of_its_own(sqlstate: str, severity: str) -> None:
    fields = {**EVERY_FIELD, "C": sqlstate, "S": severity, "V": severity}
    error = shown_error(fields, Reach.DATABASE)
    assert SECRET not in repr(error)
    assert shown_notice(fields, Reach.DATABASE) is None
    if severity == "ERROR" and class_of(sqlstate).code == "22":
        assert error["M"] == WITHHELD


@given(sqlstate=STATES)
def test_a_class_whose_words_do_not_pass_is_told_by_its_name(sqlstate: str) -> None:
    found = class_of(sqlstate)
    error = shown_error({**EVERY_FIELD, "C": sqlstate}, Reach.GUARDED)
    assert (SECRET in repr(error)) is (found.words is not Words.NAME)
    if found.words is Words.NAME:
        assert error["M"] == found.name


@given(fields=st.dictionaries(st.characters(min_codepoint=1, max_codepoint=255), st.text()))
def test_whatever_fields_come_an_error_can_be_made_of_them(fields: dict[str, str]) -> None:
    for how_far in Reach:
        shown = shown_error(fields, how_far, Place("SELECT 1", "SELECT 1"))
        assert set("SVCM") >= set(shown) - set("DHP")
        assert m.read_fields(m.error(m.ERROR, shown))["C"] == shown["C"]


def test_the_farthest_plan_counts() -> None:
    reading = Plan(kind=Kind.SELECT, text="", tables=(TableUse(name="a.b", columns=()),))
    running = Plan(kind=Kind.SELECT, text="", runs_code=True)
    assert reach(None) is reach(Plan(kind=Kind.SHOW, text="")) is Reach.NOTHING
    assert reach(Plan(kind=Kind.FETCH, text=""), reading) is Reach.GUARDED
    assert reach(reading, running, None) is Reach.DATABASE


def test_a_position_that_is_no_number_is_left_out() -> None:
    place = Place("SELECT a", "SELECT a")
    for text in ("", "-1", "0", "x", "99999999999999", "9", "²"):
        assert place.of(text) is None
    assert place.of("8") == 8
