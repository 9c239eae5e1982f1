"""The demo from one command: a dealer's database, the proxy in front, five things to try."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from proxy.config import load_config
from proxy.demo.prepare import Demo, prepare, write_password_file
from proxy.demo.progress import progress_bar
from proxy.demo.things import find_people, render, things_to_try
from proxy.server import Ready
from proxy.telemetry import set_up_logging
from proxy.workers import run_loop, serve_one

FOLDER: Final = Path("demo")


def demo(
    *,
    folder: Path | None,
    customers: int,
    seed: int,
    postgres: str,
    http: str,
    ready_file: Path | None,
) -> int:
    """Prepare (or find) the demo in `folder`, serve it until told to end; the exit code."""
    set_up_logging(level="warning")
    place = (FOLDER if folder is None else folder).resolve()
    return run_loop(_demo(place, customers, seed, postgres, http, ready_file))


async def _demo(
    folder: Path, customers: int, seed: int, postgres: str, http: str, ready_file: Path | None
) -> int:
    with progress_bar("the dealer's database") as progress:
        made = await prepare(
            folder,
            customers=customers,
            seed=seed,
            postgres=postgres,
            http=http,
            progress=progress,
        )
    try:
        password_file = write_password_file(made)
        people = await find_people(made.admin_url)

        def tell(ready: Ready) -> None:
            host, port = ready.postgres
            things = things_to_try(
                people, host=host, port=port, config=made.config, password_file=password_file
            )
            _say(_greeting(made, ready))
            _say(render(things))
            _say("Ctrl-C ends the demo; the folder stays, and the next start is quick.")

        return await serve_one(
            load_config(made.config),
            ready_file=ready_file,
            more=made.ready_values(),
            started=tell,
        )
    finally:
        made.server.stop()


def _greeting(made: Demo, ready: Ready) -> str:
    tools = "\n".join(
        f"  {name:<10} {', '.join(tool.purposes)}" for name, tool in made.tools.items()
    )
    return (
        f"\nThe dealer's customer database is behind the proxy (folder {made.folder}).\n"
        f"  PostgreSQL {ready.postgres[0]}:{ready.postgres[1]}, database crm\n"
        f"  HTTP       http://{ready.http[0]}:{ready.http[1]}\n"
        f"Tools and their purposes:\n{tools}\n\nFive things to try, in another terminal:\n"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
