"""What a client chooses when it connects."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from tests.world import World


def test_a_setting_that_postgresql_does_not_take_is_told_in_its_own_words(mailer: str) -> None:
    with (
        psycopg.connect(mailer, options="-c TimeZone=Nowhere/Atlantis") as connection,
        pytest.raises(errors.InvalidParameterValue, match='"TimeZone": "Nowhere/Atlantis"'),
    ):
        connection.execute("SELECT 1")


def test_settings_of_the_start_hold_for_the_session(mailer: str) -> None:
    with psycopg.connect(mailer, options="-c TimeZone=Asia/Tokyo -c DateStyle=SQL") as connection:
        assert connection.info.parameter_status("TimeZone") == "Asia/Tokyo"
        row = connection.execute("SELECT '2025-01-01 00:00:00Z'::timestamptz::text").fetchone()
        assert row == ("01/01/2025 09:00:00 JST",)


def test_a_purpose_is_chosen_by_the_databases_name_or_by_an_option(world: World) -> None:
    text = "SELECT email FROM customers WHERE id = 1"
    for connection in (
        psycopg.connect(world.dsn("mailer", "bookkeeping")),
        psycopg.connect(world.dsn("mailer"), options="-c consent.purpose=bookkeeping"),
    ):
        with connection:
            assert connection.execute(text).fetchone() == ("p1@example.com",)
            assert connection.execute("SHOW consent.purpose").fetchone() == ("bookkeeping",)


@pytest.mark.parametrize("choice", ["email_campaign", "nothing"])
def test_a_purpose_of_somebody_else_can_not_be_chosen(world: World, choice: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="purpose"):
        psycopg.connect(world.dsn("teller", choice))
