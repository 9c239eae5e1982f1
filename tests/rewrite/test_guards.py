"""What a guard shows, on a real database, run as the role that the proxy uses upstream."""

from __future__ import annotations

import asyncpg
import pytest

from proxy.errors import Reason, Refused
from tests.rewrite.conftest import Guarded


async def test_people_without_a_grant_are_absent_from_campaigns(guarded: Guarded) -> None:
    assert await guarded.rows("SELECT id, email FROM customers") == [(1, "ana@example.com")]


async def test_a_reads_entry_with_a_mask_shows_the_value_through_it(guarded: Guarded) -> None:
    ((birth_date,),) = await guarded.rows("SELECT birth_date::text FROM customers WHERE id = 1")
    assert birth_date == "1990-01-01"


async def test_a_column_that_the_purpose_drops_does_not_exist(guarded: Guarded) -> None:
    with pytest.raises(asyncpg.UndefinedColumnError):
        await guarded.rows("SELECT expecting_score FROM customers")


async def test_whole_rows_hold_guarded_values_only(guarded: Guarded) -> None:
    rows = await guarded.rows("SELECT row_to_json(c)::text, c.* FROM crm.customers AS c")
    assert len(rows) == 1
    assert "expecting_score" not in str(rows)


async def test_a_masked_value_is_shown_where_people_are_not_removed(guarded: Guarded) -> None:
    # service_reminder needs no consent; the e-mail is read, the postal code is not.
    rows = await guarded.rows(
        "SELECT id, email, postal_code FROM customers ORDER BY id", purpose="service_reminder"
    )
    assert rows[1] == (2, "ben@example.com", "080")
    assert len(rows) == 3


async def test_what_needs_no_grant_is_hidden_from_the_moment_it_has_ended(guarded: Guarded) -> None:
    # Of the first the ledger knows nothing, for the third it ends at some time to come.
    await guarded.admin.execute(
        "DELETE FROM consent.subject WHERE subject_id = 1;"
        "UPDATE consent.subject SET service_reminder = '-infinity' WHERE subject_id = 2;"
        "UPDATE consent.subject SET service_reminder = '2999-01-01Z' WHERE subject_id = 3"
    )
    sql = "SELECT email FROM customers ORDER BY id"
    assert await guarded.rows(sql, purpose="service_reminder") == [
        ("ana@example.com",), ("b***@example.com",), ("cyd@example.com",),
    ]  # fmt: skip
    await guarded.admin.execute(
        "UPDATE consent.subject SET service_reminder = transaction_timestamp()"
    )
    hidden = await guarded.rows(sql, purpose="service_reminder")
    assert hidden == [("ana@example.com",), ("b***@example.com",), ("c***@example.com",)]


@pytest.mark.parametrize(
    ("once", "often"),
    [
        ("SELECT id, email FROM customers", "SELECT id, email FROM customers WHERE email <> ''"),
        ("SELECT * FROM customers", "SELECT * FROM customers WHERE email || email <> ''"),
        ("SELECT count(email) FROM customers", "SELECT count(email || email) FROM customers"),
        ("SELECT id, email FROM customers", "SELECT c.id, c.email FROM customers c"
                                            " GROUP BY c.id, c.email HAVING max(c.email) <> ''"),
    ],
)  # fmt: skip
async def test_a_cell_that_is_read_often_shows_what_it_shows_when_read_once(
    guarded: Guarded, once: str, often: str
) -> None:
    await guarded.admin.execute(
        "UPDATE consent.subject SET service_reminder = '-infinity' WHERE subject_id = 2"
    )
    purpose = "service_reminder"
    assert "LATERAL" in guarded.plan(often, purpose=purpose).text
    assert "LATERAL" not in guarded.plan(once, purpose=purpose).text
    shown = await guarded.rows(once, purpose=purpose)
    assert sorted(await guarded.rows(often, purpose=purpose)) == sorted(shown)


async def test_views_outside_the_row_rules_are_absent(guarded: Guarded) -> None:
    rows = await guarded.rows(
        "SELECT DISTINCT source FROM page_views", tool="site", purpose="personalisation"
    )
    assert {source for (source,) in rows} == {"dealer_site", "first_party_form"}
    ((young, old),) = await guarded.rows(
        "SELECT count(*) FILTER (WHERE viewed_at > now() - interval '24 hours'),"
        " count(*) FILTER (WHERE viewed_at < now() - interval '90 days') FROM page_views",
        tool="site",
        purpose="personalisation",
    )
    assert (young, old) == (0, 0)


async def test_a_via_path_leads_to_the_person(guarded: Guarded) -> None:
    ((items,),) = await guarded.rows("SELECT count(*) FROM sales.order_items")
    ((own,),) = await guarded.admin.fetch(
        "SELECT count(*) FROM sales.order_items i JOIN sales.orders o ON o.id = i.order_id"
        " WHERE o.customer_id = 1"
    )
    assert items == own > 0


async def test_the_sensitive_score_needs_a_grant_that_names_it(guarded: Guarded) -> None:
    sql = "SELECT expecting_score FROM customers WHERE id = 1"
    assert await guarded.rows(sql, tool="site", purpose="personalisation") == [(None,)]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM consent.subject", Reason.TABLE_NOT_IN_POLICY),
        ("SELECT * FROM pg_catalog.pg_stats", Reason.TABLE_NOT_IN_POLICY),
        ("SELECT pg_sleep(1)", Reason.FUNCTION_NOT_ALLOWED),
        ("SELECT query_to_xml('select 1', true, true, '')", Reason.FUNCTION_NOT_ALLOWED),
        ("SELECT id FROM customers FOR UPDATE", Reason.STATEMENT_KIND),
        ("SELECT id INTO x FROM customers", Reason.STATEMENT_KIND),
        ("INSERT INTO customers (id) VALUES (9)", Reason.STATEMENT_KIND),
        ("WITH x AS (DELETE FROM customers RETURNING *) SELECT * FROM x", Reason.NOT_UNDERSTOOD),
        ("SET search_path = public", Reason.SETTING_NOT_ALLOWED),
        ("SET consent.purpose = 'measurement'", Reason.PURPOSE_NOT_ALLOWED),
        ("SELECT id FROM customers TABLESAMPLE SYSTEM (1)", Reason.STATEMENT_KIND),
        ("EXPLAIN ANALYZE SELECT id FROM customers", Reason.STATEMENT_KIND),
        ("COPY customers FROM STDIN", Reason.STATEMENT_KIND),
        ("COPY customers TO PROGRAM 'cat'", Reason.STATEMENT_KIND),
        ("SELECT FROM FROM", Reason.SYNTAX),
        ("SELECT 1\0", Reason.NOT_UNDERSTOOD),
        ("EXECUTE p((SELECT email FROM customers))", Reason.NOT_UNDERSTOOD),
        ("SELECT 1 FROM other_database.crm.customers", Reason.NOT_UNDERSTOOD),
        ("SELECT " + "(" * 101 + "1" + ")" * 101, Reason.STATEMENT_TOO_DEEP),
        ("SELECT '" + "x" * (1 << 20) + "'", Reason.STATEMENT_TOO_LARGE),
    ],
)
async def test_a_statement_that_is_not_for_reading_what_the_policy_names_is_refused(
    guarded: Guarded, sql: str, reason: Reason
) -> None:
    with pytest.raises(Refused) as refusal:
        guarded.plan(sql)
    assert refusal.value.reason is reason


async def test_without_a_purpose_no_relation_is_read(guarded: Guarded) -> None:
    (refused,) = guarded.plans("SELECT 1 FROM customers", purpose=None)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.PURPOSE_MISSING
    (plan,) = guarded.plans("SELECT 1", purpose=None)
    assert not isinstance(plan, Refused)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH customers AS (SELECT 1 AS id) SELECT id FROM customers",
        "WITH RECURSIVE a AS (SELECT 1 AS id UNION ALL SELECT id FROM b), b AS (SELECT 2 AS id)"
        " SELECT id FROM b",
    ],
)
async def test_the_name_of_a_with_query_is_no_relation(guarded: Guarded, sql: str) -> None:
    assert guarded.plan(sql).tables == ()


async def test_a_forward_reference_without_recursive_is_the_relation(guarded: Guarded) -> None:
    plan = guarded.plan(
        "WITH a AS (SELECT id FROM customers), customers AS (SELECT 1 AS id) SELECT id FROM a"
    )
    assert [use.name for use in plan.tables] == ["crm.customers"]


async def test_a_qualified_name_means_its_relation_even_where_the_short_name_is_anothers(
    guarded: Guarded,
) -> None:
    sql = (
        "SELECT id, (SELECT crm.customers.email FROM vehicles AS customers LIMIT 1)"
        " FROM crm.customers"
    )
    assert await guarded.rows(sql) == [(1, "ana@example.com")]


async def test_a_short_name_that_is_ambiguous_behind_the_guard_is_refused(
    guarded: Guarded,
) -> None:
    with pytest.raises(Refused, match="ambiguous"):
        guarded.plan(
            "SELECT (SELECT crm.customers.email FROM vehicles AS customers"
            " WHERE customers.id = 1) FROM crm.customers"
        )


async def test_the_same_statement_gives_the_same_names_and_types_as_without_the_proxy(
    guarded: Guarded,
) -> None:
    sql = (
        "SELECT id, full_name, email, c.phone, lower(email) AS e, count(*) OVER (), created_at,"
        " birth_date FROM crm.customers AS c ORDER BY 1"
    )
    ours = await guarded.upstream.prepare(guarded.plan(sql).text)
    own = await guarded.admin.prepare(sql)
    assert [(a.name, a.type) for a in ours.get_attributes()] == [
        (a.name, a.type) for a in own.get_attributes()
    ]


async def test_tables_of_the_record_are_what_the_statement_may_read(guarded: Guarded) -> None:
    plan = guarded.plan("SELECT c.email FROM customers AS c WHERE c.id = 5 ORDER BY full_name")
    ((use),) = plan.tables
    assert {column.name: column.verdict for column in use.columns} == {
        "id": "shown",
        "email": "guarded",
        "full_name": "guarded",
    }
    (whole,) = guarded.plan("SELECT c FROM customers AS c").tables
    assert {column.name for column in whole.columns} >= {"expecting_score", "email", "phone"}


async def test_no_literal_and_no_name_of_a_tool_is_in_the_record(guarded: Guarded) -> None:
    plan = guarded.plan(
        "SELECT email AS secret_alias, 'seeded-value-4711', 4711.25, $$dollar-4711$$ /* c-4711 */"
        " FROM crm.customers WHERE email LIKE 'seeded%' AND id = 4711 -- 4711"
    )
    for seeded in ("seeded", "4711", "secret_alias", "dollar"):
        assert seeded not in plan.statement
    assert "crm.customers" in plan.statement
