"""Servers whose grammar is older than ours: what is a word of the grammar here is a name there."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest

from proxy.enforce import Enforcer, StatementLimits
from proxy.errors import Reason, Refused
from proxy.policy.load import load_policy
from proxy.rewrite.plan import Plan, PlanContext
from proxy.sql.catalog import Catalog, load_catalog
from proxy.sql.settings import SettingLimits
from tests.bypass.worlds import POLICY, Pair


async def _catalog(pair: Pair) -> Catalog:
    world = pair.sides[0].world
    connection = await asyncpg.connect(world.postgres.url(world.database))
    try:
        return await load_catalog(connection, load_policy(POLICY).schemas)
    finally:
        await connection.close()


def _plan(catalog: Catalog, sql: str) -> Plan | Refused:
    policy = load_policy(POLICY)
    limits = StatementLimits(statement_bytes=1 << 20, statement_nesting=100)
    enforcer = Enforcer(policy, catalog, limits, SettingLimits())
    context = PlanContext(tool="profiler", purpose="profile", search_path=policy.schemas)
    (plan,) = enforcer.plan(sql, context)
    return plan


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT JSON_VALUE(to_jsonb(p), '$.email') FROM crm.people p",
        "SELECT JSON_OBJECT('a': id) FROM crm.people",
        "SELECT id FROM crm.people WHERE JSON_EXISTS(doc, '$.a')",
        "SELECT * FROM JSON_TABLE(jsonb '[1]', '$[*]' COLUMNS (a int PATH '$')) j",
    ],
)
async def test_a_json_constructor_that_would_be_somebodys_function_is_refused(
    pair: Pair, sql: str
) -> None:
    today = await _catalog(pair)
    own = replace(today, shadowed_functions=today.shadowed_functions | {"json_value"})
    assert isinstance(_plan(own, sql), Plan)
    answer = _plan(replace(own, server_version=160000), sql)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.FUNCTION_NOT_ALLOWED


async def test_a_listed_name_that_the_server_does_not_have_reaches_nobodys_function(
    pair: Pair,
) -> None:
    """`any_value` is PostgreSQL's since 16; before, it can be a function of the database."""
    world = pair.sides[0].world
    world.postgres.run(
        "CREATE FUNCTION crm.uuidv4(int) RETURNS text LANGUAGE sql AS 'SELECT 1::text';"
        "CREATE FUNCTION crm.not_built_in(int) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
        database=world.database,
    )
    try:
        assert {"uuidv4", "not_built_in"} <= (await _catalog(pair)).shadowed_functions
    finally:
        world.postgres.run(
            "DROP FUNCTION crm.uuidv4; DROP FUNCTION crm.not_built_in", database=world.database
        )
