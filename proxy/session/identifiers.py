"""Quoting for the few texts that the session itself sends."""

from __future__ import annotations


def quote_literal(text: str) -> str:
    """A string constant; standard_conforming_strings is always on upstream."""
    return "'" + text.replace("'", "''") + "'"


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
