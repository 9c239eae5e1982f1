"""The data that guards are measured on, and what people write by hand to the same end."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import asyncpg

from proxy.consent.schema import init
from proxy.policy.check import catalog_schemas
from proxy.policy.model import Policy
from proxy.sql.catalog import Catalog, load_catalog

SHARE_OF_CONSENT: Final = 0.7

_TABLES: Final = """
CREATE SCHEMA crm; CREATE SCHEMA web;
CREATE UNLOGGED TABLE crm.people (
  id bigint PRIMARY KEY, email varchar(254), full_name text, country text, segment int,
  spend bigint, joined_at timestamptz);
CREATE UNLOGGED TABLE web.events (
  id bigint, person_id bigint, source text, kind text, amount int, at timestamptz);
"""

# The ledger first: so every row of people is written once.
_ROWS: Final = """
INSERT INTO consent.subject (subject_id, reminder, campaign)
SELECT i, until, until
  FROM generate_series(1::bigint, {people}) AS i,
       LATERAL (SELECT CASE WHEN i % 10 < {share} * 10 THEN 'infinity'::timestamptz
                            ELSE '-infinity' END) AS u(until);
INSERT INTO crm.people
SELECT i, 'p' || i || '@example.com', 'Name ' || i,
       (ARRAY['ES', 'FR', 'DE', 'IT', 'PT', 'NL', 'BE', 'AT'])[1 + i % 8], i % 100,
       i * 7919 % 100000, '2020-01-01Z'::timestamptz + i * interval '3 minutes'
  FROM generate_series(1::bigint, {people}) AS i;
CREATE INDEX ON crm.people (email);
INSERT INTO web.events
SELECT i, 1 + (hashint8(i)::bigint + 2147483648) % {people},
       (ARRAY['site', 'form', 'bought'])[1 + i % 3], 'k' || i % 20, i % 1000,
       '2026-01-01Z'::timestamptz - ({events} - i) * interval '4 seconds'
  FROM generate_series(1::bigint, {events}) AS i;
ALTER TABLE web.events ADD PRIMARY KEY (id);
CREATE INDEX ON web.events (person_id);
CREATE INDEX ON web.events (at);
"""

# Masks by a join, as a careful author writes them; rows by EXISTS.
_BY_HAND: Final = """
CREATE SCHEMA masked_views;
CREATE VIEW masked_views.people WITH (security_barrier) AS
SELECT p.id, CASE WHEN k.reminder > statement_timestamp() THEN p.email
                  ELSE left(p.email, 1) || '***@' || split_part(p.email, '@', -1) END AS email,
       CASE WHEN k.reminder > statement_timestamp() THEN p.full_name
            ELSE left(p.full_name, 1) || '.' END AS full_name,
       p.country, p.segment,
       CASE WHEN k.reminder > statement_timestamp() THEN p.spend END AS spend, p.joined_at
  FROM crm.people AS p LEFT JOIN consent.subject AS k ON k.subject_id = p.id;
CREATE VIEW masked_views.events WITH (security_barrier) AS SELECT * FROM web.events;
CREATE SCHEMA row_views;
CREATE VIEW row_views.people WITH (security_barrier) AS
SELECT * FROM crm.people AS p
 WHERE EXISTS (SELECT FROM consent.subject AS k
                WHERE k.subject_id = p.id AND k.campaign > statement_timestamp());
CREATE VIEW row_views.events WITH (security_barrier) AS
SELECT * FROM web.events AS e
 WHERE EXISTS (SELECT FROM consent.subject AS k
                WHERE k.subject_id = e.person_id AND k.campaign > statement_timestamp());
DROP ROLE IF EXISTS guards_people, guards_rows;
CREATE ROLE guards_people; CREATE ROLE guards_rows;
GRANT USAGE ON SCHEMA crm, web, consent TO guards_people, guards_rows;
GRANT SELECT ON ALL TABLES IN SCHEMA crm, web, consent TO guards_people, guards_rows;
ALTER TABLE crm.people ENABLE ROW LEVEL SECURITY;
ALTER TABLE web.events ENABLE ROW LEVEL SECURITY;
CREATE POLICY consented ON crm.people USING (
  EXISTS (SELECT FROM consent.subject AS k
           WHERE k.subject_id = people.id AND k.campaign > statement_timestamp()));
CREATE POLICY open ON web.events TO guards_people USING (true);
CREATE POLICY consented ON web.events TO guards_rows USING (
  EXISTS (SELECT FROM consent.subject AS k
           WHERE k.subject_id = events.person_id AND k.campaign > statement_timestamp()));
"""


async def build(
    connection: asyncpg.Connection, policy: Policy, people: int, events: int
) -> dict[str, Catalog]:
    """Fill an empty database. The superuser sees it bare; roles and views as people write them.

    The catalogs are what the proxy knows of it: `in table` with people's consent in their table,
    `ledger` as if it were not there.
    """
    await connection.execute(_TABLES)
    await init(connection, policy)
    rows = _ROWS.format(people=people, events=events, share=SHARE_OF_CONSENT)
    await connection.execute(rows + _BY_HAND)
    await connection.execute("VACUUM (ANALYZE)")
    catalog = await load_catalog(connection, catalog_schemas(policy))
    without = {name: replace(each, kept=None) for name, each in catalog.relations.items()}
    return {"ledger": replace(catalog, relations=without), "in table": catalog}
