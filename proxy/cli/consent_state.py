"""A person's state in the ledger: what is in force and because of which event, and every event."""

from __future__ import annotations

from proxy.cli.output import print_json, print_table, time_text
from proxy.consent.states import CategoryState, PurposeState, SubjectState


def print_state(state: SubjectState, *, json: bool) -> None:
    """As two tables, or as JSON."""
    if json:
        print_json(_state_json(state))
    else:
        _print_tables(state)


def _state_json(state: SubjectState) -> dict[str, object]:
    return {
        "subject": _key(state.subject),
        "as_of": time_text(state.as_of),
        "known_at": time_text(state.known_at),
        "purposes": [
            {
                "purpose": purpose.purpose,
                "basis": purpose.basis.value,
                "in_force": purpose.is_in_force,
                "until": time_text(purpose.until),
                "event": purpose.deciding and purpose.deciding.event,
                "categories": [
                    {
                        "category": category.category,
                        "in_force": category.is_in_force,
                        "until": time_text(category.until),
                        "event": category.deciding and category.deciding.event,
                    }
                    for category in purpose.categories
                ],
            }
            for purpose in state.purposes
        ],
        "events": [
            {
                "event": event.event,
                "purpose": event.purpose,
                "categories": list(event.categories),
                "state": event.state.value,
                "at": time_text(event.at),
                "until": time_text(event.until),
                "source": event.source,
                "notice": event.notice,
                "evidence": event.evidence,
                "recorded_by": event.recorded_by,
                "recorded_at": time_text(event.recorded_at),
            }
            for event in state.events
        ],
    }


def _key(subject: object) -> int | str:
    return subject if isinstance(subject, int | str) else str(subject)


def _print_tables(state: SubjectState) -> None:
    print(f"subject {state.subject} as of {time_text(state.as_of)}")
    rows = []
    for purpose in state.purposes:
        rows.append(_state_row(purpose.purpose, purpose.basis.value, purpose))
        rows += [_state_row(f"  {c.category}", "own grant", c) for c in purpose.categories]
    print_table(("purpose", "basis", "in force", "until", "because of"), rows)
    if not state.events:
        return
    print()
    columns = ("event", "state", "purpose", "categories", "at", "until", "source", "recorded by")
    print_table(
        columns,
        [
            (
                str(event.event),
                event.state.value,
                event.purpose or "all",
                ", ".join(event.categories),
                time_text(event.at) or "",
                time_text(event.until) or "",
                event.source or "",
                event.recorded_by or "",
            )
            for event in state.events
        ],
    )


def _state_row(name: str, basis: str, entry: PurposeState | CategoryState) -> tuple[str, ...]:
    until = time_text(entry.until) or ("no end" if entry.is_in_force else "")
    why = f"event {entry.deciding.event}" if entry.deciding else "no event"
    return (name, basis, "yes" if entry.is_in_force else "no", until, why)
