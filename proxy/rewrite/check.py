"""The last word: the final text, read again by PostgreSQL's grammar, must be what was meant.

The expected tree is the tool's own tree (PostgreSQL's) with each relation replaced by its guard's
tree. A mistake in our resolver, in sqlglot or in the splicing makes the two differ: the statement
is refused, it can not leak.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, Final

import orjson

from proxy.errors import Reason, Refused
from proxy.sql.grammar import Tree, load_tree, print_query
from proxy.sql.read import RelationUse

# Where a token stood: no meaning (nodes/parsenodes.h, ParseLoc), and DEFAULT values that
# libpg_query leaves out or in by how a node was made.
_POSITIONS: Final = frozenset(
    ["location", "name_location", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"]
)
# As they are printed behind another field. In a string the quotes would be escaped: no match there.
# (With a first field's in it, the pattern has no fixed beginning and takes five times as long.)
_POSITION: Final = re.compile(rf',"(?:{"|".join(_POSITIONS)})":-?[0-9]+'.encode())

# The beginnings of the others.
_OTHER_POSITION: Final = re.compile(rb',"(?:name_|list_|rexpr_)')

# Where a guard comes: orjson writes no such byte.
_GUARD: Final = b"\0"


class GuardTree:
    """PostgreSQL's tree of a guard's text, kept as it is printed: so it is compared."""

    __slots__ = ("printed",)

    def __init__(self, text: str) -> None:
        self.printed = _without_positions(print_query(text))

    def read(self) -> Tree:
        return load_tree(self.printed)


def expect_guard(use: RelationUse, guard: GuardTree, *, is_lateral: bool) -> None:
    """Put the guard's tree in place of a relation in the tool's tree."""
    alias = use.holder["RangeVar"].get("alias") or {"aliasname": use.alias}
    # In the order in which libpg_query prints the fields.
    stand: Tree = {"lateral": True} if is_lateral else {}
    use.holder.clear()
    use.holder["RangeSubselect"] = {**stand, "subquery": guard, "alias": alias}


def check(final_text: str, expected: Tree) -> None:
    """Raises Refused(readers_disagree) unless the text reads as the expected tree."""
    try:
        is_meant = is_printed(print_query(final_text), expected)
    except Refused:
        raise Refused(Reason.READERS_DISAGREE, "the rewritten statement does not read") from None
    if not is_meant:
        raise Refused(
            Reason.READERS_DISAGREE,
            "the two readers do not agree on this statement",
            hint="Write it in a plainer form; if it is plain, please report it.",
        )


def is_printed(printed: bytes, expected: Tree) -> bool:
    """Is this the printing of the expected tree, positions ignored?

    Equal bytes are equal trees. Other bytes may be: in another order, or a string spelt in another
    way; then the trees themselves are compared, which takes ten times as long.
    """
    try:
        meant = _print(expected)
    except TypeError:  # deeper than orjson writes (254 levels)
        meant = b""
    return _without_positions(printed) == meant or is_same(load_tree(printed), expected)


def _print(expected: Tree) -> bytes:
    """The expected tree as libpg_query prints it, without positions."""
    guards: list[bytes] = []

    def leave_out(tree: object) -> orjson.Fragment:
        if not isinstance(tree, GuardTree):
            raise TypeError  # no part of a tree
        guards.append(tree.printed)
        return orjson.Fragment(_GUARD)

    first, *others = _without_positions(_spelt(orjson.dumps(expected, default=leave_out))).split(
        _GUARD
    )
    return b"".join([first, *itertools.chain(*zip(guards, others, strict=True))])


def _spelt(printed: bytes) -> bytes:
    """Strings as libpg_query spells them: of all harmless characters it escapes `<` and `>`."""
    return printed.replace(b"<", b"\\u003c").replace(b">", b"\\u003e")


def _without_positions(printed: bytes) -> bytes:
    # Nearly all are of this name, and cutting at it takes half of the pattern's time.
    first, *others = printed.split(b',"location":')
    rest = b"".join([first, *[other.lstrip(b"-0123456789") for other in others]])
    return _POSITION.sub(b"", rest) if _OTHER_POSITION.search(rest) else rest


def is_same(left: Any, right: Any) -> bool:
    """Equal trees, positions ignored. Iterative: statements may nest deeper than the stack."""
    pending = [(left, right)]
    while pending:
        one, other = pending.pop()
        if isinstance(other, GuardTree):
            other = other.read()
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
