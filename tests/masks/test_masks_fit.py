"""Every mask × every type: which fit, and that what fits keeps its promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import postgast
import pytest

from proxy.errors import InvariantError
from proxy.policy.decide import Absent, ColumnVerdict, Guarded, Masked, Shown
from proxy.policy.model import (
    AgeBandMask,
    BucketMask,
    ConstantMask,
    CutMask,
    DropMask,
    EmailDomainMask,
    EmailMask,
    FirstMask,
    InitialMask,
    IpPrefixMask,
    LastMask,
    Mask,
    NullMask,
    PrefixMask,
    PseudonymMask,
    RedactMask,
)
from proxy.rewrite.masks import (
    column_type_shown,
    mask_problem,
    masked_type,
    shown_expression,
)
from proxy.rewrite.masks_terms import TEXT
from proxy.sql.catalog import ColumnType
from tests.masks.upstream import COLUMN, PURPOSE, SETTINGS, TOOL, Upstream, masked, text_of

MASKS: tuple[Mask, ...] = (
    NullMask(), DropMask(), ConstantMask("1"), ConstantMask("a\\b"), ConstantMask("2026-01-31"),
    RedactMask(), InitialMask(), EmailMask(), EmailDomainMask(), FirstMask(1), LastMask(4),
    PrefixMask(3), PseudonymMask(), CutMask("year"), CutMask("month"), CutMask("week"),
    CutMask("day"), AgeBandMask(10), BucketMask(1000), IpPrefixMask(),
)  # fmt: skip

# Values of each type that are hard for somebody, in a form that no setting changes.
_TEXTS = ("", " ", "@", "a@b", "é👍@ñ", "\\", "Ana Ruiz", "12345678")
_DATES = ("infinity", "-infinity", "4714-11-24 BC", "0001-12-31 BC", "1970-01-01", "2024-02-29")
_INSTANTS = ("infinity", "-infinity", "4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59+00",
             "2024-12-31 23:30:00-11:30")  # fmt: skip
_FLOATS = ("NaN", "Infinity", "-Infinity", "-0", "1e-40", "-3e38", "-0.5", "999.999")
VALUES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "text",
            "character varying",
            "character varying(2)",
            "character varying(50)",
            "character(1)",
            "character(50)",
            "bpchar",
            "name",
        ),
        _TEXTS,
    ),
    "smallint": ("-32768", "32767", "0", "-1"),
    "integer": ("-2147483648", "2147483647", "0", "-1"),
    "bigint": ("-9223372036854775808", "9223372036854775807", "0", "-1"),
    "real": _FLOATS,
    "double precision": (*_FLOATS, "-1.7e308", "5e-324"),
    "numeric": ("NaN", "Infinity", "-Infinity", "1e131071", "-1e131071", "1e-16000", "-0.5"),
    "numeric(10,2)": ("NaN", "-99999999.99", "99999999.99", "0"),
    "numeric(3,5)": ("-0.00999", "0"),
    "numeric(3,-2)": ("-99900", "99900"),
    "date": (*_DATES, "5874897-12-31"),
    **dict.fromkeys(("timestamp", "timestamp(0)", "timestamptz", "timestamptz(3)"), _INSTANTS),
    "boolean": ("true", "false"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "json": ("null", "{}", "[1]"),
    "jsonb": ("null", "{}", "[1]"),
    "bytea": ("", "\\x00ff"),
    "inet": ("0.0.0.0/0", "1.2.3.4", "::/0", "2001:db8::1", "::ffff:1.2.3.4/127"),
    "cidr": ("0.0.0.0/0", "1.2.3.4/32", "::/0", "2001:db8::/32"),
    "integer[]": ("{}", "{NULL,1}"),
    "character varying(3)[]": ("{}", "{a}"),
    "evil.mood[]": ("{}", "{sad}"),
    "evil.mood": ("sad",),
    "evil.mail": ("a@b",),
    "evil.pair": ("(1,2)",),
    "interval": ("1 day", "-178000000 years"),
    "money": ("0",),
    "time": ("24:00:00",),
    "timetz": ("00:00:00+00",),
    "xml": ("<a/>",),
    "int4range": ("empty",),
    "int4multirange": ("{}",),
    "bit(3)": ("101",),
    "bit varying": ("",),
    "oid": ("4294967295",),
    '"char"': ("a",),
    "macaddr": ("00:00:00:00:00:00",),
    "point": ("(NaN,Infinity)",),
    "tsvector": ("a:1",),
    "int2vector": ("1 2",),
    "regclass": ("0",),
    "jsonpath": ("$.a",),
}

_text_types = {sql for sql, values in VALUES.items() if values is _TEXTS}
_numbers = {"smallint", "integer", "bigint", "real", "double precision", "numeric",
            "numeric(10,2)", "numeric(3,5)"}  # fmt: skip
_days = {"date", "timestamp", "timestamp(0)", "timestamptz", "timestamptz(3)"}
_arrays = {sql for sql in VALUES if sql.endswith("[]")}


def _fitting(mask: Mask) -> set[str]:
    """The types of VALUES that the policy language's table gives the mask (constants apart)."""
    match mask:
        case NullMask() | DropMask():
            return set(VALUES)
        case RedactMask():
            return (
                _text_types | _numbers | _days | _arrays
                | {"numeric(3,-2)", "boolean", "uuid", "json", "jsonb", "bytea"}
            )  # fmt: skip
        case PseudonymMask():
            short = {"character varying(2)", "character(1)"}
            return (_text_types - short) | {"uuid", "bigint"}
        case CutMask():
            return _days
        case AgeBandMask():
            return {"date"}
        case BucketMask():
            return _numbers | {"numeric(3,-2)"}
        case IpPrefixMask():
            return {"inet", "cidr"}
        case _:
            return _text_types


@pytest.fixture(scope="session")
def zoo(upstream: Upstream) -> Upstream:
    upstream.plain.execute(
        "CREATE TYPE evil.mood AS ENUM ('sad');"
        "CREATE DOMAIN evil.mail AS pg_catalog.text NOT NULL CHECK (VALUE LIKE '%@%');"
        "CREATE TYPE evil.pair AS (a int, b int)"
    )
    return upstream


def fitting(upstream: Upstream) -> Iterator[tuple[Mask, str]]:
    for mask in MASKS:
        for sql in VALUES:
            if mask_problem(mask, upstream.column_type(sql)) is None:
                yield mask, sql


def test_a_mask_fits_the_types_of_the_policy_languages_table_and_no_others(zoo: Upstream) -> None:
    for mask in MASKS:
        if not isinstance(mask, ConstantMask):
            fits = {s for s in VALUES if mask_problem(mask, zoo.column_type(s)) is None}
            assert fits == _fitting(mask), mask


@pytest.mark.parametrize(
    ("mask", "sql"),
    [
        (FirstMask(0), "text"), (LastMask(2**31), "text"), (PrefixMask(-1), "text"),
        (BucketMask(0), "integer"), (BucketMask(2**63), "bigint"), (AgeBandMask(0), "date"),
        (AgeBandMask(10**9), "date"), (BucketMask(150), "numeric(3,-2)"),
        (PseudonymMask(), "character varying(42)"),
    ],
)  # fmt: skip
def test_a_number_that_a_mask_can_not_work_with_is_an_error_at_load(
    zoo: Upstream, mask: Mask, sql: str
) -> None:
    assert mask_problem(mask, zoo.column_type(sql)) is not None


def test_no_mask_fails_on_any_value_and_only_redact_and_constant_show_something_for_null(
    zoo: Upstream,
) -> None:
    for mask, sql in fitting(zoo):
        column_type = zoo.column_type(sql)
        ways = (0, 2) if isinstance(mask, PseudonymMask) else range(len(SETTINGS))
        values = [*VALUES[sql], *([None] if column_type.kind != "d" else [])]
        answers = [
            zoo.over(masked(mask, column_type), column_type, values, settings=way, binary=True)
            for way in ways
        ]
        assert all(answer == answers[0] for answer in answers), (mask, sql)
        is_constant = isinstance(mask, RedactMask | ConstantMask)
        assert (answers[0][-1] is not None) == is_constant, (mask, sql)
        if isinstance(mask, NullMask | DropMask | RedactMask | ConstantMask):
            assert len(set(answers[0])) == 1


def test_a_cell_has_exactly_the_columns_type_modifier_and_collation(zoo: Upstream) -> None:
    cases = list(fitting(zoo))
    columns = [
        f"CASE WHEN t.shown THEN "
        f"{text_of(shown_expression(None, COLUMN, own, shown, tool=TOOL, purpose=PURPOSE))}"
        f" ELSE {text_of(shown_expression(mask, COLUMN, own, shown, tool=TOOL, purpose=PURPOSE))}"
        f" END AS c{number}"
        for number, (mask, sql) in enumerate(cases)
        for own in [zoo.column_type(sql)]
        for shown in [column_type_shown(Masked(mask=mask, category="c"), own)]
    ]
    kinds = list(VALUES)
    made = ", ".join(f"a{kinds.index(sql)} {sql}" for sql in kinds)
    zoo.plain.execute(f"CREATE TABLE public.zoo (shown bool, {made})".encode())
    try:
        cells = ", ".join(
            cell.replace('"t"."c"', f"t.a{kinds.index(sql)}")
            for cell, (_, sql) in zip(columns, cases, strict=True)
        )
        zoo.plain.execute(
            f"CREATE VIEW public.cells AS SELECT {cells} FROM public.zoo AS t".encode()
        )
        types = zoo.column_types("public.cells")
        assert len(types) == len(cases)
        for (mask, sql), found in zip(cases, types, strict=True):
            assert found == masked_type(mask, zoo.column_type(sql)), (mask, sql)
        collations = zoo.plain.execute(
            "SELECT attcollation FROM pg_attribute WHERE attrelid = 'public.cells'::regclass"
            " ORDER BY attnum"
        ).fetchall()
        for (mask, sql), (collation,) in zip(cases, collations, strict=True):
            own = zoo.plain.execute(
                "SELECT typcollation FROM pg_type WHERE oid = %s",
                (masked_type(mask, zoo.column_type(sql)).oid,),
            ).fetchone()
            assert own is not None
            assert collation == own[0], (mask, sql)
    finally:
        zoo.plain.execute("DROP TABLE public.zoo CASCADE")


def test_a_null_of_a_domain_that_forbids_nulls_is_no_error(zoo: Upstream) -> None:
    mail = zoo.column_type("evil.mail")
    assert mail.kind == "d"
    assert zoo.over(masked(NullMask(), mail), mail, ["a@b"]) == [None]


@pytest.mark.parametrize(
    ("careless", "sql", "value"),
    [
        ("pg_catalog.date_trunc('day', t.c)", "timestamptz", "2024-12-31 23:30:00+00"),
        ("t.c::pg_catalog.text", "date", "2024-02-29"),
        ("pg_catalog.octet_length('\\\\')", "text", ""),
        ("t.c = NULL", "text", ""),
        ("t.c - 1", "date", "2024-02-29"),
    ],
)
def test_the_settings_tried_here_do_change_what_a_careless_expression_says(
    zoo: Upstream, careless: str, sql: str, value: str
) -> None:
    answers = {
        zoo.over(careless, zoo.column_type(sql), [value], settings=settings)[0]
        for settings in range(len(SETTINGS))
    }
    assert len(answers) > 1


# --- what the text is made of ----------------------------------------------------------------


def _plain(message: Any) -> Any:
    """A node of PostgreSQL's tree as plain values, without its place in the text."""
    if not hasattr(message, "ListFields"):
        return [_plain(part) for part in message] if hasattr(message, "append") else message
    return {
        field.name: _plain(value)
        for field, value in message.ListFields()
        if field.name not in {"location", "stmt_len", "stmt_location"}
    }


def _tree(sql: str) -> Any:
    return _plain(postgast.parse(sql).stmts[0].stmt)


def _nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key, value
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _name(parts: list[dict[str, dict[str, str]]]) -> list[str]:
    return [part["string"]["sval"] for part in parts]


# Every key that may stand in the tree of a mask: kinds of node and their fields.
_KINDS = {
    "select_stmt", "res_target", "column_ref", "a_const", "func_call", "a_expr", "type_cast",
    "case_expr", "case_when", "bool_expr", "collate_clause", "a_indirection", "a_indices",
    "type_name", "string", "integer",
}  # fmt: skip
_FIELDS = {
    "target_list", "limit_option", "op", "val", "fields", "sval", "ival", "boolval", "fval",
    "isnull", "funcname", "args", "funcformat", "name", "lexpr", "rexpr", "kind", "arg",
    "names", "typemod", "typmods", "array_bounds", "defresult", "expr", "result", "boolop",
    "collname", "indirection", "uidx",
}  # fmt: skip


def test_a_mask_is_made_of_qualified_names_and_of_no_sub_select(zoo: Upstream) -> None:
    functions = set()
    for mask, sql in fitting(zoo):
        nodes = list(_nodes(_tree(f"SELECT {masked(mask, zoo.column_type(sql))}")))
        assert {key for key, _ in nodes} <= _KINDS | _FIELDS
        assert [key for key, _ in nodes].count("select_stmt") == 1
        for key, node in nodes:
            if key == "func_call":
                schema, function = _name(node["funcname"])
                functions.add((schema, function))
            elif key == "a_expr":
                schema, _ = _name(node["name"])
                assert schema == "pg_catalog"
            elif key == "type_name":
                assert _name(node["names"])[0] in {"pg_catalog", "evil"}
            elif key == "collate_clause":
                assert _name(node["collname"]) == ["pg_catalog", "C"]
            elif key == "column_ref":
                assert _name(node["fields"]) == ["t", "c"]
    assert {schema for schema, _ in functions} == {"pg_catalog", "consent"}
    found = zoo.plain.execute(
        "SELECT nspname, proname, provolatile, prokind FROM pg_proc AS p JOIN pg_namespace AS n"
        " ON n.oid = p.pronamespace WHERE (nspname::text, proname::text) IN"
        " (SELECT * FROM unnest(%s::text[], %s::text[]))",
        ([schema for schema, _ in functions], [function for _, function in functions]),
    ).fetchall()
    assert {(schema, function) for schema, function, _, _ in found} == functions
    assert all(kind == "f" and volatility in "is" for _, _, volatility, kind in found)


def test_both_readers_understand_a_mask_alike(zoo: Upstream) -> None:
    for mask, sql in fitting(zoo):
        if sql == "bpchar":  # libpg_query prints `pg_catalog.bpchar` as `char`, which is char(1)
            continue
        tree = postgast.parse(f"SELECT {masked(mask, zoo.column_type(sql))}")
        assert _tree(postgast.deparse(tree)) == _plain(tree.stmts[0].stmt)


# --- the type that is shown ------------------------------------------------------------------


def test_a_column_with_an_age_band_is_text_for_all_its_rows(zoo: Upstream) -> None:
    date = zoo.column_type("date")
    band, year = AgeBandMask(10), CutMask("year")
    verdicts: list[tuple[ColumnVerdict, ColumnType]] = [
        (Shown(), date),
        (Absent(category=None), date),
        (Masked(mask=year, category="c"), date),
        (Masked(mask=band, category="c"), TEXT),
        (Guarded(through=None, mask=year, category="c", sensitive=None), date),
        (Guarded(through=None, mask=band, category="c", sensitive=None), TEXT),
        (Guarded(through=band, mask=year, category="c", sensitive=None), TEXT),
        (Guarded(through=band, mask=band, category="c", sensitive=None), TEXT),
    ]
    for verdict, expected in verdicts:
        assert column_type_shown(verdict, date) == expected


@pytest.mark.parametrize("settings", range(len(SETTINGS)))
def test_a_date_beside_an_age_band_is_iso_text_whatever_the_date_style(
    zoo: Upstream, settings: int
) -> None:
    date = zoo.column_type("date")
    values = [*VALUES["date"], None]
    for mask, expected in [
        (None, values),
        (
            CutMask("year"),
            ["infinity", "-infinity", "4714-11-24 BC", "0001-01-01 BC", "1970-01-01",
             "2024-01-01", "5874897-01-01", None],
        ),
        (RedactMask(), ["1970-01-01"] * len(values)),
        (NullMask(), [None] * len(values)),
        (ConstantMask("2026-01-31"), ["2026-01-31"] * len(values)),
    ]:  # fmt: skip
        cell = shown_expression(mask, COLUMN, date, TEXT, tool=TOOL, purpose=PURPOSE)
        answers = zoo.over(text_of(cell), date, values, settings=settings)
        assert [None if a is None else a.decode() for a in answers] == expected


def test_a_type_that_can_not_become_the_type_shown_is_a_bug_and_never_a_wrong_cast(
    zoo: Upstream,
) -> None:
    with pytest.raises(InvariantError):
        shown_expression(
            NullMask(), COLUMN, zoo.column_type("integer"), TEXT, tool=TOOL, purpose=PURPOSE
        )
