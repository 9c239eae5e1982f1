"""What becomes of a statement, what is masked in it, and why for a person."""

from __future__ import annotations

import json

from tests.cli.conftest import Place

CAMPAIGN = ("--as", "mailer", "--for", "email_campaign")


def test_the_rewritten_statement_and_each_column_are_shown(place: Place) -> None:
    told = place.run("explain", *CAMPAIGN, "select id, email, phone from crm.customers").stdout
    assert "email_campaign" in told
    assert "crm.customers.email" in told
    assert "guarded" in told
    assert "only rows of people for whom email_campaign is in force" in told


def test_a_purpose_that_is_not_said_is_the_tools_default(place: Place) -> None:
    sql = "select email from crm.customers"
    (each,) = json.loads(place.invoke("explain", "--as", "mailer", sql, "--json").stdout)
    assert each["purpose"] == "email_campaign"
    assert each["tables"][0]["columns"][0]["verdict"] == "guarded"


def test_a_join_is_explained(place: Place) -> None:
    sql = (
        "select c.email, v.model, s.work from crm.customers c join crm.vehicles v"
        " on v.customer_id = c.id join crm.service_visits s on s.vehicle_id = v.id"
    )
    place.invoke("explain", "--as", "mailer", "--for", "service_reminder", sql)


def test_a_refused_statement_is_a_no_with_its_reason(place: Place) -> None:
    told = place.run("explain", *CAMPAIGN, "select * from crm.secrets", exit_code=1).stdout
    assert "table_not_in_policy" in told
    told = place.invoke("explain", *CAMPAIGN, "drop table crm.customers", exit_code=1).stdout
    assert "statement_kind" in told


def test_why_for_one_person(place: Place) -> None:
    sql = "select email, full_name, phone from crm.customers"
    for_person = ("explain", *CAMPAIGN, sql, "--subject", "1", "--json")
    (before,) = json.loads(place.invoke(*for_person).stdout)
    assert before["in_force"] is False
    assert "nothing is recorded" in before["because"]
    place.invoke("consent", "record", "--subject", "1", "--purpose", "email_campaign")
    (after,) = json.loads(place.invoke(*for_person).stdout)
    assert after["in_force"] is True
    assert {each["for_person"] for each in before["tables"][0]["columns"]} == {"no row"}
    columns = {each["column"]: each["for_person"] for each in after["tables"][0]["columns"]}
    assert columns["email"] == "value"
    assert columns["phone"] == "mask pseudonym"
    text = place.invoke("explain", *CAMPAIGN, sql, "--subject", "1").stdout
    assert "is in force for this person" in text


def test_a_sensitive_column_needs_its_own_grant(place: Place) -> None:
    place.invoke("consent", "record", "--subject", "1", "--purpose", "personalisation")
    sql = "select expecting_score from crm.customers"
    told = place.invoke("explain", "--as", "site", sql, "--subject", "1").stdout
    assert "no grant names user.inferred.life_event" in told


def test_a_file_of_statements_is_summed_up(place: Place) -> None:
    file = place.folder / "statements.sql"
    file.write_text(
        "select 1; -- a comment; with a semicolon\n"
        "select email from crm.customers where full_name = ';';\n"
        "select * from nowhere.at_all;\n"
        "delete from crm.customers"
    )
    told = json.loads(
        place.invoke("explain", *CAMPAIGN, "--file", str(file), "--json", exit_code=1).stdout
    )
    assert (told["statements"], told["answered"], told["masked"]) == (4, 2, 1)
    assert told["refused"] == {"table_not_in_policy": 1, "statement_kind": 1}
    text = place.invoke("explain", *CAMPAIGN, "--file", str(file), exit_code=1).stdout
    assert "2 (50.0%)" in text


def test_mistakes_in_the_question_are_misuse_or_refused(place: Place) -> None:
    assert (
        "no tool nobody"
        in place.invoke("explain", "--as", "nobody", "select 1", exit_code=2).stderr
    )
    place.invoke("explain", "select 1", exit_code=2)
    place.invoke("explain", *CAMPAIGN, exit_code=2)
    wrong = place.invoke(
        "explain", "--as", "mailer", "--for", "measurement", "select 1", exit_code=1
    )
    assert "purpose_not_allowed" in wrong.stderr


def test_row_rules_are_told(place: Place) -> None:
    told = place.invoke("explain", "--as", "site", "select url from web.page_views").stdout
    assert "only rows whose source is first_party_form or dealer_site" in told
    assert "no rows older than 90d by viewed_at" in told
    assert "no rows younger than 1d by viewed_at" in told
