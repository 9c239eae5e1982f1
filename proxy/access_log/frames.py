"""Records of which most is known beforehand: checked and encoded once, completed for each record.

An intent says of its asker the same each time, and of its plan the same each time; all outcomes
have the same form. Their canonical bytes are kept in pieces, cut where id, time, number and the
hash of the record before stand. What comes out is byte for byte what `canonical.Chain.add` makes
of the same fields (tested).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from proxy.access_log.canonical import VERSION, Chain, RecordError, encode
from proxy.access_log.forms import FIELDS, INTENT_ASKER, INTENT_PLAN, check_fields, parts

INTENT: Final = "access.intent"
OUTCOME: Final = "access.outcome"
_COUNT_END: Final = 2**53
_STATES: Final = ("complete", "error", "cancelled", "client_gone")
# What the pieces of an asker leave out, in the order in which canonical JSON has it. All that a
# plan says stands in one place: behind `seq`, before `tool`.
_PLAN: Final = "shape"
_HOLES: Final = ("at", "id", "prev", "seq", _PLAN)


class AskerPart:
    """The fields that all intents of one asker have in common."""

    __slots__ = ("_boot", "_log", "_pieces", "fields")

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.fields: Final = fields
        self._log = self._boot = ""
        self._pieces: tuple[bytes, bytes, bytes, bytes, bytes, bytes] | None = None

    def pieces(self, log: str, boot: str) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]:
        """What stands before, between and behind the holes, for that log. Raises RecordError."""
        if self._pieces is None or self._log != log or self._boot != boot:
            check_fields(INTENT, self.fields, INTENT_ASKER)
            self._log, self._boot = log, boot
            self._pieces = _cut({**self.fields, "log": log, "boot": boot})
        return self._pieces


def _cut(fields: Mapping[str, object]) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]:
    items = {**fields, "v": VERSION, "kind": INTENT}
    pieces: list[bytes] = []
    written = b"{"
    for number, name in enumerate(sorted({*items, *_HOLES})):
        if name == _PLAN:
            pieces.append(written)
            written = b""
            continue
        written += b"%b%b:" % (b"," if number else b"", encode(name))
        if name in _HOLES:
            quote = b"" if name == "seq" else b'"'
            pieces.append(written + quote)
            written = quote
        else:
            written += encode(items[name])
    before_at, before_id, before_prev, before_seq, before_plan = pieces
    return before_at, before_id, before_prev, before_seq, before_plan, written + b"}"


class PlanPart:
    """The fields that all intents of one plan have in common.

    `piece` is how they stand in a record; b"" where they need several records.
    """

    __slots__ = ("fields", "piece")

    def __init__(self, fields: Mapping[str, object]) -> None:
        """Raises RecordError where a record may not say this."""
        check_fields(INTENT, fields, INTENT_PLAN)
        self.fields: Final = fields
        known = parts(INTENT, {**_ANYBODY, **fields})
        self.piece: Final = b"" if len(known) > 1 else _piece(known[0], sorted(fields))


def _piece(fields: Mapping[str, object], names: Sequence[str]) -> bytes:
    return b"".join([b",%b:%b" % (encode(name), encode(fields[name])) for name in names])


# What an intent needs besides: only to see how many records a plan's fields take.
_ANYBODY: Final[Mapping[str, object]] = {
    "id": "00000000-0000-7000-8000-000000000000",
    "tool": "x",
    "credential": "x",
    "via": "postgres",
    "client": "",
    "policy": "",
}


class IntentFields(Mapping[str, object]):
    """The fields of an intent; the log need not look at its parts again."""

    __slots__ = ("access_id", "asker", "plan")

    def __init__(self, access_id: str, asker: AskerPart, plan: PlanPart) -> None:
        self.access_id = access_id
        self.asker = asker
        self.plan = plan

    def __getitem__(self, name: str) -> object:
        if name == "id":
            return self.access_id
        return self.plan.fields[name] if name in self.plan.fields else self.asker.fields[name]

    def __iter__(self) -> Iterator[str]:
        yield "id"
        yield from self.asker.fields
        yield from self.plan.fields

    def __len__(self) -> int:
        return len(self.asker.fields) + len(self.plan.fields) + 1


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
        self._log, self._boot = chain.place
        self._boot_field = f'"boot":{encode(self._boot).decode()}'
        self._log_field = f'"log":{encode(self._log).decode()}'

    def of(self, kind: str, fields: Mapping[str, object]) -> bytes:
        """The record's lines; what is known beforehand is neither checked nor encoded again.

        Raises RecordError for what must not be written; then the chain stands where it stood.
        """
        if type(fields) is IntentFields and kind == INTENT:
            _check_id(fields.access_id)
            return self.intent(fields.access_id, fields.asker, fields.plan)
        if type(fields) is OutcomeFields and kind == OUTCOME:
            _check_id(fields.access_id)
            sent, plan_us, total_us, upstream_us, rows = fields.numbers
            return self.outcome(
                fields.access_id, fields.state, fields.sqlstate,
                sent, plan_us, total_us, upstream_us, rows,
            )  # fmt: skip
        return self._chain.add(kind, parts(kind, fields))

    def intent(self, access_id: str, asker: AskerPart, plan: PlanPart) -> bytes:
        """The lines of an intent; `access_id` is `record.new_id`'s. Raises RecordError."""
        pieces = asker.pieces(self._log, self._boot)
        if not plan.piece:
            return self._chain.add(
                INTENT, parts(INTENT, {**asker.fields, **plan.fields, "id": access_id})
            )
        at, seq, prev = self._chain.next()
        return self._chain.take(
            b"".join(
                [
                    pieces[0], at.encode(), pieces[1], access_id.encode(), pieces[2],
                    prev.encode(), pieces[3], str(seq).encode(), pieces[4], plan.piece, pieces[5],
                ]
            )
        )  # fmt: skip

    def outcome(
        self,
        access_id: str,
        state: str,
        sqlstate: str,
        sent: int,
        plan_us: int,
        total_us: int,
        upstream_us: int,
        rows: int,
    ) -> bytes:
        """The line of an outcome; `access_id` is `record.new_id`'s. Raises RecordError."""
        if not (
            state in _STATES
            and 0 <= sent < _COUNT_END
            and 0 <= plan_us < _COUNT_END
            and 0 <= total_us < _COUNT_END
            and 0 <= upstream_us < _COUNT_END
            and 0 <= rows < _COUNT_END
        ):
            raise RecordError("access.outcome can not say this")
        ended = f'"state":"{state}"'
        if sqlstate:
            if not FIELDS["sqlstate"](sqlstate):
                raise RecordError("access.outcome can not say this")
            ended = f'"sqlstate":"{sqlstate}",{ended}'
        at, seq, prev = self._chain.next()
        line = (
            f'{{"at":"{at}",{self._boot_field},"bytes":{sent},"id":"{access_id}",'
            f'"kind":"access.outcome",{self._log_field},"ms":{{"plan_us":{plan_us},'
            f'"total_us":{total_us},"upstream_us":{upstream_us}}},"prev":"{prev}","rows":{rows},'
            f'"seq":{seq},{ended},"v":{VERSION}}}'
        )
        return self._chain.take(line.encode())


def _check_id(text: str) -> None:
    if not FIELDS["id"](text):
        raise RecordError("this is no id")
