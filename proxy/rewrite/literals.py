"""The literals of a statement as it was sent: what `lift.split` finds in text, found in bytes.

Each byte is looked at once, so that mypyc makes it as quick as it can be. What comes out is the
same (a property test compares them); which plans are shared, `lift.py` alone decides.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

LITERALS_MAX: Final = 64
_INT4_MAX: Final = b"2147483647"
_INT8_MAX: Final = b"9223372036854775807"

# What a byte is, outside of tokens.
_OTHER: Final = 0  # does not come in a text that is split
_BLANK: Final = 1
_SIGN: Final = 2
_WORD: Final = 3  # letters, `_`, `.`: what a number can not stand next to
_DIGIT: Final = 4


def _classes() -> bytes:
    found = bytearray(256)
    for byte in range(32, 127):
        found[byte] = _SIGN
    for byte in b"\t\n\r ":
        found[byte] = _BLANK
    for byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.":
        found[byte] = _WORD
    for byte in b"0123456789":
        found[byte] = _DIGIT
    for byte in b"\\$":
        found[byte] = _OTHER
    return bytes(found)


_CLASS: Final = _classes()


class Literals:
    """`skeleton`: the text with kinds of literals in their places; `values`: the literals."""

    __slots__ = ("skeleton", "values")

    def __init__(self, skeleton: bytes, values: list[bytes]) -> None:
        self.skeleton: Final = skeleton
        self.values: Final = values


def find_literals(  # noqa: C901, PLR0912 - a call for each byte would cost more than the rest
    data: bytes, start: int, stop: int
) -> Literals | None:
    """The literals of `data[start:stop]`; None where the text is not to be split."""
    pos: i64 = start
    end: i64 = stop
    kept: i64 = start  # where the piece began that is not in `pieces` yet
    rest: i64 = start  # where what stands before the next token begins
    has_token = False
    pieces: list[bytes] = []
    values: list[bytes] = []
    while pos < end:
        byte: i64 = data[pos]
        if byte == 0x27 or byte == 0x22:  # noqa: PLR1714 - a set would box them
            if not _may_quote(data, rest, pos, has_token):
                return None
            after = _string_end(data, pos, end) if byte == 0x27 else _name_end(data, pos, end)
            if after < 0:
                return None
            if byte == 0x27 and _is_free_text(data, pos, after):
                pieces.append(data[kept:pos])
                pieces.append(b"\x01s")
                values.append(data[pos:after])
                kept = after
            pos = rest = after
            has_token = True
            continue
        what: i64 = _CLASS[byte]
        if what == _DIGIT:
            after = _word_end(data, pos, end)
            kind = _NO_NUMBER if _is_exponent(data, start, pos) else _number_kind(data, pos, after)
            if kind != _NO_NUMBER:
                if kind:
                    pieces.append(data[kept:pos])
                    pieces.append(kind)
                    values.append(data[pos:after])
                    kept = after
                rest = after
                has_token = True
            pos = after
        elif what == _WORD:
            pos = _word_end(data, pos, end)
        elif what == _OTHER:
            return None
        else:
            # `--` and `/*` begin comments.
            if pos + 1 < end:
                if byte == 0x2D and data[pos + 1] == 0x2D:
                    return None
                if byte == 0x2F and data[pos + 1] == 0x2A:
                    return None
            pos += 1
    if not values or len(values) > LITERALS_MAX:
        return None
    pieces.append(data[kept:stop])
    return Literals(b"".join(pieces), values)


def _may_quote(data: bytes, rest: i64, pos: i64, is_behind: bool) -> bool:  # noqa: FBT001 - mypyc
    """Whether a quote may begin here: not E'', B'', U&'', and not right behind another token."""
    if pos > rest:
        before: i64 = data[pos - 1]
        what: i64 = _CLASS[before]
        if what == _DIGIT or before == 0x26 or (what == _WORD and before != 0x2E):
            return False
    if not is_behind:
        return True
    while rest < pos:
        byte: i64 = data[rest]
        if _CLASS[byte] != _BLANK:
            return True
        rest += 1
    return False


def _string_end(data: bytes, pos: i64, end: i64) -> i64:
    """Behind the closing quote; -1 where there is none, or what is not printable ASCII."""
    pos += 1
    while pos < end:
        byte: i64 = data[pos]
        if byte == 0x27:
            if pos + 1 >= end or data[pos + 1] != 0x27:
                return pos + 1
            pos += 1
        elif byte < 0x20 or byte > 0x7E:
            return -1
        pos += 1
    return -1


def _name_end(data: bytes, pos: i64, end: i64) -> i64:
    pos += 1
    while pos < end:
        byte: i64 = data[pos]
        if byte == 0x22:
            return pos + 1
        if byte < 0x20 or byte > 0x7E:
            return -1
        pos += 1
    return -1


def _is_free_text(data: bytes, start: i64, after: i64) -> bool:
    """No backslash, no star, and not blank: what a plan may not hang on (`lift.split`)."""
    is_blank = True
    pos = start + 1
    while pos < after - 1:
        byte: i64 = data[pos]
        if byte == 0x5C or byte == 0x2A:  # noqa: PLR1714 - see above
            return False
        if byte != 0x20:
            is_blank = False
        pos += 1
    return not is_blank


def _word_end(data: bytes, pos: i64, end: i64) -> i64:
    while pos < end:
        byte: i64 = data[pos]
        if _CLASS[byte] < _WORD:
            break
        pos += 1
    return pos


_NO_NUMBER: Final = b"-"


def _is_exponent(data: bytes, start: i64, pos: i64) -> bool:
    """Whether a number is behind the sign of an exponent, as in 1e-6: none that stands alone."""
    if pos - 3 < start:
        return False
    sign: i64 = data[pos - 1]
    if sign != 0x2B and sign != 0x2D:  # noqa: PLR1714 - see above
        return False
    letter: i64 = data[pos - 2]
    if letter != 0x45 and letter != 0x65:  # noqa: PLR1714 - see above
        return False
    before: i64 = data[pos - 3]
    return before == 0x2E or 0x30 <= before <= 0x39


def _number_kind(data: bytes, start: i64, after: i64) -> bytes:
    """The hole of a number; b"" where the number stays in the text; or _NO_NUMBER."""
    pos = start
    point: i64 = -1
    while pos < after:
        byte: i64 = data[pos]
        if byte == 0x2E:
            if point >= 0 or pos + 1 == after:
                return _NO_NUMBER
            point = pos
        elif byte < 0x30 or byte > 0x39:
            return _NO_NUMBER
        pos += 1
    digits = (after if point < 0 else point) - start
    if data[start] == 0x30 and digits > 1:
        return b""
    if point >= 0:
        return b"\x01d"
    if digits < 10 or (digits == 10 and data[start:after] <= _INT4_MAX):
        return b"\x014"
    if digits < 19 or (digits == 19 and data[start:after] <= _INT8_MAX):
        return b"\x018"
    return b""
