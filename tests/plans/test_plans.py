"""What PostgreSQL makes of the guards: indexes reached, joins dropped, parallel plans kept."""

from __future__ import annotations

import pytest

from tests.plans.conftest import Planned

MASKED, ROWS = "reminder", "campaign"
BY_EMAIL = r"Index Cond: ((email)::text = "
EVENTS_BY_PERSON = "events_person_id_idx"


# --- what is not read costs nothing ---------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM people",
        "SELECT country, count(*), avg(segment) FROM people GROUP BY country",
        "SELECT id FROM people WHERE country = 'ES' ORDER BY joined_at",
        "SELECT p.country, sum(e.amount) FROM people p JOIN events e ON e.person_id = p.id"
        " GROUP BY 1",
        "SELECT e.id, p.country FROM events e LEFT JOIN people p ON p.id = e.person_id",
        "WITH x AS (SELECT * FROM people) SELECT country FROM x",
        "SELECT s.country FROM (SELECT * FROM people) AS s",
        "SELECT country FROM people UNION ALL SELECT kind FROM events",
        "SELECT (SELECT max(country) FROM people)",
        "SELECT rank() OVER (ORDER BY segment) FROM people",
    ],
)
async def test_where_no_masked_column_is_read_the_ledger_is_not_asked(
    planned: Planned, sql: str
) -> None:
    assert "subject" not in await planned.explained(sql, MASKED)


async def test_an_open_look_up_is_planned_as_on_the_bare_table(planned: Planned) -> None:
    sql = "SELECT country FROM people WHERE id = 7"
    bare = await planned.connection.fetch(f"EXPLAIN (COSTS OFF) {sql}")
    guarded = await planned.explained(sql, MASKED)
    assert guarded.replace(" t\n", "\n") == "\n".join(line[0] for line in bare)


# --- masked and row-ruled columns reach their index -----------------------------------------------


@pytest.mark.parametrize("purpose", [MASKED, ROWS])
@pytest.mark.parametrize(
    "condition",
    [
        "email = 'p7@example.com'",
        "'p7@example.com' = email",
        "email = 'p7@example.com'::text",
        "email = 'p7@example.com'::varchar",
        "email = 'p7@example.com' AND segment + 1 > 2 AND lower(country) = 'es'",
    ],
)
async def test_a_masked_e_mail_is_found_by_its_index(
    planned: Planned, purpose: str, condition: str
) -> None:
    plan = await planned.explained(f"SELECT id FROM people WHERE {condition}", purpose)
    assert BY_EMAIL in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("purpose", [MASKED, ROWS])
@pytest.mark.parametrize(
    "condition",
    [
        "email IN ('p7@example.com', 'p8@example.com')",
        "email IN ('p7@example.com', NULL)",
        "email = 'p7@example.com' OR email = 'p8@example.com'",
        "email = ANY (ARRAY['p7@example.com', 'p8@example.com'])",
        "email = ANY ('{p7@example.com,p8@example.com}')",
        "email = ANY ('{p7@example.com,p8@example.com}'::text[])",
    ],
)
async def test_several_masked_e_mails_are_found_by_their_index(
    planned: Planned, purpose: str, condition: str
) -> None:
    plan = await planned.explained(f"SELECT id FROM people WHERE {condition}", purpose)
    assert "people_email_idx" in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize(
    "condition",
    [
        "email >= 'p77' AND email < 'p78'",
        "email BETWEEN 'p77' AND 'p78'",
    ],
)
async def test_a_range_reaches_the_index_where_all_rows_left_in_show_the_value(
    planned: Planned, condition: str
) -> None:
    plan = await planned.explained(f"SELECT id FROM people WHERE {condition}", ROWS)
    assert "people_email_idx" in plan


@pytest.mark.parametrize(
    "condition",
    [
        "person_id = 7",
        "person_id = 7::int4",
        "person_id IN (7, 8)",
        "person_id = ANY (ARRAY[7, 8])",
        "person_id BETWEEN 7 AND 8",
        "person_id > -1 AND person_id < 9 AND kind = 'k1'",
    ],
)
async def test_open_columns_of_a_fenced_relation_reach_their_index(
    planned: Planned, condition: str
) -> None:
    plan = await planned.explained(f"SELECT amount FROM events WHERE {condition}", ROWS)
    assert EVENTS_BY_PERSON in plan
    assert "Seq Scan on events" not in plan


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM (SELECT * FROM events) AS s WHERE s.person_id = 7",
        "SELECT count(*) FROM (SELECT person_id AS p, amount FROM events) AS s WHERE p = 7",
        "SELECT count(*) FROM (SELECT e.* FROM (SELECT * FROM events) AS e) AS s"
        " WHERE person_id = 7",
        "WITH s AS (SELECT * FROM events) SELECT count(*) FROM s WHERE person_id = 7",
        "WITH s AS MATERIALIZED (SELECT id, person_id FROM events WHERE amount > 1)"
        " SELECT count(*) FROM s WHERE s.person_id IN (7, 8)",
        "SELECT 1 WHERE EXISTS (SELECT FROM events WHERE person_id = 7)",
        "SELECT count(*) FROM events WHERE person_id = 7 UNION ALL SELECT 2",
    ],
)
async def test_conditions_around_sub_queries_reach_the_index(planned: Planned, sql: str) -> None:
    plan = await planned.explained(sql, ROWS)
    assert EVENTS_BY_PERSON in plan
    assert "Seq Scan on events" not in plan


# --- join keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT e.id FROM people p JOIN events e ON e.person_id = p.id WHERE p.id < 9",
        "SELECT e.id FROM people p, events e WHERE e.person_id = p.id AND p.id IN (1, 2)",
        "SELECT e.id FROM events e JOIN people p ON p.id = e.person_id WHERE p.id < 9",
        "SELECT e.id FROM people p JOIN events e ON p.id = e.person_id"
        " WHERE p.email = 'p7@example.com'",
        "SELECT e.id FROM (SELECT id FROM people ORDER BY id LIMIT 9) AS p"
        " JOIN events e ON e.person_id = p.id",
        "WITH p AS (SELECT id AS i FROM people ORDER BY joined_at DESC LIMIT 9)"
        " SELECT e.id FROM p JOIN events e ON e.person_id = p.i",
        "SELECT p.id, (SELECT count(*) FROM events e WHERE e.person_id = p.id) FROM people p",
        "SELECT p.id, ARRAY(SELECT e.id FROM events e WHERE e.person_id = p.id) FROM people p",
        "SELECT p.id FROM people p WHERE p.id < 9"
        " AND EXISTS (SELECT FROM events e WHERE e.person_id = p.id)",
        "SELECT p.id FROM people p WHERE p.id < 9"
        " AND NOT EXISTS (SELECT FROM events e WHERE e.person_id = p.id AND e.kind = 'k1')",
        "SELECT id FROM people WHERE id < 9 AND id IN (SELECT person_id FROM events)",
    ],
)
async def test_a_join_key_reaches_the_index_of_a_fenced_relation(
    planned: Planned, sql: str
) -> None:
    plan = await planned.explained(sql, ROWS)
    assert EVENTS_BY_PERSON in plan
    assert "Seq Scan on events" not in plan


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT e.id, p.email FROM events e JOIN people p ON p.id = e.person_id WHERE e.id = 5",
        "SELECT e.id, p.email FROM events e LEFT JOIN people p ON p.id = e.person_id"
        " WHERE e.id = 5",
    ],
)
async def test_a_join_into_a_masked_relation_keeps_its_parameterised_plan(
    planned: Planned, sql: str
) -> None:
    plan = await planned.explained(sql, MASKED)
    assert "people_pkey" in plan
    assert "Seq Scan" not in plan


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", [MASKED, ROWS])
@pytest.mark.parametrize("order", ["id", "people.id DESC", "1", "id DESC, segment"])
async def test_the_first_rows_by_a_key_are_read_in_its_order(
    planned: Planned, purpose: str, order: str
) -> None:
    plan = await planned.explained(
        f"SELECT id, email FROM people ORDER BY {order} LIMIT 10", purpose
    )
    assert "people_pkey" in plan
    assert "Seq Scan" not in plan


# --- parallel plans -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("purpose", "sql"),
    [
        (MASKED, "SELECT count(*) FROM people"),
        (MASKED, "SELECT country, count(email), max(email) FROM people GROUP BY country"),
        (ROWS, "SELECT count(*) FROM events"),
        (ROWS, "SELECT country, count(email) FROM people GROUP BY country"),
        (MASKED, "SELECT sum(e.amount), count(p.email) FROM events e JOIN people p"
                 " ON p.id = e.person_id"),
        (ROWS, "SELECT sum(e.amount), count(p.email) FROM events e JOIN people p"
               " ON p.id = e.person_id"),
    ],
)  # fmt: skip
async def test_large_reads_are_parallel(planned: Planned, purpose: str, sql: str) -> None:
    await planned.connection.execute(
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;"
        "SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2"
    )
    plan = await planned.explained(sql, purpose)
    assert "Gather" in plan
    assert "Parallel Seq Scan on events" in plan or "Parallel Seq Scan on people" in plan


# --- large reads of masked columns ----------------------------------------------------------------

_READ_TWICE = "SELECT country, count(email), max(email) FROM people GROUP BY country"


async def test_a_join_with_the_ledger_hashes_only_people_in_force(planned: Planned) -> None:
    plan = await planned.explained(_READ_TWICE, MASKED)
    hashed = plan[plan.index("on subject") :]
    assert hashed.split("\n")[1].strip() == "Filter: (reminder > statement_timestamp())"


async def test_the_planner_counts_the_condition_of_a_row_rule_once(planned: Planned) -> None:
    plan = await planned.explained("SELECT country, email FROM people", ROWS)
    assert plan.count("campaign > statement_timestamp()") == 1


@pytest.mark.parametrize("is_in_table", [False, True])
@pytest.mark.parametrize(
    ("sql", "is_once"),
    [
        (_READ_TWICE, True),
        (f"{_READ_TWICE} LIMIT 3", True),
        ("SELECT country, max(email) FROM people WHERE email LIKE 'p7%' GROUP BY country", True),
        ("SELECT country, max(email) FROM people GROUP BY country", False),
    ],
)
async def test_a_cell_that_is_read_twice_is_computed_below_what_reads_it(
    planned: Planned, sql: str, *, is_once: bool, is_in_table: bool
) -> None:
    form = planned.reading_in_table() if is_in_table else planned
    lines = await planned.connection.fetch(f"EXPLAIN (COSTS OFF, VERBOSE) {form.text(sql, MASKED)}")
    made = [line[0] for line in lines if line[0].strip().startswith("Output: t.country, CASE")]
    assert bool(made) == is_once


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT email FROM people WHERE email LIKE '%7%' LIMIT 3",
        "SELECT p.email, max(p.email) FROM people p JOIN events e ON e.person_id = p.id GROUP BY 1",
        "SELECT country, count(country), max(country) FROM people GROUP BY country",
    ],
)
async def test_a_cell_is_not_computed_below_what_may_never_read_it(
    planned: Planned, sql: str
) -> None:
    assert "LATERAL" not in planned.text(sql, MASKED)


# --- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", [MASKED, ROWS])
@pytest.mark.parametrize("types", [(), (25,), (1043,)])
async def test_a_look_up_by_a_parameter_is_planned_once_for_all_values(
    planned: Planned, purpose: str, types: tuple[int, ...]
) -> None:
    text = planned.text("SELECT id FROM people WHERE email = $1", purpose, types)
    await planned.connection.execute(f"PREPARE p (text) AS {text}")
    for _ in range(8):
        await planned.connection.fetch("EXECUTE p ('p7@example.com')")
    generic = await planned.connection.fetchval(
        "SELECT generic_plans FROM pg_prepared_statements WHERE name = 'p'"
    )
    assert generic > 0
    lines = await planned.connection.fetch("EXPLAIN (ANALYZE, COSTS OFF) EXECUTE p ('p8@x')")
    plan = "\n".join(line[0] for line in lines)
    assert BY_EMAIL + "$1" in plan
    # Rows that show their mask are looked for if the value can be one: the address can not.
    assert ("Limit (actual" in plan) == (purpose == MASKED)
    assert "Seq Scan on people t (actual" not in plan


@pytest.mark.parametrize(
    ("sql", "types"),
    [
        ("SELECT amount FROM events WHERE person_id = $1", ()),
        ("SELECT amount FROM events WHERE person_id = $1", (23,)),
        ("SELECT amount FROM events WHERE person_id = $1::bigint", ()),
        ("SELECT amount FROM events WHERE person_id = ANY ($1)", ()),
        ("SELECT amount FROM events WHERE person_id = ANY ($1)", (1016,)),
        ("SELECT amount FROM events WHERE person_id = ANY ($1::int8[])", (1016,)),
    ],
)
async def test_a_parameter_reaches_the_index_of_a_fenced_relation(
    planned: Planned, sql: str, types: tuple[int, ...]
) -> None:
    text = planned.text(sql, ROWS, types)
    is_array = "ANY" in sql
    await planned.connection.execute("SET plan_cache_mode = force_generic_plan")
    await planned.connection.execute(f"PREPARE p AS {text}")
    value = "'{7,8}'" if is_array else "7"
    lines = await planned.connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE p ({value})")
    assert EVENTS_BY_PERSON in "\n".join(line[0] for line in lines)


# --- consent in the table -------------------------------------------------------------------------

_IN_TABLE = (
    "SELECT country, count(email), max(email) FROM people GROUP BY country",
    "SELECT id, email FROM people ORDER BY id LIMIT 10",
    "SELECT id, spend FROM people WHERE email = 'p7@example.com'",
    "SELECT id FROM people WHERE email IN ('p7@example.com', 'p8@example.com')",
)


@pytest.mark.parametrize("purpose", [MASKED, ROWS])
@pytest.mark.parametrize("sql", _IN_TABLE)
async def test_where_consent_is_in_the_table_the_ledger_is_not_asked(
    planned: Planned, purpose: str, sql: str
) -> None:
    in_table = planned.reading_in_table()
    plan = await in_table.explained(sql, purpose)
    assert "subject" not in plan
    assert f'"consent_{purpose}"' in in_table.text(sql, purpose)
    assert BY_EMAIL.rstrip("= ") in plan or "email" not in sql.partition("WHERE")[2]


async def test_a_large_read_of_consent_in_the_table_is_one_parallel_scan(planned: Planned) -> None:
    await planned.connection.execute(
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;"
        "SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2"
    )
    for purpose in (MASKED, ROWS):
        plan = await planned.reading_in_table().explained(_IN_TABLE[0], purpose)
        assert "Parallel Seq Scan on people" in plan
        assert "Join" not in plan
