"""Records of which most is known beforehand: checked and encoded once, completed for each record.

All intents of one plan and asker say the same but for their id; all outcomes have the same form.
Their canonical bytes are cut where id, time, number and the hash of the record before stand. What
comes out is byte for byte what `canonical.Chain.add` makes of the same fields (tested).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from proxy.access_log.canonical import VERSION, Chain, RecordError, encode
from proxy.access_log.forms import FIELDS, parts

INTENT: Final = "access.intent"
OUTCOME: Final = "access.outcome"
_COUNT_END: Final = 2**53
_STATES: Final = ("complete", "error", "cancelled", "client_gone")
# In the order in which canonical JSON has them.
_HOLES: Final = ("at", "id", "prev", "seq")

Frame = tuple[bytes, bytes, bytes, bytes, bytes]
"""What stands before, between and behind `at`, `id`, `prev` and `seq`."""


class Constant:
    """The fields that intents of one plan and asker have in common: all but the id."""

    __slots__ = ("_frame", "_place", "fields")

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.fields = fields
        self._place: tuple[str, str] | None = None
        self._frame: Frame | None = None

    def frame(self, access_id: str, log: str, boot: str) -> Frame | None:
        """The frame for that log; None where the record has parts. Raises RecordError."""
        if self._place != (log, boot):
            known = parts(INTENT, {**self.fields, "id": access_id})
            self._frame = _frame(known[0], log, boot) if len(known) == 1 else None
            self._place = (log, boot)
        return self._frame


def _frame(fields: Mapping[str, object], log: str, boot: str) -> Frame:
    items = {**fields, "v": VERSION, "log": log, "boot": boot, "kind": INTENT}
    pieces: list[bytes] = []
    written = bytearray()
    for number, name in enumerate(sorted({*items, *_HOLES})):
        written += b",%b:" % encode(name) if number else b"{%b:" % encode(name)
        if name not in _HOLES:
            written += encode(items[name])
            continue
        quote = b"" if name == "seq" else b'"'
        pieces.append(bytes(written) + quote)
        written = bytearray(quote)
    before_at, before_id, before_prev, before_seq = pieces
    return before_at, before_id, before_prev, before_seq, bytes(written) + b"}"


class IntentFields(Mapping[str, object]):
    """The fields of an intent; the log need not look at `constant` again."""

    __slots__ = ("access_id", "constant")

    def __init__(self, access_id: str, constant: Constant) -> None:
        self.access_id = access_id
        self.constant = constant

    def __getitem__(self, name: str) -> object:
        return self.access_id if name == "id" else self.constant.fields[name]

    def __iter__(self) -> Iterator[str]:
        yield "id"
        yield from self.constant.fields

    def __len__(self) -> int:
        return len(self.constant.fields) + 1


class OutcomeFields(Mapping[str, object]):
    """The fields of an outcome. Times in microseconds."""

    __slots__ = ("_fields", "access_id", "numbers", "sqlstate", "state")

    def __init__(
        self, access_id: str, state: str, numbers: tuple[int, int, int, int, int], sqlstate: str
    ) -> None:
        """`numbers`: bytes, plan, total and upstream time, rows; `sqlstate` may be empty."""
        self.access_id = access_id
        self.state = state
        self.numbers = numbers
        self.sqlstate = sqlstate
        self._fields: dict[str, object] | None = None

    def check(self) -> None:
        """Raise RecordError where a record may not say this (`forms.FIELDS`)."""
        is_said = self.state in _STATES and FIELDS["id"](self.access_id)
        for number in self.numbers:
            is_said = is_said and type(number) is int and 0 <= number < _COUNT_END
        if not is_said or (self.sqlstate and not FIELDS["sqlstate"](self.sqlstate)):
            raise RecordError("access.outcome can not say this")

    def _all(self) -> dict[str, object]:
        if self._fields is None:
            sent, plan_us, total_us, upstream_us, rows = self.numbers
            times = {"plan_us": plan_us, "upstream_us": upstream_us, "total_us": total_us}
            self._fields = {"id": self.access_id, "state": self.state, "rows": rows}
            self._fields |= {"bytes": sent, "ms": times}
            if self.sqlstate:
                self._fields["sqlstate"] = self.sqlstate
        return self._fields

    def __getitem__(self, name: str) -> object:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


class Lines:
    """Makes the lines of records for one chain."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._outcome = _outcome_format(*chain.place)

    def of(self, kind: str, fields: Mapping[str, object]) -> bytes:
        """The record's lines; what is known beforehand is neither checked nor encoded again.

        Raises RecordError for what must not be written; then the chain stands where it stood.
        """
        if type(fields) is IntentFields and kind == INTENT:
            frame = fields.constant.frame(fields.access_id, *self._chain.place)
            if frame is not None:
                return self._intent(frame, fields.access_id)
        elif type(fields) is OutcomeFields and kind == OUTCOME:
            return self._ended(fields)
        return self._chain.add(kind, parts(kind, fields))

    def _intent(self, frame: Frame, access_id: str) -> bytes:
        if not FIELDS["id"](access_id):
            raise RecordError("this is no id")
        before_at, before_id, before_prev, before_seq, end = frame
        at, seq, prev = self._chain.next()
        line = b"%b%b%b%b%b%b%b%d%b" % (
            before_at, at, before_id, access_id.encode(), before_prev, prev, before_seq, seq, end
        )  # fmt: skip
        return self._chain.take(line)

    def _ended(self, fields: OutcomeFields) -> bytes:
        fields.check()
        state = b'"state":"%b"' % fields.state.encode()
        if fields.sqlstate:
            state = b'"sqlstate":"%b",%b' % (fields.sqlstate.encode(), state)
        sent, plan_us, total_us, upstream_us, rows = fields.numbers
        at, seq, prev = self._chain.next()
        line = self._outcome % (
            at, sent, fields.access_id.encode(), plan_us, total_us, upstream_us, prev, rows, seq,
            state,
        )  # fmt: skip
        return self._chain.take(line)


def _outcome_format(log: str, boot: str) -> bytes:
    """For `%`: at, bytes, id, plan, total and upstream time, prev, rows, seq, state."""
    boot_json, log_json = (encode(each).replace(b"%", b"%%") for each in (boot, log))
    return (
        b'{"at":"%%b","boot":%b,"bytes":%%d,"id":"%%b","kind":"access.outcome","log":%b,'
        b'"ms":{"plan_us":%%d,"total_us":%%d,"upstream_us":%%d},'
        b'"prev":"%%b","rows":%%d,"seq":%%d,%%b,"v":%d}'
    ) % (boot_json, log_json, VERSION)
