"""The last word: the final text, read again by PostgreSQL's grammar, must be what was meant.

The expected tree is the tool's own tree (PostgreSQL's) with each relation replaced by its guard's
tree. A mistake in our resolver, in sqlglot or in the splicing makes the two differ: the statement
is refused, it can not leak.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from proxy.errors import Reason, Refused
from proxy.sql.grammar import Tree, parse_query
from proxy.sql.read import RelationUse

# Where a token stood: no meaning (nodes/parsenodes.h, ParseLoc), and DEFAULT values that
# libpg_query leaves out or in by how a node was made.
_POSITIONS: Final = frozenset(
    ["location", "name_location", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"]
)
# As orjson writes them, with one comma. In a string the quotes would be escaped: no match there.
_NAMES: Final = "|".join(_POSITIONS)
_POSITION: Final = re.compile(rf',"(?:{_NAMES})":-?[0-9]+|"(?:{_NAMES})":-?[0-9]+,?'.encode())


def expect_guard(use: RelationUse, guard: Tree, *, is_lateral: bool) -> None:
    """Put the guard's tree in place of a relation in the tool's tree."""
    alias = use.holder["RangeVar"].get("alias") or {"aliasname": use.alias}
    stand: Tree = {"subquery": guard, "alias": alias}
    if is_lateral:
        stand["lateral"] = True
    use.holder.clear()
    use.holder["RangeSubselect"] = stand


def check(final_text: str, expected: Tree) -> None:
    """Raises Refused(readers_disagree) unless the text reads as the expected tree."""
    try:
        actual = parse_query(final_text)
    except Refused:
        raise Refused(Reason.READERS_DISAGREE, "the rewritten statement does not read") from None
    if not is_equal(actual, expected):
        raise Refused(
            Reason.READERS_DISAGREE,
            "the two readers do not agree on this statement",
            hint="Write it in a plainer form; if it is plain, please report it.",
        )


def is_equal(left: Tree, right: Tree) -> bool:
    """Equal trees, positions ignored. Compared as bytes, which is ten times faster than a walk."""
    try:
        return _without_positions(left) == _without_positions(right)
    except TypeError:
        return is_same(left, right)  # deeper than orjson writes (254 levels)


def _without_positions(tree: Tree) -> bytes:
    return _POSITION.sub(b"", orjson.dumps(tree, option=orjson.OPT_SORT_KEYS))


def is_same(left: Any, right: Any) -> bool:
    """Equal trees, positions ignored. Iterative: statements may nest deeper than the stack."""
    pending = [(left, right)]
    while pending:
        one, other = pending.pop()
        if isinstance(one, dict):
            if not isinstance(other, dict):
                return False
            keys = one.keys() - _POSITIONS
            if keys != other.keys() - _POSITIONS:
                return False
            pending.extend((one[key], other[key]) for key in keys)
        elif isinstance(one, list):
            if not isinstance(other, list) or len(one) != len(other):
                return False
            pending.extend(zip(one, other, strict=True))
        elif type(one) is not type(other) or one != other:
            return False
    return True
