"""Tool × purpose × column: what each shows. For people to read, and to compare two policies by."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Literal, assert_never

from proxy.policy.decide import Absent, ColumnVerdict, Guarded, Masked, Shown, decide
from proxy.policy.mask_text import mask_text
from proxy.policy.model import DropMask, Mask, Policy, RelationName
from proxy.policy.names import quote, relation_text
from proxy.sql.catalog import Catalog

Sees = Literal["value", "mask", "absent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """What one tool sees in one column for one purpose.

    `sees` is what it sees of a person for whom the purpose is in force; `mask` what it sees then
    (with `mask`) of the value; `otherwise` what it sees of everybody else (`absent`: no row).
    """

    tool: str
    purpose: str
    table: str
    column: str
    category: str
    sees: Sees
    mask: str
    otherwise: str
    needs_own_grant: bool


def matrix(policy: Policy, catalog: Catalog | None = None) -> Iterator[MatrixRow]:
    """Every tool, purpose and column of the policy, in the order of the files.

    With a catalog, the columns are the database's (those that the policy does not list too);
    without, those that the policy lists; an `open` table is then one row with column `*`.
    """
    for tool in policy.tools.values():
        for purpose in tool.purposes:
            for relation in policy.relations:
                columns = _columns(policy, relation, catalog)
                verdict = decide(policy, purpose, relation, columns)
                for name, column in verdict.columns if verdict is not None else ():
                    shown, mask, otherwise = _words(column)
                    is_row_absent = verdict is not None and verdict.is_consented_only
                    yield MatrixRow(
                        tool=tool.name,
                        purpose=purpose,
                        table=relation_text(relation),
                        column=name if name == "*" else quote(name),
                        category=_category(column),
                        sees=shown,
                        mask=mask,
                        otherwise="absent" if is_row_absent and shown != "absent" else otherwise,
                        needs_own_grant=isinstance(column, Guarded)
                        and column.sensitive is not None,
                    )


def _columns(policy: Policy, relation: RelationName, catalog: Catalog | None) -> Sequence[str]:
    found = catalog.relations.get(relation) if catalog is not None else None
    if found is not None:
        return [column.name for column in found.columns]
    listed = policy.relations[relation].columns
    return ["*"] if listed is None else list(listed)


def _words(verdict: ColumnVerdict) -> tuple[Sees, str, str]:
    """What is seen where the purpose is in force, through which mask, and what otherwise."""
    match verdict:
        case Shown():
            return "value", "", ""
        case Masked(mask=mask):
            return "mask", mask_text(mask), ""
        case Guarded(through=None, mask=mask):
            return "value", "", _otherwise(mask)
        case Guarded(through=through, mask=mask) if through is not None:
            return "mask", mask_text(through), _otherwise(mask)
        case Guarded() | Absent():
            return "absent", "", ""
        case _:
            assert_never(verdict)


def _otherwise(mask: Mask) -> str:
    return "null" if isinstance(mask, DropMask) else mask_text(mask)


def _category(verdict: ColumnVerdict) -> str:
    return "" if isinstance(verdict, Shown) else verdict.category or ""


def matrix_csv(rows: Iterator[MatrixRow]) -> str:
    """The rows as CSV (RFC 4180) with a header."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([field.name for field in fields(MatrixRow)])
    writer.writerows(_cells(row) for row in rows)
    return out.getvalue()


def matrix_html(rows: Iterator[MatrixRow]) -> str:
    """The rows as one HTML table, to be put into a page of its own."""
    head = "".join(f"<th>{html.escape(field.name)}</th>" for field in fields(MatrixRow))
    body = "\n".join(
        f'<tr class="{row.sees}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(row))
        + "</tr>"
        for row in rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"


def _cells(row: MatrixRow) -> list[str]:
    return [
        ("yes" if cell else "") if isinstance(cell, bool) else str(cell) for cell in astuple(row)
    ]
