"""A plainer text of the same length, for what sqlglot does not read and PostgreSQL does.

SQL/JSON and XML constructors, `ORDER BY x USING <`, `JOIN … USING (…) AS a`, `AT LOCAL`, operators
and literals of every spelling: what has no part in naming relations is written over, character by
character, so that whatever stays keeps its place. The text is for finding those places; it goes
nowhere. What sqlglot makes of it must agree with PostgreSQL's reading of the real one, and the
rewritten statement is read by PostgreSQL again: a mistake here makes a statement be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proxy.sql.grammar import Token, scan

_STRINGS: Final = frozenset(["SCONST", "USCONST", "BCONST", "XCONST"])
_NUMBERS: Final = frozenset(["ICONST", "FCONST"])
_COMMENTS: Final = frozenset(["SQL_COMMENT", "C_COMMENT"])
_OPENING: Final = frozenset(["ASCII_40", "ASCII_91"])  # ( [
_CLOSING: Final = frozenset(["ASCII_41", "ASCII_93"])  # ) ]
_COMMA: Final = "ASCII_44"
_COLON: Final = "ASCII_58"
# Reserved words that end an operand: an operator behind them is no prefix.
_VALUES: Final = frozenset(
    """
    END_P NULL_P TRUE_P FALSE_P DEFAULT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP LOCALTIME
    LOCALTIMESTAMP CURRENT_USER CURRENT_ROLE CURRENT_CATALOG CURRENT_SCHEMA SESSION_USER USER
    """.split()
)
# Words that are not reserved and stand before an operand.
_BEFORE_OPERANDS: Final = frozenset("BY BETWEEN ESCAPE VALUE_P PASSING OPERATOR AT".split())
_COMPARISONS: Final = frozenset(
    ["Op", "OPERATOR", "ASCII_60", "ASCII_61", "ASCII_62", "LESS_EQUALS", "GREATER_EQUALS"]
)
# Words that open a parenthesis with a grammar of its own (gram.y, func_expr_common_subexpr,
# json_aggregate_func, json_table, xmltable).
_CONSTRUCTORS: Final = frozenset(
    """
    JSON JSON_SCALAR JSON_SERIALIZE JSON_OBJECT JSON_ARRAY JSON_OBJECTAGG JSON_ARRAYAGG JSON_QUERY
    JSON_VALUE JSON_EXISTS JSON_TABLE XMLCONCAT XMLELEMENT XMLATTRIBUTES XMLEXISTS XMLFOREST
    XMLPARSE XMLPI XMLROOT XMLSERIALIZE XMLTABLE XMLNAMESPACES
    """.split()
)
_INTERVAL_FIELDS: Final = frozenset("YEAR_P MONTH_P DAY_P HOUR_P MINUTE_P SECOND_P TO".split())
_NORMAL_FORMS: Final = frozenset("NFC NFD NFKC NFKD".split())
_ON_BEHAVIOURS: Final = frozenset("NULL_P ERROR_P EMPTY_P TRUE_P FALSE_P UNKNOWN ABSENT".split())
_WITH: Final = frozenset("WITH WITH_LA WITHOUT WITHOUT_LA".split())
_WITH_WORDS: Final = frozenset("UNIQUE KEYS WRAPPER CONDITIONAL UNCONDITIONAL ARRAY TIME".split())
_LEFT_OUT_PAIRS: Final = frozenset(
    {
        ("BY", "REF_P"),
        ("BY", "VALUE_P"),
        ("ON", "EMPTY_P"),
        ("ON", "ERROR_P"),
        ("PRESERVE", "WHITESPACE_P"),
        ("STRIP_P", "WHITESPACE_P"),
    }
)
# What ends a type or a name that is written over.
_CLAUSES: Final = (
    _ON_BEHAVIOURS
    | _WITH
    | frozenset("PASSING COLUMNS RETURNING KEEP OMIT DEFAULT FORMAT FORMAT_LA ON ORDER".split())
)


def plainer(text: str) -> str:
    """A text of the same length that sqlglot reads more easily."""
    return _Writer(text).write()


def without_comments(text: str) -> str:
    """The text with its comments, and the semicolon behind it, as blanks."""
    characters = list(text)
    for token in scan(text):
        if token.name in _COMMENTS or token.name == "ASCII_59":
            characters[token.start : token.end] = " " * (token.end - token.start)
    return "".join(characters)


class _Writer:
    def __init__(self, text: str) -> None:
        self._characters = list(text)
        self._tokens = [token for token in scan(text) if token.name not in _COMMENTS]
        self._done: set[int] = set()  # numbers of the tokens that are written over

    def write(self) -> str:
        frames: list[bool] = []  # for each open parenthesis: is it a constructor's?
        for at, token in enumerate(self._tokens):
            if token.name in _OPENING:
                frames.append(self._name(at - 1) in _CONSTRUCTORS)
            elif token.name in _CLOSING and frames:
                frames.pop()
            if at in self._done:
                continue
            is_form = token.name in _CONSTRUCTORS or self._is_convert(token)
            if is_form and self._name(at + 1) == "ASCII_40":
                self._put(at, "f" * (token.end - token.start))
            elif not (frames and frames[-1] and self._clause(at)):
                self._anywhere(at)
        return "".join(self._characters)

    # --- writing ---

    def _name(self, at: int) -> str:
        return self._tokens[at].name if 0 <= at < len(self._tokens) else ""

    def _put(self, at: int, text: str, last: int | None = None) -> None:
        """Write over the tokens from `at` to `last`."""
        last = min(at if last is None else last, len(self._tokens) - 1)
        start, end = self._tokens[at].start, self._tokens[last].end
        if len(text) <= end - start:
            self._characters[start:end] = text.ljust(end - start)
            self._done.update(range(at, last + 1))

    def _closing(self, at: int) -> int:
        """The number of the token that closes the parenthesis at `at`."""
        depth = 0
        for number in range(at, len(self._tokens)):
            depth += self._name(number) in _OPENING
            depth -= self._name(number) in _CLOSING
            if depth == 0:
                return number
        return len(self._tokens) - 1

    def _until_clause(self, at: int) -> int:
        """The last token of a type or name that begins at `at`."""
        last = at
        number = at
        while number < len(self._tokens):
            name = self._name(number)
            if name in _CLOSING or name == _COMMA or (number > at and name in _CLAUSES):
                break
            last = number = self._closing(number) if name in _OPENING else number
            number += 1
        return last

    def _ends_operand(self, at: int) -> bool:
        if at < 0:
            return False
        token: Token = self._tokens[at]
        if token.name in _CLOSING or token.name in _STRINGS or token.name in _NUMBERS:
            return True
        if token.name in ("IDENT", "UIDENT", "PARAM") or token.name in _VALUES:
            return True
        return token.is_keyword and not token.is_reserved and token.name not in _BEFORE_OPERANDS

    # --- what may stand anywhere ---

    def _anywhere(self, at: int) -> None:
        token, name = self._tokens[at], self._name(at)
        length = token.end - token.start
        if name in _STRINGS:
            self._put(at, f"'{'x' * (length - 2)}'")
        elif name in _NUMBERS:
            self._put(at, "1" * length)
        elif name == "Op":
            self._operator(at, at)
        elif name == "OPERATOR" and self._name(at + 1) == "ASCII_40":
            self._operator(at, self._closing(at + 1))
        elif name == "USING":
            self._using(at)
        elif name == "IS":
            self._is(at)
        elif name == "AT" and self._name(at + 1) == "LOCAL":
            self._put(at, "+ 1", at + 1)
        elif name == "COLLATION" and self._name(at + 1) == "FOR":
            self._put(at, "f", at + 1)
        elif name == "INTERVAL" and self._name(at - 1) == "TYPECAST":
            for number in self._run(at + 1, _INTERVAL_FIELDS):
                self._put(number, "")
                if self._name(number) == "SECOND_P" and self._name(number + 1) == "ASCII_40":
                    self._put(number + 1, "", self._closing(number + 1))

    def _is_convert(self, token: Token) -> bool:
        """convert(…), which sqlglot takes for another dialect's cast."""
        written = "".join(self._characters[token.start : token.end])
        return token.name == "IDENT" and written.lower() == "convert"

    def _operator(self, at: int, last: int) -> None:
        self._put(at, "+" if self._ends_operand(at - 1) else "-", last)

    def _using(self, at: int) -> None:
        """`ORDER BY x USING <`, and `JOIN … USING (…) AS a`."""
        following = self._name(at + 1)
        if following in _COMPARISONS:
            self._put(at, "ASC", self._closing(at + 2) if following == "OPERATOR" else at + 1)
        elif following == "ASCII_40":
            closing = self._closing(at + 1)
            if self._name(closing + 1) == "AS":
                self._put(closing + 1, "", closing + 2)

    def _is(self, at: int) -> None:
        """IS [NOT] NFC NORMALIZED, DOCUMENT, JSON OBJECT WITH UNIQUE KEYS: all as IS [NOT] NULL."""
        first = at + 2 if self._name(at + 1) == "NOT" else at + 1
        if self._name(first) in _NORMAL_FORMS and self._name(first + 1) == "NORMALIZED":
            self._put(first, "NULL", first + 1)
        elif self._name(first) in ("NORMALIZED", "DOCUMENT_P"):
            self._put(first, "NULL")
        elif self._name(first) == "JSON":
            last = first
            if self._name(last + 1) in ("VALUE_P", "OBJECT_P", "ARRAY", "SCALAR"):
                last += 1
            if self._name(last + 1) in _WITH and self._name(last + 2) == "UNIQUE":
                last += 3 if self._name(last + 3) == "KEYS" else 2
            self._put(first, "NULL", last)

    def _run(self, at: int, names: frozenset[str]) -> Iterator[int]:
        while self._name(at) in names:
            yield at
            at += 1

    # --- what only stands in a constructor's own parentheses ---

    def _clause(self, at: int) -> bool:
        """Write over a constructor's clause that begins at `at`; is there one?"""
        name = self._name(at)
        is_pair = name == "VALUE_P" and self._ends_operand(at - 1)  # else a column of that name
        if is_pair or name in ("PASSING", "DEFAULT", _COLON):
            self._put(at, ",")
            return True
        if name in ("VERSION_P", "STANDALONE_P") and self._name(at - 1) == _COMMA:
            self._put(at, "")
            if self._name(at + 1) in ("NO", "YES_P"):
                self._put(at + 1, "1", at + 2 if self._name(at + 2) == "VALUE_P" else at + 1)
            return True
        last = self._left_out(at)
        if last is not None:
            self._put(at, "", last)
        return last is not None

    def _left_out(self, at: int) -> int | None:
        """The last token of a clause without expressions, which is left out."""
        name, following = self._name(at), self._name(at + 1)
        last = None
        if name in ("AS", "RETURNING"):
            last = self._until_clause(at + 1)
        elif name == "COLUMNS":
            last = self._end_of_frame(at) - 1
        elif name in _ON_BEHAVIOURS:
            last = self._on_behaviour(at)
        elif name in _WITH and following in _WITH_WORDS:
            last = [at, *self._run(at + 1, _WITH_WORDS)][-1]
        elif name in ("FORMAT", "FORMAT_LA") and following == "JSON":
            last = at + 3 if self._name(at + 2) == "ENCODING" else at + 1
        elif name in ("KEEP", "OMIT") and following == "QUOTES":
            last = at + 4 if self._name(at + 2) == "ON" else at + 1
        elif (name, following) in _LEFT_OUT_PAIRS:
            last = at + 1
        elif name in ("NAME_P", "CONTENT_P", "DOCUMENT_P") and self._name(at - 1) == "ASCII_40":
            last = at
        return last

    def _end_of_frame(self, at: int) -> int:
        while at < len(self._tokens) and self._name(at) not in _CLOSING:
            at = (self._closing(at) if self._name(at) in _OPENING else at) + 1
        return at

    def _on_behaviour(self, at: int) -> int | None:
        """The last token of `NULL ON EMPTY`, `EMPTY ARRAY ON ERROR`, …; None where it is none."""
        on = at + 2 if self._name(at + 1) in ("ARRAY", "OBJECT_P") else at + 1
        is_one = self._name(on) == "ON" and self._name(on + 1) in ("NULL_P", "EMPTY_P", "ERROR_P")
        return on + 1 if is_one else None
