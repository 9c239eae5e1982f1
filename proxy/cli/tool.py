"""`consent-proxy tool …`: who may come in. Changes end open sessions within two seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proxy.cli.failures import tell
from proxy.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from proxy.config import Config
    from proxy.secrets import Entry, Secrets

app = typer.Typer(
    help="Credentials of tools, and of whoever records consent, reviews or measures.",
    no_args_is_help=True,
)
Role = Literal["tool", "consent", "review", "metrics"]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name that comes in.")]


@app.command()
def add(
    name: NameArgument,
    role: Annotated[
        Role,
        typer.Option(
            metavar="tool|consent|review|metrics", help="What it may do; `tool` runs statements."
        ),
    ] = "tool",
    config: ConfigOption = None,
) -> None:
    """Add a name. It can do nothing until it has a password or a token."""
    settings, store = _open(config, create=True)
    store.add(name, role)
    print(f"{name} is added with the role {role}; give it a password or a token next:")
    print(f"  consent-proxy tool password {name} --generate")
    print(f"  consent-proxy tool token {name}")
    if role == "tool":
        _warn_unknown_tool(settings, name)


@app.command()
def password(
    name: NameArgument,
    generate: Annotated[bool, typer.Option(help="Make a password and print it once.")] = False,
    config: ConfigOption = None,
) -> None:
    """Set a password, read from standard input (or asked for), or made with --generate."""
    from proxy.cli.opening import read_secret
    from proxy.errors import ConfigurationError
    from proxy.passwords import generate_password

    _, store = _open(config)
    if store.credential(name) is None:
        raise ConfigurationError(f"there is no {name}: consent-proxy tool add {name}")
    if generate:
        made = generate_password()
        store.set_password(name, made)
        print(made)
    else:
        store.set_password(name, read_secret(f"password of {name}", confirm=True))
        tell(f"the password of {name} is set")


@app.command()
def token(name: NameArgument, config: ConfigOption = None) -> None:
    """Make a bearer token for HTTP and print it once. The one before ends with it."""
    _, store = _open(config)
    print(store.make_token(name))


@app.command("list")
def listing(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show every name, its role and what it has; never a secret."""
    from proxy.cli.output import print_json, print_table

    _, store = _open(config)
    entries = store.listing()
    if json:
        print_json([{"name": name, **_facts(entry)} for name, entry in entries])
        return
    columns = ("name", "role", "password", "token", "disabled")
    rows = [
        (
            name,
            entry.role,
            "yes" if entry.verifier else "",
            entry.token.id if entry.token else "",
            "yes" if entry.is_disabled else "",
        )
        for name, entry in entries
    ]
    print_table(columns, rows, empty="no name yet: consent-proxy tool add NAME")


@app.command()
def disable(name: NameArgument, config: ConfigOption = None) -> None:
    """Let a name in no more; what it has is kept."""
    _, store = _open(config)
    store.disable(name)
    print(f"{name} can not come in any more")


@app.command()
def enable(name: NameArgument, config: ConfigOption = None) -> None:
    """Let a disabled name in again, with what it had."""
    _, store = _open(config)
    store.enable(name)
    print(f"{name} can come in again")


def _open(config: Path | None, *, create: bool = False) -> tuple[Config, Secrets]:
    from proxy.cli.opening import configuration
    from proxy.secrets import Secrets

    settings = configuration(config)
    return settings, Secrets.load(settings.secrets, create=create)


def _facts(entry: Entry) -> dict[str, object]:
    return {
        "role": entry.role,
        "password": entry.verifier is not None,
        "token": entry.token.id if entry.token else None,
        "disabled": entry.is_disabled,
    }


def _warn_unknown_tool(settings: Config, name: str) -> None:
    from proxy.cli.opening import policy_of
    from proxy.policy.problem import PolicyErrors

    try:
        known = policy_of(settings.policy).tools
    except PolicyErrors:
        return  # `policy check` tells of those
    if name not in known:
        tell(f"the policy has no tool {name}: it will be refused until the policy names it")
