"""No image of a mask is taken for a value that can be none: the rows that show it would be lost."""

from __future__ import annotations

import asyncpg
import pytest
from sqlglot import exp

from proxy.policy.model import (
    ConstantMask,
    EmailDomainMask,
    EmailMask,
    FirstMask,
    InitialMask,
    LastMask,
    Mask,
    PrefixMask,
    PseudonymMask,
    RedactMask,
)
from proxy.rewrite.conditions import is_plain
from proxy.rewrite.guard import sql_text
from proxy.rewrite.images import may_be_image, may_be_image_in, never_plain
from proxy.rewrite.masks import mask_expression, mask_problem
from proxy.rewrite.masks_terms import cast_to
from proxy.sql.catalog import ColumnType

MASKS: tuple[Mask, ...] = (
    EmailMask(),
    EmailDomainMask(),
    InitialMask(),
    FirstMask(1),
    FirstMask(3),
    LastMask(4),
    PrefixMask(1),
    PrefixMask(4),
    RedactMask(),
    ConstantMask("Ana"),
)
VALUES = ["", " ", "a", "ab", "abc", "abcdef", "@", "a@", "@b", "ana@example.com", "a@b@c", "***",
          "*", "ünïcödé@ex.org", "\t", "      "]  # fmt: skip


def _type(sql: str, base: str, length: int | None) -> ColumnType:
    return ColumnType(
        oid=25, typmod=-1 if length is None else length + 4, sql=sql, schema="pg_catalog",
        base=base, kind="b", category="S", max_length=length,
    )  # fmt: skip


TYPES = [
    _type("text", "text", None),
    _type("character varying(1)", "varchar", 1),
    _type("character varying(4)", "varchar", 4),
    _type("character varying(5)", "varchar", 5),
    _type("character varying(254)", "varchar", 254),
    _type("character(6)", "bpchar", 6),
]


@pytest.mark.parametrize("type_", TYPES, ids=lambda each: each.sql)
async def test_every_image_is_known_as_one(database: str, type_: ColumnType) -> None:
    connection = await asyncpg.connect(database)
    value = exp.column("v", "s")
    for mask in MASKS:
        if mask_problem(mask, type_) is not None:
            continue
        image = cast_to(mask_expression(mask, value, type_, tool="t", purpose="p"), type_)
        test = may_be_image(mask, type_, image)
        if test is None:
            continue
        array = exp.Array(expressions=[image])
        in_array = may_be_image_in(mask, type_, array)
        columns = ", ".join(sql_text(each) for each in (image, test, in_array or exp.true()))
        rows = await connection.fetch(
            f"SELECT {columns} FROM (SELECT left(x, {type_.max_length or 100})::{type_.sql} AS v"
            " FROM unnest($1::text[]) AS u(x)) AS s",
            VALUES,
        )
        assert all(row[1] and row[2] for row in rows), mask
        if never_plain(mask, type_):
            assert not any(is_plain(row[0]) for row in rows), mask
    await connection.close()


def test_an_address_is_no_image_of_an_e_mail_mask() -> None:
    assert never_plain(EmailMask(), TYPES[0])
    assert not never_plain(EmailMask(), TYPES[2])  # cut, the stars may be gone
    assert may_be_image(EmailMask(), TYPES[2], exp.column("v")) is None
    assert may_be_image(PseudonymMask(), TYPES[0], exp.column("v")) is not None
