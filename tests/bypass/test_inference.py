"""Asking about a value instead of for it: conditions, joins, sorts, groups, errors, counts.

The guesses below are right in one world and wrong in the other. An answer that is the same in both
has not told.
"""

# ruff: noqa: E501 - an attempt is one line of a table

from __future__ import annotations

import pytest

from tests.bypass.attempts import (
    ANSWERED,
    FUNCTION,
    TYPE,
    Answered,
    Anything,
    Attempt,
    Fails,
    send,
    try_in_both,
)
from tests.bypass.client import rows_of
from tests.bypass.worlds import Pair

EMAIL = "'Szqxjkvpw-email7@leak.example'"
_P = "SELECT id FROM crm.people WHERE"

# Conditions on hidden cells; each is tried on its own, negated, in a join, in a CASE and so on.
_GUESSES = {
    "equal text": "alias = 'Szqxjkvpw-alias7'",
    "equal varchar with a mask": f"email = {EMAIL}",
    "equal char(n)": "code = 'Szqxjkvpw-code7'",
    "equal char(n), padded": "code = 'Szqxjkvpw-code7  '",
    "IN": "alias IN ('x', 'Szqxjkvpw-alias7')",
    "IN with NULL": "alias IN ('Szqxjkvpw-alias7', NULL)",
    "NOT IN": "alias NOT IN ('Szqxjkvpw-alias8', 'x')",
    "LIKE": "alias LIKE 'Szqxjkvpw%'",
    "prefix operator": "alias ^@ 'Szqxjkvpw'",
    "regular expression": "alias ~ '^S(z|q)+'",
    "SIMILAR TO": "alias SIMILAR TO 'Szqxjkvpw%'",
    "BETWEEN": "alias BETWEEN 'Szqw' AND 'Szqy'",
    "BETWEEN SYMMETRIC": "alias BETWEEN SYMMETRIC 'Szqy' AND 'Szqw'",
    "range of numbers": "age BETWEEN 7770000 AND 7779999",
    "above a number": "age > 7000000",
    "redacted number": "big = 7777777007",
    "bucket": "balance > 7070",
    "float": "score >= 7771",
    "date": "born >= '1977-07-01'",
    "timestamp": "seen > '1999-01-01'",
    "boolean": "member",
    "boolean is false": "member IS FALSE",
    "boolean is unknown": "member IS UNKNOWN",
    "smallint": "small = 7777",
    "uuid": "token = '77777777-7777-4777-8777-777777777777'",
    "json": "doc ->> 'secret' = 'Szqxjkvpw-doc7'",
    "json contains": "doc @> '{\"n\": 7777777000}'",
    "json path": "doc @? '$.secret ? (@ starts with \"Szqxjkvpw\")'",
    "bytea": "blob = 'Szqxjkvpw-blob7'::bytea",
    "inet within": "ip <<= '203.0.113.76/30'",
    "array contains": "tags @> ARRAY['Szqxjkvpw-tag7']",
    "array any": "'Szqxjkvpw-tag7' = ANY (tags)",
    "enum": "mood = 'furious'",
    "enum order": "mood > 'tense'",
    "constant mask": "status = 'Szqxjkvpw-status7'",
    "text search": "words @@ 'szqxjkvpw-word7'::tsquery",
    "length": "length(alias) > 5",
    "NULL": "alias IS NULL",
    "distinct from": "alias IS DISTINCT FROM 'Szqxjkvpw-alias7'",
    "not distinct from": "alias IS NOT DISTINCT FROM 'Szqxjkvpw-alias7'",
    "rows compared": "(id, alias) = (7, 'Szqxjkvpw-alias7')",
    "rows in order": "(alias, id) >= ('Szqxjkvpw', 0)",
    "NULLIF": "NULLIF(alias, 'Szqxjkvpw-alias7') IS NULL",
    "CASE": "CASE alias WHEN 'Szqxjkvpw-alias7' THEN true END",
    "GREATEST": "GREATEST(alias, 'Szqxjkvpw-alias6') <> 'Szqxjkvpw-alias6'",
    "OR with an open column": "id = 1 OR alias = 'Szqxjkvpw-alias7'",
    "qualified operator": "alias OPERATOR(pg_catalog.=) 'Szqxjkvpw-alias7'",
    "collation": "alias COLLATE \"C\" = 'Szqxjkvpw-alias7'",
    "cast": "alias::text = 'Szqxjkvpw-alias7'",
    "flipped": "'Szqxjkvpw-alias7' = alias",
    "sensitive": "event > 7000",
    "never read": "diary = 'Szqxjkvpw-diary7'",
    "phone": "phone = '7774327'",
    "name": "name = 'Szqxjkvpw-name7'",
    "sub-query": f"email = (SELECT {EMAIL})",
    "hash of it": f"md5(email) = md5({EMAIL})",
    "error if right": "1 / (CASE WHEN alias = 'Szqxjkvpw-alias7' THEN 0 ELSE 1 END) = 1",
    "error on the row, after a guess": "alias = 'Szqxjkvpw-alias7' AND 1 / (id - 7) = 1",
    "error on the row, before a guess": "1 / (id - 7) >= 0 AND alias = 'Szqxjkvpw-alias7'",
    "error on the row, after a guess at the image": f"email = {EMAIL} AND 1 / (id - 7) = 1",
    "cast that fails": "alias::int = 5",
    "cast that fails, on hidden rows": "id > 6 AND alias::int = 5",
    "division by a hidden number": "1 / (age - 7770007) = 0",
    "square root of a hidden number": "sqrt(-score) > 0",
    "names that fail": "has_schema_privilege(alias, 'usage')",
    "date of a hidden text": "alias::date > now()",
    "regular expression from a hidden value": "'x' ~ (alias || '[')",
    "json from a hidden value": "alias::jsonb IS NOT NULL",
}

ATTEMPTS = [
    *(Attempt(name, f"{_P} {guess}", Anything()) for name, guess in _GUESSES.items()),
    *(Attempt(f"not {name}", f"{_P} NOT ({guess})", Anything()) for name, guess in _GUESSES.items()),
    *(
        Attempt(f"in the select list: {name}", f"SELECT id, {guess} FROM crm.people", Anything())
        for name, guess in _GUESSES.items()
    ),
    *(
        Attempt(f"in a join: {name}", f"SELECT p.id FROM ref.shops s JOIN (SELECT * FROM crm.people) p ON {guess.replace('id', 'p.id')} LEFT JOIN crm.orders o ON o.person_id = p.id", Anything())
        for name, guess in _GUESSES.items()
    ),
    *(
        Attempt(f"of people who agreed: {name}", f"{_P} {guess}", Anything(), tool="mailer")
        for name, guess in _GUESSES.items()
        if "event" not in guess
    ),
    *(
        Attempt(f"for another basis: {name}", f"{_P} {guess}", Anything(), tool="desk")
        for name, guess in _GUESSES.items()
        if "event" not in guess
    ),
    # --- push-down under every shape of join ---
    *(
        Attempt(f"pushed into a {kind}", f"SELECT p.id, o.id FROM crm.people p {kind} crm.orders o ON o.person_id = p.id WHERE {where}", Anything(), tool=tool)
        for kind in ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")
        for tool in ("profiler", "mailer")
        for where in ("p.alias = 'Szqxjkvpw-alias7'", "o.item = 'Szqxjkvpw-item7'", "p.alias = 'alias2'", "o.item = 'item2'", f"p.email = {EMAIL} AND 1 / (o.id - 7) = 1")
    ),
    *(
        Attempt(f"pushed from the ON of a {kind}", f"SELECT p.id, o.id FROM crm.people p {kind} crm.orders o ON o.person_id = p.id AND {on}", Anything(), tool=tool)
        for kind in ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")
        for tool in ("profiler", "mailer")
        for on in ("p.alias = 'Szqxjkvpw-alias7'", "o.item = 'Szqxjkvpw-item7'", "p.alias = 'alias2'", "o.item = 'item2'")
        if not (kind == "FULL JOIN" and "alias" in on)
    ),
    Attempt("pushed from below a nullable side", "SELECT s.id, p.id FROM ref.shops s LEFT JOIN (crm.people p JOIN crm.orders o ON o.person_id = p.id AND p.alias = 'Szqxjkvpw-alias7') ON p.id = s.id", Anything()),
    Attempt("pushed through nested joins", "SELECT p.id FROM (crm.people p JOIN crm.orders o ON o.person_id = p.id) JOIN ref.shops s ON p.alias = 'Szqxjkvpw-alias7' AND o.item = 'Szqxjkvpw-item7'", Answered(0)),
    *(
        Attempt(f"pushed join key of an item called {alias}, {name}", sql.replace("ALIAS", alias), Answered(rows))
        for alias in ("t", "k0", "h0", "g", "v", "a", "T")
        for name, sql, rows in (
            ("before", "SELECT x.id FROM crm.people ALIAS JOIN crm.visits x ON x.person_id = ALIAS.id WHERE ALIAS.id = 1", 2),
            ("behind", "SELECT x.id FROM crm.visits x JOIN crm.people ALIAS ON x.person_id = ALIAS.id WHERE ALIAS.id = 1", 2),
            ("in a list", "SELECT x.id FROM crm.people ALIAS, crm.visits x WHERE x.person_id = ALIAS.id AND ALIAS.id = 1", 2),
            ("through a sub-query", "SELECT x.id FROM (SELECT id FROM crm.people WHERE id = 1) ALIAS JOIN crm.visits x ON x.person_id = ALIAS.id", 2),
            ("asked for each", "SELECT n FROM crm.people ALIAS, LATERAL (SELECT count(*) FROM crm.visits x WHERE x.person_id = ALIAS.id) c(n) WHERE ALIAS.id = 1 AND n = 2", 1),
            ("that exists", "SELECT id FROM crm.people ALIAS WHERE EXISTS (SELECT 1 FROM crm.visits x WHERE x.person_id = ALIAS.id) AND ALIAS.id = 1", 1),
            ("of what is masked", "SELECT x.id FROM crm.visits ALIAS JOIN crm.visits x ON x.note = ALIAS.url WHERE ALIAS.id = 1", 0),
        )
    ),
    *(
        Attempt(f"pushed into a sub-query that chooses rows: {name}", f"SELECT p.id FROM crm.people p WHERE p.id IN ({sql}) AND p.id < 100", Answered(rows))
        for name, sql, rows in (
            ("LIMIT", "SELECT v.person_id FROM crm.visits v ORDER BY v.id LIMIT 1", 1),
            ("OFFSET", "SELECT v.person_id FROM crm.visits v ORDER BY v.id OFFSET 6", 1),
            ("DISTINCT ON", "SELECT DISTINCT ON (v.source) v.person_id FROM crm.visits v ORDER BY v.source, v.id", 2),
            ("DISTINCT", "SELECT DISTINCT v.person_id FROM crm.visits v", 4),
            ("groups", "SELECT v.person_id FROM crm.visits v GROUP BY v.person_id HAVING count(*) > 1", 3),
        )
    ),
    Attempt("an alias that another relation has as a column", "SELECT alias.id FROM crm.people AS alias JOIN (SELECT 'x' AS alias) x ON true WHERE alias.alias = 'Szqxjkvpw-alias7'", Answered(0)),
    Attempt("an alias in use twice, in two scopes", "SELECT p.id FROM crm.people p WHERE EXISTS (SELECT 1 FROM crm.orders p WHERE p.item = 'Szqxjkvpw-item7') AND p.alias = 'alias1'", Anything()),
    Attempt("an alias in use twice, one inside a named join", "SELECT people.id FROM (crm.people JOIN ref.shops ON true) AS j, crm.people WHERE people.alias = 'Szqxjkvpw-alias7'", Anything()),
    Attempt("a parameter of a type it gets elsewhere", "SELECT id FROM crm.people WHERE alias = $1 AND $1 = 'x'", Anything(), parameters=("Szqxjkvpw-alias7",)),
    Attempt("a parameter", "SELECT id FROM crm.people WHERE alias = $1", Answered(0), parameters=("Szqxjkvpw-alias7",)),
    Attempt("a parameter declared text", "SELECT id FROM crm.people WHERE alias = $1", Answered(0), parameters=("Szqxjkvpw-alias7",), types=(25,), ways=("extended", "binary")),
    Attempt("a parameter declared varchar", "SELECT id FROM crm.people WHERE email = $1", Answered(0), parameters=("Szqxjkvpw-email7@leak.example",), types=(1043,), ways=("extended", "binary")),
    Attempt("a parameter declared name", "SELECT id FROM crm.people WHERE alias = $1", Answered(0), parameters=("Szqxjkvpw-alias7",), types=(19,), ways=("extended", "binary")),
    Attempt("a parameter declared regclass", "SELECT id FROM crm.people WHERE alias = $1", TYPE, parameters=("pg_class",), types=(2205,), ways=("extended", "binary")),
    Attempt("a parameter declared numeric", "SELECT id FROM crm.people WHERE age = $1", Answered(0), parameters=("7770007",), types=(1700,), ways=("extended", "binary")),
    Attempt("a parameter declared float", "SELECT id FROM crm.people WHERE age = $1", Answered(0), parameters=("7770007",), types=(701,), ways=("extended", "binary")),
    Attempt("a parameter and an error", "SELECT id FROM crm.people WHERE alias = $1 AND 1 / (id - 7) = 1", Answered(0), parameters=("Szqxjkvpw-alias7",)),
    Attempt("a parameter that agrees", "SELECT id FROM crm.people WHERE alias = $1", Answered(1), parameters=("alias3",)),
    # --- rows that are not there ---
    *(
        Attempt(f"a removed row: {name}", f"SELECT count(*), sum(amount) FROM crm.visits WHERE {guess}", verdict)
        for name, guess, verdict in (
            ("an open column", "note = 'Szqxjkvpw-note1'", Answered(1)),
            ("an open column's cast", "note <> 'seen' AND replace(note, 'note', '')::int > 0", Answered(1)),
            ("an error on an open column", "1 / amount >= 0", Answered(1)),
            ("an error on the key", "1 / (id - 101) <> 5", Answered(1)),
            ("an error on the rule's own column", "1 / length(replace(source, 'bought', '')) >= 0", Answered(1)),
            ("an error on the time", "1 / (extract(day FROM now() - seen_at)::int - 99) <> 5", Answered(1)),
            ("a guess and an error", "note = 'Szqxjkvpw-note1' AND 1 / amount = 1", Answered(1)),
            ("the key and an error", "id = 101 AND 1 / amount = 1", Answered(1)),
            ("a range of keys and an error", "id > 100 AND id < 400 AND 1 / amount = 1", Answered(1)),
            ("a source that is not allowed", "source = 'bought'", Answered(1)),
            ("no source", "source IS NULL", Answered(1)),
            ("too old", "seen_at < now() - interval '90 days'", Answered(1)),
            ("too young", "seen_at > now() - interval '24 hours'", Answered(1)),
            ("names that fail", "has_schema_privilege(note, 'usage')", Fails("3F000")),
            ("a pattern that fails while the statement is planned", "note LIKE 'Szqxjkvpw%\\'", Answered(1)),
            ("a pattern that fails, on the rule's own column", "source LIKE 'bou%\\'", Answered(1)),
            ("a pattern that fails, not", "note NOT LIKE 'Szqxjkvpw%\\'", Answered(1)),
            ("a pattern that fails, in any case", "note ILIKE 'SZQXJKVPW%\\'", Answered(1)),
            ("a pattern that fails, as an operator", "note OPERATOR(pg_catalog.~~) 'Szqxjkvpw%\\'", Answered(1)),
            ("a pattern that fails, in OR", "note LIKE 'Szqxjkvpw%\\' OR id = 1", Answered(1)),
            ("a pattern that fails, in ANY", "note LIKE ANY (ARRAY['Szqxjkvpw%\\', 'x'])", Answered(1)),
            ("a virtual column that fails", "share = 50", Answered(1)),
            ("a virtual column that fails, in a range", "share BETWEEN 1 AND 60 AND id > 0", Answered(1)),
        )
    ),
    *(
        Attempt(f"a person who is not there: {name}", f"SELECT count(*) FROM crm.people WHERE {guess}", Answered(1), tool="mailer")
        for name, guess in (
            ("the key", "id = 7"),
            ("the key and an error", "id = 7 AND 1 / (id - 7) = 1"),
            ("an error on the key", "1 / (id - 7) <> 5"),
            ("an open column", "country = 'DE' AND 1 / (id - 7) <> 5"),
            ("a cast of the key", "id::text::int = 7"),
            ("a sub-query", "id = (SELECT 7)"),
        )
    ),
    Attempt("joined by key with who is not there", "SELECT s.n FROM generate_series(7, 10) s(n) JOIN crm.people p ON p.id = s.n AND 1 / (p.id - 7) <> 5", Answered(0), tool="mailer"),
    Attempt("visits of who is not there", "SELECT count(*) FROM crm.visits WHERE person_id = 9", Answered(1)),
    Attempt("an anti-join", "SELECT s.n FROM generate_series(1, 10) s(n) WHERE NOT EXISTS (SELECT 1 FROM crm.people p WHERE p.id = s.n)", Answered(4), tool="mailer"),
    Attempt("who is not there, counted", "SELECT count(*), max(id), min(id), count(DISTINCT country) FROM crm.people", Answered(1), tool="mailer"),
    Attempt("rows that a view leaves out", "SELECT count(*) FROM crm.adults WHERE 1 / years > 5", Answered(1)),
    Attempt("rows that a view leaves out, cast", "SELECT count(*) FROM crm.adults WHERE replace(nick, 'nick', '')::int > 0", Answered(1)),
    Attempt("rows that a view leaves out, by a pattern", "SELECT count(*) FROM crm.adults WHERE nick LIKE 'Szqxjkvpw%\\'", Answered(1)),
    Attempt("rows that a barrier leaves out, by a pattern", "SELECT count(*) FROM crm.adults_barred WHERE nick LIKE 'Szqxjkvpw%\\'", Answered(1)),
    Attempt("masked values, by a pattern", "SELECT count(*) FROM crm.people WHERE alias LIKE 'Szqxjkvpw%\\' OR diary LIKE 'Szqxjkvpw%\\'", Answered(1)),
    Attempt("grouped rows, by a pattern", "SELECT note FROM crm.visits GROUP BY note HAVING note LIKE 'Szqxjkvpw%\\'", Answered(0)),
    Attempt("joined rows, by a pattern", "SELECT 1 FROM crm.visits v JOIN crm.people p ON p.id = v.person_id AND v.note LIKE 'Szqxjkvpw%\\'", Answered(0)),
    Attempt("rows of a CTE, by a pattern", "WITH x AS MATERIALIZED (SELECT * FROM crm.visits) SELECT count(*) FROM x WHERE note LIKE 'Szqxjkvpw%\\'", Answered(1)),
    Attempt("rows that a view leaves out, guessed", "SELECT count(*) FROM crm.adults WHERE nick = 'Szqxjkvpw-nick1' AND 1 / years = 1", Answered(1)),
    Attempt("rows that a view leaves out, by key", "SELECT count(*) FROM crm.adults WHERE id = 51 AND 1 / years = 1", Answered(1)),
    Attempt("rows that a view leaves out, in a join", "SELECT a.id FROM crm.adults a JOIN ref.shops s ON 1 / a.years > 5", Answered(0)),
    Attempt("rows that a barrier leaves out", "SELECT count(*) FROM crm.adults_barred WHERE 1 / years > 5", Answered(1)),
    # --- below the mask ---
    *(
        Attempt(f"below the mask: {name}", sql, verdict)
        for name, sql, verdict in (
            ("a cheap leaky function", "SELECT id FROM crm.people WHERE crm.spy(alias)", FUNCTION),
            ("division", "SELECT id FROM crm.people WHERE 1 / (age - 7770007) = 0", ANSWERED),
            ("in an arm of UNION ALL", "SELECT * FROM (SELECT id, alias FROM crm.people UNION ALL SELECT 1, '5') u WHERE id > 6 AND alias::int = 5", Anything()),
            ("in an inlined CTE", "WITH x AS NOT MATERIALIZED (SELECT * FROM crm.people) SELECT * FROM x WHERE id > 6 AND alias::int = 5", Answered(0)),
            ("in HAVING", "SELECT alias FROM crm.people WHERE id > 6 GROUP BY alias HAVING alias::int = 5", Anything()),
            ("in FILTER", "SELECT count(*) FILTER (WHERE alias::int = 5) FROM crm.people WHERE id > 6", Answered(1)),
            ("in ORDER BY", "SELECT id FROM crm.people WHERE id > 6 ORDER BY alias::int", Answered(4)),
            ("in a window", "SELECT rank() OVER (PARTITION BY alias::int ORDER BY age) FROM crm.people WHERE id > 6", Answered(4)),
            ("in DISTINCT ON", "SELECT DISTINCT ON (alias::int) id > 6 FROM crm.people WHERE id > 6", Answered(1)),
            ("in a lateral fence", "SELECT y.* FROM crm.people p, LATERAL (SELECT p.alias::int OFFSET 0) y WHERE p.id > 6", Answered(4)),
            ("in an aggregate", "SELECT max(alias::int), sum(1 / (age - 7770007)) FROM crm.people WHERE id > 6", Answered(1)),
            ("in COALESCE", "SELECT COALESCE(alias, 'nothing')::int FROM crm.people WHERE id > 6", Fails("22P02")),
            ("in a join of two", "SELECT 1 FROM crm.people p JOIN crm.orders o ON p.id = o.person_id AND p.id > 6 AND p.alias::int = o.total", Answered(0)),
            ("in a semi-join", "SELECT 1 FROM ref.shops s WHERE s.id IN (SELECT alias::int FROM crm.people WHERE id > 6)", Answered(0)),
        )
    ),
    # --- sorts, groups, joins ---
    Attempt("sorted by it", "SELECT id FROM crm.people ORDER BY alias, age, seen, id", Answered(10)),
    Attempt("sorted by it, position", "SELECT alias, id FROM crm.people ORDER BY 1, 2", Answered(10)),
    Attempt("the first by it", "SELECT id FROM crm.people ORDER BY age DESC NULLS LAST, id LIMIT 1", Answered(1)),
    Attempt("ranked by it", "SELECT id, rank() OVER (ORDER BY big DESC) FROM crm.people", Answered(10)),
    Attempt("grouped by it", "SELECT count(*) FROM crm.people GROUP BY alias", Answered(7)),
    Attempt("grouped by a mask", "SELECT email, count(*) FROM crm.people GROUP BY email", Answered(7)),
    Attempt("distinct", "SELECT DISTINCT age, mood FROM crm.people", Answered(7)),
    Attempt("count distinct", "SELECT count(DISTINCT alias), count(DISTINCT email), count(DISTINCT age) FROM crm.people", Answered(1)),
    Attempt("aggregated", "SELECT sum(age), avg(score), max(seen), min(born), max(small), sum(big) FROM crm.people", Answered(1)),
    Attempt("statistics of it", "SELECT stddev(age), corr(age, score), percentile_cont(0.9) WITHIN GROUP (ORDER BY score), mode() WITHIN GROUP (ORDER BY alias) FROM crm.people", Answered(1)),
    Attempt("bits of it", "SELECT bit_or(small), bool_or(member), bit_xor(age) FROM crm.people", Answered(1)),
    Attempt("joined by it", "SELECT s.id FROM ref.shops s JOIN crm.people p ON p.email = s.email OR length(p.alias) = s.id + 10", Anything()),
    Attempt("joined with guesses", "SELECT v.g FROM (VALUES ('Szqxjkvpw-alias7'), ('Svkwzjxqy-alias7')) v(g) JOIN crm.people p ON p.alias = v.g", Answered(0)),
    Attempt("joined with itself", "SELECT p.id, q.id FROM crm.people p JOIN crm.people q ON p.alias = q.alias AND p.id > 6", Answered(0)),
    Attempt("width_bucket", "SELECT width_bucket(age, 0, 10000000, 10) FROM crm.people", Answered(10)),
    Attempt("GROUPING SETS", "SELECT alias, country, count(*) FROM crm.people GROUP BY ROLLUP (country, alias)", ANSWERED),
    Attempt("LIMIT by it", "SELECT 1 FROM generate_series(1, 100) LIMIT (SELECT max(age) FROM crm.people)", Answered(26)),
    Attempt("generate_series by it", "SELECT count(*) FROM crm.people p, generate_series(1, p.small) WHERE p.id > 6", Answered(1)),
    Attempt("a sensitive score, with and without its own grant", "SELECT id, event FROM crm.people", Answered(10)),
    Attempt("whoever has several subjects", "SELECT id, about FROM crm.pairs", Answered(4)),
    Attempt("through a key that leads nowhere", "SELECT id, sku, price FROM crm.items WHERE id > 70", Answered(2)),
    Attempt("in two steps", "SELECT id FROM crm.items WHERE sku = 'Szqxjkvpw-sku7' AND 1 / (id - 7) = 1", Answered(0)),
    Attempt("nobody's rows", "SELECT id FROM crm.loose WHERE text LIKE 'S%'", Answered(0)),
    Attempt("a pseudonym's own value", "SELECT id FROM crm.people WHERE token::text LIKE '77777777%'", Answered(0)),
    Attempt("the size of it", "SELECT octet_length(alias), bit_length(email), cardinality(tags), length(blob) FROM crm.people", Answered(10)),
]  # fmt: skip


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_a_tool_can_not_search_for_what_it_may_not_see(pair: Pair, attempt: Attempt) -> None:
    try_in_both(pair, attempt)


_SHAPES = {
    "equal": "SELECT id FROM crm.people WHERE alias = {}",
    "masked": "SELECT id, email FROM crm.people WHERE email = {}",
    "in": "SELECT count(*) FROM crm.people WHERE alias IN ({}, 'x')",
    "between": "SELECT count(*) FROM crm.people WHERE alias BETWEEN {} AND 'zzz'",
    "removed rows": "SELECT count(*), sum(amount) FROM crm.visits WHERE note = {}",
    "and an error": "SELECT id FROM crm.people WHERE alias = {} AND 1 / (id - 7) = 1",
    "with a limit": "SELECT id FROM crm.people WHERE phone = {} ORDER BY id LIMIT 3",
    "a constant beside it": "SELECT {}, count(*) FROM crm.people WHERE email > 'a'",
    "in a join": "SELECT p.id FROM crm.people p JOIN crm.orders o ON o.person_id = p.id WHERE o.item = {}",
}
_VALUES = [
    "a",
    "b",
    "c",
    "alias2",
    "Szqxjkvpw-alias7",
    "",
    "*",
    "S***@leak.example",
    "***",
    "****327",
]
_VALUES += [
    "open2@fine.example",
    "Szqxjkvpw-email7@leak.example",
    "O''Brien",
    "x'' OR ''1''=''1",
    "note1",
]
_VALUES += ["Szqxjkvpw-note1", "item2", "Szqxjkvpw-item7", "\\", "{}", "$1", "d"]


@pytest.mark.parametrize("tool", ["profiler", "mailer"])
@pytest.mark.parametrize("shape", _SHAPES.values(), ids=list(_SHAPES))
def test_statements_that_differ_in_their_literals_alone(pair: Pair, shape: str, tool: str) -> None:
    """Plans of such statements are shared: each must be answered as if it were the only one."""
    for value in _VALUES:
        sql = shape.replace("{}", f"'{value}'")
        if "beside" not in shape and "{}, count" not in shape:
            try_in_both(pair, Attempt("shared", sql, Anything(), tool=tool, ways=("simple",)))
        alone = f"{sql.replace('SELECT', 'SELECT ALL', 1)} -- {len(value)}"
        for side in pair.sides:
            shared, own = (
                send(side, Attempt("", text, Anything(), tool=tool), "simple")
                for text in (sql, alone)
            )
            assert shared.compared == own.compared, sql


def test_a_sensitive_value_is_shown_by_its_own_grant_alone(pair: Pair) -> None:
    for side in pair.sides:
        messages = side.client("profiler").simple(
            "SELECT id FROM crm.people WHERE event IS NOT NULL"
        )
        assert rows_of(messages) == [[b"1"]]


def test_the_suite_does_not_pass_because_nothing_is_shown(pair: Pair) -> None:
    """Who agreed is seen, in every form of the columns."""
    sql = "SELECT email, alias, phone, code, age, doc, blob, ip, tags, mood, words FROM crm.people WHERE id = 1"
    for side in pair.sides:
        (row,) = rows_of(side.client("profiler").simple(sql))
        assert row == [
            b"open1@fine.example", b"alias1", b"600000001", b"C1" + b" " * 22, b"21", b'{"n": 1}',
            b"\\x01", b"198.51.100.1", b"{t1}", b"calm", b"'word1':1",
        ]  # fmt: skip
