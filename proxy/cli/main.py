"""`consent-proxy`: every command. What a command needs is imported when it runs, not before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proxy.cli import consent, explain, log, policy, prepare, tool
from proxy.cli.failures import Commands
from proxy.cli.options import ConfigOption

app = typer.Typer(
    name="consent-proxy",
    cls=Commands,
    no_args_is_help=True,
    # A traceback with local variables would print passwords and people's data.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ReadyFileOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write addresses there when both doors answer (mode 0600)."),
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(version("consent-proxy"))
        except PackageNotFoundError:
            print("unknown (not installed)")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A data proxy that shows each tool only what each person agreed to, and records it.

    Exit codes: 0 done or yes; 1 no (a failed test, an error in a policy, something refused);
    2 usage or configuration.
    """


@app.command()
def serve(
    config: ConfigOption = None,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="Processes that share the port.")
    ] = 1,
    ready_file: ReadyFileOption = None,
) -> None:
    """Run the proxy in front of a real database, until SIGTERM."""
    from proxy.cli.opening import configuration
    from proxy.server import serve as run_server

    raise typer.Exit(run_server(configuration(config), workers=workers, ready_file=ready_file))


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where everything is kept; else ./demo.")
    ] = None,
    customers: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=10_000_000, help="How many people the database has."),
    ] = 20_000,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same number makes the same people.")
    ] = 1,
    postgres: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where PostgreSQL's door is; port 0: any.")
    ] = "127.0.0.1:6432",
    http: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the HTTP door is; port 0: any.")
    ] = "127.0.0.1:8432",
    ready_file: ReadyFileOption = None,
) -> None:
    """Run a car dealer's database, policy, tools and consents with the proxy in front."""
    from proxy.demo.run import demo as run_demo

    raise typer.Exit(
        run_demo(
            folder=folder,
            customers=customers,
            seed=seed,
            postgres=postgres,
            http=http,
            ready_file=ready_file,
        )
    )


app.command("init")(prepare.init)
app.command("doctor")(prepare.doctor)
app.add_typer(policy.app, name="policy")
app.command("explain")(explain.explain)
app.add_typer(consent.app, name="consent")
app.add_typer(tool.app, name="tool")
app.add_typer(log.app, name="log")


def main() -> None:
    """Run the command that the arguments name."""
    app()


if __name__ == "__main__":
    main()
