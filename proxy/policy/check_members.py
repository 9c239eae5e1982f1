"""Functions and extensions of a policy, held against a database: can they be permitted as meant?"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.policy.lint import problem_at
from proxy.policy.model import FunctionName, Policy
from proxy.policy.problem import Problem
from proxy.sql.catalog import Catalog
from proxy.sql.members import Member, Members
from proxy.sql.permitted import function_name, unfit

# Of the other languages nobody can read, in the database, what a function does.
_READABLE = frozenset({"sql", "plpgsql"})


def member_problems(policy: Policy, catalog: Catalog) -> Iterator[Problem]:
    """What keeps tools from using what the policy names, and what somebody should look at."""
    members = catalog.members or Members()
    for function in policy.functions:
        path = ("functions", str(function))
        for message in _function_problems(function, frozenset(policy.functions), members):
            yield problem_at(policy, path, f"{function}: {message}", "error")
        for message in _doubts(function, members):
            yield problem_at(policy, path, f"{function}: {message}", "warning")
    for name, schema in policy.extensions.items():
        for message in _extension_problems(name, schema, members):
            yield problem_at(policy, ("extensions", name), f"{name}: {message}", "error")


def _function_problems(
    function: FunctionName, permitted: frozenset[FunctionName], members: Members
) -> Iterator[str]:
    place = (function.schema, function.name)
    namesakes = [each for each in members.routines if (each.schema, each.name) == place]
    routine = next((each for each in namesakes if function_name(each) == function), None)
    if routine is None:
        others = ", ".join(str(function_name(each)) for each in namesakes)
        yield "the database has no such function" + (f"; it has {others}" if others else "")
        return
    yield from unfit(routine)
    overlapping = [
        str(function_name(each))
        for each in namesakes
        if each is not routine
        and each.least <= routine.most
        and routine.least <= each.most
        and (function_name(each) not in permitted or any(unfit(each)))
    ]
    if overlapping:
        yield f"a call could reach another function instead: {', '.join(overlapping)}"


def _doubts(function: FunctionName, members: Members) -> Iterator[str]:
    for routine in members.routines:
        if function_name(routine) == function and routine.language not in _READABLE:
            yield f"it is written in {routine.language}: what it does is not to be seen here"


def _extension_problems(name: str, schema: str, members: Members) -> Iterator[str]:
    there = members.extensions.get(name)
    if there is None:
        yield "the database has no such extension"
    elif there != schema:
        yield f"it is in schema {there}, not in {schema}"
    elif not any(each.extension == name and each.is_proven for each in _every(members)):
        yield "no superuser owns what belongs to it: its owner could replace it"


def _every(members: Members) -> Iterator[Member]:
    yield from members.routines
    yield from members.operators
    yield from members.types
