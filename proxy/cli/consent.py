"""`consent-proxy consent …`: record what people said, and ask what is in force.

When a recording command has ended with exit code 0, the event is committed and in force.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proxy.cli.failures import DONE, NO, tell
from proxy.cli.options import ConfigOption, JsonOption, OutputOption

if TYPE_CHECKING:
    from proxy.config import Config
    from proxy.consent.ledger import Recorded
    from proxy.consent.request import ConsentRequest
    from proxy.consent.states import SubjectState
    from proxy.consent.transfer import ImportReport

app = typer.Typer(
    help="Record what people agreed to or refused, and ask what is in force.",
    no_args_is_help=True,
)

SubjectOption = Annotated[
    str, typer.Option(metavar="KEY", help="The data subject: a value of the policy's key column.")
]
AnyPurposeOption = Annotated[
    str | None, typer.Option("--purpose", metavar="NAME", help="For this purpose.")
]
AllOption = Annotated[bool, typer.Option("--all", help="For every purpose.")]
CategoryOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A sensitive category: a grant must name it; else only this ends. Repeatable.",
    ),
]
AtOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="When it was said; else now. ISO 8601, offset.")
]
SourceOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Where it was said: a form, a call.")
]
NoticeOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Which notice the person was shown.")
]
EvidenceOption = Annotated[
    str | None, typer.Option(metavar="SHA256", help="Hash of what proves it.")
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key", metavar="KEY", help="The same key records the same event once."
    ),
]


@app.command()
def record(
    subject: SubjectOption,
    purpose: Annotated[str, typer.Option(metavar="NAME", help="For this purpose.")],
    category: CategoryOption = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the grant ends; else it does not.")
    ] = None,
    at: AtOption = None,
    source: SourceOption = None,
    notice: NoticeOption = None,
    evidence: EvidenceOption = None,
    idempotency_key: KeyOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Record a grant: the person agreed to the purpose."""
    body = _body(subject, purpose, False, category, at, source, notice, evidence)
    _record(body | {"state": "given", "until": until}, idempotency_key, json, config)


def _ending(state: str, promise: str) -> None:
    """Make the command that records `state`: the four differ in nothing else."""

    def command(
        subject: SubjectOption,
        purpose: AnyPurposeOption = None,
        all_purposes: AllOption = False,
        category: CategoryOption = None,
        at: AtOption = None,
        source: SourceOption = None,
        notice: NoticeOption = None,
        evidence: EvidenceOption = None,
        idempotency_key: KeyOption = None,
        json: JsonOption = False,
        config: ConfigOption = None,
    ) -> None:
        if (purpose is None) != all_purposes:
            raise typer.BadParameter("give either --purpose or --all")
        body = _body(subject, purpose, all_purposes, category, at, source, notice, evidence)
        _record(body | {"state": state}, idempotency_key, json, config)

    names = {
        "refused": "refuse",
        "withdrawn": "withdraw",
        "objected": "object",
        "restricted": "restrict",
    }
    app.command(names[state], help=promise)(command)


_ending("refused", "Record a refusal: the person was asked and said no.")
_ending("withdrawn", "Record a withdrawal. When this has ended, no new statement shows the value.")
_ending("objected", "Record an objection: it ends a legitimate interest.")
_ending("restricted", "Record a restriction (GDPR Art. 18): no purpose is in force any more.")


@app.command()
def show(
    subject: SubjectOption,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="What was in force then; else now.")
    ] = None,
    known_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="As it was known then; else now.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what is in force for a person, and every event that counts."""
    from proxy.cli.consent_state import print_state
    from proxy.cli.opening import configuration, instant, ledger_of, run

    at, known = instant("--as-of", as_of), instant("--known-at", known_at)
    settings = configuration(config)

    async def work() -> SubjectState:
        async with ledger_of(settings) as ledger:
            return await ledger.show(subject, at, known)

    state = run(work())
    print_state(state, json=json)


@app.command("import")
def import_events(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .ndjson or .jsonl file.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Record the events of a file. Again records nothing twice; exit code 1 if lines were rejected.

    Columns or keys: subject, purpose (* for all), category, state, at, until, source, notice,
    evidence; the first two and state are needed.
    """
    from proxy.cli.opening import configuration, ledger_of, run, who
    from proxy.cli.output import progress

    settings = configuration(config)

    async def work() -> ImportReport:
        async with ledger_of(settings) as ledger:
            with progress("importing") as show_progress:
                return await ledger.import_file(file, show_progress, _recorder(who()))

    report = run(work())
    _tell_import(report, json)
    raise typer.Exit(NO if report.rejected else DONE)


@app.command()
def export(
    format: Annotated[  # noqa: A002 - the name of the option
        Literal["csv", "ndjson"], typer.Option(metavar="csv|ndjson", help="`import` reads both.")
    ] = "csv",
    output: OutputOption = None,
    config: ConfigOption = None,
) -> None:
    """Write every event, oldest recorded first, as `import` reads it."""
    from proxy.cli.opening import configuration, ledger_of, run
    from proxy.cli.output import destination

    settings = configuration(config)

    async def work() -> int:
        async with ledger_of(settings) as ledger:
            with destination(output) as out:
                return await ledger.export(format, out)

    count = run(work())
    if output is not None:
        print(f"{count} events in {output}")


# --- recording -------------------------------------------------------------------------------


def _body(
    subject: str,
    purpose: str | None,
    all_purposes: bool,
    category: list[str] | None,
    at: str | None,
    source: str | None,
    notice: str | None,
    evidence: str | None,
) -> dict[str, object]:
    """What `POST /v1/consents` would be sent: both ways in are read by one reader."""
    named: dict[str, object] = {"all": True} if all_purposes else {"purpose": purpose}
    return {
        **named,
        "subject": subject,
        "category": category or None,
        "at": at,
        "source": source,
        "notice": notice,
        "evidence": evidence,
    }


def _record(body: dict[str, object], key: str | None, json: bool, config: Path | None) -> None:
    from proxy.cli.opening import configuration, ledger_of, run, who
    from proxy.cli.output import print_json, time_text
    from proxy.consent.request import parse_request

    given = {name: value for name, value in body.items() if value is not None}
    request = parse_request(given, idempotency_key=key, recorded_by=_recorder(who()))
    settings = configuration(config)

    async def work() -> Recorded:
        async with ledger_of(settings) as ledger:
            return await ledger.record(request)

    recorded = run(work())
    if not recorded.is_replay:
        _log_event(settings, request, recorded)
    at = time_text(recorded.recorded_at)
    if json:
        facts = {"event": recorded.event, "recorded_at": at, "replayed": recorded.is_replay}
        print_json(facts)
    else:
        again = " before, under the same key" if recorded.is_replay else ""
        print(f"event {recorded.event}, recorded {at}{again}")


def _recorder(account: str) -> str:
    return f"command line: {account}"


def _log_event(settings: Config, request: ConsentRequest, recorded: Recorded) -> None:
    """The access log's record; the ledger has committed, so nothing here can turn the answer."""
    from proxy.access_log.canonical import RecordError
    from proxy.access_log.log import append_once
    from proxy.access_log.record import consent_fields
    from proxy.access_log.segments import LogSealed
    from proxy.errors import ConfigurationError

    fields = consent_fields(
        event=recorded.event,
        state=request.state.value,
        purpose=request.purpose,
        category=request.categories[0] if len(request.categories) == 1 else None,
    )
    try:
        append_once(settings.access_log.folder, "commands", "consent.recorded", fields)
    except (LogSealed, RecordError, ConfigurationError, OSError) as error:
        tell(f"recorded in the ledger, but the access log has no record of it: {error}")


def _tell_import(report: ImportReport, json: bool) -> None:
    if json:
        from proxy.cli.output import print_json

        rejected = [
            {"line": line.line, "reason": line.reason, "message": line.message}
            for line in report.rejected
        ]
        facts = {"recorded": report.recorded, "replayed": report.replayed, "rejected": rejected}
        print_json(facts)
        return
    for line in report.rejected:
        tell(f"line {line.line}: {line.message} (reason: {line.reason})")
    print(
        f"{report.recorded} recorded, {report.replayed} recorded before, "
        f"{len(report.rejected)} rejected"
    )
