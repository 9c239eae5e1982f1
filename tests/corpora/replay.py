"""Send what tools send to a database and to the proxy in front of its twin, and compare.

The two databases are copies of each other, object ids included; only the proxy's one has the
ledger, and what else the proxy hides. Every answer is compared message by message, byte for byte.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proxy.demo.embedded import EmbeddedPostgres
from proxy.errors import Refused
from proxy.sql.grammar import parse
from proxy.wire import messages as m
from proxy.wire.startup import startup_message
from tests.wire.raw import Raw
from tests.world import World

HERE: Final = Path(__file__).parent
# The ids that the captured database had, and what has them.
CAPTURED_IDS: Final = {
    "16401": "'crm.customers'::regclass",
    "16413": "'crm.orders'::regclass",
    "16429": "'crm.web_visits'::regclass",
    "16443": "'crm.customer_value'::regclass",
    "16391": "'crm.channel'::regtype",
    "16388": "'crm'::regnamespace",
}
# An error's fields that the proxy passes on (design.md: the others speak of the rewriting).
COMPARED_FIELDS: Final = "SVCM"
# Lengths are part of messages: names that stand for each other are equally long.
ROLE, DIRECT_ROLE = "consent_reader", "corpora_reader"
Message = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Case:
    """What the proxy's database holds, and what its twin does."""

    name: str
    policy: Path
    hidden: str = ""  # SQL: what is there and not shown
    removed: str = ""  # SQL: how it is really removed

    @property
    def database(self) -> str:
        return f"corpora_{self.name}_p_{os.getpid()}"

    @property
    def twin(self) -> str:
        return f"corpora_{self.name}_d_{os.getpid()}"


OPEN: Final = Case("open", HERE / "policy")
HALF: Final = Case(
    "half",
    HERE / "hidden",
    (HERE / "hidden.sql").read_text(encoding="utf-8"),
    (HERE / "removed.sql").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One statement as a tool sent it."""

    text: str
    is_parsed: bool  # with Parse, else with Query
    types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    name: str
    startup: dict[str, str]
    sent: tuple[Sent, ...]


@dataclass(slots=True)
class Outcome:
    """What became of one statement."""

    tool: str
    text: str
    refusal: str = ""  # the reason, where the proxy refused it
    message: str = ""  # what it said
    difference: str = ""  # where the two answers differ
    is_reordered: bool = False  # they do, and only in the order of rows, or of what is in a row
    has_failed: bool = False  # the proxy's is an error, and the database's is not
    answer: bytes = b""  # the proxy's


@dataclass(slots=True)
class Twins:
    """A direct connection and one through the proxy, and what their names are."""

    direct: Raw
    through: Raw
    names: tuple[tuple[bytes, bytes], ...]  # direct's, the proxy's
    outcomes: list[Outcome] = field(default_factory=list)


def replay_all(postgres: EmbeddedPostgres, folder: Path, case: Case = OPEN) -> list[Outcome]:
    """Every captured statement, by a database and by a proxy in front of its twin."""
    postgres.run(f"CREATE DATABASE {case.database} TEMPLATE template0")
    postgres.run((HERE / "database.sql").read_text(), database=case.database)
    postgres.run(case.hidden, database=case.database)
    postgres.run(f"CREATE DATABASE {case.twin} TEMPLATE {case.database}")
    postgres.run(case.removed, database=case.twin)
    postgres.run(f"CREATE ROLE {DIRECT_ROLE} LOGIN IN ROLE pg_read_all_data")
    found: list[Outcome] = []
    try:
        with World(postgres, case.database, case.policy, folder) as world:
            for corpus in corpora(postgres, case):
                found += asyncio.run(_replayed(world, postgres, corpus, case))
    finally:
        postgres.run(f"DROP ROLE {DIRECT_ROLE}")
    return found


async def _replayed(
    world: World, postgres: EmbeddedPostgres, corpus: Corpus, case: Case
) -> list[Outcome]:
    place = f"{postgres.socket_folder}/.s.PGSQL.{postgres.socket_port}"
    through = await Raw.login(
        world.address[1], case.database, "tool", world.passwords["tool"], **corpus.startup
    )
    _ = await through.query("SELECT 1")  # from here on it has an upstream and its settings
    direct = await direct_login(place, DIRECT_ROLE, case.twin, corpus.startup)
    names = (
        (case.twin.encode(), case.database.encode()),
        (DIRECT_ROLE.encode(), ROLE.encode()),
    )
    twins = Twins(direct, through, names)
    await replay(twins, corpus)
    direct.close()
    through.close()
    return twins.outcomes


def corpora(postgres: EmbeddedPostgres, case: Case) -> tuple[Corpus, ...]:
    """Every captured tool; captured object ids become those of this database."""
    ids = {
        captured: postgres.run(f"SELECT ({shown})::oid", database=case.database).strip()
        for captured, shown in CAPTURED_IDS.items()
    }
    found = []
    for path in sorted((HERE / "sent").glob("*.json")):
        read: dict[str, Any] = json.loads(path.read_text())
        sent = tuple(
            Sent(
                text=_with_names(each["text"], ids, case.database),
                is_parsed=each["message"] == "Parse",
                types=tuple(each.get("types", ())),
            )
            for each in read["sent"]
        )
        found.append(Corpus(path.stem, read["startup"], sent))
    return tuple(found)


def _with_names(text: str, ids: dict[str, str], database: str) -> str:
    """The text with the object ids and the name of this database."""
    text = re.sub(r"\b\d{5}\b", lambda found: ids.get(found[0], found[0]), text)
    return text.replace('"dealer".', f'"{database}".').replace("'dealer'", f"'{database}'")


async def direct_login(place: str, user: str, database: str, startup: dict[str, str]) -> Raw:
    """A session like those that the proxy has upstream, in the eyes of a tool."""
    raw = Raw(*await asyncio.open_unix_connection(place))
    settings = {
        "client_encoding": "UTF8",
        "search_path": "crm",
        "default_transaction_read_only": "on",
        **startup,
    }
    raw.send(startup_message({"user": user, "database": database, **settings}))
    await raw.until_ready()
    return raw


def request(sent: Sent) -> bytes:
    if not sent.is_parsed:
        return m.query(sent.text.encode())
    count = max([len(sent.types), *map(int, re.findall(r"\$(\d+)", sent.text))])
    return b"".join(
        (
            m.parse(b"", sent.text.encode(), sent.types),
            m.describe(b"S", b""),
            _bind_nulls(count),
            m.describe(b"P", b""),
            m.execute(b""),
            m.SYNC_MESSAGE,
        )
    )


def _bind_nulls(count: int) -> bytes:
    """Bind with every parameter NULL: values are not in the captures."""
    body = b"\0\0" + (0).to_bytes(2, "big") + count.to_bytes(2, "big")
    return m.message(m.BIND, body + b"\xff\xff\xff\xff" * count + (0).to_bytes(2, "big"))


async def replay(twins: Twins, corpus: Corpus) -> None:
    """Send a tool's statements in order; what the proxy refuses is not sent to the database."""
    for sent in corpus.sent:
        outcome = Outcome(corpus.name, sent.text)
        twins.outcomes.append(outcome)
        message = request(sent)
        twins.through.send(message)
        seen = await twins.through.until_ready()
        outcome.refusal, outcome.message = _refusal(seen)
        outcome.answer = b"".join(data for _, data in seen)
        if not outcome.refusal:
            direct, through = twins.names[0]
            twins.direct.send(message.replace(through, direct))
            expected = await twins.direct.until_ready()
            one = [_comparable(each, twins.names) for each in expected]
            other = [_comparable(each, ()) for each in seen]
            outcome.difference = difference(one, other, is_ordered=_is_ordered(sent.text))
            outcome.is_reordered = _shuffled(one) == _shuffled(other)
            outcome.has_failed = "E" in _kinds(seen) - _kinds(expected)
        await _settle(twins, seen)


async def _settle(twins: Twins, seen: list[Message]) -> None:
    """Out of a failed transaction, as a tool would; and both into the same state."""
    status = chr(seen[-1][1][5])
    if status == "E" or any(kind == "E" for kind, _ in seen):
        for raw in (twins.through, twins.direct):
            _ = await raw.query("ROLLBACK")


def _refusal(seen: list[Message]) -> tuple[str, str]:
    for kind, data in seen:
        if kind == "E":
            fields = m.read_fields(data)
            found = re.match(r"reason: (\w+)", fields.get("D", ""))
            if found is not None:
                return found[1], fields["M"]
    return "", ""


def _comparable(message: Message, names: tuple[tuple[bytes, bytes], ...]) -> Message:
    """A message without what is documented to differ: table ids of columns, fields of errors."""
    kind, data = message
    if kind in "EN":
        fields = m.read_fields(data)
        return kind, repr({key: fields.get(key) for key in COMPARED_FIELDS}).encode()
    if kind == "T":
        return kind, _without_tables(data)
    for direct, through in names:
        data = data.replace(direct, through)
    return kind, data


def _without_tables(data: bytes) -> bytes:
    """RowDescription with table id and column number 0."""
    out, at = bytearray(data), 7
    for _ in range(int.from_bytes(data[5:7], "big")):
        at = data.index(b"\0", at) + 1
        out[at : at + 6] = bytes(6)
        at += 18
    return bytes(out)


def difference(expected: list[Message], seen: list[Message], *, is_ordered: bool) -> str:
    """What differs, or an empty text; the order of rows counts only where SQL fixes it."""
    if not is_ordered:
        expected, seen = _sorted_rows(expected), _sorted_rows(seen)
    if expected == seen:
        return ""
    for one, other in zip(expected, seen, strict=False):
        if one != other:
            return f"{one[0]} {one[1]!r} != {other[0]} {other[1]!r}"
    return f"{len(expected)} messages, not {len(seen)}"


def _shuffled(messages: list[Message]) -> list[tuple[str, list[int]]]:
    return sorted((kind, sorted(data)) for kind, data in messages)


def _kinds(messages: list[Message]) -> set[str]:
    return {kind for kind, _ in messages}


def _is_ordered(text: str) -> bool:
    """Whether a statement's own rows come in an order, not only those of something within it."""
    try:
        return any(
            "sortClause" in statement.node or statement.kind != "SelectStmt"
            for statement in parse(text)
        )
    except Refused:
        return True


def _sorted_rows(messages: list[Message]) -> list[Message]:
    rows = iter(sorted(each for each in messages if each[0] in "Dd"))
    return [next(rows) if each[0] in "Dd" else each for each in messages]
