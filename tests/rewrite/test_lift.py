"""Plans shared by statements that differ in literals: each is the plan made of the statement."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import Refused
from proxy.planner import make_plans
from proxy.rewrite.lift import SKELETONS_MAX, LiftedPlans, Plans, split
from proxy.rewrite.plan import PlanContext
from proxy.sql.grammar import scan
from tests.rewrite.conftest import Guarded
from tests.rewrite.test_pushdown import STATEMENTS as PUSHED

SENT = Path(__file__).parents[1] / "corpora" / "sent"
KINDS = {"s": "SCONST", "4": "ICONST", "8": "FCONST", "d": "FCONST"}

# What a statement may be put together from, and what is hard to read in it.
FRAGMENTS = st.sampled_from(
    [
        *"""
        SELECT FROM WHERE a a1 _1 "q" "q""r" "--" U& E N B X e u& . .. , ; ( ) [ ] = <> - + * / --
        /* */ $ $1 $$ $x$ :: : 0 7 007 12 1.5 .5 5. 1e5 1_000 0x1F 2147483647 2147483648 1a 'x' ''
        9223372036854775807 9223372036854775808 'O''Hara' 'a*b' '\\' '--' '/*' '$1' ';' '"' \\
        ''' " ' U&'x' E'\\n' N'x' AND LIMIT BETWEEN IN LIKE date interval é 'é' %s {}
        """.split(),
        *(" ", "\n", "\t", "\f", "''''", "'a\nb'", "'a' \n 'b'", "'(' ", "'::oid[]'"),
    ]
)

TEXTS = [
    "ana@example.com", "b***@example.com", "x", "", "O''Hara", "*", "--", "/*", "$1", ";", '"',
    "::oid[]", "(((", "{{ x }}", "%s", "é", "\\", "2024-01-01", "1", "t", "NULL", "a" * 200,
]  # fmt: skip
NUMBERS = [
    "0", "1", "7", "007", "2147483647", "2147483648", "9223372036854775807",
    "9223372036854775808", "1.5", "1.50", "0.1", "00.1", "99999999999999999999.5",
]  # fmt: skip
SHAPES = [
    "SELECT id FROM customers WHERE email = '{s}'",
    "SELECT id FROM customers WHERE email = '{s}' AND id = {n}",
    "SELECT id, email FROM customers WHERE full_name IN ('{s}', '{s}', 'x')",
    "SELECT id FROM customers WHERE '{s}' <> email AND id BETWEEN {n} AND {n}",
    "SELECT id FROM customers WHERE phone LIKE '{s}' OR full_name ILIKE '{s}' LIMIT {n} OFFSET {n}",
    "SELECT id, email FROM customers WHERE id = {n} ORDER BY {n} LIMIT {n}",
    "SELECT id, count(*) FROM orders WHERE amount > {n} GROUP BY {n} HAVING count(*) > {n}",
    "SELECT date '{s}', '{s}'::text, {n}::int8 FROM customers WHERE id = {n}",
    "SELECT '{s}', {n}, -{n}, id - {n} FROM customers WHERE id = -{n} AND email = '{s}'",
    "SELECT id FROM page_views WHERE url = '{s}' AND customer_id = {n} AND viewed_at < '{s}'",
    "SELECT id FROM page_views WHERE customer_id IN ({n}, {n}) AND 1 / (id - {n}) < {n}",
    "SELECT c.id, v.id FROM customers c JOIN vehicles v ON v.customer_id = c.id AND v.id = {n}",
    "SELECT c.email FROM crm.customers AS c LEFT JOIN orders o ON o.customer_id = c.id"
    " AND o.id = {n} WHERE c.email = '{s}'",
    "WITH x AS (SELECT * FROM customers WHERE id = {n}) SELECT id FROM x WHERE email = '{s}'",
    "SELECT id FROM customers WHERE id = {n} UNION ALL SELECT id FROM vehicles WHERE id = {n}",
    "SELECT relname FROM pg_catalog.pg_class WHERE relname = '{s}' AND oid = {n}",
    "SELECT COALESCE(NULL::regclass, {n}), NULLIF(oid::regclass, '{s}') FROM pg_class",
    "SELECT current_setting('{s}') FROM customers WHERE id = {n}",
    "SELECT id FROM customers WHERE id = '{s}'::regclass::oid::int8",
    "SELECT substr(email, {n}, {n}) FROM customers WHERE length(email) > {n}",
    "SELECT amount::numeric({n}, 2), cast(amount AS float({n})) FROM orders WHERE id = {n}",
    "SELECT id FROM customers WHERE (id, email) = ({n}, '{s}')",
    "SELECT set_config('datestyle', '{s}', false)",
    "SELECT CASE WHEN id = {n} THEN '{s}' END FROM customers FETCH FIRST {n} ROWS ONLY",
    'SELECT "id" FROM "crm"."customers" WHERE "email" = \'{s}\' AND \'{s}\' = \'{s}\'',
    "SELECT id FROM not_in_the_policy WHERE id = {n}",
    "SHOW timezone; SELECT id FROM customers WHERE id = {n}",
    "SELECT id FROM customers WHERE id = {n};",
    "SELECT extract('{s}' FROM viewed_at) FROM page_views WHERE id = {n}",
    "SELECT id FROM customers WHERE email = '{s}' COLLATE \"C\" AND id::text = '{s}'",
    "SELECT data -> '{s}' FROM (SELECT '{{}}'::jsonb AS data) AS d WHERE data ->> '{s}' = '{s}'",
    "VALUES ({n}, '{s}')",
    "TABLE customers LIMIT {n}",
    "EXPLAIN SELECT id FROM customers WHERE id = {n}",
    "SELECT id FROM customers WHERE id = ANY (ARRAY[{n}, {n}]) AND email = '{s}'",
    "SELECT interval '{s}' day, interval '{s}' FROM customers WHERE id = {n}",
]


def context(purpose: str = "email_campaign", tool: str = "mailer") -> PlanContext:
    return PlanContext(
        tool=tool, purpose=purpose, search_path=("crm", "sales", "web", "ref", "public")
    )


@settings(max_examples=3000, deadline=None)
@given(st.lists(FRAGMENTS, max_size=14), st.booleans())
def test_every_hole_is_a_token_of_postgresqls_scanner(pieces: list[str], spaced: bool) -> None:
    text = (" " if spaced else "").join(pieces)
    taken = split(text)
    if taken is None:
        return
    try:
        tokens = {(token.start, token.end): token.name for token in scan(text)}
    except (Refused, ValueError):  # a character that is no token has no name
        return  # no statement: it is refused before it could have a template
    at, values = 0, iter(taken.values)
    rest = taken.skeleton
    while (hole := rest.find("\x01")) >= 0:
        at += hole
        value = next(values)
        assert tokens[at, at + len(value)] == KINDS[rest[hole + 1]], text
        at += len(value)
        rest = rest[hole + 2 :]


def equal(left: Plans, right: Plans) -> bool:
    """Refusals compare by what they say."""
    return len(left) == len(right) and all(
        vars_of(one) == vars_of(other) for one, other in zip(left, right, strict=True)
    )


def vars_of(each: object) -> object:
    if isinstance(each, Refused):
        return (each.reason, each.sqlstate, each.message, each.statement, each.shape)
    return each


def fill(shape: str, chance: random.Random) -> str:
    text = shape.replace("{{", "{").replace("}}", "}")
    while "{s}" in text or "{n}" in text:
        text = text.replace("{s}", chance.choice(TEXTS), 1).replace(
            "{n}", chance.choice(NUMBERS), 1
        )
    return text


@pytest.mark.parametrize(
    ("tool", "purpose"), [("mailer", "email_campaign"), ("site", "personalisation")]
)
async def test_a_shared_plan_is_the_plan_made_of_the_statement(
    guarded: Guarded, tool: str, purpose: str
) -> None:
    def make(text: str, context: PlanContext) -> Plans:
        return make_plans(guarded.enforcer, text, context)

    chance = random.Random(7)
    asked = context(purpose, tool)
    lifted = LiftedPlans(make)
    found = 0
    for shape in SHAPES:
        for _ in range(24):
            text = fill(shape, chance)
            plans, is_found = lifted.find(text, asked)
            found += is_found
            assert plans is None or equal(plans, make(text, asked)), text
    assert found > len(SHAPES)


async def test_pushed_conditions_are_shared_too(guarded: Guarded) -> None:
    def make(text: str, context: PlanContext) -> Plans:
        return make_plans(guarded.enforcer, text, context)

    chance = random.Random(11)
    lifted, asked, found = LiftedPlans(make), context(), 0
    for statement in PUSHED:
        for text in (statement, *(varied(statement, chance) for _ in range(8))):
            plans, is_found = lifted.find(text, asked)
            found += is_found
            assert plans is None or equal(plans, make(text, asked)), text
    assert found > len(PUSHED)


def varied(text: str, chance: random.Random) -> str:
    """The text with other literals at the places of the old ones."""
    taken = split(text)
    if taken is None:
        return text
    skeleton = taken.skeleton
    for kind in [each[0] for each in skeleton.split("\x01")[1:]]:
        value = f"'{chance.choice(TEXTS)}'" if kind == "s" else chance.choice(NUMBERS)
        skeleton = skeleton.replace(f"\x01{kind}", value, 1)
    return skeleton


async def test_what_real_tools_send_is_shared_rightly(guarded: Guarded) -> None:
    def make(text: str, context: PlanContext) -> Plans:
        return make_plans(guarded.enforcer, text, context)

    chance = random.Random(13)
    lifted, asked, found = LiftedPlans(make), context(), 0
    texts = {text for path in sorted(SENT.glob("*.json")) for text in sent_texts(path)}
    assert len(texts) > 300
    for statement in sorted(texts):
        if split(statement) is None:
            continue
        for text in (statement, varied(statement, chance), varied(statement, chance)):
            plans, is_found = lifted.find(text, asked)
            found += is_found
            assert plans is None or equal(plans, make(text, asked)), text
    assert found > 20


def sent_texts(path: Path) -> list[str]:
    return [each["text"] for each in json.loads(path.read_text())["sent"]]


async def test_purpose_tool_and_path_are_parts_of_the_key(guarded: Guarded) -> None:
    def make(text: str, context: PlanContext) -> Plans:
        return make_plans(guarded.enforcer, text, context)

    lifted = LiftedPlans(make)
    text = "SELECT id, email FROM customers WHERE id = {}"
    for number in range(4):
        for tool, purpose in (("mailer", "email_campaign"), ("site", "personalisation")):
            asked = context(purpose, tool)
            plans, is_found = lifted.find(text.format(number), asked)
            assert is_found == (number > 1)
            assert plans is None or plans == make(text.format(number), asked)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT relname FROM pg_class WHERE oid::regclass = '{}'",
        "SELECT typname FROM pg_type WHERE oid::regtype IN ('{}', 'text')",
    ],
)
async def test_digits_in_the_place_of_a_name_are_planned_as_a_name(
    guarded: Guarded, text: str
) -> None:
    def make(text: str, context: PlanContext) -> Plans:
        return make_plans(guarded.enforcer, text, context)

    lifted, found = LiftedPlans(make), 0
    for name in ("crm.customers", "bool", "16401", "0", "crm.hidden", "007"):
        plans, is_found = lifted.find(text.format(name), context())
        found += is_found
        assert plans is None or equal(plans, make(text.format(name), context())), name
    assert found == 4


async def test_a_plan_that_hangs_on_a_literal_is_not_shared(guarded: Guarded) -> None:
    def moody(text: str, context: PlanContext) -> Plans:
        """Plans against what sharing rests on: more than their text hangs on the literal."""
        (plan,) = make_plans(guarded.enforcer, text, context)
        assert not isinstance(plan, Refused)
        return (dataclasses.replace(plan, shape=str(len(text))),)

    lifted = LiftedPlans(moody)
    for number in range(8):
        text = f"SELECT id FROM customers WHERE id = {number}"
        plans, is_found = lifted.find(text, context())
        assert not is_found
        assert plans is None or plans == moody(text, context())


async def test_what_is_remembered_is_bounded(guarded: Guarded) -> None:
    lifted = LiftedPlans(lambda text, asked: make_plans(guarded.enforcer, text, asked))
    for number in range(SKELETONS_MAX + 50):
        lifted.find(f"SELECT id AS a{number} FROM customers WHERE id = 1", context())
    assert len(lifted) == SKELETONS_MAX
