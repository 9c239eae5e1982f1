"""Makes docs/reference/errors.md from the tables: `python -m tests.errors.page` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.session.errors import (
    CLASSES,
    FIELDS,
    SERVER_STATES,
    WITHHELD,
    WITHHELD_STATE,
    Words,
)

PAGE: Final = Path(__file__).parents[2] / "docs/reference/errors.md"

_ABOUT: Final = f"""# What errors tell

An error of PostgreSQL reaches a tool with what speaks of the tool's own statement, and of values
that the tool may see. It tells no value beyond that, and not whether a person exists: who is hidden
is answered as who is not there. (This page is made from the tables in `proxy/session/errors.py`;
`tests/errors` holds it to them, and them to a real PostgreSQL.)

A mistake is told as PostgreSQL tells it: SQLSTATE, message and position are those of the database
itself, for a corpus of mistaken statements over a policy that hides nothing
(`tests/errors/mistakes.py`). What is not there for a tool, a relation, column, function or type, is
told as one that does not exist, whether or not the database has it. Two things differ: `EXPLAIN`
does not look for columns, and a relation behind an alias is "missing", not an "invalid reference".

## Positions

PostgreSQL reads a text that is not the tool's: guards stand in it. A position is given where it
points at something of the tool's own, found by walking the two parse trees side by side; it counts
characters of the tool's text from 1, so that psql draws its caret in the right place. In texts of
more than 16,384 characters it is left out.

## Code of the database's own

A view, a foreign table, a virtual generated column, row security and a function that the policy
names run before a guard or beside it. They can fail on a value that the tool may not see, and quote
it, even in the SQLSTATE. What they raise is one and the same error, whatever it was:
`{WITHHELD_STATE}`, "{WITHHELD}"; their notices are not passed on. The operator finds the message in
PostgreSQL's own log. That such a statement fails at all can still depend on hidden rows: do not
list a view that can fail. Mistakes that PostgreSQL finds before anything runs are told as ever. So
are, with the name of their class for a message, {{states}}.

Everything below is about statements without such code.

## Fields

| code | field | passes | why |
|---|---|---|---|
"""

_CLASSES: Final = """
## Classes of SQLSTATEs

Of a notice whose message would not pass, nothing does. Over HTTP the rules are the same;
`message`, `hint` and `position` are there, a detail is not.

| SQLSTATE | class | passes | why |
|---|---|---|---|
"""

_END: Final = """
What is in no class of this table is taken for an internal error. Errors of class 22 quote values:
those that reached the tool's own expressions, as they are behind the guards. `tests/errors` sends
such statements, with secrets planted in what is hidden, by simple and extended queries, COPY,
cursors that fail at FETCH, COMMIT or Sync, prepared statements, portals, and HTTP.
"""


def page() -> str:
    return "".join(_parts())


def _parts() -> Iterator[str]:
    yield _ABOUT.replace("{states}", ", ".join(f"`{each}`" for each in sorted(SERVER_STATES)))
    for field in FIELDS:
        yield f"| {field.code} | {field.name} | {field.part.value} | {field.why} |\n"
    yield _CLASSES
    for each in CLASSES:
        words = "only the class's name" if each.words is Words.NAME else each.words.value
        yield f"| {each.code} | {each.name} | {words} | {each.why} |\n"
    yield _END


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
