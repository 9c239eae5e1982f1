"""PostgreSQL servers of several versions, and what the customer databases on them hold."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

# The oldest that is packaged beside ours; where it is not installed, its tests do not exist.
OLDER_BINARIES = Path("/usr/lib/postgresql/15/bin")
VERSIONS = ["18", "15"] if (OLDER_BINARIES / "postgres").exists() else ["18"]
READER = "catalog_reader"

VISIBLE = """
CREATE SCHEMA crm;
CREATE TYPE crm.channel AS ENUM ('email', 'sms', 'phone');
CREATE DOMAIN crm.postcode AS varchar(10) CHECK (VALUE <> '');
CREATE TABLE crm.customers (
  id bigint PRIMARY KEY,
  full_name text NOT NULL,
  email varchar(254) UNIQUE,
  postcode crm.postcode,
  preferred crm.channel,
  tags text[],
  first_name text GENERATED ALWAYS AS (split_part(full_name, ' ', 1)) STORED,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT email_has_at CHECK (email LIKE '%@%')
);
COMMENT ON TABLE crm.customers IS 'One row per person';
COMMENT ON COLUMN crm.customers.email IS 'As the person wrote it';
CREATE TABLE crm.orders (
  id bigserial PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES crm.customers,
  amount numeric(12,2),
  ordered_at date NOT NULL
);
CREATE INDEX orders_by_day ON crm.orders (ordered_at DESC) INCLUDE (amount);
CREATE VIEW crm.order_totals AS SELECT customer_id, sum(amount) AS total FROM crm.orders GROUP BY 1;
CREATE MATERIALIZED VIEW crm.monthly AS SELECT date_trunc('month', ordered_at) m FROM crm.orders;
CREATE TABLE crm.visits (id bigint, seen_at date NOT NULL) PARTITION BY RANGE (seen_at);
CREATE TABLE crm.visits_2026 PARTITION OF crm.visits
  FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
"""

# Every kind of thing that hangs on a visible relation, over columns that are hidden.
HIDDEN = """
CREATE TYPE crm.secret_level AS ENUM ('secret_low', 'secret_high');
ALTER TABLE crm.customers
  ADD secret_score float8 DEFAULT 0.5,
  ADD secret_level crm.secret_level,
  ADD secret_code varchar(7) COLLATE "C",
  ADD CONSTRAINT secret_check CHECK (secret_score > 0.25),
  ADD CONSTRAINT email_secret_check CHECK (email <> secret_code),
  ADD CONSTRAINT secret_unique UNIQUE (secret_code);
CREATE INDEX secret_index ON crm.customers (secret_score);
CREATE INDEX secret_partial ON crm.customers (email) WHERE secret_score > 0.75;
CREATE INDEX secret_expression ON crm.customers (lower(secret_code));
CREATE INDEX secret_include ON crm.customers (email) INCLUDE (secret_score);
COMMENT ON COLUMN crm.customers.secret_score IS 'secret remark';
COMMENT ON INDEX crm.secret_index IS 'secret remark';
CREATE TABLE crm.secret_table (id bigint PRIMARY KEY, customer_id bigint REFERENCES crm.customers);
COMMENT ON TABLE crm.secret_table IS 'secret remark';
CREATE TABLE crm.secret_child () INHERITS (crm.orders);
CREATE TABLE crm.secret_partition PARTITION OF crm.visits
  FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
ALTER TABLE crm.orders ADD secret_ref bigint REFERENCES crm.secret_table;
CREATE VIEW crm.secret_view AS SELECT secret_score FROM crm.customers;
CREATE SEQUENCE crm.secret_sequence;
CREATE FUNCTION crm.secret_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER secret_trigger BEFORE UPDATE ON crm.customers
  FOR EACH ROW EXECUTE FUNCTION crm.secret_trigger();
CREATE RULE secret_rule AS ON DELETE TO crm.orders DO INSTEAD NOTHING;
ALTER TABLE crm.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY secret_policy ON crm.orders USING (true);
CREATE STATISTICS crm.secret_statistics ON email, secret_score FROM crm.customers;
CREATE PUBLICATION secret_publication FOR TABLE crm.customers;
CREATE DOMAIN crm.secret_domain AS int CHECK (VALUE > 7);
CREATE SCHEMA consent;
CREATE TABLE consent.subject (subject_id bigint PRIMARY KEY, secret_purpose timestamptz NOT NULL);
INSERT INTO crm.customers (id, full_name, email, secret_code)
  SELECT i, 'A B', i || '@example.com', i FROM generate_series(1, 500) i;
ANALYZE crm.customers;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    version: str
    url: str  # with DATABASE and USER to be filled in

    def at(self, database: str, user: str = "postgres") -> str:
        return self.url.replace("USER", user).replace("DATABASE", database)


@dataclass(slots=True, kw_only=True)
class Customer:
    """A database: `admin` may do everything, `reader` is the role that the proxy uses."""

    admin: asyncpg.Connection
    reader: asyncpg.Connection

    async def grant(self) -> None:
        await self.admin.execute(
            f"GRANT USAGE ON SCHEMA crm TO {READER};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA crm TO {READER}"
        )


def older_server(folder: Path) -> Iterator[Server]:
    """A PostgreSQL 15 over `folder` while the iterator is open."""
    # PostgreSQL does not run as root; the package brings a user along.
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    data = folder / "data"
    options = f"-k {folder} -c listen_addresses= -c fsync=off"

    def run(program: str, *arguments: str) -> None:
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [str(OLDER_BINARIES / program), "-D", str(data), *arguments]
        subprocess.run(command, check=True, user=user, cwd="/", **quiet)

    run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    run("pg_ctl", "start", "-w", "-o", options)
    try:
        yield Server(version="15", url=f"postgresql://USER@/DATABASE?host={folder}")
    finally:
        run("pg_ctl", "stop", "-m", "immediate", "-w")
