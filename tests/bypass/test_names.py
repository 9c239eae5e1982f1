"""Names of hidden things: whatever asks for one by name or by id hears that it does not exist."""

# ruff: noqa: E501 - an attempt is one line of a table

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from proxy.demo.embedded import EmbeddedPostgres
from tests.bypass.attempts import Attempt, Way, send
from tests.bypass.worlds import Pair

# What is hidden, and what is nowhere: of one length, so that only the name can make a difference.
_RELATIONS = [
    ("crm.internal", "crm.interxyz"),
    ("internal", "interxyz"),
    ("private.people", "privxyz.people"),
    ("private.people", "private.peopxy"),
    ("consent.subject", "consent.subjxyz"),
    ("crm.people_id", "crm.people_xy"),  # a sequence
    ("crm.people_unlisted", "crm.people_unlisxyz"),  # an index of a hidden column
    ("crm.people_view", "crm.people_vxyz"),
    ("crm.events_1", "crm.events_x"),  # a partition
    ('"crm"."internal"', '"crm"."interxyz"'),
    ("CRM.Internal", "CRM.InterXYZ"),
]
_TYPES = [
    ("crm.teller", "crm.tellxy"),
    ("teller", "tellxy"),
    ("crm.place", "crm.plaxy"),
    ("private.people", "private.peopxy"),
    ("crm.internal[]", "crm.interxyz[]"),
    ("consent.subject", "consent.subjxyz"),
]
_SCHEMAS = [("private", "privxyz"), ("consent", "consxyz")]
_FUNCTIONS = [("crm.tell", "crm.texy"), ("tell", "texy")]
_SIGNATURES = [
    ("crm.tell(bigint)", "crm.texy(bigint)"),
    ("tell(bigint)", "texy(bigint)"),
    ("lower(crm.teller)", "lower(crm.tellxy)"),
    ("lower(teller)", "lower(tellxy)"),
]
_OPERATORS = [("crm.<=>>", "crm.<=<>"), ("<=>>", "<=<>")]
_OPERATOR_SIGNATURES = [
    ("crm.<=>>(text,text)", "crm.<=<>(text,text)"),
    ("=(teller,text)", "=(tellxy,text)"),
]
_ROLES = [("consent_writer", "consent_writxy")]
_COLLATIONS = [("crm.plain", "crm.plaxy"), ("plain", "plaxy")]
_CONFIGS = [("crm.plain_words", "crm.plain_worxy"), ("plain_words", "plain_worxy")]
_DICTIONARIES = [("crm.plain_terms", "crm.plain_terxy"), ("plain_terms", "plain_terxy")]

_OF_ANY_TYPE = [
    "SELECT '{n}'::{t}",
    "SELECT CAST('{n}' AS {t})",
    "SELECT {t} '{n}'",
    "SELECT '{n}'::{t}::oid",
    "SELECT '{n}'::{t}::text",
    "SELECT ('{n}' || '')::{t}",
    "SELECT '{n}'::text::{t}",
    "SELECT '{n}'::varchar(99)::{t}",
    "SELECT ('{n}'::text).{t}",
    "SELECT {t}('{n}')",
    "SELECT {t}('{n}'::text)",
    "SELECT ARRAY['{n}']::{t}[]",
    "SELECT ARRAY['{n}'::text]::{t}[]",
    "SELECT '{{{n}}}'::{t}[]",
    "SELECT '{{{n}}}'::_{t}",
    "SELECT ('{{{n}}}' || '')::{t}[]",
    "SELECT 0::oid::{t} = '{n}'",
    "SELECT 0::oid::{t} IN ('{n}', '-')",
    "SELECT 0::oid::{t} IS DISTINCT FROM '{n}'",
    "SELECT 0::oid::{t} BETWEEN '{n}' AND '{n}'",
    "SELECT 0::oid::{t} = ANY ('{{{n}}}')",
    "SELECT NULLIF(0::oid::{t}, '{n}')",
    "SELECT COALESCE('{n}', 0::oid::{t})",
    "SELECT GREATEST('{n}', 0::oid::{t})",
    "SELECT CASE WHEN true THEN 0::oid::{t} ELSE '{n}' END",
    "SELECT CASE 0::oid::{t} WHEN '{n}' THEN 1 END",
    "SELECT ARRAY[0::oid::{t}, '{n}']",
    "SELECT ROW(0::oid::{t}, 1) = ROW('{n}', 1)",
    "VALUES (0::oid::{t}), ('{n}')",
    "SELECT 0::oid::{t} UNION ALL SELECT '{n}'",
    "SELECT '{n}' EXCEPT SELECT 0::oid::{t}",
    "SELECT '{n}' IN (SELECT 0::oid::{t})",
    "SELECT array_append(ARRAY[0::oid::{t}], '{n}')",
    "SELECT array_position(ARRAY[0::oid::{t}], '{n}')",
    "SELECT ARRAY[0::oid::{t}] || '{n}'",
    "SELECT lag(0::oid::{t}, 1, '{n}') OVER ()",
    "SELECT rank('{n}') WITHIN GROUP (ORDER BY 0::oid::{t})",
    "SELECT x = '{n}' FROM (SELECT 0::oid::{t}) AS t(x)",
    "SELECT x = '{n}' FROM (SELECT 0::oid::{t} AS x) AS t",
    'SELECT "{t}" = \'{n}\' FROM (SELECT 1::{t}) AS t',
    "SELECT x = '{n}' FROM unnest(ARRAY[0::oid::{t}]) AS x",
    "SELECT (t).x = '{n}' FROM (SELECT 0::oid::{t} AS x) AS t",
    "SELECT a = '{n}' FROM (SELECT NULL AS a UNION SELECT 0::oid::{t}) AS t",
    "SELECT a = '{n}' FROM (SELECT 1 AS b, NULL AS a UNION SELECT 1, 0::oid::{t}) AS t",
    "SELECT column1 = '{n}' FROM (VALUES (NULL) UNION ALL SELECT 0::oid::{t}) AS t",
    "SELECT column2 = '{n}' FROM (VALUES (1, NULL) UNION ALL SELECT 1, 0::oid::{t}) AS t",
    "SELECT b = '{n}' FROM (SELECT s.*, NULL AS b FROM (SELECT 1) s UNION SELECT 1, 0::oid::{t}) t",
    "WITH RECURSIVE w(x) AS (SELECT 0::oid::{t} UNION SELECT '{n}' FROM w) SELECT * FROM w",
    "SELECT (SELECT 0::oid::{t}) = '{n}'",
    "SELECT ARRAY[[0::oid::{t}], ['{n}']]",
    "SELECT * FROM (SELECT 0::oid::{t} AS x) AS t UNION ALL SELECT '{n}'",
    "SELECT COALESCE(string_to_array('{n}', ','), ARRAY[0::oid::{t}])",
    "SELECT ARRAY[0::oid::{t}] UNION ALL SELECT string_to_array('{n}', ',')",
    "WITH RECURSIVE w(x) AS (SELECT 1 UNION SELECT 2 FROM w) CYCLE x SET c TO '{n}' DEFAULT {t} '-' USING p SELECT c FROM w",
    "SELECT (ARRAY[0::oid::{t}])[1] = '{n}'",
    "SELECT max(ARRAY[0::oid::{t}]) = '{{{n}}}'",
    "SELECT * FROM json_to_record('{{\"x\": \"{n}\"}}') AS t(x {t})",
    "SELECT JSON_VALUE('\"{n}\"', '$' RETURNING {t})",
    "SELECT JSON_QUERY('\"{n}\"', '$' RETURNING {t})",
    "SELECT * FROM JSON_TABLE('[\"{n}\"]', '$[*]' COLUMNS (x {t} PATH '$'))",
    "SELECT * FROM XMLTABLE('/a' PASSING '<a>{n}</a>' COLUMNS x {t} PATH '.')",
    "SELECT XMLSERIALIZE(CONTENT '<a/>' AS {t})",
    "EXPLAIN SELECT '{n}'::{t}",
    "COPY (SELECT '{n}'::{t}) TO STDOUT",
    "DECLARE c CURSOR WITH HOLD FOR SELECT '{n}'::{t}",
    "PREPARE p AS SELECT '{n}'::{t}",
    "PREPARE p ({t}) AS SELECT $1",
    "SELECT 1 WHERE '{n}'::{t} IS NULL",
    "SELECT id FROM crm.people WHERE id = 1 ORDER BY '{n}'::{t}",
    "SELECT id FROM crm.people LIMIT ('{n}'::{t})::oid::int8",
]  # fmt: skip
_BY_PARAMETER = [
    "SELECT $1::{t}",
    "SELECT CAST($1 AS {t})",
    "SELECT 0::oid::{t} = $1",
    "SELECT $1::text::{t}",
]
_OF_RELATIONS = [
    "SELECT has_table_privilege('{n}', 'select')",
    "SELECT has_table_privilege(current_user, '{n}', 'select')",
    "SELECT has_table_privilege('{n}' || '', 'select')",
    "SELECT has_table_privilege('{n}'::regclass, 'select')",
    "SELECT has_any_column_privilege('{n}', 'select')",
    "SELECT has_column_privilege('{n}', 'id', 'select')",
    "SELECT has_column_privilege('{n}', 1::int2, 'select')",
    "SELECT has_column_privilege('{n}' || '', 'id', 'select')",
    "SELECT has_sequence_privilege('{n}', 'usage')",
    "SELECT pg_relation_size('{n}')",
    "SELECT pg_table_size('{n}')",
    "SELECT pg_get_viewdef('{n}')",
    "SELECT pg_get_viewdef('{n}' || '')",
    "SELECT pg_get_viewdef('{n}', true)",
    "SELECT * FROM pg_partition_tree('{n}')",
    "SELECT pg_partition_root('{n}')",
    "SELECT * FROM pg_partition_ancestors('{n}')",
    "SELECT pg_relation_is_publishable('{n}')",
    "SELECT pg_index_has_property('{n}', 'clusterable')",
    "SELECT pg_get_serial_sequence('{n}', 'id')",
    "SELECT pg_get_indexdef('{n}'::regclass)",
    "SELECT col_description('{n}'::regclass, 1)",
    "SELECT obj_description('{n}'::regclass, 'pg_class')",
    "SELECT pg_get_expr(adbin, '{n}'::regclass) FROM pg_attrdef",
    "SELECT pg_describe_object('pg_class'::regclass, '{n}'::regclass, 0)",
    "SELECT pg_relation_filenode('{n}')",
    "SELECT currval('{n}')",
    "SELECT nextval('{n}')",
    "SELECT row_security_active('{n}')",
    "SELECT relid = '{n}' FROM pg_partition_tree('crm.events')",
    "SELECT table_to_xml('{n}', false, false, '')",
    "SELECT * FROM {n}",
    "SELECT count(*) FROM pg_class WHERE oid = to_regclass('{n}')",
    "LOCK TABLE {n} IN ACCESS SHARE MODE",
    "COPY {n} TO STDOUT",
]  # fmt: skip
_OF_TYPES = [
    "SELECT has_type_privilege('{n}', 'usage')",
    "SELECT has_type_privilege('{n}' || '', 'usage')",
    "SELECT pg_basetype('{n}')",
    "SELECT format_type('{n}'::regtype, NULL)",
    "SELECT to_regtypemod('{n}')",
    "SELECT NULL::{n}",
    "SELECT pg_typeof(1) = '{n}'",
    "SELECT pg_typeof(id) IN ('{n}', 'int4') FROM crm.people WHERE id = 1",
]
_OF_SCHEMAS = [
    "SELECT has_schema_privilege('{n}', 'usage')",
    "SELECT has_schema_privilege(current_user, '{n}', 'usage')",
    "SELECT has_schema_privilege('{n}' || '', 'usage')",
    "SELECT to_regclass('{n}.people')",
    "SELECT to_regclass('{n}' || '.people')",
    "SELECT to_regtype('{n}' || '.people')",
    "SELECT ('{n}' || '.people')::regtype",
    "SELECT has_table_privilege('{n}.people', 'select')",
    "SELECT {n}.people.id FROM crm.people",
    "SELECT {n}.lower('x')",
    "SELECT 1 OPERATOR({n}.+) 1",
    "SELECT 'x' COLLATE {n}.plain",
    "SELECT NULL::{n}.people",
    "SET search_path TO {n}",
    "SELECT set_config('search_path', '{n}', false)",
    "SELECT set_config('search_path', '{n}', false) FROM crm.people",
]
_OF_ROLES = [
    "SELECT pg_has_role('{n}', 'usage')",
    "SELECT pg_has_role('{n}' || '', 'usage')",
    "SELECT pg_has_role('{n}', 'consent_reader', 'usage')",
    "SELECT pg_has_role(current_user, '{n}', 'usage')",
    "SELECT has_table_privilege('{n}', 'crm.people', 'select')",
    "SELECT has_table_privilege('{n}' || '', 'crm.people', 'select')",
    "SELECT has_schema_privilege('{n}', 'crm', 'usage')",
    "SELECT has_column_privilege('{n}', 'crm.people', 'id', 'select')",
    "SELECT has_database_privilege('{n}', current_database(), 'connect')",
    "SELECT COALESCE(relacl, '{{{n}=r/consent_reader}}') FROM pg_class LIMIT 1",
    "SELECT CASE WHEN true THEN '{{{n}=r/consent_reader}}' ELSE attacl END FROM pg_attribute LIMIT 1",
    "SELECT nspacl @> '{n}=r/consent_reader' FROM pg_namespace LIMIT 1",
    "SELECT '{n}=r/consent_reader' = ANY (relacl) FROM pg_class LIMIT 1",
    "SELECT a = '{{{n}=r/consent_reader}}' FROM (SELECT relacl AS a FROM pg_class LIMIT 1) AS t",
    "SELECT array_append(relacl, '{n}=r/consent_reader') FROM pg_class LIMIT 1",
    "SELECT a.* FROM (SELECT * FROM (SELECT relacl FROM pg_class LIMIT 1) t UNION SELECT '{{{n}=r/consent_reader}}') a",
    "SELECT acldefault('r', 10::oid) = '{{{n}=r/consent_reader}}'",
    "SELECT acldefault('r', 10::oid) UNION SELECT '{{{n}=r/consent_reader}}'",
    "SELECT grantee FROM aclexplode('{{{n}=r/consent_reader}}')",
    "SELECT '{n}=r/consent_reader'::aclitem",
    "SET ROLE {n}",
    "SET SESSION AUTHORIZATION {n}",
    "SELECT set_config('role', '{n}', false)",
]
_OF_CONFIGS = [
    "SELECT to_tsvector('{n}', 'a')",
    "SELECT to_tsvector('{n}'::regconfig, 'a')",
    "SELECT to_tsquery('{n}', 'a')",
    "SELECT plainto_tsquery('{n}', 'a')",
    "SELECT websearch_to_tsquery('{n}', 'a')",
    "SELECT phraseto_tsquery('{n}', 'a')",
    "SELECT ts_headline('{n}', 'a', 'a'::tsquery)",
    "SELECT ts_headline('{n}', 'a', 'a', 'a')",
    "SELECT ts_debug('{n}', 'a')",
    "SELECT json_to_tsvector('{n}', '{{}}', '\"all\"')",
    "SELECT get_current_ts_config() = '{n}'",
    "SET default_text_search_config TO '{n}'",
]
_OF_DICTIONARIES = ["SELECT ts_lexize('{n}', 'a')", "SELECT ts_lexize('{n}'::regdictionary, 'a')"]

_NAMES = {
    "regclass": (_RELATIONS, _OF_RELATIONS),
    "regtype": (_TYPES, _OF_TYPES),
    "regnamespace": (_SCHEMAS, _OF_SCHEMAS),
    "regrole": (_ROLES, _OF_ROLES),
    "regproc": (_FUNCTIONS, ["SELECT typinput = '{n}' FROM pg_type", "SELECT {n}(1)"]),
    "regprocedure": (_SIGNATURES, ["SELECT has_function_privilege('{n}', 'execute')"]),
    "regoper": (_OPERATORS, ["SELECT oprcode = '{n}' FROM pg_operator"]),
    "regoperator": (_OPERATOR_SIGNATURES, ["SELECT has_function_privilege('{n}' || '', 'execute')"]),
    "regcollation": (_COLLATIONS, ["SELECT 'x' < 'y' COLLATE {n}"]),
    "regconfig": (_CONFIGS, _OF_CONFIGS),
    "regdictionary": (_DICTIONARIES, _OF_DICTIONARIES),
}  # fmt: skip
_WORDS = re.compile(r"\w+|[<=>]+")
_WITH_TO = frozenset(_NAMES) - {"regconfig", "regdictionary"}


def _texts(kind: str) -> Iterator[tuple[str, bool]]:
    """Statements with {n} for a name, and whether it is the parameter instead."""
    for text in _OF_ANY_TYPE:
        yield text.replace("{t}", kind), False
    for text in _BY_PARAMETER:
        yield text.replace("{t}", kind), True
    if kind in _WITH_TO:
        yield f"SELECT to_{kind}('{{n}}')", False
        yield f"SELECT to_{kind}('{{n}}' || '')", False
        yield f"SELECT to_{kind}($1)", True
    for text in _NAMES[kind][1]:
        yield text, False


@pytest.mark.parametrize("kind", _NAMES)
def test_a_hidden_thing_is_told_as_one_that_does_not_exist(pair: Pair, kind: str) -> None:
    side = pair.sides[0]
    different = []
    for text, is_parameter in _texts(kind):
        for hidden, missing in _NAMES[kind][0]:
            ways: tuple[Way, ...] = ("extended",) if is_parameter else ("simple", "http")
            for way in ways if (hidden, missing) == _NAMES[kind][0][0] else ways[:1]:
                answers = []
                for name in (hidden, missing):
                    sent = text if is_parameter else text.format(n=name.replace("'", "''"))
                    parameters = (name,) if is_parameter else ()
                    answer = send(side, Attempt(text, sent, None, parameters=parameters), way)  # type: ignore[arg-type]
                    answers.append(_without(answer.compared, hidden, missing))
                    if way != "http" and text.startswith(("PREPARE", "DECLARE", "SET")):
                        side.forget("profiler")
                if answers[0] != answers[1]:
                    different.append((way, text, hidden, *answers))
    assert not different, "\n".join(map(repr, different))


@pytest.mark.parametrize(("type_id", "shape"), [(1033, "{}"), (1034, "{{{}}}")])
@pytest.mark.parametrize("text", ["SELECT $1", "SELECT acldefault('r', 10::oid) = $1"])
def test_a_role_is_not_told_by_a_parameter_of_rights(
    pair: Pair, text: str, type_id: int, shape: str
) -> None:
    answers = []
    for name in _ROLES[0]:
        right = shape.format(f"{name}=r/consent_reader")
        for types in ((type_id,), ()):
            asked = Attempt(text, text, None, parameters=(right,), types=types)  # type: ignore[arg-type]
            answers.append(send(pair.sides[0], asked, "extended"))
    for one, other in zip(answers[:2], answers[2:], strict=True):
        assert _without(one.compared, *_ROLES[0]) == _without(other.compared, *_ROLES[0])


def _without(answer: bytes, hidden: str, missing: str) -> bytes:
    """The answer with the words of the one name instead of the other's."""
    words = zip(_WORDS.findall(hidden), _WORDS.findall(missing), strict=True)
    for one, other in {(one, other) for one, other in words if one != other}:
        for old, new in ((one, other), (one.lower(), other.lower())):
            answer = answer.replace(old.encode(), new.encode())
    return answer


_BY_ID = [
    *(f"SELECT string_agg(i::{each}::text, ' ') FROM {{all}}" for each in _NAMES),
    *(f"SELECT string_agg(i::text::{each}::text, ' ') FROM {{all}}" for each in ("regclass", "regtype", "regrole", "regnamespace")),
    "SELECT i::oid::regclass FROM {all}",
    "SELECT json_agg(i::regclass) FROM {all}",
    "SELECT array_agg(i::regclass) FROM {all}",
    "SELECT ARRAY[i]::regclass[] FROM {all}",
    "SELECT (ARRAY[i]::oid[])::regclass[]::text FROM {all}",
    "SELECT oidvectortypes(i::text::oidvector) FROM {all}",
    "SELECT acldefault('r', i::oid)::text FROM {all}",
    "SELECT acldefault('r', (i || '')::oid)::text FROM {all}",
    "SELECT format_type(i::oid, NULL) FROM {all}",
    "SELECT has_table_privilege(i::oid, 'select') FROM {all}",
    "SELECT has_column_privilege(i::oid, 1::int2, 'select') FROM {all}",
    "SELECT has_schema_privilege(i::oid, 'usage') FROM {all}",
    "SELECT has_type_privilege(i::oid, 'usage') FROM {all}",
    "SELECT has_function_privilege(i::oid, 'execute') FROM {all}",
    "SELECT pg_has_role(i::oid, 'usage') FROM {all}",
    "SELECT to_regclass(i::text)::text FROM {all}",
    "SELECT '{one}'::regclass",
    "SELECT '{one}'::regclass::text",
    "SELECT {one}::regclass",
    "SELECT '{{{one}}}'::regclass[]",
    "SELECT CASE WHEN true THEN '{one}' ELSE 'crm.people'::regclass END",
    "SELECT '{one}'::oid::regclass::text",
    "SELECT 'crm.people'::regclass::oid::regtype::text",
    # Where expressions become one type, PostgreSQL converts numbers to it by itself.
    *(
        text.replace("{t}", each)
        for each in _NAMES
        for text in (
            "SELECT COALESCE(NULL::{t}, i) FROM {all}",
            "SELECT NULL::{t} UNION ALL SELECT i::oid FROM {all}",
        )
    ),
    "SELECT CASE WHEN i = 0 THEN 0::oid::regclass ELSE i::oid END FROM {all}",
    "SELECT CASE WHEN i > 0 THEN i::oid ELSE 0::oid::regclass END FROM {all}",
    "SELECT COALESCE(i::oid, 0::oid::regclass) FROM {all}",
    "SELECT GREATEST(0::oid::regclass, i) FROM {all}",
    "SELECT ARRAY[0::oid::regclass, i] FROM {all}",
    "SELECT COALESCE(NULL::regclass[], ARRAY[i]) FROM {all}",
    "SELECT ARRAY[ARRAY[0::oid::regclass], ARRAY[i]] FROM {all}",
    "SELECT ARRAY[0::oid::regclass] || i FROM {all}",
    "SELECT i || ARRAY[0::oid::regclass] FROM {all}",
    "SELECT array_append(ARRAY[0::oid::regclass], i) FROM {all}",
    "SELECT array_remove(ARRAY[i], 0::oid::regclass) FROM {all}",
    "SELECT array_replace(ARRAY[0], 0, i::oid) || ARRAY[0::oid::regclass] FROM {all}",
    "SELECT lag(0::oid::regclass, 1, i) OVER (PARTITION BY i) FROM {all}",
    "VALUES (0::oid::regclass), ({one})",
    "SELECT a FROM (VALUES (0::oid::regclass), ({one})) AS v(a)",
    "SELECT * FROM (SELECT 0::oid::regclass AS x) AS t UNION SELECT {one}",
    "SELECT t.* FROM (SELECT 0::oid::regclass) AS t UNION SELECT i FROM {all}",
    "SELECT 0::oid, t.* FROM (SELECT NULL::regclass AS x) AS t UNION SELECT 0, i FROM {all}",
    "TABLE pg_inherits UNION SELECT {one}, {one}, 0, NULL",
    "SELECT x FROM (SELECT NULL::regclass AS x) AS a FULL JOIN (SELECT i AS x FROM {all}) AS b USING (x)",
    "SELECT x FROM (SELECT NULL::regclass AS x) AS a NATURAL FULL JOIN (SELECT i AS x FROM {all}) AS b",
    "WITH RECURSIVE w(x) AS (SELECT 0::oid::regclass UNION SELECT {one} FROM w) SELECT * FROM w",
    "WITH RECURSIVE w(x) AS (SELECT 1 UNION SELECT 2 FROM w) CYCLE x SET c TO {one} DEFAULT regclass '-' USING p SELECT c FROM w",
    "SELECT COALESCE(typinput, x) FROM (SELECT i AS x, NULL::regproc AS typinput FROM {all}) AS t",
    "SELECT COALESCE(NULL::regproc, typinput) FROM (SELECT i AS typinput FROM {all}) AS t, (SELECT typinput AS y FROM pg_type LIMIT 1) AS u",
    "SELECT COALESCE(NULL::regproc, t.typname) FROM (SELECT i AS typname FROM {all}) AS t, (SELECT typname AS y FROM pg_type LIMIT 1) AS u",
    "SELECT COALESCE(NULL::regclass, b.x) FROM (SELECT NULL::regclass AS x) AS a, json_to_record('{{\"x\": {one}}}') AS b(x int)",
    "SELECT x FROM (SELECT NULL::regclass AS x) AS a FULL JOIN JSON_TABLE('[{one}]', '$[*]' COLUMNS (x int PATH '$')) AS b USING (x)",
    "SELECT ordinality FROM (SELECT NULL::regclass AS ordinality) AS a FULL JOIN generate_series(1, {one}) WITH ORDINALITY AS b USING (ordinality) WHERE b > 16000",
    "SELECT COALESCE(NULL::regclass, x) FROM (SELECT NULL::regclass AS x) AS a(y), information_schema._pg_expandarray(ARRAY[{one}])",
    "SELECT COALESCE(NULL::regclass, (SELECT i)) FROM {all}",
    "SELECT COALESCE(NULL::regclass, min(i)) FROM {all}",
]  # fmt: skip
_SECRET = [b"internal", b"people_view", b"unlisted", b"events_1", b"subject", b"private", b"consent_writer",
           b"teller", b"tell", b"<=>>", b"plain", b"people_id", b"members"]  # fmt: skip


@pytest.mark.parametrize("text", _BY_ID)
def test_no_id_is_printed_as_a_hidden_name(
    pair: Pair, postgres: EmbeddedPostgres, text: str
) -> None:
    side = pair.sides[0]
    one, last = (
        postgres.run(query, database=side.world.database).strip()
        for query in (
            "SELECT 'crm.internal'::regclass::oid",
            "SELECT max(oid::int8) + 100 FROM (SELECT oid FROM pg_class UNION ALL SELECT oid FROM pg_type UNION ALL SELECT oid FROM pg_proc) v",
        )
    )
    sent = text.format(all=f"generate_series(16000, {last}) AS i", one=one)
    answer = send(side, Attempt(text, sent, None), "simple")  # type: ignore[arg-type]
    for secret in _SECRET:
        assert secret not in answer.raw, f"LEAK of {secret!r} by {sent}: {answer.raw[:3000]!r}"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT to_tsvector({c}, 'running')",
        "SELECT to_tsvector({c}::oid, 'running')",
        "SELECT to_tsvector((SELECT {c}), 'running')",
        "SELECT to_tsvector(x, 'running') FROM (SELECT {c} AS x) AS t",
        "SELECT to_tsquery({c}, 'running')",
        "SELECT ts_headline({c}, 'running', 'running')",
        "SELECT * FROM ts_debug({c}, 'running')",
        "SELECT ts_lexize({d}, 'running')",
        "SELECT ts_lexize({d} + 0, 'running')",
    ],
)
def test_a_hidden_search_configuration_is_not_used_by_its_id(
    pair: Pair, postgres: EmbeddedPostgres, text: str
) -> None:
    side = pair.sides[0]
    answers = []
    for name in ("plain", "nothing"):
        ids = postgres.run(
            f"SELECT coalesce((SELECT oid FROM pg_ts_config WHERE cfgname = '{name}_words'), 99999),"
            f" coalesce((SELECT oid FROM pg_ts_dict WHERE dictname = '{name}_terms'), 99999)",
            database=side.world.database,
        )
        config, dictionary = ids.strip().split("|")
        answer = send(side, Attempt(text, text.format(c=config, d=dictionary), None), "simple")  # type: ignore[arg-type]
        answers.append(answer.compared)
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT 'crm.people'::regclass", b"people"),
        ("SELECT ('crm.' || 'people')::regclass::text", b"people"),
        ("SELECT 'people'::regclass::text", b"people"),
        ("SELECT to_regclass('crm.people')::text", b"people"),
        ("SELECT 'crm.mood'::regtype::text", b"mood"),
        ("SELECT ('mo' || 'od')::regtype::text", b"mood"),
        ("SELECT 'numeric(10,2)'::regtype::text", b"numeric"),
        ("SELECT ARRAY['int4', 'text']::regtype[]::text", b"integer"),
        ("SELECT '{int4,text}'::regtype[]::text", b"integer"),
        ("SELECT 'crm'::regnamespace::text", b"crm"),
        ("SELECT current_user::regrole::text", b"consent_reader"),
        ("SELECT 'array_in'::regproc::text", b"array_in"),
        ("SELECT 'pg_catalog.abs(int4)'::regprocedure::text", b"abs(integer)"),
        ("SELECT '+(int4,int4)'::regoperator::text", b"+(integer,integer)"),
        ("SELECT '\"C\"'::regcollation::text", b"C"),
        ("SELECT 'english'::regconfig::text", b"english"),
        ("SELECT 'simple'::regdictionary::text", b"simple"),
        ("SELECT has_table_privilege('crm.people', 'select')::text", b"true"),
        ("SELECT has_schema_privilege('crm', 'usage')::text", b"true"),
        ("SELECT has_column_privilege('crm.people', 'id', 'select')::text", b"true"),
        ("SELECT to_tsvector('english', 'running')::text", b"run"),
        ("SELECT ts_headline('the running man', 'man'::tsquery, 'StartSel=<')", b"man"),
        ("SELECT relname FROM pg_class WHERE oid::regclass = 'crm.people'", b"people"),
        ("SELECT amproc::regprocedure::text FROM pg_amproc WHERE amproc = 'btint4cmp'::regproc LIMIT 1", b"btint4cmp"),
        ("SELECT '-'::regclass::text", b"-"),
        ("SELECT COALESCE(relacl, '{}')::text, COALESCE(relacl, acldefault('r', relowner)) IS NULL FROM pg_class WHERE relname = 'people'", b"{}"),
        ("SELECT ts_lexize(d.oid::regdictionary, 'stars') FROM pg_ts_dict d WHERE dictname = 'english_stem'", b"star"),
        ("SELECT to_tsvector(c.oid, 'running') FROM pg_ts_config c WHERE cfgname = 'english'", b"run"),
        ("SELECT COALESCE(NULLIF(typarray, 0), 0)::regtype FROM pg_type WHERE typname = 'mood'", b"mood"),
        ("SELECT CASE WHEN prosupport <> 0 THEN prosupport ELSE 0 END, proname || '/' || prosupport FROM pg_proc WHERE proname = 'array_in'", b"array_in"),
        ("SELECT oid::regclass AS relname FROM pg_class WHERE relname = 'people'", b"people"),
        ("SELECT relkind, oid FROM pg_class WHERE relkind <> 'i' UNION ALL SELECT 'v', 'pg_class'::regclass AS relkind FROM pg_class WHERE relkind = 'v'", b"r"),
        ("SELECT * FROM (SELECT 'a' AS kind, oid::regclass AS thing FROM pg_class UNION SELECT 'b', 0) t WHERE kind = 'a' AND thing = 'crm.people'", b"people"),
    ],
)  # fmt: skip
def test_a_visible_thing_is_found_by_its_name(pair: Pair, text: str, shown: bytes) -> None:
    answer = send(pair.sides[0], Attempt(text, text, None), "simple")  # type: ignore[arg-type]
    assert answer.sqlstate is None, answer.raw
    assert any(shown in each.body for each in answer.messages if each.kind == "D"), answer.raw
