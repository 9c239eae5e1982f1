"""The format as JSON Schema, so that an editor completes keys and marks mistakes while typing.

It describes one file: any file may hold any of the sections. What spans files or keys (a tool's
purposes, the way of a subject) only `policy check` can say. The keys are those that the readers
accept; a test holds the two together.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.policy.mask_text import MASK_NAMES
from proxy.policy.model import Basis
from proxy.policy.purposes import CATEGORY_KEYS, PEOPLE, PURPOSE_KEYS, ROW_RULES, TOOL_KEYS
from proxy.policy.tables import (
    AGE_KEYS,
    COLUMN_KEYS,
    CONSENT_PLACES,
    SOURCE_KEYS,
    SUBJECT_KEYS,
    SUBJECTS_MAX,
    TABLE_KEYS,
)
from proxy.sql.lists.files import extension_names

JSON = dict[str, Any]

_IDENTIFIER: Final = r'([A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*|"([^"]|"")+")'
_CATEGORY: Final = r"^(?!open$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"
_PURPOSE: Final = "^[A-Za-z][A-Za-z0-9_-]{0,62}$"
_TOOL: Final = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$"
_PLAIN: Final = "|".join(name for name in MASK_NAMES if "(" not in name)
_NUMBERED: Final = "|".join(name.removesuffix("(n)") for name in MASK_NAMES if "(n)" in name)
_MASK: Final = rf"^({_PLAIN}|({_NUMBERED})\([1-9][0-9]*\)|constant\([^\u0000]*\))$"


def policy_schema() -> JSON:
    """The JSON Schema (draft 2020-12) of one policy file, as a new value."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Consent proxy policy, version 1",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "policy": {"type": "string", "description": "The policy's name."},
            "version": {"type": "integer", "minimum": 1, "description": "The policy's own number."},
            "categories": _map(_CATEGORY, _ref("category"), "Kinds of data."),
            "purposes": _map(_PURPOSE, _ref("purpose"), "What data is wanted for."),
            "subject": _ref("subject_section"),
            "tables": _map(f"^{_dotted(2)}$", _ref("table"), "Relations, as schema.table."),
            "functions": {
                "type": "array",
                "items": {"type": "string", "pattern": r"^[^()]+\.[^()]+\([^()]*\)$"},
                "description": "Database functions that tools may call, as schema.name(types).",
            },
            "extensions": {
                "type": "object",
                "propertyNames": {"enum": sorted(extension_names())},
                "additionalProperties": {"type": "string", "pattern": f"^{_dotted(1)}$"},
                "description": "Reviewed extensions that tools may use, each with its schema.",
            },
            "tools": _map(_TOOL, _ref("tool"), "Who asks."),
        },
        "$defs": _definitions(),
    }


def _definitions() -> JSON:
    return {
        "mask": {
            "type": "string",
            "pattern": _MASK,
            "description": "What is shown instead of the value.",
            "examples": list(MASK_NAMES),
        },
        "category_name": {
            "type": "string",
            "pattern": _CATEGORY,
            "examples": ["user.name", "user.contact.email", "user.behavior.browsing_history"],
        },
        "column_name": {"type": "string", "pattern": f"^{_dotted(1)}$"},
        "duration": {
            "type": "string",
            "pattern": "^[0-9]*[1-9][0-9]*[smhdw]$",
            "description": "Exact: 90d is 2160 hours.",
            "examples": ["15s", "30m", "24h", "90d", "2w"],
        },
        "category": _object(
            CATEGORY_KEYS,
            mask=_ref("mask"),
            sensitive={
                "type": "boolean",
                "description": "Shown only under a grant that names the purpose and this category.",
            },
        ),
        "purpose": _purpose(),
        "tool": _object(
            TOOL_KEYS,
            required=["purposes"],
            purposes={
                "type": "array",
                "items": {"type": "string", "pattern": _PURPOSE},
                "minItems": 1,
                "uniqueItems": True,
            },
            default={"type": "string", "description": "In force until the tool chooses another."},
        ),
        **_table_definitions(),
    }


def _purpose() -> JSON:
    through = {
        "type": "object",
        "propertyNames": {"pattern": _CATEGORY},
        "additionalProperties": _ref("mask"),
        "minProperties": 1,
        "maxProperties": 1,
        "description": "Even where the purpose is in force, only through this mask.",
    }
    return _object(
        PURPOSE_KEYS,
        required=["basis", "reads"],
        description={"type": "string"},
        basis={
            "enum": [basis.value for basis in Basis],
            "description": "The legal basis (GDPR Art. 6(1)).",
        },
        data_use={"type": "string", "description": "A data use of the fideslang taxonomy."},
        people={
            "enum": list(PEOPLE),
            "description": "`consented`: rows of people for whom it is not in force are absent.",
        },
        exempt={
            "type": "array",
            "items": {"enum": list(ROW_RULES)},
            "uniqueItems": True,
            "description": "Row rules that do not hold for this purpose.",
        },
        reads={
            "type": "array",
            "items": {"anyOf": [_ref("category_name"), through]},
            "description": "What the purpose needs; each entry covers everything below it.",
        },
    )


def _table_definitions() -> JSON:
    age = {"column": _ref("column_name"), "for": _ref("duration"), "zone": {"type": "string"}}
    column_of = {"type": "string", "pattern": f"^{_dotted(3)}$"}
    return {
        "subject_section": _object(
            SUBJECT_KEYS,
            required=["key"],
            key={**column_of, "description": "The column that identifies a data subject."},
            consent={"const": "ledger"},
        ),
        "via": {
            "type": "object",
            "additionalProperties": False,
            "required": ["via"],
            "properties": {
                "via": {
                    "type": "array",
                    "prefixItems": [_ref("column_name"), column_of],
                    "items": False,
                    "minItems": 2,
                }
            },
        },
        "all": {
            "type": "object",
            "additionalProperties": False,
            "required": ["all"],
            "properties": {
                "all": {
                    "type": "array",
                    "items": {
                        "anyOf": [
                            {"allOf": [_ref("column_name"), {"not": {"const": "none"}}]},
                            _ref("via"),
                        ]
                    },
                    "minItems": 1,
                    "maxItems": SUBJECTS_MAX,
                }
            },
        },
        "subject": {
            "description": "Whose row it is. `none`: personal columns are always masked.",
            "anyOf": [_ref("column_name"), _ref("via"), _ref("all")],
        },
        "column": {
            "description": "`open`, the category of the data, or a mapping.",
            "anyOf": [
                {"const": "open"},
                _ref("category_name"),
                _object(
                    COLUMN_KEYS,
                    required=["category"],
                    category={"anyOf": [{"const": "open"}, _ref("category_name")]},
                    mask=_ref("mask"),
                    type={"type": "string", "description": "For `policy test` without a database."},
                ),
            ],
        },
        "source": _object(
            SOURCE_KEYS,
            required=list(SOURCE_KEYS),
            column=_ref("column_name"),
            allow={"type": "array", "items": {"type": "string"}, "minItems": 1},
        ),
        "age": _object(AGE_KEYS, required=["column", "for"], **age),
        "table": {
            "description": "`open` (every column visible), or a mapping.",
            "anyOf": [
                {"const": "open"},
                _object(
                    TABLE_KEYS,
                    required=["columns"],
                    subject=_ref("subject"),
                    consent={
                        "enum": list(CONSENT_PLACES),
                        "description": "`in_table`: copied into columns of the table, kept in step "
                        "by the ledger; the subject is a column of the table.",
                    },
                    source={**_ref("source"), "description": "Where data came from decides too."},
                    keep={**_ref("age"), "description": "Older rows are absent."},
                    quiet={**_ref("age"), "description": "Younger rows are absent."},
                    columns={
                        "type": "object",
                        "propertyNames": {"pattern": f"^{_dotted(1)}$"},
                        "additionalProperties": _ref("column"),
                        "minProperties": 1,
                    },
                ),
            ],
        },
    }


def _dotted(parts: int) -> str:
    return r"\.".join([_IDENTIFIER] * parts)


def _ref(name: str) -> JSON:
    return {"$ref": f"#/$defs/{name}"}


def _map(pattern: str, values: JSON, description: str) -> JSON:
    return {
        "type": "object",
        "propertyNames": {"pattern": pattern},
        "additionalProperties": values,
        "description": description,
    }


def _object(keys: tuple[str, ...], *, required: list[str] | None = None, **values: JSON) -> JSON:
    """An object of exactly the readers' keys: a key without its schema does not pass a test."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required or [],
        "properties": {key: values[key] for key in keys},
    }
