"""The proxy that hides nothing, of the tests of errors: its real planner and PostgreSQL."""

from __future__ import annotations

from tests.errors.conftest import beside

__all__ = ["beside"]
