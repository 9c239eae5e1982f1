"""The dealer's database: the same for the same seed, and with everything the demo speaks of."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from rich.console import Console

from proxy.consent.schema import init
from proxy.demo.database import build_consents, build_database
from proxy.demo.embedded import WITHOUT_DURABILITY, EmbeddedPostgres
from proxy.demo.prepare import dealership_policy
from proxy.demo.progress import progress_bar
from proxy.demo.things import find_people
from proxy.policy.load import load_policy

CUSTOMERS = 600
Fetch = Callable[[str], Awaitable[object]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    # The roles of the ledger belong to a whole server: this one is for these tests alone.
    folder = tmp_path_factory.mktemp("dealer") / "postgresql"
    with EmbeddedPostgres(folder, settings=WITHOUT_DURABILITY) as running:
        yield running


async def build(server: EmbeddedPostgres, name: str, seed: int) -> str:
    server.run(f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}")
    url = server.url(name)
    await build_database(url, CUSTOMERS, seed)
    connection = await asyncpg.connect(url)
    await init(connection, load_policy(dealership_policy()))
    await connection.close()
    await build_consents(url, seed)
    return url


@pytest.fixture(scope="module")
def dealer(server: EmbeddedPostgres) -> str:
    return asyncio.run(build(server, "dealer", 7))


@pytest.fixture
def fetch(server: EmbeddedPostgres, dealer: str) -> Callable[[str], str]:
    return lambda statement: server.run(statement, "dealer").strip()


DIGEST = """
SELECT md5(string_agg(line, '' ORDER BY line)) FROM (
  SELECT (id, full_name, email, phone, birth_date, postal_code, expecting_score)::text
    FROM crm.customers
  UNION ALL SELECT (id, customer_id, vin, model, registered_on, mileage_km)::text FROM crm.vehicles
  UNION ALL SELECT (id, vehicle_id, dealer_id, work, cost)::text FROM crm.service_visits
  UNION ALL SELECT (id, customer_id, transcript, sentiment, source)::text FROM crm.chat_transcripts
  UNION ALL SELECT (customer_id, churn_risk, life_event, lifetime_value)::text FROM crm.scores
  UNION ALL SELECT (id, customer_id, url, ip, source)::text FROM web.page_views
  UNION ALL SELECT (id, customer_id, total)::text FROM sales.orders
  UNION ALL SELECT (id, order_id, sku, quantity, price)::text FROM sales.order_items
  UNION ALL SELECT (subject_id, purpose, categories, state, source)::text FROM consent.event
) AS lines (line)
"""


async def test_a_seed_makes_the_same_people_every_time_and_another_seed_others(
    server: EmbeddedPostgres, fetch: Callable[[str], str]
) -> None:
    await build(server, "again", 7)
    await build(server, "other", 8)
    digest = fetch(DIGEST)
    assert server.run(DIGEST, "again").strip() == digest
    assert server.run(DIGEST, "other").strip() != digest


def test_the_tables_have_the_documented_columns(fetch: Callable[[str], str]) -> None:
    described = fetch("""
        SELECT c.relnamespace::regnamespace || '.' || c.relname || ': '
               || string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', '
                             ORDER BY a.attnum)
          FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
         WHERE c.relkind = 'r' AND c.relnamespace::regnamespace::text
               IN ('crm', 'web', 'sales', 'ref')
         GROUP BY c.oid ORDER BY 1""")
    assert described.splitlines() == [
        "crm.chat_transcripts: id bigint, customer_id bigint, started_at timestamp with time zone,"
        " transcript text, sentiment real, source text",
        "crm.customers: id bigint, full_name text, email character varying(254),"
        " phone character varying(64), birth_date date, postal_code character varying(10),"
        " expecting_score double precision, created_at timestamp with time zone",
        "crm.scores: customer_id bigint, churn_risk real, life_event text,"
        " lifetime_value numeric(12,2), computed_at timestamp with time zone",
        "crm.service_visits: id bigint, vehicle_id bigint, dealer_id integer,"
        " visited_at timestamp with time zone, work text, cost numeric(10,2)",
        "crm.vehicles: id bigint, customer_id bigint, vin character varying(17), model text,"
        " registered_on date, mileage_km integer",
        "ref.dealers: id integer, name text, city text",
        "sales.order_items: id bigint, order_id bigint, sku text, quantity integer,"
        " price numeric(10,2)",
        "sales.orders: id bigint, customer_id bigint, total numeric(12,2),"
        " ordered_at timestamp with time zone",
        "web.page_views: id bigint, customer_id bigint, url text, ip inet, source text,"
        " viewed_at timestamp with time zone",
    ]


def test_page_views_come_from_every_source_today_and_from_long_ago(
    fetch: Callable[[str], str],
) -> None:
    sources = fetch("""
        SELECT source FROM web.page_views GROUP BY source
        HAVING bool_or(viewed_at > now() - interval '24 hours')
           AND bool_or(viewed_at < now() - interval '90 days')
           AND bool_and(viewed_at <= now()) ORDER BY 1""")
    assert sources.split() == [
        "bought_list",
        "chat",
        "dealer_site",
        "first_party_form",
        "site_tracking",
    ]
    assert fetch("SELECT count(*) > 0 FROM web.page_views WHERE customer_id IS NULL") == "t"


def test_orders_are_the_sum_of_their_items(fetch: Callable[[str], str]) -> None:
    wrong = fetch("""
        SELECT count(*) FROM sales.orders AS o
         WHERE total <> (SELECT sum(price * quantity) FROM sales.order_items WHERE order_id = o.id)
        """)
    assert wrong == "0"


def test_every_kind_of_history_is_there_and_in_force_as_the_ledger_computes_it(
    fetch: Callable[[str], str],
) -> None:
    states = fetch("SELECT DISTINCT state FROM consent.event ORDER BY 1").split()
    assert states == ["given", "objected", "refused", "restricted", "withdrawn"]
    assert (
        fetch("""
        SELECT count(*) > 0 FROM consent.event
         WHERE state = 'given' AND until < now()""")
        == "t"
    )
    before = fetch("SELECT md5(string_agg(s::text, '' ORDER BY subject_id)) FROM consent.subject s")
    again = fetch("""
        SELECT consent.refresh((SELECT array_agg(subject_id) FROM consent.subject));
        SELECT md5(string_agg(s::text, '' ORDER BY subject_id)) FROM consent.subject s""")
    assert again.split() == ["f", before]


def test_people_of_whom_nothing_is_recorded_have_no_row_in_the_ledger(
    fetch: Callable[[str], str],
) -> None:
    silent = fetch("""
        SELECT count(*) > 0, bool_and(s.subject_id IS NULL)
          FROM crm.customers AS c LEFT JOIN consent.subject AS s ON s.subject_id = c.id
         WHERE NOT EXISTS (SELECT FROM consent.event AS e WHERE e.subject_id = c.id)""")
    assert silent == "t|t"


async def test_the_cast_is_there_whatever_the_seed(server: EmbeddedPostgres, dealer: str) -> None:
    people = await find_people(dealer)
    assert people.consented.id != people.withdrew.id
    other = await find_people(await build(server, "other", 99))
    assert other.watched.email.endswith(("example.com", "example.org", "example.net"))


async def test_a_tiny_dealer_works_too(server: EmbeddedPostgres) -> None:
    server.run("DROP DATABASE IF EXISTS tiny; CREATE DATABASE tiny")
    await build_database(server.url("tiny"), 3, 1)
    assert server.run("SELECT count(*) FROM crm.customers", "tiny") == "3\n"


async def test_progress_ends_complete(server: EmbeddedPostgres) -> None:
    seen: list[tuple[str, int, int]] = []
    server.run("DROP DATABASE IF EXISTS tiny; CREATE DATABASE tiny")
    await build_database(server.url("tiny"), 5, 1, lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1][1] == seen[-1][2]


def test_a_progress_bar_appears_only_where_it_takes_more_than_two_seconds() -> None:
    for elapsed, is_drawn in ((1.5, False), (2.5, True)):
        screen = io.StringIO()
        times = iter([0.0, elapsed])

        def clock(times: Iterator[float] = times) -> float:
            return next(times)

        console = Console(file=screen, force_terminal=True, width=80)
        with progress_bar("building", console=console, clock=clock) as progress:
            progress("rows", 1, 2)
        assert ("building: rows" in screen.getvalue()) == is_drawn


def test_a_folder_keeps_its_policy_in_a_checkout() -> None:
    assert (dealership_policy() / "purposes.yaml").is_file()
    assert isinstance(dealership_policy(), Path)
