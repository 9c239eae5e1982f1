"""Options that several commands take, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration; else CONSENT_PROXY_CONFIG, else consent-proxy.yaml here.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write there (mode 0600), not to the terminal."),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="From then on: 2026-03-01T12:00:00Z, or 24h for a day ago.",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Before then: 2026-03-01T12:00:00Z, or 1h for an hour ago."),
]
ToolOption = Annotated[str | None, typer.Option("--tool", metavar="NAME", help="Of this tool.")]
PurposeOption = Annotated[
    str | None, typer.Option("--purpose", metavar="NAME", help="For this purpose.")
]
TableOption = Annotated[
    str | None, typer.Option("--table", metavar="SCHEMA.TABLE", help="That read this table.")
]
ColumnOption = Annotated[
    str | None,
    typer.Option("--column", metavar="NAME", help="In which this column was shown or masked."),
]
