"""Plans shared by statements that differ in their literals alone.

Tools without parameters write values into their statements, so that no text comes twice. Such
statements have one skeleton: the text with literals as holes. The second statement of a skeleton is
planned twice, as it is and with sentinels for its literals; where the sentinels come out in the
plan's text, the values of later statements are put. A plan made so must be equal to the plan made
of the statement itself; that is checked once for each template, and it holds for the others because
no step of planning looks at a lifted literal:

* it is a side of a plain comparison, an item of its IN or BETWEEN, or the number of a LIMIT or
  OFFSET. All others (ordinals, typed literals, arguments of functions and casts) are pinned: they
  are a part of the key;
* the hole's key holds all that a plan may depend on: the kind of token, whether a number fits int4
  or int8, and that a text has no star and is not empty (`pushdown.is_plain`);
* it is printed as it is written: printable ASCII, no backslash, no leading zero.

What is unusual is not lifted: then a plan is made as ever.
"""

from __future__ import annotations

import functools
import re
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import structlog

from proxy.effort import TooMuchEffort
from proxy.errors import Refused
from proxy.rewrite.plan import Kind, Plan, PlanContext
from proxy.rewrite.pushdown import is_plain
from proxy.sql.grammar import Tree, parse, scan

Plans = tuple[Plan | Refused, ...]
Make = Callable[[str, PlanContext], Plans]

_log = structlog.get_logger(__name__)

SKELETONS_MAX: Final = 1024
# Of one skeleton, by its pinned literals: where those vary too, lifting has no use.
TEMPLATES_MAX: Final = 16
HOLES_MAX: Final = 64
# Of a longer plan no template is made: the scanner that cuts it takes 0.24 µs a character, in the
# same step of the loop as the second plan.
TEMPLATE_CHARACTERS_MAX: Final = 8_000

# Strings, quoted identifiers, and numbers that stand alone, as PostgreSQL's scanner finds them in
# text that has none of what _UNUSUAL names (compared with the scanner in the tests).
_TOKEN: Final = re.compile(
    r"""('[^']*(?:''[^']*)*'|"[^"]*"|"""
    # The exponent of 1e-6 is no number that stands alone.
    r"""(?<![A-Za-z0-9_.])(?<![0-9.][eE][+-])[0-9]+(?:\.[0-9]+)?(?![A-Za-z0-9_.]))"""
)
# Between tokens: comments, `$`, a backslash, whatever is not plain ASCII.
_UNUSUAL: Final = re.compile(r"[^\t\n\r -~]|[\\$'\"]|--|/\*")
# Before a quote: E'', B'', X'', N'', U&'', U&"".
_PREFIX: Final = re.compile(r"[A-Za-z0-9_&]\Z")
_PLAIN_TEXT: Final = re.compile(r"'(?:[ !#-&(-\[\]-~\"]|'')*'")
_INT4_MAX: Final = "2147483647"
_INT8_MAX: Final = "9223372036854775807"

_COMPARISONS: Final = frozenset(["=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*"])
_COMPARING: Final = frozenset(
    ["AEXPR_OP", "AEXPR_IN", "AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN", "AEXPR_LIKE", "AEXPR_ILIKE"]
)
_CONSTANTS: Final = {"s": "sval", "4": "ival", "8": "fval", "d": "fval"}


@dataclass(frozen=True, slots=True)
class Split:
    """A text with its literals taken out: `skeleton` holds their kinds, `values` the tokens."""

    skeleton: str
    values: tuple[str, ...]


def split(text: str) -> Split | None:
    """The skeleton and the literals of a text; None where it holds anything unusual."""
    parts = _TOKEN.split(text)
    values: list[str] = []
    before = ""
    for at in range(0, len(parts), 2):
        rest = parts[at]
        if _UNUSUAL.search(rest) is not None:
            return None
        if at == 0:
            before = rest
            continue
        token = parts[at - 1]
        if token[0] in "'\"":
            # Two strings with a line break between are one; without, an error. Neither is usual.
            if _PREFIX.search(before) is not None or (at > 2 and not before.strip()):
                return None
            if not token.isascii() or not token.isprintable():
                return None
        kind = _kind(token)
        if kind is not None:
            values.append(token)
            # A control character: in no text that comes this far.
            parts[at - 1] = f"\x01{kind}"
        before = rest
    if not values or len(values) > HOLES_MAX:
        return None
    return Split("".join(parts), tuple(values))


def _kind(token: str) -> str | None:
    """What a plan may know of a literal; None where it must know the literal itself."""
    first = token[0]
    if first == "'":
        if _PLAIN_TEXT.fullmatch(token) is None or not is_plain(token[1:-1]):
            return None
        return "s"
    if first == '"':
        return None
    whole, point, _ = token.partition(".")
    if first == "0" and len(whole) > 1:
        return None
    if point:
        return "d"
    if (len(whole), whole) <= (len(_INT4_MAX), _INT4_MAX):
        return "4"
    return "8" if (len(whole), whole) <= (len(_INT8_MAX), _INT8_MAX) else None


# --- templates -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Template:
    """A plan whose text is `pieces`; at `places` (piece, literal) values are put."""

    rest: dict[str, Any]  # the plan's fields without its text
    pieces: tuple[str, ...]
    places: tuple[tuple[int, int], ...]

    def fill(self, values: Sequence[str]) -> Plan:
        pieces = list(self.pieces)
        for at, index in self.places:
            pieces[at] = values[index]
        return Plan(text="".join(pieces), **self.rest)


@dataclass(frozen=True, slots=True)
class Template:
    """How the text of a plan is made of a statement's literals.

    It holds for statements of that skeleton whose `pinned` literals are the same: `pieces` are
    joined, with literals (by their index) at `places`.
    """

    skeleton: bytes
    pinned: tuple[int, ...]
    pieces: tuple[bytes, ...]
    places: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Skeleton:
    """What is known of a skeleton: nothing at first; then which of its literals are pinned."""

    pinned: tuple[int, ...] | None = None
    is_useless: bool = False
    is_learning: bool = False
    templates: dict[tuple[str, ...], _Template] = field(default_factory=dict)


Later = Callable[[Callable[[], None]], bool]
"""Takes what need not be done before a plan is used; False: it will not be done."""


def _at_once(work: Callable[[], None]) -> bool:
    work()
    return True


class LiftedPlans:
    """Finds plans by skeleton. `make` plans a text in full, or raises TooMuchEffort."""

    def __init__(self, make: Make, later: Later = _at_once) -> None:
        self._make = make
        self._later = later
        self._known: OrderedDict[tuple[str, PlanContext], _Skeleton] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, text: str, context: PlanContext) -> tuple[Plans | None, bool]:
        """The plans of a text, and whether they were found rather than made; None: make them."""
        taken = split(text)
        if taken is None:
            return None, False
        key = (taken.skeleton, context)
        known = self._known.get(key)
        if known is None:
            # Only what comes again is worth a template.
            self._known[key] = _Skeleton()
            if len(self._known) > SKELETONS_MAX:
                self._known.popitem(last=False)
            return None, False
        self._known.move_to_end(key)
        if known.is_useless or known.is_learning:
            return None, False
        if known.pinned is not None:
            template = known.templates.get(_pick(taken.values, known.pinned))
            if template is not None:
                return (template.fill(taken.values),), True
        return self._learn(known, text, taken, context), False

    def template(self, text: str, context: PlanContext) -> Template | None:
        """How the plan of a text is made, where statements with other literals share it."""
        taken = split(text)
        known = None if taken is None else self._known.get((taken.skeleton, context))
        if taken is None or known is None or known.pinned is None:
            return None
        found = known.templates.get(_pick(taken.values, known.pinned))
        if found is None:
            return None
        pieces = tuple(piece.encode() for piece in found.pieces)
        return Template(taken.skeleton.encode(), known.pinned, pieces, found.places)

    def _learn(self, known: _Skeleton, text: str, taken: Split, context: PlanContext) -> Plans:
        """The plans of a text, made; and later a template of them, where there can be one."""
        plans = self._make(text, context)
        plan = _only_select(plans)
        if plan is not None:  # the next one may be: `float(0)` does not read, `float(1)` does
            known.is_learning = True
            share = functools.partial(self._share, known, text, taken, context, plan)
            if not self._later(share):
                known.is_learning = False
        return plans

    def _share(
        self, known: _Skeleton, text: str, taken: Split, context: PlanContext, plan: Plan
    ) -> None:
        known.is_learning = False
        template: _Template | None = None
        try:
            if known.pinned is None:
                known.pinned = _pinned(text, taken.values)
            template = self._template(plan, taken, known, context)
        except TooMuchEffort:
            pass
        except Exception as error:  # noqa: BLE001 - the plan is made; only sharing it has failed
            _log.error("a plan could not be shared", error=type(error).__name__)
        if template is None:
            known.is_useless = True
        elif known.pinned is not None:
            known.templates[_pick(taken.values, known.pinned)] = template

    def _template(
        self, plan: Plan, taken: Split, known: _Skeleton, context: PlanContext
    ) -> _Template | None:
        pinned = known.pinned or ()
        if len(pinned) == len(taken.values) or len(known.templates) >= TEMPLATES_MAX:
            return None
        if len(plan.text) > TEMPLATE_CHARACTERS_MAX:
            return None
        sentinels = [
            value if index in pinned else _sentinel(_kind(value) or "")
            for index, value in enumerate(taken.values)
        ]
        lifted = {
            sentinel: index for index, sentinel in enumerate(sentinels) if index not in pinned
        }
        text = _filled(taken.skeleton, sentinels)
        if len(lifted) < len(taken.values) - len(pinned) or any(s in plan.text for s in lifted):
            return None  # by chance; the next statement has other sentinels
        model = _only_select(self._make(text, context))
        if model is None:
            return None
        template = _cut(model, lifted)
        filled = template.fill(taken.values)
        if set(lifted.values()) != {index for _, index in template.places} or filled != plan:
            _log.error("a plan could not be shared", error="unequal")
            return None
        return template


def _pick(values: Sequence[str], indexes: tuple[int, ...]) -> tuple[str, ...]:
    return tuple([values[index] for index in indexes]) if indexes else ()


def _only_select(plans: Plans) -> Plan | None:
    if len(plans) != 1 or not isinstance(plans[0], Plan) or plans[0].kind is not Kind.SELECT:
        return None
    return plans[0]


def _filled(skeleton: str, values: Sequence[str]) -> str:
    rest = iter(values)
    return re.sub(r"\x01.", lambda _: next(rest), skeleton)


def _sentinel(kind: str) -> str:
    """A literal of that kind that nobody else writes."""
    match kind:
        case "s":
            return f"'s{secrets.token_hex(12)}'"
        case "4":
            return str(1_500_000_000 + secrets.randbelow(600_000_000))
        case "8":
            return str(10**18 + secrets.randbelow(8 * 10**18))
        case _:
            return f"{10**8 + secrets.randbelow(10**9)}.{10**8 + secrets.randbelow(10**9)}"


def _cut(model: Plan, lifted: dict[str, int]) -> _Template:
    """The model's text, cut where PostgreSQL's scanner finds a sentinel."""
    pieces: list[str] = []
    places: list[tuple[int, int]] = []
    at = 0
    for token in scan(model.text):
        index = lifted.get(model.text[token.start : token.end])
        if index is not None:
            pieces += [model.text[at : token.start], ""]
            places.append((len(pieces) - 1, index))
            at = token.end
    pieces.append(model.text[at:])
    rest = {each.name: getattr(model, each.name) for each in fields(Plan) if each.name != "text"}
    return _Template(rest, tuple(pieces), tuple(places))


# --- which literals no step of planning looks at ----------------------------------------------


def _pinned(text: str, values: Sequence[str]) -> tuple[int, ...]:
    """Indexes of the literals that must stay in the key: all that are not known to be free."""
    statements = parse(text)
    if len(statements) != 1 or statements[0].kind != "SelectStmt":
        return tuple(range(len(values)))
    free = _free(statements[0].node)
    pinned = []
    for index, (start, value) in enumerate(_located(text)):
        constant = free.get(start)
        if constant is None or not _is_literal(constant, value):
            pinned.append(index)
    return tuple(pinned)


def _located(text: str) -> Iterator[tuple[int, str]]:
    """Where the literals of a split text stand: characters, which are bytes here."""
    for match in _TOKEN.finditer(text):
        if _kind(match[0]) is not None:
            yield match.start(), match[0]


def _is_literal(constant: Tree, value: str) -> bool:
    """Is this the tree's node of that token? A sign before it would have become a part of it."""
    kind = _kind(value) or ""
    name = _CONSTANTS[kind]
    stored = constant.get(name, {}).get(name)
    if kind == "s":
        return bool(stored == value[1:-1].replace("''", "'"))
    return bool((str(stored) if stored is not None else "0") == value and name in constant)


def _free(node: Any) -> dict[int, Tree]:
    """Constants, by location, that are sides of comparisons, or the number of a LIMIT."""
    free: dict[int, Tree] = {}
    met: Counter[int] = Counter()
    pending = [node]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            for key, item in value.items():
                if key == "A_Const":
                    met[item.get("location", 0)] += 1
                elif key == "A_Expr":
                    free.update(_constants(_sides(item)))
                elif key in ("limitCount", "limitOffset"):
                    free.update(_constants([item]))
                if key not in ("typeName", "TypeName"):  # typmods are no values
                    pending.append(item)
    # What the grammar has put in two places may be looked at in one of them.
    return {at: constant for at, constant in free.items() if met[at] == 1}


def _sides(node: Tree) -> Iterator[Tree]:
    names = [part["String"].get("sval", "") for part in node.get("name", ())]
    if node["kind"] not in _COMPARING:
        return
    if "BETWEEN" not in node["kind"] and (len(names) != 1 or names[0] not in _COMPARISONS):
        return
    for side in ("lexpr", "rexpr"):
        value = node.get(side, {})
        if "List" in value:
            yield from value["List"]["items"]
        else:
            yield value


def _constants(nodes: Iterable[Tree]) -> Iterator[tuple[int, Tree]]:
    for node in nodes:
        if "A_Const" in node:
            constant = node["A_Const"]
            yield constant.get("location", 0), constant
