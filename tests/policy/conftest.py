"""Policies written for one test, and the catalog of a database made for one test."""

from __future__ import annotations

import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from proxy.policy.check import catalog_schemas
from proxy.policy.load import load_policy
from proxy.policy.model import Policy
from proxy.policy.problem import PolicyErrors, Problem
from proxy.sql.catalog import Catalog, load_catalog

WritePolicy = Callable[..., Path]
DEALERSHIP = Path(__file__).parents[2] / "policies" / "dealership"


@pytest.fixture
def write_policy(tmp_path: Path) -> WritePolicy:
    """Write files into a policy folder: `write_policy(text)` or `write_policy(**{"a": text})`."""

    def write(text: str = "", **files: str) -> Path:
        folder = tmp_path / "policy"
        folder.mkdir(exist_ok=True)
        if text:
            files["policy"] = text
        for name, content in files.items():
            (folder / f"{name}.yaml").write_text(textwrap.dedent(content), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def load(write_policy: WritePolicy) -> Callable[..., Policy]:
    """The policy of such files."""

    def load_files(text: str = "", **files: str) -> Policy:
        return load_policy(write_policy(text, **files))

    return load_files


@pytest.fixture
def problems_of(write_policy: WritePolicy) -> Callable[..., tuple[Problem, ...]]:
    """Every problem of such files; files without a problem fail the test."""

    def problems(text: str = "", **files: str) -> tuple[Problem, ...]:
        with pytest.raises(PolicyErrors) as caught:
            load_policy(write_policy(text, **files))
        return caught.value.problems

    return problems


@pytest.fixture
def dealership() -> Policy:
    return load_policy(DEALERSHIP)


@pytest.fixture
def catalog_of(
    make_database: Callable[..., str],
) -> Callable[[Policy, str], Awaitable[Catalog]]:
    """The catalog of a fresh database made by a script, as a policy needs it."""

    async def read(policy: Policy, script: str) -> Catalog:
        connection = await asyncpg.connect(make_database(script=script))
        try:
            return await load_catalog(connection, catalog_schemas(policy))
        finally:
            await connection.close()

    return read
