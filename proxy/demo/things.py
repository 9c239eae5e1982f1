"""Five things to try, with people that are really in the database: each works when pasted."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from proxy.demo.embedded import installed_binaries
from proxy.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    id: int
    full_name: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The demo's cast: one person per story."""

    consented: Person  # gets the newsletter
    withdrew: Person  # got it once
    watched: Person  # agreed to personalisation, and looked at pages an hour ago


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One thing to try: what it shows, and commands for a shell."""

    title: str
    why: str
    commands: tuple[str, ...]


async def find_people(admin_url: str) -> People:
    """Look the cast up in the database, past the proxy."""
    connection = await asyncpg.connect(admin_url)
    try:
        found = {
            story: await connection.fetchrow(
                "SELECT c.id, c.full_name, c.email FROM crm.customers AS c"
                f" JOIN consent.subject AS s ON s.subject_id = c.id WHERE {condition}"
                " AND c.email IS NOT NULL ORDER BY c.id LIMIT 1"
            )
            for story, condition in _STORIES.items()
        }
    finally:
        await connection.close()
    people: dict[str, Person] = {}
    for story, row in found.items():
        if row is None:
            raise ConfigurationError(f"the demo's database has nobody for: {story}")
        people[story] = Person(id=row["id"], full_name=row["full_name"], email=row["email"])
    return People(**people)


_STORIES = {
    "consented": "s.email_campaign > now()",
    "withdrew": (
        "s.email_campaign < now() AND EXISTS (SELECT FROM consent.event AS e"
        " WHERE e.subject_id = c.id AND e.purpose = 'email_campaign' AND e.state = 'withdrawn')"
    ),
    "watched": (
        "s.personalisation > now() AND EXISTS (SELECT FROM web.page_views AS v"
        " WHERE v.customer_id = c.id AND v.source = 'dealer_site'"
        " AND v.viewed_at > now() - interval '12 hours')"
        " AND EXISTS (SELECT FROM web.page_views AS v WHERE v.customer_id = c.id"
        " AND v.source = 'dealer_site' AND v.viewed_at"
        " BETWEEN now() - interval '80 days' AND now() - interval '25 hours')"
    ),
}


def things_to_try(
    people: People, *, host: str, port: int, config: Path, password_file: Path
) -> tuple[Thing, ...]:
    """The five things, for a proxy that listens on host and port."""
    command = f"{_own_command()} {{}} --config {shlex.quote(str(config))}"

    def ask(tool: str, statement: str) -> str:
        environment = f"PGPASSFILE={shlex.quote(str(password_file))}"
        door = f"-X -h {host} -p {port} -U {tool} -d crm"
        return f"{environment} {_psql()} {door} -c {shlex.quote(statement)}"

    listed = people.consented
    email = f"SELECT id, full_name, email FROM crm.customers WHERE id = {listed.id}"
    withdraw = f"consent withdraw --subject {listed.id} --purpose email_campaign"
    views = (
        "SELECT viewed_at, url, source FROM web.page_views"
        f" WHERE customer_id = {people.watched.id} ORDER BY viewed_at DESC LIMIT 5"
    )
    return (
        Thing(
            title="A newsletter goes to those who agreed",
            why=(
                f"The mailer sees people with a consent in force, their dates of birth cut to the "
                f"year. Customer {people.withdrew.id} withdrew, and is not there."
            ),
            commands=(
                ask(
                    "mailer",
                    "SELECT id, full_name, email, birth_date FROM crm.customers"
                    " ORDER BY id LIMIT 5",
                ),
                ask("mailer", f"SELECT email FROM crm.customers WHERE id = {people.withdrew.id}"),
            ),
        ),
        Thing(
            title="Nobody's life is guessed at behind their back",
            why=(
                "The database has a score for who may expect a child. "
                "For the mailer the column does not exist."
            ),
            commands=(ask("mailer", "SELECT id, expecting_score FROM crm.customers LIMIT 5"),),
        ),
        Thing(
            title="Nobody is followed around",
            why=(
                f"Customer {people.watched.id} agreed to personalisation and looked at a page "
                "within the last hours. The web site is shown nothing younger than 24 hours, "
                "nothing older than 90 days, and nothing that was bought or tracked elsewhere."
            ),
            commands=(ask("site", views),),
        ),
        Thing(
            title="A withdrawal acts at once",
            why=f"{listed.full_name} ({listed.id}) is on the list, withdraws, and is off it.",
            commands=(ask("mailer", email), command.format(withdraw), ask("mailer", email)),
        ),
        Thing(
            title="Every access left a record",
            why="Who read what, for which purpose; with neither values nor literals in it.",
            commands=(
                command.format("log tail -n 5"),
                command.format("log search --tool mailer"),
            ),
        ),
    )


def render(things: tuple[Thing, ...]) -> str:
    """The things as text for a terminal. Commands stand alone on their lines, to be pasted."""
    blocks = []
    for number, thing in enumerate(things, start=1):
        commands = "\n".join(thing.commands)
        blocks.append(f"{number}. {thing.title}\n   {thing.why}\n\n{commands}\n")
    return "\n".join(blocks)


def _psql() -> str:
    # The embedded PostgreSQL brings its own, for machines without one.
    return "psql" if shutil.which("psql") else shlex.quote(str(installed_binaries() / "psql"))


def _own_command() -> str:
    beside = Path(sys.executable).parent / "consent-proxy"
    found = shutil.which("consent-proxy")
    if found is not None and Path(found).resolve() == beside.resolve():
        return "consent-proxy"
    return shlex.quote(str(beside))
