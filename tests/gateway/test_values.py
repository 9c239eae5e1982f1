"""Values in JSON, NDJSON and CSV: exact, or a string."""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamProtocolError
from proxy.gateway.array_text import array_json, array_literal
from proxy.gateway.values import quoted
from tests.gateway.house import House


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("1::int2", 1),
        ("(-2147483648)::int4", -2147483648),
        ("9007199254740992::int8", 9007199254740992),
        ("-9007199254740992::int8", -9007199254740992),
        ("9007199254740993::int8", "9007199254740993"),
        ("-9007199254740993::int8", "-9007199254740993"),
        ("(-9223372036854775808)::int8", "-9223372036854775808"),
        ("1.10::numeric", "1.10"),
        ("'NaN'::numeric", "NaN"),
        ("0.1::float8", 0.1),
        ("1e300::float8", 1e300),
        ("'NaN'::float8", "NaN"),
        ("'Infinity'::float8", "Infinity"),
        ("'-Infinity'::float4", "-Infinity"),
        ("true", True),
        ("false", False),
        ("NULL::int", None),
        ("''", ""),
        ("E'a\"b\\\\c\\n\\t\\u0001'", 'a"b\\c\n\t\x01'),
        ("'žluťoučký 🐎'", "žluťoučký 🐎"),
        ("timestamptz '2026-01-01 01:02:03.5+01'", "2026-01-01T00:02:03.5Z"),
        ("timestamptz 'infinity'", "infinity"),
        ("timestamptz '0044-03-15 00:00+00 BC'", "0044-03-15 00:00:00+00 BC"),
        ("timestamp '2026-01-01 00:00:00'", "2026-01-01T00:00:00"),
        ("timestamp '-infinity'", "-infinity"),
        ("date '2026-02-03'", "2026-02-03"),
        ("interval '1 day 2 hours'", "1 day 02:00:00"),
        ("'\\xdeadbeef'::bytea", base64.b64encode(b"\xde\xad\xbe\xef").decode()),
        ("''::bytea", ""),
        ("'{\"a\": [1, 2.50]}'::json", {"a": [1, 2.5]}),
        ("E'{\"a\":\\n1}'::json", {"a": 1}),
        ("'null'::jsonb", None),
        ("'10.0.0.1'::inet", "10.0.0.1"),
        ("'(1,2)'::point", "(1,2)"),
        ("'{1,NULL,9007199254740993}'::int8[]", [1, None, "9007199254740993"]),
        ("'{}'::int8[]", []),
        ("'{{1,2},{3,4}}'::int4[]", [[1, 2], [3, 4]]),
        ("'[0:1]={1,2}'::int4[]", [1, 2]),
        (
            "ARRAY['a', NULL, 'NULL', '', 'x\"y', E'\\\\', '{}', 'b,c']",
            ["a", None, "NULL", "", 'x"y', "\\", "{}", "b,c"],
        ),
        ("ARRAY[true, false]", [True, False]),
        ("ARRAY[timestamptz '2026-01-01 00:00+00']", ["2026-01-01T00:00:00Z"]),
        ("ARRAY['{\"a\":1}'::jsonb]", [{"a": 1}]),
        ("ARRAY['\\x00ff'::bytea]", ["AP8="]),
        ("ARRAY['(1,1),(0,0)'::box, '(3,3),(2,2)'::box]", ["(1,1),(0,0)", "(3,3),(2,2)"]),
        ("'1 2 3'::int2vector", "1 2 3"),
    ],
)
async def test_a_value_is_exact_or_a_string(house: House, sql: str, expected: Any) -> None:
    value = await house.value(f"SELECT {sql}")
    assert value == expected
    assert type(value) is type(expected)


async def test_types_are_called_what_postgresql_calls_them(house: House) -> None:
    answer = await house.query("SELECT * FROM crm.things", who="counter")
    assert answer.status == 200, answer.body
    types = {column["name"]: column["type"] for column in answer.json["columns"]}
    assert types["exact"] == "numeric(12,2)"
    assert types["short"] == "character varying(20)"
    assert types["at"] == "timestamp with time zone"
    assert types["numbers"] == "bigint[]"
    assert types["boxes"] == "box[]"
    # A type of the policy's schema is found along the tool's path, so it needs no schema.
    assert types["colour"] == "colour"
    assert answer.json["rows"] == []


async def test_types_are_looked_up_once(house: House) -> None:
    for _ in range(3):
        await house.query("SELECT id, colour FROM crm.things", who="counter")
    answer = await house.query("SELECT 1 AS a, 2 AS a", who="counter")
    assert [column["name"] for column in answer.json["columns"]] == ["a", "a"]


async def test_an_enum_and_its_arrays_are_text(house: House) -> None:
    await house.admin.execute("INSERT INTO crm.things (colour) VALUES ('red')")
    sql = "SELECT min(colour), array_agg(colour) FROM crm.things"
    answer = await house.query(sql, who="counter")
    assert [column["type"] for column in answer.json["columns"]] == ["colour", "colour[]"]
    assert answer.json["rows"] == [["red", ["red"]]]


async def test_a_result_without_columns_has_rows(house: House) -> None:
    answer = await house.query("SELECT FROM crm.people", who="counter")
    assert answer.json["columns"] == []
    assert answer.json["rows"] == [[], [], []]


async def test_ndjson_has_a_head_a_line_for_each_row_and_an_end(house: House) -> None:
    sql = "SELECT id, E'{\"a\":\\n\\r1}'::json AS tree FROM crm.people ORDER BY id"
    answer = await house.query(sql, who="counter", accept="application/x-ndjson")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    head, *rows, end = [json.loads(line) for line in answer.body.decode().splitlines()]
    assert head == {
        "columns": [{"name": "id", "type": "bigint"}, {"name": "tree", "type": "json"}],
        "access_id": answer.headers["Access-Id"],
    }
    assert rows == [[1, {"a": 1}], [2, {"a": 1}], [3, {"a": 1}]]
    assert end == {"end": {"rows": 3}}


async def test_ndjson_of_nothing_is_head_and_end(house: House) -> None:
    answer = await house.query("SELECT 1 WHERE false", accept="application/x-ndjson")
    assert [list(json.loads(line)) for line in answer.body.splitlines()] == [
        ["columns", "access_id"],
        ["end"],
    ]


async def test_csv_is_as_rfc_4180_has_it(house: House) -> None:
    sql = (
        "SELECT * FROM (VALUES (1, 'plain', NULL, true, '{1,2}'::int[]),"
        " (2, E'a \"quote\", a\\nline', '', false, NULL)) AS v(id, words, empty, yes, \"a,b\")"
    )
    answer = await house.query(sql, accept="text/csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.body == (
        b'id,words,empty,yes,"a,b"\r\n'
        b'1,plain,,true,"[1,2]"\r\n'
        b'2,"a ""quote"", a\nline","",false,\r\n'
    )
    rows = list(csv.reader(io.StringIO(answer.body.decode(), newline="")))
    assert rows[2][1] == 'a "quote", a\nline'


async def test_csv_values_are_those_of_json_without_quotes(house: House) -> None:
    sql = "SELECT timestamptz '2026-01-01 00:00+00', 9007199254740993, '\\xff'::bytea, 1.50"
    answer = await house.query(sql, accept="text/csv")
    assert answer.body.splitlines()[1] == b"2026-01-01T00:00:00Z,9007199254740993,/w==,1.50"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/*", "application/json"),
        ("application/x-ndjson, application/json;q=0.5", "application/x-ndjson"),
        ("application/json;q=0.5, text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("application/json;q=0, */*", "application/x-ndjson"),
    ],
)
async def test_accept_chooses_the_form(house: House, accept: str | None, expected: str) -> None:
    answer = await house.query("SELECT 1", accept=accept)
    assert answer.headers["Content-Type"].partition(";")[0] == expected


async def test_a_form_that_is_not_offered_is_told_before_anything_runs(house: House) -> None:
    answer = await house.query("SELECT id FROM crm.people", accept="text/html")
    assert (answer.status, answer.error["reason"]) == (406, "not_acceptable")
    assert house.records("access.intent") == []


# --- without a database ----------------------------------------------------------------------

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def _as_postgresql_writes(items: list[Any]) -> str:
    parts = []
    for item in items:
        if isinstance(item, list):
            parts.append(_as_postgresql_writes(item))
        elif item is None:
            parts.append("NULL")
        elif item and not set(item) & set('{}",\\ \t\n\r\v\f') and item.upper() != "NULL":
            parts.append(item)
        else:
            parts.append('"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return "{" + ",".join(parts) + "}"


@given(st.lists(st.none() | _TEXTS))
def test_every_array_is_read_as_it_was(items: list[Any]) -> None:
    text = _as_postgresql_writes(items)
    assert json.loads(array_json(text.encode(), b",", quoted)) == items


@given(st.lists(st.none() | _TEXTS), st.lists(_TEXTS))
def test_every_array_literal_is_read_back(one: list[Any], other: list[Any]) -> None:
    text = array_literal([one, other], lambda item: None if item is None else str(item))
    assert json.loads(array_json(text.encode(), b",", quoted)) == [one, other]


@pytest.mark.parametrize("text", [b"", b'{"a}', b'{"a\\"}', b'{a"b"}"'])
def test_what_is_no_array_is_not_passed_on(text: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        array_json(text, b",", quoted)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_is_a_json_string(text: str) -> None:
    assert json.loads(quoted(text.encode())) == text


def test_bytes_that_are_no_utf8_still_make_json() -> None:
    assert json.loads(quoted(b"caf\xe9")) == "caf\ufffd"
