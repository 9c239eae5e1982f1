"""`consent-proxy log …`: who read what about whom. Reading the log is an access, and recorded."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proxy.cli.failures import MISUSED, tell
from proxy.cli.options import (
    ColumnOption,
    ConfigOption,
    JsonOption,
    OutputOption,
    PurposeOption,
    SinceOption,
    TableOption,
    ToolOption,
    UntilOption,
)

if TYPE_CHECKING:
    from proxy.access_log.search import Filters

app = typer.Typer(
    help="Read, verify and export the access log. Every reading is recorded in it.",
    no_args_is_help=True,
)
LogFolderOption = Annotated[
    Path | None,
    typer.Option("--folder", metavar="FOLDER", help="The access log; else the configuration's."),
]


@app.command()
def tail(
    count: Annotated[int, typer.Option("-n", metavar="N", min=0, help="How many records.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="And those to come.")] = False,
    readings: Annotated[
        bool, typer.Option("--readings", help="Those of who read the log, too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Records as JSON lines.")] = False,
    folder: LogFolderOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the newest records."""
    from proxy.access_log.search import tail as newest
    from proxy.cli.records import json_line, text_line

    place = _open(folder, config, "tail")
    with contextlib.suppress(KeyboardInterrupt):
        records = newest(
            place,
            count=count,
            follow=follow,
            has_readings=readings,
            wait=lambda: time.sleep(0.25),
        )
        for record in records:
            print(json_line(record) if json else text_line(record), flush=follow)


@app.command()
def search(
    tool: ToolOption = None,
    purpose: PurposeOption = None,
    table: TableOption = None,
    column: ColumnOption = None,
    reason: Annotated[
        str | None, typer.Option(metavar="KEY", help="Refused for this reason.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Of this kind, as access.intent.")
    ] = None,
    access_id: Annotated[
        str | None, typer.Option("--id", metavar="UUID", help="Of this access.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="The first so many; else all.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Records as JSON lines.")] = False,
    folder: LogFolderOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the records that match every option, oldest first, each with its outcome."""
    from proxy.access_log.search import search as find
    from proxy.cli.records import json_line, text_line

    filters = _filters(tool, purpose, table, column, since, until, reason, kind, access_id)
    place = _open(folder, config, "search", filters)
    for record in find(place, filters, limit=limit):
        print(json_line(record) if json else text_line(record))


@app.command()
def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="Written nothing to; else the configuration's, where the reading is recorded.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Read every byte of the log again: is it as it was written?

    Exit codes: 0 intact; 1 changed (the first bad record is named); 3 can not be verified.
    """
    from proxy.access_log.verify import verify as read_again
    from proxy.cli.output import waiting

    place = folder if folder is not None else _folder_to_verify(config)
    with waiting(f"verifying {place}"):
        report = read_again(place)
    for line in report.lines():
        print(line)
    raise typer.Exit(report.exit_code)


@app.command()
def report(
    subject: Annotated[
        str | None, typer.Option(metavar="KEY", help="Not in this version: what of a person.")
    ] = None,
    tool: ToolOption = None,
    purpose: PurposeOption = None,
    table: TableOption = None,
    column: ColumnOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    json: JsonOption = False,
    folder: LogFolderOption = None,
    config: ConfigOption = None,
) -> None:
    """Sum up who read which table for what: accesses, refusals, rows, first and last.

    At least one of --tool, --purpose, --table and --column is needed.
    """
    from proxy.access_log.search import search as find
    from proxy.cli.output import waiting
    from proxy.cli.records import print_report, sum_up

    if subject is not None:
        tell("this version has no report about one person: `log search` tells who read a table")
        raise typer.Exit(MISUSED)
    filters = _filters(tool, purpose, table, column, since, until)
    if not {"tool", "purpose", "table", "column"} & set(filters.names()):
        raise typer.BadParameter("give --tool, --purpose, --table or --column")
    place = _open(folder, config, "report", filters)
    with waiting("reading the log"):
        summaries = sum_up(find(place, filters), table)
    print_report(summaries, json=json)


@app.command()
def export(
    format: Annotated[  # noqa: A002 - the name of the option
        Literal["jsonl", "csv", "ocsf"],
        typer.Option(
            metavar="jsonl|csv|ocsf",
            help="CSV is safe against formulas; ocsf is not in this version.",
        ),
    ] = "jsonl",
    tool: ToolOption = None,
    purpose: PurposeOption = None,
    table: TableOption = None,
    column: ColumnOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    output: OutputOption = None,
    folder: LogFolderOption = None,
    config: ConfigOption = None,
) -> None:
    """Write the records that match every option, oldest first."""
    from proxy.access_log.search import search as find
    from proxy.cli.output import csv_line, destination
    from proxy.cli.records import CSV_COLUMNS, csv_cells, json_line

    if format == "ocsf":
        tell("this version does not write OCSF: choose jsonl or csv")
        raise typer.Exit(MISUSED)
    filters = _filters(tool, purpose, table, column, since, until)
    place = _open(folder, config, "export", filters)
    with destination(output) as out:
        if format == "csv":
            out.write(csv_line(CSV_COLUMNS))
        for record in find(place, filters):
            out.write(csv_line(csv_cells(record)) if format == "csv" else json_line(record) + "\n")


# --- opening ---------------------------------------------------------------------------------


def _filters(
    tool: str | None,
    purpose: str | None,
    table: str | None,
    column: str | None,
    since: str | None,
    until: str | None,
    reason: str | None = None,
    kind: str | None = None,
    access_id: str | None = None,
) -> Filters:
    from proxy.access_log.search import Filters
    from proxy.cli.opening import instant

    return Filters(
        tool=tool,
        purpose=purpose,
        table=table,
        column=column,
        reason=reason,
        kind=kind,
        access_id=access_id,
        since=instant("--since", since),
        until=instant("--until", until),
    )


def _folder(folder: Path | None, config: Path | None) -> Path:
    from proxy.cli.opening import configuration
    from proxy.errors import ConfigurationError

    place = folder if folder is not None else configuration(config).access_log.folder
    if not place.is_dir():
        raise ConfigurationError(f"there is no access log in {place}")
    return place


def _open(
    folder: Path | None, config: Path | None, command: str, filters: Filters | None = None
) -> Path:
    """The log's folder, after the reading is recorded in it: without a record nothing is shown."""
    from proxy.access_log.search import record_reading
    from proxy.cli.opening import who

    place = _folder(folder, config)
    names = [] if filters is None else filters.names()
    record_reading(place, reader=who(), command=command, filters=names)
    return place


def _folder_to_verify(config: Path | None) -> Path:
    """As `_open`; but a log that takes no record can be verified all the same."""
    from proxy.access_log.segments import LogSealed
    from proxy.errors import ConfigurationError

    place = _folder(None, config)
    try:
        return _open(place, None, "verify")
    except (LogSealed, ConfigurationError, OSError) as error:
        tell(f"that it is verified could not be recorded: {error}")
        return place
