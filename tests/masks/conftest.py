from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from proxy.consent import schema_sql
from tests.masks.upstream import Upstream


@pytest.fixture(scope="session")
def upstream(make_database: Callable[..., str]) -> Iterator[Upstream]:
    """An empty database with the ledger's pseudonym functions in it."""
    tables = [s for s in schema_sql.TABLES if "consent.pseudonym_key (" in s]
    script = ["CREATE SCHEMA consent", *tables, schema_sql.KEY_MADE, *schema_sql.PSEUDONYMS]
    upstream = Upstream(make_database(script=";\n".join(script)))
    yield upstream
    upstream.close()
