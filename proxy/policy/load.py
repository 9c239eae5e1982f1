"""A policy folder becomes a `Policy`, as a whole or not at all.

Steps: read and merge the files, read each section, check what sections say of each other, name
the result by its revision. Every step reports all it finds; a policy with one error is not loaded.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from proxy.policy.folder import Sections, read_folder
from proxy.policy.model import Policy
from proxy.policy.problem import Place, PolicyErrors, Problem
from proxy.policy.purposes import (
    read_categories,
    read_extensions,
    read_functions,
    read_purposes,
    read_tools,
)
from proxy.policy.references import check_copies, check_sensitive, check_subjects
from proxy.policy.revision import revision_of
from proxy.policy.tables import read_subject_key, read_tables
from proxy.policy.value import Findings

__all__ = ["PolicyErrors", "Problem", "load_policy"]


def load_policy(folder: Path) -> Policy:
    """The policy of `folder`. Raises PolicyErrors with every problem of every file."""
    findings = Findings()
    sections = read_folder(folder, findings)
    policy = _build(sections, folder, findings)
    if findings.problems:
        raise PolicyErrors(findings.problems)
    return dataclasses.replace(policy, revision=revision_of(policy))


def _build(sections: Sections, folder: Path, findings: Findings) -> Policy:
    """All sections as values; with problems reported, the values only serve to find more."""
    single, spread = sections.single, sections.spread
    for name in ("policy", "version"):
        if name not in single:
            findings.report(Place(str(folder), 0), name, f"no file has the key {name}")
    purposes = read_purposes(spread["purposes"])
    policy = Policy(
        name=(single["policy"].text() if "policy" in single else None) or "",
        version=(single["version"].number(1) if "version" in single else None) or 0,
        categories=read_categories(spread["categories"]),
        purposes=purposes,
        subject_key=read_subject_key(single.get("subject")),
        relations=read_tables(spread["tables"]),
        functions=read_functions(single.get("functions")),
        extensions=read_extensions(single.get("extensions")),
        tools=read_tools(spread["tools"], purposes),
        revision="",
        places=findings.places,
    )
    check_subjects(policy.relations, policy.subject_key, findings)
    check_sensitive(policy.categories, findings)
    check_copies(policy, findings)
    return policy
