"""Parameters of a statement: from the JSON of a request to the text that Bind sends.

They stay parameters: the upstream reads each as a value of the type that it inferred, never as a
part of the statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from proxy.gateway.array_text import array_literal
from proxy.gateway.problem import Problem

_JSON_TYPES: Final = frozenset({114, 3802})  # json, jsonb
# Int16 of Bind (manual, "Message Formats"), read as unsigned by PostgreSQL.
PARAMETERS_MAX: Final = 65_535


def parameter_texts(values: Sequence[object], types: Sequence[int]) -> list[bytes | None]:
    """The values in text format. `types` are the oids that the upstream inferred.

    Raises Problem where a value has no text. A string is a value as PostgreSQL writes it.
    """
    return [
        _encoded(value, oid, number)
        for number, (value, oid) in enumerate(zip(values, types, strict=True), start=1)
    ]


def _encoded(value: object, oid: int, number: int) -> bytes | None:
    text = _text(value, oid, number)
    if text is None:
        return None
    if "\0" in text:
        raise _invalid(number, "PostgreSQL's text holds no NUL character")
    return text.encode()


def _text(value: object, oid: int, number: int) -> str | None:
    if isinstance(value, (list, dict)) and oid in _JSON_TYPES:
        return orjson.dumps(value).decode()
    if isinstance(value, list):
        return array_literal(value, lambda item: _scalar(item, number))
    return _scalar(value, number)


def _scalar(value: object, number: int) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return repr(value)
        case _:
            raise _invalid(number, "an object is a value of type json and jsonb only")


def _invalid(number: int, why: str) -> Problem:
    return Problem(400, "invalid_request", f"parameter ${number}: {why}")
