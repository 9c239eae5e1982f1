"""`keep` and `quiet` over dates and timestamps of a zone, to the ends of their ranges."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from proxy.enforce import Enforcer, StatementLimits
from proxy.policy.load import load_policy
from proxy.rewrite.plan import Plan, PlanContext
from proxy.sql.catalog import load_catalog
from proxy.sql.settings import SettingLimits

POLICY = """
policy: ages
version: 1
purposes: {all: {basis: contract, reads: []}}
tables:
  web.kept: {keep: {column: at, for: 30d, zone: Pacific/Kiritimati}, columns: {id: open}}
  web.quiet: {quiet: {column: at, for: 30d, zone: Pacific/Kiritimati}, columns: {id: open}}
tools: {tool: {purposes: [all]}}
"""
VALUES = {
    "timestamp": ["4714-11-24 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity"],
    "date": ["4714-11-24 BC", "5874897-12-31", "infinity", "-infinity"],
}


@pytest.mark.parametrize("type_name", ["timestamp", "date"])
async def test_no_value_of_a_row_makes_a_statement_fail(
    database: str, tmp_path: Path, type_name: str
) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE SCHEMA consent; CREATE TABLE consent.subject (subject_id int)")
    await connection.execute("CREATE SCHEMA web")
    values = [*VALUES[type_name], "now", "2001-01-01"]
    rows = ", ".join(f"({index}, '{value}')" for index, value in enumerate(values))
    for name in ("kept", "quiet"):
        await connection.execute(f"CREATE TABLE web.{name} (id int, at {type_name})")
        await connection.execute(f"INSERT INTO web.{name} VALUES {rows}, (99, NULL)")
    policy = load_policy(tmp_path)
    enforcer = Enforcer(
        policy,
        await load_catalog(connection, policy.schemas),
        StatementLimits(statement_bytes=1 << 20, statement_nesting=100),
        SettingLimits(),
    )
    context = PlanContext(tool="tool", purpose="all", search_path=policy.schemas)

    async def ids(name: str) -> list[int]:
        (plan,) = enforcer.plan(f"SELECT id FROM {name} ORDER BY id", context)
        assert isinstance(plan, Plan)
        return [row["id"] for row in await connection.fetch(plan.text)]

    assert await ids("kept") == [1, 2, 4]  # the far future, infinity, now
    assert await ids("quiet") == [0, 3, 5]  # the far past, -infinity, 2001
    await connection.close()
