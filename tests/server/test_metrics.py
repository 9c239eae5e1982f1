"""What a platform sees of both doors, and nothing of what anybody said."""

from __future__ import annotations

import psycopg
import pytest

from tests.server.place import Place


def test_both_doors_are_counted_by_tool_and_purpose(place: Place) -> None:
    token = (place.folder / "token-of-prometheus").read_text()
    with place.serving() as running, running.connect(application_name="secret name") as session:
        session.execute("SELECT id, 'secret literal' FROM crm.people")
        session.execute("SELECT id FROM crm.people")
        with pytest.raises(psycopg.errors.UndefinedTable):
            session.execute("SELECT * FROM crm.nothing")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(running.url(password="wrong"))
        status, page = running.get("/metrics", token=token)
        assert status == 200
        mine = 'door="postgres",purpose="newsletter",state="complete",tool="mailer"'
        rows = 'door="postgres",purpose="newsletter",tool="mailer"'
        expected = {
            f"consent_proxy_statements_total{{{mine}}}": 2,
            f"consent_proxy_rows_total{{{rows}}}": 6,
            'consent_proxy_refusals_total{door="postgres",reason="table_not_in_policy"}': 1,
            'consent_proxy_logins_total{door="postgres",result="ok"}': 1,
            'consent_proxy_logins_total{door="postgres",result="failed"}': 1,
            'consent_proxy_connections{door="postgres"}': 1,
            'consent_proxy_upstream_connections{state="leased"}': 1,
            'consent_proxy_plans_total{found="made"}': 3,
            "consent_proxy_ready": 1,
            "consent_proxy_access_log_sealed": 0,
        }
        assert {line: running.metric(line, token) for line in expected} == expected
        assert "secret name" not in page
        assert "secret literal" not in page
        assert running.get("/metrics")[0] == 401
        mailer = running.get("/metrics", token=(place.folder / "token-of-crm-form").read_text())
        assert mailer[0] == 403
