"""Masks of dates show the same on every version, at the edges of what a date can be."""

from __future__ import annotations

import pytest

from proxy.policy.model import AgeBandMask, CutMask, Mask
from tests.masks.upstream import PLAIN, SETTINGS, Upstream
from tests.versions.servers import VERSIONS, Servers

DAYS = [
    *("4714-11-24 BC", "4714-12-31 BC", "0001-12-31 BC", "0001-01-01", "1900-02-28", "1999-12-31"),
    *("2000-02-29", "2024-02-29", "2023-12-31", "9999-12-31", "294277-01-02", "5874897-12-31"),
    *("infinity", "-infinity"),
]
MASKS: list[Mask] = [CutMask("year"), CutMask("month"), CutMask("week"), AgeBandMask(10)]


@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_masks_of_dates_show_the_same_on_every_version(servers: Servers, version: str) -> None:
    assert SETTINGS[0] == PLAIN
    shown = []
    for each in (version, VERSIONS[-1]):
        server = servers.of(each)
        server.run("CREATE DATABASE masked TEMPLATE template0")
        upstream = Upstream(server.url("masked"))
        date = upstream.column_type("date")
        shown.append([upstream.masked(mask, date, DAYS, settings=[0]) for mask in MASKS])
        upstream.close()
        server.run("DROP DATABASE masked")
    assert shown[0] == shown[1]
    assert shown[0][0][6:8] == ["2000-01-01", "2024-01-01"]
