"""docs/reference/cli.md, made from the commands themselves: `python -m proxy.cli.reference`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

# The parser's own classes are private to typer; what is read of them here is what --help shows.
Command = Any
Path = tuple[str, ...]

_HEAD = """# The command line

<!-- Made by `python -m proxy.cli.reference`; a test holds it to what the commands say. -->

Every command reads its configuration from `--config FILE`, else from the file that
`CONSENT_PROXY_CONFIG` names, else from `consent-proxy.yaml` in the current folder; a setting can
also be an environment variable (`CONSENT_PROXY_…`). Secrets are never arguments: passwords come
from files, `PGPASSWORD`, standard input or a prompt.

| exit code | means |
|---|---|
| 0 | done, or yes |
| 1 | no: a failed example, an error (in a policy, found by `doctor`), something refused |
| 2 | usage or configuration, or a database that does not answer |

`log verify` has codes of its own: 0 intact, 1 changed, 3 can not be verified. A user's mistake is
told in one message on standard error. Tables become JSON with `--json`; colours and progress bars
are for terminals only, and `NO_COLOR` turns colours off.
"""


def command_tree(app: typer.Typer) -> Iterator[tuple[Path, Command]]:
    """Every command with its way from the root, groups before what is in them."""
    yield from _walk(get_command(app), ())


def _walk(command: Command, path: Path) -> Iterator[tuple[Path, Command]]:
    yield path, command
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _walk(inner, (*path, name))


def reference(app: typer.Typer) -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for path, command in command_tree(app):
        if isinstance(command, TyperGroup):
            if path:
                parts.append(f"## {' '.join(path)}\n\n{_text(command.help)}\n")
            continue
        heading = "##" if len(path) == 1 else "###"
        parts.append(f"{heading} consent-proxy {' '.join(path)}\n\n{_text(command.help)}\n")
        rows = [_row(parameter) for parameter in command.params if not _is_help(parameter)]
        if rows:
            parts.append("| argument or option | |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _text(text: str | None) -> str:
    return inspect.cleandoc(text or "")


def _is_help(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False)) or parameter.name == "help"


def _row(parameter: Any) -> str:
    words = (parameter.help or "").replace("|", "\\|")
    if parameter.param_type_name == "argument":
        return f"| `{parameter.metavar}` | {words} |"
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    # Every option that takes a value names it: a test sees to it.
    value = "" if parameter.is_flag else f" `{parameter.metavar}`".replace("|", "\\|")
    if parameter.required:
        words += " Required."
    elif not parameter.is_flag and parameter.default not in (None, "", ()):
        words += f" Default: `{parameter.default}`."
    return f"| {names}{value} | {words} |"


if __name__ == "__main__":
    from proxy.cli.main import app as whole

    print(reference(whole), end="")
