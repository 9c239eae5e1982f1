"""Forms of statements that a derived table breaks, or that only one of the two readers reads."""

from __future__ import annotations

import dataclasses

import asyncpg
import pytest

from proxy.errors import Reason, Refused
from proxy.rewrite.plan import Plan
from proxy.sql.plainer import plainer, without_comments
from tests.rewrite.conftest import Guarded

DASHBOARD = {"tool": "dashboard", "purpose": "measurement"}


async def test_columns_that_a_grouped_primary_key_determines_may_be_selected(
    guarded: Guarded,
) -> None:
    sql = (
        "SELECT c.id, c.full_name, count(o.id) FROM crm.customers c"
        " LEFT JOIN sales.orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY c.created_at"
    )
    assert await guarded.rows(sql, **DASHBOARD) == [(1, "A.", 10), (2, "B.", 10), (3, "C.", 10)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT c.full_name FROM crm.customers c GROUP BY c.email",
        "SELECT c.full_name FROM crm.customers c GROUP BY c.id + 0",
        "SELECT c.full_name FROM crm.customers c GROUP BY ROLLUP (c.id)",
        "SELECT v.model, v.vin FROM crm.vehicles v GROUP BY v.vin",
        "SELECT c.full_name FROM sales.orders o JOIN crm.customers c USING (id) GROUP BY id",
        "SELECT c.full_name FROM crm.customers c RIGHT JOIN sales.orders o USING (id) GROUP BY id",
        "SELECT c.full_name FROM sales.orders o NATURAL JOIN crm.customers c GROUP BY id",
        "SELECT c.full_name, count(*) FROM crm.customers c, sales.orders o GROUP BY o.id",
    ],
)
async def test_what_postgresql_does_not_group_by_is_no_answer_here_either(
    guarded: Guarded, sql: str
) -> None:
    with pytest.raises(asyncpg.GroupingError):
        await guarded.admin.fetch(sql)
    with pytest.raises(asyncpg.GroupingError):
        await guarded.rows(sql, **DASHBOARD)


async def test_columns_are_not_grouped_by_a_key_that_others_inherit(guarded: Guarded) -> None:
    names = guarded.plan("SELECT d.id, d.name FROM ref.dealers d GROUP BY d.id", **DASHBOARD)
    assert '"d"."name", ' in names.text
    # The same relation with children: their rows may have the same key.
    catalog = guarded.enforcer.catalog
    oid = next(each.oid for each in catalog.relations.values() if each.name.name == "dealers")
    structure = dataclasses.replace(catalog.structure, inherits=((1, oid),))
    object.__setattr__(catalog, "structure", structure)
    again = guarded.plan("SELECT d.id, d.name FROM ref.dealers d GROUP BY d.id", **DASHBOARD)
    assert '"d"."name", ' not in again.text


async def test_a_whole_row_has_its_own_type_only_where_no_column_is_hidden(
    guarded: Guarded,
) -> None:
    dealers = guarded.plan("SELECT d FROM ref.dealers d", **DASHBOARD)
    customers = guarded.plan("SELECT c FROM crm.customers c", **DASHBOARD)
    assert '::"ref"."dealers"' in dealers.text
    assert '::"crm"."customers"' not in customers.text


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT d FROM ref.dealers d, (SELECT 1 AS d) x",
        "WITH x AS (SELECT 1 AS d) SELECT d FROM ref.dealers d, x",
        "SELECT d FROM generate_series(1, 2) AS d, ref.dealers",
    ],
)
async def test_a_column_that_is_named_as_a_relation_is_not_taken_for_its_row(
    guarded: Guarded, sql: str
) -> None:
    assert '::"ref"' not in guarded.plan(sql, **DASHBOARD).text


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT x FROM t ORDER BY x USING <, y USING OPERATOR(pg_catalog.>)",
        "SELECT a.* FROM t JOIN u USING (x, y) AS a",
        "SELECT JSON_QUERY(x, '$' PASSING y AS z RETURNING text WITH WRAPPER EMPTY ON EMPTY)",
        "SELECT x AT LOCAL, 0x1F, 1_000, E'\\'', U&'\\0061', $$ ' $$, - 5, @ - 5, x @> y FROM t",
        "SELECT xmlelement(NAME a, xmlattributes(x AS b)), x IS DOCUMENT FROM t",
        "SELECT '(' || ')', \"a\"\"(\", 'é'::interval day to second(3) FROM t",
        "SELECT )", "SELECT JSON_TABLE(", "SELECT OPERATOR(", "SELECT x USING (", "((((", "IS",
    ],
)  # fmt: skip
def test_a_plainer_text_has_the_same_length(sql: str) -> None:
    assert len(plainer(sql)) == len(sql)
    assert len(without_comments(sql)) == len(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM JSON_TABLE(jsonb '1', '$' COLUMNS (a int PATH '$'"
        " DEFAULT (SELECT id FROM crm.customers) ON EMPTY)) AS t",
        "SELECT x.* FROM XMLTABLE('/r' PASSING xml '<r/>' COLUMNS a text PATH 'a'"
        " DEFAULT (SELECT email FROM crm.customers LIMIT 1)) AS x",
        "SELECT JSON_QUERY(jsonb '1', '$' RETURNING text DEFAULT"
        " (SELECT email FROM crm.customers LIMIT 1) ON EMPTY)",
        "SELECT JSON_VALUE((SELECT email FROM crm.customers LIMIT 1)::jsonb, '$'"
        " PASSING (SELECT phone FROM crm.customers LIMIT 1) AS x)",
        "SELECT xmlserialize(CONTENT (SELECT email FROM crm.customers LIMIT 1)::xml AS text)",
        "SELECT JSON_ARRAY(SELECT email FROM crm.customers RETURNING jsonb)",
        "SELECT 1 FROM crm.customers ORDER BY (SELECT email FROM crm.customers LIMIT 1) USING <",
    ],
)
def test_a_relation_within_what_is_left_out_is_guarded_or_the_statement_refused(
    guarded: Guarded, sql: str
) -> None:
    (plan,) = guarded.plans(sql)
    if isinstance(plan, Refused):
        assert plan.reason is Reason.READERS_DISAGREE
    else:
        assert isinstance(plan, Plan)
        relations = sql.count("crm.customers")
        assert plan.text.count('"crm"."customers" AS t') == relations
        assert "crm.customers" not in plan.text
