"""An upstream without a socket: it answers as PostgreSQL would, or says whatever it is told to."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Protocol

from proxy.session.expectations import POISON_TEXT
from proxy.wire import messages as m
from proxy.wire.framing import FrontendReader

_APPLICATION = re.compile(rb"set_config\('application_name', '(mark-\d+-)'")
_ROWS = re.compile(rb"rows (\d+)")


class Closable(Protocol):
    def abort(self) -> None: ...
    @property
    def is_read(self) -> bool: ...


class Upstream:
    """One server process. Its rows carry the mark of the session it serves."""

    def __init__(self) -> None:
        self.is_held = False  # it answers nothing until told to
        self._reader = FrontendReader({}, 1 << 30)
        self._mark = b"nobody"
        self._statements: dict[bytes, bytes] = {}
        self._portals: dict[bytes, deque[bytes]] = {}
        self._is_skipping = False
        self._status = m.IDLE
        self._out = bytearray()
        self._line: Closable | None = None
        self._deliver: Callable[[bytes], None] = lambda _: None
        self.is_gone = False
        self.has_part = False  # half a message was said

    def attach(self, line: Closable, deliver: Callable[[bytes], None]) -> None:
        self._line, self._deliver = line, deliver

    @property
    def is_read(self) -> bool:
        """Whether the proxy reads on."""
        return self._line is None or self._line.is_read

    # --- what the proxy sends ---

    def received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (found := self._reader.next()) is not None:
            kind, message = found
            if kind == m.TERMINATE:
                self.is_gone = True
                return
            if self._is_skipping and kind != m.SYNC:
                continue
            self._take(kind, message)

    def _take(self, kind: int, message: bytes) -> None:
        match kind:
            case m.QUERY:
                self._query(m.read_query(message))
            case m.PARSE:
                self._parse(message)
            case m.BIND:
                self._bind(message)
            case m.DESCRIBE:
                self._describe(*m.read_target(message))
            case m.EXECUTE:
                self._execute(*m.read_execute(message))
            case m.CLOSE:
                what, name = m.read_target(message)
                (self._statements if what == ord("S") else self._portals).pop(name, None)
                self._out += m.message(m.CLOSE_COMPLETE)
            case m.SYNC:
                self._is_skipping = False
                if self._status == m.IDLE:
                    self._portals.clear()
                self._out += m.ready(self._status)
            case _:
                assert kind == m.FLUSH, f"the proxy sent {kind}"

    def _parse(self, message: bytes) -> None:
        name, text, _ = m.read_parse(message)
        if self._fails(text):
            return
        if name and name in self._statements:
            self._error("42P05", "it exists")
            return
        self._statements[name] = text
        self._out += m.message(m.PARSE_COMPLETE)

    def _bind(self, message: bytes) -> None:
        portal, name = m.read_bind(message)
        text = self._statements.get(name)
        if text is None:
            self._error("26000", "no such statement")
            return
        self._portals[portal] = deque(self._rows(text))
        self._out += m.message(m.BIND_COMPLETE)

    def _describe(self, what: int, name: bytes) -> None:
        if name not in (self._statements if what == ord("S") else self._portals):
            self._error("26000", "nothing of that name")
            return
        if what == ord("S"):
            self._out += m.message(m.PARAMETER_DESCRIPTION, b"\0\0")
        self._out += _DESCRIPTION

    def _execute(self, portal: bytes, limit: int) -> None:
        rows = self._portals.get(portal)
        if rows is None:
            self._error("34000", "no such portal")
            return
        sent = 0
        while rows and (limit <= 0 or sent < limit):
            self._out += rows.popleft()
            sent += 1
        if limit > 0 and sent == limit:
            self._out += m.message(m.PORTAL_SUSPENDED)
        else:
            self._out += m.command_complete(f"SELECT {sent}")

    def _query(self, text: bytes) -> None:
        mark = _APPLICATION.search(text)
        if mark is not None:
            self._mark = mark[1]
        statements = [each.strip() for each in text.split(b"\n;")]
        for each in statements:
            if not each:
                self._out += m.message(m.EMPTY_QUERY)
                continue
            if self._fails(each):
                self._is_skipping = False
                break
            self._simple(each)
        self._out += m.ready(self._status)

    def _simple(self, text: bytes) -> None:
        word = text.split()[0].upper()
        if word in (b"BEGIN", b"START"):
            self._status = m.IN_BLOCK
            self._out += m.command_complete("BEGIN")
        elif word in (b"COMMIT", b"END", b"ROLLBACK", b"ABORT"):
            self._status = m.IDLE
            self._out += m.command_complete(word.decode())
        elif word == b"COPY":
            self._out += m.message(m.COPY_OUT_RESPONSE, b"\0\0\1\0\0")
            for _ in range(2):
                self._out += m.message(m.COPY_DATA, self._mark + b"\n")
            self._out += m.message(m.COPY_DONE) + m.command_complete("COPY 2")
        elif word in (b"SELECT", b"FETCH", b"EXECUTE", b"SHOW"):
            rows = self._rows(text)
            self._out += _DESCRIPTION + b"".join(rows) + m.command_complete(f"SELECT {len(rows)}")
        else:
            self._out += m.command_complete(word.decode("ascii", "replace"))

    def _rows(self, text: bytes) -> list[bytes]:
        found = _ROWS.search(text)
        count = min(int(found[1][:4]), 500) if found is not None else 1
        value = b"\0\1" + len(self._mark).to_bytes(4, "big") + self._mark
        return [m.message(m.DATA_ROW, value)] * count

    def _fails(self, text: bytes) -> bool:
        if POISON_TEXT in text:
            self._error("42P01", "relation does not exist")
            return True
        if b"fail" in text:
            self._error("22012", "division by zero")
            return True
        if self._status == m.FAILED and not text.upper().startswith((b"ROLLBACK", b"COMMIT")):
            self._error("25P02", "current transaction is aborted")
            return True
        return False

    def _error(self, sqlstate: str, text: str) -> None:
        self._out += m.refusal("ERROR", sqlstate, text)
        self._is_skipping = True
        if self._status == m.IN_BLOCK:
            self._status = m.FAILED

    # --- what it says ---

    def answer(self, most: int | None = None) -> bool:
        """Say what is due; at most so many bytes. False: there was nothing to say."""
        if (self.is_held and most is None) or not self._out:
            return False
        if self._line is not None and not self._line.is_read:
            return False
        count = len(self._out) if most is None else min(most, len(self._out))
        part = bytes(self._out[:count])
        del self._out[:count]
        self.has_part = most is not None and bool(self._out)
        self._deliver(part)
        return True

    def say(self, data: bytes) -> None:
        """Say this, whatever is due."""
        self._deliver(data)

    def cut(self) -> None:
        self.is_gone = True
        if self._line is not None:
            self._line.abort()


_DESCRIPTION = m.message(
    m.ROW_DESCRIPTION, b"\0\1mark\0" + b"\0\0\0\0\0\0" + b"\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
)
