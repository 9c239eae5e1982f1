"""What `doctor` finds: how bad it is, what it means, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

from proxy.cli.output import print_json, print_severity

Severity = Literal["ok", "warning", "error"]
# A list longer than this is told by its beginning: one of the names is enough to start with.
_NAMES_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One answer of the doctor. `topic` is a stable word, `means` and `do` are for people."""

    severity: Severity
    topic: str
    what: str
    means: str = ""
    do: str = ""


def ok(topic: str, what: str) -> Finding:
    return Finding(severity="ok", topic=topic, what=what)


def warning(topic: str, what: str, means: str, do: str) -> Finding:
    return Finding(severity="warning", topic=topic, what=what, means=means, do=do)


def error(topic: str, what: str, means: str, do: str) -> Finding:
    return Finding(severity="error", topic=topic, what=what, means=means, do=do)


def listed(names: Sequence[str]) -> str:
    """The names, or the first of them and how many more there are."""
    shown = ", ".join(names[:_NAMES_MAX])
    more = len(names) - _NAMES_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def print_findings(findings: Sequence[Finding], *, json: bool) -> None:
    if json:
        print_json([asdict(found) for found in findings])
        return
    for found in findings:
        print_severity(found.severity, f"{found.topic}: {found.what}")
        for line in (found.means, found.do):
            if line:
                print(f"    {line}")
    counts = {
        severity: sum(found.severity == severity for found in findings)
        for severity in ("error", "warning")
    }
    print(f"{counts['error']} errors, {counts['warning']} warnings")
