"""Names and texts as parts of the statements that `init` runs and prints."""

from __future__ import annotations

import secrets

from proxy.policy.model import RelationName


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def relation_sql(name: RelationName) -> str:
    return f"{quoted(name.schema)}.{quoted(name.name)}"


def block(body: str) -> str:
    """Statements of plpgsql, run at once."""
    tag = tag_around(body)
    return f"DO {tag} BEGIN\n{body}\nEND {tag}"


def tag_around(body: str) -> str:
    """A dollar-quote for a body that holds names from files: no name may end it."""
    tag = "$consent$"
    while tag in body:
        tag = f"$consent_{secrets.token_hex(4)}$"
    return tag
