"""Sessions that hold on to what they could see: each in another of PostgreSQL's ways.

A holder takes its hold while the person's value may be seen, and shows it; later it tries to show
the value again by what it holds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

from proxy.wire import messages as m
from tests.wire.raw import Raw
from tests.world import World

# Everybody but the person comes after them: portals and cursors stand right before the value.
ROWS: Final = """
SELECT id, email FROM crm.customers WHERE id <> {0}
UNION ALL SELECT id, email FROM crm.customers WHERE id = {0}
"""
ONE: Final = "SELECT email FROM crm.customers WHERE id = {}"


class Holder(Protocol):
    """`take` while the value is in force; `show` afterwards; `leave` so that it can begin anew."""

    # Whether what is held is an older snapshot, so that it must be refused.
    is_snapshot: bool

    async def take(self, raw: Raw, person: int) -> bytes: ...
    async def show(self, raw: Raw, person: int) -> bytes: ...


class PreparedStatement:
    is_snapshot = False

    async def take(self, raw: Raw, person: int) -> bytes:
        raw.send(m.parse(b"held", ONE.format(person).encode()), *_executed(b"held"))
        return await _all(raw)

    async def show(self, raw: Raw, person: int) -> bytes:
        raw.send(*_executed(b"held"))
        seen = await _all(raw)
        raw.send(m.close(b"S", b"held"), m.SYNC_MESSAGE)
        return seen + await _all(raw)


class SqlPrepared:
    is_snapshot = False

    async def take(self, raw: Raw, person: int) -> bytes:
        _ = await raw.query(f"PREPARE held AS {ONE.format(person)}")
        return _joined(await raw.query("EXECUTE held"))

    async def show(self, raw: Raw, person: int) -> bytes:
        seen = _joined(await raw.query("EXECUTE held"))
        return seen + _joined(await raw.query("DEALLOCATE held"))


class PlainQuery:
    is_snapshot = False

    async def take(self, raw: Raw, person: int) -> bytes:
        return _joined(await raw.query(ONE.format(person)))

    async def show(self, raw: Raw, person: int) -> bytes:
        return await self.take(raw, person)


class ReadCommitted:
    """A transaction whose statements each see the newest state."""

    is_snapshot = False

    async def take(self, raw: Raw, person: int) -> bytes:
        _ = await raw.query("BEGIN")
        return _joined(await raw.query(ONE.format(person)))

    async def show(self, raw: Raw, person: int) -> bytes:
        seen = _joined(await raw.query(ONE.format(person)))
        return seen + _joined(await raw.query("ROLLBACK"))


class OpenPortal:
    """A portal that was suspended right before the value."""

    is_snapshot = True

    async def take(self, raw: Raw, person: int) -> bytes:
        seen = _joined(await raw.query("BEGIN"))
        text = ROWS.format(person).encode()
        raw.send(
            m.parse(b"", text),
            m.bind(b"held", b""),
            m.execute(b"held", 5),
            m.SYNC_MESSAGE,
        )
        seen += await _all(raw)
        return seen + _joined(await raw.query(ONE.format(person)))

    async def show(self, raw: Raw, person: int) -> bytes:
        raw.send(m.execute(b"held"), m.SYNC_MESSAGE)
        seen = await _all(raw)
        return seen + _joined(await raw.query("ROLLBACK"))


class BoundPortal:
    """A portal that was bound, and not executed yet."""

    is_snapshot = True

    async def take(self, raw: Raw, person: int) -> bytes:
        seen = _joined(await raw.query("BEGIN"))
        text = ONE.format(person).encode()
        raw.send(m.parse(b"", text), m.bind(b"held", b""), m.SYNC_MESSAGE)
        seen += await _all(raw)
        return seen + _joined(await raw.query(ONE.format(person)))

    async def show(self, raw: Raw, person: int) -> bytes:
        raw.send(m.execute(b"held"), m.SYNC_MESSAGE)
        seen = await _all(raw)
        return seen + _joined(await raw.query("ROLLBACK"))


class Cursor:
    is_snapshot = True

    async def take(self, raw: Raw, person: int) -> bytes:
        _ = await raw.query("BEGIN")
        _ = await raw.query(f"DECLARE held SCROLL CURSOR FOR {ROWS.format(person)}")
        return _joined(await raw.query("FETCH ALL FROM held"))

    async def show(self, raw: Raw, person: int) -> bytes:
        seen = _joined(await raw.query("FETCH BACKWARD ALL FROM held"))
        return seen + _joined(await raw.query("ROLLBACK"))


class HeldCursor:
    """A cursor that outlives its transaction."""

    is_snapshot = True

    async def take(self, raw: Raw, person: int) -> bytes:
        _ = await raw.query(f"DECLARE held SCROLL CURSOR WITH HOLD FOR {ROWS.format(person)}")
        return _joined(await raw.query("FETCH ALL FROM held"))

    async def show(self, raw: Raw, person: int) -> bytes:
        seen = _joined(await raw.query("FETCH BACKWARD ALL FROM held"))
        return seen + _joined(await raw.query("CLOSE held"))


class RepeatableRead:
    is_snapshot = True

    async def take(self, raw: Raw, person: int) -> bytes:
        _ = await raw.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        return _joined(await raw.query(ONE.format(person)))

    async def show(self, raw: Raw, person: int) -> bytes:
        seen = _joined(await raw.query(ONE.format(person)))
        return seen + _joined(await raw.query("ROLLBACK"))


class Serializable:
    """A snapshot taken by a statement that reads no person, in a session that is always so."""

    is_snapshot = True

    async def take(self, raw: Raw, person: int) -> bytes:
        seen = _joined(await raw.query(ONE.format(person)))
        await raw.query("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        _ = await raw.query("BEGIN")
        return seen + _joined(await raw.query("SELECT count(*) FROM sales.orders"))

    async def show(self, raw: Raw, person: int) -> bytes:
        seen = _joined(await raw.query(ONE.format(person)))
        return seen + _joined(await raw.query("ROLLBACK"))


HOLDERS: Final[tuple[type[Holder], ...]] = (
    PreparedStatement, SqlPrepared, PlainQuery, ReadCommitted, OpenPortal, BoundPortal, Cursor,
    HeldCursor, RepeatableRead, Serializable,
)  # fmt: skip


@asynccontextmanager
async def sessions(world: World) -> AsyncIterator[list[tuple[Holder, Raw]]]:
    """One session per way of holding on."""
    opened = []
    for kind in HOLDERS:
        raw = await Raw.login(world.address[1], world.database, "mailer", world.passwords["mailer"])
        opened.append((kind(), raw))
    yield opened
    for _, raw in opened:
        raw.close()


def _executed(statement: bytes) -> tuple[bytes, ...]:
    return (m.bind(b"", statement), m.execute(b""), m.SYNC_MESSAGE)


async def _all(raw: Raw) -> bytes:
    return _joined(await raw.until_ready())


def _joined(messages: list[tuple[str, bytes]]) -> bytes:
    return b"".join(data for _, data in messages)
