"""Writes: none is answered, whatever it would have told."""

# ruff: noqa: E501 - an attempt is one line of a table

from __future__ import annotations

import pytest

from tests.bypass.attempts import KIND, SYNTAX, UNCLEAR, Anything, Attempt, try_in_both
from tests.bypass.worlds import Pair

_ALL = [
    "UPDATE crm.people SET age = -1 WHERE id = 7",
    "UPDATE crm.people SET age = age WHERE id = 7 RETURNING email",
    "UPDATE crm.people p SET age = 1 FROM crm.internal i WHERE i.id = p.id RETURNING i.secret",
    "DELETE FROM crm.people WHERE id = 7 RETURNING *",
    "INSERT INTO crm.people (id, country) VALUES (7, 'x')",
    "INSERT INTO crm.people (id, country) VALUES (7, 'x') ON CONFLICT (id) DO UPDATE SET age = 1 RETURNING email",
    "INSERT INTO crm.people (id, country) VALUES (7, 'x') ON CONFLICT DO NOTHING RETURNING id",
    "INSERT INTO crm.loose SELECT id, email FROM crm.people",
    "MERGE INTO crm.people p USING ref.shops s ON p.id = s.id WHEN MATCHED THEN UPDATE SET age = 1 RETURNING p.email",
    "TRUNCATE crm.people",
    "CREATE TABLE crm.mine AS SELECT * FROM crm.people",
    "CREATE TEMP TABLE people AS SELECT 1 AS id",
    "CREATE TEMP VIEW people AS SELECT * FROM crm.people",
    "CREATE TABLE crm.mine (a int)",
    "CREATE MATERIALIZED VIEW crm.mine AS SELECT * FROM crm.people",
    "REFRESH MATERIALIZED VIEW crm.people_copy",
    "CREATE FUNCTION crm.mine() RETURNS text LANGUAGE sql AS 'SELECT email FROM crm.people'",
    "CREATE OPERATOR crm.= (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
    "CREATE CAST (text AS int) WITH INOUT",
    "CREATE RULE mine AS ON SELECT TO crm.people DO INSTEAD SELECT * FROM crm.internal",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION dblink",
    "CREATE ROLE mine SUPERUSER",
    "CREATE TRIGGER mine AFTER INSERT ON crm.people EXECUTE FUNCTION crm.tell_nothing()",
    "CREATE POLICY mine ON crm.people USING (true)",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    "ALTER TABLE crm.people RENAME TO gone",
    "ALTER TABLE crm.people DISABLE ROW LEVEL SECURITY",
    "ALTER ROLE consent_reader SET search_path = private",
    "ALTER SYSTEM SET log_statement = 'all'",
    "ALTER DATABASE postgres SET search_path = private",
    "DROP TABLE crm.people",
    "DROP VIEW crm.adults",
    "DROP OWNED BY CURRENT_USER",
    "REASSIGN OWNED BY CURRENT_USER TO postgres",
    "GRANT SELECT ON crm.people TO PUBLIC",
    "REVOKE ALL ON crm.people FROM PUBLIC",
    "COMMENT ON TABLE crm.people IS 'x'",
    "SECURITY LABEL ON TABLE crm.people IS 'x'",
    "VACUUM crm.people",
    "ANALYZE crm.people",
    "CLUSTER crm.people",
    "REINDEX TABLE crm.people",
    "CHECKPOINT",
    "LOAD 'auto_explain'",
    "LOCK TABLE crm.people IN SHARE MODE",
    "LISTEN x",
    "NOTIFY x, 'y'",
    "DO $$ BEGIN RAISE NOTICE '%', (SELECT email FROM crm.people WHERE id = 7); END $$",
    "CALL crm.tell(7)",
    "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO crm",
    "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'",
    "ROLLBACK PREPARED 'x'",
    "SELECT email INTO crm.mine FROM crm.people",
    "SELECT email INTO TEMP mine FROM crm.people",
    "EXPLAIN ANALYZE DELETE FROM crm.people",
    "EXPLAIN UPDATE crm.people SET age = 1",
    "EXPLAIN CREATE TABLE mine AS SELECT * FROM crm.people",
    "PREPARE x AS UPDATE crm.people SET age = 1 RETURNING email",
    "PREPARE x AS DELETE FROM crm.people",
    "DECLARE c CURSOR FOR DELETE FROM crm.people RETURNING email",
    "COPY crm.people FROM STDIN",
    "COPY (DELETE FROM crm.people RETURNING email) TO STDOUT",
    "COPY (SELECT email INTO mine FROM crm.people) TO STDOUT",
    "INSERT INTO consent.event (subject_id) VALUES (7)",
    "UPDATE consent.subject SET profile = 'infinity'",
    "DELETE FROM consent.event",
    "CREATE STATISTICS crm.mine ON id, email FROM crm.people",
    "DROP STATISTICS crm.people_both",
]  # fmt: skip

ATTEMPTS = [
    *(
        Attempt(sql, sql, SYNTAX if sql.startswith("DECLARE") else KIND, ways=("simple", "extended", "http"))
        for sql in _ALL
    ),
    *(
        Attempt(f"in a CTE: {sql}", f"WITH x AS ({sql}) SELECT * FROM x", UNCLEAR)
        for sql in _ALL
        if "RETURNING" in sql and sql.split()[0] in ("UPDATE", "DELETE", "INSERT", "MERGE")
    ),
    Attempt("a write in a block", "UPDATE crm.people SET age = 1", KIND, before=("BEGIN READ WRITE",), ways=("simple",)),
    Attempt("a write in a session that says read write", "DELETE FROM crm.people", KIND, before=("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",), ways=("simple",)),
    Attempt("large objects", "SELECT lo_create(0)", Anything()),
]  # fmt: skip


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_nothing_is_written_and_nothing_is_told_by_writing(pair: Pair, attempt: Attempt) -> None:
    try_in_both(pair, attempt)
