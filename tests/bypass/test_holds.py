"""What a tool holds on to, and what changes meanwhile: each with each.

A holder takes its hold while the value of person 6 may be seen; something changes; the holder tries
to show the value. `EXPECTED` says what must come back.
"""

from __future__ import annotations

import http.client
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import orjson
import pytest

from proxy.demo.embedded import EmbeddedPostgres
from proxy.secrets import Secrets
from proxy.wire import messages as m
from proxy.wire.scram import ScramClient
from proxy.wire.startup import startup_message
from tests.bypass.client import Client, Closed, Message, error_fields
from tests.bypass.conftest import RIGHTS
from tests.bypass.worlds import FOLDER, ONE, POLICY, Side, people_speak
from tests.conftest import MakeDatabase
from tests.world import World

PERSON: Final = 6
VALUE: Final = b"alias6"
TOOL: Final = "both"
SELECT: Final = f"SELECT alias FROM crm.people WHERE id = {PERSON}"
# Everybody else first: portals and cursors stand right before the value.
ROWS: Final = "SELECT alias FROM crm.people WHERE id <= 6 ORDER BY id"
# More than all buffers on the way hold, so that it is under way for as long as nobody reads.
LONG: Final = (
    "SELECT alias, repeat('x', 16000) FROM crm.people, generate_series(1, 800) n WHERE id = 6"
    " ORDER BY n"
)


class Seen(StrEnum):
    """What a holder's attempt to show the value comes to."""

    VALUE = "the value"
    NOTHING = "an answer without the value"
    RETRY = "40001"
    REFUSED = "refused, or an error of PostgreSQL's own"
    ENDED = "the session was ended"
    DENIED = "HTTP 401 or 403"


# --- holders ---------------------------------------------------------------------------------


class Holder(Protocol):
    def take(self, side: Side) -> None: ...
    def show(self) -> Seen: ...
    def leave(self) -> None: ...


@dataclass(slots=True)
class BySession:
    """A session: `begin` is sent while the value may be seen, `then` tries to show it."""

    begin: Callable[[Client], object]
    then: Callable[[Client], list[Message]]
    is_running: bool = False
    _client: Client | None = None

    def take(self, side: Side) -> None:
        self._client = side.connect(TOOL, options="-c consent.purpose=profile")
        self.begin(self._client)
        assert error_fields(self._client.messages) is None, self._client.messages

    def show(self) -> Seen:
        assert self._client is not None
        self._client.received.clear()
        try:
            messages = self.then(self._client)
        except (Closed, ConnectionError):
            # What had left the proxy before comes all the same; nothing of it is whole.
            assert self.is_running or VALUE not in bytes(self._client.received)
            return Seen.ENDED
        return _seen(bytes(self._client.received), messages)

    def leave(self) -> None:
        if self._client is not None:
            self._client.close()


def _seen(received: bytes, messages: list[Message]) -> Seen:
    error = error_fields(messages)
    if VALUE in received:
        assert error is None
        return Seen.VALUE
    if error is None:
        return Seen.NOTHING
    return Seen.RETRY if error["C"] == "40001" else Seen.REFUSED


def _query(text: str) -> Callable[[Client], list[Message]]:
    return lambda client: client.simple(text)


def _queries(*texts: str) -> Callable[[Client], None]:
    def send(client: Client) -> None:
        for text in texts:
            client.simple(text)

    return send


def _sent(*parts: bytes, before: str = "") -> Callable[[Client], list[Message]]:
    def send(client: Client) -> list[Message]:
        if before:
            client.simple(before)
        return client.send(*parts, m.SYNC_MESSAGE)

    return send


def _flushed(client: Client) -> None:
    """A part of a pipeline, answered, its Sync not sent."""
    client.messages.clear()
    parts = (m.parse(b"s", SELECT.encode()), m.bind(b"", b"s"), m.execute(b""), m.FLUSH_MESSAGE)
    client.socket.sendall(b"".join(parts))
    while client.next().kind != "C":
        pass


def _unread(text: str) -> Callable[[Client], None]:
    def send(client: Client) -> None:
        client.messages.clear()
        client.socket.sendall(m.query(text.encode()))
        client.next()  # it has begun

    return send


def _read(client: Client) -> list[Message]:
    while client.next().kind != "Z":
        pass
    return [message for message in client.messages if message.kind == "E"]


@dataclass(slots=True)
class ByHttp:
    """A request of its own each time; `is_running`: one that is being answered all the while."""

    is_running: bool = False
    _side: Side | None = None
    _connection: http.client.HTTPConnection | None = None
    _response: http.client.HTTPResponse | None = None

    def take(self, side: Side) -> None:
        self._side = side
        address = urlsplit(side.world.http)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
        self._connection = connection
        self._ask(side.world.tokens[TOOL])
        if not self.is_running:
            assert self._response is not None
            assert VALUE in self._response.read()

    def _body(self) -> bytes:
        return orjson.dumps({"sql": LONG if self.is_running else SELECT, "purpose": "profile"})

    def _ask(self, token: str) -> None:
        assert self._connection is not None
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/x-ndjson",
            "Authorization": f"Bearer {token}",
        }
        self._connection.request("POST", "/v1/query", self._body(), headers)
        self._response = self._connection.getresponse()

    def show(self) -> Seen:
        assert self._side is not None
        if not self.is_running:
            # The token that the tool has known all the while.
            self._ask(self._side.world.tokens[TOOL])
        return self._judged()

    def _judged(self) -> Seen:
        assert self._response is not None
        body = self._response.read()
        if self.is_running:
            assert self._response.status == 200
            return Seen.VALUE if b'"end"' in body[-100:] else Seen.ENDED
        if self._response.status != 200:
            reason = orjson.loads(body)["error"]["reason"]
            is_denied = reason in ("wrong_credential", "purpose_not_allowed")
            return Seen.DENIED if is_denied else Seen.REFUSED
        return Seen.VALUE if VALUE in body else Seen.NOTHING

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._response = None


class LateRequest(ByHttp):
    """Its headers come before the change, the end of its body after it."""

    def take(self, side: Side) -> None:
        super().take(side)
        assert self._connection is not None
        body = self._body()
        self._connection.putrequest("POST", "/v1/query")
        self._connection.putheader("Content-Type", "application/json")
        self._connection.putheader("Authorization", f"Bearer {side.world.tokens[TOOL]}")
        self._connection.putheader("Content-Length", str(len(body)))
        self._connection.endheaders(body[:10])

    def show(self) -> Seen:
        assert self._connection is not None
        self._connection.send(self._body()[10:])
        self._response = self._connection.getresponse()
        return self._judged()


def _lifted(client: Client) -> None:
    for number in range(3):
        client.simple(f"{SELECT} AND id <> {number + 100}")


_PARSED: Final = m.parse(b"s", SELECT.encode())
_BOUND: Final = (m.parse(b"", ROWS.encode()), m.bind(b"p", b""))
_AGAIN: Final = (m.bind(b"", b"s"), m.execute(b""))
_UNNAMED: Final = (m.parse(b"", SELECT.encode()), m.bind(b"", b""), m.execute(b""))

# Asked anew: the newest state, whatever was prepared.
NEW: Final[Mapping[str, Callable[[], Holder]]] = {
    "a query": lambda: BySession(_query(SELECT), _query(SELECT)),
    "a block": lambda: BySession(_queries("BEGIN", SELECT), _query(SELECT)),
    "a named statement": lambda: BySession(_sent(_PARSED, *_AGAIN), _sent(*_AGAIN)),
    "the unnamed statement": lambda: BySession(
        _sent(m.parse(b"", SELECT.encode())), _sent(m.bind(b"", b""), m.execute(b""))
    ),
    "a statement of PREPARE": lambda: BySession(
        _queries(f"PREPARE s AS {SELECT}", "EXECUTE s"), _query("EXECUTE s")
    ),
    "a pipeline": lambda: BySession(_flushed, _sent(*_AGAIN)),
    "a plan shared by literals": lambda: BySession(_lifted, _query(f"{SELECT} AND id <> 200")),
    # Taken as a whole where it has come before (session/steady.py).
    "a known exchange": lambda: BySession(
        lambda client: [_sent(_PARSED)(client), *(_sent(*_AGAIN)(client) for _ in range(4))],
        _sent(*_AGAIN),
    ),
    "a known Parse": lambda: BySession(
        lambda client: [_sent(*_UNNAMED)(client) for _ in range(4)], _sent(*_UNNAMED)
    ),
    "a known text": lambda: BySession(_queries(*[SELECT] * 4), _query(SELECT)),
    "a request": ByHttp,
    "a request that comes slowly": LateRequest,
}
# An older snapshot, or rows that were made from one.
KEPT: Final[Mapping[str, Callable[[], Holder]]] = {
    "a portal that is bound": lambda: BySession(
        _sent(*_BOUND, before="BEGIN"), _sent(m.execute(b"p"))
    ),
    "a portal that is suspended": lambda: BySession(
        _sent(*_BOUND, m.execute(b"p", 5), before="BEGIN"), _sent(m.execute(b"p"))
    ),
    "a suspended EXECUTE": lambda: BySession(
        _sent(
            m.parse(b"", b"EXECUTE s"),
            m.bind(b"p", b""),
            m.execute(b"p", 5),
            before=f"BEGIN; PREPARE s AS {ROWS}",
        ),
        _sent(m.execute(b"p")),
    ),
    "a portal that is fetched from": lambda: BySession(
        _sent(*_BOUND, before="BEGIN"), _query("FETCH ALL FROM p")
    ),
    "a cursor": lambda: BySession(
        _queries("BEGIN", f"DECLARE c CURSOR FOR {ROWS}", "FETCH 5 FROM c"),
        _query("FETCH 1 FROM c"),
    ),
    "a cursor WITH HOLD": lambda: BySession(
        _queries(f"DECLARE c CURSOR WITH HOLD FOR {ROWS}"), _query("FETCH ALL FROM c")
    ),
    "a cursor as a portal": lambda: BySession(
        _queries(f"DECLARE c CURSOR WITH HOLD FOR {ROWS}"), _sent(m.execute(b"c"))
    ),
    "a suspended FETCH": lambda: BySession(
        _sent(
            m.parse(b"", b"FETCH ALL FROM c"),
            m.bind(b"p", b""),
            m.execute(b"p", 5),
            before=f"BEGIN; DECLARE c CURSOR FOR {ROWS}",
        ),
        _sent(m.execute(b"p")),
    ),
}
BLOCKS: Final[Mapping[str, Callable[[], Holder]]] = {
    "REPEATABLE READ": lambda: BySession(
        _queries("BEGIN ISOLATION LEVEL REPEATABLE READ", SELECT), _query(SELECT)
    ),
    "SERIALIZABLE, prepared": lambda: BySession(
        _sent(_PARSED, *_AGAIN, before="BEGIN ISOLATION LEVEL SERIALIZABLE"), _sent(*_AGAIN)
    ),
    "REPEATABLE READ by default, another table": lambda: BySession(
        _queries(
            "SET default_transaction_isolation = 'repeatable read'",
            "BEGIN",
            "SELECT count(*) FROM ref.shops",
        ),
        _query(SELECT),
    ),
}
# Rows of a statement that was already running keep flowing, but to nobody who may not ask any more.
RUNNING: Final[Mapping[str, Callable[[], Holder]]] = {
    "a running COPY": lambda: BySession(_unread(f"COPY ({LONG}) TO STDOUT"), _read, True),
    "a running query": lambda: BySession(_unread(LONG), _read, True),
    "a running request": lambda: ByHttp(is_running=True),
}
WAYS: Final = {"new": NEW, "kept": KEPT, "block": BLOCKS, "running": RUNNING}


# --- changes ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Changing:
    """A world whose policy, secrets and consents a test changes, and puts back."""

    side: Side
    files: dict[Path, bytes] = field(default_factory=dict)

    @property
    def world(self) -> World:
        return self.side.world

    def policy(self, old: str, new: str) -> None:
        path = self.world.policy / "policy.yaml"
        text = path.read_text()
        assert old in text
        self._keep(path)
        path.write_text(text.replace(old, new))
        self.world.run(self.world.server.reload())

    def secrets(self, change: Callable[[Secrets], object]) -> None:
        path = self.world.folder / "secrets.yaml"
        self._keep(path)
        change(Secrets.load(path))
        self.world.run(self.world.server.reload())

    def people(self, state: str, purpose: str | None = "profile") -> None:
        self.world.record(PERSON, purpose, state)

    def expire(self) -> None:
        """Let the clock reach the end of a grant; the database says when."""
        self.world.postgres.run(
            "SELECT pg_sleep(greatest(0, extract(epoch FROM profile - clock_timestamp())) + 0.01)"
            f" FROM consent.subject WHERE subject_id = {PERSON}",
            database=self.world.database,
        )

    def _keep(self, path: Path) -> None:
        self.files.setdefault(path, path.read_bytes())

    def put_back(self) -> None:
        for path, content in self.files.items():
            path.write_bytes(content)
        self.world.run(self.world.server.reload())
        self.files.clear()
        for purpose in ("profile", "campaign", "service"):
            self.world.record(PERSON, purpose, "given")


_COLUMN: Final = ("alias: user.secret", "alias: user.never")
_RULE: Final = (
    "    subject: id\n",
    "    subject: id\n    source: {column: country, allow: [XX]}\n",
)
_PURPOSES: Final = "{purposes: [profile, campaign], default: campaign}"

CHANGES: Final[Mapping[str, Callable[[Changing], None]]] = {
    "consent is withdrawn": lambda c: c.people("withdrawn"),
    "consent is refused": lambda c: c.people("refused"),
    "somebody objects": lambda c: c.people("objected"),
    "somebody is restricted": lambda c: c.people("restricted", None),
    "a grant expires": lambda c: c.expire(),
    "a column's category is another": lambda c: c.policy(*_COLUMN),
    "a purpose reads less": lambda c: c.policy("user.phone, user.secret,", "user.phone,"),
    "a rule for rows is added": lambda c: c.policy(*_RULE),
    "the table leaves the policy": lambda c: c.policy("  crm.people:\n", "  crm.loose_child:\n"),
    "the tool loses the purpose": lambda c: c.policy(_PURPOSES, "{purposes: [campaign]}"),
    "the tool leaves the policy": lambda c: c.policy(f"  {TOOL}:      {_PURPOSES}\n", ""),
    "the tool is disabled": lambda c: c.secrets(lambda secrets: secrets.disable(TOOL)),
    "its password is another": lambda c: c.secrets(lambda s: s.set_password(TOOL, "another one")),
    "its token is another": lambda c: c.secrets(lambda secrets: secrets.make_token(TOOL)),
}
_PEOPLE: Final = ("withdrawn", "refused", "objects", "restricted")
_POLICY: Final = ("category", "reads less", "rule")


def expected(change: str, way: str, holder: str) -> set[Seen]:
    """What may be seen. One entry, but where PostgreSQL decides when rows are made."""
    is_request = "request" in holder
    if any(word in change for word in _PEOPLE):
        return {
            "new": {Seen.NOTHING},
            "kept": {Seen.RETRY},
            "block": {Seen.RETRY},
            "running": {Seen.VALUE},
        }[way]
    if "expires" in change:
        # Nothing marks this instant. A guard that runs after it says no, whatever its snapshot;
        # rows that were made before it stay for `limits.snapshot_s`.
        return {Seen.VALUE, Seen.NOTHING} if way in ("kept", "running") else {Seen.NOTHING}
    if any(word in change for word in _POLICY):
        return {
            "new": {Seen.NOTHING},
            "kept": {Seen.RETRY},
            "block": {Seen.NOTHING},
            "running": {Seen.VALUE},
        }[way]
    if "table leaves" in change:
        return {
            "new": {Seen.REFUSED},
            "kept": {Seen.RETRY},
            "block": {Seen.REFUSED},
            "running": {Seen.VALUE},
        }[way]
    if is_request:
        if "password" in change:  # a token is another credential
            return {Seen.VALUE}
        return {Seen.ENDED} if way == "running" else {Seen.DENIED}
    return {Seen.ENDED}


# --- the tests -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def changing(postgres: EmbeddedPostgres, make_database: MakeDatabase) -> Iterator[Changing]:
    folder = Path(tempfile.mkdtemp(prefix="holds-"))
    script = (FOLDER / "structure.sql").read_text() + ONE.script(datetime.now(UTC).isoformat())
    name = make_database(script=script).split("@/", 1)[1].split("?", 1)[0]
    shutil.copytree(POLICY, folder / "policy")
    world = World(
        postgres,
        database=name,
        policy=folder / "policy",
        folder=folder / "world",
        connections=60,
    )
    try:
        with world:
            postgres.run(RIGHTS, database=name)
            people_speak(world)
            yield Changing(Side(world, ONE.leaks()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take(changing: Changing, holders: Sequence[Holder]) -> None:
    for holder in holders:
        holder.take(changing.side)


def _take_before_it_ends(changing: Changing, holders: Sequence[Holder]) -> None:
    """Under a grant that ends soon; later, where that was too soon for a slow machine."""
    for seconds in (2, 4, 8, 16, 32):
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        changing.world.record(PERSON, "profile", "given", until=until.isoformat())
        try:
            _take(changing, holders)
        except AssertionError:
            for holder in holders:
                holder.leave()
        else:
            return
    raise AssertionError("the machine is too slow to hold on to anything")


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_held_shows_nothing_that_may_not_be_seen_any_more(
    changing: Changing, change: str
) -> None:
    holders = [
        (way, name, make()) for way, holders in WAYS.items() for name, make in holders.items()
    ]
    try:
        take = _take_before_it_ends if "expires" in change else _take
        take(changing, [holder for _, _, holder in holders])
        CHANGES[change](changing)
        for way, name, holder in holders:
            seen = holder.show()
            assert seen in expected(change, way, name), f"{change}: {name} shows {seen}"
    finally:
        for _, _, holder in holders:
            holder.leave()
        changing.put_back()


def test_a_password_that_is_changed_while_it_is_proved_does_not_open_a_session(
    changing: Changing,
) -> None:
    """Whoever holds the old one could keep a login half done."""
    world = changing.world
    client = Client.open(world.address)
    client.socket.sendall(startup_message({"user": TOOL, "database": world.database}))
    scram = ScramClient(["SCRAM-SHA-256"], world.passwords[TOOL], b"n" * 18, None)
    assert client.next().body[:4] == b"\0\0\0\x0a"
    first = scram.first()
    head = scram.mechanism.encode() + b"\0" + len(first).to_bytes(4, "big")
    client.socket.sendall(m.message(m.PASSWORD, head + first))
    challenge = client.next().body[4:]
    try:
        changing.secrets(lambda secrets: secrets.set_password(TOOL, "another one"))
        client.socket.sendall(m.message(m.PASSWORD, scram.final(challenge)))
        message = client.next()
    finally:
        changing.put_back()
        client.close()
    assert (message.kind, b"28P01" in message.body) == ("E", True)
