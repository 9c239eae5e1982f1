"""The revision: one SHA-256 that names exactly what a policy says.

Comments, file names, the order of keys and the way a name was quoted do not change it; whatever
can change what somebody sees does. It stands in every access record.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, get_args

from proxy.policy.mask_text import mask_text
from proxy.policy.model import ColumnName, Mask, Policy, RelationName

_MASKS = get_args(Mask)


def normalised(policy: Policy) -> dict[str, Any]:
    """The policy as plain JSON values: nothing left out but where it was written."""
    content = {
        field.name: _plain(getattr(policy, field.name))
        for field in dataclasses.fields(policy)
        if field.name not in ("revision", "places")
    }
    # The order of the tables is the tools' search path: it can change what a name means.
    content["schemas"] = list(policy.schemas)
    return content


def revision_of(policy: Policy) -> str:
    """SHA-256, hex, of the canonical JSON (sorted keys, no spaces, UTF-8) of `normalised`."""
    text = json.dumps(normalised(policy), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, _MASKS):
        return mask_text(value)
    if isinstance(value, RelationName):
        return [value.schema, value.name]
    if isinstance(value, ColumnName):
        return [value.relation.schema, value.relation.name, value.column]
    if dataclasses.is_dataclass(value):
        fields = {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return {"is": type(value).__name__, **fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _key(key: Any) -> str:
    # A relation's two names as JSON: "a.b" in schema c and "b" in c."a" stay apart.
    return key if isinstance(key, str) else json.dumps(_plain(key), ensure_ascii=False)
