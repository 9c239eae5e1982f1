"""Conditions repeated inside guards: the same rows, an index reached, nothing told."""

from __future__ import annotations

import asyncpg
import pytest

import proxy.enforce
from tests.rewrite.conftest import Guarded

# A purpose that keeps people without a grant (masked), one that leaves them out.
MASKED = ("site", "personalisation")
ABSENT = ("mailer", "email_campaign")

STATEMENTS = [
    "SELECT id FROM customers WHERE email = 'ana@example.com'",
    "SELECT id FROM customers WHERE email = 'b***@example.com'",
    "SELECT id FROM customers WHERE email IN ('ana@example.com', 'ben@example.com', 'x')",
    "SELECT id FROM customers WHERE email IN ('ben@example.com', NULL)",
    "SELECT id FROM customers WHERE full_name = 'Ben Cole' OR id = 1",
    "SELECT id FROM customers WHERE full_name = 'B.'",
    "SELECT id FROM customers WHERE full_name > 'Aa' AND full_name < 'Az'",
    "SELECT id FROM customers WHERE 'ana@example.com' = email AND id BETWEEN 1 AND 2",
    "SELECT id FROM customers WHERE birth_date >= '1990-01-01' AND birth_date < '1991-01-01'",
    "SELECT id FROM customers WHERE NOT (email = 'ana@example.com')",
    "SELECT c.id, v.id FROM customers c JOIN vehicles v ON v.customer_id = c.id AND v.id = 2",
    "SELECT c.id, v.id FROM customers c LEFT JOIN vehicles v ON v.customer_id = c.id"
    " WHERE v.id = 2",
    "SELECT c.id, v.id FROM customers c LEFT JOIN vehicles v ON v.customer_id = c.id AND v.id = 2"
    " WHERE c.id = 3",
    "SELECT c.id, o.id FROM customers c FULL JOIN orders o ON o.customer_id = c.id WHERE c.id = 1",
    "SELECT j.id FROM (customers c JOIN ref.dealers d ON d.id = c.id) AS j(id) WHERE j.id = 1",
    "SELECT id FROM page_views WHERE url = '/cars/9' AND customer_id = 1",
    "SELECT id FROM page_views WHERE customer_id IN (1, 2) AND viewed_at < '2100-01-01'",
    "SELECT count(*) FROM page_views WHERE customer_id = 1 AND 1 / (id - 7) < 2",
    "SELECT (SELECT count(*) FROM orders o WHERE o.customer_id = 1 AND o.id = c.id)"
    " FROM customers c WHERE c.id = 1",
    "SELECT id FROM customers WHERE id = 1 UNION ALL SELECT id FROM vehicles WHERE id = 2",
    "WITH x AS (SELECT * FROM customers WHERE id = 1) SELECT id FROM x WHERE id = 1",
    "SELECT postal_code FROM customers GROUP BY postal_code HAVING postal_code = '280'",
]


async def _answer(guarded: Guarded, sql: str, tool: str, purpose: str) -> object:
    try:
        return sorted(map(repr, await guarded.rows(sql, tool=tool, purpose=purpose)))
    except asyncpg.PostgresError as error:
        return error.sqlstate


@pytest.mark.parametrize(("tool", "purpose"), [MASKED, ABSENT, ("mailer", "service_reminder")])
async def test_a_pushed_condition_changes_no_answer(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, tool: str, purpose: str
) -> None:
    pushed = {sql: await _answer(guarded, sql, tool, purpose) for sql in STATEMENTS}
    with monkeypatch.context() as patch:
        patch.setattr(proxy.enforce, "push_down", lambda *_: None)
        for sql in STATEMENTS:
            assert await _answer(guarded, sql, tool, purpose) == pushed[sql], sql


async def test_a_parameter_is_pushed_where_its_type_can_not_change(guarded: Guarded) -> None:
    sql = "SELECT id FROM page_views WHERE customer_id = $1"
    plan = guarded.plan(sql, "site", "personalisation")
    assert plan.text.count("$1") == 2
    statement = await guarded.upstream.prepare(plan.text)
    assert [each.name for each in statement.get_parameters()] == ["int8"]
    twice = guarded.plan(sql + " AND $1 > 5", "site", "personalisation")
    assert twice.text.count("$1") == 2  # both the tool's own


async def test_a_look_up_by_a_masked_column_reaches_the_index(guarded: Guarded) -> None:
    await guarded.admin.execute(
        "INSERT INTO crm.customers SELECT i, 'x', 'p' || i || '@example.com', NULL, NULL, NULL,"
        " NULL, now() FROM generate_series(10, 20000) AS i; ANALYZE"
    )
    plan = guarded.plan("SELECT id FROM customers WHERE email = 'p77@example.com'")
    lines = await guarded.upstream.fetch("EXPLAIN " + plan.text)
    assert "customers_email_idx" in " ".join(line[0] for line in lines)


async def test_a_masked_row_is_found_by_its_mask_only(guarded: Guarded) -> None:
    # Ben gave no consent: his row is there, under his mask, and not under his address.
    async def ids(email: str) -> list[tuple[object, ...]]:
        return await guarded.rows(
            "SELECT id FROM customers WHERE full_name = $1", email, tool="site",
            purpose="personalisation",
        )  # fmt: skip

    assert await ids("Ben Cole") == []
    assert await ids("B.") == [(2,)]
