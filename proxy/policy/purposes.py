"""Categories, purposes, tools, functions and extensions, from their sections of the policy."""

from __future__ import annotations

import re
from typing import Final, Literal, cast

from proxy.policy import mask_text
from proxy.policy.folder import named
from proxy.policy.model import (
    Basis,
    Category,
    DropMask,
    FunctionName,
    Mask,
    Purpose,
    Read,
    RowRule,
    Tool,
)
from proxy.policy.names import parse_column, parse_name, refuse_reserved_schema
from proxy.policy.value import Value
from proxy.sql.lists.files import extension_names

# The characters of a fideslang key; the length keeps access records small.
_CATEGORY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
# A purpose stands after the @ of a database name and in SET; a tool is a PostgreSQL user name.
_PURPOSE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_TOOL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_CATEGORY_CHARACTERS_MAX: Final = 200

OPEN: Final = "open"

CATEGORY_KEYS: Final = ("mask", "sensitive")
PURPOSE_KEYS: Final = ("description", "basis", "data_use", "people", "exempt", "reads")
TOOL_KEYS: Final = ("purposes", "default")
PEOPLE: Final = ("all", "consented")
ROW_RULES: Final = ("source", "keep", "quiet")

# Names that PostgreSQL's grammar accepts for a type, and what format_type prints for them.
_TYPE_ALIASES: Final = {
    "bool": "boolean",
    "char": "character",
    "decimal": "numeric",
    "float4": "real",
    "float8": "double precision",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
    "varchar": "character varying",
}


_IDENTIFIER: Final = r'(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*|"(?:[^"\0]|"")+")'
# `timestamp with time zone`, `crm."Level"[]`, `"char"`: names, never SQL.
_TYPE: Final = re.compile(rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})?(?: [A-Za-z]+)*(?:\[\])?")


def parse_category(text: str) -> str:
    if text == OPEN or not _CATEGORY.fullmatch(text) or len(text) > _CATEGORY_CHARACTERS_MAX:
        raise ValueError(
            f"expected the key of a category, such as user.contact.email, found {text!r}"
        )
    return text


def parse_purpose(text: str) -> str:
    if not _PURPOSE.fullmatch(text):
        raise ValueError(
            f"expected a purpose's name (a letter, then letters, digits, _ or -), found {text!r}"
        )
    return text


def parse_tool(text: str) -> str:
    if not _TOOL.fullmatch(text):
        raise ValueError(
            f"expected a tool's name (letters, digits, _ . or -, at most 63), found {text!r}"
        )
    return text


def read_mask(value: Value) -> Mask | None:
    return value.parsed(mask_text.parse_mask, mask_text.EXPECTED)


def read_categories(entries: list[tuple[str, Value]]) -> dict[str, Category]:
    categories: dict[str, Category] = {}
    for name, value in named(entries, "categories", parse_category, str):
        keys = value.keys(CATEGORY_KEYS)
        if keys is None:
            continue
        mask = read_mask(keys["mask"]) if "mask" in keys else None
        sensitive = keys["sensitive"].flag() if "sensitive" in keys else False
        categories[name] = Category(name=name, mask=mask, is_sensitive=bool(sensitive))
    return categories


def read_purposes(entries: list[tuple[str, Value]]) -> dict[str, Purpose]:
    """Purposes that are whole; one with a mistake in it is reported and named all the same."""
    return {
        name: _purpose(name, value)
        for name, value in named(entries, "purposes", parse_purpose, str)
    }


def _purpose(name: str, value: Value) -> Purpose:
    keys = value.keys(PURPOSE_KEYS, required=("basis", "reads")) or {}
    basis = keys["basis"].one_of([basis.value for basis in Basis]) if "basis" in keys else None
    people = keys["people"].one_of(PEOPLE) if "people" in keys else "all"
    description = keys["description"].text() if "description" in keys else ""
    data_use = keys["data_use"].text() if "data_use" in keys else None
    exempt = _words(keys["exempt"], ROW_RULES) if "exempt" in keys else []
    return Purpose(
        name=name,
        description=description or "",
        basis=Basis(basis or Basis.CONSENT),
        data_use=data_use,
        people=cast(Literal["all", "consented"], people or "consented"),
        exempt=frozenset(cast(list[RowRule], exempt)),
        reads=_reads(keys["reads"]) if "reads" in keys else (),
    )


def _words(value: Value, allowed: tuple[str, ...]) -> list[str]:
    words: list[str] = []
    for item in value.items(f"expected a list of {', '.join(allowed)}") or []:
        word = item.one_of(allowed)
        if word in words:
            item.fail(f"{word} is listed twice")
        elif word is not None:
            words.append(word)
    return words


def _reads(value: Value) -> tuple[Read, ...]:
    reads: dict[str, Read] = {}
    for item in value.items("expected a list of categories") or []:
        read = _read(item)
        if read is None:
            continue
        if read.category in reads:
            item.fail(f"the category {read.category} is listed twice")
        item.at((*value.path, read.category))
        reads[read.category] = read
    return tuple(reads.values())


def _read(item: Value) -> Read | None:
    """`category`, or `category: mask`."""
    expected = "expected a category, or `category: mask`"
    if not item.is_mapping():
        category = item.parsed(parse_category, expected)
        return None if category is None else Read(category=category)
    entries = item.entries(expected) or []
    if len(entries) != 1:
        item.fail(expected)
        return None
    key, mask_value = entries[0]
    try:
        category = parse_category(key)
    except ValueError as error:
        item.fail(str(error))
        return None
    mask = read_mask(mask_value)
    if isinstance(mask, DropMask):
        mask_value.fail(
            'a purpose does not read what it drops: leave the category out, or use "null"'
        )
    return Read(category=category, mask=mask)


def read_tools(entries: list[tuple[str, Value]], purposes: dict[str, Purpose]) -> dict[str, Tool]:
    tools: dict[str, Tool] = {}
    for name, value in named(entries, "tools", parse_tool, str):
        keys = value.keys(TOOL_KEYS, required=("purposes",)) or {}
        chosen = _tool_purposes(keys["purposes"], purposes) if "purposes" in keys else []
        default = chosen[0] if len(chosen) == 1 else None
        if "default" in keys and (text := keys["default"].text("expected a purpose")) is not None:
            if text not in chosen:
                keys["default"].fail(f"expected one of the tool's own purposes, found {text!r}")
            default = text
        tools[name] = Tool(name=name, purposes=tuple(chosen), default=default)
    return tools


def _tool_purposes(value: Value, purposes: dict[str, Purpose]) -> list[str]:
    chosen: list[str] = []
    items = value.items("expected a list of purposes")
    for item in items or []:
        purpose = item.text("expected a purpose")
        if purpose is None:
            continue
        if purpose not in purposes:
            known = ", ".join(purposes) or "none"
            item.fail(f"there is no purpose {purpose!r}; declared are: {known}")
        elif purpose in chosen:
            item.fail(f"the purpose {purpose} is listed twice")
        chosen.append(purpose)
    if items == []:
        value.fail("expected at least one purpose")
    return chosen


def read_functions(value: Value | None) -> tuple[FunctionName, ...]:
    if value is None:
        return ()
    functions: dict[FunctionName, None] = {}
    for item in value.items("expected a list of functions written schema.name(types)") or []:
        function = item.parsed(parse_function, "expected a function written schema.name(types)")
        if function in functions:
            item.fail("the function is listed twice")
        elif function is not None:
            functions[function] = None
            item.at(("functions", str(function)))
    return tuple(functions)


def read_extensions(value: Value | None) -> dict[str, str]:
    """Names of reviewed extensions, each with the schema that it was put into."""
    if value is None:
        return {}
    known = extension_names()
    extensions: dict[str, str] = {}
    for name, item in value.entries("expected a mapping of extensions to their schemas") or []:
        schema = item.parsed(_extension_schema, "expected the schema of the extension")
        if name not in known:
            item.fail(
                f"there is no reviewed list of the extension {name}; there are: "
                f"{', '.join(sorted(known))}"
            )
        elif schema is not None:
            extensions[name] = schema
            item.at(("extensions", name))
    return extensions


def _extension_schema(text: str) -> str:
    schema = parse_column(text)
    refuse_reserved_schema(schema)
    return schema


def parse_function(text: str) -> FunctionName:
    """`schema.name(types)`, types as PostgreSQL prints them; common short names are understood."""
    name, opened, rest = text.strip().partition("(")
    if not opened or not rest.endswith(")") or "(" in rest:
        raise ValueError(f"expected schema.name(types), types without modifiers, found {text!r}")
    parts = parse_name(name.strip())
    if len(parts) != 2:
        raise ValueError(f"expected schema.name(types), found {text!r}")
    # What reads tables by name or runs SQL text is in pg_catalog; no policy switches it on.
    refuse_reserved_schema(parts[0])
    written = [" ".join(part.split()) for part in rest[:-1].split(",")]
    if written == [""]:
        written = []
    if not all(map(_TYPE.fullmatch, written)):
        # `init` writes them into a GRANT: nothing but names may stand there.
        raise ValueError(f"expected types between the commas, found {text!r}")
    return FunctionName(schema=parts[0], name=parts[1], arguments=tuple(map(_printed, written)))


def _printed(written: str) -> str:
    """The type as format_type prints it: `int[]` is `integer[]`."""
    element = written.removesuffix("[]")
    return _TYPE_ALIASES.get(element.lower(), element) + written[len(element) :]
