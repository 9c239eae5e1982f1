"""`consent-proxy policy …`: is it right, what does it mean, what would another one change?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proxy.cli.failures import DONE, NO
from proxy.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from proxy.config import Config
    from proxy.policy.matrix import MatrixRow
    from proxy.policy.problem import Problem

app = typer.Typer(
    help="Check a policy, run its examples, show what it means.", no_args_is_help=True
)
FolderArgument = Annotated[
    Path | None, typer.Argument(metavar="[FOLDER]", help="Else the configuration's policy.")
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Ask no database, even if one is configured.")
]


@app.command()
def check(
    folder: FolderArgument = None,
    offline: OfflineOption = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Tell every error and doubt, with file and line. With a database, against its catalog too.

    A FOLDER is checked without a database unless --config or CONSENT_PROXY_CONFIG is given.
    """
    from proxy.cli.output import print_json, print_severity
    from proxy.policy.problem import errors_of

    place, settings = _place(folder, config)
    problems = _problems(place, None if offline else settings)
    errors = errors_of(problems)
    if json:
        print_json([_problem_json(problem) for problem in problems])
    else:
        for problem in problems:
            print_severity(problem.severity, _problem_text(problem))
        print(f"{len(errors)} errors, {len(problems) - len(errors)} warnings in {place}")
    raise typer.Exit(NO if errors else DONE)


@app.command("test")
def run_tests(
    folder: FolderArgument = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run the examples beside a policy (*.test.yaml) through the proxy, on a real PostgreSQL.

    The server is an embedded one with nothing but the examples' rows; the configured database, if
    there is one, is only asked for the types of columns.
    """
    from proxy.cli.examples import run_examples

    place, settings = _place(folder, config)
    raise typer.Exit(DONE if run_examples(place, settings, json=json) else NO)


@app.command()
def schema() -> None:
    """Print the JSON Schema of policy files: an editor completes and checks with it."""
    from proxy.cli.output import print_json
    from proxy.policy.schema import policy_schema

    print_json(policy_schema())


@app.command()
def matrix(
    folder: FolderArgument = None,
    format: Annotated[  # noqa: A002 - the name of the option
        Literal["table", "csv", "html", "json"],
        typer.Option(metavar="table|csv|html|json", help="How it is printed."),
    ] = "table",
    json: JsonOption = False,
    tool: Annotated[str | None, typer.Option(metavar="NAME", help="Only this tool.")] = None,
    purpose: Annotated[str | None, typer.Option(metavar="NAME", help="Only this purpose.")] = None,
    table: Annotated[
        str | None, typer.Option(metavar="SCHEMA.TABLE", help="Only this table.")
    ] = None,
    offline: OfflineOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what each tool sees of each column for each purpose: value, mask or absent."""
    from proxy.cli.opening import catalog_of, policy_of, run
    from proxy.policy.matrix import matrix as rows_of

    place, settings = _place(folder, config)
    policy = policy_of(place)
    catalog = None if offline or settings is None else run(catalog_of(settings, policy))
    rows = [
        row
        for row in rows_of(policy, catalog)
        if tool in (None, row.tool)
        and purpose in (None, row.purpose)
        and table in (None, row.table)
    ]
    _print_matrix(rows, "json" if json else format)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The policy folder as it was.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The policy folder as it will be.")],
    json: JsonOption = False,
    offline: OfflineOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what changes for whom; with a database, how many people gain or lose visibility."""
    from proxy.cli.difference import show_difference

    settings = None if offline else _settings_if_named(config)
    show_difference(old, new, settings, json=json)


# --- where the policy is ---------------------------------------------------------------------


def _place(folder: Path | None, config: Path | None) -> tuple[Path, Config | None]:
    """The policy folder, and the configuration where one is meant."""
    settings = _settings_if_named(config)
    if folder is not None:
        return folder, settings
    from proxy.cli.opening import configuration

    settings = settings or configuration(None)
    return settings.policy, settings


def _settings_if_named(config: Path | None) -> Config | None:
    """A FOLDER of somebody's own must not be held against a database they did not name."""
    from proxy.cli.opening import configuration
    from proxy.config import CONFIG_VARIABLE

    if config is None and CONFIG_VARIABLE not in os.environ:
        return None
    return configuration(config)


# --- problems --------------------------------------------------------------------------------


def _problems(folder: Path, settings: Config | None) -> tuple[Problem, ...]:
    from proxy.cli.opening import catalog_of, run
    from proxy.policy.check import check_against
    from proxy.policy.lint import lint
    from proxy.policy.load import load_policy
    from proxy.policy.problem import PolicyErrors
    from proxy.policy.testfile import load_tests

    try:
        policy = load_policy(folder)
    except PolicyErrors as error:
        return error.problems
    problems: list[Problem] = []
    try:
        load_tests(folder, policy)
    except PolicyErrors as error:
        problems += error.problems
    if settings is None:
        problems += lint(policy)
    else:
        problems += check_against(policy, run(catalog_of(settings, policy)))
    return tuple(sorted(problems))


def _problem_text(problem: Problem) -> str:
    from proxy.policy.problem import Place

    parts = [str(Place(problem.file, problem.line)), problem.key, problem.message]
    return ": ".join(part for part in parts if part)


def _problem_json(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "key": problem.key,
        "severity": problem.severity,
        "message": problem.message,
    }


# --- the matrix ------------------------------------------------------------------------------

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>What each tool sees</title><style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 2rem }}
table {{ border-collapse: collapse }}
th, td {{ border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: left }}
thead th {{ position: sticky; top: 0; background: #fff }}
tr.value {{ background: #eef8ee }} tr.mask {{ background: #fdf8e8 }} tr.absent {{ color: #888 }}
</style></head><body><h1>What each tool sees</h1>
{table}</body></html>"""


def _print_matrix(rows: list[MatrixRow], format: str) -> None:  # noqa: A002 - as the option
    from dataclasses import asdict

    from proxy.cli.output import print_json, print_table
    from proxy.policy.matrix import matrix_csv, matrix_html

    match format:
        case "csv":
            print(matrix_csv(iter(rows)), end="")
        case "html":
            print(_PAGE.format(table=matrix_html(iter(rows))))
        case "json":
            print_json([asdict(row) for row in rows])
        case _:
            print_table(
                ("tool", "purpose", "column", "category", "sees", "otherwise"),
                [_matrix_cells(row) for row in rows],
                empty="nothing",
            )


def _matrix_cells(row: MatrixRow) -> tuple[str, ...]:
    sees = f"mask {row.mask}" if row.sees == "mask" else row.sees
    if row.needs_own_grant:
        sees += " (own grant)"
    column = f"{row.table}.{row.column}"
    return (row.tool, row.purpose, column, row.category, sees, row.otherwise)
