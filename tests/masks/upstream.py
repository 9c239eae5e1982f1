"""A real PostgreSQL that masks are tried on, under settings as different as tools can make them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg.pq import ExecStatus
from sqlglot import exp

from proxy.policy.model import Mask
from proxy.rewrite.masks import mask_expression, masked_type
from proxy.rewrite.masks_terms import cast_to
from proxy.sql.catalog import ColumnType

PLAIN: Final = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "search_path": "pg_catalog",
    "extra_float_digits": "1",
}

# Each differs from the first in whatever could change what an expression says. `evil` holds
# functions and operators that fit a mask's arguments better than pg_catalog's own.
SETTINGS: Final = (
    PLAIN,
    {
        "TimeZone": "Pacific/Kiritimati",
        "DateStyle": "German, DMY",
        "IntervalStyle": "sql_standard",
        "extra_float_digits": "-15",
        "bytea_output": "escape",
        "standard_conforming_strings": "off",
        "escape_string_warning": "off",
        "transform_null_equals": "on",
        "array_nulls": "off",
        "search_path": "evil",
    },
    {
        "TimeZone": "<X>-12:34",
        "DateStyle": "SQL, MDY",
        "IntervalStyle": "iso_8601",
        "timezone_abbreviations": "India",
        "backslash_quote": "off",
        "xmloption": "document",
        "lc_numeric": "C",
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",
        "search_path": "evil, pg_catalog",
    },
)

EVIL: Final = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.oops() RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'reached'; END $$;
CREATE FUNCTION evil.length(varchar) RETURNS int LANGUAGE sql AS 'SELECT evil.oops()';
CREATE FUNCTION evil.length(text) RETURNS int LANGUAGE sql AS 'SELECT evil.oops()';
CREATE FUNCTION evil.left(varchar, int) RETURNS text LANGUAGE sql AS 'SELECT evil.oops()::text';
CREATE FUNCTION evil.right(text, int) RETURNS text LANGUAGE sql AS 'SELECT evil.oops()::text';
CREATE FUNCTION evil.floor(numeric) RETURNS numeric LANGUAGE sql AS 'SELECT evil.oops()';
CREATE FUNCTION evil.mod(int8, int8) RETURNS int8 LANGUAGE sql AS 'SELECT evil.oops()';
CREATE FUNCTION evil.isfinite(date) RETURNS bool LANGUAGE sql AS 'SELECT evil.oops() = 1';
CREATE FUNCTION evil.minus(date, int) RETURNS date LANGUAGE sql AS
  'SELECT NULL::pg_catalog.date';
CREATE FUNCTION evil.minus(int, int) RETURNS int LANGUAGE sql AS 'SELECT evil.oops()';
CREATE FUNCTION evil.equal(int, int) RETURNS bool LANGUAGE sql AS 'SELECT evil.oops() IS NULL';
CREATE FUNCTION evil.join(varchar, text) RETURNS text LANGUAGE sql AS 'SELECT evil.oops()::text';
CREATE OPERATOR evil.- (FUNCTION = evil.minus, LEFTARG = date, RIGHTARG = int);
CREATE OPERATOR evil.- (FUNCTION = evil.minus, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR evil.|| (FUNCTION = evil.join, LEFTARG = varchar, RIGHTARG = text);
CREATE DOMAIN evil.numeric AS text CHECK (VALUE IS NULL);
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (VALUE IS NULL);
CREATE DOMAIN evil.date AS pg_catalog.text CHECK (VALUE IS NULL);
"""

COLUMN: Final = exp.column("c", table="t", quoted=True)
TOOL: Final = "mailer"
PURPOSE: Final = "email_campaign"

_COLUMN_TYPE: Final = """
SELECT t.oid, a.atttypmod, format_type(t.oid, a.atttypmod), n.nspname, t.typname, t.typtype,
       t.typcategory,
       CASE WHEN t.oid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod > 4
            THEN a.atttypmod - 4 END
  FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
  JOIN pg_namespace AS n ON n.oid = t.typnamespace
 WHERE a.attrelid = %s::regclass AND a.attnum > 0 ORDER BY a.attnum
"""


def text_of(expression: exp.Expr) -> str:
    """An expression as the guards print it."""
    return expression.sql(dialect="postgres", normalize_functions=False)


def masked(mask: Mask, column_type: ColumnType) -> str:
    """The masked value of `t.c` as a guard writes it: cast to exactly the type shown."""
    value = mask_expression(mask, COLUMN, column_type, tool=TOOL, purpose=PURPOSE)
    return text_of(cast_to(value, masked_type(mask, column_type)))


class Upstream:
    """One connection per entry of SETTINGS; the first is the plain one."""

    def __init__(self, url: str) -> None:
        self.connections = [psycopg.connect(url, autocommit=True) for _ in SETTINGS]
        self.plain = self.connections[0]
        self._types: dict[str, ColumnType] = {}
        self.plain.execute(EVIL)
        for connection, settings in zip(self.connections, SETTINGS, strict=True):
            for name, value in settings.items():
                connection.execute("SELECT pg_catalog.set_config(%s, %s, false)", (name, value))

    def close(self) -> None:
        for connection in self.connections:
            connection.close()

    def column_types(self, relation: str) -> tuple[ColumnType, ...]:
        return tuple(
            ColumnType(
                oid=row[0], typmod=row[1], sql=row[2], schema=row[3], base=row[4], kind=row[5],
                category=row[6], max_length=row[7],
            )
            for row in self.plain.execute(_COLUMN_TYPE, (relation,))
        )  # fmt: skip

    def column_type(self, sql: str) -> ColumnType:
        """The type of a column that was made with this text."""
        if sql not in self._types:
            self.plain.execute(f"CREATE TEMP TABLE one (c {sql})".encode())
            (self._types[sql],) = self.column_types("pg_temp.one")
            self.plain.execute("DROP TABLE one")
        return self._types[sql]

    def answer(
        self, sql: str, *parameters: str, settings: int = 0, binary: bool = False
    ) -> list[bytes | None]:
        """The first column of every row; AssertionError with the server's words if it fails."""
        result = self.connections[settings].pgconn.exec_params(
            sql.encode(), [p.encode() for p in parameters], result_format=int(binary)
        )
        assert result.status == ExecStatus.TUPLES_OK, f"{result.error_message.decode()}\n{sql}"
        return [result.get_value(row, 0) for row in range(result.ntuples)]

    def over(
        self,
        expression: str,
        column_type: ColumnType,
        values: Sequence[str | None],
        *,
        settings: int = 0,
        binary: bool = False,
    ) -> list[bytes | None]:
        """What an expression over `t.c` gives for each of the values, in their order."""
        value = text_of(cast_to(exp.column("v"), column_type))
        return self.answer(
            f"SELECT {expression} FROM (SELECT {value} AS c"
            " FROM pg_catalog.json_array_elements_text($1::pg_catalog.json)"
            " WITH ORDINALITY AS u (v, n) ORDER BY u.n OFFSET 0) AS t",
            json.dumps(list(values)),
            settings=settings,
            binary=binary,
        )

    def masked(
        self,
        mask: Mask,
        column_type: ColumnType,
        values: Sequence[str | None],
        settings: Sequence[int] = range(len(SETTINGS)),
    ) -> list[str | None]:
        """The masked values as text, after a check that they are the same under all settings."""
        expression = masked(mask, column_type)
        answers = [
            self.over(expression, column_type, values, settings=i, binary=True) for i in settings
        ]
        assert all(answer == answers[0] for answer in answers)
        texts = self.over(f"CAST({expression} AS pg_catalog.text)", column_type, values)
        return [None if text is None else text.decode() for text in texts]
