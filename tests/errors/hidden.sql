CREATE SCHEMA crm;
CREATE SCHEMA private;
CREATE DOMAIN private.short AS text CHECK (length(VALUE) < 3);

CREATE TABLE private.secrets (id integer, amount integer, secret text);
INSERT INTO private.secrets VALUES (1, 0, 'Sxqzvk-secret'), (2, 0, 'Sxqzvk-other');

CREATE TABLE crm.people (id integer PRIMARY KEY, name text, note text, hint text);
INSERT INTO crm.people VALUES
    (1, 'Ana', 'shown-1', '7'), (2, 'Ben', 'Sxqzvk-note2', 'Sxqzvk-hint2'),
    (3, 'Ben', 'Sxqzvk-note3', 'Sxqzvk-hint3');
CREATE TABLE crm.visits (id integer PRIMARY KEY, person_id integer, page text);
INSERT INTO crm.visits VALUES (10, 1, 'shown-page'), (20, 2, 'Sxqzvk-page'), (21, 2, 'Sxqzvk-page');

-- Each fails in its own way on what no tool may see.
CREATE FUNCTION private.complain(secret text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no: %', secret USING DETAIL = secret, HINT = secret, COLUMN = secret,
        CONSTRAINT = secret, DATATYPE = secret, TABLE = secret, SCHEMA = secret;
END $$;
CREATE FUNCTION private.complain_as(secret text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', secret USING ERRCODE = 'SXQZV';
END $$;
CREATE FUNCTION private.remark(secret text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '%', secret USING DETAIL = secret;
    RAISE WARNING '%', secret USING ERRCODE = '01000', HINT = secret;
    RETURN 1;
END $$;
CREATE VIEW crm.casts AS SELECT id, secret::integer AS n FROM private.secrets;
CREATE VIEW crm.divides AS SELECT id, length(secret) / amount AS n FROM private.secrets;
CREATE VIEW crm.checks AS SELECT id, length(secret::private.short) AS n FROM private.secrets;
CREATE VIEW crm.reads_json AS SELECT id, (secret::json ->> 'n')::integer AS n FROM private.secrets;
CREATE VIEW crm.raises AS SELECT id, private.complain(secret) AS n FROM private.secrets;
CREATE VIEW crm.raises_as_told AS SELECT id, private.complain_as(secret) AS n FROM private.secrets;
CREATE VIEW crm.notices AS SELECT id, private.remark(secret) AS n FROM private.secrets;
CREATE TABLE crm.generated (
    id integer, secret text, n integer GENERATED ALWAYS AS (length(secret) / 0) VIRTUAL);
INSERT INTO crm.generated (id, secret) SELECT id, secret FROM private.secrets;
CREATE TABLE crm.secured (id integer, n integer, secret text);
INSERT INTO crm.secured SELECT id, 1, secret FROM private.secrets;
ALTER TABLE crm.secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_secret ON crm.secured USING (secret::integer > 0);

-- Functions that the policy names.
CREATE FUNCTION crm.teller(who integer) RETURNS integer LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT secret::integer FROM private.secrets WHERE id = who);
END $$;
CREATE FUNCTION crm.asked(who integer) RETURNS integer LANGUAGE plpgsql STABLE AS $$
BEGIN
    RAISE EXCEPTION '%', (SELECT secret FROM private.secrets WHERE id = who)
        USING ERRCODE = (SELECT 'S' || upper(substr(secret, 2, 4)) FROM private.secrets WHERE id = who);
END $$;
