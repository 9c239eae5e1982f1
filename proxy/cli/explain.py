"""`consent-proxy explain`: what becomes of a statement, what is masked in it, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.failures import DONE, NO
from proxy.cli.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from proxy.config import Config
    from proxy.consent.states import SubjectState
    from proxy.enforce import Enforcer
    from proxy.errors import Refused
    from proxy.policy.model import Policy
    from proxy.rewrite.plan import ColumnUse, Plan, PlanContext, TableUse


def explain(
    sql: Annotated[
        str | None, typer.Argument(metavar="[SQL]", help="The statement, as the tool sends it.")
    ] = None,
    tool: Annotated[str, typer.Option("--as", metavar="TOOL", help="The tool that asks.")] = "",
    purpose: Annotated[
        str | None,
        typer.Option("--for", metavar="PURPOSE", help="For this purpose; else the tool's default."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="KEY", help="Tell why for this person, too.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Statements: tell the share that is refused and masked."),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show how a statement is rewritten for a tool and purpose, what is masked in it and why.

    Nothing is run. Exit code 1 if the statement, or one of the file, is refused.
    """
    from proxy.cli.opening import configuration, policy_of, run
    from proxy.planner import RECURSION_MAX, make_plans
    from proxy.telemetry import set_up_logging

    if (sql is None) == (file is None):
        raise typer.BadParameter("give either a statement or --file")
    if not tool:
        raise typer.BadParameter("give --as TOOL")
    settings = configuration(config)
    policy = policy_of(settings.policy)
    context = _context(policy, tool, purpose)
    set_up_logging(level="critical")  # what a reader can not read is told as a refusal
    sys.setrecursionlimit(RECURSION_MAX)
    enforcer = run(_enforcer(settings, policy))
    if file is not None:
        from proxy.cli.shares import print_shares, shares_of

        shares = shares_of(enforcer, context, file.read_text(encoding="utf-8"))
        print_shares(shares, json=json)
        raise typer.Exit(NO if shares.refused else DONE)
    plans = make_plans(enforcer, sql or "", context)
    state = None if subject is None else run(_state(settings, subject))
    explained = [_explain(plan, policy, context, state) for plan in plans]
    _print(explained, json=json)
    raise typer.Exit(NO if any("reason" in each for each in explained) else DONE)


def _context(policy: Policy, tool: str, purpose: str | None) -> PlanContext:
    from proxy.errors import ConfigurationError, Reason, Refused
    from proxy.rewrite.plan import PlanContext

    known = policy.tools.get(tool)
    if known is None:
        listed = ", ".join(policy.tools)
        raise ConfigurationError(f"the policy has no tool {tool}; expected one of {listed}")
    if purpose is not None and purpose not in known.purposes:
        allowed = ", ".join(known.purposes)
        message = f"{tool} does not have the purpose {purpose}"
        raise Refused(Reason.PURPOSE_NOT_ALLOWED, message, hint=f"It has {allowed}.")
    return PlanContext(tool=tool, purpose=purpose or known.default, search_path=policy.schemas)


async def _enforcer(settings: Config, policy: Policy) -> Enforcer:
    from proxy.cli.opening import catalog_of
    from proxy.enforce import Enforcer, StatementLimits
    from proxy.sql.settings import SettingLimits

    limits = settings.limits
    return Enforcer(
        policy,
        await catalog_of(settings, policy),
        StatementLimits(
            statement_bytes=limits.statement_bytes, statement_nesting=limits.statement_nesting
        ),
        SettingLimits(
            statement_ms=round(limits.statement_s * 1000), idle_ms=round(limits.idle_s * 1000)
        ),
    )


async def _state(settings: Config, subject: str) -> SubjectState:
    from proxy.cli.opening import ledger_of

    async with ledger_of(settings) as ledger:
        return await ledger.show(subject)


# --- words -----------------------------------------------------------------------------------


def _explain(
    plan: Plan | Refused, policy: Policy, context: PlanContext, state: SubjectState | None
) -> dict[str, object]:
    """One statement's explanation as JSON has it."""
    from proxy.errors import Refused

    if isinstance(plan, Refused):
        return {
            "reason": plan.reason.value,
            "sqlstate": plan.sqlstate,
            "message": plan.message,
            "hint": plan.hint,
        }
    source = plan.inner or plan
    person = None if state is None else _in_force(state, context.purpose)
    return {
        "purpose": context.purpose,
        "sql": plan.text,
        "in_force": None if person is None else person[0],
        "because": None if person is None else person[1],
        "tables": [_table(table, policy, context, state) for table in source.tables],
    }


def _table(
    table: TableUse, policy: Policy, context: PlanContext, state: SubjectState | None
) -> dict[str, object]:
    rows = _row_rules(table.name, policy, context.purpose)
    columns = [_column(column, context, state) for column in table.columns]
    purpose = policy.purposes.get(context.purpose or "")
    is_consented_only = purpose is not None and purpose.people == "consented" and bool(rows)
    if state is not None and is_consented_only and not _in_force(state, context.purpose)[0]:
        columns = [{**column, "for_person": "no row"} for column in columns]
    return {"table": table.name, "rows": rows, "columns": columns}


def _row_rules(table: str, policy: Policy, purpose: str | None) -> list[str]:
    """Which rows are there at all, in words; nothing where all are."""
    from proxy.cli.policy_rules import row_rule_texts
    from proxy.policy.decide import decide

    relation = next((name for name in policy.relations if str(name) == table), None)
    verdict = None
    if relation is not None and purpose is not None:
        verdict = decide(policy, purpose, relation, ())
    return [] if verdict is None else list(row_rule_texts(verdict, purpose or ""))


def _in_force(state: SubjectState, purpose: str | None) -> tuple[bool, str]:
    """Whether the purpose is in force for the person, and which event says so."""
    found = next((each for each in state.purposes if each.purpose == purpose), None)
    if found is None:
        return False, "the ledger does not know the purpose: run init"
    if found.deciding is None:
        words = f"nothing is recorded; {found.basis.value} "
        return found.is_in_force, words + ("needs no grant" if found.is_in_force else "needs one")
    event = found.deciding
    told = f"event {event.event}: {event.state.value} at {event.at.isoformat()}"
    return found.is_in_force, told


def _column(
    column: ColumnUse, context: PlanContext, state: SubjectState | None
) -> dict[str, object]:
    category = column.category or "open"
    match column.verdict:
        case "shown":
            why = "open"
        case "masked":
            why = f"in every row: {category} is not read for {context.purpose}, or has no subject"
        case "guarded":
            why = f"where {context.purpose} is in force; else {column.mask}"
        case _:
            why = "not in the policy, or dropped for this purpose"
    told: dict[str, object] = {
        "column": column.name,
        "category": column.category,
        "verdict": column.verdict,
        "mask": column.mask,
        "why": why,
    }
    if state is not None:
        told["for_person"] = _for_person(column, context, state)
    return told


def _for_person(column: ColumnUse, context: PlanContext, state: SubjectState) -> str:
    """`value`, `mask …` or `absent` for this person's own rows."""
    if column.verdict == "shown":
        return "value"
    if column.verdict == "absent":
        return "absent"
    found = next((each for each in state.purposes if each.purpose == context.purpose), None)
    if column.verdict == "guarded" and found is not None and found.is_in_force:
        own = next((c for c in found.categories if c.category == column.category), None)
        if own is None or own.is_in_force:
            return "value"
        return f"mask {column.mask}: no grant names {column.category}"
    return f"mask {column.mask}"


def _print(explained: list[dict[str, object]], *, json: bool) -> None:
    from proxy.cli.output import print_json, print_table

    if json:
        print_json(explained)
        return
    for each in explained:
        if "reason" in each:
            print(f"refused: {each['message']} (reason: {each['reason']})")
            if each["hint"]:
                print(f"  {each['hint']}")
            continue
        print(each["sql"])
        print()
        if each["in_force"] is not None:
            answer = "in force" if each["in_force"] else "not in force"
            print(f"{each['purpose']} is {answer} for this person ({each['because']})\n")
        rows = []
        tables = each["tables"]
        for table in tables if isinstance(tables, list) else ():
            for rule in table["rows"]:
                print(f"{table['table']}: {rule}")
            for column in table["columns"]:
                cells = [f"{table['table']}.{column['column']}", column["verdict"], column["why"]]
                if "for_person" in column:
                    cells.append(column["for_person"])
                rows.append(cells)
        columns = ["column", "verdict", "why"]
        if any(len(row) > len(columns) for row in rows):
            columns.append("this person")
        print_table(columns, rows, empty="The statement reads no relation.")
