"""Where an error in the text that went upstream stands in the tool's own text.

PostgreSQL's positions are those of nodes of its raw parse tree. The tree of the final text is the
tool's own tree but for the guards (`check.py` has seen to that): walked side by side, the two tell
which place of the one is which of the other. What is in a guard, or stands differently in the two,
has no place in the tool's text.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.errors import Refused
from proxy.sql.grammar import parse

# An error is rare; still, reading a very long text again would hold up the others.
TEXT_CHARACTERS_MAX: Final = 16 * 1024

_LOCATIONS: Final = ("location", "name_location")


def tool_position(position: int, final: str, text: str, index: int = 0) -> int | None:
    """The 1-based character position in `text` of what stands at `position` of `final`.

    `final` is what was sent for the statement number `index` of `text`. None: not in the tool's
    own text, or not certain.
    """
    if len(final) > TEXT_CHARACTERS_MAX or len(text) > TEXT_CHARACTERS_MAX:
        return None
    try:
        sent, own = parse(final), parse(text)
    except Refused:
        return None
    if len(sent) != 1 or not 0 <= index < len(own) or not 0 < position <= len(final):
        return None
    if sent[0].kind != own[index].kind:
        return None
    wanted = len(final[: position - 1].encode())
    found = _found(sent[0].node, own[index].node, wanted)
    return len(text.encode()[:found].decode(errors="ignore")) + 1 if found is not None else None


def _found(sent: Any, own: Any, wanted: int) -> int | None:
    """The one place in `own` that stands at `wanted` in `sent` (offsets in bytes)."""
    places: set[int] = set()
    pending = [(sent, own)]
    while pending:
        one, other = pending.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if "ResTarget" in one and "ResTarget" in other:
                # Begins where its value begins, which is what an error is about.
                one, other = one["ResTarget"].get("val"), other["ResTarget"].get("val")
                pending.append((one, other))
                continue
            for key in _LOCATIONS:
                if one.get(key) == wanted and isinstance(other.get(key), int):
                    places.add(other[key])
            # Other kinds of node have other names: a guard is not looked into.
            pending.extend((one[key], other[key]) for key in one.keys() & other.keys())
        elif isinstance(one, list) and isinstance(other, list):
            pending.extend(zip(one, other, strict=False))
    return places.pop() if len(places) == 1 and min(places) >= 0 else None
